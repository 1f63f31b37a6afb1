# SPDX-License-Identifier: Apache-2.0
"""Running a module in inference mode on any number of rows."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph.arrays import to_array
from ..graph.mode import inference
from ..graph.trace import map_tree
from .arguments import positive
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
    return positive("batch_size", batch_size)


def call_with(module: Callable[..., Any], x: Any) -> Any:
    """Call a module with one input, a tuple of inputs, or a dict of inputs by the names of its arguments.

    A module whose `forward` has no such arguments gets the tuple or dict itself.
    """
    if isinstance(x, tuple) and _takes(module, x, {}):
        return module(*x)
    if isinstance(x, dict) and _takes(module, (), x):
        return module(**x)
    return module(x)


def _takes(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    try:
        inspect.signature(getattr(module, "forward", module)).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def predict(module: Module, x: Any, batch_size: int) -> Any:
    """See `Module.predict`."""
    size = check_batch_size(batch_size)
    if _is_path(x) or (isinstance(x, (list, tuple)) and x and all(map(_is_path, x))):
        return _of_files(module, x, size)
    if not _is_rows(x):
        return _of_batches(module, x, size)
    rows = _checked(x)
    count = len(_first(rows))
    # No rows give what one row gives, without it.
    given = rows if count else map_tree(lambda a: np.zeros((1, *a.shape[1:]), a.dtype), rows)
    starts = range(0, count or 1, size)
    with inference_mode(module):
        parts = [call_with(module, _cut(given, slice(start, start + size))) for start in starts]
    joined = join_rows(parts, [min(size, (count or 1) - start) for start in starts])
    return joined if count else map_tree(lambda value: None if value is None else value[:0], joined)


def predict_classes(module: Module, x: Any, batch_size: int) -> Any:
    """See `Module.predict_classes`."""
    output = predict(module, x, batch_size)
    if not isinstance(output, np.ndarray) or output.ndim < 2 or output.shape[1] < 2:
        found = f"shape {output.shape}" if isinstance(output, np.ndarray) else type(output).__name__
        raise ValueError(f"predict_classes: expected outputs (rows, classes, ...), got {found}")
    names = getattr(module, "class_names", None)
    numbers = output.argmax(1)
    if names is not None and len(names) != output.shape[1]:
        raise ValueError(f"expected {output.shape[1]} class_names, one for each output, got {len(names)}")
    return numbers if names is None else np.array(names)[numbers]


def _is_path(x: Any) -> bool:
    return isinstance(x, (str, os.PathLike))


def _of_files(module: Module, x: Any, size: int) -> Any:
    """Run on image files, as the model's preprocessing reads them."""
    reader = getattr(module, "_reader", None)
    if reader is None:
        raise TypeError(
            "predict takes names of files where the model has a preprocessing: "
            "cc.save(model, path, preprocessing={'size': (32, 32), 'mean': [0.5], 'std': [0.5]}), then "
            "cc.load_model(path)"
        )
    files = reader.files(x)
    parts = [files[start : start + size] for start in range(0, len(files), size)]
    with inference_mode(module):
        outputs = [call_with(module, reader.read(part)) for part in parts]
    return join_rows(outputs, [len(part) for part in parts])


def _cut(tree: Any, chosen: slice) -> Any:
    return map_tree(lambda array: array[chosen], tree)


_ARRAY_MARKS = ("shape", "__array_interface__", "__array__", "__dlpack__")


def _is_rows(x: Any) -> bool:
    """Whether inputs are arrays, or dicts and tuples of them, and not batches or samples to go through."""
    if isinstance(x, (dict, tuple, list)) or any(hasattr(x, mark) for mark in _ARRAY_MARKS):
        return True
    try:
        memoryview(x)
    except TypeError:
        return not (hasattr(x, "__iter__") or hasattr(x, "__getitem__"))
    return True


def _of_batches(module: Module, x: Any, size: int) -> Any:
    """Run on a dataset, a loader or another iterable of batches: x, (x, y) or (x, y, weights)."""
    if hasattr(x, "__len__") and hasattr(x, "batch") and not hasattr(x, "batch_size"):
        batches: Any = (x.batch(range(i, min(i + size, len(x)))) for i in range(0, len(x), size))
    else:
        batches = x
    parts, counts = [], []
    with inference_mode(module):
        for batch in batches:
            rows = _checked(batch[0] if isinstance(batch, (tuple, list)) else batch)
            parts.append(call_with(module, rows))
            counts.append(len(_first(rows)))
    if not parts:
        raise ValueError("expected at least one batch, got none; a generator can be used once only")
    return join_rows(parts, counts)


def _checked(x: Any) -> Any:
    """Return inputs as arrays with equally many rows."""
    if isinstance(x, dict) or (isinstance(x, tuple) and x and all(hasattr(part, "shape") for part in x)):
        found = map_tree(to_array, x)
        if any(array.ndim == 0 for array in _leaves(found)):
            raise ValueError("expected inputs of shape (rows, ...), got a number")
        counts = {len(array) for array in _leaves(found)}
        if len(counts) != 1:
            raise ValueError(f"expected as many rows in each input, got {sorted(counts)}")
        return found
    return _rows(x)


def _rows(x: Any) -> Any:
    rows = to_array(x)
    if rows.ndim < 2:
        raise ValueError(f"expected x of shape (rows, ...), got {rows.shape}; one row is x[None]")
    return rows


def _leaves(tree: Any) -> list[Any]:
    found: list[Any] = []
    map_tree(found.append, tree)
    return found


def _first(tree: Any) -> Any:
    return _leaves(tree)[0]
