# SPDX-License-Identifier: Apache-2.0
"""Named arrays owned by modules: what an optimiser changes, and what a layer keeps beside it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ..graph.arrays import aligned_copy, to_array
from ..graph.changes import changes
from ..graph.snapshot import Snapshot, gate
from .operators import ArrayOperators


class StoredArray(ArrayOperators):
    """An array with an identity, which programs may read and write in place.

    It reads as a numpy array that cannot be written to; :meth:`assign` changes its contents, and
    :attr:`version` counts those changes so that whoever derived something from it can notice.
    :attr:`memory` is the array itself: only programs write to it, through the gate of graph/snapshot.py.
    """

    def __init__(self, data: ArrayLike, dtype: DTypeLike = np.float32, name: str = "") -> None:
        self.memory = aligned_copy(to_array(data), dtype)
        self.name = name
        self.version = 0
        self._requires_grad = False
        self._snapshot: weakref.ref[Snapshot] | None = None
        self._made: tuple[int, Callable[[NDArray[Any]], None]] | None = None

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
        return self.memory.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.memory.dtype

    @property
    def ndim(self) -> int:
        return self.memory.ndim

    @property
    def size(self) -> int:
        return self.memory.size

    @property
    def nbytes(self) -> int:
        return self.memory.nbytes

    def numpy(self) -> NDArray[Any]:
        """Return a read-only view: it shows later changes; copy it to keep today's values."""
        view: NDArray[Any] = self.memory.view()
        view.flags.writeable = False
        return view

    @property
    def data(self) -> NDArray[Any]:
        """The same as `numpy()`."""
        return self.numpy()

    def assign(self, value: ArrayLike) -> None:
        """Replace the contents. The shape must be the same; numbers are converted to the dtype.

        Raises:
            ValueError: the shape differs.
            TypeError: complex or object values, or fractions for an integer buffer.
        """
        source = to_array(value, self.name)
        label = f"[{self.name}] " if self.name else ""
        if source.shape != self.shape:
            raise ValueError(f"{label}expected an array of shape {self.shape}, got {source.shape}")
        if self.dtype.kind == "i" and source.dtype.kind == "f":
            raise TypeError(f"{label}expected integers ({self.dtype}), got {source.dtype}")
        with self.changing() as memory:
            memory[...] = source

    @contextmanager
    def changing(self) -> Iterator[NDArray[Any]]:
        """Yield the memory, to be written to inside a ``with`` block that compiles nothing."""
        gate.enter([self], -1)
        try:
            yield self.memory
        finally:
            self.version += 1
            gate.leave()

    def remember(self, make: Callable[[NDArray[Any]], None]) -> None:
        """Note that `make` fills an array with the present contents: `undo` need not keep them then."""
        self._made = self.version, make

    def undo(self) -> Callable[[], None]:
        """Return a function that brings the present contents back."""
        if self._made is not None and self._made[0] == self.version:
            make = self._made[1]
        else:
            before = self.memory.copy()

            def make(memory: NDArray[Any]) -> None:
                memory[...] = before

        def bring_back() -> None:
            with self.changing() as memory:
                make(memory)

        return bring_back

    def snapshot(self) -> Snapshot:
        """Return the present contents; only to be called while the gate is closed."""
        known = self._known_snapshot()
        if known is None:
            known = Snapshot(self)
            self._snapshot = weakref.ref(known)
            gate.taken += 1
        return known

    def before_change(self) -> None:
        """Let a snapshot copy the contents; called by the gate."""
        known = self._known_snapshot()
        if known is not None:
            known.copy()
        self._snapshot = None

    def _known_snapshot(self) -> Snapshot | None:
        return None if self._snapshot is None else self._snapshot()

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        wanted = self.dtype if dtype is None else np.dtype(dtype)
        if copy or wanted != self.dtype:
            if copy is False:
                raise ValueError(f"a copy is needed to convert {self.dtype} to {wanted}")
            return self.memory.astype(wanted)
        return self.numpy()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.numpy())

    def __len__(self) -> int:
        return len(self.memory)

    def __float__(self) -> float:
        return float(self.memory)

    def __int__(self) -> int:
        return int(self.memory)

    def item(self) -> Any:
        """Return the only element as a Python number."""
        return self.memory.item()

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__, memory=self.memory.copy(), _snapshot=None, _made=None)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, memory=aligned_copy(state["memory"]))

    def __repr__(self) -> str:
        values = np.array2string(self.memory, separator=", ", prefix=type(self).__name__ + "(")
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
        source = to_array(data)
        super().__init__(source, np.int64 if source.dtype.kind in "iu" else np.float32, name)
        self.persistent = persistent
        self.optional = optional
