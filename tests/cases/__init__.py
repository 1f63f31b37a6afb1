# SPDX-License-Identifier: Apache-2.0
"""The table of operations, for `tests/ops/test_cases.py`: one file a family, each with its list `CASES`."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from .case import Case

CASES: list[Case] = [
    case
    for module in pkgutil.iter_modules(__path__)
    for case in getattr(import_module(f"{__name__}.{module.name}"), "CASES", [])
]
