# SPDX-License-Identifier: Apache-2.0
"""The choice of what a training step computes again instead of keeping, so that its memory has a limit."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from ..graph.limits import size_text
from ..graph.slots import Slot
from ..graph.tensor import Graph, Node, Tensor
from .lower import Builder
from .program import Executable
from .recompute import Schedule, given_up, repeatable

OPERATIONS_A_BYTE = 8
"""How many operations of a convolution take as long as reading or writing a byte of memory."""

STAGE = 0.92
"""The peak is brought down by stages of this factor, whatever the limit is."""

FINEST = 0.004
"""Where a stage cannot be reached, smaller ones are tried, down to such a part of the first peak."""

MARGIN = 0.15
"""By so much a plan may need less than what is counted: plans are made from there on."""

LEAST_PART = 1000
"""Values below such a part of the peak are kept."""


def fit(graph: Graph, limit: int, finish: Callable[[Graph], None]) -> Executable:
    """Compile a differentiated graph so that it works with at most `limit` bytes (`Memory.total`).

    Starting with everything kept, the values to give up are taken one at a time: the one that brings most of
    what exceeds the present stage's limit for its price, counted over the order in which nodes run and are
    repeated. Plans are made where that count says that the limit is met.

    Args:
        graph: all passes but `finish` applied.
        limit: in bytes.
        finish: the remaining passes, `recompute` among them.

    Raises:
        ValueError: it does not fit.
    """
    trials = _Trials(graph, finish)
    plain = trials.run(set())
    if plain.memory.total <= limit:
        return plain
    search = _Search(graph, plain)
    most = limit + MARGIN * limit - (plain.memory.total - search.peak)
    chosen: set[Tensor] = set()
    for chosen, peak in search.path():
        if peak <= most:
            executable = trials.run(chosen)
            excess = executable.memory.total - limit
            if excess <= 0:
                fewer = trials.run(search.without_surplus(chosen))
                return fewer if fewer.memory.total <= limit else executable
            most = peak - max(excess / 2, limit / 256)
    executable = trials.run(chosen)
    least = min(executable.memory.total, plain.memory.total)
    if least <= limit:
        return executable
    raise ValueError(
        f"expected max_memory of at least {least} bytes ({size_text(least)}), which is what recomputation "
        f"reaches, got {limit} bytes ({size_text(limit)}); without it the step takes "
        f"{size_text(plain.memory.total)}: make the batch smaller or accumulate"
    )


_Key = tuple[int, Slot]
"""A value's memory, of the differentiation that it is made again for, or 0."""


class _Trials:
    """Compiles a graph with different values given up."""

    def __init__(self, graph: Graph, finish: Callable[[Graph], None]) -> None:
        self._graph = graph
        self._finish = finish
        self._nodes = list(graph.nodes)
        self._results = list(graph.outputs), list(graph.updates), list(graph.checks)

    def run(self, tensors: set[Tensor]) -> Executable:
        graph = self._graph
        self.restore()
        graph.recomputed = set(tensors)
        self._finish(graph)
        executable = Executable(graph, may_exceed=True)
        self.restore()
        return executable

    def restore(self) -> None:
        graph = self._graph
        graph.nodes = list(self._nodes)
        outputs, updates, checks = self._results
        graph.outputs, graph.updates, graph.checks = list(outputs), list(updates), list(checks)
        for node in self._nodes:
            for output in node.outputs:
                if output is not None:
                    output.node = node


@dataclass
class _Count:
    """Bytes alive at each node of a schedule, and what repeated nodes cost, in operations."""

    alive: NDArray[np.int64]
    price: float

    def excess(self, target: float) -> float:
        """Return how much of what is alive exceeds `target`, summed over the nodes."""
        return float(np.maximum(self.alive - target, 0).sum())


