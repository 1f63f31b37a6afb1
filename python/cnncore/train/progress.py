# SPDX-License-Identifier: Apache-2.0
"""Progress on stderr: a tqdm bar on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from .._checks import is_index

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_POSTFIXES = 0.1
LEAST_SECONDS_LEFT = 5.0
"""Less is not shown."""


class Progress(Protocol):
    """What the trainer reports to."""

    def begin(self, epoch: int, epochs: int, rows: int | None) -> None:
        """Start epoch `epoch` (from 1) of `epochs`; `rows` is None when it is not known."""

    def step(self, rows: int, means: Callable[[], Mapping[str, Any]]) -> None:
        """Count a batch; `means` gives the running figures, for when they are shown."""

    def end(self, figures: Mapping[str, Any]) -> None:
        """Finish the epoch."""

    def note(self, text: str) -> None:
        """Show a remark."""

    def close(self) -> None:
        """Leave the display in order, also after an error."""


def figures_text(figures: Mapping[str, Any]) -> str:
    """Return figures as text; arrays are left out.

    >>> figures_text({"loss": 0.12345, "images_per_second": 12345.6, "seconds": 4.86})
    'loss 0.1235, 12,346 images/s, 4.9 s'
    """
    parts = []
    for name, value in figures.items():
        if name == "images_per_second":
            parts.append(f"{value:,.0f} images/s")
        elif name == "seconds":
            parts.append(f"{value:.1f} s")
        elif not isinstance(value, (np.ndarray, dict)):
            parts.append(
                f"{name} {value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{name} {value:.3e}"
            )
    return ", ".join(parts)


class Silent:
    """Shows nothing."""

    def begin(self, epoch: int, epochs: int, rows: int | None) -> None: ...
    def step(self, rows: int, means: Callable[[], Mapping[str, Any]]) -> None: ...
    def end(self, figures: Mapping[str, Any]) -> None: ...
    def note(self, text: str) -> None: ...
    def close(self) -> None: ...


def left_text(seconds: float) -> str:
    """Return the time that training will take yet, as text; nothing where it is a moment.

    >>> left_text(3.0), left_text(42.0), left_text(200.0), left_text(4000.0)
    ('', ', 42 s left', ', 3 min left', ', 1 h 7 min left')
    """
    if seconds < LEAST_SECONDS_LEFT:
        return ""
    if seconds < 90:
        return f", {seconds:.0f} s left"
    minutes = round(seconds / 60)
    return f", {minutes} min left" if minutes < 60 else f", {minutes // 60} h {minutes % 60} min left"


class Lines(Silent):
    """One line for each epoch, and one about every ten seconds inside a long one, with the time left."""

    _first: tuple[int, float] | None = None

    def begin(self, epoch: int, epochs: int, rows: int | None) -> None:
        self.title = f"epoch {epoch}/{epochs}"
        self.epoch, self.epochs = epoch, epochs
        if self._first is None:
            self._first = epoch, time.monotonic()
        self.total = "" if rows is None else f" of {rows:,}"
        self.rows = 0
        self.started = self.shown = time.monotonic()

    def step(self, rows: int, means: Callable[[], Mapping[str, Any]]) -> None:
        self.rows += rows
        now = time.monotonic()
        if now - self.shown >= SECONDS_BETWEEN_LINES:
            self.shown = now
            speed = self.rows / (now - self.started)
            text = figures_text({**means(), "images_per_second": speed})
            self.note(f"{self.title}, {self.rows:,}{self.total} images: {text}")

    def end(self, figures: Mapping[str, Any]) -> None:
        self.note(f"{self.title}: {figures_text(figures)}{self._left()}")

    def _left(self) -> str:
        """Return the time left, at the pace of the epochs so far."""
        assert self._first is not None
        first, started = self._first
        pace = (time.monotonic() - started) / (self.epoch - first + 1)
        return left_text(pace * (self.epochs - self.epoch))

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class Bar(Lines):
    """A tqdm bar for the epoch at work, and the line of each finished one."""

    def __init__(self, tqdm: Callable[..., Any]) -> None:
        self.tqdm = tqdm
        self.bar: Any = None

    def begin(self, epoch: int, epochs: int, rows: int | None) -> None:
        super().begin(epoch, epochs, rows)
        self.bar = self.tqdm(
            total=rows, desc=self.title, unit=" images", unit_scale=True, leave=False, dynamic_ncols=True
        )

    def step(self, rows: int, means: Callable[[], Mapping[str, Any]]) -> None:
        now = time.monotonic()
        if now - self.shown >= SECONDS_BETWEEN_POSTFIXES:
            self.shown = now
            self.bar.set_postfix_str(figures_text(means()), refresh=False)
        self.bar.update(rows)

    def end(self, figures: Mapping[str, Any]) -> None:
        self.close()
        super().end(figures)

    def note(self, text: str) -> None:
        self.close()
        super().note(text)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def make_progress(verbose: int | str) -> Progress:
    """Return the display for `verbose`: 0 silent, 1 or "auto" a bar where it can be, 2 plain lines."""
    if isinstance(verbose, str) and verbose == "auto":
        verbose = 1
    if not is_index(verbose) or verbose not in (0, 1, 2):
        raise ValueError(
            f"expected verbose 0 (silent), 1 or 'auto' (bar or lines) or 2 (lines), got {verbose!r}"
        )
    if verbose == 0:
        return Silent()
    if verbose == 1 and sys.stderr is not None and sys.stderr.isatty():
        try:
            from tqdm import tqdm
        except ImportError:
            return Lines()
        return Bar(tqdm)
    return Lines()
