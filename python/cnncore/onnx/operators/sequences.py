# SPDX-License-Identifier: Apache-2.0
"""Sequences of tensors, and optional values: Python lists and None, outside of programs."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Node
from ..table import host
from .shaping import axis_of, ints

Array = Any


def _position(sequence: list[Any], position: Any, end: int) -> int:
    place = ints(position)[0]
    if not -end <= place < max(end, 1):
        raise ValueError(f"position {place} in a sequence of {len(sequence)}")
    return place + end if place < 0 else place


@host("SequenceEmpty")
def empty(node: Node) -> list[Any]:
    return []


@host("SequenceConstruct")
def construct(node: Node, *inputs: Any) -> list[Any]:
    return list(inputs)


@host("SequenceLength")
def length(node: Node, sequence: list[Any]) -> Array:
    return np.array(len(sequence), np.int64)


@host("SequenceAt")
def at(node: Node, sequence: list[Any], position: Array) -> Any:
    return sequence[_position(sequence, position, len(sequence))]


@host("SequenceInsert")
def insert(node: Node, sequence: list[Any], value: Any, position: Any = None) -> list[Any]:
    place = len(sequence) if position is None else ints(position)[0]
    if place < 0:
        place += len(sequence)
    if not 0 <= place <= len(sequence):
        raise ValueError(f"position {place} in a sequence of {len(sequence)}")
    return [*sequence[:place], value, *sequence[place:]]


@host("SequenceErase")
def erase(node: Node, sequence: list[Any], position: Any = None) -> list[Any]:
    place = len(sequence) - 1 if position is None else _position(sequence, position, len(sequence))
    return [*sequence[:place], *sequence[place + 1 :]]


@host("ConcatFromSequence")
def concat(node: Node, sequence: list[Array]) -> Array:
    axis = node.attr("axis")
    return np.stack(sequence, axis) if node.attr("new_axis", 0) else np.concatenate(sequence, axis)


@host("SplitToSequence")
def split(node: Node, x: Array, sizes: Any = None) -> list[Array]:
    axis = axis_of(node.attr("axis", 0), x.ndim)
    extent = x.shape[axis]
    if sizes is None:
        parts = np.split(x, extent, axis) if extent else []
        return parts if node.attr("keepdims", 1) else [np.squeeze(part, axis) for part in parts]
    if sizes.ndim == 0:
        size = int(sizes)
        return np.split(x, range(size, extent, size), axis)
    return np.split(x, np.cumsum(ints(sizes))[:-1], axis)


@host("Optional")
def optional(node: Node, value: Any = None) -> Any:
    return value


@host("OptionalHasElement")
def has_element(node: Node, value: Any = None) -> Array:
    return np.array(value is not None)


@host("OptionalGetElement")
def get_element(node: Node, value: Any) -> Any:
    if value is None:
        raise ValueError("the optional value is absent")
    return value


@host("SequenceMap", subgraphs=True)
def sequence_map(node: Node, run: Any, sequence: list[Any], *others: Any) -> tuple[list[Any], ...]:
    body = node.attr("body")
    rows = [
        run(body, (value, *(other[i] if isinstance(other, list) else other for other in others)))
        for i, value in enumerate(sequence)
    ]
    return tuple([row[i] for row in rows] for i in range(len(body.outputs)))
