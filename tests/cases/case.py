# SPDX-License-Identifier: Apache-2.0
"""One entry of the table of operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnncore import ops

Array = NDArray[Any]

RANKS = ((), (5,), (1,), (3, 4), (2, 3, 4), (2, 3, 4, 3), (1, 1, 1, 1), (2, 3, 2, 1, 3))
"""Shapes of every rank that elementwise operations take."""

LARGE = (3, 17, 40, 41)
"""A shape that several threads share: values and bits only, since differences would take too long."""


@dataclass(frozen=True, eq=False)
class Case:
    """A public operation on given arrays, and what it must give.

    Args:
        name: of the function in `cnncore.ops`, and in torch where that has it.
        arrays: what is differentiated by where it is floating-point (float32 values), positional.
        reference: the result from the same arrays in float64, by numpy or `tests/reference`; several results
            as a tuple.
        exact: the values are whole numbers, and sums of them exact: nothing may be off, neither in values nor
            in gradients. Otherwise the largest error is `ulps` roundings of `magnitude`.
        magnitude: size of what is added up; the largest element of the result unless given.
        twice: whether second derivatives exist; without them differentiating twice must say so.
        kinks: (arrays, expected gradient of the sum by each floating-point array): where pieces meet.
        function: what to call instead of `ops.<name>`.
        torch: False where torch has no such function or it means something else; its name there, or a
            function of torch's tensors.
        differentiable: False where all gradients are zero or there is none.
        settings: further arguments, by torch's names.
    """

    name: str
    arrays: tuple[Array, ...]
    reference: Callable[..., Any]
    settings: dict[str, Any] = field(default_factory=dict)
    exact: bool = False
    ulps: float = 8.0
    magnitude: float | None = None
    twice: bool = True
    kinks: tuple[tuple[Sequence[Any], Sequence[Any]], ...] = ()
    function: Callable[..., Any] | None = None
    torch: Callable[..., Any] | str | bool = True
    differentiable: bool = True

    def __call__(self, *arrays: Any) -> Any:
        function = getattr(ops, self.name) if self.function is None else self.function
        return function(*arrays, **self.settings)

    def __str__(self) -> str:
        shapes = "x".join(str(a.shape).replace(" ", "") for a in self.arrays)
        return f"{self.name}-{shapes}-{','.join(f'{k}={v}' for k, v in self.settings.items())}"

    @property
    def places(self) -> list[int]:
        """The arrays that are differentiated by."""
        return [i for i, a in enumerate(self.arrays) if a.dtype.kind == "f"] if self.differentiable else []

    @property
    def large(self) -> bool:
        """Whether the arrays are too large for differences."""
        return max(a.size for a in self.arrays) > 1000


def case(name: str, arrays: Any, reference: Callable[..., Any], **rest: Any) -> Case:
    """A `Case`; arguments it does not know are the operation's settings."""
    known = {key: rest.pop(key) for key in list(rest) if key in Case.__dataclass_fields__}
    arrays = arrays if isinstance(arrays, tuple) else (arrays,)
    return Case(name, tuple(_input(a) for a in arrays), reference, settings=rest, **known)


def _input(value: Any) -> Array:
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def draw(*shape: int, low: float = -2.0, high: float = 2.0, seed: int = 0) -> Array:
    """Different float32 values between `low` and `high`, in a drawn order, none near a whole number."""
    count = int(np.prod(shape))
    places = np.random.default_rng(seed + count).permutation(count)
    values = low + (high - low) * (places + 0.37) / count
    whole = np.round(values)
    near = np.abs(values - whole) < 0.02
    moved = np.where(near, whole + np.where(whole + 0.03 < high, 0.03, -0.03), values)
    return moved.astype(np.float32).reshape(shape)


def whole(*shape: int, least: int = -4, most: int = 4, seed: int = 0) -> Array:
    """Whole numbers from `least` to `most` as float32, many of them equal."""
    return np.random.default_rng(seed).integers(least, most + 1, shape).astype(np.float32)


def different(*shape: int, seed: int = 0) -> Array:
    """Whole numbers, all different, in a drawn order, as float32."""
    count = int(np.prod(shape))
    return (np.random.default_rng(seed).permutation(count) - count // 2).astype(np.float32).reshape(shape)


def every_rank(name: str, reference: Callable[..., Any], low: float = -2.0, high: float = 2.0, **rest: Any):
    """A case of a function of one array for each rank, and one that several threads share."""
    return [
        case(name, draw(*shape, low=low, high=high), reference, **(rest if i == 3 else {**rest, "kinks": ()}))
        for i, shape in enumerate((*RANKS, LARGE))
    ]
