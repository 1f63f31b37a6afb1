# SPDX-License-Identifier: Apache-2.0
"""Attention with several heads."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..graph.arrays import aligned_empty
from ..ops.check import mask_tensor
from . import init
from .arguments import fraction, positive
from .linear import Linear
from .module import Module
from .parameter import Parameter
from .placement import check_placement

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    """Attention of several heads between projections of queries, keys and values (Vaswani et al., 2017).

    Args:
        embed_dim: size of queries and of the output.
        num_heads: divides `embed_dim`.
        dropout: probability for each weight to be left out in training.
        bias: whether the projections add learnt biases.
        add_bias_kv: one more source, learnt.
        add_zero_attn: one more source, of zeros.
        kdim, vdim: sizes of keys and values, `embed_dim` by default.
        batch_first: tensors are (batch, places, size), not (places, batch, size).
        device, dtype: None, a CPU and float32; others are refused.

    Raises:
        ValueError: `num_heads` does not divide `embed_dim`; `is_causal` without `attn_mask`; inputs of other
            shapes.

    >>> import numpy as np
    >>> x = np.zeros((2, 5, 8), np.float32)
    >>> output, weights = MultiheadAttention(8, 2, batch_first=True)(x, x, x)
    >>> output.shape, weights.shape
    ((2, 5, 8), (2, 5, 5))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_placement(device, dtype)
        super().__init__()
        self.embed_dim, self.num_heads = positive("embed_dim", embed_dim), positive("num_heads", num_heads)
        if embed_dim % num_heads:
            raise ValueError(f"expected num_heads that divides embed_dim {embed_dim}, got {num_heads}")
        self.dropout = fraction("dropout", dropout)
        self.kdim = embed_dim if kdim is None else positive("kdim", kdim)
        self.vdim = embed_dim if vdim is None else positive("vdim", vdim)
        self.add_zero_attn, self.batch_first = bool(add_zero_attn), bool(batch_first)
        self._one_size = self.kdim == self.vdim == embed_dim
        sizes = (embed_dim, self.kdim, self.vdim)
        for name, size in zip(("q_proj_weight", "k_proj_weight", "v_proj_weight"), sizes, strict=True):
            self.register_parameter(name, None if self._one_size else _parameter(embed_dim, size))
        self.register_parameter(
            "in_proj_weight", _parameter(3 * embed_dim, embed_dim) if self._one_size else None
        )
        self.register_parameter("in_proj_bias", _parameter(3 * embed_dim) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, _parameter(1, 1, embed_dim) if add_bias_kv else None)
        self._draw()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        self.out_proj.reset_parameters()
        self._draw()

    def _draw(self) -> None:
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            weight = getattr(self, name)
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> Any:
        """Return the output and the weights, None unless `need_weights`.

        Args:
            query, key, value: (places, batch, size), or (batch, places, size) with `batch_first`; without the
                batch axis for a single sequence.
            key_padding_mask: (batch, sources): booleans, True where a source is left out, or floats to add.
            need_weights: whether the weights are returned, too.
            attn_mask: (targets, sources) or (batch * heads, targets, sources), of the same two kinds.
            average_attn_weights: the weights are a mean over heads.
            is_causal: says that `attn_mask` is causal; it is applied all the same, and needed.

        Raises:
            ValueError: `is_causal` without `attn_mask`; shapes that do not go together.
            TypeError: a mask of integers.
        """
        if is_causal and attn_mask is None:
            raise ValueError("expected attn_mask with is_causal=True; it says what kind of mask that is")
        single = query.ndim == 2
        if single:
            query, key, value = query[None], key[None], value[None]
            key_padding_mask = None if key_padding_mask is None else ops.unsqueeze(key_padding_mask, 0)
        elif not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        q, k, v = self._projected(query, key, value)
        mask = self._mask(q, k, attn_mask, key_padding_mask)
        k, v, mask = self._with_sources(k, v, mask)
        q, k, v = (self._heads(x) for x in (q, k, v))
        size = self.embed_dim // self.num_heads
        scores = ops.matmul(q * size**-0.5, k.transpose(-2, -1))
        weights = ops.softmax(scores if mask is None else scores + mask, -1)
        kept = ops.dropout(weights, self.dropout) if self.training and self.dropout else weights
        mixed = ops.matmul(kept, v).transpose(1, 2)
        output = self.out_proj(mixed.reshape(mixed.shape[0], mixed.shape[1], self.embed_dim))
        output = output[0] if single else output if self.batch_first else output.transpose(0, 1)
        if not need_weights:
            return output, None
        weights = weights.mean(1) if average_attn_weights else weights
        return output, (weights[0] if single else weights)

    def _projected(self, query: Any, key: Any, value: Any) -> list[Any]:
        size = self.embed_dim
        if self._one_size:
            weights = [self.in_proj_weight[i * size : (i + 1) * size] for i in range(3)]
        else:
            weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        biases: list[Any] = [None] * 3
        if self.in_proj_bias is not None:
            biases = [self.in_proj_bias[i * size : (i + 1) * size] for i in range(3)]
        return [ops.linear(*parts) for parts in zip((query, key, value), weights, biases, strict=True)]

    def _mask(self, query: Any, key: Any, attn_mask: Any, padding: Any) -> Any:
        """Return what is added to the scores (batch, heads, targets, sources), None for nothing."""
        batch, targets, sources = query.shape[0], query.shape[1], key.shape[1]
        mask = None
        if attn_mask is not None:
            mask = _added(attn_mask, "attn_mask")
            expected = {
                (targets, sources): (1, 1),
                (batch * self.num_heads, targets, sources): (batch, self.num_heads),
            }
            if mask.shape not in expected:
                raise ValueError(
                    f"expected attn_mask of shape {' or '.join(map(str, expected))}, got {mask.shape}"
                )
            mask = ops.reshape(mask, (*expected[mask.shape], targets, sources))
        if padding is not None:
            added = _added(padding, "key_padding_mask")
            if added.shape != (batch, sources):
                raise ValueError(f"expected key_padding_mask of shape {(batch, sources)}, got {added.shape}")
            added = ops.reshape(added, (batch, 1, 1, sources))
            mask = added if mask is None else mask + added
        return mask

    def _with_sources(self, key: Any, value: Any, mask: Any) -> tuple[Any, Any, Any]:
        """Return keys, values and the mask with the learnt source and that of zeros."""
        batch, size = key.shape[0], self.embed_dim
        more = []
        if self.bias_k is not None:
            more.append([ops.expand(bias, (batch, 1, size)) for bias in (self.bias_k, self.bias_v)])
        if self.add_zero_attn:
            more.append([np.zeros((batch, 1, size), np.float32)] * 2)
        for more_key, more_value in more:
            key, value = ops.cat([key, more_key], 1), ops.cat([value, more_value], 1)
            mask = None if mask is None else ops.pad(mask, (0, 1))
        return key, value, mask

    def _heads(self, x: Any) -> Any:
        """(batch, places, size) -> (batch, heads, places, size of a head)."""
        shape = (x.shape[0], x.shape[1], self.num_heads, self.embed_dim // self.num_heads)
        return ops.transpose(ops.reshape(x, shape), 1, 2)

    def extra_repr(self) -> str:
        return f"embed_dim={self.embed_dim}, num_heads={self.num_heads}, batch_first={self.batch_first}"


def _parameter(*shape: int) -> Parameter:
    return Parameter(aligned_empty(shape))


def _added(mask: Any, name: str) -> Any:
    """Return a mask as floats to add: minus infinity where a boolean one is True."""
    mask = mask_tensor(mask, name, "MultiheadAttention")
    return ops.where(mask, np.float32(-np.inf), np.float32(0)) if mask.dtype == "bool" else mask
