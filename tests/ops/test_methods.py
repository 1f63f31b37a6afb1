# SPDX-License-Identifier: Apache-2.0
"""A tensor's methods are the functions of their names, with all arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cases import CASES
from cases.case import Case
from cnncore import nn

VARIADIC = {"expand", "repeat", "tile", "flip", "broadcast_to", "reshape", "permute"}
"""Methods that take sizes or axes one by one, as torch's do."""

OTHERS = {"unfold", "relu"}
"""The method `unfold` cuts one axis, the function images; functions of `relu`'s kind take `inplace`."""

METHODS = [
    case
    for case in CASES
    if case.function is None
    and hasattr(nn.Parameter, case.name)
    and case.arrays[0].dtype == np.float32
    and not case.large
    and case.name not in OTHERS
]


@pytest.mark.parametrize("case", METHODS, ids=str)
def test_method(case: Case) -> None:
    first, *rest = case.arrays
    expected: Any = case(*case.arrays)
    method = getattr(nn.Parameter(first), case.name)
    if case.name in VARIADIC or case.name == "split":
        given = list(case.settings.values())
        found: Any = method(*(given[0] if case.name in VARIADIC else given))
    else:
        found = method(*rest, **case.settings)
    assert isinstance(found, tuple) == isinstance(expected, tuple)
    for a, b in zip(*((v if isinstance(v, tuple) else (v,)) for v in (found, expected)), strict=True):
        np.testing.assert_array_equal(a, b)
