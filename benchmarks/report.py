# SPDX-License-Identifier: Apache-2.0
"""Results as a table for people and as JSON for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from cnncore.bench.tables import milliseconds, table
from cnncore.bench.timing import Timing
from measure import Row


def networks(rows: Sequence[Row]) -> str:
    """Milliseconds of each runner, and how many times faster than the best peer cnncore is."""
    names = list(dict.fromkeys(name for row in rows for name in row.times))
    header = ["network", "mode", "batch", *names, "best peer / cnncore"]
    body = []
    for row in rows:
        cells = [_cell(row.times.get(name)) for name in names]
        ratio = "" if row.ratio is None else f"{row.ratio:.2f} ({row.ratio_of_minimum:.2f})"
        body.append([row.network, row.mode, str(row.batch), *cells, ratio])
    notes = [f"{row.network} {row.mode} b{row.batch}: {note}" for row in rows for note in row.notes]
    text = "Milliseconds a call, median (minimum):\n\n" + table(header, body)
    return "\n".join([text, "", *dict.fromkeys(notes)]) if notes else text


def as_json(row: Row) -> dict[str, object]:
    """A row with its ratios."""
    return {**asdict(row), "ratio_median": row.ratio, "ratio_minimum": row.ratio_of_minimum}


def memory(peaks: Mapping[str, Mapping[str, float]]) -> str:
    """Peak megabytes of a training process: a row a job, a column a runner."""
    names = list(dict.fromkeys(name for row in peaks.values() for name in row))
    rows = [
        [job, *(f"{row[name]:.0f}" if name in row else "-" for name in names)] for job, row in peaks.items()
    ]
    return "Peak resident MB of a training process:\n\n" + table(["job", *names], rows)


def _cell(timing: Timing | None) -> str:
    return "-" if timing is None else f"{milliseconds(timing.median)} ({milliseconds(timing.minimum)})"
