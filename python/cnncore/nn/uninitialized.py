# SPDX-License-Identifier: Apache-2.0
"""Parameters and buffers whose shape follows from the first input of a lazy layer."""

from __future__ import annotations

from typing import Any

from .parameter import Buffer, Parameter, StoredArray


class Uninitialized(StoredArray):
    """What parameters and buffers without a shape share: they can be named and frozen, nothing else."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._requires_grad = False
        self._made = None

    def __getattr__(self, name: str) -> Any:
        if name in ("storage", "_view"):
            raise ValueError(
                f"{self.name!r} of a lazy layer has no shape yet: call the model once on an input, or "
                "cc.summary(model, input_shape)"
            )
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def become(self, other: StoredArray) -> None:
        """Take over the contents of a new parameter or buffer, with its shape."""
        storage = other.storage
        self.__class__ = type(other)  # type: ignore[assignment]
        self._hold(storage)
        self._made = other._made

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class UninitializedParameter(Uninitialized, Parameter):
    """A parameter without a shape."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._requires_grad = True


class UninitializedBuffer(Uninitialized, Buffer):
    """A buffer without a shape."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.persistent, self.optional = True, False
