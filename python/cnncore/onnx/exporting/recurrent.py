# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers as LSTM, GRU and RNN nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...graph.tensor import Node, Tensor
from ...ops.convolution import ConvForward
from ...ops.recurrent import LengthsGuard, Recurrent
from ...ops.shape import Reshape
from .writer import Writer, exporter

_ORDERS = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2)}
"""Where ONNX's gates, in their order, stand among the machine's."""


def _reordered(w: Writer, name: str, cell: str, hidden: int) -> str:
    order = _ORDERS.get(cell)
    if order is None:
        return name
    axis = w.ints([0])
    parts = [w.add("Slice", [name, w.ints([i * hidden]), w.ints([(i + 1) * hidden]), axis]) for i in order]
    return str(w.add("Concat", parts, axis=0))


def _one_direction(w: Writer, name: str) -> str:
    return str(w.add("Unsqueeze", [name, w.ints([0])]))


def _before(tensor: Tensor, op: type) -> Node | None:
    node = tensor.node
    return node if node is not None and isinstance(node.op, op) else None


def _projection_of(w: Writer, projected: Tensor, batch_first: bool) -> tuple[str, Any]:
    """Return the layer's input, and the inputs of the matrix product that made its share of the gates."""
    outer = _before(projected, Reshape)
    product = None if outer is None else _before(outer.inputs.input, ConvForward)
    if product is None:
        raise ValueError(f"[{w.path}] a recurrent layer whose input's share is not a matrix product")
    rows = product.inputs.input
    inner = _before(rows, Reshape)
    if inner is not None and inner.inputs.input.shape == (*projected.shape[:2], rows.shape[1]):
        return w.get(inner.inputs.input), product.inputs
    # What came before makes rows itself, (time * batch, features); the batch may be open.
    extents = [-1, projected.shape[1]] if batch_first else [projected.shape[0], -1]
    return w.add("Reshape", [w.get(rows), w.ints([*extents, rows.shape[1]])]), product.inputs


@exporter(LengthsGuard)
def guard(w: Writer, node: Node, twin: Node | None) -> tuple[str, ...]:
    return ()


@exporter(Recurrent)
def recurrent(w: Writer, node: Node, twin: Node | None) -> tuple[str, ...]:
    inputs, (cell, reverse, batch_first, _) = node.inputs, node.attrs
    if inputs.projection is not None:
        raise ValueError(f"[{w.path}] projections of LSTMs have no form in ONNX")
    name, product = _projection_of(w, inputs.projected, batch_first)
    hidden = inputs.weight.shape[1]
    if batch_first:
        name = w.add("Transpose", [name], perm=[1, 0, 2])
    weights = [
        _one_direction(w, _reordered(w, w.get(tensor), cell, hidden))
        for tensor in (product.weight, inputs.weight)
    ]
    given = [name, *weights, _biases(w, product.bias, inputs.bias, cell, hidden, inputs.weight.shape[0])]
    given.append("" if inputs.lengths is None else w.add("Cast", [w.get(inputs.lengths)], to=6))
    states = [inputs.state] if cell != "lstm" else [inputs.state, inputs.cell_state]
    given += ["" if state is None else _one_direction(w, w.get(state)) for state in states]
    while not given[-1]:
        given.pop()
    settings: dict[str, Any] = {"hidden_size": hidden, "direction": "reverse" if reverse else "forward"}
    op = {"lstm": "LSTM", "gru": "GRU"}.get(cell, "RNN")
    if cell == "gru":
        settings["linear_before_reset"] = 1
    elif op == "RNN":
        settings["activations"] = ["Tanh" if cell == "rnn_tanh" else "Relu"]
    y, *last = w.add(op, given, 3 if cell == "lstm" else 2, **settings)
    y = w.add("Squeeze", [y, w.ints([1])])
    if batch_first:
        y = w.add("Transpose", [y], perm=[1, 0, 2])
    return (y, *(w.add("Squeeze", [state, w.ints([0])]) for state in last))


def _biases(
    w: Writer, of_input: Tensor | None, of_state: Tensor | None, cell: str, hidden: int, rows: int
) -> str:
    """Return both biases one behind the other, (1, 2 * rows); "" where there are none."""
    if of_input is None and of_state is None:
        return ""
    zeros = w.constant(np.zeros(rows, np.float32))
    names = [
        zeros if bias is None else _reordered(w, w.get(bias), cell, hidden) for bias in (of_input, of_state)
    ]
    return _one_direction(w, str(w.add("Concat", names, axis=0)))
