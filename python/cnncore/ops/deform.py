# SPDX-License-Identifier: Apache-2.0
"""Deformable convolution: columns at places that offsets move, times the weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Shape, Spec, Tensor, present
from ..graph.trace import emit, shape_error
from .build import permute_to, reshape_to, with_layout
from .check import float_tensor, integers, require_rank
from .conv import conv2d
from .window import Window

__all__ = ["deform_conv2d"]

Grads = Sequence[Tensor | None]


class DeformInputs(NamedTuple):
    input: Tensor
    offset: Tensor
    mask: Tensor | None = None


class DeformAttributes(NamedTuple):
    """`groups`: into which a column's channels are cut before its taps."""

    window: Window
    groups: int
    offset_groups: int


class DeformColumns(Op):
    """[input (N, C, H, W), offset, mask?] -> [columns (N, C * taps, H', W')]."""

    name = "deform_columns"
    Inputs = DeformInputs
    Attributes = DeformAttributes

    def infer(self, inputs: DeformInputs, attrs: DeformAttributes) -> list[Spec | None]:
        down, across = attrs.window.kernel
        channels = inputs.input.shape[1] * down * across
        shape = (inputs.input.shape[0], channels, *inputs.offset.shape[2:])
        return [(shape, "float32", Layout.CHANNELS_LAST)]

    def images(self, node: Node) -> Sequence[str]:
        return ("input", "offset") if node.inputs.mask is None else ("input", "offset", "mask")

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        x, offset, mask = node.inputs
        grad = with_layout(present(grads[0]), Layout.CHANNELS_LAST)
        by_input = by_offset = by_mask = None
        if needs.input:
            inputs = DeformInputGradientInputs(grad, offset, mask)
            attrs = DeformInputGradientAttributes(*_rule(node.attrs), x.shape)
            by_input = emit(DeformInputGradient, inputs, attrs).output
        if needs.offset or needs.mask:
            moves = DeformOffsetGradientInputs(grad, offset, mask, x)
            by_offset, by_mask = emit(DeformOffsetGradient, moves, node.attrs).outputs
        return [by_input, by_offset, by_mask]

    def lower(self, node: Node, builder: Builder) -> None:
        _lower(node, builder)


class DeformInputGradientInputs(NamedTuple):
    grad: Tensor
    offset: Tensor
    mask: Tensor | None


class DeformInputGradientAttributes(NamedTuple):
    """As of `DeformAttributes`, and the input's shape."""

    window: Window
    groups: int
    offset_groups: int
    shape: Shape


class DeformInputGradient(Op):
    """[grad_columns, offset, mask?] -> [grad_input]."""

    name = "deform_columns_backward_input"
    Inputs = DeformInputGradientInputs
    Attributes = DeformInputGradientAttributes

    def infer(
        self, inputs: DeformInputGradientInputs, attrs: DeformInputGradientAttributes
    ) -> list[Spec | None]:
        return [(attrs.shape, "float32", Layout.CHANNELS_LAST)]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        """The gradient is linear in the image: what it is multiplied with takes the image's place."""
        grad, offset, mask = node.inputs
        image = with_layout(present(grads[0]), Layout.CHANNELS_LAST)
        attrs = DeformAttributes(*_rule(node.attrs))
        by_grad = emit(DeformColumns, DeformInputs(image, offset, mask), attrs).output if needs.grad else None
        if not (needs.offset or needs.mask):
            return [by_grad, None, None]
        moves = DeformOffsetGradientInputs(grad, offset, mask, image)
        return [by_grad, *emit(DeformOffsetGradient, moves, attrs).outputs]

    def lower(self, node: Node, builder: Builder) -> None:
        _lower(node, builder)


class DeformOffsetGradientInputs(NamedTuple):
    grad: Tensor
    offset: Tensor
    mask: Tensor | None
    input: Tensor


class DeformOffsetGradient(Op):
    """[grad_columns, offset, mask?, input] -> [grad_offset, grad_mask?]."""

    name = "deform_columns_backward_offset"
    Inputs = DeformOffsetGradientInputs
    Attributes = DeformAttributes

    def infer(self, inputs: DeformOffsetGradientInputs, attrs: DeformAttributes) -> list[Spec | None]:
        moved: list[Spec | None] = [(inputs.offset.shape, "float32", Layout.CHANNELS_LAST)]
        mask = inputs.mask
        return [*moved, None if mask is None else (mask.shape, "float32", Layout.CHANNELS_LAST)]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def lower(self, node: Node, builder: Builder) -> None:
        _lower(node, builder)


