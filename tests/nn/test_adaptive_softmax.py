# SPDX-License-Identifier: Apache-2.0
"""Softmax with clusters: probabilities, losses, torch's numbers where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn

RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 16)).astype(np.float32)
TARGET = np.array([0, 3, 4, 9, 10, 19])


def test_all_classes_together_have_the_probability_1() -> None:
    layer = nn.AdaptiveLogSoftmaxWithLoss(16, 20, [4, 10], 2.0)
    found = layer.log_prob(X)
    assert found.shape == (6, 20)
    assert np.abs(np.exp(found).sum(1) - 1).max() < 1e-6
    assert np.array_equal(layer.predict(X), found.argmax(1))
    output, loss = layer(X, TARGET)
    assert np.array_equal(output, found[np.arange(6), TARGET])
    assert abs(loss + output.mean()) < 1e-6


def test_one_cluster_is_what_the_definition_says() -> None:
    layer = nn.AdaptiveLogSoftmaxWithLoss(16, 7, [3], head_bias=True)
    head = X @ np.asarray(layer.head.weight, float).T + np.asarray(layer.head.bias, float)
    share = np.exp(head) / np.exp(head).sum(1, keepdims=True)
    first, second = (np.asarray(module.weight, float) for module in layer.tail[0])
    within = np.exp(X @ first.T @ second.T)
    within /= within.sum(1, keepdims=True)
    expected = np.concatenate([share[:, :3], share[:, 3:] * within], 1)
    assert np.abs(np.exp(layer.log_prob(X)) - expected).max() < 1e-6


@pytest.mark.parametrize("head_bias", [False, True])
def test_same_as_torch(head_bias: bool) -> None:
    torch = pytest.importorskip("torch")
    theirs, ours = (
        module.AdaptiveLogSoftmaxWithLoss(16, 20, [4, 10], 2.0, head_bias) for module in (torch.nn, nn)
    )
    assert {n: tuple(v.shape) for n, v in theirs.state_dict().items()} == {
        n: v.shape for n, v in ours.state_dict().items()
    }
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    x = torch.tensor(X, dtype=torch.float64, requires_grad=True)
    expected = theirs.double()(x, torch.tensor(TARGET))
    expected.loss.backward()
    found = ours(X, TARGET)
    assert np.abs(found.output - expected.output.detach().numpy()).max() < 1e-5
    assert abs(found.loss - expected.loss.item()) < 1e-5
    gradient = cc.grad(lambda a: ours(a, TARGET).loss)(X)
    assert np.abs(gradient - x.grad.numpy()).max() < 1e-6
    single = ours(X[2], TARGET[2])
    assert abs(single.output - found.output[2]) < 1e-6
    assert np.array_equal(ours.predict(X), theirs.predict(x).numpy())


def test_it_learns() -> None:
    cc.manual_seed(0)
    layer = nn.AdaptiveLogSoftmaxWithLoss(16, 20, [4, 10], 2.0)
    step = cc.train_step(lambda a, b: layer(a, b).loss, cc.optim.Adam(layer.parameters(), lr=0.05))
    losses = [float(step(X, TARGET)) for _ in range(60)]
    assert losses[-1] < losses[0] / 4
    assert np.array_equal(layer.predict(X), TARGET)


@pytest.mark.parametrize("cutoffs", [[], [0, 3], [5, 3], [3, 3], [20]])
def test_cutoffs_are_checked(cutoffs: Any) -> None:
    with pytest.raises(ValueError, match="cutoffs"):
        nn.AdaptiveLogSoftmaxWithLoss(16, 20, cutoffs)


def test_labels_are_checked() -> None:
    layer = nn.AdaptiveLogSoftmaxWithLoss(16, 20, [4])
    for label in (20, -1, -20, -100):
        with pytest.raises(ValueError, match="label"):
            layer(X, np.full(6, label))
    with pytest.raises(ValueError, match="div_value"):
        nn.AdaptiveLogSoftmaxWithLoss(16, 20, [4, 10], 16.0)


def test_one_sample_is_a_batch_of_one() -> None:
    layer = nn.AdaptiveLogSoftmaxWithLoss(16, 20, [4, 10], 2.0)
    for row, target in zip(X, TARGET, strict=True):
        output, loss = layer(row, target)
        rows, mean = layer(row[None], target[None])
        assert output.shape == ()
        assert output == rows[0]
        assert loss == mean == -output


def test_rows_of_any_number_of_axes() -> None:
    layer = nn.AdaptiveLogSoftmaxWithLoss(16, 20, [4, 10], 2.0)
    found = layer.log_prob(X.reshape(2, 3, 16))
    np.testing.assert_allclose(found.reshape(6, 20), layer.log_prob(X), rtol=1e-6)
