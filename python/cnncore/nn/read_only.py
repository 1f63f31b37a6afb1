# SPDX-License-Identifier: Apache-2.0
"""What `parameter.data` returns: an array whose errors say how a parameter is changed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_WAY = "parameter.data is read-only: parameter.assign(values) changes it, and tells compiled programs"


class ReadOnly(np.ndarray[Any, Any]):
    """A read-only view of a parameter's values; copies and what is computed from it can be written."""

    parameter: Any = None
    """The parameter, for functions that fill one (`nn.init`); None for parts of the view."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        for array in options.get("out", ()):
            _require_writable(array)
        if "out" in options:
            options["out"] = tuple(map(_plain, options["out"]))
        return getattr(ufunc, method)(*map(_plain, inputs), **options)

    def __array_wrap__(self, array: NDArray[Any], context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if return_scalar else array.view(np.ndarray)

    def __setitem__(self, index: Any, value: Any) -> None:
        _require_writable(self)
        super().__setitem__(index, value)

    def fill(self, value: Any) -> None:
        """Fill a copy; the view itself refuses, with the way to change a parameter."""
        _require_writable(self)
        super().fill(value)


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, ReadOnly) else value


def _require_writable(array: Any) -> None:
    if isinstance(array, ReadOnly) and not array.flags.writeable:
        raise ValueError(_WAY)
