# SPDX-License-Identifier: Apache-2.0
"""Results as tables, for a terminal and for Markdown; all of them from what the JSON files hold.

python benchmarks/report.py results.json ...        every table that the files have rows for
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from cnncore.bench.tables import milliseconds, table
from cnncore.bench.timing import Timing
from memory import Job
from networks import group_of
from peers import EXACT, OURS
from results import Mean, Row, load, means

FAMILIES = {
    "PyTorch": ("torch", "torch channels_last"),
    "PyTorch compiled": (
        *("torch compile", "torch compile channels_last"),
        *("torch frozen", "torch frozen channels_last"),
    ),
    "onnxruntime": ("onnxruntime",),
    "OpenVINO": ("openvino",),
}
"""Columns of the short table: the fastest runner of each."""

DIRECTIONS = {
    "forward": "forward",
    "backward_data": "gradient by the input",
    "backward_weight": "gradient by the weight",
}


def networks(rows: Sequence[Row]) -> str:
    """Milliseconds of each runner, how many times faster than the best peer cnncore is, and the means."""
    names = list(dict.fromkeys(name for row in rows for name in row.times))
    ours = [name for name in OURS if name in names]
    header = ["network", "mode", "batch", *names, *(f"best peer / {name}" for name in ours)]
    body = []
    for row in rows:
        cells = [row.network, row.mode, str(row.batch), *(_cell(row.times.get(name)) for name in names)]
        body.append([*cells, *(_ratios(row.ratio(name), row.ratio(name, "minimum")) for name in ours)])
    notes = [f"{row.network} {row.mode} b{row.batch}: {note}" for row in rows for note in row.notes]
    parts = ["Milliseconds a call, median (minimum):", table(header, body)]
    if found := means(rows):
        parts.append("\n".join(map(sentence, found)))
    if notes:
        parts.append("\n".join(dict.fromkeys(notes)))
    return "\n\n".join(parts)


def sentence(mean: Mean) -> str:
    """A geometric mean in words."""
    exact = "" if mean.ratio_exact is None else f', in "exact" mode {mean.ratio_exact:.2f}'
    return (
        f"{mean.group}: geometric mean over {mean.networks} networks {mean.ratio_median:.2f} "
        f"({mean.ratio_minimum:.2f}){exact}; lowest {mean.lowest_ratio:.2f}, {mean.lowest}"
    )


def short(rows: Sequence[Row]) -> str:
    """Networks for a document: medians in milliseconds, peers by family, and the ratios."""
    families = {
        name: members
        for name, members in FAMILIES.items()
        if any(m in row.times for row in rows for m in members)
    }
    ours = {"cnncore": OURS[0], **({'"exact"': EXACT} if any(EXACT in row.times for row in rows) else {})}
    header = ["network", "mode", "batch", *ours, *families]
    header += [f"best peer / {name}" for name in ours]
    body = []
    for row in rows:
        times = [row.times.get(name) for name in ours.values()]
        times += [_fastest(row, members) for members in families.values()]
        cells = ["" if timing is None else milliseconds(timing.median) for timing in times]
        ratios = [_number(row.ratio(name)) for name in ours.values()]
        body.append([row.network, row.mode, str(row.batch), *cells, *ratios])
    return table(header, body)


def means_table(rows: Iterable[Row]) -> str:
    """Geometric means by group, with the lowest ratio of each."""
    body = [
        [mean.group, _number(mean.ratio_median), _number(mean.ratio_exact), _lowest(mean)]
        for mean in means(rows)
    ]
    return table(["", "geometric mean", 'in "exact" mode', "lowest"], body)


def ratios(rows: Sequence[Row]) -> str:
    """Nothing but ratios: a row a network, a column a group, the geometric means last."""
    found = means(rows)
    grouped: dict[str, dict[str, float]] = {}
    for row in rows:
        group, ratio = group_of(row.network, row.mode, row.batch), row.ratio()
        if group is not None and ratio is not None:
            grouped.setdefault(row.network, {})[group] = ratio
    groups = [mean.group for mean in found]
    body = [[name, *(_number(of.get(group)) for group in groups)] for name, of in grouped.items()]
    body.append(["geometric mean", *(_number(mean.ratio_median) for mean in found)])
    return table(["network", *groups], body)


def layers(rows: Sequence[Mapping[str, Any]]) -> str:
    """Convolutions in percent of the FMA peak: median and worst by direction, kind and number of threads."""
    columns = sorted({row["threads"] for row in rows})
    percents: dict[tuple[str, str], dict[int, dict[str, float]]] = {}
    for row in rows:
        of = percents.setdefault((row["direction"], _kind(row["problem"])), {count: {} for count in columns})
        of[row["threads"]][row["problem"]["layer"]] = row["percent_of_peak"]
    body = []
    for direction, kind in sorted(percents, key=lambda place: (list(DIRECTIONS).index(place[0]), place[1])):
        of = percents[direction, kind]
        last = of[columns[-1]] or of[columns[0]]
        cells = [_median_and_worst(found.values()) for found in of.values()]
        body.append([DIRECTIONS[direction], kind, *cells, min(last, key=last.__getitem__)])
    return table(["direction", "kind", *map(_threads, columns), "worst layer"], body)


def winograd(rows: Sequence[Mapping[str, Any]]) -> str:
    """Layers that Winograd takes: the rate of direct convolution it is worth, in percent of the FMA peak."""
    taken = [row for row in rows if row["algorithm"].startswith("winograd")]
    columns = sorted({row["threads"] for row in taken})
    cells: dict[tuple[str, str], dict[int, float]] = {}
    for row in taken:
        cells.setdefault((_problem(row["problem"]), DIRECTIONS[row["direction"]]), {})[row["threads"]] = row[
            "percent_of_peak"
        ]
    body = [
        [problem, direction, *(f"{of[threads]:.0f}" if threads in of else "" for threads in columns)]
        for (problem, direction), of in cells.items()
    ]
    if not body:
        return "None of these layers is Winograd's."
    return table(["layer", "direction", *map(_threads, columns)], body)


def memory(jobs: Sequence[Job]) -> str:
    """Peak megabytes of a process: a row a job, a column a runner, cnncore's share of the leanest peer's."""
    names = list(dict.fromkeys(name for job in jobs for name in job.usage))
    body = []
    for job in jobs:
        peaks = [f"{job.usage[name].peak:.0f}" if name in job.usage else "" for name in names]
        body.append([job.network, job.mode, str(job.batch), *peaks, _number(job.share)])
    return table(["network", "mode", "batch", *names, "cnncore / leanest peer"], body)


def soak(found: Mapping[str, Any]) -> str:
    """What a long training did to its process."""
    return (
        f"{found['steps']:,.0f} training steps of {found['network']}, batch {found['batch']}: "
        f"{found['begin']:.1f} MB resident after 1 % of them, {found['end']:.1f} MB at the end."
    )


def overhead(found: Mapping[str, float]) -> str:
    """What a prediction costs beside arithmetic."""
    return f"A call of one step takes {found['call']:.1f} us, each further step {found['step']:.2f} us."


def errors(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rounding errors in units of direct convolution's."""
    body = []
    for row in rows:
        ratios = [_number(row["fast"]), _number(row["torch"])]
        body.append([row["subject"], row["result"], f"{row['exact_rms']:.1e}", *ratios])
    return table(["", "result", '"exact", relative', '"fast" / "exact"', 'PyTorch / "exact"'], body)


