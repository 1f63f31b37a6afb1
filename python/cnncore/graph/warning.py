# SPDX-License-Identifier: Apache-2.0
"""Warnings that point at the user's line, however many of the package's own lie between."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

_PACKAGE = __name__.partition(".")[0]


def warn_caller(text: str) -> None:
    """Give a UserWarning at the innermost line outside of the package."""
    frame: FrameType | None = sys._getframe()
    level = 0
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame, level = frame.f_back, level + 1
    warnings.warn(text, UserWarning, stacklevel=level + 1)
