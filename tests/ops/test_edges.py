# SPDX-License-Identifier: Apache-2.0
"""The last arguments that functions take and the first that they refuse."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops

ROWS = np.array([[0.0, 0.0], [3.0, 4.0]], np.float32)
LINE = np.arange(24, dtype=np.float32).reshape(1, 2, 12)
POOLED, PLACES = ops.max_pool1d(LINE, 3, return_indices=True)


def test_what_is_just_taken() -> None:
    assert ops.pdist(ROWS).tolist() == [5.0]
    assert ops.flatten(np.float32(3.0)).shape == (1,)
    assert ops.flatten(np.float32(3.0)).tolist() == [3.0]
    np.testing.assert_array_equal(ops.roll(ROWS, -(2**62), 0), ROWS)
    np.testing.assert_array_equal(ops.roll(ROWS, -(2**62) + 1, 0), ROWS[::-1])
    assert ops.max_unpool1d(POOLED, PLACES, 3, output_size=(14,)).shape == (1, 2, 14)
    assert ops.max_unpool1d(POOLED, PLACES, 3, output_size=(1, 2, 12)).shape == (1, 2, 12)
    assert float(ops.sigmoid_focal_loss(ROWS, ROWS * 0, alpha=-1)[0, 0]) == pytest.approx(
        np.log(2) / 4, rel=1e-6
    )
    empty = np.zeros((0, 4), np.float32)
    assert ops.nms(empty, np.zeros(0, np.float32), 0.5).shape == (0,)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "pdist of a row": (lambda: ops.pdist(ROWS[:1]), "at least two rows"),
    "unpool, too large": (
        lambda: ops.max_unpool1d(POOLED, PLACES, 3, output_size=(15,)),
        "less than the stride",
    ),
    "unpool, too small": (
        lambda: ops.max_unpool1d(POOLED, PLACES, 3, output_size=(9,)),
        "less than the stride",
    ),
    "focal loss, alpha between": (lambda: ops.sigmoid_focal_loss(ROWS, ROWS, alpha=-0.5), "alpha"),
    "focal loss, alpha below": (lambda: ops.sigmoid_focal_loss(ROWS, ROWS, alpha=-1.5), "alpha"),
    "focal loss, alpha above": (lambda: ops.sigmoid_focal_loss(ROWS, ROWS, alpha=1.5), "alpha"),
    "nms of a number": (lambda: ops.nms(np.float32(1), np.ones(1, np.float32), 0.5), "boxes"),
    "nms, scores that are none": (lambda: ops.nms(np.ones((2, 4), np.float32), np.float32(1), 0.5), "scores"),
    "an image for a signal": (
        lambda: nn.Conv1d(1, 1, 1)(np.ones((1, 1, 1, 1), np.float32)),
        r"\(batch, channels, length\)",
    ),
    "a signal for an image": (
        lambda: nn.Conv2d(1, 1, 1)(np.ones((1, 1, 1), np.float32)),
        r"channels, height, width\)",
    ),
    "an image for a volume": (
        lambda: nn.Conv3d(1, 1, 1)(np.ones((1, 1, 1, 1), np.float32)),
        "depth, height, width",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_just_refused(name: str) -> None:
    call, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_unpooling_names_itself(rank: int) -> None:
    x = np.ones((1, 1, *[2] * rank), np.float32)
    with pytest.raises((TypeError, ValueError), match=re.escape(f"[max_unpool{rank}d]")):
        getattr(ops, f"max_unpool{rank}d")(x, [["a"]], 2)


REDUCTIONS = ("sum", "mean", "prod", "max", "min", "var", "std", "any", "all")


@pytest.mark.parametrize("name", [n for n in REDUCTIONS if hasattr(nn.Parameter, n)])
def test_reductions_take_numpys_names(name: str) -> None:
    """np.sum(tensor, axis=, keepdims=) calls the tensor's method with these names."""
    array = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    parameter = nn.Parameter(array)
    method, function = getattr(parameter, name), getattr(np, name)
    for axis, keepdims in ((0, True), (-1, False), (1, True)):
        settings = {"ddof": 1} if name in ("var", "std") else {}
        wanted = function(array, axis=axis, keepdims=keepdims, **settings)
        try:
            found = method(axis=axis, keepdims=keepdims)
        except TypeError:
            pytest.skip("takes torch's names only")
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_settings_given_as_arrays_are_numbers() -> None:
    x = np.arange(48, dtype=np.float32).reshape(1, 3, 4, 4)
    for sizes in ((np.array(2), np.array(1)), [np.int64(2), np.array(1)]):
        np.testing.assert_array_equal(ops.max_pool2d(x, sizes), ops.max_pool2d(x, (2, 1)))
    np.testing.assert_array_equal(ops.permute(x, np.array([0, 2, 3, 1])), x.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(ops.reshape(x, (np.array(3), -1)), x.reshape(3, -1))


class Batches:
    """Batches by their places, without an iterator: Python counts until the first IndexError."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __getitem__(self, index: int) -> Any:
        if 2 * index >= len(self.x):
            raise IndexError(index)
        return self.x[2 * index : 2 * index + 2]


def test_prediction_of_batches_and_of_classes() -> None:
    model = nn.Linear(2, 3)
    x = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    numbers = model.predict(x).argmax(1)
    np.testing.assert_array_equal(model.predict_classes(x), numbers)
    np.testing.assert_allclose(model.predict(Batches(x)), model.predict(x), atol=2**-21)  # two products
    model.class_names = ("a", "b", "c")
    assert model.predict_classes(x).tolist() == ["abc"[n] for n in numbers]
    model.class_names = ("a", "b")
    with pytest.raises(ValueError, match="expected 3 class_names"):
        model.predict_classes(x)


def test_bilinear_without_a_bias_has_none() -> None:
    cc.manual_seed(0)
    layer = nn.Bilinear(2, 3, 4, bias=False)
    assert layer.bias is None
    layer.reset_parameters()
    with_bias = nn.Bilinear(2, 3, 4)
    bound = 2**-0.5
    assert 0 < abs(np.asarray(with_bias.bias)).max() <= bound


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_no_bags_have_no_gradient(mode: str) -> None:
    layer = nn.EmbeddingBag(5, 3, mode=mode)
    gradient = cc.value_and_grad(lambda x: ops.sum(layer(x)), dict(layer.named_parameters()))
    for rows in (0, 2):
        value, grads = gradient(np.zeros((rows, 2), np.int64))
        assert float(value) == pytest.approx(
            rows * (2 if mode == "sum" else 1) * np.asarray(layer.weight)[0].sum()
        )
        wanted = np.zeros((5, 3), np.float32)
        wanted[0] = rows * (2 if mode == "sum" else 1)
        np.testing.assert_array_equal(grads["weight"], wanted)


def test_the_limit_of_the_address_space(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    from cnncore.graph import limits

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert limits._address_space() is None
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1 << 40, 1 << 40))
    left = limits._address_space()
    assert left is not None
    assert 0 < left < 1 << 40
