# SPDX-License-Identifier: Apache-2.0
"""CTC: the recursion, torch, long and impossible sequences, errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import ops
from reference.ctc import ctc, ctc_by_paths


def drawn(*shape: int, seed: int = 0) -> Any:
    x = np.random.default_rng(seed).normal(size=shape)
    return (x - np.logaddexp.reduce(x, axis=-1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("labels", [[], [1], [1, 1], [2, 1], [1, 2, 1]])
def test_the_reference_counts_every_path(labels: list[int]) -> None:
    x = drawn(5, 3).astype(np.float64)
    assert ctc(x, labels, 0) == pytest.approx(ctc_by_paths(x, labels, 0), rel=1e-12)


@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_as_torch_through_log_softmax(reduction: str, zero_infinity: bool) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    for _ in range(5):
        time, batch, classes, labels = (int(n) for n in rng.integers([3, 1, 2, 1], [30, 6, 9, 8]))
        x = rng.normal(size=(time, batch, classes)).astype(np.float32)
        targets = rng.integers(1, classes, (batch, labels))
        times, counts = rng.integers(1, time + 1, batch), rng.integers(0, labels + 1, batch)
        leaf = torch.tensor(x, dtype=torch.float64, requires_grad=True)
        theirs = torch.nn.functional.ctc_loss(
            leaf.log_softmax(2),
            *(torch.tensor(v) for v in (targets, times, counts)),
            reduction=reduction,
            zero_infinity=zero_infinity,
        )

        def loss(x: Any, t: Any = targets, i: Any = times, c: Any = counts) -> Any:
            return ops.ctc_loss(ops.log_softmax(x, 2), t, i, c, 0, reduction, zero_infinity)

        def total(x: Any, loss: Any = loss) -> Any:
            return ops.sum(loss(x))

        ours = ops.ctc_loss(ops.log_softmax(x, 2), targets, times, counts, 0, reduction, zero_infinity)
        # Logarithms of float32, some 10 roundings of up to 8 each, are added up over the time.
        bound = 10 * time * batch * 2.0**-24 * 8
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-6, atol=bound)
        if not np.isfinite(theirs.detach().numpy()).all():
            continue
        theirs.sum().backward()
        np.testing.assert_allclose(cc.grad(total)(x), leaf.grad.numpy(), rtol=0, atol=bound)


def test_long_sequences() -> None:
    """Probabilities of e^-10000 and below, against the recursion in float64."""
    x = drawn(3000, 1, 5)
    labels = np.random.default_rng(2).integers(1, 5, 400)
    expected = ctc(x[:, 0].astype(np.float64), labels, 0)
    found = ops.ctc_loss(x, labels[None], [3000], [400], reduction="sum").item()
    assert found == pytest.approx(expected, rel=2.0**-23)
    grad = cc.grad(lambda x: ops.ctc_loss(x, labels[None], [3000], [400], reduction="sum"))(x)
    # At each time, one state or another is passed.
    np.testing.assert_allclose(grad.sum((1, 2)), -1, atol=1e-5)


def test_samples_too_short_for_their_labels() -> None:
    x = drawn(3, 2, 4)
    arguments = np.array([[1, 1, 2], [1, 2, 3]]), np.array([3, 3]), np.array([3, 3])
    losses = ops.ctc_loss(x, *arguments, reduction="none")
    assert losses[0] == np.inf
    assert np.isfinite(losses[1])
    zeroed = ops.ctc_loss(x, *arguments, reduction="none", zero_infinity=True)
    assert zeroed.tolist() == [0.0, losses[1]]
    grad = cc.grad(lambda x: ops.ctc_loss(x, *arguments, reduction="sum", zero_infinity=True))(x)
    assert not grad[:, 0].any()
    assert grad[:, 1].any()


@pytest.mark.parametrize("place", [(0, 0, 0), (1, 0, 1), (2, 0, 2)])
@pytest.mark.parametrize("zero_infinity", [False, True])
def test_nan_stays(place: tuple[int, int, int], zero_infinity: bool) -> None:
    """A diverged network is not taken for a sample too short for its labels."""
    x = drawn(3, 2, 4)
    arguments = np.array([[1, 2], [1, 2]]), np.array([3, 3]), np.array([2, 2])
    sound = ops.ctc_loss(x, *arguments, reduction="none")
    for broken in (place, (slice(None), 0)):
        x[broken] = np.nan
        losses = ops.ctc_loss(x, *arguments, reduction="none", zero_infinity=zero_infinity)
        assert np.isnan(losses[0])
        assert losses[1] == sound[1]
        grad = cc.grad(lambda x: ops.ctc_loss(x, *arguments, reduction="sum", zero_infinity=zero_infinity))(x)
        assert np.isnan(grad[:, 0]).any()
        assert np.isfinite(grad[:, 1]).all()


def test_without_batch_labels_or_time() -> None:
    x = drawn(4, 3)
    one = ops.ctc_loss(x, [1, 2], 4, 2, reduction="sum")
    assert one.shape == ()
    assert one == ops.ctc_loss(x[:, None], [[1, 2]], [4], [2], reduction="sum")
    assert ops.ctc_loss(x[:, None], [[1, 2]], [4], [0]).item() == pytest.approx(-x[:, 0].sum(), rel=1e-6)
    assert ops.ctc_loss(x[:, None], [[1, 2]], [0], [0]).item() == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ops.ctc_loss(x, [[1, 4]], [4], [2]), "labels below 4, got 1 samples outside"),
        (lambda x: ops.ctc_loss(x, [[1, -1]], [4], [2]), "got 1 samples outside"),
        (lambda x: ops.ctc_loss(x, [[1, 2]], [5], [2]), "input_lengths up to 4, .* got 1 samples outside"),
        (lambda x: ops.ctc_loss(x, [[1, 2]], [4], [3]), "got 1 samples outside"),
        (lambda x: ops.ctc_loss(x, [1, 2], [4], [3]), "got 1 samples outside"),
        (lambda x: ops.ctc_loss(x, [[1, 2]], [4, 4], [2]), r"input_lengths of shape \(1,\), got \(2,\)"),
        (lambda x: ops.ctc_loss(x, [[1], [2]], [4], [1]), r"targets \(1, labels\) or \(labels,\)"),
        (lambda x: ops.ctc_loss(x, [[1]], [4], [1], blank=4), "blank from 0 to 3, got 4"),
        (lambda x: ops.ctc_loss(x[0, 0], [[1]], [4], [1]), r"log_probs \(time, batch, classes\)"),
    ],
)
def test_errors(call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(drawn(4, 1, 4))