def _rule(attrs: Any) -> tuple[Window, int, int]:
    return attrs.window, attrs.groups, attrs.offset_groups


def _lower(node: Node, builder: Builder) -> None:
    sliding, groups, offset_groups = _rule(node.attrs)
    attrs = {"kernel": sliding.kernel, "stride": sliding.stride, "padding": sliding.begin}
    settings: dict[str, Any] = {name: list(value) for name, value in attrs.items()}
    settings |= {"dilation": list(sliding.dilation), "groups": groups, "offset_groups": offset_groups}
    builder.step(node.op.name, builder.slots(node.inputs), builder.slots(node.outputs), settings)


@operator("input", "offset", "weight", "bias", "mask")
def deform_conv2d(
    input: Any,
    offset: Any,
    weight: Any,
    bias: Any = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    mask: Any = None,
) -> Tensor:
    """Convolve images with kernels whose taps are moved by offsets (Dai et al., 2017).

    Arguments, defaults and results are those of torchvision.ops. A tap reads bilinearly between pixels and 0
    outside of the image; NaN and infinite offsets are outside. With a mask it is the second version, by Zhu
    et al. (2019).

    Args:
        input: (batch, channels, height, width).
        offset: (batch, 2 * offset groups * kernel height * kernel width, out height, out width): for each
            offset group and tap its move down, then across; channels are divided among the offset groups.
        weight: (out channels, channels / groups, kernel height, kernel width).
        bias: (out channels,).
        stride, padding, dilation: int or pair.
        mask: (batch, offset groups * kernel height * kernel width, out height, out width): factors of what
            each tap reads.

    Returns:
        (batch, out channels, out height, out width).

    Raises:
        ValueError: shapes that do not go together.

    >>> from cnncore import ops
    >>> moves = [[[[0.0, 0.0]], [[1.0, -0.5]]]]
    >>> ops.deform_conv2d([[[[1.0, 3.0]]]], moves, [[[[2.0]]]]).tolist()
    [[[[6.0, 4.0]]]]
    """
    op = "deform_conv2d"
    x, moves, w = float_tensor(input, op), float_tensor(offset, op), float_tensor(weight, op)
    for tensor, what in ((x, "input"), (moves, "offset"), (w, "weight")):
        require_rank(tensor, 4, op, what)
    out_channels, channels, *kernel = w.shape
    pads = integers(padding, 2, "padding", op, least=0)
    sliding = Window(
        integers(kernel, 2, "kernel", op),
        integers(stride, 2, "stride", op),
        pads,
        pads,
        integers(dilation, 2, "dilation", op),
    )
    groups = _count(x.shape[1], channels, f"weight of 1 / groups of the input's {x.shape[1]} channels", w, op)
    if out_channels % groups:
        raise shape_error(op, f"expected output channels that divide by {groups} groups, got {w.shape}")
    extents, taps = sliding.extents(x.shape[2:]), kernel[0] * kernel[1]
    if min(extents) < 1:
        raise shape_error(op, f"expected an image that holds the kernel: {sliding.reach()}, got {x.shape}")
    offset_groups = _count(
        moves.shape[1], 2 * taps, f"offset with a multiple of {2 * taps} channels", moves, op
    )
    _require_moves(op, "offset", moves, (x.shape[0], 2 * taps * offset_groups, *extents))
    factors = None
    if mask is not None:
        factors = float_tensor(mask, op)
        _require_moves(op, "mask", factors, (x.shape[0], taps * offset_groups, *extents))
        factors = with_layout(factors, Layout.CHANNELS_LAST)
    if x.shape[1] % offset_groups:
        raise shape_error(
            op, f"expected input channels that divide by {offset_groups} offset groups, got {x.shape}"
        )
    last = Layout.CHANNELS_LAST
    inputs = DeformInputs(with_layout(x, last), with_layout(moves, last), factors)
    columns = emit(DeformColumns, inputs, DeformAttributes(sliding, groups, offset_groups)).output
    # A column has its channels of one tap together.
    by_tap = reshape_to(
        permute_to(with_layout(w, Layout.C), (0, 2, 3, 1)), (out_channels, channels * taps, 1, 1)
    )
    y: Tensor = conv2d(columns, by_tap, bias, groups=groups)
    return y


def _count(whole: int, part: int, what: str, tensor: Tensor, op: str) -> int:
    if part < 1 or whole % part or whole < part:
        raise shape_error(op, f"expected {what}, got {tensor.shape}")
    return whole // part


def _require_moves(op: str, what: str, tensor: Tensor, shape: Shape) -> None:
    if tensor.shape != shape:
        raise shape_error(op, f"expected {what} {shape}, got {tensor.shape}")
