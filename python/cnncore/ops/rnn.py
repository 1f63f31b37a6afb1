# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers over sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..graph.dispatch import operator
from ..graph.tensor import Layout, Shape, Tensor
from ..graph.trace import as_tensor, current_graph, dtype_error, emit, shape_error, where
from .build import cast, elementwise, reshape_to, window, with_layout
from .check import float_tensor, integers, real
from .convolution import convolve
from .dropout import dropout as drop
from .parts import concat
from .recurrent import (
    GATES,
    LengthsGuard,
    LengthsGuardAttributes,
    LengthsGuardInputs,
    Recurrent,
    RecurrentAttributes,
    RecurrentInputs,
)
from .window import Window

__all__ = [
    "gru",
    "lstm",
    "rnn_relu",
    "rnn_tanh",
]


class LayerWeights(NamedTuple):
    """Of one layer in one direction."""

    ih: Tensor
    hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None
    hr: Tensor | None


class LayerSettings(NamedTuple):
    op: str
    cell: str
    batch_first: bool
    lengths: Tensor | None


def check_weights(weights: LayerWeights, features: int, settings: LayerSettings, name: str) -> None:
    """Raise for weights that do not fit each other or the input."""
    gates, op = GATES[settings.cell], settings.op
    ih, hh = weights.ih, weights.hh
    if ih.ndim != 2 or hh.ndim != 2 or ih.shape[0] % gates or hh.shape[0] != ih.shape[0]:
        raise shape_error(
            op,
            f"expected weights ({gates} * hidden size, ...) of {name}, got {ih.shape} and {hh.shape}",
        )
    hidden = ih.shape[0] // gates
    if ih.shape[1] != features:
        raise shape_error(
            op,
            f"expected input with {ih.shape[1]} features (weight_ih of {name} is {ih.shape}), got {features}",
        )
    outputs = hidden if weights.hr is None else hh.shape[1]
    if weights.hr is not None and weights.hr.shape != (outputs, hidden):
        raise shape_error(op, f"expected weight_hr ({outputs}, {hidden}) of {name}, got {weights.hr.shape}")
    if hh.shape[1] != outputs:
        raise shape_error(op, f"expected weight_hh ({ih.shape[0]}, {outputs}) of {name}, got {hh.shape}")
    for kind, bias in (("bias_ih", weights.bias_ih), ("bias_hh", weights.bias_hh)):
        if bias is not None and bias.shape != ih.shape[:1]:
            raise shape_error(op, f"expected {kind} {ih.shape[:1]} of {name}, got {bias.shape}")


