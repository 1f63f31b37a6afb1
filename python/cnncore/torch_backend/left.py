# SPDX-License-Identifier: Apache-2.0
"""Saying what is left to torch: each operator once."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

_named: set[str] = set()


def name_once(found: Mapping[str, str]) -> None:
    """Warn of operators that stay with torch, by name with the reason, unless that has been said before."""
    new = {name: reason for name, reason in found.items() if name not in _named}
    _named.update(new)
    if new:
        rows = "\n".join(f"  {name}: {reason}" for name, reason in new.items())
        warnings.warn(f"cnncore leaves to torch:\n{rows}", stacklevel=2)


def forget() -> None:
    """Begin to name operators anew."""
    _named.clear()
