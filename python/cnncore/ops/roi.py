# SPDX-License-Identifier: Apache-2.0
"""Pooling of regions of interest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Shape, Spec, Tensor, present
from ..graph.trace import as_tensor, emit, shape_error
from .build import cast, permute_to, reshape_to, window, with_layout
from .check import float_tensor, integer, integers, real, require_rank
from .indices import require_range
from .parts import concat

__all__ = ["ps_roi_align", "ps_roi_pool", "roi_align", "roi_pool"]

Grads = Sequence[Tensor | None]

MOST_SAMPLES = 1024
"""Of a bin along an axis: a million a bin, beyond which a setting is a mistake rather than a wish."""


class RoiInputs(NamedTuple):
    """`rois` (K, 5): image, left, top, right, bottom."""

    input: Tensor
    rois: Tensor


class RoiAttributes(NamedTuple):
    """See RoiRule in cpp/ops/roi_bins.h; `bins` of a region down and across. Where they are `by_bin`, each
    bin reads a block of channels of its own."""

    bins: tuple[int, int]
    scale: float
    offset: float
    at_least_one: bool
    samples: int
    sampled: bool
    by_bin: bool


class RoiAlign(Op):
    """[input (N, C, H, W), rois (K, 5)] -> [bins (K, channels, bins...)]."""

    name = "roi_align"
    Inputs = RoiInputs
    Attributes = RoiAttributes

    def infer(self, inputs: RoiInputs, attrs: RoiAttributes) -> list[Spec | None]:
        down, across = attrs.bins
        channels = inputs.input.shape[1] // (down * across if attrs.by_bin else 1)
        return [((inputs.rois.shape[0], channels, *attrs.bins), "float32", Layout.CHANNELS_LAST)]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        if not needs.input:
            return [None, None]
        inputs = RoiGradInputs(with_layout(present(grads[0]), Layout.CHANNELS_LAST), node.inputs.rois)
        attrs = RoiGradAttributes(node.attrs, node.inputs.input.shape)
        return [emit(RoiAlignBackward, inputs, attrs).output, None]

    def lower(self, node: Node, builder: Builder) -> None:
        _lower(node, node.attrs, builder)


class RoiGradInputs(NamedTuple):
    grad: Tensor
    rois: Tensor


class RoiGradAttributes(NamedTuple):
    """Attributes of the function, and the shape of its input."""

    rule: RoiAttributes
    shape: Shape


class RoiAlignBackward(Op):
    """[grad (K, channels, bins...), rois] -> [grad_input (N, C, H, W)]."""

    name = "roi_align_backward"
    Inputs = RoiGradInputs
    Attributes = RoiGradAttributes

    def infer(self, inputs: RoiGradInputs, attrs: RoiGradAttributes) -> list[Spec | None]:
        return [(attrs.shape, "float32", Layout.CHANNELS_LAST)]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        if not needs.grad:
            return [None, None]
        image = with_layout(present(grads[0]), Layout.CHANNELS_LAST)
        return [emit(RoiAlign, RoiInputs(image, node.inputs.rois), node.attrs.rule).output, None]

    def lower(self, node: Node, builder: Builder) -> None:
        _lower(node, node.attrs.rule, builder)


def _lower(node: Node, rule: RoiAttributes, builder: Builder) -> None:
    attrs = {
        "scale": rule.scale,
        "offset": rule.offset,
        "at_least_one": int(rule.at_least_one),
        "samples": rule.samples,
    }
    attrs |= {"sampled": int(rule.sampled), "by_bin": int(rule.by_bin)}
    builder.step(node.op.name, builder.slots(node.inputs), builder.slots(node.outputs), attrs)


class RoiPoolAttributes(NamedTuple):
    bins: tuple[int, int]
    scale: float


class RoiPool(Op):
    """[input (N, C, H, W), rois (K, 5)] -> [largest values (K, C, bins...), the pixels they are from]."""

    name = "roi_pool"
    Inputs = RoiInputs
    Attributes = RoiPoolAttributes

    def infer(self, inputs: RoiInputs, attrs: RoiPoolAttributes) -> list[Spec | None]:
        shape = (inputs.rois.shape[0], inputs.input.shape[1], *attrs.bins)
        return [(shape, "float32", Layout.CHANNELS_LAST), (shape, "int32", Layout.CHANNELS_LAST)]

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        if not needs.input:
            return [None, None]
        grad = with_layout(present(grads[0]), Layout.CHANNELS_LAST)
        inputs = RoiPoolBackwardInputs(grad, node.inputs.rois, present(node.outputs[1]))
        attrs = RoiPoolBackwardAttributes(node.inputs.input.shape)
        return [emit(RoiPoolBackward, inputs, attrs).output, None]

    def lower(self, node: Node, builder: Builder) -> None:
        attrs = {"scale": node.attrs.scale}
        builder.step(self.name, builder.slots(node.inputs), builder.slots(node.outputs), attrs)


class RoiPoolBackwardInputs(NamedTuple):
    grad: Tensor
    rois: Tensor
    pixels: Tensor


class RoiPoolBackwardAttributes(NamedTuple):
    """The shape of the function's input."""

    shape: Shape


