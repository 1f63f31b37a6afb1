# SPDX-License-Identifier: Apache-2.0
"""Running the stretches of a graph whose values are large for a few images at a time.

Within such a stretch only portions of the values exist, in memory that each portion uses again and that the
caches hold. Layers with large weights stay outside: every portion would read them again.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from ..graph.tensor import Graph, Node, Tensor
from ..ops.portions import JoinBatch, Portions, SplitBatch
from .joins import joined_by_readers

PORTION = 1 << 24
"""Bytes of a portion of the largest value at most. What is no larger as a whole is not split."""

SMALLEST_SHARE = 4
"""A portion is at least `PORTION` divided by this: the work of a step must be worth two threads."""

WORTH = 0.75
"""Splitting a stretch must leave no more than this share of its memory."""

HEAVY = 1 << 20
"""Bytes of weights that a layer of a stretch has at most: they stay in the caches from portion to portion."""

LIGHT = 16
"""The inputs and outputs of a layer of a stretch are at least so many times as large as its weights."""


@dataclass
class Stretch:
    """Nodes `begin` to `end` (excluded) of a graph, and the images of each of its portions."""

    begin: int
    end: int
    images: int
    portions: int


def split_batch(graph: Graph) -> None:
    """Let stretches of the graph run in portions."""
    if graph.updates or graph.checks or all(tensor.nbytes <= PORTION for tensor in graph.values()):
        return
    search = Search(graph)
    for stretch in reversed(search.stretches()):  # the last first: what is before it keeps its place
        split(graph, stretch, search.dynamic)


class Search:
    """What is known of a graph's nodes while stretches are looked for.

    Only nodes that depend on the graph's inputs count; the others are computed once, at setup.
    """

    def __init__(self, graph: Graph) -> None:
        self.dynamic = set(graph.inputs)
        self._unmade = joined_by_readers(graph, set(graph.outputs))
        self._made = dict.fromkeys(graph.inputs, -1)  # value -> place of its node
        self._last = {tensor: len(graph.nodes) for tensor in graph.outputs}  # value -> place of its last user
        self._nodes: dict[int, Node] = {}
        for place, node in enumerate(graph.nodes):
            inputs = self._of(node.inputs)
            if inputs or node.op.varies:
                self._nodes[place] = node
                for tensor in inputs:
                    self._last[tensor] = max(place, self._last.get(tensor, place))
                for output in node.outputs:
                    if output is not None:
                        self.dynamic.add(output)
                        self._made[output] = place

    def _size(self, tensor: Tensor) -> int:
        """Return the bytes of a value, 0 for one that never is in memory."""
        return 0 if tensor in self._unmade else tensor.nbytes

    def _of(self, tensors: Sequence[Tensor | None]) -> list[Tensor]:
        return [tensor for tensor in tensors if tensor is not None and tensor in self.dynamic]

    def stretches(self) -> list[Stretch]:
        """Return the stretches to be split, in order."""
        found: list[Stretch | None] = []
        run: list[int] = []
        batch = 0
        for place, node in self._nodes.items():
            images = self._batch(node)
            if images != batch:
                found.append(self._cut(run, batch))
                run, batch = [], images
            run.append(place)
        found.append(self._cut(run, batch))
        return [stretch for stretch in found if stretch is not None]

    def _batch(self, node: Node) -> int:
        """Return the number of images a node could be split by; 0 when it cannot or should not."""
        output = node.output
        places = node.op.images(node)
        if not places or not output.shape or not node.makes_one():
            return 0
        batch, weights, values = output.shape[0], 0, self._size(output)
        for place, tensor in node.places():
            if tensor is None:
                continue
            repeated = tensor.ndim < output.ndim or tensor.shape[0] == 1
            if tensor in self.dynamic:
                if place not in places or tensor.ndim != output.ndim or tensor.shape[0] != batch:
                    return 0
                values += self._size(tensor)
            elif place in places and not repeated:
                return 0
            else:
                weights += self._size(tensor)
        return batch if weights <= min(HEAVY, values // LIGHT) else 0

    def _cut(self, run: Sequence[int], batch: int) -> Stretch | None:
        """Return the part of a run of neighbours that is best split: its large values and little that goes in
        and out as a whole."""
        sizes = {place: max(map(self._size, self._values(place))) for place in run}
        large = [place for place in run if sizes[place] > PORTION]
        if batch < 2 or not large:
            return None
        begin = min((place for place in run if place <= large[0]), key=self._crossing)
        last = min(
            (place for place in run if place >= large[-1]), key=lambda place: self._crossing(place + 1)
        )
        inside = [place for place in run if begin <= place <= last]
        image = max(sizes[place] for place in inside) // batch
        images = max((n for n in range(1, batch) if batch % n == 0 and n * image <= PORTION), default=0)
        if images * image < PORTION // SMALLEST_SHARE:
            return None
        stretch = Stretch(begin, last + 1, images, batch // images)
        return stretch if self._pays(stretch) else None

    def _pays(self, stretch: Stretch) -> bool:
        """Whether memory is saved: what goes in and out is there as a whole all the time."""
        ends = range(stretch.begin, stretch.end)
        whole = self._crossing(stretch.begin)
        lives = [
            (self._size(tensor), made, self._last[tensor], self._last[tensor] in ends)
            for tensor, made in self._made.items()
            if made in ends
        ]
        whole += sum(size for size, _, _, inside in lives if not inside)
        before = after = 0
        for place in ends:
            alive = [(size, inside) for size, made, last, inside in lives if made <= place <= last]
            before = max(
                before,
                self._crossing(place) + self._size(self._nodes[place].output) if place in self._nodes else 0,
            )
            after = max(after, whole + sum(size for size, inside in alive if inside) // stretch.portions)
        return after < WORTH * before

    def _values(self, place: int) -> list[Tensor]:
        node = self._nodes[place]
        return self._of([*node.inputs, *node.outputs])

    def _crossing(self, place: int) -> int:
        """Return the bytes of values that are made before a node and used by it or later."""
        return sum(
            self._size(tensor)
            for tensor, made in self._made.items()
            if made < place <= self._last.get(tensor, -1)
        )


def split(
    graph: Graph, stretch: Stretch, dynamic: Container[Tensor], divided: Container[Tensor] | None = None
) -> None:
    """Let a stretch make, and read, values by portions: those `divided`, or all that are `dynamic`."""
    divided = dynamic if divided is None else divided
    before, after = graph.nodes[: stretch.begin], graph.nodes[stretch.end :]
    nodes = graph.nodes[stretch.begin : stretch.end]
    before += [node for node in nodes if node.output not in dynamic]
    nodes = [node for node in nodes if node.output in dynamic]
    made = {tensor for node in nodes for tensor in node.outputs if tensor in divided}
    wanted = set(graph.outputs) | {tensor for node in after for tensor in node.inputs if tensor is not None}
    portions: dict[Tensor, Tensor] = {}

    def portion(tensor: Tensor | None) -> Tensor | None:
        if tensor is None or tensor not in divided:
            return tensor
        if tensor not in portions:
            shape = (stretch.images, *tensor.shape[1:])
            portions[tensor] = Tensor(shape, tensor.dtype, tensor.layout)
        return portions[tensor]

    inside: list[Node] = []
    for node in nodes:
        attrs = node.op.with_batch(node.attrs, stretch.images)
        inputs, outputs = map(portion, node.inputs), map(portion, node.outputs)
        inside.append(Node(node.op, list(inputs), list(outputs), attrs, node.path, node.origin))
    read = [tensor for tensor in portions if tensor not in made]
    kept = [tensor for tensor in portions if tensor in made and tensor in wanted]
    attrs = Portions(stretch.portions)
    split = Node(SplitBatch, read, [portions[tensor] for tensor in read], attrs)
    join = Node(JoinBatch, [portions[tensor] for tensor in kept], kept, attrs)
    graph.nodes = [*before, split, *inside, join, *after]
