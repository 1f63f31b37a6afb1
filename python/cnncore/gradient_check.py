# SPDX-License-Identifier: Apache-2.0
"""Gradients compared with finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .compiler.pipeline import compile_function
from .graph.arrays import to_input
from .nn.arguments import at_least, finite, positive, real, several
from .transforms import grad


def grad_check(
    fn: Callable[..., Any],
    inputs: Sequence[Any],
    step: float = 1e-2,
    tolerance: float = 2e-2,
    samples: int = 64,
    seed: int = 0,
) -> float:
    """Compare the gradient of `fn` by each floating-point input with central differences.

    A tensor result is weighted by fixed random numbers to make it a scalar. As kernels compute in
    float32, the difference quotient itself is only good to about 1e-7 * |result| / step.

    Args:
        fn: function of tensors that returns a tensor (or (tensor, ...)).
        inputs: arrays; integer arrays are not differentiated by.
        step: distance of the differences, relative to max(1, |element|).
        tolerance: largest allowed error, relative to the largest gradient of that input (at least 1).
        samples: elements of each input that are checked, drawn at random where it has more.
        seed: of the random numbers.

    Returns:
        The largest error found.

    Raises:
        AssertionError: naming the worst element, when an error is above `tolerance`.

    >>> import numpy as np
    >>> import cnncore as cc
    >>> from cnncore import ops
    >>> error = cc.grad_check(lambda x: ops.tanh(x), [np.linspace(-1, 1, 5)])
    >>> error < 1e-3
    True
    """
    if not callable(fn):
        raise TypeError(f"expected a function, got {type(fn).__name__}")
    step, tolerance = finite("step", step), real("tolerance", tolerance)
    if step <= 0 or not tolerance >= 0:
        raise ValueError(f"expected step above 0 and tolerance of at least 0, got {step} and {tolerance}")
    most = None if samples is None else positive("samples", samples)
    rng = np.random.default_rng(at_least("seed", seed, 0))
    given = [inputs] if isinstance(inputs, np.ndarray) else several("inputs", inputs, "arrays")
    arrays = [to_input(x, "inputs") for x in given]
    positions = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
    if not positions:
        raise TypeError(
            "expected at least one floating-point input, got " + ", ".join(a.dtype.name for a in arrays)
        )
    arrays = [a.astype(np.float32) if i in positions else a for i, a in enumerate(arrays)]

    def first(*tensors: Any) -> Any:
        result = fn(*tensors)
        return result[0] if isinstance(result, (tuple, list)) else result

    forward = compile_function(first, arrays, {})
    weights = rng.uniform(0.5, 1.5, np.shape(forward(arrays))).astype(np.float32)
    gradients = grad(lambda *t: (first(*t) * weights).sum(), positions)(*arrays)
    worst, place = 0.0, ""
    for position, gradient in zip(positions, gradients, strict=True):
        scale = max(1.0, float(np.abs(gradient).max()))
        for flat in rng.permutation(arrays[position].size)[:most]:
            index = np.unravel_index(flat, arrays[position].shape)
            values = []
            distance = step * max(1.0, abs(float(arrays[position][index])))
            moved = [a.copy() if i == position else a for i, a in enumerate(arrays)]
            ends = [np.float32(arrays[position][index] + sign * distance) for sign in (1.0, -1.0)]
            for end in ends:
                moved[position][index] = end
                values.append(float(np.sum(np.float64(forward(moved)) * weights)))
            expected = (values[0] - values[1]) / (float(ends[0]) - float(ends[1]))
            error = abs(float(gradient[index]) - expected) / scale
            if not error <= worst:
                worst = error
                at = tuple(int(i) for i in index)
                place = (
                    f"input {position} at {at}: {float(gradient[index]):.6g}, differences say {expected:.6g}"
                )
    if not worst <= tolerance:
        raise AssertionError(f"relative error {worst:.3g} is above {tolerance}: {place}")
    return worst
