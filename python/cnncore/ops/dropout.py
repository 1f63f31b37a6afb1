# SPDX-License-Identifier: Apache-2.0
"""Dropout of elements, channels and branches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Shape, Spec, Tensor, present
from ..graph.trace import current_graph, emit, shape_error
from .build import Single, elementwise, with_layout
from .check import AXES, float_tensor, real
from .formula import apply, formula

__all__ = [
    "alpha_dropout",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
    "stochastic_depth",
]


class DropoutAttributes(NamedTuple):
    """`key` numbers the dropouts of a graph."""

    p: float
    key: int


class Dropout(Op):
    """[x] -> [x * mask / (1 - p)]; the mask follows from (seed, step, key, element), so the gradient is
    the same operation with the same key."""

    name = "dropout"
    varies = True
    Inputs = Single
    Attributes = DropoutAttributes

    def infer(self, inputs: Single, attrs: DropoutAttributes) -> list[Spec | None]:
        x = inputs.input
        return [(x.shape, "float32", x.layout)]

    def gradient(self, node: Node, grads: Sequence[Tensor | None], needs: Any) -> Sequence[Tensor | None]:
        grad = with_layout(present(grads[0]), node.output.layout)
        return [emit(Dropout, Single(grad), node.attrs).output]

    def lower(self, node: Node, builder: Builder) -> None:
        inputs = [*builder.slots(node.inputs), builder.bind_rng()]
        builder.step(self.name, inputs, builder.slots(node.outputs), node.attrs._asdict(), inplace=[(0, 0)])


@operator("input")
def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each element with probability `p` and scale the others by 1 / (1 - p), when training.

    The choice follows from `manual_seed`, the number of the run and the element's position, not from
    the number of threads.

    Raises:
        ValueError: `p` is not from 0 to 1.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.dropout(np.ones(3), training=False).tolist()
    [1.0, 1.0, 1.0]
    """
    x = float_tensor(input, "dropout")
    p = real(p, "a probability p", "dropout", 0, 1)
    if not training or p == 0.0:
        return x
    graph = current_graph()
    graph.dropouts += 1
    return emit(Dropout, Single(x), DropoutAttributes(float(p), graph.dropouts)).output


def _mask(x: Tensor, shape: Shape, p: float) -> Tensor:
    """Return a new tensor of 0, with probability p, and 1 / (1 - p), that broadcasts to `x`."""
    ones = Tensor(shape, "float32", Layout.C, np.ones(shape, np.float32))
    kept: Tensor = dropout(ones, p, True)
    return with_layout(kept, x.layout)


def _features(input: Any, p: Any, op: str, ranks: tuple[int, ...]) -> tuple[Tensor, Shape, float]:
    """Return the input of one of `ranks` (none: any), the shape of a number for each channel, and p."""
    x, p = float_tensor(input, op), real(p, "a probability p", op, 0, 1)
    if x.ndim not in ranks and ranks:
        forms = " or ".join(AXES.get(rank, "(batch, channels, ...)") for rank in ranks)
        raise shape_error(op, f"expected input {forms}, got shape {x.shape}")
    return x, (*x.shape[:2], *(1,) * (x.ndim - 2)), p


def _feature_dropout(input: Any, p: Any, training: bool, op: str, rank: int) -> Tensor:
    x, shape, p = _features(input, p, op, (rank + 2,))
    return elementwise("mul", x, _mask(x, shape, p)) if training and p > 0 else x


@operator("input")
def dropout1d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels with probability `p` and scale the others by 1 / (1 - p), when training.

    Args:
        input: (batch, channels, length).
        p: probability, for each channel of each sample by itself (Tompson et al., 2015).
        training: False returns the input.
        inplace: taken for torch's sake.

    Raises:
        ValueError: `p` is not from 0 to 1, or an input of other axes.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> float(ops.dropout1d(np.ones((1, 2, 3)), 1.0).sum())
    0.0
    """
    return _feature_dropout(input, p, training, "dropout1d", 1)


@operator("input")
def dropout2d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels with probability `p` and scale the others by 1 / (1 - p), when training.

    Args:
        input: (batch, channels, height, width).
        p: probability, for each channel of each sample by itself (Tompson et al., 2015).
        training: False returns the input.
        inplace: taken for torch's sake.

    Raises:
        ValueError: `p` is not from 0 to 1, or an input of other axes.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> float(ops.dropout2d(np.ones((1, 2, 3, 3)), 1.0).sum())
    0.0
    """
    return _feature_dropout(input, p, training, "dropout2d", 2)


