# SPDX-License-Identifier: Apache-2.0
"""Images of other extents: interpolation, and channels that become pixels and back."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor
from typing import Any, NamedTuple

from ..graph.dispatch import operator
from ..graph.lowering import Builder
from ..graph.tensor import Layout, Node, Op, Shape, Spec, Tensor, present
from ..graph.trace import as_tensor, emit, shape_error
from .build import Single, permute_to, reshape_to, with_layout
from .check import channels_hint, float_tensor, integers, real, require_rank
from .pool import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

__all__ = ["channel_shuffle", "interpolate", "pixel_shuffle", "pixel_unshuffle", "upsample"]

Grads = Sequence[Tensor | None]


def _channels_behind(x: Tensor) -> Tensor:
    """Return `x` as (batch, spatial..., channels) in C order, which is the memory that images have."""
    return permute_to(with_layout(x, Layout.CHANNELS_LAST), (0, *range(2, x.ndim), 1))


def _channels_second(x: Tensor) -> Tensor:
    return permute_to(x, (0, x.ndim - 1, *range(1, x.ndim - 1)))


def _rearranged(x: Tensor, pieces: Shape, order: Shape, shape: Shape) -> Tensor:
    """Cut the axes of (batch, spatial..., channels) into pieces, reorder these and merge them."""
    return _channels_second(reshape_to(permute_to(reshape_to(_channels_behind(x), pieces), order), shape))


@operator("input")
def pixel_shuffle(input: Any, upscale_factor: int) -> Tensor:
    """Make blocks of pixels of channels: the sub-pixel convolution's last step (Shi et al., 2016).

    y[n, c, h r + i, w r + j] = x[n, c r^2 + i r + j, h, w]

    Args:
        input: (batch, channels * r^2, height, width).
        upscale_factor: r.

    Returns:
        (batch, channels, height * r, width * r).

    Raises:
        ValueError: the channels do not divide by r^2.

    >>> from cnncore import ops
    >>> ops.pixel_shuffle([[[[1.0]], [[2.0]], [[3.0]], [[4.0]]]], 2).tolist()
    [[[[1.0, 2.0], [3.0, 4.0]]]]
    """
    x = as_tensor(input, "pixel_shuffle")
    require_rank(x, 4, "pixel_shuffle")
    (r,) = integers(upscale_factor, 1, "upscale_factor", "pixel_shuffle")
    n, channels, height, width = x.shape
    if channels % (r * r):
        hint = channels_hint(x.shape, x.shape[-1] - x.shape[-1] % (r * r))
        raise shape_error("pixel_shuffle", f"expected channels that divide by {r * r}, got {x.shape}.{hint}")
    c = channels // (r * r)
    pieces = (n, height, width, c, r, r)
    return _rearranged(x, pieces, (0, 1, 4, 2, 5, 3), (n, height * r, width * r, c))


@operator("input")
def pixel_unshuffle(input: Any, downscale_factor: int) -> Tensor:
    """Make channels of blocks of pixels: the inverse of `pixel_shuffle`.

    Args:
        input: (batch, channels, height * r, width * r).
        downscale_factor: r.

    Returns:
        (batch, channels * r^2, height, width).

    Raises:
        ValueError: height or width do not divide by r.

    >>> from cnncore import ops
    >>> ops.pixel_unshuffle([[[[1.0, 2.0], [3.0, 4.0]]]], 2).ravel().tolist()
    [1.0, 2.0, 3.0, 4.0]
    """
    x = as_tensor(input, "pixel_unshuffle")
    require_rank(x, 4, "pixel_unshuffle")
    (r,) = integers(downscale_factor, 1, "downscale_factor", "pixel_unshuffle")
    n, c, height, width = x.shape
    if height % r or width % r:
        raise shape_error("pixel_unshuffle", f"expected height and width that divide by {r}, got {x.shape}")
    pieces = (n, height // r, r, width // r, r, c)
    return _rearranged(x, pieces, (0, 1, 3, 5, 2, 4), (n, height // r, width // r, c * r * r))


@operator("input")
def channel_shuffle(input: Any, groups: int) -> Tensor:
    """Put the first channels of all groups first, then the second ones, and so on (Zhang et al., 2018).

    Args:
        input: (batch, channels, ...) with at least 3 axes.
        groups: groups of neighbouring channels; they are of one size.

    Raises:
        ValueError: the channels do not divide by `groups`.

    >>> from cnncore import ops
    >>> ops.channel_shuffle([[[1.0], [2.0], [3.0], [4.0]]], 2).ravel().tolist()
    [1.0, 3.0, 2.0, 4.0]
    """
    x = as_tensor(input, "channel_shuffle")
    if x.ndim < 3:
        raise shape_error("channel_shuffle", f"expected input (batch, channels, ...), got shape {x.shape}")
    (g,) = integers(groups, 1, "groups", "channel_shuffle")
    n, channels, *spatial = x.shape
    if channels % g:
        raise shape_error("channel_shuffle", f"expected channels in {g} equal groups, got {x.shape}")
    pieces = (n, *spatial, g, channels // g)
    order = (*range(x.ndim - 1), x.ndim, x.ndim - 1)
    return _rearranged(x, pieces, order, (n, *spatial, channels))


class InterpolateAttributes(NamedTuple):
    """`mode`: nearest, nearest-exact, linear or cubic on each axis; `scales` are 0 where extents decide."""

    size: Shape
    mode: str
    align_corners: bool
    antialias: bool
    scales: tuple[float, ...]


class Interpolate(Op):
    """Weighted sums of neighbouring pixels. attrs.size: the output's spatial extents."""

    name = "interpolate"
    Inputs = Single
    Attributes = InterpolateAttributes

    def infer(self, inputs: Single, attrs: InterpolateAttributes) -> list[Spec | None]:
        return [((*inputs.input.shape[:2], *attrs.size), "float32", Layout.CHANNELS_LAST)]

    def images(self, node: Node) -> Sequence[str]:
        return ("input",)

    def gradient(self, node: Node, grads: Grads, needs: Any) -> Grads:
        grad = with_layout(present(grads[0]), Layout.CHANNELS_LAST)
        other = InterpolateBackward if type(self) is Interpolate else Interpolate
        attrs = node.attrs._replace(size=node.inputs.input.shape[2:])
        return [emit(other, Single(grad), attrs).output]

    def lower(self, node: Node, builder: Builder) -> None:
        _, mode, align_corners, antialias, scales = node.attrs
        attrs = {"mode": mode, "align_corners": int(align_corners), "antialias": int(antialias)}
        slots = builder.slots(node.inputs)
        builder.step(self.name, slots, builder.slots(node.outputs), {**attrs, "scales": scales})


