# SPDX-License-Identifier: Apache-2.0
"""Graphs for images of other extents, and which results of a tile are those of the whole image.

Along each axis, values of a tile that begins at a multiple of the graph's period lie at places of the whole
image, moved by a whole number. Those whose receptive field lies inside the tile, or reaches over a border
that is the image's own, are equal to the whole image's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from fractions import Fraction
from math import ceil, floor, gcd, lcm, prod
from typing import Any, NamedTuple

from ..graph.tensor import Graph, Node, Op, Shape, Tensor
from ..ops.convolution import ConvBackwardData, ConvForward
from ..ops.detach import Detach
from ..ops.edge_pad import EdgePad
from ..ops.elementwise import Elementwise
from ..ops.formula import Formula
from ..ops.norm import BatchNormApply
from ..ops.parts import Concat, Embed, Slice
from ..ops.pooling import AvgPool, MaxPool, pool_axis
from ..ops.reduce import ArgMax, Reduce
from ..ops.shape import Permute, Relayout, Reshape
from ..ops.softmax import LogSoftmax, Softmax
from ..ops.upsample import Interpolate

WINOGRAD_TAPS = (3, 5)
WINOGRAD_TILE = 4
"""Outputs of a tile along an axis; their bits depend on the place in it."""


class Span(NamedTuple):
    """An axis of a value: its extent, elements by element of the image, and those from `low` to `high`
    (excluded) that are the whole image's where the tile has borders inside the image."""

    extent: int
    scale: Fraction
    low: int
    high: int


class Place(NamedTuple):
    """Where a value's spatial axes are, and their spans."""

    axes: tuple[int, ...]
    spans: tuple[Span, ...]


class Resized(NamedTuple):
    """A graph for an image's extents.

    `outputs` are the places of its outputs, `period` what tiles begin at multiples of, along each axis; at
    multiples of `aligned`, convolutions by Winograd have the same tiles, and with them bits, too.
    """

    graph: Graph
    outputs: tuple[Place, ...]
    period: tuple[int, ...]
    aligned: tuple[int, ...]


def resized(graph: Graph, extents: Shape) -> Resized:
    """Return a graph, as it was traced, for one image of other spatial extents.

    Raises:
        ValueError: a node whose results have no place in the image or depend on all of it, by its path.
    """
    return _Resizing(graph, extents).result()


