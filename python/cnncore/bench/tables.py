# SPDX-License-Identifier: Apache-2.0
"""Results as tables that read well in a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .layers import LayerResult, summarise
from .networks import Throughput


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its first column aligned left, the others right.

    Example:
        >>> print(table(["name", "ms"], [["a", "1.5"], ["b", "12"]]))
        | name |  ms |
        |------|-----|
        | a    | 1.5 |
        | b    |  12 |
    """
    widths = [max(len(cells[i]) for cells in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(header), rule, *map(line, rows)])


def milliseconds(seconds: float) -> str:
    """Milliseconds with three significant digits.

    Example:
        >>> milliseconds(0.0123456), milliseconds(0.00001234), milliseconds(1.2345)
        ('12.3', '0.012', '1234')
    """
    value = seconds * 1e3
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if value >= 1 else f"{value:.3f}"


def throughput(results: Iterable[Throughput]) -> str:
    """Networks, milliseconds a call and images a second."""
    rows = [
        [
            result.network,
            result.mode,
            str(result.batch),
            milliseconds(result.timing.median),
            milliseconds(result.timing.minimum),
            f"{result.images_per_second:,.0f}",
        ]
        for result in results
    ]
    return table(["network", "mode", "batch", "median ms", "minimum ms", "images/s"], rows)


def layers(results: Sequence[LayerResult]) -> str:
    """A row a layer and direction, then median and worst of each direction."""
    rows = [
        [
            result.problem.layer,
            result.direction,
            shape_text(result),
            result.algorithm,
            milliseconds(result.timing.minimum),
            f"{result.gflops:.0f}",
            f"{result.percent_of_peak:.0f}",
        ]
        for result in results
    ]
    header = ["layer", "direction", "problem", "algorithm", "minimum ms", "GFLOP/s", "% of peak"]
    lines = [
        f"{summary.direction}: median {summary.median:.0f} % of the FMA peak, "
        f"worst {summary.worst:.0f} % ({summary.worst_layer})"
        for summary in summarise(results)
    ]
    impossible = sum(result.impossible for result in results)
    if impossible:
        lines.append(
            f"WARNING: {impossible} direct convolutions seem to beat the peak: it was measured too low, "
            "and none of these percentages can be trusted"
        )
    return "\n".join([table(header, rows), "", *lines])


def shape_text(result: LayerResult) -> str:
    """A problem in a few characters: channels, kernel, stride, input extents."""
    problem = result.problem
    kernel = "x".join(map(str, problem.kernel))
    extents = "x".join(map(str, problem.input))
    channels = f"{problem.in_channels}>{problem.out_channels}"
    return f"{channels} {kernel}/{problem.stride[0]} @{extents} b{problem.batch}"
