# SPDX-License-Identifier: Apache-2.0
"""Put measured tables into Markdown files, between the comments that mark their places.

    python benchmarks/fill.py docs/performance.md README.md --results docs/results

A place begins with `<!-- table: VIEW FILE -->` and ends with `<!-- end of table -->`; FILE is one that run.py
wrote, in the results' folder. A place whose file does not exist keeps what it holds.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import arguments
import report
from memory import Job
from networks import group_of
from results import Row, load, rows_of

Content = Mapping[str, Any]

PLACE = re.compile(
    r"(?P<begin><!-- table: (?P<view>[\w-]+) (?P<file>[\w.-]+) -->\n).*?(?P<end><!-- end of table -->)",
    re.DOTALL,
)


def setting(content: Content) -> str:
    """The machine and the number of threads."""
    machine, threads = content["machine"], content["threads"]
    held = "".join(f", {name}={value}" for name, value in machine.items() if name.isupper())
    plural = "s" * (threads > 1)
    return f"{machine['processor']}, {machine['system']}, {threads} thread{plural}{held}."


def grouped(content: Content) -> list[Row]:
    """The rows that the geometric means are taken over."""
    return [row for row in rows_of(content) if group_of(row.network, row.mode, row.batch)]


VIEWS: dict[str, Callable[[Content], str]] = {
    "setting": setting,
    "networks": lambda content: report.short(grouped(content)),
    "means": lambda content: report.means_table(rows_of(content)),
    "ratios": lambda content: report.ratios(rows_of(content)),
    "layers": lambda content: report.layers(content["layers"]),
    "winograd": lambda content: report.winograd(content["layers"]),
    "memory": lambda content: report.memory(list(map(Job.from_json, content["memory"]))),
    "errors": lambda content: report.errors(content["errors"]),
    "overhead": lambda content: report.overhead(content["overhead"]),
    "soak": lambda content: report.soak(content["soak"]),
}
"""What a place can ask for."""


def fill(text: str, results: Path) -> str:
    """The text with each place filled from its file in `results`."""

    def filled(place: re.Match[str]) -> str:
        view, file = place["view"], results / place["file"]
        if view not in VIEWS:
            raise ValueError(f"unknown table {view!r}; there are {', '.join(VIEWS)}")
        if not file.exists():
            print(f"kept: {view} has no {file}", file=sys.stderr)
            return place[0]
        return f"{place['begin']}\n{VIEWS[view](load(file))}\n\n{place['end']}"

    return PLACE.sub(filled, text)


def main(argv: Iterable[str]) -> None:
    """Fill the files that the arguments name."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "files", nargs="+", type=arguments.readable, metavar="FILE", help="Markdown with marked places"
    )
    made.add_argument("--results", type=Path, default=Path("docs/results"), help="where the JSON files lie")
    options = made.parse_args(list(argv))
    for path in options.files:
        path.write_text(fill(path.read_text(), options.results))


if __name__ == "__main__":
    main(sys.argv[1:])
