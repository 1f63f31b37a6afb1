# SPDX-License-Identifier: Apache-2.0
"""Rectifiers, shrinkage and gates. `inplace` is taken for torch's sake: memory is planned either way."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..graph.trace import shape_error
from .activation import axis_of
from .arguments import axis, finite, positive
from .module import Module
from .parameter import Parameter
from .placement import check_placement

__all__ = [
    "CELU",
    "GLU",
    "Hardshrink",
    "Hardtanh",
    "PReLU",
    "RReLU",
    "Softmax2d",
    "Softmin",
    "Softshrink",
    "Threshold",
]


class CELU(Module):
    """max(0, input) + min(0, alpha * (exp(input / alpha) - 1)) (Barron, 2017).

    Raises:
        ValueError: `alpha` is not finite, or 0.

    >>> CELU(alpha=0.5)([-1000.0, 2.0]).tolist()
    [-0.5, 2.0]
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = finite("alpha", alpha)

    def forward(self, input: Any) -> Any:
        return ops.celu(input, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class Threshold(Module):
    """input where it is above `threshold`, `value` elsewhere.

    Raises:
        ValueError: `threshold` or `value` is not finite.

    >>> Threshold(2.0, 20.0)([-1.0, 3.0]).tolist()
    [20.0, 3.0]
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value = finite("threshold", threshold), finite("value", value)

    def forward(self, input: Any) -> Any:
        return ops.threshold(input, self.threshold, self.value)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}"


class Hardtanh(Module):
    """min(max(input, min_val), max_val).

    Raises:
        ValueError: `min_val` is not below `max_val`.

    >>> Hardtanh()([-2.0, 0.5, 3.0]).tolist()
    [-1.0, 0.5, 1.0]
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.min_val, self.max_val = finite("min_val", min_val), finite("max_val", max_val)
        if self.min_val >= self.max_val:
            raise ValueError(f"expected min_val below max_val, got {min_val} and {max_val}")

    def forward(self, input: Any) -> Any:
        return ops.hardtanh(input, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}"


class RReLU(Module):
    """input where it is positive, elsewhere a slope times it, drawn for each element in training.

    Args:
        lower, upper: what the slope is drawn between; in inference it is their mean (Xu et al., 2015).
        inplace: taken for torch's sake.

    Raises:
        ValueError: `lower` above `upper`.

    >>> RReLU(0.25, 0.75).eval()([-8.0, 2.0]).tolist()
    [-4.0, 2.0]
    """

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower, self.upper = finite("lower", lower), finite("upper", upper)
        if self.lower > self.upper:
            raise ValueError(f"expected lower of at most upper, got {lower} and {upper}")

    def forward(self, input: Any) -> Any:
        return ops.rrelu(input, self.lower, self.upper, self.training)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}"


class _Shrink(Module):
    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = finite("lambd", lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Hardshrink(_Shrink):
    """input where its absolute value is above `lambd`, 0 elsewhere.

    >>> Hardshrink()([-1.0, 0.25, 2.0]).tolist()
    [-1.0, 0.0, 2.0]
    """

    def forward(self, input: Any) -> Any:
        return ops.hardshrink(input, self.lambd)


class Softshrink(_Shrink):
    """input moved towards 0 by `lambd`, and 0 where it is not further away than that.

    >>> Softshrink()([-1.0, 0.25, 2.0]).tolist()
    [-0.5, 0.0, 1.5]
    """

    def forward(self, input: Any) -> Any:
        return ops.softshrink(input, self.lambd)


class PReLU(Module):
    """input where it is positive, weight * input elsewhere; the weight is learnt (He et al., 2015).

    Args:
        num_parameters: 1, or the channels of the input (batch, channels, ...).
        init: the weight at the start.
        device, dtype: None, a CPU and float32; others are refused.

    Raises:
        ValueError: `num_parameters` below 1, or `init` that is not finite.

    >>> PReLU()([-2.0, 4.0]).tolist()
    [-0.5, 4.0]
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        check_placement(device, dtype)
        super().__init__()
        self.num_parameters = positive("num_parameters", num_parameters)
        self.init = finite("init", init)
        self.weight = Parameter(np.full(self.num_parameters, self.init, np.float32))

    def reset_parameters(self) -> None:
        """Set the weight to `init`."""
        self.weight.assign(np.full(self.num_parameters, self.init, np.float32))

    def forward(self, input: Any) -> Any:
        return ops.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class Softmin(Module):
    """exp(-input) / sum(exp(-input)) along an axis; dim=None as in `Softmax`.

    Raises:
        TypeError: `dim` is no integer.
        ValueError: in a call, `dim` is no axis of the input.

    >>> Softmin(dim=1)([[1000.0, 1000.0]]).tolist()
    [[0.5, 0.5]]
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = None if dim is None else axis("dim", dim)

    def forward(self, input: Any) -> Any:
        return ops.softmin(input, axis_of(self.dim, input))

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax2d(Module):
    """Softmax over the channels at each pixel of (batch, channels, height, width).

    Raises:
        ValueError: the input has not 4 axes.

    >>> import numpy as np
    >>> Softmax2d()(np.zeros((1, 2, 1, 1))).ravel().tolist()
    [0.5, 0.5]
    """

    def forward(self, input: Any) -> Any:
        if input.ndim != 4:
            raise shape_error(
                "Softmax2d", f"expected input (batch, channels, height, width), got {input.shape}"
            )
        return ops.softmax(input, 1)


class GLU(Module):
    """a * sigmoid(b), a and b being the halves of the input along an axis (Dauphin et al., 2017).

    Raises:
        TypeError: `dim` is no integer.
        ValueError: in a call, an odd extent of the axis.

    >>> GLU()([[2.0, 0.0]]).tolist()
    [[1.0]]
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = axis("dim", dim)

    def forward(self, input: Any) -> Any:
        return ops.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
