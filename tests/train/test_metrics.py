# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnncore import nn, ops
from cnncore.train.metrics import (
    METRICS,
    RunningMeans,
    accuracy,
    mae,
    mse,
    multilabel_accuracy,
    named_metrics,
    top5_accuracy,
    usual_metrics,
)


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
    assert list(named_metrics(METRICS)) == ["accuracy", "multilabel_accuracy", "top5_accuracy", "mae", "mse"]
    assert named_metrics(None) == {}
    assert named_metrics("mse") == {"mse": mse}
    assert named_metrics(spread) == {"spread": spread}
    with pytest.raises(ValueError, match="unknown metric 'f1'; known: accuracy, multilabel_accuracy, top5"):
        named_metrics(["f1"])
    with pytest.raises(TypeError, match="a metric's name or function, got 3"):
        named_metrics([3])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="expected metrics as a list of names and functions, got 5"):
        named_metrics(5)  # type: ignore[arg-type]


def test_metrics_of_one_name_are_all_kept() -> None:
    first, second = (lambda output, target, k=k: float(k) for k in range(2))
    running = RunningMeans(named_metrics([first, "mse", second, first]))
    running.update(0.0, np.zeros(3), np.ones(3))
    assert running.means() == {"loss": 0.0, "<lambda>": 0.0, "mse": 1.0, "<lambda>_2": 1.0}


@pytest.mark.parametrize("name", ["loss", "seconds", "images_per_second", "val_loss"])
def test_names_of_other_figures_are_refused(name: str) -> None:
    def metric(output: np.ndarray, target: np.ndarray) -> float:
        return 0.0

    metric.__name__ = name
    with pytest.raises(ValueError, match=f"got '{name}'"):
        named_metrics([metric])


@pytest.mark.parametrize("value", ["0.5", None, np.zeros(3), b"1"])
def test_what_is_no_number_is_named(value: Any) -> None:
    running = RunningMeans({"odd": lambda output, target: value})
    with pytest.raises(TypeError, match="metric 'odd': expected a number, got"):
        running.update(0.0, np.zeros(3), np.zeros(3))


@given(rows=st.integers(1, 20), classes=st.integers(2, 6), seed=st.integers(0, 2**32 - 1))
def test_one_hot_labels_count_as_class_numbers(rows: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, labels = rng.normal(size=(rows, classes)), rng.integers(0, classes, rows)
    expected = np.mean(scores.argmax(1) == labels)
    one_hot = np.eye(classes)[labels]
    assert accuracy(scores, labels) == accuracy(scores, one_hot) == expected
    assert accuracy(scores, one_hot.astype(np.int64)) == expected
    assert accuracy(scores, one_hot * 0.9 + 0.1 / classes) == expected


def test_a_constant_model_scores_its_share() -> None:
    one_hot = np.eye(10)[np.arange(1000) % 10]
    assert accuracy(-np.ones((1000, 10)), one_hot) == 0.1
    assert multilabel_accuracy(-np.ones((1000, 10)), one_hot) == 0.9


def test_targets_that_are_not_one_class_a_row() -> None:
    scores = np.zeros((2, 3))
    for target in ([[1, 1, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 1]]):
        with pytest.raises(ValueError, match="the metric for several labels a row is 'multilabel_accuracy'"):
            accuracy(scores, np.array(target))
    with pytest.raises(ValueError, match=r"from 0.5 to 50.0; metrics of a regression are 'mse' and 'mae'"):
        accuracy(np.zeros(2), np.array([0.5, 50.0]))
    with pytest.raises(ValueError, match="at least two classes"):
        accuracy(np.zeros((2, 1)), np.array([0, 1]))
    with pytest.raises(ValueError, match="multilabel_accuracy: expected output and target of one shape"):
        multilabel_accuracy(scores, np.zeros(2))


@pytest.mark.parametrize(
    ("loss", "output", "target", "names"),
    [
        (nn.CrossEntropyLoss(), (4, 3), np.zeros(4, np.int64), ["accuracy"]),
        (nn.CrossEntropyLoss(), (4, 3), np.full((4, 3), 1 / 3), ["accuracy"]),
        (ops.cross_entropy, (4, 3), np.eye(4, 3), ["accuracy"]),
        (nn.BCEWithLogitsLoss(), (4,), np.zeros(4), ["accuracy"]),
        (nn.BCEWithLogitsLoss(), (4, 1), np.zeros((4, 1)), ["accuracy"]),
        (nn.BCEWithLogitsLoss(), (4, 3), np.eye(4, 3), ["multilabel_accuracy"]),
        (nn.MSELoss(), (4, 3), np.eye(4, 3), []),
        (nn.MSELoss(), (4,), np.zeros(4, np.int64), []),
        (lambda output, target: 0, (4, 3), np.zeros(4, np.int64), ["accuracy"]),
        (lambda output, target: 0, (4, 3), np.zeros((4, 3)), []),
    ],
)
def test_usual_metrics_follow_loss_and_targets(loss: Any, output: Any, target: Any, names: list[str]) -> None:
    assert list(usual_metrics(loss, np.zeros(output), target)) == names


def test_running_means_weigh_by_rows() -> None:
    running = RunningMeans({"accuracy": accuracy})
    assert math.isnan(running.means()["loss"])
    running.update(np.float32(1.0), np.eye(3), np.arange(3))
    running.update(np.float32(5.0), np.eye(3)[:1], np.array([1]))
    assert running.means() == {"loss": 2.0, "accuracy": 0.75}
    running.update(0.0, (np.eye(3), "more"), np.arange(3))
    assert running.rows == 7
