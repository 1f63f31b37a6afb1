# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cnncore import nn, ops
from cnncore.train import metrics
from cnncore.train.running import RunningMeans, named_metrics, usual_metrics


def test_names_functions_and_objects() -> None:
    def spread(output: np.ndarray, target: np.ndarray) -> float:
        return float(output.max() - output.min())

    found = named_metrics(("accuracy", spread, metrics.F1("micro"), metrics.F1("macro"), metrics.r2))
    assert list(found) == ["accuracy", "spread", "f1", "f1_2", "r2"]
    assert found["spread"](np.array([1.0, 4.0]), np.zeros(2)) == 3.0
    assert [found[name].average for name in ("f1", "f1_2")] == ["micro", "macro"]
    assert isinstance(found["r2"], metrics.R2)
    assert list(named_metrics(list(metrics.METRICS))) == list(metrics.METRICS)
    assert named_metrics(None) == {}
    assert list(named_metrics("mse")) == ["mse"]
    assert list(named_metrics(spread)) == ["spread"]
    assert [named_metrics(name)[name].average for name in ("f1_per_class", "mean_iou_micro")] == [
        None,
        "micro",
    ]
    for name in ("acc", "f2", "accuracy_macro", "top0_accuracy", "auc_micro"):
        with pytest.raises(
            ValueError, match=f"unknown metric '{name}'; known: accuracy, multilabel_accuracy, top5"
        ):
            named_metrics([name])
    with pytest.raises(TypeError, match="a metric's name, function or object, got 3"):
        named_metrics([3])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="expected metrics as a list of names, functions and objects, got 5"):
        named_metrics(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"got <class .*F1'>; pass F1\(\)"):
        named_metrics([metrics.F1])


def test_metrics_of_one_name_are_all_kept() -> None:
    first, second = (lambda output, target, k=k: float(k) for k in range(2))
    running = RunningMeans(named_metrics([first, "mse", second, first]))
    running.update(0.0, np.zeros(3), np.ones(3), 3)
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
    def odd(output: np.ndarray, target: np.ndarray) -> Any:
        return value

    running = RunningMeans(named_metrics(odd))
    with pytest.raises(TypeError, match="metric 'odd': expected a number, got"):
        running.update(0.0, np.zeros(3), np.zeros(3), 3)


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
    running = RunningMeans(named_metrics("accuracy"))
    assert math.isnan(running.means()["loss"])
    running.update(np.float32(1.0), np.eye(3), np.arange(3), 3)
    running.update(np.float32(5.0), np.eye(3)[:1], np.array([1]), 1)
    assert running.means() == {"loss": 2.0, "accuracy": 0.75}
    running.update(0.0, (np.eye(3), "more"), np.arange(3), 3, weight=4.0)
    assert (running.rows, running.means()["loss"]) == (7, 1.0)


def test_figures_of_all_rows_come_at_the_end() -> None:
    running = RunningMeans(named_metrics(["auc", "accuracy"]))
    running.update(0.0, np.array([1.0, -1.0]), np.array([1, 0]), 2)
    assert running.means(at_end=False) == {"loss": 0.0, "accuracy": 1.0}
    assert running.means() == {"loss": 0.0, "accuracy": 1.0, "auc": 1.0}


def test_going_on_from_a_state_is_going_on() -> None:
    rng = np.random.default_rng(0)
    names = [
        "accuracy",
        "f1",
        "auc",
        "confusion_matrix",
        "top2_accuracy",
        lambda output, target: output.sum(),
    ]
    batches = [(rng.normal(size=(5, 3)), rng.integers(0, 3, 5)) for _ in range(4)]
    whole, first, second = (RunningMeans(named_metrics(names)) for _ in range(3))
    for output, target in batches:
        whole.update(0.5, output, target, 5)
    for output, target in batches[:2]:
        first.update(0.5, output, target, 5)
    state = first.state_dict()
    first.update(9.0, *batches[0], 5)
    second.load_state_dict(state)
    for output, target in batches[2:]:
        second.update(0.5, output, target, 5)
    expected, found = whole.means(), second.means()
    assert np.array_equal(expected.pop("confusion_matrix"), found.pop("confusion_matrix"))
    assert found == expected
    with pytest.raises(ValueError, match="was made with the metric 'f1', which this Trainer lacks"):
        RunningMeans(named_metrics("accuracy")).load_state_dict(state)


def test_usual_metrics_go_on_also_without_another_batch() -> None:
    def choose(output: Any, target: Any) -> Any:
        return usual_metrics(nn.CrossEntropyLoss(), output, target)

    first, second = RunningMeans(choose), RunningMeans(choose)
    first.update(1.0, np.eye(3), np.array([0, 1, 1]), 3)
    second.load_state_dict(first.state_dict())
    assert second.means() == first.means() == {"loss": 1.0, "accuracy": 2 / 3}
    second.update(1.0, np.eye(3), np.array([-100, 1, 0]), 3)
    assert second.means()["accuracy"] == 3 / 5
