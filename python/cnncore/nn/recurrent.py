# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers over sequences."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..graph.arrays import aligned_empty
from ..graph.warning import warn_caller
from . import init
from .arguments import at_least, count, flag, fraction, positive
from .module import Module
from .parameter import Parameter
from .placement import check_placement
from .utils.rnn import PackedSequence

__all__ = ["GRU", "LSTM", "RNN"]


class _Recurrent(Module):
    """Layers of one kind of cell. `gates` vectors of the hidden size are worked out in each step."""

    mode: str
    gates: int

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: int,
        device: Any,
        dtype: Any,
    ) -> None:
        check_placement(device, dtype)
        super().__init__()
        self.input_size = positive("input_size", input_size)
        self.hidden_size = positive("hidden_size", hidden_size)
        self.num_layers = count("num_layers", num_layers)
        self.bias = flag("bias", bias)
        self.batch_first = flag("batch_first", batch_first)
        self.dropout = fraction("dropout", dropout)
        self.bidirectional = flag("bidirectional", bidirectional)
        self.proj_size = at_least("proj_size", proj_size, 0)
        if self.proj_size >= self.hidden_size:
            raise ValueError(
                f"expected proj_size smaller than hidden_size {self.hidden_size}, got {self.proj_size}"
            )
        if self.dropout > 0 and self.num_layers == 1:
            warn_caller(f"dropout={self.dropout} acts between layers, and there is one: num_layers is 1")
        for shape, name in self._shapes():
            self.register_parameter(name, Parameter(aligned_empty(shape)))
        self.reset_parameters()

    def _shapes(self) -> list[tuple[tuple[int, ...], str]]:
        """Return shape and name of each weight, in the order in which the function takes them."""
        rows = self.gates * self.hidden_size
        size = self.proj_size or self.hidden_size
        found: list[tuple[tuple[int, ...], str]] = []
        for layer in range(self.num_layers):
            features = self.input_size if layer == 0 else size * (2 if self.bidirectional else 1)
            for suffix in ("", "_reverse") if self.bidirectional else ("",):
                place = f"l{layer}{suffix}"
                found += [((rows, features), f"weight_ih_{place}"), ((rows, size), f"weight_hh_{place}")]
                if self.bias:
                    found += [((rows,), f"bias_ih_{place}"), ((rows,), f"bias_hh_{place}")]
                if self.proj_size:
                    found.append(((size, self.hidden_size), f"weight_hr_{place}"))
        return found

    def reset_parameters(self) -> None:
        """Draw new initial values, between -1 / sqrt(hidden_size) and 1 / sqrt(hidden_size)."""
        bound = self.hidden_size**-0.5
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def flatten_parameters(self) -> None:
        """Do nothing: weights need no particular place in memory here."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The weights of each layer and direction."""
        found: dict[str, list[Parameter]] = {}
        for _, name in self._shapes():
            found.setdefault(name[name.index("_l") :], []).append(getattr(self, name))
        return list(found.values())

    def _run(self, input: Any, hx: Any) -> tuple[Any, ...]:
        """Return the output, packed where the input is, and the last states."""
        packed = input if isinstance(input, PackedSequence) else None
        output, *last = getattr(ops, self.mode)(
            input if packed is None else packed.padded,
            hx,
            [getattr(self, name) for _, name in self._shapes()],
            self.bias,
            self.num_layers,
            self.dropout,
            self.training,
            self.bidirectional,
            self.batch_first and packed is None,
            None if packed is None else packed.lengths,
        )
        return output if packed is None else packed._replace(padded=output), *last

    def extra_repr(self) -> str:
        defaults = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
        }
        changed = [
            f"{name}={getattr(self, name)}"
            for name, value in defaults.items()
            if getattr(self, name) != value
        ]
        return ", ".join([str(self.input_size), str(self.hidden_size), *changed])


