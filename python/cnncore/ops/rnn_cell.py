# SPDX-License-Identifier: Apache-2.0
"""Single steps of recurrent layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..graph.dispatch import operator
from ..graph.tensor import Layout, Tensor
from ..graph.trace import dtype_error, shape_error
from .build import reshape_to, with_layout
from .check import float_tensor, optional_float
from .recurrent import GATES
from .rnn import LayerSettings, LayerWeights, check_weights, run_direction

__all__ = ["gru_cell", "lstm_cell", "rnn_relu_cell", "rnn_tanh_cell"]


def _cell(op: str, input: Any, hx: Any, weights: Sequence[Any]) -> tuple[Tensor, ...]:
    """Return the new state, and cell state of an LSTM, of one step."""
    cell = op.removesuffix("_cell")
    x = float_tensor(input, op)
    if x.ndim not in (1, 2):
        raise shape_error(op, f"expected input (batch, features) or (features,), got {x.shape}")
    ih, hh = (with_layout(float_tensor(weight, op), Layout.C) for weight in weights[:2])
    bias_ih, bias_hh = (optional_float(bias, op) for bias in weights[2:])
    sizes = LayerWeights(ih, hh, bias_ih, bias_hh, None)
    settings = LayerSettings(op, cell, False, None)
    check_weights(sizes, x.shape[-1], settings, "the cell")
    hidden = ih.shape[0] // GATES[cell]
    names = ("hx", "cx") if cell == "lstm" else ("hx",)
    given = list(hx) if cell == "lstm" and isinstance(hx, (list, tuple)) else [hx]
    if len(given) != len(names) and hx is not None:
        raise dtype_error(op, f"expected the pair (hx, cx), got {type(hx).__name__}")
    rows = 1 if x.ndim == 1 else x.shape[0]
    states: list[Tensor | None] = []
    for name, value in zip(names, given, strict=False):
        state = optional_float(value, op)
        wanted = (*x.shape[:-1], hidden)
        if state is not None and state.shape != wanted:
            raise shape_error(op, f"expected {name} of shape {wanted}, got {state.shape}")
        states.append(state if state is None else reshape_to(state, (rows, hidden), Layout.C))
    steps = reshape_to(x, (1, rows, x.shape[-1]), Layout.C)
    _, *after = run_direction(steps, sizes, states, False, settings)
    return tuple(reshape_to(state, (*x.shape[:-1], hidden), Layout.C) for state in after)


@operator("input", "hx", "w_ih", "w_hh", "b_ih", "b_hh")
def lstm_cell(
    input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None
) -> tuple[Tensor, ...]:
    """Return the state and cell state after one step of long short-term memory.

    Args:
        input: (batch, features) or (features,).
        hx: the pair (h, c), (batch, hidden) or (hidden,) each; None for zeros.
        w_ih: (4 hidden, features).
        w_hh: (4 hidden, hidden).
        b_ih, b_hh: (4 hidden,) or None.

    Raises:
        ValueError: shapes that do not belong together.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> h, c = ops.lstm_cell([1.0, 1.0], None, np.ones((4, 2)), np.zeros((4, 1)))
    >>> h.shape, round(c.item(), 4)
    ((1,), 0.8491)
    """
    return _cell("lstm_cell", input, hx, (w_ih, w_hh, b_ih, b_hh))


@operator("input", "hx", "w_ih", "w_hh", "b_ih", "b_hh")
def gru_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Tensor:
    """Return the state after one step of a gated recurrent unit.

    Args:
        input: (batch, features) or (features,).
        hx: (batch, hidden) or (hidden,); None for zeros.
        w_ih: (3 hidden, features).
        w_hh: (3 hidden, hidden).
        b_ih, b_hh: (3 hidden,) or None.

    Raises:
        ValueError: shapes that do not belong together.

    >>> import numpy as np
    >>> from cnncore import ops
    >>> round(ops.gru_cell([1.0, 1.0], None, np.ones((3, 2)), np.zeros((3, 1))).item(), 4)
    0.1149
    """
    return _cell("gru_cell", input, hx, (w_ih, w_hh, b_ih, b_hh))[0]


@operator("input", "hx", "w_ih", "w_hh", "b_ih", "b_hh")
def rnn_tanh_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Tensor:
    """Return tanh(w_ih input + b_ih + w_hh hx + b_hh), the state after one step of a simple recurrent unit.

    Args:
        input: (batch, features) or (features,).
        hx: (batch, hidden) or (hidden,); None for zeros.
        w_ih: (hidden, features).
        w_hh: (hidden, hidden).
        b_ih, b_hh: (hidden,) or None.

    Raises:
        ValueError: shapes that do not belong together.

    >>> from cnncore import ops
    >>> round(ops.rnn_tanh_cell([0.5], [0.0], [[1.0]], [[2.0]]).item(), 4)
    0.4621
    """
    return _cell("rnn_tanh_cell", input, hx, (w_ih, w_hh, b_ih, b_hh))[0]


@operator("input", "hx", "w_ih", "w_hh", "b_ih", "b_hh")
def rnn_relu_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Tensor:
    """Return max(0, w_ih input + b_ih + w_hh hx + b_hh); arguments as of `rnn_tanh_cell`.

    >>> from cnncore import ops
    >>> ops.rnn_relu_cell([0.5], [1.0], [[1.0]], [[2.0]]).tolist()
    [2.5]
    """
    return _cell("rnn_relu_cell", input, hx, (w_ih, w_hh, b_ih, b_hh))[0]
