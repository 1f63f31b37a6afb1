# SPDX-License-Identifier: Apache-2.0
"""Formulas and chains read channels of a wider tensor where they lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import ops
from cnncore.ops.build import elementwise
from cnncore.ops.formula import FORMULAS, apply

SHAPES = ((2, 6, 5), (2, 34, 3, 4), (1, 64, 7, 7), (2, 8, 2, 3, 4))


def channels_last(shape: tuple[int, ...]) -> Any:
    values = np.random.default_rng(0).standard_normal((shape[0], *shape[2:], shape[1])).astype(np.float32)
    return np.moveaxis(values, -1, 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_halves_of_channels_are_not_copied(shape: tuple[int, ...]) -> None:
    x = channels_last(shape)
    half = shape[1] // 2
    predictor = cc.compile(lambda x: x[:, :half] * ops.sigmoid(x[:, half:]), shape)
    assert [row["step"] for row in predictor.explain()] == ["elementwise_chain sigmoid mul"]
    a, b = np.split(x.astype(np.float64), 2, axis=1)
    np.testing.assert_allclose(predictor(x), a / (1 + np.exp(-b)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_part_that_others_read_too(shape: tuple[int, ...]) -> None:
    """The part is an output as well, and another one has readers that need it without gaps."""
    x = channels_last(shape)
    half = shape[1] // 2

    def function(x: Any) -> Any:
        y = ops.relu(x)
        part, rest = y[:, :half], y[:, half:]
        return ops.exp(part) * 0.5 + 1.0, part, ops.sum(rest, dim=1) + 0.0

    found = cc.compile(function, shape)(x)
    y = np.maximum(x.astype(np.float64), 0)
    expected = (0.5 * np.exp(y[:, :half]) + 1, y[:, :half], y[:, half:].sum(1))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-5)


def test_rearranged_channels_are_copied_once() -> None:
    for function in (
        lambda x: ops.channel_shuffle(x, 4),
        lambda x: ops.pixel_shuffle(x, 2),
        lambda x: ops.pixel_unshuffle(x, 2),
    ):
        assert len(cc.compile(function, (2, 16, 6, 8)).explain()) == 1


def test_a_formula_whose_derivative_is_the_gradient_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that gives back what it is given: both are copies of one factor."""
    monkeypatch.setitem(FORMULAS, "plus", lambda a, b: elementwise("add", a, b))
    monkeypatch.setitem(FORMULAS, "first", lambda a, b: a)
    a, b = np.float32([[1, 2, 3], [4, 5, 6]]), np.float32([10, 20, 30])
    for name, expected in (("plus", a + b), ("first", a)):
        fn = FORMULAS[name]
        fn.__name__ = name
        compiled = cc.compile(lambda a, b, fn=fn: apply(fn, a, b), [a.shape, b.shape])
        assert compiled(a, b).tolist() == expected.tolist()
        found = cc.grad(lambda a, b, fn=fn: (apply(fn, a, b) * a).sum(), (0, 1))(a, b)
        assert found[0].tolist() == (expected + a).tolist()
        assert found[1].tolist() == (a.sum(0) if name == "plus" else 0 * b).tolist()
