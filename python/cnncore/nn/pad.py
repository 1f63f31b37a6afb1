# SPDX-License-Identifier: Apache-2.0
"""Padding layers."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import ops
from .._checks import is_index
from .arguments import finite
from .module import Module

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class _Pad(Module):
    rank: ClassVar[int]
    mode: ClassVar[str]

    def __init__(self, padding: int | tuple[int, ...]) -> None:
        super().__init__()
        given: Any = (padding,) * (2 * self.rank) if is_index(padding) else padding
        fits = isinstance(given, (tuple, list)) and len(given) == 2 * self.rank
        if not fits or not all(map(is_index, given)):
            raise ValueError(f"expected padding as an int or {2 * self.rank} of them, got {padding!r}")
        self.padding = tuple(int(n) for n in given)

    def forward(self, input: Any) -> Any:
        return ops.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return str(self.padding)


class _ConstantPad(_Pad):
    mode = "constant"

    def __init__(self, padding: int | tuple[int, ...], value: float) -> None:
        super().__init__(padding)
        self.value = finite("value", value)

    def forward(self, input: Any) -> Any:
        return ops.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class CircularPad1d(_Pad):
    """Images continued from their other end.

    Args:
        padding: an int for all sides, or (left, right) of input (batch, channels, length).

    >>> import numpy as np
    >>> CircularPad1d(1)(np.ones((1, 1, 4))).shape
    (1, 1, 6)
    """

    rank = 1
    mode = "circular"


class ReflectionPad1d(_Pad):
    """Images mirrored at their edges, which are not repeated.

    Args:
        padding: an int for all sides, or (left, right) of input (batch, channels, length).

    >>> import numpy as np
    >>> ReflectionPad1d(1)(np.ones((1, 1, 4))).shape
    (1, 1, 6)
    """

    rank = 1
    mode = "reflect"


class ReplicationPad1d(_Pad):
    """Images with their edges repeated.

    Args:
        padding: an int for all sides, or (left, right) of input (batch, channels, length).

    >>> import numpy as np
    >>> ReplicationPad1d(1)(np.ones((1, 1, 4))).shape
    (1, 1, 6)
    """

    rank = 1
    mode = "replicate"


class ZeroPad1d(_Pad):
    """Images surrounded by zeros.

    Args:
        padding: an int for all sides, or (left, right) of input (batch, channels, length).

    >>> import numpy as np
    >>> ZeroPad1d(1)(np.ones((1, 1, 4))).shape
    (1, 1, 6)
    """

    rank = 1
    mode = "constant"


class ConstantPad1d(_ConstantPad):
    """Images surrounded by a value.

    Args:
        padding: an int for all sides, or (left, right) of input (batch, channels, length).
        value: what to surround them with.

    >>> import numpy as np
    >>> ConstantPad1d(1, 0.5)(np.ones((1, 1, 4))).shape
    (1, 1, 6)
    """

    rank = 1


class CircularPad2d(_Pad):
    """Images continued from their other end.

    Args:
        padding: an int for all sides, or (left, right, top, bottom) of input (batch, channels, height,
            width).

    >>> import numpy as np
    >>> CircularPad2d(1)(np.ones((1, 1, 4, 5))).shape
    (1, 1, 6, 7)
    """

    rank = 2
    mode = "circular"


class ReflectionPad2d(_Pad):
    """Images mirrored at their edges, which are not repeated.

    Args:
        padding: an int for all sides, or (left, right, top, bottom) of input (batch, channels, height,
            width).

    >>> import numpy as np
    >>> ReflectionPad2d(1)(np.ones((1, 1, 4, 5))).shape
    (1, 1, 6, 7)
    """

    rank = 2
    mode = "reflect"


class ReplicationPad2d(_Pad):
    """Images with their edges repeated.

    Args:
        padding: an int for all sides, or (left, right, top, bottom) of input (batch, channels, height,
            width).

    >>> import numpy as np
    >>> ReplicationPad2d(1)(np.ones((1, 1, 4, 5))).shape
    (1, 1, 6, 7)
    """

    rank = 2
    mode = "replicate"


class ZeroPad2d(_Pad):
    """Images surrounded by zeros.

    Args:
        padding: an int for all sides, or (left, right, top, bottom) of input (batch, channels, height,
            width).

    >>> import numpy as np
    >>> ZeroPad2d(1)(np.ones((1, 1, 4, 5))).shape
    (1, 1, 6, 7)
    """

    rank = 2
    mode = "constant"


class ConstantPad2d(_ConstantPad):
    """Images surrounded by a value.

    Args:
        padding: an int for all sides, or (left, right, top, bottom) of input (batch, channels, height,
            width).
        value: what to surround them with.

    >>> import numpy as np
    >>> ConstantPad2d(1, 0.5)(np.ones((1, 1, 4, 5))).shape
    (1, 1, 6, 7)
    """

    rank = 2


class CircularPad3d(_Pad):
    """Images continued from their other end.

    Args:
        padding: an int for all sides, or (left, right, top, bottom, front, back) of input (batch, channels,
            depth, height, width).

    >>> import numpy as np
    >>> CircularPad3d(1)(np.ones((1, 1, 4, 5, 6))).shape
    (1, 1, 6, 7, 8)
    """

    rank = 3
    mode = "circular"


class ReflectionPad3d(_Pad):
    """Images mirrored at their edges, which are not repeated.

    Args:
        padding: an int for all sides, or (left, right, top, bottom, front, back) of input (batch, channels,
            depth, height, width).

    >>> import numpy as np
    >>> ReflectionPad3d(1)(np.ones((1, 1, 4, 5, 6))).shape
    (1, 1, 6, 7, 8)
    """

    rank = 3
    mode = "reflect"


class ReplicationPad3d(_Pad):
    """Images with their edges repeated.

    Args:
        padding: an int for all sides, or (left, right, top, bottom, front, back) of input (batch, channels,
            depth, height, width).

    >>> import numpy as np
    >>> ReplicationPad3d(1)(np.ones((1, 1, 4, 5, 6))).shape
    (1, 1, 6, 7, 8)
    """

    rank = 3
    mode = "replicate"


class ZeroPad3d(_Pad):
    """Images surrounded by zeros.

    Args:
        padding: an int for all sides, or (left, right, top, bottom, front, back) of input (batch, channels,
            depth, height, width).

    >>> import numpy as np
    >>> ZeroPad3d(1)(np.ones((1, 1, 4, 5, 6))).shape
    (1, 1, 6, 7, 8)
    """

    rank = 3
    mode = "constant"


class ConstantPad3d(_ConstantPad):
    """Images surrounded by a value.

    Args:
        padding: an int for all sides, or (left, right, top, bottom, front, back) of input (batch, channels,
            depth, height, width).
        value: what to surround them with.

    >>> import numpy as np
    >>> ConstantPad3d(1, 0.5)(np.ones((1, 1, 4, 5, 6))).shape
    (1, 1, 6, 7, 8)
    """

    rank = 3
