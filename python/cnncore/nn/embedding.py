# SPDX-License-Identifier: Apache-2.0
"""Tables of rows that are learnt."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..graph.arrays import aligned_empty
from . import init
from .arguments import positive
from .module import Module
from .parameter import Parameter
from .placement import check_placement

__all__ = ["Embedding"]


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
        self.num_embeddings = positive("num_embeddings", num_embeddings)
        self.embedding_dim = positive("embedding_dim", embedding_dim)
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(
                f"expected padding_idx from {-num_embeddings} to {num_embeddings - 1}, got {padding_idx}"
            )
        if max_norm is not None or scale_grad_by_freq or sparse:
            raise ValueError(
                "max_norm, scale_grad_by_freq and sparse are not available: gradients are dense sums"
            )
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = Parameter(aligned_empty((self.num_embeddings, self.embedding_dim)))
        self.reset_parameters()

    @classmethod
    def from_pretrained(
        cls, embeddings: Any, freeze: bool = True, padding_idx: int | None = None, **settings: Any
    ) -> Embedding:
        """Return a layer whose table is `embeddings` (rows, size); `freeze` keeps it from being trained.

        >>> Embedding.from_pretrained([[1.0, 2.0], [3.0, 4.0]])([1]).tolist()
        [[3.0, 4.0]]
        """
        table = np.asarray(embeddings, np.float32)
        if table.ndim != 2:
            raise ValueError(f"expected embeddings (rows, size), got shape {table.shape}")
        layer = cls(table.shape[0], table.shape[1], padding_idx, **settings)
        layer.weight.assign(table)
        layer.weight.requires_grad = not freeze
        return layer

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            table = np.array(self.weight)
            table[self.padding_idx] = 0
            self.weight.assign(table)

    def forward(self, input: Any) -> Any:
        return ops.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
