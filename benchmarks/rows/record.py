# SPDX-License-Identifier: Apache-2.0
"""What was measured of one convolution or operation, and the file of rows that a run goes on with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cnncore.bench.timing import Timing

OURS = "cnncore"


@dataclass
class LayerRow:
    """One layer in one direction: runner -> timing, and what bounds it."""

    family: str
    name: str
    direction: str
    batch: int
    problem: str
    algorithm: str = ""
    flops: float = 0.0
    bytes: float = 0.0
    """Read and written once, by an algorithm that keeps everything in between in caches."""
    peak_gflops: float = 0.0
    memory_gbytes: float = 0.0
    times: dict[str, Timing] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str, str, int, str]:
        """What tells it from the others of a file."""
        return self.family, self.name, self.direction, self.batch, self.problem

    @property
    def best_peer(self) -> str | None:
        """The fastest runner that is not cnncore, by the minimum: a shared machine disturbs medians."""
        peers = {name: timing.minimum for name, timing in self.times.items() if name != OURS}
        return min(peers, key=peers.__getitem__) if peers else None

    def ratio(self, by: str = "minimum") -> float | None:
        """How many times faster than the best peer cnncore is, by "minimum" or "median"."""
        peers = [float(getattr(timing, by)) for name, timing in self.times.items() if name != OURS]
        return min(peers) / float(getattr(self.times[OURS], by)) if peers and OURS in self.times else None

    @property
    def share(self) -> float:
        """Of the FMA peak or of the memory's speed, whichever binds, by the minimum; 0 where not measured."""
        return self.share_of(OURS)

    def share_of(self, runner: str | None) -> float:
        """The same of any runner."""
        if runner not in self.times or not self.memory_gbytes:
            return 0.0
        arithmetic = self.flops / (1e9 * self.peak_gflops) if self.peak_gflops else 0.0
        return max(arithmetic, self.bytes / (1e9 * self.memory_gbytes)) / self.times[runner].minimum

    def as_json(self) -> dict[str, Any]:
        """All of it, with the ratios."""
        derived = {"ratio": self.ratio(), "ratio_median": self.ratio("median"), "share": self.share}
        return {**asdict(self), "best_peer": self.best_peer, **derived}

    @staticmethod
    def from_json(written: dict[str, Any]) -> LayerRow:
        """The row that `as_json` wrote."""
        names = LayerRow.__dataclass_fields__
        row = LayerRow(**{name: value for name, value in written.items() if name in names})
        row.times = {name: Timing(**timing) for name, timing in written["times"].items()}
        return row


class RowFile:
    """JSON lines, a row a line; a run that is started again leaves out the rows that are there."""

    def __init__(self, path: str | Path | None) -> None:
        self._path = None if path is None else Path(path)
        written = self._path.read_text().splitlines() if self._path and self._path.exists() else []
        self.rows = [LayerRow.from_json(json.loads(line)) for line in written]
        self._keys = {row.key for row in self.rows}

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def __iter__(self) -> Iterator[LayerRow]:
        return iter(self.rows)

    def add(self, row: LayerRow) -> None:
        """Keep the row, and write it at once."""
        self.rows.append(row)
        self._keys.add(row.key)
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps(row.as_json()) + "\n")
