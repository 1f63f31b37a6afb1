# SPDX-License-Identifier: Apache-2.0
"""torch's `device` and `dtype`: accepted where they say what is the case, refused elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np


def check_placement(device: Any = None, dtype: Any = None) -> None:
    """Raise unless `device` is None or a CPU and `dtype` None or float32, by torch's or numpy's names.

    >>> check_placement("cpu", np.float32)
    >>> check_placement("cuda")
    Traceback (most recent call last):
    ValueError: expected device 'cpu', got 'cuda': cnncore computes on CPUs
    """
    if device is not None and str(device).partition(":")[0] != "cpu":
        raise ValueError(f"expected device 'cpu', got {str(device)!r}: cnncore computes on CPUs")
    if dtype is not None and _name(dtype) != "float32":
        raise ValueError(
            f"expected dtype float32, got {_name(dtype)}: parameters are float32, and so is what is computed"
        )


def check_move(args: tuple[Any, ...], options: dict[str, Any]) -> None:
    """Raise unless the arguments of torch's `to` - a device, a dtype, both, or a tensor to be like - change
    nothing."""
    unknown = options.keys() - {"device", "dtype", "non_blocking", "copy", "memory_format", "tensor", "other"}
    if unknown:
        raise TypeError(f"to: unexpected {', '.join(sorted(unknown))}; expected device and dtype")
    for value in (*args, options.get("tensor"), options.get("other")):
        if value is None or isinstance(value, bool):
            continue
        if hasattr(value, "shape") and not isinstance(value, type):
            check_placement(getattr(value, "device", None), value.dtype)
        elif _is_device(value):
            check_placement(value)
        else:
            check_placement(None, value)
    check_placement(options.get("device"), options.get("dtype"))


def _is_device(value: Any) -> bool:
    return isinstance(value, int) or (
        hasattr(value, "index") and not isinstance(value, type) and not _known(value)
    )


def _known(value: Any) -> bool:
    """Whether a text names an element type."""
    try:
        np.dtype(value)
    except TypeError:
        return False
    return True


def _name(dtype: Any) -> str:
    """Return the name of an element type of numpy or torch."""
    return np.dtype(dtype).name if _known(dtype) else str(dtype).removeprefix("torch.")
