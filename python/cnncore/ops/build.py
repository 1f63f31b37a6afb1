# SPDX-License-Identifier: Apache-2.0
"""Adding the nodes that gradient rules, fusion and the public operations are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..graph.tensor import OPS, Shape, Tensor, layout_matters
from ..graph.trace import emit


def elementwise(function: str, *inputs: Tensor, alpha: float = 0.0, beta: float = 0.0) -> Tensor:
    """Add an elementwise node; `function` is one of those in cpp/isa/kernels/elementwise.cpp."""
    if len(inputs) > 1:
        inputs = _same_layout(inputs)
    attrs: dict[str, Any] = {"function": function}
    if alpha != 0.0:
        attrs["alpha"] = float(alpha)
    if beta != 0.0:
        attrs["beta"] = float(beta)
    return emit(OPS["elementwise"], inputs, attrs).output


def _same_layout(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Rearrange parameters and constants, once and for all, to the layout of the activations."""
    if common_layout(inputs) == "c":
        return inputs
    return tuple(x if x.source is None else with_layout(x, "channels_last") for x in inputs)


def cast(tensor: Tensor, dtype: str) -> Tensor:
    """Return `tensor` as another dtype."""
    if tensor.dtype == dtype:
        return tensor
    return emit(OPS["elementwise"], [tensor], {"function": "cast", "dtype": dtype}).output


def sum_to(grad: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Sum over the axes along which an operand of `shape` was broadcast."""
    if grad.shape == shape:
        return grad
    extra = grad.ndim - len(shape)
    axes = [*range(extra), *(i + extra for i, n in enumerate(shape) if n == 1 and grad.shape[i + extra] != 1)]
    return reshape_to(reduce("sum", grad, tuple(axes)) if axes else grad, shape)


def common_layout(tensors: Sequence[Tensor]) -> str:
    """Return the layout of what is computed from `tensors`: channels-last if it is that of any activation."""
    deciding = [tensor for tensor in tensors if layout_matters(tensor.shape)] or tensors
    return "channels_last" if any(tensor.layout == "channels_last" for tensor in deciding) else "c"


def reduce(function: str, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Add a reduction over `axes`, which disappear from the shape."""
    return emit(OPS["reduce"], [x], {"function": function, "axes": axes}).output


def keep_axes(tensor: Tensor, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Return what was reduced from `x` over `axes` with those axes kept, of extent 1."""
    return reshape_to(tensor, tuple(1 if i in axes else n for i, n in enumerate(x.shape)), x.layout)


def reshape_to(x: Tensor, shape: Shape, layout: str | None = None) -> Tensor:
    """Return `x` under a shape of the same size.

    From rank 3 on the layout stays; what has fewer axes is in C order anyway and gets `layout`, by default
    channels-last unless it is a parameter's.
    """
    if x.shape == shape:
        return x
    attrs: dict[str, Any] = {"shape": shape}
    if x.ndim < 3 and "c" in (x.layout, layout):
        attrs["layout"] = "c"
    return emit(OPS["reshape"], [x], attrs).output


def permute_to(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Return `x` with its axes in the order `dims`."""
    return x if dims == tuple(range(x.ndim)) else emit(OPS["permute"], [x], {"dims": dims}).output


def expand_to(x: Tensor, shape: Shape) -> Tensor:
    """Return `x` broadcast to `shape`."""
    return x if x.shape == shape else emit(OPS["expand"], [x], {"shape": shape}).output


def with_layout(x: Tensor, layout: str) -> Tensor:
    """Return `x` in a memory layout."""
    if x.layout == layout or not layout_matters(x.shape):
        return x
    return emit(OPS["relayout"], [x], {"layout": layout}).output


def window(x: Tensor, starts: Shape, steps: Shape, shape: Shape) -> Tensor:
    """Return elements starts, starts + steps, ... of `x`."""
    return emit(OPS["slice"], [x], {"starts": starts, "steps": steps, "shape": shape}).output


def embed(x: Tensor, shape: Shape, starts: Shape, steps: Shape, value: float) -> Tensor:
    """Return a tensor of `shape` filled with `value`, except where `x` is written."""
    attrs = {"starts": starts, "steps": steps, "shape": shape, "value": value}
    return emit(OPS["pad"], [x], attrs).output
