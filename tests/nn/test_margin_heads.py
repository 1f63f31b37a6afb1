# SPDX-License-Identifier: Apache-2.0
"""ArcFace and CosFace against their formulas in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops, optim

RNG = np.random.default_rng(0)
VECTORS, LABELS = RNG.normal(size=(6, 4)).astype(np.float32), np.array([0, 2, 1, 1, 0, 2])


def expected(kind: str, x: Any, w: Any, labels: Any, scale: float, margin: float) -> Any:
    x, w = (
        v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x.astype(np.float64), w.astype(np.float64))
    )
    cosine = x @ w.T
    if kind == "CosFace":
        other = cosine - margin
    else:
        turned = np.cos(np.arccos(cosine) + margin)
        other = np.where(cosine > np.cos(np.pi - margin), turned, cosine - margin * np.sin(margin))
    own = labels[:, None] == np.arange(w.shape[0])
    return scale * np.where(own, other, cosine)


@pytest.mark.parametrize(("kind", "margin"), [("ArcFace", 0.5), ("ArcFace", 2.0), ("CosFace", 0.35)])
def test_logits(kind: str, margin: float) -> None:
    head = getattr(nn, kind)(4, 3, scale=10.0, margin=margin)
    w = np.asarray(head.weight)
    wanted = expected(kind, VECTORS, w, LABELS, 10.0, margin)
    # Some ten roundings of numbers up to scale; the sine, near 0, takes the root of its square's error.
    np.testing.assert_allclose(head(VECTORS, LABELS), wanted, atol=10 * 16 * 2.0**-24)
    plain = expected("CosFace", VECTORS, w, LABELS, 10.0, 0.0)
    np.testing.assert_allclose(head(VECTORS), plain, atol=10 * 16 * 2.0**-24)


@pytest.mark.parametrize("kind", ["ArcFace", "CosFace"])
def test_training(kind: str) -> None:
    head = getattr(nn, kind)(4, 3, scale=8.0)
    step = cc.train_step(
        lambda x, y: ops.cross_entropy(head(x, y), y), optim.Adam(head.parameters(), lr=0.05)
    )
    x = np.eye(4, dtype=np.float32)[[0, 2, 1, 1, 0, 2]] + 0.1 * VECTORS
    losses = [step(x, LABELS) for _ in range(100)]
    assert losses[-1] < 0.1 * losses[0]
    assert (head(x).argmax(1) == LABELS).all()


def test_vectors_on_the_axis_of_their_class_have_finite_gradients() -> None:
    head = nn.ArcFace(4, 3)
    x = np.asarray(head.weight)
    _, grads = cc.value_and_grad(lambda x, y: ops.cross_entropy(head(x, y), y), head.parameters())(
        x, np.arange(3)
    )
    assert all(np.isfinite(g).all() for g in grads)


def test_settings() -> None:
    with pytest.raises(ValueError, match="margin from 0 to pi, got 4"):
        nn.ArcFace(4, 3, margin=4)
    with pytest.raises(ValueError, match="in_features of at least 1"):
        nn.CosFace(0, 3)


def test_labels_that_are_no_class() -> None:
    head = nn.ArcFace(4, 3)
    with pytest.raises(ValueError, match="labels from 0 to 2, got 1 outside"):
        head(np.ones((2, 4)), np.array([0, 3]))
    with pytest.raises(ValueError, match=r"labels \(2,\), got \(2, 2\)"):
        head(np.ones((2, 4)), np.zeros((2, 2), np.int64))
