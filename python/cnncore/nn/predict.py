# SPDX-License-Identifier: Apache-2.0
"""Running a module in inference mode on any number of rows."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph.arrays import to_array
from ..graph.mode import inference

if TYPE_CHECKING:
    from .module import Module


def inference_mode(module: Module) -> AbstractContextManager[None]:
    """Run `module` and its parts in inference mode in calls that this thread makes inside a ``with`` block.

    Their own modes stay as they are, and other threads see nothing of it.
    """
    return inference(module.modules())


def check_batch_size(batch_size: Any) -> int:
    """Return `batch_size` as an int of at least 1, or raise."""
    if isinstance(batch_size, bool) or not hasattr(batch_size, "__index__"):
        raise TypeError(f"expected an integer batch_size, got {batch_size!r}")
    if batch_size < 1:
        raise ValueError(f"expected batch_size of at least 1, got {batch_size}")
    return int(batch_size.__index__())


def predict(module: Module, x: Any, batch_size: int) -> Any:
    """See `Module.predict`."""
    size = check_batch_size(batch_size)
    rows = to_array(x)
    if rows.ndim < 2:
        raise ValueError(f"expected x of shape (rows, ...), got {rows.shape}; one row is x[None]")
    if rows.shape[0] == 0:
        raise ValueError(f"expected at least one row, got x of shape {rows.shape}")
    with inference_mode(module):
        parts = [module(rows[start : start + size]) for start in range(0, rows.shape[0], size)]
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], (tuple, list)):
        return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))
    return np.concatenate(parts)
