# SPDX-License-Identifier: Apache-2.0
"""The pass that has values computed again for gradients instead of kept (Chen et al., 2016)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from ..graph.tensor import Graph, Node, Tensor

SMALL_PART = 16
"""Values that are so many times smaller than what their node reads or writes are kept: means, for example."""


def recompute(graph: Graph) -> None:
    """Let gradients read what they need of `graph.recomputed`, and of checkpoints, from nodes made again.

    These run right before the first gradient node that reads their results, with the same random numbers;
    all nodes of one differentiation share them. What a node updates, running statistics for example, it
    updates once: results of such nodes are kept, and so are small ones.
    """
    schedule = Schedule(graph.nodes, given_up(graph))
    if not schedule.given_up:
        return
    nodes: list[Node] = []
    made: dict[tuple[int, Tensor], Tensor] = {}
    for node, number in schedule:
        numbers = [schedule.repeat_read(node, number, tensor) for tensor in node.inputs]
        inputs = [made[n, t] if n and t is not None else t for n, t in zip(numbers, node.inputs, strict=True)]
        if number:
            outputs = [None if t is None else Tensor(t.shape, t.dtype, t.layout) for t in node.outputs]
            for tensor, output in zip(node.outputs, outputs, strict=True):
                if tensor is not None and output is not None:
                    made[number, tensor] = output
            origin = node.origin._replace(checkpoint=0, derivative=number, recomputed=True)
            node = Node(node.op, inputs, outputs, node.attrs, node.path, origin)
        elif any(numbers):
            node = node.with_(inputs)
        nodes.append(node)
    graph.nodes = nodes
    _drop_unread(graph)


def given_up(graph: Graph) -> set[Tensor]:
    """Return the tensors that are not kept for gradients."""
    inside = [node for node in graph.nodes if node.origin.checkpoint]
    if not inside:
        return set(graph.recomputed)
    leaving = set(graph.results())
    for node in graph.nodes:
        for tensor in node.inputs:
            maker = None if tensor is None else tensor.node
            if tensor is not None and maker is not None and maker.origin.checkpoint:
                earlier = node.origin.derivative <= maker.origin.derivative
                if earlier and node.origin.checkpoint != maker.origin.checkpoint:
                    leaving.add(tensor)
    found = {tensor for node in inside for tensor in repeatable(node)}
    return found - leaving | graph.recomputed


def repeatable(node: Node) -> list[Tensor]:
    """Return the outputs of a node that may be made a second time, and are worth it."""
    if node.op.writes_updates:
        return []
    made = [tensor for tensor in node.outputs if tensor is not None]
    largest = max(tensor.nbytes for tensor in (*node.inputs, *made) if tensor is not None)
    return [tensor for tensor in made if SMALL_PART * tensor.nbytes > largest]


class Schedule:
    """The order of nodes in which some run again for gradients.

    Iteration gives each node, with 0, and before the first one that reads it late each repeated node, with
    the number of the differentiation that it is repeated for.

    Args:
        nodes: in their order so far.
        given_up: tensors that gradients do not read as they were made.
    """

    def __init__(self, nodes: Sequence[Node], given_up: Set[Tensor]) -> None:
        self.given_up = given_up
        self._nodes = nodes
        self._place = {node: place for place, node in enumerate(nodes)}
        self._makers = {t: node for node in nodes for t in node.outputs if t in given_up and t is not None}

    def __iter__(self) -> Iterator[tuple[Node, int]]:
        made: set[tuple[int, Tensor]] = set()
        for node in self._nodes:
            if not self.given_up.isdisjoint(node.inputs):
                number = node.origin.derivative
                late = [t for t in node.inputs if t is not None and self.repeat_read(node, 0, t)]
                for again in self._needed(late, number, made):
                    yield again, number
            yield node, 0

    def repeat_read(self, node: Node, number: int, tensor: Tensor | None) -> int:
        """Return the differentiation for which an input is repeated, 0 where it is read as it was made.

        Args:
            node, number: as iteration gives them.
            tensor: one of the node's inputs.
        """
        if tensor is None or tensor not in self._makers:
            return 0
        maker = self._makers[tensor]
        made, read = maker.origin, node.origin
        if number:
            return number if made.derivative < number else 0
        within = made.checkpoint != 0 and made.checkpoint == read.checkpoint
        return read.derivative if read.derivative > made.derivative and not within else 0

    def _needed(self, waiting: list[Tensor], number: int, made: set[tuple[int, Tensor]]) -> list[Node]:
        """Return the nodes to repeat for the values of some tensors, in their order; note what they make."""
        needed: set[Node] = set()
        while waiting:
            tensor = waiting.pop()
            if (number, tensor) in made:
                continue
            node = self._makers[tensor]
            needed.add(node)
            made.update((number, output) for output in node.outputs if output is not None)
            waiting += [t for t in node.inputs if t is not None and self.repeat_read(node, number, t)]
        return sorted(needed, key=self._place.__getitem__)


def _drop_unread(graph: Graph) -> None:
    """Let no node make optional outputs for gradients that read repeated ones."""
    read = graph.users()
    for place, node in enumerate(graph.nodes):
        unread = {tensor for tensor in node.outputs[1:] if tensor is not None and tensor not in read}
        if unread:
            graph.nodes[place] = node.op.without(node, unread)