def run_direction(
    x: Tensor, weights: LayerWeights, states: Sequence[Tensor | None], reverse: bool, settings: LayerSettings
) -> tuple[Tensor, ...]:
    """Return the output, the last state and, of an LSTM, the last cell state of one direction.

    The input's share of all steps is one matrix product.
    """
    bias, hidden_bias = weights.bias_ih, weights.bias_hh
    if settings.cell != "gru" and hidden_bias is not None:
        bias = hidden_bias if bias is None else elementwise("add", bias, hidden_bias)
        hidden_bias = None
    rows = reshape_to(with_layout(x, Layout.C), (x.size // x.shape[2], x.shape[2]))
    projected = convolve(rows, weights.ih, bias, Window.of(()), 1)
    projected = reshape_to(projected, (*x.shape[:2], weights.ih.shape[0]), Layout.C)
    state, cell_state = (*states, None)[:2]
    inputs = RecurrentInputs(
        projected, weights.hh, state, cell_state, hidden_bias, weights.hr, settings.lengths
    )
    attrs = RecurrentAttributes(settings.cell, reverse, settings.batch_first)
    found = emit(Recurrent, inputs, attrs).outputs
    return tuple(value for value in found if value is not None)


def _weights_of(params: Any, has_biases: bool, cells: int, op: str) -> list[LayerWeights]:
    """Return the weights of each layer and direction from a flat list."""
    if not isinstance(params, (list, tuple)):
        raise dtype_error(op, f"expected a list of weights, got {type(params).__name__}")
    each, rest = divmod(len(params), cells)
    plain = 4 if has_biases else 2
    if rest or each not in (plain, plain + 1) or (each > plain and op != "lstm"):
        names = "weight_ih, weight_hh" + (", bias_ih, bias_hh" if has_biases else "")
        raise shape_error(
            op,
            f"expected {cells} times ({names}), one for each layer and direction, got {len(params)} weights",
        )
    tensors = [with_layout(float_tensor(param, op), Layout.C) for param in params]
    sets = [tensors[i : i + each] for i in range(0, len(tensors), each)]
    return [
        LayerWeights(
            part[0],
            part[1],
            part[2] if has_biases else None,
            part[3] if has_biases else None,
            part[-1] if each > plain else None,
        )
        for part in sets
    ]


def _initial_states(
    hx: Any, names: Sequence[str], shapes: Sequence[Shape], single: bool, op: str
) -> list[Tensor | None]:
    """Return initial states (layers * directions, batch, size), None for zeros."""
    if hx is None:
        return [None] * len(names)
    given = list(hx) if len(names) > 1 and isinstance(hx, (list, tuple)) else [hx]
    if len(given) != len(names):
        raise dtype_error(op, f"expected the states ({', '.join(names)}), got {type(hx).__name__}")
    states: list[Tensor | None] = []
    for name, value, shape in zip(names, given, shapes, strict=True):
        state = float_tensor(value, op)
        wanted = (shape[0], shape[2]) if single else shape
        if state.shape != wanted:
            form = "layers * directions, size" if single else "layers * directions, batch, size"
            raise shape_error(op, f"expected {name} ({form}) of shape {wanted}, got {state.shape}")
        states.append(reshape_to(with_layout(state, Layout.C), shape, Layout.C))
    return states


def _part(state: Tensor | None, index: int) -> Tensor | None:
    """Return the state of one layer and direction."""
    if state is None:
        return None
    shape = state.shape
    return reshape_to(window(state, (index, 0, 0), (1, 1, 1), (1, *shape[1:])), shape[1:])


def _joined(parts: Sequence[Tensor], single: bool) -> Tensor:
    """Return last states as (layers * directions, batch, size)."""
    shape = parts[0].shape
    rows = [reshape_to(part, (1, *shape), Layout.C) for part in parts]
    whole = rows[0] if len(rows) == 1 else concat(rows, 0)
    return reshape_to(whole, (len(parts), shape[1]), Layout.C) if single else whole


def _side_by_side(found: Sequence[Tensor]) -> Tensor:
    """Return the outputs of both directions as one."""
    return found[0] if len(found) == 1 else concat(found, 2)


def checked_lengths(lengths: Any, batch: int, time: int, op: str, in_order: bool = False) -> Tensor:
    """Return lengths as int64 (batch,), which each run checks.

    Args:
        lengths: integers (batch,).
        batch: rows of the sequences.
        time: the longest that may be.
        op: what to name in errors.
        in_order: whether they must not grow.
    """
    tensor = as_tensor(lengths, op)
    if tensor.dtype == "float32" or tensor.shape != (batch,):
        raise shape_error(
            op, f"expected integer lengths ({batch},), got {tensor.dtype} of shape {tensor.shape}"
        )
    tensor = with_layout(cast(tensor, "int64"), Layout.C)
    bad = emit(LengthsGuard, LengthsGuardInputs(tensor), LengthsGuardAttributes(time, in_order)).output
    order = " in descending order (or enforce_sorted=False)" if in_order else ""
    message = f"[{where(op)}] expected lengths from 1 to {time}{order}, got {{}} others"
    current_graph().checks.append((bad, message))
    return tensor


def _recurrent(
    op: str,
    input: Any,
    hx: Any,
    params: Any,
    has_biases: bool,
    num_layers: Any,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
    lengths: Any,
) -> tuple[Tensor, ...]:
    x = float_tensor(input, op)
    if x.ndim not in (2, 3):
        axes = "(batch, time, features)" if batch_first else "(time, batch, features)"
        raise shape_error(op, f"expected input {axes} or (time, features), got {x.shape}")
    single = x.ndim == 2
    if single:
        x, batch_first = reshape_to(x, (x.shape[0], 1, x.shape[1]), Layout.C), False
    batch, time = x.shape[:2] if batch_first else (x.shape[1], x.shape[0])
    if time == 0:
        raise shape_error(op, f"expected at least one step in time, got input {x.shape}")
    layers, directions = integers(num_layers, 1, "num_layers", op)[0], 2 if bidirectional else 1
    rate = real(dropout, "dropout", op, 0, 1)
    sets = _weights_of(params, has_biases, layers * directions, op)
    if lengths is not None:
        lengths = checked_lengths(lengths, batch, time, op)
    settings = LayerSettings(op, op, batch_first, lengths)
    hidden, outputs = sets[0].ih.shape[0] // GATES[op], sets[0].hh.shape[-1]
    names = ("h_0", "c_0") if op == "lstm" else ("h_0",)
    shapes = [(len(sets), batch, size) for size in (outputs, hidden)][: len(names)]
    states = _initial_states(hx, names, shapes, single, op)
    last: list[tuple[Tensor, ...]] = []
    found: list[Tensor] = []
    for layer in range(layers):
        if layer > 0:
            x = _side_by_side(found)
            x = drop(x, rate, bool(train))
            found = []
        for direction in range(directions):
            index = layer * directions + direction
            check_weights(sets[index], x.shape[2], settings, f"layer {layer}")
            parts = [_part(state, index) for state in states]
            y, *after = run_direction(x, sets[index], parts, direction == 1, settings)
            found.append(y)
            last.append(tuple(after))
    ends = [_joined(parts, single) for parts in zip(*last, strict=True)]
    output = _side_by_side(found)
    return reshape_to(output, (time, output.shape[2]), Layout.C) if single else output, *ends


@operator("input", "hx", "params", "lengths")
def lstm(
    input: Any,
    hx: Any,
    params: Sequence[Any],
    has_biases: bool = True,
    num_layers: int = 1,
    dropout: float = 0.0,
    train: bool = False,
    bidirectional: bool = False,
    batch_first: bool = False,
    lengths: Any = None,
) -> tuple[Tensor, ...]:
    """Run layers of long short-term memory (Hochreiter and Schmidhuber, 1997) over sequences.

    i, f, o = sigmoid(...), g = tanh(...) of weight_ih x + bias_ih + weight_hh h + bias_hh (rows in the order
    i, f, g, o); c = f c + i g; h = o tanh(c), times weight_hr where there is one (Sak et al., 2014).

    Args:
        input: (time, batch, features), (batch, time, features) with `batch_first`, or (time, features).
        hx: None for zeros, or the pair h_0 (layers * directions, batch, size), c_0 (the same with the hidden
            size); both without batch if the input has none.
        params: weight_ih (4 hidden, features), weight_hh (4 hidden, size), with `has_biases` bias_ih and
            bias_hh (4 hidden,), and weight_hr (size, hidden) or not: for each layer, and each direction of
            it, one after the other.
        has_biases: whether there are biases.
        num_layers: layers on top of each other.
        dropout: share of values that are zeroed between layers, with `train`.
        train: whether this is training.
        bidirectional: whether each layer also reads backwards; results of both lie side by side.
        batch_first: whether the batch is the first axis.
        lengths: (batch,) integers; behind a row's length its state stays, outputs are 0, and reading
            backwards begins before it. None: all rows have the whole time.

    Returns:
        output (time, batch, directions * size), h_n and c_n like h_0 and c_0.

    Raises:
        ValueError: shapes that do not belong together, lengths beyond the time.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> weights = [np.ones((4, 2)), np.zeros((4, 1))]
    >>> output, h_n, c_n = ops.lstm(np.ones((3, 1, 2)), None, weights, has_biases=False)
    >>> output.shape, round(c_n.item(), 4)
    ((3, 1, 1), 2.2558)
    """
    return _recurrent(
        "lstm",
        input,
        hx,
        params,
        has_biases,
        num_layers,
        dropout,
        train,
        bidirectional,
        batch_first,
        lengths,
    )


@operator("input", "hx", "params", "lengths")
def gru(
    input: Any,
    hx: Any,
    params: Sequence[Any],
    has_biases: bool = True,
    num_layers: int = 1,
    dropout: float = 0.0,
    train: bool = False,
    bidirectional: bool = False,
    batch_first: bool = False,
    lengths: Any = None,
) -> tuple[Tensor, ...]:
    """Run layers of gated recurrent units (Cho et al., 2014) over sequences.

    r, z = sigmoid(...) of weight_ih x + bias_ih + weight_hh h + bias_hh (rows in the order r, z, n);
    n = tanh(weight_in x + bias_in + r (weight_hn h + bias_hn)); h = (1 - z) n + z h.

    Args:
        input: (time, batch, features), (batch, time, features) with `batch_first`, or (time, features).
        hx: None for zeros, or h_0 (layers * directions, batch, hidden), without batch if the input has none.
        params: weight_ih (3 hidden, features), weight_hh (3 hidden, hidden) and, with `has_biases`,
            bias_ih and bias_hh (3 hidden,): for each layer, and each direction of it, one after the other.
        has_biases, num_layers, dropout, train, bidirectional, batch_first, lengths: as of `lstm`.

    Returns:
        output (time, batch, directions * hidden), h_n like h_0.

    Raises:
        ValueError: shapes that do not belong together, lengths beyond the time.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> output, h_n = ops.gru(np.ones((3, 1, 2)), None, [np.ones((3, 2)), np.zeros((3, 1))], has_biases=False)
    >>> output.shape, round(h_n.item(), 4)
    ((3, 1, 1), 0.3053)
    """
    return _recurrent(
        "gru",
        input,
        hx,
        params,
        has_biases,
        num_layers,
        dropout,
        train,
        bidirectional,
        batch_first,
        lengths,
    )


@operator("input", "hx", "params", "lengths")
def rnn_tanh(
    input: Any,
    hx: Any,
    params: Sequence[Any],
    has_biases: bool = True,
    num_layers: int = 1,
    dropout: float = 0.0,
    train: bool = False,
    bidirectional: bool = False,
    batch_first: bool = False,
    lengths: Any = None,
) -> tuple[Tensor, ...]:
    """Run layers of simple recurrent units (Elman, 1990) over sequences.

    h = tanh(weight_ih x + bias_ih + weight_hh h + bias_hh).

    Args:
        input: (time, batch, features), (batch, time, features) with `batch_first`, or (time, features).
        hx: None for zeros, or h_0 (layers * directions, batch, hidden), without batch if the input has none.
        params: weight_ih (hidden, features), weight_hh (hidden, hidden) and, with `has_biases`, bias_ih and
            bias_hh (hidden,): for each layer, and each direction of it, one after the other.
        has_biases, num_layers, dropout, train, bidirectional, batch_first, lengths: as of `lstm`.

    Returns:
        output (time, batch, directions * hidden), h_n like h_0.

    Raises:
        ValueError: shapes that do not belong together, lengths beyond the time.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> output, h_n = ops.rnn_tanh([[0.5]], None, [np.ones((1, 1)), np.ones((1, 1))], has_biases=False)
    >>> round(output.item(), 4)
    0.4621
    """
    return _recurrent(
        "rnn_tanh",
        input,
        hx,
        params,
        has_biases,
        num_layers,
        dropout,
        train,
        bidirectional,
        batch_first,
        lengths,
    )


@operator("input", "hx", "params", "lengths")
def rnn_relu(
    input: Any,
    hx: Any,
    params: Sequence[Any],
    has_biases: bool = True,
    num_layers: int = 1,
    dropout: float = 0.0,
    train: bool = False,
    bidirectional: bool = False,
    batch_first: bool = False,
    lengths: Any = None,
) -> tuple[Tensor, ...]:
    """Run layers of simple recurrent units with rectifiers (Le, Jaitly and Hinton, 2015) over sequences.

    h = max(0, weight_ih x + bias_ih + weight_hh h + bias_hh); arguments and results as of `rnn_tanh`.

    Raises:
        ValueError: shapes of input, states and weights that do not go together.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> weights = [np.ones((1, 1)), np.full((1, 1), 2.0)]
    >>> output, h_n = ops.rnn_relu([[0.5], [0.0]], None, weights, has_biases=False)
    >>> output.tolist()
    [[0.5], [1.0]]
    """
    return _recurrent(
        "rnn_relu",
        input,
        hx,
        params,
        has_biases,
        num_layers,
        dropout,
        train,
        bidirectional,
        batch_first,
        lengths,
    )
