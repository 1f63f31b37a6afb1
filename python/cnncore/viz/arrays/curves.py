# SPDX-License-Identifier: Apache-2.0
"""Receiver operating characteristics."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...graph.arrays import to_array
from ...train.metrics.ranking import area
from .probe import Array


class Curve(NamedTuple):
    """A receiver operating characteristic: rates of the answer "yes" from each threshold on.

    Fields:
        false_positive_rate, true_positive_rate: from 0 to 1, a place for each threshold.
        thresholds: the scores, falling; the first is infinite.
        auc: the area under the curve.

    >>> from cnncore.viz import arrays
    >>> (curve,) = arrays.roc(np.array([0.1, 0.9, 0.8]), np.array([0, 1, 0]))
    >>> curve.auc, curve.true_positive_rate.tolist()
    (1.0, [0.0, 1.0, 1.0, 1.0])
    """

    false_positive_rate: Array
    true_positive_rate: Array
    thresholds: Array
    auc: float


def roc(output: Any, target: Any) -> list[Curve]:
    """Return the receiver operating characteristic of each class against the rest.

    Args:
        output: scores (rows,) or (rows, 1) of any scale, for yes and no; or (rows, classes).
        target: 0 and 1, or class numbers (rows,).

    Returns:
        A curve for each class; one for scores of yes and no. A class that no row or every row has, has rates
        and an area of NaN.

    Raises:
        ValueError: shapes that do not go together, or targets that are no class.

    >>> curve, = roc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1]))
    >>> curve.true_positive_rate.tolist(), curve.auc
    ([0.0, 0.5, 0.5, 1.0, 1.0], 0.75)
    """
    scores, classes = to_array(output, "output"), to_array(target, "target")
    if scores.ndim == 2 and scores.shape[1] == 1:
        scores = scores[:, 0]
    if scores.ndim not in (1, 2) or classes.shape != scores.shape[:1] or not len(classes):
        raise ValueError(
            "expected scores (rows,) or (rows, classes) and class numbers (rows,), got "
            f"{scores.shape} and {classes.shape}"
        )
    if np.isnan(scores).any():
        raise ValueError("expected scores, got some that are NaN")
    count = 2 if scores.ndim == 1 else scores.shape[1]
    if not np.isin(classes, np.arange(count)).all():
        raise ValueError(
            f"expected targets from 0 to {count - 1}, got some from {classes.min()} to {classes.max()}"
        )
    if scores.ndim == 1:
        return [_curve(scores, classes == 1)]
    return [_curve(scores[:, label], classes == label) for label in range(count)]


def _curve(scores: Array, positive: Array) -> Curve:
    order = np.argsort(-scores, kind="stable")
    ordered, yes = scores[order], positive[order].astype(np.int64)
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    above = np.cumsum(yes)[last]
    rates = []
    for counts, total in ((last + 1 - above, len(yes) - yes.sum()), (above, yes.sum())):
        whole = total if total else np.nan
        rates.append(np.append(0.0, counts) / whole)
    thresholds = np.append(np.inf, ordered[last].astype(np.float64))
    return Curve(rates[0], rates[1], thresholds, area(scores.astype(np.float64), positive))