class RoiPoolBackward(Op):
    """[grad (K, C, bins...), rois, pixels] -> [grad_input (N, C, H, W)]."""

    name = "roi_pool_backward"
    Inputs = RoiPoolBackwardInputs
    Attributes = RoiPoolBackwardAttributes

    def infer(self, inputs: RoiPoolBackwardInputs, attrs: RoiPoolBackwardAttributes) -> list[Spec | None]:
        return [(attrs.shape, "float32", Layout.CHANNELS_LAST)]

    def of_nothing(self, node: Node) -> float:
        return 0.0

    def lower(self, node: Node, builder: Builder) -> None:
        builder.step(self.name, builder.slots(node.inputs), builder.slots(node.outputs))


def _arguments(op: str, input: Any, boxes: Any, output_size: Any, scale: Any) -> Any:
    """Return the input, channels-last, regions (K, 5), the bins and the scale."""
    x = float_tensor(input, op)
    require_rank(x, 4, op)
    bins = integers(output_size, 2, "output_size", op)
    rois = regions_of(op, boxes, x.shape[0])
    return with_layout(x, Layout.CHANNELS_LAST), rois, bins, real(scale, "spatial_scale", op)


def regions_of(op: str, boxes: Any, images: int) -> Tensor:
    """Return boxes (K, 5), or a list with boxes (L, 4) of each image, as the former."""
    if isinstance(boxes, (list, tuple)) and any(hasattr(part, "shape") for part in boxes):
        parts = [float_tensor(part, op) for part in boxes]
        shapes = [part.shape for part in parts]
        if len(parts) != images or any(len(shape) != 2 or shape[1] != 4 for shape in shapes):
            raise shape_error(op, f"expected boxes (count, 4) of each of {images} images, got {shapes}")
        columns = [np.full((shape[0], 1), i, np.float32) for i, shape in enumerate(shapes)]
        listed = [
            concat([as_tensor(column, op), with_layout(part, Layout.C)], 1)
            for column, part in zip(columns, parts, strict=True)
        ]
        whole: Tensor = concat(listed, 0)
        return with_layout(whole, Layout.C)
    rois = float_tensor(boxes, op)
    if rois.ndim != 2 or rois.shape[1] != 5:
        raise shape_error(
            op,
            "expected boxes (count, 5) of (image, x1, y1, x2, y2) or a list of arrays (count, 4), one an "
            f"image, got shape {rois.shape}",
        )
    column = reshape_to(window(rois, (0, 0), (1, 1), (rois.shape[0], 1)), (rois.shape[0],))
    require_range(cast(column, "int64"), 0, images - 1, op, "image numbers in the first column of boxes")
    return with_layout(rois, Layout.C)


