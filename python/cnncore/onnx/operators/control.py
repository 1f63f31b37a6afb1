# SPDX-License-Identifier: Apache-2.0
"""If, Loop and Scan outside of programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Graph, Node
from ..table import host

Array = Any

MOST_TRIPS = 1 << 20
"""Rounds after which a loop is refused: it would run for hours, or for ever."""


def _truth(value: Any) -> bool:
    return value is None or bool(np.asarray(value).reshape(-1)[0])


@host("If", subgraphs=True)
def if_(node: Node, run: Any, condition: Array) -> tuple[Any, ...]:
    return tuple(run(node.attr("then_branch" if _truth(condition) else "else_branch"), ()))


@host("Loop", subgraphs=True)
def loop(node: Node, run: Any, count: Any, condition: Any = None, *carried: Any) -> tuple[Any, ...]:
    body: Graph = node.attr("body")
    trips = MOST_TRIPS + 1 if count is None else int(np.asarray(count).reshape(-1)[0])
    scanned: list[list[Array]] = [[] for _ in body.outputs[1 + len(carried) :]]
    state = list(carried)
    for i in range(trips):
        if not _truth(condition):
            break
        if i == MOST_TRIPS:
            raise ValueError(f"expected a loop that ends after at most {MOST_TRIPS} rounds")
        going = np.array(True) if condition is None else condition
        condition, *results = run(body, (np.array(i, np.int64), going, *state))
        state = results[: len(state)]
        for into, value in zip(scanned, results[len(state) :], strict=True):
            into.append(value)
    return (*state, *(_stacked(values, body, len(state) + 1 + i) for i, values in enumerate(scanned)))


def _stacked(values: list[Array], body: Graph, index: int) -> Array:
    if values:
        return np.stack(values)
    output = body.outputs[index]
    extents = [e if isinstance(e, int) else 0 for e in output.shape or ()]
    return np.zeros((0, *extents), output.dtype or np.float32)


@host("Scan", subgraphs=True)
def scan(node: Node, run: Any, *inputs: Any) -> tuple[Any, ...]:
    if node.opset < 9:
        lengths, *sequences = inputs
        if lengths is not None:
            raise ValueError("lengths of sequences are not supported")
        rows = [_scanned(node, run, [x[b] for x in sequences]) for b in range(len(sequences[0]))]
        return tuple(np.stack(parts) for parts in zip(*rows, strict=True))
    return tuple(_scanned(node, run, inputs))


def _scanned(node: Node, run: Any, given: Sequence[Array]) -> list[Array]:
    body: Graph = node.attr("body")
    count = node.attr("num_scan_inputs")
    state, sequences = list(given[: len(given) - count]), given[len(given) - count :]
    axes = node.attr("scan_input_axes", (0,) * count)
    backward = node.attr("scan_input_directions", node.attr("directions", (0,) * count))
    results = len(body.outputs) - len(state)
    collected: list[list[Array]] = [[] for _ in range(results)]
    length = sequences[0].shape[axes[0]]
    for t in range(length):
        steps = [
            np.take(x, length - 1 - t if reverse else t, axis)
            for x, axis, reverse in zip(sequences, axes, backward, strict=True)
        ]
        made = run(body, (*state, *steps))
        state = made[: len(state)]
        for into, value in zip(collected, made[len(state) :], strict=True):
            into.append(value)
    out_axes = node.attr("scan_output_axes", (0,) * results)
    reverse_out = node.attr("scan_output_directions", (0,) * results)
    joined = [
        np.stack(values[::-1] if reverse else values, axis)
        for values, axis, reverse in zip(collected, out_axes, reverse_out, strict=True)
    ]
    return [*state, *joined]
