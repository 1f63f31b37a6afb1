# SPDX-License-Identifier: Apache-2.0
"""RNN, GRU and LSTM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ... import ops
from ..graph import Node
from ..table import traced


class Weights(NamedTuple):
    """What one direction computes with: (gates * hidden, ...) each."""

    input: Any
    recurrent: Any
    input_bias: Any
    recurrent_bias: Any
    peepholes: Any


def _activation(name: str, alpha: float | None, beta: float | None) -> Callable[[Any], Any]:
    a = {"LeakyRelu": 0.01, "ThresholdedRelu": 1.0, "HardSigmoid": 0.2, "Elu": 1.0, "ScaledTanh": 1.0}.get(
        name
    )
    a = a if alpha is None else alpha
    b = {"HardSigmoid": 0.5, "ScaledTanh": 1.0}.get(name) if beta is None else beta
    functions: dict[str, Callable[[Any], Any]] = {
        "Sigmoid": ops.sigmoid,
        "Tanh": ops.tanh,
        "Relu": ops.relu,
        "Affine": lambda x: x * (1.0 if a is None else a) + (b or 0.0),
        "LeakyRelu": lambda x: ops.leaky_relu(x, a or 0.0),
        "ThresholdedRelu": lambda x: ops.threshold(x, a or 0.0, 0.0),
        "ScaledTanh": lambda x: ops.tanh(x * b) * a,
        "HardSigmoid": lambda x: ops.clamp(x * a + b, 0.0, 1.0),
        "Elu": lambda x: ops.elu(x, a or 0.0),
        "Softsign": ops.softsign,
        "Softplus": lambda x: ops.softplus(x),
    }
    if name not in functions:
        raise ValueError(f"unknown activation {name!r}")
    return functions[name]


def _activations(node: Node, usual: Sequence[str], directions: int) -> list[list[Callable[[Any], Any]]]:
    names = list(node.attr("activations", list(usual) * directions))
    alphas, betas = list(node.attr("activation_alpha", ())), list(node.attr("activation_beta", ()))
    functions = [
        _activation(name, alphas[i] if i < len(alphas) else None, betas[i] if i < len(betas) else None)
        for i, name in enumerate(names)
    ]
    each = len(usual)
    return [functions[d * each : (d + 1) * each] for d in range(directions)]


def _part(x: Any, index: int) -> Any:
    """Return element `index` of the first axis."""
    return ops.reshape(ops.slice(x, (slice(index, index + 1),)), tuple(x.shape[1:]))


def _gates(x: Any, count: int) -> list[Any]:
    hidden = x.shape[-1] // count
    before = [slice(None)] * (x.ndim - 1)
    return [ops.slice(x, (*before, slice(i * hidden, (i + 1) * hidden))) for i in range(count)]


def _clipped(node: Node, x: Any) -> Any:
    limit = node.attr("clip")
    return x if limit is None else ops.clamp(x, -limit, limit)


class _Steps:
    """The recurrence of one direction of a node over its time steps."""

    def __init__(self, node: Node, weights: Weights, functions: Sequence[Callable[[Any], Any]]) -> None:
        self.node = node
        self.weights = weights
        self.functions = functions

    def projected(self, x: Any, both: bool) -> Any:
        """Return the products of all inputs (time, batch, size) with the input's weights."""
        w = self.weights
        bias = w.input_bias
        if bias is not None and both:
            bias = bias + w.recurrent_bias
        return ops.linear(x, w.input, bias)

    def step(self, gates: Any, hidden: Any, cell: Any) -> tuple[Any, Any]:
        raise NotImplementedError


class _Rnn(_Steps):
    def step(self, gates: Any, hidden: Any, cell: Any) -> tuple[Any, Any]:
        total = gates + ops.linear(hidden, self.weights.recurrent)
        return self.functions[0](_clipped(self.node, total)), cell


class _Lstm(_Steps):
    def step(self, gates: Any, hidden: Any, cell: Any) -> tuple[Any, Any]:
        f, g, h = self.functions
        i, o, forget, c = _gates(gates + ops.linear(hidden, self.weights.recurrent), 4)
        peep = self.weights.peepholes
        pi, po, pf = (None, None, None) if peep is None else _gates(peep, 3)
        i = f(_clipped(self.node, i if pi is None else i + pi * cell))
        if self.node.attr("input_forget", 0):
            forget = 1.0 - i
        else:
            forget = f(_clipped(self.node, forget if pf is None else forget + pf * cell))
        cell = forget * cell + i * g(_clipped(self.node, c))
        o = f(_clipped(self.node, o if po is None else o + po * cell))
        return o * h(cell), cell


