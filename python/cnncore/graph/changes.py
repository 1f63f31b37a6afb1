# SPDX-License-Identifier: Apache-2.0
"""A counter that tells compiled programs whether they must look for changes at all."""

from __future__ import annotations


class Changes:
    """`structure` grows whenever any module's mode, attributes or parts, or any parameter's
    `requires_grad`, is set. A program that has seen the present value is still valid."""

    __slots__ = ("structure",)

    def __init__(self) -> None:
        self.structure = 0


changes = Changes()
