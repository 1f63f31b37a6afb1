# SPDX-License-Identifier: Apache-2.0
"""Results as a table for people and as JSON for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from cnncore.bench.timing import Timing
from measure import Row


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, numbers aligned right."""
    widths = [max(len(line[i]) for line in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = (cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, widths)))
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(header), rule, *(line(row) for row in rows)])


def networks(rows: Sequence[Row]) -> str:
    """Milliseconds, `median (minimum)`, of each runner, and how many times faster than the best peer cnncore is."""
    names = list(dict.fromkeys(name for row in rows for name in row.times))
    header = ["network", "mode", "batch", *names, "best peer / cnncore"]
    body = []
    for row in rows:
        cells = [_milliseconds(row.times.get(name)) for name in names]
        ratio = "" if row.ratio is None else f"{row.ratio:.2f} ({row.ratio_of_minimum:.2f})"
        body.append([row.network, row.mode, str(row.batch), *cells, ratio])
    notes = [f"{row.network} {row.mode} b{row.batch}: {note}" for row in rows for note in row.notes]
    text = "Milliseconds a call, median (minimum):\n\n" + table(header, body)
    return "\n".join([text, "", *dict.fromkeys(notes)]) if notes else text


def as_json(row: Row) -> dict[str, object]:
    """A row with its ratios."""
    return {**asdict(row), "ratio_median": row.ratio, "ratio_minimum": row.ratio_of_minimum}


def _milliseconds(timing: Timing | None) -> str:
    if timing is None:
        return "-"
    return f"{_digits(timing.median)} ({_digits(timing.minimum)})"


def _digits(seconds: float) -> str:
    """Milliseconds with three significant digits."""
    value = seconds * 1e3
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}" if value >= 1 else f"{value:.3f}"
