# SPDX-License-Identifier: Apache-2.0
"""Lovász losses against the Jaccard loss of thresholded errors, of which they are the integral."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from .case import case, draw

LABELS = np.random.default_rng(0).integers(0, 2, (2, 3, 2)).astype(np.float32)
MAPS = np.random.default_rng(1).integers(0, 3, (2, 2, 3))


def jaccard(wrong: Any, truth: Any) -> float:
    """1 - intersection over union of the truth and what is taken for it."""
    taken = np.where(wrong, 1 - truth, truth)
    union = np.maximum(taken, truth).sum()
    return 0.0 if union == 0 else 1 - (taken * truth).sum() / union


def extension(errors: Any, truth: Any) -> float:
    """The integral over thresholds of the loss of errors above them."""
    errors, truth = np.maximum(errors.ravel(), 0), truth.ravel()
    levels = np.unique(np.concatenate([[0.0], errors]))
    return sum((b - a) * jaccard(errors > a, truth) for a, b in pairwise(levels))


def hinges(x: Any, t: Any, per_image: bool) -> Any:
    errors = 1 - x * (2 * t - 1)
    pairs = zip(errors, t, strict=True) if per_image else [(errors, t)]
    return np.mean([extension(a, b) for a, b in pairs])


def softmax(x: Any, labels: Any, classes: str, per_image: bool, ignored: int = -100) -> Any:
    losses = []
    images = zip(x, labels, strict=True) if per_image else [(np.moveaxis(x, 1, 0), labels)]
    for values, known in images:
        kept = known != ignored
        each = []
        for c, p in enumerate(values):
            truth = (known[kept] == c).astype(np.float64)
            if classes == "all" or truth.any():
                each.append(extension(np.abs(truth - p[kept]), truth))
        losses.append(np.mean(each))
    return np.mean(losses)


CASES = [
    *[
        case(
            "lovasz_hinge_loss",
            (draw(2, 3, 2), LABELS.astype(np.int64)),
            lambda x, t, p=p: hinges(x, t, p),
            per_image=p,
            torch=False,
        )
        for p in (False, True)
    ],
    *[
        case(
            "lovasz_softmax_loss",
            (draw(2, 3, 2, 3, low=0.02, high=0.97), MAPS),
            lambda x, t, s=s: softmax(x, t, s["classes"], s["per_image"], s.get("ignore_index", -100)),
            torch=False,
            **s,
        )
        for s in (
            {"classes": "present", "per_image": False},
            {"classes": "all", "per_image": True},
            {"classes": "present", "per_image": True, "ignore_index": 1},
            {"classes": "present", "per_image": False, "ignore_index": 0},
        )
    ],
]
