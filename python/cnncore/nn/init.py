# SPDX-License-Identifier: Apache-2.0
"""Initial values for parameters: torch's functions, names and distributions.

Every function fills a `Parameter` (or a writable float array) in place and returns it. Random
numbers come from one generator, which `cnncore.manual_seed` restarts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..runtime import generator
from .arguments import finite, fraction, one_of, positive
from .parameter import Parameter
from .read_only import ReadOnly

Target = TypeVar("Target", Parameter, NDArray[Any])

_BLOCK = 1 << 16  # numbers drawn at once

_GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75}
_GAINS |= {f"conv{kind}{axes}d": 1.0 for kind in ("", "_transpose") for axes in (1, 2, 3)}


Draw = Callable[[np.random.Generator, int], NDArray[Any]]
"""Returns so many numbers from a generator."""


def _shape(tensor: Any) -> tuple[int, ...]:
    """Return the shape of what is to be filled, or raise for what cannot be."""
    if isinstance(tensor, Parameter) or (isinstance(tensor, np.ndarray) and tensor.dtype.kind == "f"):
        return tensor.shape
    if hasattr(tensor, "parameters"):
        raise TypeError(f"expected a Parameter, got a {type(tensor).__name__}: pass its .weight or .bias")
    kind = f"an array of {tensor.dtype}" if isinstance(tensor, np.ndarray) else repr(tensor)
    raise TypeError(f"expected a Parameter or a float array, got {kind}")


def _draw(tensor: Target, draw: Draw) -> Target:
    """Fill with random numbers a block at a time: large weights need no second array of twice their size."""
    _shape(tensor)
    if isinstance(tensor, ReadOnly) and tensor.parameter is not None:
        _draw(tensor.parameter, draw)
    elif isinstance(tensor, Parameter):
        again = _from_here(draw, tensor.size)
        tensor.fill(_blocks(tensor.size, draw, generator()))
        tensor.remember(again)
    elif isinstance(tensor, np.ndarray) and tensor.flags.c_contiguous and tensor.dtype.kind == "f":
        flat, start = tensor.reshape(-1), 0
        for block in _blocks(flat.size, draw, generator()):
            flat[start : start + block.size] = block
            start += block.size
    else:
        _fill(tensor, draw(generator(), math.prod(tensor.shape)).reshape(tensor.shape))
    return tensor


@contextmanager
def undrawn() -> Iterator[None]:
    """Leave the generator as it was before the ``with`` block.

    >>> import numpy as np
    >>> import cnncore as cc
    >>> cc.manual_seed(0)
    >>> with undrawn():
    ...     once = uniform_(np.empty(2))
    >>> bool((uniform_(np.empty(2)) == once).all())
    True
    """
    bits = generator().bit_generator
    state = bits.state
    try:
        yield
    finally:
        bits.state = state


def _blocks(count: int, draw: Draw, random: np.random.Generator) -> Iterator[NDArray[Any]]:
    for start in range(0, count, _BLOCK):
        yield draw(random, min(_BLOCK, count - start))


def _from_here(draw: Draw, count: int) -> Callable[[], Iterator[NDArray[Any]]]:
    """Return a function that returns the blocks that drawing now would."""
    bits = generator().bit_generator
    state = bits.state

    def again() -> Iterator[NDArray[Any]]:
        copy = type(bits)()
        copy.state = state
        return _blocks(count, draw, np.random.Generator(copy))

    return again


def _fill(tensor: Target, values: NDArray[Any] | float) -> Target:
    target = tensor.parameter if isinstance(tensor, ReadOnly) and tensor.parameter is not None else tensor
    shape = _shape(target)
    if isinstance(target, Parameter):
        target.assign(np.broadcast_to(np.asarray(values), shape))
    else:
        target[...] = values
    return tensor


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor that keeps the variance through `nonlinearity`.

    Args:
        nonlinearity: linear, conv1d..3d, conv_transpose1d..3d, sigmoid, tanh, relu, leaky_relu, selu.
        param: leaky_relu's negative slope (default 0.01).

    Raises:
        ValueError: another name.
        TypeError: no name.

    >>> round(calculate_gain("relu"), 4)
    1.4142
    """
    if not isinstance(nonlinearity, str):
        raise TypeError(f"expected nonlinearity as a name such as 'relu', got {nonlinearity!r}")
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else finite("param", param)
        return math.sqrt(2.0 / (1.0 + slope * slope))
    if nonlinearity not in _GAINS:
        known = ", ".join([*_GAINS, "leaky_relu"])
        raise ValueError(f"unknown nonlinearity {nonlinearity!r}; known: {known}")
    return _GAINS[nonlinearity]