class _Search:
    """Counts what lives when, and chooses what to give up."""

    def __init__(self, graph: Graph, plain: Executable) -> None:
        self._nodes = list(graph.nodes)
        self._fixed = given_up(graph)
        self._roots, self._extra, self._in_place = _memory_of(graph, plain)
        self._values = {node: (self._placed(node.inputs), self._placed(node.outputs)) for node in graph.nodes}
        self._costs = _costs(plain)
        self._count = self._counted(set())
        self.peak = self._peak()
        self._groups = self._candidates(graph)

    def _placed(self, tensors: Sequence[Tensor | None]) -> list[tuple[Tensor, Slot]]:
        """Return those of some values that lie in the arena, with their memory."""
        return [(t, self._roots[t]) for t in tensors if t is not None and t in self._roots]

    def path(self) -> Iterator[tuple[set[Tensor], int]]:
        """Yield sets of tensors to give up, with the peak that is left, until nothing helps."""
        chosen: set[Tensor] = set()
        target = self.peak * STAGE
        while True:
            moved = False
            for more in (True, False):
                for changed in self._moves(chosen, target, more):
                    chosen, moved = changed, True
                    yield chosen, self._peak()
            if self._peak() <= target:
                target *= STAGE
            elif not moved and self._peak() - target < self.peak * FINEST:
                return
            elif not moved:
                target = (target + self._peak()) / 2

    def _moves(self, chosen: set[Tensor], target: float, more: bool) -> Iterator[set[Tensor]]:
        """Yield `chosen` with groups added (`more`) or taken out, the most worth first, down to a target.

        What a group is worth changes with each move; it is worked out anew when the group comes first.
        """
        version = 0
        queue = [
            (-inf, place, -1) for place, group in enumerate(self._groups) if (group[0] in chosen) != more
        ]
        while queue and self._peak() > target:
            _, place, seen = heapq.heappop(queue)
            changed = chosen.symmetric_difference(self._groups[place])
            count = self._counted(changed)
            if seen == version:
                version += 1
                chosen, self._count = changed, count
                yield chosen
                continue
            gain = self._count.excess(target) - count.excess(target)
            worth = gain / max(count.price - self._count.price, 1.0)
            if worth > 0:
                heapq.heappush(queue, (-worth, place, version))

    def without_surplus(self, chosen: set[Tensor]) -> set[Tensor]:
        """Return `chosen` without the groups that can be kept while the peak stays as it is."""
        price, most = self._count.price, self._peak()
        for group in self._groups:
            if group[0] in chosen:
                fewer = chosen.difference(group)
                count = self._counted(fewer)
                if count.alive.max() <= most and count.price <= price:
                    chosen, price = fewer, count.price
        return chosen

    def _peak(self) -> int:
        return int(self._count.alive.max())

    def _counted(self, tensors: set[Tensor]) -> _Count:
        schedule = Schedule(self._nodes, self._fixed | tensors)
        first: dict[_Key, int] = {}
        last: dict[_Key, int] = {}
        over: list[tuple[_Key, _Key, int]] = []  # what may be written over, by what, when
        extra: list[int] = []
        price = 0.0
        for place, (node, number) in enumerate(schedule):
            read, made = self._values[node]
            for tensor, root in read:
                key = schedule.repeat_read(node, number, tensor), root
                first.setdefault(key, place)
                last[key] = place
                result = self._in_place.get((node.output, root))
                if result is not None:
                    over.append((key, (number, result), place))
            for _, root in made:
                first.setdefault((number, root), place)
                last[number, root] = place
            extra.append(self._extra.get(node.output, 0))
            if number:
                price += self._costs.get(node.output, 0.0) + OPERATIONS_A_BYTE * _bytes(node)
        taken: set[_Key] = set()
        for key, by, place in over:
            if by not in taken and first[key] < last[key] == place == first[by]:
                last[key] -= 1
                taken.add(by)
        changes = np.zeros(len(extra) + 1, np.int64)
        sizes = np.array([root.nbytes for _, root in first], np.int64)
        np.add.at(changes, list(first.values()), sizes)
        np.add.at(changes, np.array([last[key] for key in first], np.int64) + 1, -sizes)
        return _Count(changes.cumsum()[:-1] + np.array(extra, np.int64), price)

    def _candidates(self, graph: Graph) -> list[list[Tensor]]:
        """Return the tensors that may be given up, those that share memory together."""
        members: dict[Slot, list[Tensor]] = {}
        refused = {self._roots[t] for t in graph.results() if t in self._roots}
        for node in self._nodes:
            allowed = set(repeatable(node))
            for tensor in node.outputs:
                root = None if tensor is None else self._roots.get(tensor)
                if tensor is not None and root is not None:
                    members.setdefault(root, []).append(tensor)
                    if tensor not in allowed and not node.op.may_alias:
                        refused.add(root)
        schedule = Schedule(self._nodes, {t for tensors in members.values() for t in tensors})
        late = {
            self._roots[tensor]
            for node in self._nodes
            for tensor in node.inputs
            if tensor is not None and schedule.repeat_read(node, 0, tensor)
        }
        least = self.peak // LEAST_PART
        return [
            tensors
            for root, tensors in members.items()
            if root in late and root not in refused and root.nbytes > least
        ]


def _memory_of(
    graph: Graph, plain: Executable
) -> tuple[dict[Tensor, Slot], dict[Tensor, int], dict[tuple[Tensor, Slot], Slot]]:
    """Return the arena's memory that each value lies in, by nodes' outputs what else they work on, and by
    nodes' outputs and inputs which results may be written over the inputs."""
    builder = Builder(graph)
    roots = {t: slot.root() for t, slot in builder.tensors() if slot.root().kind == "temp"}
    known = set(roots.values())
    extra: dict[Tensor, int] = {}
    for step in plain.steps:
        if step.node is not None:
            output = step.node.output
            extra[output] = max(extra.get(output, 0), int(plain.step_info(step)["workspace"]))
    own: dict[Tensor, set[Slot]] = {}
    for step in builder.steps:
        if step.node is not None:
            own.setdefault(step.node.output, set()).update(slot.root() for slot in step.slots())
    in_place: dict[tuple[Tensor, Slot], Slot] = {}
    for step in builder.steps:
        for out, into in step.inplace:
            result, source = step.outputs[out], step.inputs[into]
            if step.node is None or result is None or source is None or result.base is not None:
                continue
            if source.root().nbytes == result.nbytes:
                in_place[step.node.output, source.root()] = result
    for output, slots in own.items():
        size = sum(slot.nbytes for slot in slots - known if slot.kind == "temp")
        extra[output] = extra.get(output, 0) + size
    return roots, extra, in_place


def _costs(plain: Executable) -> dict[Tensor, float]:
    """Return the floating-point operations by nodes' outputs."""
    costs: dict[Tensor, float] = {}
    for step in plain.steps:
        if step.node is not None:
            output = step.node.output
            costs[output] = costs.get(output, 0.0) + float(plain.step_info(step)["flops"])
    return costs


def _bytes(node: Node) -> int:
    return sum(tensor.nbytes for tensor in (*node.inputs, *node.outputs) if tensor is not None)
