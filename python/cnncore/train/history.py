# SPDX-License-Identifier: Apache-2.0
"""What `Trainer.fit` returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..nn.arguments import several
from ..nonfinite import NonFinite


class History(dict[str, list[Any]]):
    """One list for each figure, one entry for each epoch: a number or, of a metric such as the confusion
    matrix, an array.

    The figures: loss, each metric, val_loss and val_<metric> where there is validation data, seconds
    (training without validation), images_per_second. `interrupted` tells whether Ctrl-C ended training
    early, or a callback inside an epoch; that epoch has no entries. `nonfinite` says where NaN or infinity
    was found when the loss became such (see `find_nonfinite`), which ends training; None otherwise.

    >>> history = History()
    >>> history.append({"loss": 0.5}); history.append({"loss": 0.25})
    >>> history["loss"], history.epochs
    ([0.5, 0.25], 2)
    """

    interrupted: bool = False
    nonfinite: NonFinite | None = None

    @property
    def epochs(self) -> int:
        """Epochs completed."""
        return max((len(values) for values in self.values()), default=0)

    def append(self, figures: dict[str, Any]) -> None:
        """Add the figures of one epoch."""
        for name, value in figures.items():
            self.setdefault(name, []).append(value)

    def plot(self, names: Sequence[str] | None = None) -> Any:
        """Draw the figures over the epochs, each beside that of the validation.

        Args:
            names: of the figures; by default all numbers but times.

        Returns:
            A matplotlib Figure; ``history.plot().savefig("history.png")`` keeps it.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: there is nothing to draw.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("History.plot needs matplotlib: pip install 'cnncore[viz]'") from error
        shown = self._drawable() if names is None else several("names", names, "figures")
        unknown = [name for name in shown if not isinstance(name, str) or name not in self]
        if unknown or not shown:
            raise ValueError(
                f"expected figures among {', '.join(self) or 'none yet'}, got {unknown or 'none'}"
            )
        shown = [
            name for name in shown if name.removeprefix("val_") not in shown or not name.startswith("val_")
        ]
        figure = Figure(figsize=(4.5 * len(shown), 3.2), layout="constrained")
        for axes, name in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
            for label in (name, f"val_{name}"):
                if label in self:
                    axes.plot(range(1, len(self[label]) + 1), self[label], marker=".", label=label)
            axes.set_xlabel("epoch")
            axes.set_title(name)
            axes.legend()
        return figure

    def _drawable(self) -> list[str]:
        return [
            name
            for name, values in self.items()
            if name not in ("seconds", "images_per_second")
            and values
            and hasattr(values[0], "__float__")
            and not getattr(values[0], "ndim", 0)
        ]
