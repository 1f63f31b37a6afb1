# SPDX-License-Identifier: Apache-2.0
"""A counter that tells compiled programs whether they must look for changes at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count


class Changes:
    """`structure` grows whenever any module's mode, attributes or parts, or any parameter's
    `requires_grad`, is set. A program that has seen the present value is still valid."""

    __slots__ = ("_numbers", "structure")

    def __init__(self) -> None:
        self._numbers = count(1)
        self.structure = 0

    def note(self) -> None:
        """Count a change. Who makes one notes it before, in case an exception cuts it short, and after, since
        another thread may have looked meanwhile."""
        self.structure = next(self._numbers)

    @contextmanager
    def of_structure(self) -> Iterator[None]:
        """Note a change made in the ``with`` block."""
        self.note()
        try:
            yield
        finally:
            self.note()


changes = Changes()