@operator("input")
def dropout3d(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels with probability `p` and scale the others by 1 / (1 - p), when training.

    Args:
        input: (batch, channels, depth, height, width).
        p: probability, for each channel of each sample by itself (Tompson et al., 2015).
        training: False returns the input.
        inplace: taken for torch's sake.

    Raises:
        ValueError: `p` is not from 0 to 1, or an input of other axes.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> float(ops.dropout3d(np.ones((1, 2, 3, 3, 3)), 1.0).sum())
    0.0
    """
    return _feature_dropout(input, p, training, "dropout3d", 3)


_SATURATED = -1.7580993408473766
"""What SELU tends to far below 0."""


@formula
def _alpha_masked(x: Tensor, mask: Tensor, keep: float) -> Tensor:
    """a (x or the saturated value) + b, with a and b that leave mean 0 and variance 1 as they were.

    `mask` is 1 / keep where x is kept, 0 elsewhere.
    """
    scale = ((1 - keep) * keep * _SATURATED**2 + keep) ** -0.5
    kept = elementwise("mul_scalar", mask, alpha=keep)
    apart = elementwise("mul", elementwise("add_scalar", x, alpha=-_SATURATED), kept)
    shift = scale * _SATURATED * keep  # scale * saturated, less scale * (1 - keep) * saturated
    return elementwise("add_scalar", elementwise("mul_scalar", apart, alpha=scale), alpha=shift)


def _alpha_dropout(x: Tensor, shape: Shape, p: float) -> Tensor:
    if p == 1.0:
        return elementwise("mul_scalar", x, alpha=0.0)
    return apply(_alpha_masked, x, _mask(x, shape, p), keep=1.0 - p)


@operator("input")
def alpha_dropout(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Set each element to what SELU saturates at with probability `p`, and keep mean 0 and variance 1.

    Args:
        input: any shape; the output of SELU (Klambauer et al., 2017).
        p: probability.
        training: False returns the input.
        inplace: taken for torch's sake.

    Raises:
        ValueError: `p` is not from 0 to 1.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.alpha_dropout(np.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """
    op = "alpha_dropout"
    x, p = float_tensor(input, op), real(p, "a probability p", op, 0, 1)
    return _alpha_dropout(x, x.shape, p) if training and p > 0 else x


@operator("input")
def feature_alpha_dropout(
    input: Any, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Set whole channels to what SELU saturates at with probability `p`, and keep mean 0 and variance 1.

    Args:
        input: (batch, channels, ...); the output of SELU (Klambauer et al., 2017).
        p: probability, for each channel of each sample by itself.
        training: False returns the input.
        inplace: taken for torch's sake.

    Raises:
        ValueError: fewer than 2 axes; a `p` that is not from 0 to 1.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> ops.feature_alpha_dropout(np.ones((1, 2, 3))).tolist()
    [[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]]
    """
    x, shape, p = _features(input, p, "feature_alpha_dropout", ())
    if x.ndim < 2 and training:
        raise shape_error("feature_alpha_dropout", f"expected input (batch, channels, ...), got {x.shape}")
    return _alpha_dropout(x, shape, p) if training and p > 0 else x


@operator("input")
def stochastic_depth(input: Any, p: float, mode: str, training: bool = True) -> Tensor:
    """Zero a residual branch with probability `p` and scale it by 1 / (1 - p) otherwise (Huang et al., 2016).

    Args:
        input: (batch, ...).
        p: probability.
        mode: "batch" decides once for all samples, "row" for each sample by itself.
        training: False returns the input.

    Raises:
        ValueError: another mode.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> float(ops.stochastic_depth(np.ones((2, 3)), 1.0, "row").sum())
    0.0
    """
    op = "stochastic_depth"
    if mode not in ("batch", "row"):
        raise shape_error(op, f"expected mode 'batch' or 'row', got {mode!r}")
    x, p = float_tensor(input, op), real(p, "a probability p", op, 0, 1)
    rows = x.shape[:1] if mode == "row" else (1,) * min(x.ndim, 1)
    shape = (*rows, *(1,) * (x.ndim - 1))
    return elementwise("mul", x, _mask(x, shape, p)) if training and p > 0 else x