class LSTM(_Recurrent):
    """Layers of long short-term memory (Hochreiter and Schmidhuber, 1997).

    i, f, o = sigmoid(...), g = tanh(...) of weight_ih x + bias_ih + weight_hh h + bias_hh; c = f c + i g;
    h = o tanh(c), times weight_hr with `proj_size` (Sak et al., 2014).

    Args:
        input_size: features of the input.
        hidden_size: features of the cell state, and of the state without `proj_size`.
        num_layers: layers on top of each other.
        bias: whether the layers have biases.
        batch_first: whether input and output are (batch, time, features) instead of (time, batch, features).
        dropout: share of the values between layers that is zeroed in training.
        bidirectional: whether each layer also reads backwards; results of both lie side by side.
        proj_size: features of the state when it is projected; 0: it is not.
        device, dtype: None, a CPU and float32; others are refused.

    Called with input and, if they are not zero, initial states (h_0, c_0) of shape (num_layers * directions,
    batch, size), it returns output, (h_n, c_n). The input may be (time, features), states then without batch,
    or a `nn.utils.rnn.PackedSequence`, which makes the output one, too.

    Weights of layer k are `weight_ih_lk`, `weight_hh_lk`, `bias_ih_lk`, `bias_hh_lk` and `weight_hr_lk`;
    those of the other direction end in `_reverse`.

    >>> import numpy as np
    >>> output, (h, c) = LSTM(10, 20, num_layers=2)(np.zeros((5, 3, 10)))
    >>> output.shape, h.shape, c.shape
    ((5, 3, 20), (2, 3, 20), (2, 3, 20))
    """

    mode = "lstm"
    gates = 4

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, tuple[Any, Any]]:
        output, state, cell_state = self._run(input, hx)
        return output, (state, cell_state)


class GRU(_Recurrent):
    """Layers of gated recurrent units (Cho et al., 2014).

    r, z = sigmoid(...) of weight_ih x + bias_ih + weight_hh h + bias_hh;
    n = tanh(weight_in x + bias_in + r (weight_hn h + bias_hn)); h = (1 - z) n + z h.

    Args:
        input_size: features of the input.
        hidden_size: features of the state.
        num_layers: layers on top of each other.
        bias: whether the layers have biases.
        batch_first: whether input and output are (batch, time, features) instead of (time, batch, features).
        dropout: share of the values between layers that is zeroed in training.
        bidirectional: whether each layer also reads backwards; results of both lie side by side.
        device, dtype: None, a CPU and float32; others are refused.

    Called with input and, if it is not zero, the initial state h_0 (num_layers * directions, batch,
    hidden_size), it returns output, h_n. The input may be (time, features), the state then without batch, or
    a `nn.utils.rnn.PackedSequence`, which makes the output one, too. Weights are named as those of `LSTM`.

    >>> import numpy as np
    >>> output, h = GRU(10, 20, bidirectional=True)(np.zeros((5, 3, 10)))
    >>> output.shape, h.shape
    ((5, 3, 40), (2, 3, 20))
    """

    mode = "gru"
    gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype
        )

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        output, state = self._run(input, hx)
        return output, state


class RNN(_Recurrent):
    """Layers of simple recurrent units (Elman, 1990).

    h = tanh(weight_ih x + bias_ih + weight_hh h + bias_hh).

    Args:
        input_size: features of the input.
        hidden_size: features of the state.
        num_layers: layers on top of each other.
        nonlinearity: "tanh" or "relu".
        bias: whether the layers have biases.
        batch_first: whether input and output are (batch, time, features) instead of (time, batch, features).
        dropout: share of the values between layers that is zeroed in training.
        bidirectional: whether each layer also reads backwards; results of both lie side by side.
        device, dtype: None, a CPU and float32; others are refused.

    Called and named as `GRU`.

    Raises:
        ValueError: `nonlinearity` is neither "tanh" nor "relu"; a size below 1.

    >>> import numpy as np
    >>> output, h = RNN(10, 20, batch_first=True)(np.zeros((3, 5, 10)))
    >>> output.shape, h.shape
    ((3, 5, 20), (1, 3, 20))
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        checked_nonlinearity(nonlinearity)
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype
        )
        self.nonlinearity = nonlinearity
        self.mode = f"rnn_{nonlinearity}"

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        output, state = self._run(input, hx)
        return output, state


def checked_nonlinearity(value: str) -> None:
    """Raise for what is no function of simple recurrent units."""
    if value not in ("tanh", "relu"):
        raise ValueError(f"expected nonlinearity 'tanh' or 'relu', got {value!r}")
