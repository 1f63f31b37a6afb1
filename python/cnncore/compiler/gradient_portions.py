# SPDX-License-Identifier: Apache-2.0
"""Running what is computed row by row together with the gradient that reads it, for some rows at a time.

Softmax, norms of rows and of images, pooling, elementwise functions and reductions between them: values
beyond the caches would be written, and read again a moment later. The bits are the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..graph.tensor import Graph, Node, Tensor
from .portions import HEAVY, SMALLEST_SHARE, Search, Stretch, split

ROWS = 1 << 21
"""Bytes of a portion of the largest value between a function's value and its gradient: in a second or third
cache until the gradient reads it."""

FAR = 1 << 26
"""Bytes that the steps of such a stretch read and write at least: they would not stay in the caches."""

LEAST_SAVING = 1 / 8
"""The share of these that must be read again, or written for the stretch alone."""


def split_gradients(graph: Graph) -> None:
    """Let what is computed row by row, and the gradient that reads it, run for some rows at a time.

    Convolutions and products, whose steps have blocks of their own, stay outside.
    """
    if all(tensor.nbytes <= ROWS for tensor in graph.values()):
        return
    search = _GradientSearch(graph)
    for stretch in reversed(search.stretches()):
        split(graph, stretch, search.dynamic, search.divided)


class _GradientSearch(Search):
    """Finds stretches whose values are written and read again for nothing.

    `divided` are the values of which each portion reads or makes a part of its own; others are read whole.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.divided: set[Tensor] = set()
        self._fixed = _before_checks(graph)
        self._written = {id(target) for target, _ in graph.updates}
        self._read: dict[int, set[Tensor]] = {}
        self._whole: dict[int, set[Tensor]] = {}

    def _batch(self, node: Node) -> int:
        batch = self._rows(node)
        place = self._made.get(node.output)
        if not batch or place is None:
            return 0
        divided: set[Tensor] = set()
        whole: set[Tensor] = set()
        places = node.op.images(node)
        for name, tensor in node.places():
            if tensor is None:
                continue
            by_axes = isinstance(name, int)  # operands that broadcast, whose last axes meet
            first = (
                tensor.shape[0] if tensor.shape and (tensor.ndim == node.output.ndim or not by_axes) else 1
            )
            if name in places and first == batch:
                divided.add(tensor)
            elif (name in places and first != 1) or self._size(tensor) > HEAVY:
                return 0
            else:
                whole.add(tensor)
        self._read[place], self._whole[place] = divided, whole
        return batch

    def _rows(self, node: Node) -> int:
        """Return the extent of the first axis that all results of a node have; 0 where it is not split."""
        if not node.op.images(node) or hasattr(node.attrs, "algorithm") or not node.output.shape:
            return 0
        if node in self._fixed or any(x is not None and id(x.source) in self._written for x in node.inputs):
            return 0
        outputs = _present(node.outputs)
        batch = node.output.shape[0]
        return batch if all(y.shape and y.shape[0] == batch for y in outputs) else 0

    def _cut(self, run: Sequence[int], batch: int) -> Stretch | None:
        if batch < 2:
            return None
        passes = self._passes(run)
        saved = {
            tensor: places
            for tensor, places in passes.items()
            if len(places) > self._crosses(tensor, run) and self._size(tensor) > ROWS
        }
        if not saved:
            return None
        begin, last = min(map(min, saved.values())), max(map(max, saved.values()))
        inside = [place for place in run if begin <= place <= last]
        passes = self._passes(inside)
        whole = sum(self._size(tensor) * len(places) for tensor, places in passes.items())
        needed = sum(self._size(tensor) * self._crosses(tensor, inside) for tensor in passes)
        if whole < FAR or whole - needed < LEAST_SAVING * whole:
            return None
        if any(not passes.keys().isdisjoint(self._whole[place]) for place in inside):
            return None
        row = max(map(self._size, passes)) // batch
        rows = max((n for n in range(1, batch) if batch % n == 0 and n * row <= ROWS), default=0)
        if rows * row < ROWS // SMALLEST_SHARE:
            return None
        self.divided.update(passes)
        return Stretch(begin, last + 1, rows, batch // rows)

    def _passes(self, run: Sequence[int]) -> dict[Tensor, list[int]]:
        """Return the nodes of a run that read or make each of the values that are divided."""
        passes: dict[Tensor, list[int]] = {}
        for place in run:
            for tensor in {*self._read[place], *_present(self._nodes[place].outputs)}:
                passes.setdefault(tensor, []).append(place)
        return passes

    def _crosses(self, tensor: Tensor, run: Sequence[int]) -> int:
        """Return 1 for a value that comes from outside of a run, or is read there, else 0."""
        made, last = self._made.get(tensor, -1), self._last.get(tensor, -1)
        return int(made not in run or (last >= 0 and last not in run))


def _before_checks(graph: Graph) -> set[Node]:
    """Return the nodes whose steps run before all others, because guards need them, and those of updates."""
    needed = {flag for flag, _ in graph.checks} | {new for _, new in graph.updates}
    results = {new for _, new in graph.updates}
    found: set[Node] = set()
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.outputs):
            found.add(node)
            if results.isdisjoint(node.outputs):
                needed.update(x for x in node.inputs if x is not None)
    return found


def _present(tensors: Sequence[Tensor | None]) -> list[Tensor]:
    return [tensor for tensor in tensors if tensor is not None]
