# SPDX-License-Identifier: Apache-2.0
"""Settings of losses that they cannot have are refused when they are made, not when they are called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cnncore import nn

LEAST = [
    ("SmoothL1Loss", "beta", 0),
    ("GaussianNLLLoss", "eps", 0),
    ("PoissonNLLLoss", "eps", 0),
    ("SigmoidFocalLoss", "gamma", 0),
    ("SigmoidFocalLoss", "alpha", -1),
    ("SoftmaxFocalLoss", "gamma", 0),
    ("DiceLoss", "smooth", 0),
    ("TverskyLoss", "alpha", 0),
    ("TverskyLoss", "beta", 0),
    ("TverskyLoss", "smooth", 0),
    ("ContrastiveLoss", "margin", 0),
]
NUMBERS = [
    *LEAST,
    ("TripletMarginLoss", "eps", None),
    ("HuberLoss", "delta", None),
    ("MarginRankingLoss", "margin", None),
    ("CosineEmbeddingLoss", "margin", None),
    ("MultiMarginLoss", "margin", None),
    ("HingeEmbeddingLoss", "margin", None),
]


@pytest.mark.parametrize(("layer", "name", "least"), LEAST)
def test_least_values(layer: str, name: str, least: float) -> None:
    getattr(nn, layer)(**{name: least + 0.25})
    with pytest.raises(ValueError, match=name):
        getattr(nn, layer)(**{name: least - 0.25})


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(("layer", "name", "least"), NUMBERS)
def test_values_are_finite(layer: str, name: str, least: Any, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        getattr(nn, layer)(**{name: value})
