# SPDX-License-Identifier: Apache-2.0
"""Products of the pieces of one tensor with the same weights become one product of the tensor.

A recurrence that was written out step by step multiplies each step's rows by the same matrix, which does not
stay in the caches from step to step; all steps' rows at once read it once.
"""

from __future__ import annotations

from collections.abc import Hashable
from math import prod
from typing import NamedTuple

from ..graph.rewrite import remove_dead
from ..graph.tensor import Graph, Layout, Node, Shape, Tensor, present
from ..graph.trace import as_part_of, at, building, emit
from ..ops.build import reshape_to, window
from ..ops.parts import Slice


class Member(NamedTuple):
    """A product, the name of its input of rows, and the slice of a tensor that these are."""

    node: Node
    place: str
    piece: Node


def share_weights(graph: Graph) -> None:
    """Put one product in the place of several, where their rows together are at least those of the tensor."""
    groups = [group for group in _groups(graph).values() if _pays(group)]
    if not groups:
        return
    joined = {member.node: (member, group) for group in groups for member in group}
    wholes: dict[Node, Tensor] = {}  # by the first of a group
    with building(graph):
        nodes, graph.nodes = graph.nodes, []
        for node in nodes:
            if node not in joined:
                graph.nodes.append(node)
                continue
            member, group = joined[node]
            first = group[0].node
            as_part_of(node)
            with at(node.path):
                if node is first:
                    wholes[first] = _whole(member)
                attrs = member.piece.attrs
                shape = _with_last(attrs.shape, node.output)
                piece = window(wholes[first], (*attrs.starts[:-1], 0), attrs.steps, shape)
                reshape_to(piece, node.output.shape, Layout.C)
            graph.nodes[-1] = graph.nodes[-1].with_(outputs=[node.output])
    remove_dead(graph)


def _groups(graph: Graph) -> dict[Hashable, list[Member]]:
    """Return the products of pieces by what they are pieces of, and what they are multiplied with.

    What is asked for may be differentiated by: products of it stay.
    """
    groups: dict[Hashable, list[Member]] = {}
    results = set(graph.results())
    for node in graph.nodes:
        place = node.op.maps_rows(node)
        rows = None if place is None else getattr(node.inputs, place)
        piece = None if rows is None else _piece(rows)
        if place is None or piece is None or not results.isdisjoint((rows, piece.output)):
            continue
        if not node.makes_one():
            continue
        others = node.inputs._replace(**{place: piece.inputs.input})
        groups.setdefault((node.op, node.attrs, others, node.origin), []).append(Member(node, place, piece))
    return groups


def _piece(rows: Tensor) -> Node | None:
    """Return the slice that a tensor of rows is, if it is one of whole rows."""
    node = rows.node
    if node is not None and node.op.keeps_elements:
        (source,) = node.inputs
        node = present(source).node
    if node is None or not isinstance(node.op, Slice):
        return None
    whole, attrs = node.inputs.input.shape, node.attrs
    in_order = attrs.steps[-1:] == (1,) and attrs.shape[-1:] == whole[-1:] == rows.shape[-1:]
    return node if in_order else None


def _pays(group: list[Member]) -> bool:
    rows = sum(prod(member.piece.attrs.shape[:-1]) for member in group)
    return len(group) > 1 and rows >= prod(group[0].piece.inputs.input.shape[:-1])


def _whole(member: Member) -> Tensor:
    """Add the product of all rows of the tensor that a member's rows are a piece of."""
    node, place, piece = member
    x = piece.inputs.input
    rows = reshape_to(x, (prod(x.shape[:-1]), x.shape[-1]), Layout.C)
    inputs = node.inputs._replace(**{place: rows})
    return reshape_to(emit(node.op, inputs, node.attrs).output, _with_last(x.shape, node.output), Layout.C)


def _with_last(shape: Shape, like: Tensor) -> Shape:
    return (*shape[:-1], like.shape[-1])
