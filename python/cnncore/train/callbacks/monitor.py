# SPDX-License-Identifier: Apache-2.0
"""Watching a figure for improvements."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...nn.arguments import finite, one_of

_LOWER = ("loss", "mae", "mse", "rmse", "cer", "wer", "error", "seconds")
_HIGHER = (
    "accuracy",
    "precision",
    "recall",
    "f1",
    "auc",
    "mean_iou",
    "dice",
    "r2",
    "map",
    "images_per_second",
)


class Monitor:
    """Tells whether a figure is better than all before.

    Args:
        name: of the figure; None: "val_loss" where there is validation, else "loss".
        mode: "min" when lower values are better, "max" when higher ones are, "auto" by the name of the
            figure.
        min_delta: the least difference that counts.
    """

    def __init__(self, name: str | None, mode: str, min_delta: float = 0.0) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"expected monitor as the name of a figure, got {name!r}")
        self.name = name
        self.mode = one_of("mode", mode, ("auto", "min", "max"))
        self.min_delta = finite("min_delta", min_delta, 0)
        if name is not None:
            self.higher(name)

    def value(self, logs: Mapping[str, Any]) -> tuple[str, float]:
        """Return the figure's name and value.

        Raises:
            ValueError: there is none of the name, or it is no number.
        """
        name = self.name or ("val_loss" if "val_loss" in logs else "loss")
        if name not in logs:
            hint = "; there is no validation" if name.startswith("val_") and "val_loss" not in logs else ""
            raise ValueError(f"expected monitor to be one of {', '.join(logs)}, got {name!r}{hint}")
        value = logs[name]
        if getattr(value, "ndim", 0) or not hasattr(value, "__float__"):
            raise ValueError(f"monitor={name!r}: expected a number, got {type(value).__name__}")
        return name, float(value)

    def higher(self, name: str) -> bool:
        """Whether higher values of the figure are better."""
        if self.mode != "auto":
            return self.mode == "max"
        words = name.removeprefix("val_")
        parts = words.split("_")
        if any(word in parts for word in _LOWER):
            return False
        if any(
            words == word or words.startswith(f"{word}_") or words.endswith(f"_{word}") for word in _HIGHER
        ):
            return True
        raise ValueError(f"monitor={name!r}: say mode='min' where lower is better, or mode='max'")

    def better(self, name: str, value: float, best: float | None) -> bool:
        """Whether a value is better than the best so far; NaN never is."""
        if math.isnan(value):
            return False
        if best is None or math.isnan(best):
            return True
        return value > best + self.min_delta if self.higher(name) else value < best - self.min_delta
