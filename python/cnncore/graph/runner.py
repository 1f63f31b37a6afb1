# SPDX-License-Identifier: Apache-2.0
"""The compiler as operations see it; the package's root hands it in, since they know nothing above them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol


class Program(Protocol):
    """A compiled function."""

    def __call__(self, arrays: Sequence[Any]) -> Any:
        """Run on one array for each array among the arguments compiled for."""

    def nbytes(self) -> int:
        """Return the memory that the program holds for itself."""


Compile = Callable[[Callable[..., Any], Sequence[Any], dict[str, Any]], Program]

_compile: Compile | None = None


def use(compile_function: Compile) -> None:
    """Let operations called on arrays be compiled by this function of (function, args, kwargs)."""
    global _compile
    _compile = compile_function


def compile_function(fn: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Program:
    """Trace and compile `fn` for arguments like these arrays."""
    assert _compile is not None, "cnncore/__init__.py hands the compiler in"
    return _compile(fn, args, kwargs)