class _Gru(_Steps):
    def step(self, gates: Any, hidden: Any, cell: Any) -> tuple[Any, Any]:
        f, g = self.functions
        w = self.weights
        size = hidden.shape[-1]
        z, r, h = _gates(gates, 3)
        rows = slice(0, 2 * size), slice(2 * size, 3 * size)
        bias = None if w.recurrent_bias is None else [ops.slice(w.recurrent_bias, (part,)) for part in rows]
        inner = ops.linear(hidden, ops.slice(w.recurrent, (rows[0],)), bias and bias[0])
        zr, rr = _gates(inner, 2)
        z, r = f(_clipped(self.node, z + zr)), f(_clipped(self.node, r + rr))
        last = ops.slice(w.recurrent, (rows[1],))
        if self.node.attr("linear_before_reset", 0):
            h = h + r * ops.linear(hidden, last, bias and bias[1])
        else:
            h = h + ops.linear(r * hidden, last, bias and bias[1])
        h = g(_clipped(self.node, h))
        return (1.0 - z) * h + z * hidden, cell


_KINDS: dict[str, tuple[type[_Steps], tuple[str, ...]]] = {
    "RNN": (_Rnn, ("Tanh",)),
    "GRU": (_Gru, ("Sigmoid", "Tanh")),
    "LSTM": (_Lstm, ("Sigmoid", "Tanh", "Tanh")),
}


def _direction(
    steps: _Steps, x: Any, hidden: Any, cell: Any, lengths: Any, backward: bool
) -> tuple[Any, Any, Any]:
    """Run one direction; return all hidden states (time, batch, hidden) and the last states."""
    times = x.shape[0]
    gates = steps.projected(x, not isinstance(steps, _Gru))
    made = [None] * times
    for t in reversed(range(times)) if backward else range(times):
        new_hidden, new_cell = steps.step(_part(gates, t), hidden, cell)
        if lengths is None:
            hidden, cell = new_hidden, new_cell
            made[t] = hidden
        else:
            active = (lengths > t).astype(np.float32).reshape(-1, 1)
            made[t] = new_hidden * active
            hidden = new_hidden * active + hidden * (1.0 - active)
            cell = None if cell is None else new_cell * active + cell * (1.0 - active)
    return ops.stack(made), hidden, cell


@traced("RNN", "GRU", "LSTM", static=(4,))
def recurrent(node: Node, x: Any, w: Any, r: Any, *rest: Any) -> Any:
    bias, lengths, first_hidden, first_cell, peepholes = (*rest, None, None, None, None, None)[:5]
    kind, usual = _KINDS[node.op]
    batch_first = bool(node.attr("layout", 0))
    if batch_first:
        x = ops.permute(x, (1, 0, 2))
    times, batch, _ = x.shape
    directions, hidden_size = w.shape[0], r.shape[2]
    if lengths is not None:
        lengths = np.asarray(lengths)
        lengths = None if (lengths == times).all() else lengths
    functions = _activations(node, usual, directions)
    zeros = np.zeros((batch, hidden_size), np.float32)
    found = []
    for d in range(directions):
        of_input, of_hidden = (None, None) if bias is None else _halves(_part(bias, d))
        peep = None if peepholes is None else _part(peepholes, d)
        steps = kind(node, Weights(_part(w, d), _part(r, d), of_input, of_hidden, peep), functions[d])
        hidden = zeros if first_hidden is None else _state(first_hidden, d, batch_first)
        cell = None
        if node.op == "LSTM":
            cell = zeros if first_cell is None else _state(first_cell, d, batch_first)
        backward = d == 1 or node.attr("direction", "forward") == "reverse"
        found.append(_direction(steps, x, hidden, cell, lengths, backward))
    return _results(node, found, batch_first)


def _halves(bias: Any) -> tuple[Any, Any]:
    half = bias.shape[0] // 2
    return ops.slice(bias, (slice(0, half),)), ops.slice(bias, (slice(half, None),))


def _state(state: Any, direction: int, batch_first: bool) -> Any:
    return _part(ops.permute(state, (1, 0, 2)) if batch_first else state, direction)


def _results(node: Node, found: Sequence[tuple[Any, Any, Any]], batch_first: bool) -> tuple[Any, ...]:
    """Return Y (time, directions, batch, hidden), Y_h and Y_c, with the batch first where layout is 1."""
    y = ops.stack([states for states, _, _ in found], 1)
    last = [ops.stack([hidden for _, hidden, _ in found])]
    if node.op == "LSTM":
        last.append(ops.stack([cell for _, _, cell in found]))
    if batch_first:
        y = ops.permute(y, (2, 0, 1, 3))
        last = [ops.permute(state, (1, 0, 2)) for state in last]
    return (y, *last)
