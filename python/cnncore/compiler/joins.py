# SPDX-License-Identifier: Apache-2.0
"""Concatenations and slices along the channels that need no copy: who works on parts of a wider tensor."""

from __future__ import annotations

from collections.abc import Container, Mapping

from ..graph.tensor import Graph, Layout, Node, Place, Tensor, present


def parts_read_in_place(graph: Graph, outputs: Container[Tensor]) -> set[Tensor]:
    """Return the tensors that are some of another's channels and need not be copied: users read with gaps.

    Args:
        outputs: tensors that must be in memory of their own.
    """
    parts = {node.output for node in graph.nodes if node.op.takes_channels(node)}
    for node in graph.nodes if parts else ():
        for place, tensor in node.places():
            if tensor in parts and place not in node.op.reads_parts:
                parts.discard(tensor)
    return {tensor for tensor in parts if tensor not in outputs}


def joined_by_readers(graph: Graph, outputs: Container[Tensor]) -> set[Tensor]:
    """Return the concatenations of two tensors that are never made: whoever reads them reads the two.

    Args:
        outputs: tensors that must be in memory of their own.
    """
    joined = {
        node.output: next(iter(node.inputs)).shape[1]
        for node in graph.nodes
        if node.op.joins_channels(node)
        and len(node.inputs) == 2
        and node.output not in outputs
        and all(x is not None and x.source is None and x.layout == Layout.CHANNELS_LAST for x in node.inputs)
    }
    if graph.updates:  # what is read later than the graph says might have changed
        return set()
    for node in graph.nodes if joined else ():
        for place, tensor in enumerate(node.inputs):
            if tensor in joined and (place or not node.op.reads_joined(node, joined[tensor])):
                del joined[tensor]
    return set(joined)


def beginnings(graph: Graph, outputs: Container[Tensor]) -> dict[Tensor, Tensor]:
    """Return the concatenations along channels that begin a longer one, each with the longest.

    They are channels of it and need no memory: as in dense blocks (DenseNet), whose layers each join all that
    was made before. Their readers can read with gaps.

    Args:
        outputs: tensors that must be in memory of their own.
    """
    joins = [node for node in graph.nodes if node.op.joins_channels(node) and node.output not in outputs]
    dense = {
        tensor
        for node in (graph.nodes if joins else ())
        for place, tensor in node.places()
        if place not in node.op.reads_parts
    }
    chains: dict[tuple[Tensor, ...], list[Tensor]] = {}
    found: dict[Tensor, Tensor] = {}
    for node in joins:
        parts = tuple(map(present, node.inputs))
        starts = (parts[:count] for count in range(len(parts) - 1, 1, -1))
        chain = next((chains.pop(start) for start in starts if start in chains), [])
        found.update(dict.fromkeys(chain, node.output))
        if node.output not in dense:
            chains[parts] = [*chain, node.output]
    return found


def joined_parts(
    graph: Graph, outputs: Container[Tensor], begun: Mapping[Tensor, Tensor]
) -> dict[Tensor, tuple[Tensor, int]]:
    """Return the tensors that can be written straight into a concatenation, which then copies nothing.

    Such a tensor is made by a step that can write with gaps, joined along the channels once, also in what its
    concatenation goes on to, and whoever else reads it can read so.

    Args:
        outputs: tensors that must be in memory of their own.
        begun: what `beginnings` says of the graph.

    Returns:
        For each tensor the concatenation's result, and its first channel therein.
    """
    concatenations = [
        node for node in graph.nodes if node.op.joins_channels(node) and node.output not in outputs
    ]
    users: dict[Tensor | None, list[tuple[Node, Place]]] = {
        tensor: [] for node in concatenations for tensor in node.inputs
    }
    for node in graph.nodes if users else ():
        for place, tensor in node.places():
            if tensor in users:
                users[tensor].append((node, place))
    parts: dict[Tensor, tuple[Tensor, int]] = {}
    for node in concatenations:
        channel = 0
        whole = begun.get(node.output, node.output)
        for tensor in node.inputs:
            maker = present(tensor).node
            joins = [user for user, _ in users[tensor] if begun.get(user.output, user.output) is whole]
            if (
                tensor is not None
                and tensor not in outputs
                and maker is not None
                and maker.output is tensor
                and maker.op.writes_parts(maker)
                and len(set(joins)) == len(joins)
                and all(user in joins or place in user.op.reads_parts for user, place in users[tensor])
            ):
                parts[tensor] = (whole, channel)
            channel += present(tensor).shape[1]
    return parts
