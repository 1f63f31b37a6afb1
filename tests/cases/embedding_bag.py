# SPDX-License-Identifier: Apache-2.0
"""Bags of rows of a table."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnncore import ops
from reference import float64

from .case import Array, case, draw

NUMBERS = np.array([3, 0, 4, 4, 1, 2, 0, 3, 3])
OFFSETS = np.array([0, 2, 2, 7])


def bags(
    numbers: Any, table: Any, offsets: Any, factors: Any = None, mode: str = "sum", padding: int | None = None
) -> Array:
    """Row by row; `offsets` end with the count of numbers."""
    table = float64(table)
    result = np.zeros((len(offsets) - 1, table.shape[1]))
    for i in range(len(result)):
        rows = [
            table[n] * (1.0 if factors is None else factors[k])
            for k, n in enumerate(numbers)
            if offsets[i] <= k < offsets[i + 1] and n != padding
        ]
        if rows:
            result[i] = {"sum": np.sum, "mean": np.mean, "max": np.max}[mode](rows, 0)
    return result


def _ends(offsets: Any) -> list[int]:
    return [*offsets, len(NUMBERS)]


def _weighted(i: Any, w: Any, o: Any, f: Any) -> Any:
    return ops.embedding_bag(i, w, o, mode="sum", per_sample_weights=f)


def _weighted_torch(i: Any, w: Any, o: Any, f: Any) -> Any:
    from torch.nn.functional import embedding_bag

    return embedding_bag(i, w, o, mode="sum", per_sample_weights=f)


CASES = [
    *[
        case(
            "embedding_bag",
            (NUMBERS, draw(5, features), OFFSETS, draw(len(NUMBERS), seed=3)),
            lambda i, w, o, f: bags(i, w, _ends(o), f),
            function=_weighted,
            torch=_weighted_torch,
        )
        for features in (3, 18)
    ],
    *[
        case(
            "embedding_bag",
            (NUMBERS, draw(5, features), OFFSETS),
            lambda i, w, o, m=mode, p=padding: bags(i, w, _ends(o), None, m, p),
            mode=mode,
            twice=mode != "max",
            **({} if padding is None else {"padding_idx": padding}),
        )
        for mode in ("sum", "mean", "max")
        for features, padding in ((1, None), (17, 3))
    ],
    case(
        "embedding_bag",
        (NUMBERS, draw(5, 4), np.array([0, 2, 9])),
        lambda i, w, o: bags(i, w, o, None, "mean"),
        include_last_offset=True,
    ),
    *[
        case(
            "embedding_bag",
            (NUMBERS.reshape(3, 3), draw(5, 6)),
            lambda i, w, m=mode: bags(i.ravel(), w, [0, 3, 6, 9], None, m),
            mode=mode,
            twice=mode != "max",
        )
        for mode in ("sum", "mean", "max")
    ],
    # Blocks of features and bands of entries that several threads share.
    case(
        "embedding_bag",
        (np.arange(3000) * 7 % 50, draw(50, 200), np.arange(0, 3000, 40)),
        lambda i, w, o: bags(i, w, [*o, 3000], None, "mean"),
        magnitude=4.0,
    ),
]
