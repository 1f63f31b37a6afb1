# SPDX-License-Identifier: Apache-2.0
"""Figures of merit: functions (output, target), and objects that count batch by batch.

Every function has a class that counts: `f1(output, target)` is `F1()(output, target)`, and a Trainer takes
the name `"f1"`, the function or the object.
"""

from .base import Metric
from .classes import (
    F1,
    ConfusionMatrix,
    Dice,
    MeanIoU,
    Precision,
    Recall,
    confusion_matrix,
    dice,
    f1,
    mean_iou,
    precision,
    recall,
)
from .detection import MeanAveragePrecision, mean_average_precision
from .names import METRICS, find_metric
from .ranking import AUC, auc
from .regression import MAE, MSE, R2, RMSE, mae, mse, r2, rmse
from .shares import (
    Accuracy,
    MultilabelAccuracy,
    TopKAccuracy,
    accuracy,
    multilabel_accuracy,
    top5_accuracy,
    top_k_accuracy,
)
from .texts import (
    CharacterErrorRate,
    WordErrorRate,
    character_error_rate,
    edit_distance,
    word_error_rate,
)

__all__ = [
    "AUC",
    "F1",
    "MAE",
    "METRICS",
    "MSE",
    "R2",
    "RMSE",
    "Accuracy",
    "CharacterErrorRate",
    "ConfusionMatrix",
    "Dice",
    "MeanAveragePrecision",
    "MeanIoU",
    "Metric",
    "MultilabelAccuracy",
    "Precision",
    "Recall",
    "TopKAccuracy",
    "WordErrorRate",
    "accuracy",
    "auc",
    "character_error_rate",
    "confusion_matrix",
    "dice",
    "edit_distance",
    "f1",
    "find_metric",
    "mae",
    "mean_average_precision",
    "mean_iou",
    "mse",
    "multilabel_accuracy",
    "precision",
    "r2",
    "recall",
    "rmse",
    "top5_accuracy",
    "top_k_accuracy",
    "word_error_rate",
]
