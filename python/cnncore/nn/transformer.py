# SPDX-License-Identifier: Apache-2.0
"""Encoders and decoders of attention and feed-forward layers (Vaswani et al., 2017)."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import ops
from . import init
from .arguments import count, finite, positive
from .attention import MultiheadAttention
from .containers import ModuleList
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .placement import check_placement
from .sample_norm import LayerNorm

__all__ = [
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]

Activation = str | Callable[[Any], Any]

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"relu": ops.relu, "gelu": ops.gelu}


def _activation(given: Activation) -> Callable[[Any], Any]:
    if callable(given):
        return given
    if not isinstance(given, str) or given not in _ACTIVATIONS:
        raise ValueError(f"expected activation 'relu', 'gelu' or a function, got {given!r}")
    return _ACTIVATIONS[given]


def _custom(name: str, given: Any) -> Any:
    if given is not None and not callable(given):
        raise TypeError(f"expected {name} to be a Module or a function, got {given!r}")
    return given


class _Layer(Module):
    """What encoder and decoder layers share: attention to the sequence itself and the feed-forward part."""

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int,
        dropout: float,
        activation: Activation,
        batch_first: bool,
        norm_first: bool,
        bias: bool,
        attentions: tuple[str, ...],
    ) -> None:
        super().__init__()
        d_model, nhead = positive("d_model", d_model), positive("nhead", nhead)
        for name in attentions:
            attention = MultiheadAttention(
                d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first
            )
            self.add_module(name, attention)
        self.linear1 = Linear(d_model, positive("dim_feedforward", dim_feedforward), bias)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias)
        self.norm_first = bool(norm_first)
        self.activation = _activation(activation)

    def _attention(self, name: str, x: Any, source: Any, padding: Any, mask: Any, is_causal: bool) -> Any:
        attention = self._modules[name]
        assert attention is not None
        return attention(x, source, source, padding, False, mask, is_causal=is_causal)[0]

    def _feed_forward(self, x: Any) -> Any:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))

    def _added(self, x: Any, part: Callable[[Any], Any], norm: Module, dropout: Module) -> Any:
        """Add what a part of the layer makes of x, which is normalised before it or after the sum."""
        if self.norm_first:
            return x + dropout(part(norm(x)))
        return norm(x + dropout(part(x)))


class TransformerEncoderLayer(_Layer):
    """Attention of a sequence to itself, then two linear layers, each added to its input and normalised.

    Args:
        d_model: size of each place.
        nhead: heads, which divide `d_model`.
        dim_feedforward: size between the two linear layers.
        dropout: probability in training.
        activation: "relu", "gelu" or a function.
        layer_norm_eps: added to variances.
        batch_first: sequences are (batch, places, size), not (places, batch, size).
        norm_first: normalise before attention and linear layers instead of behind the sums.
        bias: whether linear layers and norms have one.
        device, dtype: None, a CPU and float32; others are refused.

    Raises:
        ValueError: a size below 1, `nhead` that does not divide `d_model`, a `dropout` that is not from 0 to
            1, or an unknown activation.

    >>> import numpy as np
    >>> TransformerEncoderLayer(8, 2, 16, batch_first=True)(np.zeros((3, 5, 8))).shape
    (3, 5, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_placement(device, dtype)
        super().__init__(
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            batch_first,
            norm_first,
            bias,
            ("self_attn",),
        )
        layer_norm_eps = finite("layer_norm_eps", layer_norm_eps, 0)
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias)
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)

    def forward(
        self, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False
    ) -> Any:
        """Return the sequence's new values; masks are those of `MultiheadAttention`."""

        def attention(x: Any) -> Any:
            return self._attention("self_attn", x, x, src_key_padding_mask, src_mask, is_causal)

        x = self._added(src, attention, self.norm1, self.dropout1)
        return self._added(x, self._feed_forward, self.norm2, self.dropout2)


class TransformerDecoderLayer(_Layer):
    """Attention of a sequence to itself and to an encoder's result, then two linear layers.

    Arguments are those of `TransformerEncoderLayer`.

    Raises:
        ValueError: a size below 1, `nhead` that does not divide `d_model`, a `dropout` that is not from 0 to
            1, or an unknown activation.

    >>> import numpy as np
    >>> layer = TransformerDecoderLayer(8, 2, 16, batch_first=True)
    >>> layer(np.zeros((3, 5, 8)), np.zeros((3, 7, 8))).shape
    (3, 5, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_placement(device, dtype)
        super().__init__(
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            batch_first,
            norm_first,
            bias,
            ("self_attn", "multihead_attn"),
        )
        layer_norm_eps = finite("layer_norm_eps", layer_norm_eps, 0)
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias)
        self.norm3 = LayerNorm(d_model, layer_norm_eps, bias=bias)
        self.dropout1, self.dropout2, self.dropout3 = Dropout(dropout), Dropout(dropout), Dropout(dropout)

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Any:
        """Return the sequence's new values.

        Args:
            tgt: the sequence.
            memory: the encoder's result.
            tgt_mask, tgt_key_padding_mask, tgt_is_causal: masks of `MultiheadAttention` within the sequence.
            memory_mask, memory_key_padding_mask, memory_is_causal: those between the sequence and memory.
        """

        def attention(x: Any) -> Any:
            return self._attention("self_attn", x, x, tgt_key_padding_mask, tgt_mask, tgt_is_causal)

        def to_memory(x: Any) -> Any:
            return self._attention(
                "multihead_attn", x, memory, memory_key_padding_mask, memory_mask, memory_is_causal
            )

        x = self._added(tgt, attention, self.norm1, self.dropout1)
        x = self._added(x, to_memory, self.norm2, self.dropout2)
        return self._added(x, self._feed_forward, self.norm3, self.dropout3)


class _Stack(Module):
    """Copies of a layer one after the other, and a norm behind them."""

    layer_name: str

    def __init__(self, layer: Module, num_layers: int, norm: Module | None) -> None:
        super().__init__()
        if not isinstance(layer, Module):
            raise TypeError(f"expected {self.layer_name} to be a Module, got {type(layer).__name__}")
        self.num_layers = count("num_layers", num_layers)
        self.layers = ModuleList([deepcopy(layer) for _ in range(self.num_layers)])
        self.add_module("norm", norm)

    def _run(self, x: Any, *args: Any) -> Any:
        for layer in self.layers:
            x = layer(x, *args)
        return x if self.norm is None else self.norm(x)


class TransformerEncoder(_Stack):
    """Copies of an encoder layer, one after the other.

    Args:
        encoder_layer: the layer; all copies begin with its weights.
        num_layers: how many.
        norm: a module applied to the result, or None.
        enable_nested_tensor, mask_check: accepted; masked places are computed like others.

    >>> import numpy as np
    >>> TransformerEncoder(TransformerEncoderLayer(8, 2, 16), 2)(np.zeros((5, 3, 8))).shape
    (5, 3, 8)
    """

    layer_name = "encoder_layer"

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__(encoder_layer, num_layers, norm)

    def forward(
        self, src: Any, mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool | None = None
    ) -> Any:
        """Return the sequence's values behind the last layer; masks are those of `MultiheadAttention`."""
        return self._run(src, mask, src_key_padding_mask, bool(is_causal))


