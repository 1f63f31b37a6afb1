# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

from cnncore.train.metrics import METRICS, RunningMeans, accuracy, mae, mse, named_metrics, top5_accuracy


def test_accuracy_of_classes_pixels_and_yes_or_no() -> None:
    scores = np.array([[0.1, 0.9, 0.0], [3.0, 1.0, 2.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    assert accuracy(scores, np.array([1, 0, 0, 2])) == 0.5
    images = np.zeros((2, 3, 4, 4))
    images[:, 2] = 1
    assert accuracy(images, np.full((2, 4, 4), 2)) == 1.0
    assert accuracy(np.array([-1.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.0])) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match=r"got output \(4, 3\) and target \(4, 3, 1\)"):
        accuracy(scores, np.zeros((4, 3, 1)))


def test_top5() -> None:
    scores = np.tile(np.arange(10.0), (10, 1))
    assert top5_accuracy(scores, np.arange(10)) == 0.5
    assert top5_accuracy(scores[:, :3], np.arange(10) % 3) == 1.0
    with pytest.raises(ValueError, match="top5_accuracy: expected scores"):
        top5_accuracy(scores, scores)


def test_differences() -> None:
    output, target = np.float32([[1.0], [2.0]]), np.array([[3.0], [2.0]])
    assert (mae(output, target), mse(output, target)) == (1.0, 2.0)
    with pytest.raises(
        ValueError, match=r"mae: expected output and target of one shape, got \(2, 1\) and \(2,\)"
    ):
        mae(output, target[:, 0])


def test_names_and_functions() -> None:
    def spread(output: np.ndarray, target: np.ndarray) -> float:
        return float(output.max() - output.min())

    assert named_metrics(("accuracy", spread)) == {"accuracy": accuracy, "spread": spread}
    assert list(named_metrics(METRICS)) == ["accuracy", "top5_accuracy", "mae", "mse"]
    with pytest.raises(ValueError, match="unknown metric 'f1'; known: accuracy, top5_accuracy"):
        named_metrics(["f1"])
    with pytest.raises(TypeError, match=r"pass \('accuracy',\)"):
        named_metrics("accuracy")
    with pytest.raises(TypeError, match="a metric's name or function, got 3"):
        named_metrics([3])  # type: ignore[list-item]


def test_running_means_weigh_by_rows() -> None:
    running = RunningMeans({"accuracy": accuracy})
    assert math.isnan(running.means()["loss"])
    running.update(np.float32(1.0), np.eye(3), np.arange(3))
    running.update(np.float32(5.0), np.eye(3)[:1], np.array([1]))
    assert running.means() == {"loss": 2.0, "accuracy": 0.75}
    running.update(0.0, (np.eye(3), "more"), np.arange(3))
    assert running.rows == 7
