# SPDX-License-Identifier: Apache-2.0
"""What was measured: rows, ratios and their means, and the JSON file they are kept in."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cnncore.bench.timing import Timing
from networks import GROUPS, ZOO_GROUPS, group_of
from peers import EXACT, OURS

ERROR_LIMIT = 2.5
"""A layer's rounding error in "fast" mode may be this many times direct convolution's."""


@dataclass
class Row:
    """One network in one mode at one batch: runner -> timing, and what was left out or went wrong."""

    network: str
    mode: str
    batch: int
    times: dict[str, Timing] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    """Runner -> largest difference from the first runner's answer, as a share of its largest value."""
    notes: list[str] = field(default_factory=list)

    @property
    def best_peer(self) -> str | None:
        """The fastest runner that is not cnncore, by the median."""
        peers = {name: timing.median for name, timing in self.times.items() if name not in OURS}
        return min(peers, key=peers.__getitem__) if peers else None

    def ratio(self, of: str = OURS[0], by: str = "median") -> float | None:
        """How many times faster than the best peer a runner of cnncore is, by "median" or "minimum"."""
        peers = [getattr(timing, by) for name, timing in self.times.items() if name not in OURS]
        return min(peers) / getattr(self.times[of], by) if peers and of in self.times else None

    def as_json(self) -> dict[str, object]:
        """All of it, with the ratios."""
        ratios = {"ratio_median": self.ratio(), "ratio_minimum": self.ratio(by="minimum")}
        return {**asdict(self), "best_peer": self.best_peer, **ratios, "ratio_exact": self.ratio(EXACT)}

    @staticmethod
    def from_json(written: Mapping[str, Any]) -> Row:
        """The row that `as_json` wrote."""
        row = Row(written["network"], written["mode"], written["batch"])
        row.times = {name: Timing(**timing) for name, timing in written["times"].items()}
        row.errors, row.notes = dict(written["errors"]), list(written["notes"])
        return row


@dataclass(frozen=True)
class Mean:
    """The geometric mean of one group's ratios, and its lowest."""

    group: str
    networks: int
    ratio_median: float
    ratio_minimum: float
    lowest: str
    """The network with the lowest ratio by the median."""
    lowest_ratio: float
    ratio_exact: float | None = None
    """Mean of the ratios in "exact" mode, by the median, where all rows have one."""

    def as_json(self) -> dict[str, Any]:
        """Its fields."""
        return asdict(self)


def means(rows: Iterable[Row]) -> list[Mean]:
    """The geometric mean of each group that has rows with a ratio."""
    grouped: dict[str, list[Row]] = {group: [] for group in (*GROUPS, *ZOO_GROUPS)}
    for row in rows:
        group = group_of(row.network, row.mode, row.batch)
        if group is not None and row.ratio() is not None:
            grouped[group].append(row)
    return [_mean(group, members) for group, members in grouped.items() if members]


def _mean(group: str, rows: Sequence[Row]) -> Mean:
    def values(of: str = OURS[0], by: str = "median") -> list[float]:
        return [ratio for row in rows if (ratio := row.ratio(of, by)) is not None]

    medians, exact = values(), values(EXACT)
    lowest = min(range(len(rows)), key=medians.__getitem__)
    return Mean(
        group,
        len(rows),
        geometric_mean(medians),
        geometric_mean(values(by="minimum")),
        rows[lowest].network,
        medians[lowest],
        geometric_mean(exact) if len(exact) == len(rows) else None,
    )


def geometric_mean(values: Sequence[float]) -> float:
    """Of positive numbers.

    Example:
        >>> round(geometric_mean([1.0, 4.0]), 6)
        2.0
    """
    return math.exp(math.fsum(map(math.log, values)) / len(values))


class ResultFile:
    """A JSON file that holds what has been measured so far, at any time; no file without a path."""

    def __init__(self, path: str | Path | None, facts: Mapping[str, Any]) -> None:
        self._path = None if path is None else Path(path)
        self._content: dict[str, Any] = dict(facts)

    def set(self, **sections: Any) -> None:
        """Replace whole sections, and write."""
        self._content.update(sections)
        self._write()

    def add(self, section: str, row: Any) -> None:
        """Append to a section, and write."""
        self._content.setdefault(section, []).append(row)
        self._write()

    def _write(self) -> None:
        if self._path is None:
            return
        unfinished = self._path.with_name(f"{self._path.name}.part")
        unfinished.write_text(_formatted(self._content))
        os.replace(unfinished, self._path)


def _formatted(content: Mapping[str, Any]) -> str:
    """JSON with a line for each row of a section, so that a change of one row is a change of one line."""
    sections = []
    for name, value in content.items():
        rows = value if isinstance(value, list) else []
        lines = ",\n".join(json.dumps(row) for row in rows)
        text = f"[\n{lines}\n]" if rows else json.dumps(value)
        sections.append(f"{json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(sections) + "\n}\n"


def load(path: str | Path) -> dict[str, Any]:
    """The content of a file that `ResultFile` wrote."""
    content: dict[str, Any] = json.loads(Path(path).read_text())
    return content


def rows_of(content: Mapping[str, Any]) -> list[Row]:
    """The networks' rows in a file's content."""
    return [Row.from_json(written) for written in content.get("networks", [])]
