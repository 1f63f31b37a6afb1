# SPDX-License-Identifier: Apache-2.0
"""Single steps of recurrent layers, for loops of one's own."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..graph.arrays import aligned_empty
from . import init
from .arguments import flag, positive
from .module import Module
from .parameter import Parameter
from .placement import check_placement
from .recurrent import checked_nonlinearity

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]


class _Cell(Module):
    mode: str
    gates: int

    def __init__(self, input_size: int, hidden_size: int, bias: bool, device: Any, dtype: Any) -> None:
        check_placement(device, dtype)
        super().__init__()
        self.input_size = positive("input_size", input_size)
        self.hidden_size = positive("hidden_size", hidden_size)
        self.bias = flag("bias", bias)
        rows = self.gates * self.hidden_size
        self.weight_ih = Parameter(aligned_empty((rows, self.input_size)))
        self.weight_hh = Parameter(aligned_empty((rows, self.hidden_size)))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(aligned_empty((rows,))) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values, between -1 / sqrt(hidden_size) and 1 / sqrt(hidden_size)."""
        bound = self.hidden_size**-0.5
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def forward(self, input: Any, hx: Any = None) -> Any:
        function = getattr(ops, f"{self.mode}_cell")
        return function(input, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class LSTMCell(_Cell):
    """One step of long short-term memory (Hochreiter and Schmidhuber, 1997); formulas as of `LSTM`.

    Args:
        input_size: features of the input.
        hidden_size: features of the states.
        bias: whether there are biases.
        device, dtype: None, a CPU and float32; others are refused.

    Called with input (batch, input_size) and, if they are not zero, states (h, c) of shape (batch,
    hidden_size), all with or without batch, it returns the new (h, c). Weights are `weight_ih`, `weight_hh`,
    `bias_ih`, `bias_hh`.

    >>> import numpy as np
    >>> h, c = LSTMCell(10, 20)(np.zeros((3, 10)))
    >>> h.shape, c.shape
    ((3, 20), (3, 20))
    """

    mode = "lstm"
    gates = 4

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)


class GRUCell(_Cell):
    """One step of a gated recurrent unit (Cho et al., 2014); formulas as of `GRU`.

    Args:
        input_size: features of the input.
        hidden_size: features of the state.
        bias: whether there are biases.
        device, dtype: None, a CPU and float32; others are refused.

    Called with input (batch, input_size) and, if it is not zero, the state (batch, hidden_size), both with or
    without batch, it returns the new state. Weights are named as those of `LSTMCell`.

    >>> import numpy as np
    >>> GRUCell(10, 20)(np.zeros((3, 10))).shape
    (3, 20)
    """

    mode = "gru"
    gates = 3

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)


class RNNCell(_Cell):
    """One step of a simple recurrent unit (Elman, 1990); formula as of `RNN`.

    Args:
        input_size: features of the input.
        hidden_size: features of the state.
        bias: whether there are biases.
        nonlinearity: "tanh" or "relu".
        device, dtype: None, a CPU and float32; others are refused.

    Called and named as `GRUCell`.

    Raises:
        ValueError: `nonlinearity` is neither "tanh" nor "relu"; a size below 1.

    >>> import numpy as np
    >>> RNNCell(10, 20)(np.zeros((3, 10)), np.zeros((3, 20))).shape
    (3, 20)
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        checked_nonlinearity(nonlinearity)
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity
        self.mode = f"rnn_{nonlinearity}"

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else ", nonlinearity=relu")
