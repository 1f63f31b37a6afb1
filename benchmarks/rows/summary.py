# SPDX-License-Identifier: Apache-2.0
"""Rows as tables: families, what is slower than the best peer, shares of what binds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from cnncore.bench.tables import milliseconds, table
from results import geometric_mean

from .record import OURS, LayerRow


def line(row: LayerRow) -> str:
    """A row in one line."""
    times = ", ".join(f"{name} {milliseconds(timing.minimum)}" for name, timing in row.times.items())
    ratio = row.ratio()
    against = "" if ratio is None else f", {ratio:.2f} times the best peer"
    return (
        f"{row.family} {row.name} {row.direction} b{row.batch} {row.problem} [{row.algorithm}]: {times} ms"
        f"{against}, {100 * row.share:.0f} % of what binds"
    )


def families(rows: Sequence[LayerRow]) -> str:
    """A row a family and direction: ratios to the best peer, shares of the FMA peak or of memory's speed."""
    grouped: dict[tuple[str, str], list[LayerRow]] = {}
    for row in rows:
        grouped.setdefault((row.family, row.direction), []).append(row)
    body = [[*key, *_cells(members)] for key, members in grouped.items()]
    for direction in dict.fromkeys(row.direction for row in rows):
        body.append(["all", direction, *_cells([row for row in rows if row.direction == direction])])
    header = [
        "family",
        "direction",
        "rows",
        "best peer / cnncore",
        "lowest",
        "slower",
        "share: median",
        "worst",
    ]
    return table(header, body)


def operations(rows: Sequence[LayerRow]) -> str:
    """A row an operation and direction: GB/s, shares of the memory's speed, times the best peer."""
    body = []
    for row in rows:
        taken = row.times[OURS].minimum
        ratio = row.ratio()
        body.append(
            [
                f"{row.family}: {row.name}",
                row.direction,
                milliseconds(taken),
                f"{row.bytes / taken / 1e9:.1f}" if row.bytes else "",
                f"{100 * row.share:.0f}" if row.bytes else "",
                "" if ratio is None or not row.bytes else f"{100 * row.share_of(row.best_peer):.0f}",
                "" if ratio is None else f"{ratio:.2f}",
            ]
        )
    header = [
        "operation",
        "direction",
        "ms",
        "GB/s",
        "% of a copy's speed",
        "best peer's",
        "best peer / cnncore",
    ]
    return table(header, body)


def slower(rows: Iterable[LayerRow], limit: float = 1.0) -> str:
    """The rows below a ratio, the worst first."""
    found = [row for row in rows if (row.ratio() or limit) < limit]
    found.sort(key=lambda row: row.ratio() or limit)
    body = [
        [
            f"{row.family} {row.name}",
            row.direction,
            str(row.batch),
            row.problem,
            row.algorithm,
            milliseconds(row.times[OURS].minimum),
            f"{row.ratio():.2f} ({row.ratio('median'):.2f})",
            row.best_peer or "",
            f"{100 * row.share:.0f}",
        ]
        for row in found
    ]
    header = ["row", "direction", "batch", "problem", "algorithm", "ms", "ratio (median)", "peer", "share %"]
    return table(header, body)


def _cells(rows: Sequence[LayerRow]) -> list[str]:
    ratios = [ratio for row in rows if (ratio := row.ratio()) is not None]
    shares = [100 * row.share for row in rows]
    against = (
        [f"{geometric_mean(ratios):.2f}", f"{min(ratios):.2f}", str(sum(ratio < 1 for ratio in ratios))]
        if ratios
        else ["", "", ""]
    )
    return [str(len(rows)), *against, f"{statistics.median(shares):.0f}", f"{min(shares):.0f}"]
