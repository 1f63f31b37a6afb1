# SPDX-License-Identifier: Apache-2.0
"""A tensor's methods are the functions of their names, with all arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnncore as cc
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


def inside(function: Callable[[Any], Any], *arrays: Any) -> Any:
    """Return what a function returns when it is compiled."""
    return cc.compile(function, [a.shape for a in arrays], input_dtype=[a.dtype for a in arrays])(*arrays)


@pytest.mark.parametrize(
    ("convert", "dtype"),
    [
        (lambda x, other: x.int(), np.int32),
        (lambda x, other: x.long(), np.int64),
        (lambda x, other: x.bool(), np.bool_),
        (lambda x, other: x.float(), np.float32),
        (lambda x, other: x.to(other), np.int64),
        (lambda x, other: x.to("cpu"), np.float32),
        (lambda x, other: x.to(None, copy=True), np.float32),
        (lambda x, other: x.to("cpu", np.int32, False), np.int32),
        (lambda x, other: x.to(dtype="bool"), np.bool_),
        (lambda x, other: x.to(float), np.float32),
        (lambda x, other: x.type_as(other), np.int64),
        (lambda x, other: x.clone(), np.float32),
        (lambda x, other: x.cpu(), np.float32),
        (lambda x, other: x.contiguous(), np.float32),
        (lambda x, other: x.detach(), np.float32),
    ],
)
def test_conversions(convert: Callable[[Any, Any], Any], dtype: type) -> None:
    x, other = np.array([[-1.5, 0.0], [2.75, 1.0]], np.float32), np.array([1])
    for found in (convert(nn.Parameter(x), nn.Buffer(other)), inside(convert, x, other)):
        assert np.asarray(found).dtype == dtype
        assert np.array_equal(found, x.astype(dtype))


@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (lambda x: x.to("cuda:0"), "device 'cpu', got 'cuda:0'"),
        (lambda x: x.to(device="mps"), "device 'cpu', got 'mps'"),
        (lambda x: x.to("int64", sure=True), "expected dtype and device, got sure"),
        (lambda x: x.double(), "float64"),
        (lambda x: x.half(), "float16"),
    ],
)
def test_conversions_that_there_are_not(convert: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        convert(nn.Parameter([1.0]))
    with pytest.raises(TypeError, match=message):
        inside(convert, np.ones(2, np.float32))
