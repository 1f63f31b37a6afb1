# SPDX-License-Identifier: Apache-2.0
"""Methods that change the type of a tensor's or parameter's elements, and those that change nothing."""

from __future__ import annotations

from typing import Any

from ..graph.dispatch import operator
from ..graph.tensor import Tensor
from ..graph.trace import as_tensor, dtype_error, is_stored, is_tracing
from .build import cast
from .detach import detach
from .promotion import dtype_named


@operator("input")
def converted(input: Any, dtype: str) -> Tensor:
    """Return the input as another dtype: floats become integers by truncation, not zero becomes True."""
    return cast(as_tensor(input, "to"), dtype)


class Conversions:
    """A part of `ops.methods.Methods` apart from it, where the names float, int and bool are types."""

    def float(self) -> Any:
        """Return the elements as float32."""
        return converted(self, "float32")

    def long(self) -> Any:
        """Return the elements as int64."""
        return converted(self, "int64")

    def int(self) -> Any:
        """Return the elements as int32."""
        return converted(self, "int32")

    def bool(self) -> Any:
        """Return whether elements are not zero."""
        return converted(self, "bool")

    def double(self) -> Any:
        """Raise: values are computed in float32."""
        return converted(self, dtype_named("float64", "double"))

    def half(self) -> Any:
        """Raise: values are computed in float32."""
        return converted(self, dtype_named("float16", "half"))

    def type_as(self, other: Any) -> Any:
        """Return the elements as the other tensor's dtype."""
        return converted(self, dtype_named(other.dtype, "type_as"))

    def to(self, *args: Any, dtype: Any = None, device: Any = None, **rest: Any) -> Any:
        """Return the elements as a dtype, or another tensor's; the device is the CPU.

        `non_blocking`, `copy` and `memory_format` are accepted and change nothing.
        """
        for value in args:
            if isinstance(value, Tensor) or is_stored(value):
                dtype = value.dtype
            elif str(value) in ("cpu", "None"):
                continue
            elif str(value).split(":")[0] in ("cuda", "mps", "xpu", "meta"):
                device = value
            elif value not in (True, False):
                dtype = value
        unknown = set(rest) - {"non_blocking", "copy", "memory_format"}
        if unknown:
            raise dtype_error("to", f"expected dtype and device, got {', '.join(sorted(unknown))}")
        if device is not None and str(device) != "cpu":
            raise dtype_error("to", f"expected device 'cpu', got {device!r}")
        return converted(self, dtype_named(self.dtype if dtype is None else dtype, "to"))  # type: ignore[attr-defined]

    def contiguous(self, memory_format: Any = None) -> Any:
        """Return the tensor itself: memory layouts are the library's business."""
        return self

    def clone(self, memory_format: Any = None) -> Any:
        """Return the tensor itself: values do not change."""
        return self if is_tracing() else converted(self, dtype_named(self.dtype, "clone"))  # type: ignore[attr-defined]

    def cpu(self) -> Any:
        """Return the tensor itself."""
        return self

    def detach(self) -> Any:
        """Return the tensor as a constant: its gradient is zero."""
        return detach(self)
