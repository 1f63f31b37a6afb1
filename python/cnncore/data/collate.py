# SPDX-License-Identifier: Apache-2.0
"""Batches of samples of several lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .dataset import stack
from .settings import several


def pad_collate(samples: list[Any]) -> tuple[NDArray[Any], ...]:
    """Return a batch of samples whose first arrays have several lengths along their last axis.

    Args:
        samples: tuples (x, ...), x (..., length).

    Returns:
        (x, lengths, ...): x (samples, ..., longest) with zeros behind the shorter ones, lengths (samples,)
        int64, and the samples' further arrays stacked.

    Raises:
        ValueError: first arrays that differ in more than their last axis.

    >>> x, lengths, y = pad_collate([(np.array([1, 2, 3]), 0), (np.array([4]), 1)])
    >>> x.tolist(), lengths.tolist(), y.tolist()
    ([[1, 2, 3], [4, 0, 0]], [3, 1], [0, 1])
    """
    samples = several("samples", samples, "tuples (x, ...)")
    if not all(isinstance(sample, (tuple, list)) and len(sample) for sample in samples):
        raise TypeError(f"expected samples as tuples (x, ...), got {samples!r}")
    arrays = [np.asarray(sample[0]) for sample in samples]
    before = {array.shape[:-1] for array in arrays}
    if len(before) != 1 or any(array.ndim == 0 for array in arrays):
        shapes = [array.shape for array in arrays]
        raise ValueError(f"expected arrays that differ in their last axis alone, got {shapes}")
    lengths = np.array([array.shape[-1] for array in arrays], np.int64)
    x = np.zeros((len(arrays), *before.pop(), int(lengths.max())), np.result_type(*arrays))
    for row, array in zip(x, arrays, strict=True):
        row[..., : array.shape[-1]] = array
    rest = zip(*(sample[1:] for sample in samples), strict=True)
    return (x, lengths, *(stack(values) for values in rest))
