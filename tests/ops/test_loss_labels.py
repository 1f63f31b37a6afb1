# SPDX-License-Identifier: Apache-2.0
"""What cases cannot say of losses of labels, embeddings and segmentations: errors and extremes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops

X, LABELS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32), np.array([0, 2, 1, 1])
ONES = np.ones((4, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.nll_loss(X, LABELS + 1), ValueError, "labels from 0 to 2 .*, got 1 outside"),
        (lambda: ops.nll_loss(X, LABELS[:3]), ValueError, r"labels of shape \(4,\), got \(3,\)"),
        (lambda: ops.nll_loss(X, X[:, 0]), TypeError, "expected integer class labels"),
        (lambda: ops.nll_loss(X, LABELS, ONES[0, :2]), ValueError, r"weight of shape \(3,\), got \(2,\)"),
        (lambda: ops.multi_margin_loss(X, LABELS, p=3), ValueError, "p of 1 or 2, got 3"),
        (
            lambda: ops.multi_margin_loss(X[:, :, None], LABELS[:, None]),
            ValueError,
            r"input \(batch, classes\)",
        ),
        (lambda: ops.multilabel_margin_loss(X, np.full((4, 3), 3)), ValueError, "got 12 outside"),
        (lambda: ops.cosine_embedding_loss(X, X, LABELS[:2]), ValueError, r"got \(4, 3\) and \(2,\)"),
        (lambda: ops.triplet_margin_loss(X, X, X, margin=0), ValueError, "margin above 0, got 0"),
        (lambda: ops.triplet_margin_loss(X, X[:, :2], X), ValueError, "do not fit together"),
        (lambda: ops.nt_xent_loss(X, X, 0), ValueError, "temperature above 0"),
        (lambda: ops.sigmoid_focal_loss(X, ONES, alpha=-0.5), ValueError, "alpha from 0 to 1, or -1"),
        (lambda: ops.dice_loss(X[0], ONES[0]), ValueError, r"input \(batch, channels, ...\)"),
        (lambda: nn.MultiMarginLoss(p=3), ValueError, "p of 1 or 2, got 3"),
        (lambda: nn.TripletMarginLoss(margin=0), ValueError, "margin above 0, got 0"),
        (lambda: nn.NTXentLoss(0), ValueError, "temperature above 0, got 0"),
    ],
)
def test_errors(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_rows_without_a_batch_axis() -> None:
    assert ops.nll_loss(X[1], 2) == ops.nll_loss(X[1:2], [2])
    assert ops.nll_loss(X[1], 2, reduction="none").shape == ()
    assert ops.multi_margin_loss(X[1], 2) == ops.multi_margin_loss(X[1:2], [2])
    assert ops.softmax_focal_loss(X[1], 2) == ops.softmax_focal_loss(X[1:2], [2])
    assert ops.cross_entropy(X[1], 2, label_smoothing=0.1) == ops.cross_entropy(
        X[1:2], [2], label_smoothing=0.1
    )
    assert ops.cross_entropy(X[1], ONES[1], reduction="none").shape == ()
    assert ops.cross_entropy(X[1], ONES[1] / 3) == ops.cross_entropy(X[1:2], ONES[:1] / 3)
    sets = np.array([2, -1, 0])
    assert ops.multilabel_margin_loss(X[1], sets) == ops.multilabel_margin_loss(X[1:2], sets[None])


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("cross_entropy", 2),
        ("nll_loss", 2),
        ("multi_margin_loss", 2),
        ("multilabel_margin_loss", [2, 0, -1]),
        ("multilabel_soft_margin_loss", [0.0, 1.0, 1.0]),
    ],
)
def test_a_row_without_a_batch_costs_a_number(name: str, label: Any, reduction: str) -> None:
    loss = getattr(ops, name)
    found = loss(X[1], np.array(label), reduction=reduction)
    assert found.shape == ()
    (expected,) = np.atleast_1d(loss(X[1:2], np.array([label]), reduction=reduction))
    assert found == expected
    slopes = cc.grad(lambda x: loss(x, np.array(label), reduction=reduction))(X[1])
    (rows,) = cc.grad(lambda x: loss(x, np.array([label]), reduction=reduction).sum())(X[1:2])
    np.testing.assert_array_equal(slopes, rows)


def test_multilabel_margin_is_torchs() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    x = rng.normal(size=(5, 6)).astype(np.float32)
    targets = np.array([rng.permutation(6) for _ in range(5)])
    targets[np.arange(5), rng.integers(0, 6, 5)] = -1
    leaf = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    theirs = torch.nn.functional.multilabel_margin_loss(leaf, torch.tensor(targets))
    theirs.backward()
    # Sums of up to 9 hinges below 8 for each of 6 classes.
    np.testing.assert_allclose(
        ops.multilabel_margin_loss(x, targets), theirs.item(), rtol=0, atol=32 * 2.0**-24
    )
    grad = cc.grad(lambda x: ops.multilabel_margin_loss(x, targets))(x)
    np.testing.assert_allclose(grad, leaf.grad.numpy(), rtol=0, atol=32 * 2.0**-24)


def test_ignored_rows_may_hold_anything() -> None:
    x = X.copy()
    x[1] = -np.inf
    labels = np.array([0, -100, 1, 1])
    expected = ops.nll_loss(x[[0, 2, 3]], labels[[0, 2, 3]])
    # Three numbers of around 1 are added in another order.
    np.testing.assert_allclose(ops.nll_loss(x, labels), expected, rtol=0, atol=4 * 2.0**-24)
    assert not cc.grad(lambda x: ops.nll_loss(x, labels))(x)[1].any()


def test_linear_cross_entropy() -> None:
    layer = nn.LinearCrossEntropyLoss(3, 4, out_features=(2,), bias=True, weight=np.ones(4), reduction="sum")
    labels = np.array([[0, 3], [1, 2], [2, 2], [3, 0]])
    logits = ops.reshape(layer.linear(X), (4, 4, 2))
    np.testing.assert_allclose(
        layer(X, labels), ops.cross_entropy(logits, labels, reduction="sum"), rtol=16 * 2.0**-24
    )
    for call, message in (
        (lambda: ops.linear_cross_entropy(X, X[:, :2], LABELS), r"got \(4, 3\) and \(4, 2\)"),
        (
            lambda: ops.linear_cross_entropy(X, X, np.ones((4, 4)), ignore_index=1),
            "no ignore_index",
        ),
        (lambda: ops.linear_cross_entropy(X, X, LABELS, linear_bias=X[0]), r"linear_bias of shape \(4,\)"),
        (lambda: nn.LinearCrossEntropyLoss(3, 4, options=1), "options=None"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_focal_without_gamma_is_cross_entropy() -> None:
    ours, theirs = ops.softmax_focal_loss(X, LABELS, gamma=0.0), ops.cross_entropy(X, LABELS)
    np.testing.assert_allclose(ours, theirs, rtol=4 * 2.0**-23)
    binary = ops.sigmoid_focal_loss(X, ONES, alpha=-1, gamma=0.0)
    expected = ops.binary_cross_entropy_with_logits(X, ONES, reduction="none")
    np.testing.assert_array_equal(binary, expected)


def test_well_separated_rows_cost_nothing() -> None:
    x = np.eye(3, dtype=np.float32)[LABELS] * 100
    assert ops.multi_margin_loss(x, LABELS).item() == 0
    assert ops.multi_margin_loss(x, LABELS, p=2, margin=3.0).item() == 0
    assert ops.dice_loss(ONES, ONES).item() == 0
    large = np.array([200.0, -200.0], np.float32)
    assert ops.sigmoid_focal_loss(large, [1.0, 0.0]).tolist() == [0.0, 0.0]
