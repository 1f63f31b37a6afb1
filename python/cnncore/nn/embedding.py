# SPDX-License-Identifier: Apache-2.0
"""Tables of rows that are learnt."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..graph.arrays import aligned_empty
from ..graph.limits import LARGEST_SETTING
from . import init
from .arguments import at_least, positive
from .module import Module
from .parameter import Parameter
from .placement import check_placement

__all__ = ["Embedding", "EmbeddingBag"]


def _take_table(layer: Any, entries: int, size: int, padding_idx: int | None) -> None:
    """Give a layer its table."""
    layer.num_embeddings = positive("num_embeddings", entries)
    layer.embedding_dim = positive("embedding_dim", size)
    if padding_idx is not None:
        padding_idx = at_least("padding_idx", padding_idx, -LARGEST_SETTING)
    if padding_idx is not None and not -entries <= padding_idx < entries:
        raise ValueError(f"expected padding_idx from {-entries} to {entries - 1}, got {padding_idx}")
    layer.padding_idx = None if padding_idx is None else padding_idx % entries
    layer.weight = Parameter(aligned_empty((entries, size)))


def _refuse(max_norm: float | None, scale_grad_by_freq: bool, sparse: bool) -> None:
    if max_norm is not None or scale_grad_by_freq or sparse:
        raise ValueError(
            "max_norm, scale_grad_by_freq and sparse are not available: gradients are dense sums"
        )


def _draw(layer: Any) -> None:
    """Draw a table's initial values; the row of padding begins as zeros."""
    init.normal_(layer.weight)
    if layer.padding_idx is not None:
        table = np.array(layer.weight)
        table[layer.padding_idx] = 0
        layer.weight.assign(table)


def _pretrained(kind: Any, embeddings: Any, freeze: bool, **settings: Any) -> Any:
    table = np.asarray(embeddings, np.float32)
    if table.ndim != 2:
        raise ValueError(f"expected embeddings (rows, size), got shape {table.shape}")
    layer = kind(*table.shape, **settings)
    layer.weight.assign(table)
    layer.weight.requires_grad = not freeze
    return layer


class Embedding(Module):
    """The rows of a learnt table at given numbers: words, characters, bases, categories.

    Args:
        num_embeddings: rows of the table.
        embedding_dim: size of a row.
        padding_idx: a row that begins as zeros and gets no gradient.
        max_norm, norm_type, scale_grad_by_freq, sparse: other than the defaults are refused.
        device, dtype: None, a CPU and float32; others are refused.

    `weight` is (num_embeddings, embedding_dim), drawn from the standard normal distribution. The input has
    integers of any shape (*), the output is (*, embedding_dim).

    Raises:
        ValueError: a size below 1, a `padding_idx` out of range, or `max_norm`, `scale_grad_by_freq` or
            `sparse`, which there are not.

    >>> import numpy as np
    >>> Embedding(10, 3)(np.array([[1, 2, 4], [4, 3, 9]])).shape
    (2, 3, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_placement(device, dtype)
        super().__init__()
        _take_table(self, num_embeddings, embedding_dim, padding_idx)
        _refuse(max_norm, scale_grad_by_freq, sparse)
        self.reset_parameters()

    @classmethod
    def from_pretrained(
        cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None, **settings: Any
    ) -> Embedding:
        """Return a layer whose table is `embeddings` (rows, size); `freeze` keeps it from being trained.

        Raises:
            ValueError: `embeddings` that is no table (rows, features).

        >>> Embedding.from_pretrained([[1.0, 2.0], [3.0, 4.0]])([1]).tolist()
        [[3.0, 4.0]]
        """
        layer: Embedding = _pretrained(cls, embeddings, freeze, padding_idx=padding_idx, **settings)
        return layer

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        _draw(self)

    def forward(self, input: Any) -> Any:
        return ops.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


class EmbeddingBag(Module):
    """The sum, mean or maximum of rows of a learnt table for each bag of numbers.

    Args:
        num_embeddings: rows of the table.
        embedding_dim: size of a row.
        max_norm, norm_type, scale_grad_by_freq, sparse: other than the defaults are refused.
        mode: "sum", "mean" or "max"; of an empty bag it is 0.
        include_last_offset: whether the last of the offsets is the count of numbers.
        padding_idx: a number that does not count; its row begins as zeros.
        device, dtype: None, a CPU and float32; others are refused.

    `weight` is (num_embeddings, embedding_dim), drawn from the standard normal distribution. The input is
    (bags, length), or (count,) with offsets (bags,) at which the bags begin, and with factors of the rows for
    mode "sum" if need be; the output is (bags, embedding_dim).

    Raises:
        ValueError: another mode than "sum", "mean" and "max".

    >>> import numpy as np
    >>> EmbeddingBag(10, 3, mode="sum")(np.array([1, 2, 4, 5, 4, 3]), np.array([0, 4])).shape
    (2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_placement(device, dtype)
        super().__init__()
        if mode not in ("sum", "mean", "max"):
            raise ValueError(f"expected mode 'sum', 'mean' or 'max', got {mode!r}")
        self.mode, self.include_last_offset = mode, bool(include_last_offset)
        _take_table(self, num_embeddings, embedding_dim, padding_idx)
        _refuse(max_norm, scale_grad_by_freq, sparse)
        self.reset_parameters()

    @classmethod
    def from_pretrained(cls, embeddings: Any, freeze: bool = True, **settings: Any) -> EmbeddingBag:
        """Return a layer whose table is `embeddings` (rows, size); `freeze` keeps it from being trained.

        Raises:
            ValueError: `embeddings` that is no table (rows, features).

        >>> EmbeddingBag.from_pretrained([[1.0, 2.0], [3.0, 4.0]])([[1, 0]]).tolist()
        [[2.0, 3.0]]
        """
        layer: EmbeddingBag = _pretrained(cls, embeddings, freeze, **settings)
        return layer

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        _draw(self)

    def forward(self, input: Any, offsets: Any = None, per_sample_weights: Any = None) -> Any:
        return ops.embedding_bag(
            input,
            self.weight,
            offsets,
            mode=self.mode,
            per_sample_weights=per_sample_weights,
            include_last_offset=self.include_last_offset,
            padding_idx=self.padding_idx,
        )

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}, mode={self.mode!r}{padding}"