class TransformerDecoder(_Stack):
    """Copies of a decoder layer, one after the other.

    Args:
        decoder_layer: the layer; all copies begin with its weights.
        num_layers: how many.
        norm: a module applied to the result, or None.

    >>> import numpy as np
    >>> decoder = TransformerDecoder(TransformerDecoderLayer(8, 2, 16), 2)
    >>> decoder(np.zeros((5, 3, 8)), np.zeros((7, 3, 8))).shape
    (5, 3, 8)
    """

    layer_name = "decoder_layer"

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__(decoder_layer, num_layers, norm)

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Any:
        """Return the sequence's values behind the last layer; see `TransformerDecoderLayer.forward`."""
        masks = (tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask)
        return self._run(tgt, memory, *masks, bool(tgt_is_causal), bool(memory_is_causal))


class Transformer(Module):
    """An encoder of one sequence and a decoder of another that reads it (Vaswani et al., 2017).

    Args:
        d_model: size of each place.
        nhead: heads, which divide `d_model`.
        num_encoder_layers, num_decoder_layers: how many of each.
        dim_feedforward: size between the two linear layers of a layer.
        dropout: probability in training.
        activation: "relu", "gelu" or a function.
        custom_encoder, custom_decoder: modules instead of those described by the other arguments.
        layer_norm_eps: added to variances.
        batch_first: sequences are (batch, places, size), not (places, batch, size).
        norm_first: normalise before attention and linear layers instead of behind the sums.
        bias: whether linear layers and norms have one.
        device, dtype: None, a CPU and float32; others are refused.

    Raises:
        ValueError: a size below 1, `nhead` that does not divide `d_model`, a `dropout` that is not from 0 to
            1, or an unknown activation.

    >>> import numpy as np
    >>> model = Transformer(8, 2, 1, 1, 16, batch_first=True)
    >>> model(np.zeros((3, 7, 8)), np.zeros((3, 5, 8))).shape
    (3, 5, 8)
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_placement(device, dtype)
        super().__init__()
        self.d_model, self.nhead = positive("d_model", d_model), positive("nhead", nhead)
        self.batch_first = bool(batch_first)
        activation = _activation(activation)
        layer_norm_eps = finite("layer_norm_eps", layer_norm_eps, 0)
        settings = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps)
        layout = (batch_first, norm_first, bias)
        self.encoder = _custom("custom_encoder", custom_encoder)
        if self.encoder is None:
            self.encoder = TransformerEncoder(
                TransformerEncoderLayer(*settings, *layout),
                count("num_encoder_layers", num_encoder_layers),
                LayerNorm(d_model, layer_norm_eps, bias=bias),
            )
        self.decoder = _custom("custom_decoder", custom_decoder)
        if self.decoder is None:
            self.decoder = TransformerDecoder(
                TransformerDecoderLayer(*settings, *layout),
                count("num_decoder_layers", num_decoder_layers),
                LayerNorm(d_model, layer_norm_eps, bias=bias),
            )
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Any,
        tgt: Any,
        src_mask: Any = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Any:
        """Return the decoder's values.

        Args:
            src: the encoder's sequence.
            tgt: the decoder's sequence.
            src_mask, src_key_padding_mask, src_is_causal: masks of `MultiheadAttention` in the encoder.
            tgt_mask, tgt_key_padding_mask, tgt_is_causal: those within the decoder's sequence.
            memory_mask, memory_key_padding_mask, memory_is_causal: those of the decoder's places and the
                encoder's result.
        """
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        masks = (tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask)
        return self.decoder(tgt, memory, *masks, tgt_is_causal, memory_is_causal)

    @staticmethod
    def generate_square_subsequent_mask(
        sz: int, device: Any = None, dtype: Any = None
    ) -> NDArray[np.float32]:
        """Return the mask (sz, sz) that keeps later places out: minus infinity above the diagonal.

        Raises:
            ValueError: another device than the CPU, or another dtype than float32.

        >>> Transformer.generate_square_subsequent_mask(2).tolist()
        [[0.0, -inf], [0.0, 0.0]]
        """
        check_placement(device, dtype)
        return np.triu(np.full((sz, sz), -np.inf, np.float32), 1)
