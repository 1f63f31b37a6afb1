# SPDX-License-Identifier: Apache-2.0
"""Metrics by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from . import classes, ranking, regression, shares, texts
from .base import Averaged, Metric

METRICS: dict[str, Callable[[], Metric]] = {
    "accuracy": shares.Accuracy,
    "multilabel_accuracy": shares.MultilabelAccuracy,
    "top5_accuracy": shares.TopKAccuracy,
    "precision": classes.Precision,
    "recall": classes.Recall,
    "f1": classes.F1,
    "confusion_matrix": classes.ConfusionMatrix,
    "auc": ranking.AUC,
    "mean_iou": classes.MeanIoU,
    "dice": classes.Dice,
    "mae": regression.MAE,
    "mse": regression.MSE,
    "rmse": regression.RMSE,
    "r2": regression.R2,
    "cer": texts.CharacterErrorRate,
    "wer": texts.WordErrorRate,
}
"""What makes a metric of a name; "top<k>_accuracy" and names with an average ("f1_micro") are known, too."""

_AVERAGES = {
    "macro": "macro",
    "micro": "micro",
    "weighted": "weighted",
    "binary": "binary",
    "per_class": None,
}

_FUNCTIONS: dict[Any, Callable[[], Metric]] = {
    shares.accuracy: shares.Accuracy,
    shares.multilabel_accuracy: shares.MultilabelAccuracy,
    shares.top5_accuracy: shares.TopKAccuracy,
    shares.top_k_accuracy: shares.TopKAccuracy,
    classes.precision: classes.Precision,
    classes.recall: classes.Recall,
    classes.f1: classes.F1,
    classes.confusion_matrix: classes.ConfusionMatrix,
    classes.mean_iou: classes.MeanIoU,
    classes.dice: classes.Dice,
    ranking.auc: ranking.AUC,
    regression.mae: regression.MAE,
    regression.mse: regression.MSE,
    regression.rmse: regression.RMSE,
    regression.r2: regression.R2,
    texts.character_error_rate: texts.CharacterErrorRate,
    texts.word_error_rate: texts.WordErrorRate,
}


def find_metric(metric: Any) -> tuple[str, Metric]:
    """Return name and object of a metric given as a name, a function or an object.

    Raises:
        TypeError: no name, function or object; a class.
        ValueError: an unknown name.

    >>> find_metric("top3_accuracy")[1].k, find_metric("f1_micro")[1].average
    (3, 'micro')
    """
    if isinstance(metric, str):
        return metric, _by_name(metric)
    if isinstance(metric, Metric):
        return metric.name or type(metric).__name__, metric
    if isinstance(metric, type) or not callable(metric):
        called = (
            f"; pass {metric.__name__}()" if isinstance(metric, type) and issubclass(metric, Metric) else ""
        )
        raise TypeError(f"expected a metric's name, function or object, got {metric!r}{called}")
    if metric in _FUNCTIONS:
        return metric.__name__, _FUNCTIONS[metric]()
    name = getattr(metric, "__name__", type(metric).__name__)
    return name, Averaged(name, metric)


def _by_name(name: str) -> Metric:
    if name in METRICS:
        return METRICS[name]()
    top = re.fullmatch(r"top([1-9]\d*)_accuracy", name)
    if top:
        return shares.TopKAccuracy(int(top[1]))
    figure, _, average = name.partition("_")
    if name.startswith("mean_iou_"):
        figure, average = "mean_iou", name[len("mean_iou_") :]
    kind: Any = METRICS.get(figure)
    if (
        kind in (classes.Precision, classes.Recall, classes.F1, classes.MeanIoU, classes.Dice)
        and average in _AVERAGES
    ):
        averaged: Metric = kind(_AVERAGES[average])
        return averaged
    if kind is ranking.AUC and average in ("macro", "weighted", "per_class"):
        return ranking.AUC(_AVERAGES[average])
    raise ValueError(f"unknown metric {name!r}; known: {', '.join(METRICS)}, or pass a function")
