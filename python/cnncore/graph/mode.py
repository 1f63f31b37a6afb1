# SPDX-License-Identifier: Apache-2.0
"""The mode of a call: modules that run in inference mode for its length, whatever their own mode is.

It belongs to the thread (or task) that makes the call. A module called by two threads may be in training
mode for one and in inference mode for the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_modules: ContextVar[frozenset[int]] = ContextVar("_modules", default=frozenset())

get_mode = _modules.get
"""Return the ids of the modules that the present call runs in inference mode: a part of what programs are
kept under."""


def in_inference(module: Any) -> bool:
    """Whether the present call runs `module` in inference mode."""
    return id(module) in _modules.get()


@contextmanager
def inference(modules: Iterable[Any]) -> Iterator[None]:
    """Run `modules` in inference mode in calls made inside the ``with`` block."""
    token = _modules.set(_modules.get() | {id(module) for module in modules})
    try:
        yield
    finally:
        _modules.reset(token)
