# SPDX-License-Identifier: Apache-2.0
"""Losses: values and gradients against torch, bad labels."""

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops, optim
from oracle import assert_close, check_gradients

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 2, (6, 5)).astype(np.float32)
LABELS = np.array([0, 4, 2, 2, 1, 3])
MAPS = RNG.normal(0, 2, (2, 5, 3, 4)).astype(np.float32)
MAP_LABELS = RNG.integers(0, 5, (2, 3, 4))
WEIGHT = np.array([0.5, 1.0, 2.0, 0.1, 3.0], np.float32)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize(("logits", "labels"), [(LOGITS, LABELS), (MAPS, MAP_LABELS)])
def test_cross_entropy(reduction, smoothing, weight, logits, labels):
    torch = pytest.importorskip("torch")
    labels = labels.copy()
    labels.flat[1] = -100
    weight64 = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    settings = {"reduction": reduction, "label_smoothing": smoothing}
    check_gradients(
        lambda a, t: ops.cross_entropy(a, t, weight, **settings),
        lambda a, t: torch.nn.functional.cross_entropy(a, t, weight64, **settings),
        [logits, labels],
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_probabilities_as_targets(reduction, weight):
    torch = pytest.importorskip("torch")
    targets = np.abs(RNG.normal(size=LOGITS.shape)).astype(np.float32)
    targets /= targets.sum(1, keepdims=True)
    weight64 = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    settings = {"reduction": reduction, "label_smoothing": 0.1}

    def theirs(a, t):
        functional = torch.nn.functional
        if reduction != "mean":
            return functional.cross_entropy(a, t, weight64, **settings)
        losses = functional.cross_entropy(a, t, weight64, reduction="none", label_smoothing=0.1)
        return losses.mean()

    check_gradients(
        lambda a, t: ops.cross_entropy(a, t, weight, **settings), theirs, [LOGITS, targets], ulps=64.0
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_mse_loss(reduction):
    torch = pytest.importorskip("torch")
    check_gradients(
        lambda a, b: ops.mse_loss(a, b, reduction),
        lambda a, b: torch.nn.functional.mse_loss(a, b, reduction=reduction),
        [LOGITS, RNG.normal(size=LOGITS.shape)],
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("positive", [None, WEIGHT[::-1].copy()])
def test_binary_cross_entropy_with_logits(reduction, weight, positive):
    torch = pytest.importorskip("torch")
    targets = RNG.uniform(size=LOGITS.shape).astype(np.float32)

    def double(array):
        return None if array is None else torch.tensor(array, dtype=torch.float64)

    check_gradients(
        lambda a: ops.binary_cross_entropy_with_logits(a, targets, weight, reduction, positive),
        lambda a: torch.nn.functional.binary_cross_entropy_with_logits(
            a, double(targets), double(weight), reduction=reduction, pos_weight=double(positive)
        ),
        [LOGITS],
    )


def test_extreme_logits_do_not_overflow():
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32)
    assert ops.cross_entropy(logits, np.array([0, 0]), reduction="none").tolist() == [0.0, 2e4]
    assert ops.binary_cross_entropy_with_logits(logits, np.ones((2, 2)), reduction="none").tolist() == [
        [0.0, 1e4],
        [1e4, 0.0],
    ]


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int16", "int64"])
def test_labels_of_any_integer_type(dtype):
    expected = ops.cross_entropy(LOGITS, LABELS)
    assert_close(ops.cross_entropy(LOGITS, LABELS.astype(dtype)), expected, ulps=0.0)


@pytest.mark.parametrize("bad", [5, -1, 1000])
def test_labels_out_of_range_are_counted(bad):
    labels = LABELS.copy()
    labels[[1, 3]] = bad
    with pytest.raises(ValueError, match=r"\[cross_entropy\] expected labels from 0 to 4 .*, got 2 outside"):
        ops.cross_entropy(LOGITS, labels)
    assert np.isfinite(ops.cross_entropy(LOGITS, LABELS))


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_a_training_step_with_bad_labels_changes_nothing(dtype):
    model = nn.Sequential(
        nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Flatten(), nn.Linear(10, 3)
    )
    optimizer = optim.Adam(model.parameters(), lr=0.1)
    step = cc.train_step(lambda x, y: nn.CrossEntropyLoss()(model(x), y), optimizer)
    x, y = LOGITS.reshape(6, 1, 1, 5), np.arange(6).astype(dtype) % 3
    step(x, y)
    before, count = model.state_dict(), optimizer.step_count
    y[2] = 3
    with pytest.raises(ValueError, match=r"expected labels from 0 to 2 .*, got 1 outside"):
        step(x, y)
    assert optimizer.step_count == count
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_shapes_and_dtypes_are_checked():
    with pytest.raises(
        TypeError, match=r"expected integer class labels of shape \(6,\) or class probabilities"
    ):
        ops.cross_entropy(LOGITS, LABELS.astype(np.float32))
    with pytest.raises(ValueError, match=r"expected labels of shape \(6,\) for input \(6, 5\), got \(5,\)"):
        ops.cross_entropy(LOGITS, LABELS[:5])
    with pytest.raises(ValueError, match=r"expected input and target of one shape, got \(6, 5\) and \(6,\)"):
        ops.mse_loss(LOGITS, LABELS)
    with pytest.raises(ValueError, match="expected reduction 'none', 'mean' or 'sum', got 'max'"):
        ops.mse_loss(LOGITS, LOGITS, "max")
    with pytest.raises(ValueError, match="expected label_smoothing from 0 to 1"):
        ops.cross_entropy(LOGITS, LABELS, label_smoothing=1.5)
    with pytest.raises(ValueError, match=r"expected weight of shape \(5,\), got \(4,\)"):
        ops.cross_entropy(LOGITS, LABELS, WEIGHT[:4])