class _Resizing:
    def __init__(self, graph: Graph, extents: Shape) -> None:
        self.graph = graph
        self.made: dict[Tensor, Tensor] = {}
        self.places: dict[Tensor, Place] = {}
        self.period, self.aligned = [1] * len(extents), [1] * len(extents)
        (image,) = graph.inputs
        self.made[image] = Tensor((1, image.shape[1], *extents), image.dtype, image.layout)
        axes = tuple(range(2, image.ndim))
        self.places[image] = Place(axes, tuple(Span(n, Fraction(1), 0, n) for n in extents))

    def result(self) -> Resized:
        nodes = [self._node(node) for node in self.graph.nodes]
        for output in self.graph.outputs:
            if output not in self.places:
                raise ValueError("expected outputs that depend on the image, got a constant one")
        twin = copy(self.graph)
        twin.nodes = nodes
        twin.inputs = [self.made[tensor] for tensor in self.graph.inputs]
        twin.arriving = {self.made[tensor]: dtype for tensor, dtype in self.graph.arriving.items()}
        twin.outputs = [self.made[tensor] for tensor in self.graph.outputs]
        places = tuple(self.places[tensor] for tensor in self.graph.outputs)
        return Resized(twin, places, tuple(self.period), tuple(self.aligned))

    def _own(self, tensor: Tensor | None) -> Tensor | None:
        return tensor if tensor is None or tensor.source is not None else self.made[tensor]

    def _node(self, node: Node) -> Node:
        inputs, attrs, place = node.op.named([self._own(tensor) for tensor in node.inputs]), node.attrs, None
        if any(tensor in self.places for tensor in node.inputs):
            attrs, place = self._ruled(node)
            self._align(node, place)
        specs = node.op.infer(inputs, attrs)
        outputs = [
            None if old is None or spec is None else Tensor(*spec)
            for old, spec in zip(node.outputs, [*specs, *[None] * len(node.outputs)], strict=False)
        ]
        for old, new in zip(node.outputs, outputs, strict=True):
            if old is not None and new is not None:
                self.made[old] = new
                if place is not None:
                    self.places[old] = place
        return Node(node.op, inputs, outputs, attrs, node.path, node.origin)

    def _ruled(self, node: Node) -> tuple[Any, Place]:
        rule = RULES.get(type(node.op))
        places = [None if tensor is None else self.places.get(tensor) for tensor in node.inputs]
        if rule is None or node.outputs[0] is None or not node.makes_one():
            raise refusal(node, "has no tiles: it takes more than a window of its input")
        attrs, place = rule(node, places)
        for span in place.spans:
            if span.extent < 1:
                raise ValueError(
                    f"[{_name(node)}] a tile is smaller than the layer's window: use larger ones"
                )
        return attrs, place

    def _align(self, node: Node, place: Place) -> None:
        """Let tiles begin where all values of a node lie at whole places, and Winograd's tiles begin, too."""
        for axis, span in enumerate(place.spans):
            whole, numerator = span.scale.denominator, span.scale.numerator
            self.period[axis] = lcm(self.period[axis], whole)
            multiple = _winograd_multiple(node, axis)
            self.aligned[axis] = lcm(self.aligned[axis], multiple * whole // gcd(multiple, numerator))


def _winograd_multiple(node: Node, axis: int) -> int:
    """Return what the places of a convolution's tiles are multiples of along an axis, 1 without such."""
    if not isinstance(node.op, (ConvForward, ConvBackwardData)):
        return 1
    window = node.attrs.window
    if any(stride != 1 for stride in window.stride) or window.kernel[axis] not in WINOGRAD_TAPS:
        return 1
    along_one = sum(taps > 1 for taps in window.kernel) == 1
    if window.dilation[axis] == 1 or along_one:
        return int(WINOGRAD_TILE * window.dilation[axis])
    return 1


def refusal(node: Node, why: str) -> ValueError:
    """Return the error about a node that cannot be tiled."""
    return ValueError(f"[{_name(node)}] {node.op.label(node)} {why}; tiles need fully convolutional networks")


def _name(node: Node) -> str:
    return node.path or node.op.name


Places = Sequence[Place | None]
Rule = Callable[[Node, Places], tuple[Any, Place]]


def _first(places: Places) -> Place:
    place = places[0]
    assert place is not None
    return place


def _joined(node: Node, places: Places) -> Place:
    """Return the place of what is made of values at the same places, of which some may be constants."""
    found = [(tensor, place) for tensor, place in zip(node.inputs, places, strict=True) if place is not None]
    first = found[0][1]
    for tensor, place in found:
        same = [
            (a.extent, a.scale) == (b.extent, b.scale) for a, b in zip(place.spans, first.spans, strict=True)
        ]
        if place.axes != first.axes or tensor.ndim != node.output.ndim or not all(same):
            raise refusal(node, "joins values that lie at different places")
    for tensor, known in zip(node.inputs, places, strict=True):
        if tensor is not None and known is None:
            lead = node.output.ndim - tensor.ndim
            if any(axis >= lead and tensor.shape[axis - lead] != 1 for axis in (0, *first.axes)):
                raise refusal(node, "has a constant for each place of the image")
    spans = [
        Span(one[0].extent, one[0].scale, max(s.low for s in one), min(s.high for s in one))
        for one in zip(*(place.spans for _, place in found), strict=True)
    ]
    return Place(first.axes, tuple(spans))


def _windowed(span: Span, extent: int, kernel: int, stride: int, begin: int, dilation: int) -> Span:
    """Return the span of what windows make: elements whose windows lie inside."""
    low = ceil(Fraction(span.low + begin, stride))
    high = floor(Fraction(span.high - 1 - dilation * (kernel - 1) + begin, stride)) + 1
    return Span(extent, span.scale / stride, max(low, 0), min(high, extent))


def _convolution(node: Node, places: Places) -> tuple[Any, Place]:
    window, place = node.attrs.window, _first(places)
    if places[1] is not None:
        raise refusal(node, "has weights that depend on the image")
    extents = window.extents(tuple(span.extent for span in place.spans))
    spans = [
        _windowed(span, n, kernel, stride, begin, dilation)
        for span, n, kernel, stride, begin, _, dilation in zip(place.spans, extents, *window, strict=True)
    ]
    return node.attrs, Place(place.axes, tuple(spans))


def _transposed(node: Node, places: Places) -> tuple[Any, Place]:
    window, place = node.attrs.window, _first(places)
    if places[1] is not None:
        raise refusal(node, "has weights that depend on the image")
    spans = []
    for axis, (span, kernel, stride, begin, _, dilation) in enumerate(zip(place.spans, *window, strict=True)):
        reach = dilation * (kernel - 1)
        more = node.attrs.input_shape[2 + axis] - node.inputs.grad.shape[2 + axis] * stride
        extent = span.extent * stride + more
        low = (span.low - 1) * stride + 1 + reach - begin
        spans.append(Span(extent, span.scale * stride, max(low, 0), min(span.high * stride - begin, extent)))
    shape = (1, node.attrs.input_shape[1], *(span.extent for span in spans))
    return node.attrs._replace(input_shape=shape), Place(place.axes, tuple(spans))


def _pooled(node: Node, places: Places) -> tuple[Any, Place]:
    attrs, place = node.attrs, _first(places)
    window, spans, ends = attrs.window, [], []
    for span, kernel, stride, begin, _, dilation in zip(place.spans, *window, strict=True):
        extent, end = pool_axis(span.extent, dilation * (kernel - 1) + 1, stride, begin, attrs.ceil_mode)
        spans.append(_windowed(span, extent, kernel, stride, begin, dilation))
        ends.append(end)
    if isinstance(node.op, MaxPool):
        attrs = attrs._replace(window=window._replace(end=tuple(ends)))
    else:
        attrs = attrs._replace(output=tuple(span.extent for span in spans))
    return attrs, Place(place.axes, tuple(spans))


MARGINS = {"nearest": None, "nearest-exact": None, "linear": 0, "cubic": 1}
"""Pixels that an interpolation reads beside the two around a place, None for the nearest alone."""


def _interpolated(node: Node, places: Places) -> tuple[Any, Place]:
    attrs, place = node.attrs, _first(places)
    before, spans = node.inputs.input.shape[2:], []
    for axis, span in enumerate(place.spans):
        factor, rest = divmod(attrs.size[axis], before[axis])
        if rest or attrs.mode not in MARGINS or (attrs.scales and attrs.scales[axis] not in (0, factor)):
            raise refusal(node, f"makes {attrs.size} of {before}, which is no upsampling by integers")
        if attrs.align_corners and factor > 1:
            raise refusal(node, "with align_corners depends on the extents of the whole image")
        margin, half = MARGINS[attrs.mode], Fraction(1, 2)
        low, high = span.low * factor, span.high * factor
        if margin is not None and factor > 1:
            low = ceil(factor * (span.low + margin + half) - half)
            high = ceil(factor * (span.high - margin - half) - half)
        spans.append(Span(span.extent * factor, span.scale * factor, max(low, 0), high))
    return attrs._replace(size=tuple(span.extent for span in spans)), Place(place.axes, tuple(spans))


def _around(node: Node, places: Places) -> tuple[Any, Place]:
    """Padding by a constant or by what lies inside."""
    attrs, place, x = node.attrs, _first(places), node.inputs.input
    if isinstance(node.op, EdgePad):
        before, after = attrs.before, attrs.after
        around = any(before[axis] or after[axis] for axis in place.axes)
        if around and attrs.mode == "circular":
            raise refusal(node, "goes around the whole image")
    else:
        before = attrs.starts
        after = tuple(t - n - b for t, n, b in zip(attrs.shape, x.shape, before, strict=True))
        if any(step != 1 for step in attrs.steps) or attrs.shape[0] != x.shape[0]:
            raise refusal(node, "puts elements or images apart")
    spans = [
        Span(span.extent + before[a] + after[a], span.scale, span.low + before[a], span.high + before[a])
        for a, span in zip(place.axes, place.spans, strict=True)
    ]
    if not isinstance(node.op, EdgePad):
        attrs = attrs._replace(shape=_with_extents(attrs.shape, place.axes, spans))
    return attrs, Place(place.axes, tuple(spans))


def _sliced(node: Node, places: Places) -> tuple[Any, Place]:
    attrs, place, x = node.attrs, _first(places), node.inputs.input
    spans = []
    if attrs.shape[0] != x.shape[0]:
        raise refusal(node, "takes some of the images")
    for axis, span in zip(place.axes, place.spans, strict=True):
        start, step, count = attrs.starts[axis], attrs.steps[axis], attrs.shape[axis]
        left = x.shape[axis] - start - (count - 1) * step - 1
        if step < 1 or left >= step > 1:
            raise refusal(node, "takes a part that is none of all extents")
        extent = (span.extent - start - 1) // step + 1 if step > 1 else span.extent - start - left
        spans.append(_windowed(span, extent, 1, step, -start, 1))
    attrs = attrs._replace(shape=_with_extents(attrs.shape, place.axes, spans))
    return attrs, Place(place.axes, tuple(spans))


def _groups(before: Shape, after: Shape) -> list[tuple[list[int], list[int]]]:
    """Return the axes that a reshape makes of which: the least groups of as many elements.

    What begins with an axis of one element, on one side alone, has that axis in a group by itself.
    """
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(before) and j < len(after):
        if (before[i] == 1) != (after[j] == 1):
            alone: tuple[list[int], list[int]] = ([i], []) if before[i] == 1 else ([], [j])
            groups.append(alone)
            i, j = i + len(alone[0]), j + len(alone[1])
            continue
        old, new = [i], [j]
        while (have := prod(before[a] for a in old)) != (want := prod(after[a] for a in new)):
            if have < want:
                old.append(old[-1] + 1)
            else:
                new.append(new[-1] + 1)
        groups.append((old, new))
        i, j = old[-1] + 1, new[-1] + 1
    groups[-1][0].extend(range(i, len(before)))
    groups[-1][1].extend(range(j, len(after)))
    return groups


def _reshaped(node: Node, places: Places) -> tuple[Any, Place]:
    """Axes of constant extents are cut and joined, also with one of the image, as in a pixel shuffle."""
    place, before, after = _first(places), node.inputs.input.shape, node.attrs.shape
    axes, spans = [], []
    if before[0] != after[0]:
        raise refusal(node, "moves the batch")
    for old, new in _groups(before, after):
        inside = [axis for axis in old if axis in place.axes]
        if not inside:
            continue
        if inside != old[:1] or not new or 1 not in (len(old), len(new)):
            raise refusal(node, "joins axes of the image")
        span = place.spans[place.axes.index(old[0])]
        joined, cut = prod(before[axis] for axis in old[1:]), prod(after[axis] for axis in new[1:])
        if span.extent * joined % cut:
            raise refusal(node, f"cuts {span.extent} pixels into groups of {cut}")
        low, high = ceil(Fraction(span.low * joined, cut)), span.high * joined // cut
        spans.append(Span(span.extent * joined // cut, span.scale * joined / cut, low, high))
        axes.append(new[0])
    attrs = node.attrs._replace(shape=_with_extents(after, axes, spans))
    return attrs, Place(tuple(axes), tuple(spans))


def _with_extents(shape: Shape, axes: Sequence[int], spans: Sequence[Span]) -> Shape:
    extents = dict(zip(axes, (span.extent for span in spans), strict=True))
    return (1, *(extents.get(axis, n) for axis, n in enumerate(shape) if axis))


def _each(node: Node, places: Places) -> tuple[Any, Place]:
    """What is made place by place."""
    if getattr(node.attrs, "reduction", "none") != "none":
        raise refusal(node, "takes the whole image")
    return node.attrs, _joined(node, places)


def _normalized(node: Node, places: Places) -> tuple[Any, Place]:
    """Batch norm, whose other inputs are vectors of the channels, which nothing of the image is."""
    return node.attrs, _first(places)


def _concatenated(node: Node, places: Places) -> tuple[Any, Place]:
    if None in places or node.attrs.dim in _first(places).axes or node.attrs.dim == 0:
        raise refusal(node, "joins along the image or with a constant")
    return node.attrs, _joined(node, places)


def _along(node: Node, places: Places) -> tuple[Any, Place]:
    place = _first(places)
    if node.attrs.axis % node.output.ndim in place.axes:
        raise refusal(node, "goes over the whole image")
    return node.attrs, place


def _reduced(node: Node, places: Places) -> tuple[Any, Place]:
    place, axes = _first(places), node.attrs.axes
    if 0 in axes or any(axis in place.axes for axis in axes):
        raise refusal(node, "takes the whole image")
    return node.attrs, Place(tuple(a - sum(axis < a for axis in axes) for a in place.axes), place.spans)


def _permuted(node: Node, places: Places) -> tuple[Any, Place]:
    place, dims = _first(places), node.attrs.dims
    if dims[0] != 0:
        raise refusal(node, "moves the batch")
    moved = tuple(dims.index(axis) for axis in place.axes)
    if list(moved) != sorted(moved):
        raise refusal(node, "turns the image")
    return node.attrs, Place(moved, place.spans)


RULES: dict[type[Op], Rule] = {
    ConvForward: _convolution,
    ConvBackwardData: _transposed,
    MaxPool: _pooled,
    AvgPool: _pooled,
    Interpolate: _interpolated,
    Embed: _around,
    EdgePad: _around,
    Slice: _sliced,
    Elementwise: _each,
    Formula: _each,
    BatchNormApply: _normalized,
    Detach: _each,
    Relayout: _each,
    Concat: _concatenated,
    Softmax: _along,
    LogSoftmax: _along,
    Reduce: _reduced,
    ArgMax: _reduced,
    Permute: _permuted,
    Reshape: _reshaped,
}
"""What a node becomes for other extents, and where its result lies, by operation."""