SECTIONS: dict[str, Callable[[Any], str]] = {
    "networks": lambda rows: networks(list(map(Row.from_json, rows))),
    "layers": lambda rows: f"{layers(rows)}\n\n{winograd(rows)}",
    "memory": lambda jobs: memory(list(map(Job.from_json, jobs))),
    "errors": errors,
    "overhead": overhead,
    "recurrent": lambda rows: networks(list(map(Row.from_json, rows))),
    "soak": soak,
}
"""Section of a result file -> its table."""


def _kind(problem: Mapping[str, Any]) -> str:
    """What makes a convolution easy or hard."""
    return "stride 2" if max(problem["stride"]) > 1 else "x".join(map(str, problem["kernel"]))


def _median_and_worst(percents: Collection[float]) -> str:
    return f"{statistics.median(percents):.0f} / {min(percents):.0f}" if percents else ""


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"


def _problem(problem: Mapping[str, Any]) -> str:
    side = "x".join(map(str, problem["input"]))
    return f"{problem['layer']}, {problem['in_channels']} > {problem['out_channels']}, {side}"


def _fastest(row: Row, names: Iterable[str]) -> Timing | None:
    return min((row.times[name] for name in names if name in row.times), key=_median, default=None)


def _median(timing: Timing) -> float:
    return timing.median


def _lowest(mean: Mean) -> str:
    return f"{mean.lowest_ratio:.2f}, {mean.lowest}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _ratios(median: float | None, minimum: float | None) -> str:
    return "" if median is None or minimum is None else f"{median:.2f} ({minimum:.2f})"


def _cell(timing: Timing | None) -> str:
    return "-" if timing is None else f"{milliseconds(timing.median)} ({milliseconds(timing.minimum)})"


def main(paths: Sequence[str]) -> None:
    """Print what the files hold."""
    for path in paths:
        content = load(path)
        for section, draw in SECTIONS.items():
            if content.get(section):
                print(f"{path}, {section}\n\n{draw(content[section])}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