class InterpolateBackward(Interpolate):
    """The gradient, whose own is interpolation again. attrs.size: the input's extents."""

    name = "interpolate_backward"


MODES = {
    "nearest": (3, 4, 5),
    "nearest-exact": (3, 4, 5),
    "area": (3, 4, 5),
    "linear": (3,),
    "bilinear": (4,),
    "bicubic": (4,),
    "trilinear": (5,),
}


def _per_axis(value: Any, count: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * count


@operator("input")
def interpolate(
    input: Any,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resize images: each output pixel is a weighted sum of the input pixels around its place.

    Without `align_corners`, output pixel i lies at (i + 0.5) * input / output - 0.5 of the input, with it at
    i * (input - 1) / (output - 1). "linear", "bilinear" and "trilinear" weigh the two neighbours on each axis
    by their nearness, "bicubic" four by Keys' kernel (1981) with a = -0.75; "nearest" takes the pixel at
    floor(i * input / output), "nearest-exact" that at floor((i + 0.5) * input / output); "area" is the mean
    of the pixels under the output's. With `antialias` the filters (bicubic with a = -0.5) widen as the image
    shrinks, as Pillow's do.

    Args:
        input: (batch, channels, spatial...), one to three spatial axes.
        size: the output's spatial extents, an int for all axes.
        scale_factor: or what to multiply the input's with; the result is rounded down.
        mode: "nearest", "nearest-exact" or "area"; "linear" of one axis, "bilinear" or "bicubic" of two,
            "trilinear" of three.
        align_corners: whether the corner pixels' centers stay corners, for the modes that weigh.
        recompute_scale_factor: derive places from the rounded extents instead of from `scale_factor`.
        antialias: for "bilinear" and "bicubic".

    Raises:
        ValueError: both or neither of size and scale_factor, or a mode that the input's rank or another
            argument does not go with.

    >>> from cnncore import ops
    >>> ops.interpolate([[[1.0, 2.0]]], scale_factor=2).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    >>> ops.interpolate([[[1.0, 2.0]]], size=3, mode="linear", align_corners=True).tolist()
    [[[1.0, 1.5, 2.0]]]
    """
    op = "interpolate"
    x = float_tensor(input, op)
    ranks = MODES.get(mode)
    if ranks is None:
        raise shape_error(op, f"expected mode {', '.join(map(repr, MODES))}, got {mode!r}")
    if x.ndim not in ranks:
        wanted = " or ".join(str(rank - 2) for rank in ranks)
        raise shape_error(op, f"expected input with {wanted} spatial axes for mode {mode!r}, got {x.shape}")
    if align_corners is not None and len(ranks) > 1:
        raise shape_error(op, f"expected align_corners None for mode {mode!r}, got {align_corners}")
    if (antialias and x.ndim != 4) or (antialias and len(ranks) > 1):
        raise shape_error(op, f"expected mode 'bilinear' or 'bicubic' with antialias, got {mode!r}")
    extents, scales = _extents(x, size, scale_factor, bool(recompute_scale_factor), op)
    if mode == "area":
        pools = {3: adaptive_avg_pool1d, 4: adaptive_avg_pool2d, 5: adaptive_avg_pool3d}
        pooled: Tensor = pools[x.ndim](x, extents)
        return pooled
    kind = mode if len(ranks) > 1 else "cubic" if mode == "bicubic" else "linear"
    attrs = InterpolateAttributes(extents, kind, bool(align_corners), bool(antialias), scales)
    return emit(Interpolate, Single(with_layout(x, Layout.CHANNELS_LAST)), attrs).output


def _extents(
    x: Tensor, size: Any, scale_factor: Any, recompute: bool, op: str
) -> tuple[Shape, tuple[float, ...]]:
    """Return the output's spatial extents, and the scales that decide the places, 0 for the extents'."""
    count = x.ndim - 2
    if (size is None) == (scale_factor is None):
        raise shape_error(op, f"expected size or scale_factor, got {size} and {scale_factor}")
    if size is not None:
        if recompute:
            raise shape_error(op, "expected scale_factor with recompute_scale_factor")
        return integers(size, count, "size", op), (0.0,) * count
    scales = tuple(real(s, "scale_factor", op, 0) for s in _per_axis(scale_factor, count))
    if len(scales) != count:
        raise shape_error(op, f"expected a scale_factor or {count} of them, got {scale_factor!r}")
    extents = tuple(floor(n * s) for n, s in zip(x.shape[2:], scales, strict=True))
    if min(extents) < 1:
        raise shape_error(op, f"scale_factor {scale_factor} leaves nothing of {x.shape}")
    return integers(extents, count, "the output's extents", op), (0.0,) * count if recompute else scales


@operator("input")
def upsample(
    input: Any,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """Resize images; the same as `interpolate`, under its older name.

    Raises:
        ValueError: an unknown mode, neither or both of `size` and `scale_factor`, or one that is not above 0.

    >>> from cnncore import ops
    >>> ops.upsample([[[1.0, 2.0]]], scale_factor=2).tolist()
    [[[1.0, 1.0, 2.0, 2.0]]]
    """
    resized: Tensor = interpolate(input, size, scale_factor, mode, align_corners)
    return resized
