# SPDX-License-Identifier: Apache-2.0
"""Named arrays owned by modules: what an optimiser changes, and what a layer keeps beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ..graph.changes import changes
from .operators import ArrayOperators

ALIGNMENT = 64
"""Bytes: a cache line and the widest vector register."""


def aligned_empty(shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Return an uninitialised C-order array whose memory starts on a cache line."""
    kind = np.dtype(dtype)
    nbytes = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    memory = np.empty(nbytes + ALIGNMENT, dtype=np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + nbytes].view(kind).reshape(shape)


def to_numpy(value: Any) -> NDArray[Any]:
    """Return `value` as a numpy array; complex numbers and objects raise TypeError.

    Accepts whatever has the buffer protocol, ``__array_interface__``, ``__array__`` or
    ``__dlpack__``, and nested lists of numbers.
    """
    if isinstance(value, StoredArray):
        return value.data
    if hasattr(value, "detach"):
        value = value.detach()
    only_dlpack = hasattr(value, "__dlpack__") and not (
        hasattr(value, "__array__") or hasattr(value, "__array_interface__")
    )
    array: NDArray[Any] = np.from_dlpack(value) if only_dlpack else np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"expected an array of real numbers, got dtype {array.dtype}")
    return array


class StoredArray(ArrayOperators):
    """An array with an identity, which programs may read and write in place.

    It reads as a numpy array that cannot be written to; :meth:`assign` changes its contents, and
    :attr:`version` counts those changes so that whoever derived something from it can notice.
    """

    def __init__(self, data: ArrayLike, dtype: DTypeLike = np.float32, name: str = "") -> None:
        source = to_numpy(data)
        self.data = aligned_empty(source.shape, dtype)
        self.data[...] = source
        self.name = name
        self.version = 0
        self._requires_grad = False

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient is computed and optimisers change the array."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self._requires_grad = bool(value)
        changes.structure += 1

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def nbytes(self) -> int:
        return self.data.nbytes

    def numpy(self) -> NDArray[Any]:
        """Return a read-only view: it shows later changes; copy it to keep today's values."""
        view: NDArray[Any] = self.data.view()
        view.flags.writeable = False
        return view

    def assign(self, value: ArrayLike) -> None:
        """Replace the contents. The shape must be the same; numbers are converted to the dtype.

        Raises:
            ValueError: the shape differs.
            TypeError: complex or object values, or fractions for an integer buffer.
        """
        source = to_numpy(value)
        label = f"[{self.name}] " if self.name else ""
        if source.shape != self.shape:
            raise ValueError(f"{label}expected an array of shape {self.shape}, got {source.shape}")
        if self.dtype.kind == "i" and source.dtype.kind == "f":
            raise TypeError(f"{label}expected integers ({self.dtype}), got {source.dtype}")
        self.data[...] = source
        self.bump()

    def bump(self) -> None:
        """Count a change made directly to `data`."""
        self.version += 1

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        wanted = self.dtype if dtype is None else np.dtype(dtype)
        if copy or wanted != self.dtype:
            if copy is False:
                raise ValueError(f"a copy is needed to convert {self.dtype} to {wanted}")
            return self.data.astype(wanted)
        return self.numpy()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.numpy())

    def __len__(self) -> int:
        return len(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __int__(self) -> int:
        return int(self.data)

    def item(self) -> Any:
        """Return the only element as a Python number."""
        return self.data.item()

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__, data=self.data.copy())

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.data = aligned_empty(state["data"].shape, state["data"].dtype)
        self.data[...] = state["data"]

    def __repr__(self) -> str:
        values = np.array2string(self.data, separator=", ", prefix=type(self).__name__ + "(")
        return f"{type(self).__name__}({values}{self._extra_repr()})"

    def _extra_repr(self) -> str:
        return f", dtype={self.dtype}"


class Parameter(StoredArray):
    """A float32 array that training changes.

    Args:
        data: initial values, of any shape; copied.
        requires_grad: False freezes it: no gradient is computed, optimisers leave it alone.

    >>> weight = Parameter([[1, 2], [3, 4]])
    >>> weight.shape, np.asarray(weight).sum().item()
    ((2, 2), 10.0)
    >>> weight.assign(np.zeros((2, 2)))
    >>> weight[0, 1].item()
    0.0
    """

    def __init__(self, data: ArrayLike, requires_grad: bool = True, name: str = "") -> None:
        super().__init__(data, np.float32, name)
        self._requires_grad = bool(requires_grad)

    def _extra_repr(self) -> str:
        return "" if self.requires_grad else ", requires_grad=False"


class Buffer(StoredArray):
    """An array a module keeps that no optimiser changes, such as batch norm's running mean.

    Args:
        data: initial values; integers are kept as int64, everything else as float32.
        persistent: whether it is part of `state_dict()`.
        optional: whether a strict `load_state_dict` may find it missing.
    """

    def __init__(
        self, data: ArrayLike, persistent: bool = True, optional: bool = False, name: str = ""
    ) -> None:
        source = to_numpy(data)
        super().__init__(source, np.int64 if source.dtype.kind in "iu" else np.float32, name)
        self.persistent = persistent
        self.optional = optional
