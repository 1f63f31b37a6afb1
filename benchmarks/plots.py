# SPDX-License-Identifier: Apache-2.0
"""Pictures of the tables, from the JSON files that hold them.

    python benchmarks/plots.py docs/results/*.json --output docs/images

Each file becomes one SVG of its name. The same file gives the same bytes: no dates, no random identifiers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

import arguments
from memory import Job
from networks import group_of
from peers import EXACT, OURS
from report import DIRECTIONS
from results import ERROR_LIMIT, Row, load, means

BLUE, ORANGE, GREEN, RED, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"
"""Okabe and Ito's colours, which remain distinct to colour-blind eyes."""

Look = tuple[str, str]
LOOKS = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (RED, "D"), (PURPLE, "v"))
"""Colours and markers, so that a picture can be read in grey, too."""

STYLE: Any = {
    "svg.hashsalt": "cnncore",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
}
T = TypeVar("T")

ROW_INCHES = 0.24
TITLE_INCHES = 1.1


def ratios(rows: Sequence[Row]) -> Figure:
    """A panel a group: times faster than the best peer; geometric means as lines, "exact" mode as dots."""
    grouped = {mean.group: mean for mean in means(rows)}
    figure, panels = _panels(len(grouped), max(len({row.network for row in rows}), 1), 3.2)
    for axes, group in zip(panels, grouped, strict=True):
        members = [row for row in rows if group_of(row.network, row.mode, row.batch) == group and row.ratio()]
        places = range(len(members))
        axes.barh(places, [row.ratio() or 0.0 for row in members], color=BLUE, height=0.65)
        exact = [(ratio, place) for place, row in enumerate(members) if (ratio := row.ratio(EXACT))]
        _dots(axes, exact, (ORANGE, "o"))
        axes.axvline(1.0, color="black", lw=0.8)
        mean = grouped[group].ratio_median
        axes.axvline(mean, color=RED, lw=1.2, ls="--")
        _label_rows(axes, [row.network for row in members])
        axes.set_title(f"{group}\ngeometric mean {mean:.2f}", fontsize=9)
        axes.set_xlabel("times faster than the best peer")
    handles = {"cnncore": (BLUE, "s"), "geometric mean": (RED, "_")}
    if any(EXACT in row.times for row in rows):
        handles['"exact" mode'] = (ORANGE, "o")
    _legend(figure, handles)
    return figure


def layers(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """A panel a direction, a dot a layer and number of threads: percent of the multiply-add peak."""
    threads = sorted({row["threads"] for row in rows})
    directions = [direction for direction in DIRECTIONS if any(row["direction"] == direction for row in rows)]
    names = list(dict.fromkeys(row["problem"]["layer"] for row in rows))
    figure, panels = _panels(len(directions), len(names), 3.2)
    looks = _looks(threads)
    for axes, direction in zip(panels, directions, strict=True):
        for count, look in looks.items():
            taken = [row for row in rows if (row["direction"], row["threads"]) == (direction, count)]
            _dots(
                axes, [(row["percent_of_peak"], names.index(row["problem"]["layer"])) for row in taken], look
            )
        axes.axvline(100, color="black", lw=0.8)
        axes.set_xlim(left=0)
        _label_rows(axes, names if axes is panels[0] else [""] * len(names))
        axes.set_title(DIRECTIONS[direction], fontsize=9)
        axes.set_xlabel("% of the multiply-add peak")
    _legend(figure, {f"{count} thread{'s' * (count > 1)}": look for count, look in looks.items()})
    return figure


def memory(jobs: Sequence[Job]) -> Figure:
    """A panel a group, a dot a runner: peak megabytes of a process."""
    grouped: dict[str, list[Job]] = {}
    for job in jobs:
        grouped.setdefault(group_of(job.network, job.mode, job.batch) or f"batch {job.batch}", []).append(job)
    names = list(dict.fromkeys(name for job in jobs for name in job.usage))
    looks = _looks(names)
    figure, panels = _panels(len(grouped), max(map(len, grouped.values())), 3.2)
    for axes, (group, members) in zip(panels, grouped.items(), strict=True):
        for name, look in looks.items():
            peaks = [(job.usage[name].peak, i) for i, job in enumerate(members) if name in job.usage]
            _dots(axes, peaks, look, size=6 if name == OURS[0] else 4)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
        _label_rows(axes, [job.network for job in members])
        axes.set_title(group, fontsize=9)
        axes.set_xlabel("peak resident MB")
    _legend(figure, looks)
    return figure


def errors(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Layers' errors in "fast" mode in units of direct convolution's, with the limit."""
    rows = [row for row in rows if row["is_layer"]]
    names = list(dict.fromkeys(row["subject"] for row in rows))
    results = list(dict.fromkeys(row["result"] for row in rows))
    looks = _looks(results)
    figure, (axes,) = _panels(1, len(names), 6.5)
    for result, look in looks.items():
        taken = [row for row in rows if row["result"] == result]
        _dots(axes, [(row["fast"], names.index(row["subject"])) for row in taken], look)
    axes.axvline(1.0, color="black", lw=0.8)
    axes.axvline(ERROR_LIMIT, color=RED, lw=1.2, ls="--")
    axes.set_xlim(left=0)
    _label_rows(axes, names)
    axes.set_xlabel("rms error in units of direct convolution's")
    _legend(figure, {**looks, "limit": (RED, "_")})
    return figure


DRAWN: dict[str, Callable[[Any], Figure]] = {
    "networks": lambda rows: ratios(list(map(Row.from_json, rows))),
    "layers": layers,
    "memory": lambda jobs: memory(list(map(Job.from_json, jobs))),
    "errors": errors,
}
"""Section of a result file -> its picture."""


def draw(path: Path, output: Path) -> list[Path]:
    """Write the pictures of one result file, named after it; the ones written."""
    content = load(path)
    output.mkdir(parents=True, exist_ok=True)
    written = []
    with matplotlib.rc_context(STYLE):
        for section, picture in DRAWN.items():
            if content.get(section):
                target = output / f"{path.stem}.svg"
                picture(content[section]).savefig(target, metadata={"Date": None, "Creator": None})
                written.append(target)
    return written


def _panels(count: int, rows: int, width: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width * count, TITLE_INCHES + ROW_INCHES * rows), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False, sharey=False)[0])


def _label_rows(axes: Axes, names: Sequence[str]) -> None:
    """The first row on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", color="#DDDDDD", lw=0.6)


def _looks(names: Iterable[T]) -> dict[T, Look]:
    return dict(zip(names, LOOKS, strict=False))


def _dots(axes: Axes, points: Sequence[tuple[float, float]], look: Look, size: float = 4) -> None:
    colour, marker = look
    axes.plot([x for x, _ in points], [y for _, y in points], marker, color=colour, ms=size, ls="none")


def _legend(figure: Figure, looks: Mapping[str, Look]) -> None:
    handles = [
        Line2D([], [], color=colour, marker=marker, ls="none", label=name)
        for name, (colour, marker) in looks.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)


def main(argv: Iterable[str]) -> None:
    """Draw the files that the arguments name."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "files", nargs="+", type=arguments.readable, metavar="FILE", help="JSON written by run.py"
    )
    made.add_argument("--output", type=Path, default=Path("docs/images"), help="a folder, made on demand")
    options = made.parse_args(list(argv))
    for path in options.files:
        for written in draw(path, options.output):
            print(written)


if __name__ == "__main__":
    main(sys.argv[1:])
