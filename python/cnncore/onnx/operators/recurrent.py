# SPDX-License-Identifier: Apache-2.0
"""RNN, GRU and LSTM: steps of the machine where it has such cells, else the formulas step by step."""

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
            active = ops.reshape(ops.greater(lengths, t), (-1, 1))
            made[t] = ops.where(active, new_hidden, 0.0)
            hidden = ops.where(active, new_hidden, hidden)
            cell = None if cell is None else ops.where(active, new_cell, cell)
    return ops.stack(made), hidden, cell


class Given(NamedTuple):
    """The inputs of a node, with the time first."""

    x: Any
    w: Any
    r: Any
    bias: Any
    lengths: Any
    hidden: Any
    cell: Any
    peepholes: Any


@traced("RNN", "GRU", "LSTM", indices=(4,))
def recurrent(node: Node, x: Any, w: Any, r: Any, *rest: Any) -> Any:
    bias, lengths, hidden, cell, peepholes = (*rest, None, None, None, None, None)[:5]
    batch_first = bool(node.attr("layout", 0))
    if batch_first:
        x, hidden, cell = (None if v is None else ops.permute(v, (1, 0, 2)) for v in (x, hidden, cell))
    if isinstance(lengths, np.ndarray) and (lengths == x.shape[0]).all():
        lengths = None
    given = Given(x, w, r, bias, lengths, hidden, cell, peepholes)
    name = _machine_cell(node, given)
    y, last = _by_formulas(node, given) if name is None else _by_machine(node, name, given)
    if batch_first:
        y = ops.permute(y, (2, 0, 1, 3))
        last = [ops.permute(state, (1, 0, 2)) for state in last]
    return (y, *last)


# -- by the machine's cells ----------------------------------------------------------------------------


_ORDERS = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""Where the machine's gates, in their order, stand among ONNX's."""


def _machine_cell(node: Node, given: Given) -> str | None:
    """Return the function of `ops` that computes a node, or None."""
    directions = given.w.shape[0]
    names = tuple(name.lower() for name in node.attr("activations", _KINDS[node.op][1] * directions))
    settings = ("clip", "activation_alpha", "activation_beta")
    unusual = given.peepholes is not None or node.attr("input_forget", 0) or any(map(node.attr, settings))
    backward = node.attr("direction", "forward") == "reverse"
    if unusual or (backward and given.lengths is not None):
        return None
    if node.op == "LSTM":
        return "lstm" if names == ("sigmoid", "tanh", "tanh") * directions else None
    if node.op == "GRU":
        usual = names == ("sigmoid", "tanh") * directions and node.attr("linear_before_reset", 0)
        return "gru" if usual else None
    same = len(set(names)) == 1 and names[0] in ("tanh", "relu")
    return f"rnn_{names[0]}" if same else None


def _reordered(node: Node, weight: Any) -> Any:
    """Return a weight or bias with its gates in the machine's order."""
    order = _ORDERS[node.op]
    if len(order) == 1:
        return weight
    size = weight.shape[0] // len(order)
    return ops.concat([ops.slice(weight, (slice(i * size, (i + 1) * size),)) for i in order])


def _by_machine(node: Node, name: str, given: Given) -> tuple[Any, list[Any]]:
    directions, hidden_size = given.w.shape[0], given.r.shape[2]
    params = []
    for d in range(directions):
        params += [_reordered(node, _part(given.w, d)), _reordered(node, _part(given.r, d))]
        if given.bias is not None:
            params += [_reordered(node, half) for half in _halves(_part(given.bias, d))]
    states = [given.hidden] if node.op != "LSTM" else [given.hidden, given.cell]
    if any(state is not None for state in states):
        zeros = np.zeros((directions, given.x.shape[1], hidden_size), np.float32)
        states = [zeros if state is None else state for state in states]
        hx = tuple(states) if len(states) > 1 else states[0]
    else:
        hx = None
    backward = node.attr("direction", "forward") == "reverse"
    x = ops.flip(given.x, 0) if backward else given.x
    function = getattr(ops, name)
    y, *last = function(
        x, hx, params, given.bias is not None, bidirectional=directions == 2, lengths=given.lengths
    )
    y = ops.flip(y, 0) if backward else y
    times, batch = y.shape[:2]
    return ops.permute(ops.reshape(y, (times, batch, directions, hidden_size)), (0, 2, 1, 3)), last


# -- by formulas ---------------------------------------------------------------------------------------


def _by_formulas(node: Node, given: Given) -> tuple[Any, list[Any]]:
    """Return Y (time, directions, batch, hidden), and Y_h and Y_c."""
    kind, usual = _KINDS[node.op]
    batch = given.x.shape[1]
    directions, hidden_size = given.w.shape[0], given.r.shape[2]
    functions = _activations(node, usual, directions)
    zeros = np.zeros((batch, hidden_size), np.float32)
    found = []
    for d in range(directions):
        of_input, of_hidden = (None, None) if given.bias is None else _halves(_part(given.bias, d))
        peep = None if given.peepholes is None else _part(given.peepholes, d)
        weights = Weights(_part(given.w, d), _part(given.r, d), of_input, of_hidden, peep)
        hidden = zeros if given.hidden is None else _part(given.hidden, d)
        cell = None
        if node.op == "LSTM":
            cell = zeros if given.cell is None else _part(given.cell, d)
        backward = d == 1 or node.attr("direction", "forward") == "reverse"
        steps = kind(node, weights, functions[d])
        found.append(_direction(steps, given.x, hidden, cell, given.lengths, backward))
    last = [ops.stack([hidden for _, hidden, _ in found])]
    if node.op == "LSTM":
        last.append(ops.stack([cell for _, _, cell in found]))
    return ops.stack([states for states, _, _ in found], 1), last


def _halves(bias: Any) -> tuple[Any, Any]:
    half = bias.shape[0] // 2
    return ops.slice(bias, (slice(0, half),)), ops.slice(bias, (slice(half, None),))
