# SPDX-License-Identifier: Apache-2.0
"""Named arrays owned by modules: what an optimiser changes, and what a layer keeps beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .._core import Storage
from ..graph.arrays import to_array
from ..graph.changes import changes
from ..graph.tensor import Size
from ..graph.trace import note_value_read
from ..ops.methods import Methods
from .arguments import flag
from .read_only import ReadOnly


class StoredArray(Methods):
    """An array with an identity, which programs may read and write in place.

    It reads as a numpy array that cannot be written to; :meth:`assign` changes its contents, and
    :attr:`version` counts those changes so that whoever derived something from it can notice.
    :attr:`storage` is the memory: it is written by programs and by its own `write`, which count the
    change in the same call and keep readers out meanwhile.
    """

    def __init__(self, data: ArrayLike, dtype: DTypeLike = np.float32, name: str = "") -> None:
        self._hold(Storage(np.asarray(to_array(data), dtype, order="C")))
        self.name = name
        self._requires_grad = False
        self._made: tuple[int, Callable[[], Iterable[NDArray[Any]]]] | None = None

    def _hold(self, storage: Storage) -> None:
        self.storage = storage
        self._view = np.asarray(storage)  # read-only as the storage's buffer is: nobody can make it writable

    @property
    def version(self) -> int:
        """Grows with each change of the contents."""
        return self.storage.version

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient is computed and optimisers change the array."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        with changes.of_structure():
            self._requires_grad = flag("requires_grad", value)

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self._view.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._view.dtype

    @property
    def ndim(self) -> int:  # type: ignore[override]
        return self._view.ndim

    @property
    def size(self) -> Size:
        """The number of elements; called, the extents, as `graph.tensor.Size` says."""
        return Size(self.shape)

    @property
    def nbytes(self) -> int:
        return self._view.nbytes

    def numpy(self) -> NDArray[Any]:
        """Return a read-only view: it shows later changes; copy it to keep today's values.

        A traced function that reads values so is traced again once they have changed.
        """
        note_value_read(self)
        view: NDArray[Any] = self._view.view()
        return view

    @property
    def data(self) -> NDArray[Any]:
        """The values as `numpy()` shows them; assigning to it is `assign`."""
        view: NDArray[Any] = self.numpy().view(ReadOnly)
        view.parameter = self  # type: ignore[attr-defined]
        return view

    @data.setter
    def data(self, value: ArrayLike) -> None:
        self.assign(value)

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
        self.storage.write(np.asarray(source, self.dtype, order="C"))

    def fill(self, blocks: Iterable[NDArray[Any]]) -> None:
        """Replace the contents, in C order, by flat arrays that follow one another."""
        start = 0
        for block in blocks:
            self.storage.write_part(start, np.ascontiguousarray(block, self.dtype))
            start += block.size

    def remember(self, make: Callable[[], Iterable[NDArray[Any]]]) -> None:
        """Note that `fill(make())` gives the present contents: nobody need keep a copy of them then."""
        self._made = self.version, make

    def again(self) -> Callable[[], None] | None:
        """Return a function that makes the present contents again, or None where they must be kept."""
        if self._made is None or self._made[0] != self.version:
            return None
        make = self._made[1]
        return lambda: self.fill(make())

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        wanted = self.dtype if dtype is None else np.dtype(dtype)
        if copy or wanted != self.dtype:
            if copy is False:
                raise ValueError(f"a copy is needed to convert {self.dtype} to {wanted}")
            note_value_read(self)
            return self.storage.read().astype(wanted, copy=False)
        return self.numpy()

    def __dlpack__(self, *, copy: bool | None = None, **settings: Any) -> Any:
        """Return today's values for another library: a copy, so that nothing is changed behind `version`."""
        if copy is False:
            raise BufferError(f"a {type(self).__name__} is exchanged as a copy; numpy() is a read-only view")
        return self.copy().__dlpack__(**settings)

    def __dlpack_device__(self) -> tuple[int, int]:
        device: tuple[int, int] = self._view.__dlpack_device__()
        return device

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            f"a {type(self).__name__} is not written in place: "
            "values = parameter.numpy().copy(), change them, then parameter.assign(values)"
        )

    def __len__(self) -> int:
        return len(self._view)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def item(self) -> Any:
        """Return the only element as a Python number."""
        return self.numpy().item()

    def tolist(self) -> Any:
        """Return the values as nested lists of Python numbers."""
        return self.numpy().tolist()

    def copy(self) -> NDArray[Any]:
        """Return an array of today's values."""
        return self.__array__(copy=True)

    def astype(self, dtype: DTypeLike) -> NDArray[Any]:
        """Return an array of today's values, converted."""
        return self.__array__(dtype, copy=True)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__, _made=None)
        del state["_view"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._hold(self.storage)

    def __repr__(self) -> str:
        values = np.array2string(self.storage.read(), separator=", ", prefix=type(self).__name__ + "(")
        return f"{type(self).__name__}({values}{self._extra_repr()})"

    def _extra_repr(self) -> str:
        return f", dtype={self.dtype}"


class Parameter(StoredArray):
    """A float32 array that training changes.

    Args:
        data: initial values, of any shape; copied.
        requires_grad: False freezes it: no gradient is computed, optimisers leave it alone.

    Raises:
        TypeError: `requires_grad` is neither True nor False, or the data no array.

    >>> weight = Parameter([[1, 2], [3, 4]])
    >>> weight.shape, np.asarray(weight).sum().item()
    ((2, 2), 10.0)
    >>> weight.assign(np.zeros((2, 2)))
    >>> weight[0, 1].item()
    0.0
    """

    def __init__(self, data: ArrayLike, requires_grad: bool = True, name: str = "") -> None:
        super().__init__(data, np.float32, name)
        self._requires_grad = flag("requires_grad", requires_grad)

    def _extra_repr(self) -> str:
        return "" if self.requires_grad else ", requires_grad=False"


class Buffer(StoredArray):
    """An array a module keeps that no optimiser changes, such as batch norm's running mean.

    Args:
        data: initial values; integers are kept as int64, everything else as float32.
        persistent: whether it is part of `state_dict()`.
        optional: whether a strict `load_state_dict` may find it missing.

    >>> Buffer(np.zeros(3)).shape
    (3,)
    """

    def __init__(
        self, data: ArrayLike, persistent: bool = True, optional: bool = False, name: str = ""
    ) -> None:
        source = to_array(data)
        super().__init__(source, np.int64 if source.dtype.kind in "iu" else np.float32, name)
        self.persistent = persistent
        self.optional = optional