def fan(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return (fan_in, fan_out) of a weight (out, in, *kernel).

    Raises:
        ValueError: a shape of fewer than 2 axes.

    >>> fan((16, 3, 5, 5))
    (75, 400)
    """
    if len(shape) < 2:
        raise ValueError(
            f"expected a weight of at least 2 dimensions to tell fan in from fan out, got {shape}"
        )
    taps = math.prod(shape[2:])
    return shape[1] * taps, shape[0] * taps


def _fan_of(shape: tuple[int, ...], mode: str) -> int:
    one_of("mode", mode, ("fan_in", "fan_out"))
    return fan(shape)[mode == "fan_out"]


def uniform_(tensor: Target, a: float = 0.0, b: float = 1.0) -> Target:
    """Fill from the uniform distribution on [a, b).

    Raises:
        ValueError: `a` above `b`.

    >>> import numpy as np
    >>> bool(np.all(uniform_(np.empty(100), 2.0, 3.0) >= 2.0))
    True
    """
    low, high = finite("a", a), finite("b", b)
    if low > high:
        raise ValueError(f"expected a <= b, got a={a}, b={b}")
    return _draw(tensor, lambda random, count: random.uniform(low, high, count))


def normal_(tensor: Target, mean: float = 0.0, std: float = 1.0) -> Target:
    """Fill from the normal distribution.

    Raises:
        ValueError: `mean` is not finite, or `std` below 0.

    >>> import numpy as np
    >>> round(float(normal_(np.empty(10_000), 5.0, 0.1).mean()), 1)
    5.0
    """
    centre, spread = finite("mean", mean), finite("std", std, 0.0)
    return _draw(tensor, lambda random, count: random.normal(centre, spread, count))


def trunc_normal_(
    tensor: Target, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0
) -> Target:
    """Fill from the normal distribution, drawing again what falls outside [a, b].

    Raises:
        ValueError: a >= b, or limits that hold almost nothing of the distribution.

    >>> import numpy as np
    >>> bool(np.abs(trunc_normal_(np.empty(1000), std=2.0)).max() <= 2.0)
    True
    """
    mean, std = finite("mean", mean), finite("std", std, 0.0)
    a, b = finite("a", a), finite("b", b)
    if not a < b:
        raise ValueError(f"expected a < b, got a={a}, b={b}")
    values = generator().normal(mean, std, _shape(tensor))
    for _ in range(1000):
        outside = (values < a) | (values > b)
        count = int(outside.sum())
        if count == 0:
            return _fill(tensor, values)
        values[outside] = generator().normal(mean, std, count)
    raise ValueError(f"[{a}, {b}] holds almost nothing of the normal distribution ({mean}, {std})")


def constant_(tensor: Target, val: float) -> Target:
    """Fill with one number.

    Raises:
        ValueError: `val` is not finite.

    >>> import numpy as np
    >>> constant_(np.empty(2), 0.5).tolist()
    [0.5, 0.5]
    """
    return _fill(tensor, finite("val", val))


def zeros_(tensor: Target) -> Target:
    """Fill with 0.

    Raises:
        TypeError: something that is neither a parameter nor an array.

    >>> import numpy as np
    >>> zeros_(np.empty(2)).tolist()
    [0.0, 0.0]
    """
    return _fill(tensor, 0.0)


def ones_(tensor: Target) -> Target:
    """Fill with 1.

    Raises:
        TypeError: something that is neither a parameter nor an array.

    >>> import numpy as np
    >>> ones_(np.empty(2)).tolist()
    [1.0, 1.0]
    """
    return _fill(tensor, 1.0)


def eye_(tensor: Target) -> Target:
    """Fill a matrix with the identity.

    Raises:
        ValueError: the weight is no matrix.

    >>> import numpy as np
    >>> eye_(np.empty((2, 3))).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    shape = _shape(tensor)
    if len(shape) != 2:
        raise ValueError(f"expected a matrix, got shape {shape}")
    return _fill(tensor, np.eye(*shape))


def dirac_(tensor: Target, groups: int = 1) -> Target:
    """Fill a convolution's weight so that it copies as many input channels as it can.

    Args:
        tensor: weight (out, in, *kernel) of 3 to 5 dimensions.
        groups: groups of the convolution; out must be a multiple of it.

    Raises:
        ValueError: another number of dimensions, or an out that is no multiple of `groups`.

    >>> import numpy as np
    >>> dirac_(np.empty((1, 1, 3))).tolist()
    [[[0.0, 1.0, 0.0]]]
    """
    shape, groups = _shape(tensor), positive("groups", groups)
    if not 3 <= len(shape) <= 5 or shape[0] % groups:
        raise ValueError(f"expected a weight of 3 to 5 dimensions, out a multiple of {groups}, got {shape}")
    values = np.zeros(shape)
    out_per_group = shape[0] // groups
    centre: list[int] = [extent // 2 for extent in shape[2:]]
    for group in range(groups):
        for channel in range(min(out_per_group, shape[1])):
            place = (group * out_per_group + channel, channel, *centre)
            values[place] = 1.0
    return _fill(tensor, values)


def xavier_uniform_(tensor: Target, gain: float = 1.0) -> Target:
    """Fill by Glorot and Bengio (2010): uniform, variance 2 gain^2 / (fan_in + fan_out).

    Raises:
        ValueError: a weight of fewer than 2 axes, or a gain below 0.

    >>> import numpy as np
    >>> bool(np.abs(xavier_uniform_(np.empty((4, 2)))).max() <= 1.0)   # sqrt(6 / (2 + 4))
    True
    """
    bound = finite("gain", gain, 0.0) * math.sqrt(6.0 / sum(fan(_shape(tensor))))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Target, gain: float = 1.0) -> Target:
    """Fill by Glorot and Bengio (2010): normal, variance 2 gain^2 / (fan_in + fan_out).

    Raises:
        ValueError: a weight of fewer than 2 axes, or a gain below 0.

    >>> import numpy as np
    >>> weight = xavier_normal_(np.empty((300, 100)))   # std sqrt(2 / 400)
    >>> bool(abs(weight.std() - 0.0707) < 0.002)
    True
    """
    return normal_(tensor, 0.0, finite("gain", gain, 0.0) * math.sqrt(2.0 / sum(fan(_shape(tensor)))))


def kaiming_uniform_(
    tensor: Target, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Target:
    """Fill by He et al. (2015): uniform, variance gain^2 / fan.

    Args:
        tensor: weight (out, in, *kernel).
        a: slope of the leaky ReLU that follows.
        mode: "fan_in" keeps the variance forward, "fan_out" backward.
        nonlinearity: what follows; see `calculate_gain`.

    Raises:
        ValueError: a weight of fewer than 2 axes, an unknown `mode` or `nonlinearity`.

    >>> import numpy as np
    >>> weight = kaiming_uniform_(np.empty((8, 6, 3, 3)), nonlinearity="relu")   # sqrt(6 / 54)
    >>> bool(np.abs(weight).max() <= 1 / 3)
    True
    """
    bound = math.sqrt(3.0) * calculate_gain(nonlinearity, a) / math.sqrt(_fan_of(_shape(tensor), mode))
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(
    tensor: Target, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Target:
    """Fill by He et al. (2015): normal, variance gain^2 / fan. Arguments as `kaiming_uniform_`.

    Raises:
        ValueError: a weight of fewer than 2 axes, an unknown `mode` or `nonlinearity`.

    >>> import numpy as np
    >>> weight = kaiming_normal_(np.empty((200, 200)), nonlinearity="relu")   # std sqrt(2 / 200)
    >>> bool(abs(weight.std() - 0.1) < 0.003)
    True
    """
    std = calculate_gain(nonlinearity, a) / math.sqrt(_fan_of(_shape(tensor), mode))
    return normal_(tensor, 0.0, std)


def lecun_uniform_(tensor: Target) -> Target:
    """Fill by LeCun et al. (1998): uniform, variance 1 / fan_in.

    Raises:
        ValueError: a weight of fewer than 2 axes.

    >>> import numpy as np
    >>> bool(np.abs(lecun_uniform_(np.empty((4, 3)))).max() <= 1.0)   # sqrt(3 / 3)
    True
    """
    bound = math.sqrt(3.0 / fan(_shape(tensor))[0])
    return uniform_(tensor, -bound, bound)


def lecun_normal_(tensor: Target) -> Target:
    """Fill by LeCun et al. (1998): normal, variance 1 / fan_in.

    Raises:
        ValueError: a weight of fewer than 2 axes.

    >>> import numpy as np
    >>> bool(abs(lecun_normal_(np.empty((200, 100))).std() - 0.1) < 0.003)   # sqrt(1 / 100)
    True
    """
    return normal_(tensor, 0.0, math.sqrt(1.0 / fan(_shape(tensor))[0]))


def orthogonal_(tensor: Target, gain: float = 1.0) -> Target:
    """Fill by Saxe et al. (2013): the weight as a matrix (out, rest) is `gain` times orthogonal.

    Raises:
        ValueError: a weight of fewer than 2 axes.

    >>> import numpy as np
    >>> weight = orthogonal_(np.empty((3, 3)))
    >>> bool(np.allclose(weight @ weight.T, np.eye(3)))
    True
    """
    shape, gain = _shape(tensor), finite("gain", gain)
    if len(shape) < 2:
        raise ValueError(f"expected at least 2 dimensions, got shape {shape}")
    rows, columns = shape[0], math.prod(shape[1:])
    flat = generator().normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(flat)
    q *= np.sign(np.diag(r))
    return _fill(tensor, gain * (q.T if rows < columns else q).reshape(shape))


def sparse_(tensor: Target, sparsity: float, std: float = 0.01) -> Target:
    """Fill a matrix with normal values, then set a fraction `sparsity` of each column to 0.

    Raises:
        ValueError: the weight is no matrix.

    >>> import numpy as np
    >>> int((sparse_(np.empty((10, 4)), 0.3) == 0).sum())
    12
    """
    shape, sparsity = _shape(tensor), fraction("sparsity", sparsity)
    if len(shape) != 2:
        raise ValueError(f"expected a matrix, got shape {shape}")
    rows, columns = shape
    values = generator().normal(0.0, finite("std", std, 0.0), (rows, columns))
    zeros = math.ceil(sparsity * rows)
    for column in range(columns):
        values[generator().permutation(rows)[:zeros], column] = 0.0
    return _fill(tensor, values)


def default_(weight: Parameter, bias: Parameter | None) -> None:
    """Fill a convolution's or linear layer's parameters as torch does by default.

    Both are uniform on +-1 / sqrt(fan_in): torch's kaiming_uniform_(a=sqrt(5)).

    Raises:
        ValueError: a weight of fewer than 2 axes.

    >>> import numpy as np
    >>> from cnncore import nn
    >>> layer = nn.Linear(4, 2)
    >>> default_(layer.weight, layer.bias)
    >>> bool(np.abs(np.array(layer.weight)).max() <= 0.5)
    True
    """
    fan_in = fan(weight.shape)[0]
    bound = 1.0 / math.sqrt(fan_in) if fan_in else 0.0
    uniform_(weight, -bound, bound)
    if bias is not None:
        uniform_(bias, -bound, bound)
