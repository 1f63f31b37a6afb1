# SPDX-License-Identifier: Apache-2.0
"""Running a module in inference mode on any number of rows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph.arrays import to_array
from ..graph.changes import changes

if TYPE_CHECKING:
    from .module import Module


_lock = threading.Lock()
_users: dict[int, int] = {}
_training: dict[int, list[Module]] = {}


@contextmanager
def inference_mode(module: Module) -> Iterator[None]:
    """Put `module` into eval mode inside a ``with`` block; afterwards each part has its own mode again.

    Several threads may be inside at once: the last one to leave restores the modes.
    """
    key = id(module)
    with _lock:
        if key not in _users:
            _users[key] = 0
            _training[key] = [part for part in module.modules() if part.training]
            if _training[key]:
                module.eval()
        _users[key] += 1
    try:
        yield
    finally:
        with _lock:
            _users[key] -= 1
            if _users[key] == 0:
                del _users[key]
                _restore(_training.pop(key))


def _restore(training: list[Module]) -> None:
    for part in training:
        part.__dict__["training"] = True
    if training:
        changes.structure += 1


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
