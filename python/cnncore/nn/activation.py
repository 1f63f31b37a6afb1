# SPDX-License-Identifier: Apache-2.0
"""Activation layers. `inplace` is taken for torch's sake: memory is planned either way."""

from __future__ import annotations

from typing import Any

from .. import ops
from .arguments import axis, finite, one_of
from .module import Module

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "Hardsigmoid",
    "Hardswish",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
    "Tanhshrink",
]


class ReLU(Module):
    """max(input, 0).

    >>> import numpy as np
    >>> ReLU()(np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        return ops.relu(input)


class LeakyReLU(Module):
    """input where positive, negative_slope * input elsewhere, of any shape.

    Args:
        negative_slope: see above.
        inplace: accepted for torch's sake; programs decide by themselves where results lie.

    Raises:
        ValueError: `negative_slope` is not finite.

    >>> import numpy as np
    >>> LeakyReLU(0.5)(np.array([-2.0, 3.0])).tolist()
    [-1.0, 3.0]
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = finite("negative_slope", negative_slope)

    def forward(self, input: Any) -> Any:
        return ops.leaky_relu(input, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class ReLU6(Module):
    """min(max(input, 0), 6).

    >>> import numpy as np
    >>> ReLU6()(np.array([-1.0, 3.0, 8.0])).tolist()
    [0.0, 3.0, 6.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        return ops.relu6(input)


class Sigmoid(Module):
    """1 / (1 + exp(-input)).

    >>> import numpy as np
    >>> Sigmoid()(np.array([0.0, 100.0])).tolist()
    [0.5, 1.0]
    """

    def forward(self, input: Any) -> Any:
        return ops.sigmoid(input)


class Tanh(Module):
    """Hyperbolic tangent.

    >>> import numpy as np
    >>> Tanh()(np.array([0.0, 100.0])).tolist()
    [0.0, 1.0]
    """

    def forward(self, input: Any) -> Any:
        return ops.tanh(input)


class ELU(Module):
    """input where positive, alpha * (exp(input) - 1) elsewhere (Clevert et al., 2016).

    Raises:
        ValueError: `alpha` is not finite.

    >>> ELU(alpha=0.5)([-1000.0, 2.0]).tolist()
    [-0.5, 2.0]
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = finite("alpha", alpha)

    def forward(self, input: Any) -> Any:
        return ops.elu(input, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class GELU(Module):
    """input times the standard normal distribution up to it (Hendrycks and Gimpel, 2016).

    Args:
        approximate: "none", or "tanh" for the approximation by it.

    Raises:
        ValueError: `approximate` is neither "none" nor "tanh".

    >>> GELU()([0.0, 100.0]).tolist()
    [0.0, 100.0]
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = one_of("approximate", approximate, ("none", "tanh"))

    def forward(self, input: Any) -> Any:
        return ops.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """input * sigmoid(input), also known as swish (Ramachandran et al., 2017).

    >>> SiLU()([0.0, 100.0]).tolist()
    [0.0, 100.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        return ops.silu(input)


class Hardswish(Module):
    """input * min(max(input + 3, 0), 6) / 6 (Howard et al., 2019).

    >>> Hardswish()([0.0, 3.0]).tolist()
    [0.0, 3.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        return ops.hardswish(input)


class Hardsigmoid(Module):
    """min(max(input + 3, 0), 6) / 6.

    >>> Hardsigmoid()([-3.0, 0.0, 3.0]).tolist()
    [0.0, 0.5, 1.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        return ops.hardsigmoid(input)


class Mish(Module):
    """input * tanh(softplus(input)) (Misra, 2019).

    >>> Mish()([0.0, 100.0]).tolist()
    [0.0, 100.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        return ops.mish(input)


class Softplus(Module):
    """log(1 + exp(beta * input)) / beta, the input where beta * input > threshold.

    Raises:
        ValueError: `beta` or `threshold` is not finite, or `beta` 0.

    >>> Softplus()([1000.0]).tolist()
    [1000.0]
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = finite("beta", beta)
        self.threshold = finite("threshold", threshold)

    def forward(self, input: Any) -> Any:
        return ops.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class SELU(Module):
    """1.0507 * elu(input, 1.6733), self-normalising (Klambauer et al., 2017).

    >>> SELU()([0.0]).tolist()
    [0.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        return ops.selu(input)


class Softsign(Module):
    """input / (1 + |input|).

    >>> Softsign()([1.0]).tolist()
    [0.5]
    """

    def forward(self, input: Any) -> Any:
        return ops.softsign(input)


class LogSigmoid(Module):
    """log(sigmoid(input)), without overflow.

    >>> LogSigmoid()([-1000.0]).tolist()
    [-1000.0]
    """

    def forward(self, input: Any) -> Any:
        return ops.logsigmoid(input)


class Tanhshrink(Module):
    """input - tanh(input).

    >>> Tanhshrink()([100.0]).tolist()
    [99.0]
    """

    def forward(self, input: Any) -> Any:
        return ops.tanhshrink(input)


class Softmax(Module):
    """exp(input) scaled to sum to 1 along `dim`.

    Args:
        dim: the axis. None, as in torch, means axis 1 of 2-D and 4-D input and axis 0 otherwise.

    Raises:
        TypeError: `dim` is no integer.
        ValueError: in a call, `dim` is no axis of the input.

    >>> import numpy as np
    >>> Softmax(dim=1)(np.array([[0.0, 0.0], [100.0, 0.0]])).tolist()
    [[0.5, 0.5], [1.0, 0.0]]
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = None if dim is None else axis("dim", dim)

    def forward(self, input: Any) -> Any:
        return ops.softmax(input, axis_of(self.dim, input))

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """Logarithm of `Softmax`, computed without overflow. Arguments as `Softmax`.

    Raises:
        TypeError: `dim` is no integer.
        ValueError: in a call, `dim` is no axis of the input.

    >>> import numpy as np
    >>> LogSoftmax(dim=1)(np.array([[1000.0, 0.0]])).tolist()
    [[0.0, -1000.0]]
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = None if dim is None else axis("dim", dim)

    def forward(self, input: Any) -> Any:
        return ops.log_softmax(input, axis_of(self.dim, input))

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


def axis_of(dim: int | None, input: Any) -> int:
    if dim is not None:
        return dim
    return 0 if len(input.shape) in (0, 1, 3) else 1
