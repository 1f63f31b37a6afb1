# SPDX-License-Identifier: Apache-2.0
"""How much a file may ask for, the same on every machine: what goes beyond is refused before it is made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from math import prod
from typing import Any

import numpy as np

from ..graph.dtype import ITEM_SIZE
from ..graph.limits import size_text
from ..graph.tensor import Node as Step

LARGEST_RESULT = 1 << 34
"""Bytes of a node's result, of one image where it has several axes."""

LARGEST_BATCH = 1 << 40
"""Bytes of a node's result for all images, which may pass in portions."""

LARGEST_FOLDED = 1 << 31
"""Bytes that a result which follows from the file alone may have beyond those of the node's inputs."""


class OversizedError(ValueError):
    """A result that is larger than files may ask for."""


_bound: ContextVar[int] = ContextVar("bound", default=LARGEST_RESULT)


@contextmanager
def folding(inputs: Sequence[Any]) -> Iterator[None]:
    """Bound results in this block as those that follow from the file alone."""
    distinct = {id(value): int(getattr(value, "nbytes", 0)) for value in inputs}
    token = _bound.set(min(LARGEST_FOLDED + sum(distinct.values()), LARGEST_RESULT - 1))
    try:
        yield
    finally:
        _bound.reset(token)


def require_result(shape: Sequence[Any], item: int = 4) -> None:
    """Refuse an array of numpy that is larger than the bound, before it is made.

    Args:
        shape: of the array.
        item: bytes of an element; those of most where it is not told.

    Raises:
        OversizedError: naming the shape and the bound.
    """
    extents = tuple(int(extent) for extent in shape)
    if prod(extents) * item > _bound.get():
        raise OversizedError(_text(extents, prod(extents) * item, _bound.get()))


def require_results(results: Any) -> None:
    """Refuse what a function has made, where that is larger than the bound: the next would be larger still.

    Raises:
        OversizedError: naming the shape and the bound.
    """
    for result in results if isinstance(results, tuple) else (results,):
        if isinstance(result, np.ndarray):
            require_result(result.shape, result.dtype.itemsize)


def require_steps(steps: Iterable[Step]) -> None:
    """Refuse nodes of a program whose results are larger than the bounds; nothing has been made yet.

    Raises:
        OversizedError: naming the shape and the bound.
    """
    for step in steps:
        for tensor in step.outputs:
            if tensor is not None:
                _require_traced(tensor.shape, ITEM_SIZE[tensor.dtype])


def is_beyond(error: MemoryError) -> bool:
    """Whether what there was no memory for is larger than the bound, or follows from the file alone."""
    nbytes = getattr(error, "nbytes", None)
    if nbytes is None:  # numpy's says the shape and the type
        shape, dtype = getattr(error, "shape", ()), getattr(error, "dtype", np.dtype(bool))
        nbytes = prod(map(int, shape)) * dtype.itemsize
    return bool(nbytes > _bound.get() or _bound.get() != LARGEST_RESULT)


def _require_traced(shape: tuple[int, ...], item: int) -> None:
    nbytes = prod(shape) * item
    images = shape[0] if len(shape) > 1 and _bound.get() == LARGEST_RESULT else 1
    for size, bound in ((nbytes // max(images, 1), _bound.get()), (nbytes, LARGEST_BATCH)):
        if size > bound:
            raise OversizedError(_text(shape, nbytes, bound))


def _text(shape: tuple[int, ...], nbytes: int, bound: int) -> str:
    return (
        f"a result of shape {shape} needs {size_text(nbytes)}: too large, models may have results of up to "
        f"{size_text(bound)}"
    )