@operator("input", "boxes")
def roi_align(
    input: Any,
    boxes: Any,
    output_size: int | Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    """Return regions of images as bins that are means of bilinear samples (He et al., 2017).

    Arguments, defaults and results are those of torchvision.ops; boxes have no gradient. Regions with numbers
    that are not finite are zeros.

    Args:
        input: (batch, channels, height, width).
        boxes: (count, 5) of (image, x1, y1, x2, y2), or a list of arrays (count, 4), one for each image.
        output_size: bins down and across, an int for both.
        spatial_scale: pixels of `input` for one of the boxes'.
        sampling_ratio: samples of a bin on each axis; up to 0: one for each pixel that it is long.
        aligned: whether pixel i is at i + 0.5 of the boxes' coordinates, as it should be; otherwise it is at
            i and regions are at least 1 x 1.

    Returns:
        (count, channels, bins down, bins across).

    Raises:
        ValueError: shapes that do not go together, or a box of an image that there is not.

    >>> from cnncore import ops
    >>> ops.roi_align([[[[1.0, 2.0], [3.0, 4.0]]]], [[0.0, 0.0, 0.0, 2.0, 2.0]], 2, aligned=True).tolist()
    [[[[1.0, 2.0], [3.0, 4.0]]]]
    """
    op = "roi_align"
    x, rois, bins, scale = _arguments(op, input, boxes, output_size, spatial_scale)
    samples = _samples(op, sampling_ratio)
    attrs = RoiAttributes(bins, scale, 0.5 if aligned else 0.0, not aligned, samples, True, False)
    return emit(RoiAlign, RoiInputs(x, rois), attrs).output


@operator("input", "boxes")
def roi_pool(input: Any, boxes: Any, output_size: int | Sequence[int], spatial_scale: float = 1.0) -> Tensor:
    """Return regions of images as bins that are the largest of the pixels they touch (Girshick, 2015).

    Arguments, defaults and results are those of torchvision.ops; boxes have no gradient. Bins without pixels
    are 0.

    Args:
        input: (batch, channels, height, width).
        boxes: (count, 5) of (image, x1, y1, x2, y2), or a list of arrays (count, 4), one for each image.
        output_size: bins down and across, an int for both.
        spatial_scale: pixels of `input` for one of the boxes'.

    Returns:
        (count, channels, bins down, bins across).

    Raises:
        ValueError: shapes that do not go together, or a box of an image that there is not.

    >>> from cnncore import ops
    >>> ops.roi_pool([[[[1.0, 2.0], [3.0, 4.0]]]], [[0.0, 0.0, 0.0, 1.0, 1.0]], 1).tolist()
    [[[[4.0]]]]
    """
    x, rois, bins, scale = _arguments("roi_pool", input, boxes, output_size, spatial_scale)
    return emit(RoiPool, RoiInputs(x, rois), RoiPoolAttributes(bins, scale)).output


def _samples(op: str, sampling_ratio: Any) -> int:
    """Return the samples of a bin along an axis, 0 for one for each pixel."""
    samples = integer(sampling_ratio, "sampling_ratio", op)
    if samples > MOST_SAMPLES:
        raise shape_error(op, f"expected sampling_ratio up to {MOST_SAMPLES}, got {samples}")
    return max(samples, 0)


def _by_bin(op: str, x: Tensor, bins: tuple[int, int]) -> Tensor:
    """Return (N, channels * bins, H, W) with the channels of each bin together."""
    n, channels, height, width = x.shape
    count = bins[0] * bins[1]
    if channels % count:
        raise shape_error(op, f"expected channels that divide by {bins[0]} x {bins[1]} bins, got {x.shape}")
    pieces = reshape_to(permute_to(x, (0, 2, 3, 1)), (n, height, width, channels // count, count), Layout.C)
    turned = reshape_to(permute_to(pieces, (0, 1, 2, 4, 3)), (n, height, width, channels))
    return with_layout(permute_to(turned, (0, 3, 1, 2)), Layout.CHANNELS_LAST)


@operator("input", "boxes")
def ps_roi_align(
    input: Any,
    boxes: Any,
    output_size: int | Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
) -> Tensor:
    """Return regions as means of bilinear samples, each bin of channels of its own (Li et al., 2017).

    Arguments, defaults and results are those of torchvision.ops; boxes have no gradient.

    Args:
        input: (batch, channels * bins down * bins across, height, width).
        boxes: (count, 5) of (image, x1, y1, x2, y2), or a list of arrays (count, 4), one for each image.
        output_size: bins down and across, an int for both.
        spatial_scale: pixels of `input` for one of the boxes'.
        sampling_ratio: samples of a bin on each axis; up to 0: one for each pixel that it is long.

    Returns:
        (count, channels, bins down, bins across).

    Raises:
        ValueError: shapes that do not go together, or a box of an image that there is not.

    >>> from cnncore import ops
    >>> x = [[[[1.0, 2.0], [3.0, 4.0]]]]
    >>> ops.ps_roi_align(x, [[0.0, 0.0, 0.0, 2.0, 2.0]], 1, sampling_ratio=1).tolist()
    [[[[2.5]]]]
    """
    op = "ps_roi_align"
    x, rois, bins, scale = _arguments(op, input, boxes, output_size, spatial_scale)
    samples = _samples(op, sampling_ratio)
    attrs = RoiAttributes(bins, scale, 0.5, False, samples, True, True)
    return emit(RoiAlign, RoiInputs(_by_bin(op, x, bins), rois), attrs).output


@operator("input", "boxes")
def ps_roi_pool(
    input: Any, boxes: Any, output_size: int | Sequence[int], spatial_scale: float = 1.0
) -> Tensor:
    """Return regions as means of pixels, each bin of channels of its own (Dai et al., 2016).

    Bins touch the pixels that they are the mean of.

    Arguments, defaults and results are those of torchvision.ops; boxes have no gradient.

    Args:
        input: (batch, channels * bins down * bins across, height, width).
        boxes: (count, 5) of (image, x1, y1, x2, y2), or a list of arrays (count, 4), one for each image.
        output_size: bins down and across, an int for both.
        spatial_scale: pixels of `input` for one of the boxes'.

    Returns:
        (count, channels, bins down, bins across).

    Raises:
        ValueError: shapes that do not go together, or a box of an image that there is not.

    >>> from cnncore import ops
    >>> ops.ps_roi_pool([[[[1.0, 2.0], [3.0, 4.0]]]], [[0.0, 0.0, 0.0, 2.0, 2.0]], 1).tolist()
    [[[[2.5]]]]
    """
    op = "ps_roi_pool"
    x, rois, bins, scale = _arguments(op, input, boxes, output_size, spatial_scale)
    attrs = RoiAttributes(bins, scale, 0.0, True, 0, False, True)
    return emit(RoiAlign, RoiInputs(_by_bin(op, x, bins), rois), attrs).output
