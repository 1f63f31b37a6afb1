# SPDX-License-Identifier: Apache-2.0
"""Running a module in inference mode on any number of rows."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph.arrays import to_array
from ..graph.mode import inference
from ..graph.trace import map_tree
from .outputs import join_rows

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
    # No rows give what one row gives, without it.
    given = rows if len(rows) else np.zeros((1, *rows.shape[1:]), rows.dtype)
    starts = range(0, len(given), size)
    with inference_mode(module):
        parts = [module(given[start : start + size]) for start in starts]
    joined = join_rows(parts, [min(size, len(given) - start) for start in starts])
    return joined if len(rows) else map_tree(lambda value: None if value is None else value[:0], joined)
