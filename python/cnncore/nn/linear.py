# SPDX-License-Identifier: Apache-2.0
"""The fully connected layer and the layer that does nothing."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..graph.arrays import aligned_empty
from . import init
from .arguments import positive
from .module import Module
from .parameter import Parameter
from .placement import check_placement


class Linear(Module):
    """input @ weight.T + bias on the last axis.

    Args:
        in_features, out_features: sizes of the last axis of input (..., in_features) and output.
        bias: whether to add a learnt bias.
        device, dtype: None, a CPU and float32; others are refused.

    `weight` is (out_features, in_features), `bias` (out_features,); both start as torch's do.

    Raises:
        ValueError: a size below 1; in a call, an input of another number of features.

    >>> import numpy as np
    >>> Linear(20, 30)(np.zeros((128, 20))).shape
    (128, 30)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        check_placement(device, dtype)
        super().__init__()
        self.in_features = positive("in_features", in_features)
        self.out_features = positive("out_features", out_features)
        self.weight = Parameter(aligned_empty((self.out_features, self.in_features)))
        self.register_parameter("bias", Parameter(aligned_empty((self.out_features,))) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        init.default_(self.weight, self.bias)

    def forward(self, input: Any) -> Any:
        return ops.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        )


class Bilinear(Module):
    """y[..., k] = input1[..., :] @ weight[k] @ input2[..., :] + bias[k].

    Args:
        in1_features, in2_features: sizes of the last axes of the inputs.
        out_features: size of the output's last axis.
        bias: whether to add a learnt bias.
        device, dtype: None, a CPU and float32; others are refused.

    `weight` is (out_features, in1_features, in2_features), `bias` (out_features,); both are drawn between
    -1 / sqrt(in1_features) and 1 / sqrt(in1_features).

    Raises:
        ValueError: a size below 1; in a call, an input of another number of features.

    >>> import numpy as np
    >>> Bilinear(3, 4, 5)(np.zeros((2, 3)), np.zeros((2, 4))).shape
    (2, 5)
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_placement(device, dtype)
        super().__init__()
        self.in1_features = positive("in1_features", in1_features)
        self.in2_features = positive("in2_features", in2_features)
        self.out_features = positive("out_features", out_features)
        shape = (self.out_features, self.in1_features, self.in2_features)
        self.weight = Parameter(aligned_empty(shape))
        self.register_parameter("bias", Parameter(aligned_empty(shape[:1])) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        bound = self.in1_features**-0.5
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Any, input2: Any) -> Any:
        return ops.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


class Identity(Module):
    """Return the input. Takes and ignores any arguments, so that it can stand in for a layer.

    >>> import numpy as np
    >>> Identity(64, eps=1e-5)(np.ones((1, 2))).tolist()
    [[1.0, 1.0]]
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        return input
