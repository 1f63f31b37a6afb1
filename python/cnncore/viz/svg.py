# SPDX-License-Identifier: Apache-2.0
"""Charts as SVG text, which needs no other package."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from .arrays import Roofline
from .colours import SERIES

_MARGIN = (54.0, 34.0, 14.0, 40.0)
"""Left, top, right, bottom: of titles and labels, in pixels."""

_BOUNDS = {"compute": SERIES[0], "memory": SERIES[1], "overhead": SERIES[3]}

_MARKS = {
    "compute": "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0",
    "memory": "M-4.5,-4.5h9v9h-9z",
    "overhead": "M0,-5.5l5.5,10h-11z",
}


class Drawing:
    """A plot under construction: a frame with scales, to which marks are added.

    Args:
        width, height: in pixels.
        x, y: the ends of the axes.
        log: whether both are logarithmic.
    """

    def __init__(
        self,
        width: float,
        height: float,
        x: tuple[float, float],
        y: tuple[float, float],
        log: bool = False,
    ) -> None:
        self.width, self.height, self.log = width, height, log
        self.x, self.y = x, y
        self.parts: list[str] = []

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point lies, in pixels."""
        left, top, right, bottom = _MARGIN
        across = self._share(x, self.x) * (self.width - left - right) + left
        down = (1 - self._share(y, self.y)) * (self.height - top - bottom) + top
        return round(across, 1), round(down, 1)

    def _share(self, value: float, ends: tuple[float, float]) -> float:
        if self.log:
            value, ends = math.log10(value), (math.log10(ends[0]), math.log10(ends[1]))
        return (value - ends[0]) / ((ends[1] - ends[0]) or 1.0)

    def path(self, points: Sequence[tuple[float, float]], colour: str, dashed: bool = False) -> None:
        """Add a line through points; those that are not finite leave a gap."""
        steps, pen = [], "M"
        for x, y in points:
            if not (math.isfinite(x) and math.isfinite(y)):
                pen = "M"
                continue
            across, down = self.place(x, y)
            steps.append(f"{pen}{across},{down}")
            pen = "L"
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(
            f'<path d="{"".join(steps)}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
        )

    def mark(self, x: float, y: float, shape: str, colour: str, text: str) -> None:
        """Add a mark that tells its text when it is pointed at."""
        across, down = self.place(x, y)
        self.parts.append(
            f'<path d="{shape}" transform="translate({across} {down})" fill="{colour}" fill-opacity="0.75" '
            f'stroke="currentColor" stroke-width="0.5"><title>{escape(text)}</title></path>'
        )

    def text(self, across: float, down: float, text: str, anchor: str = "start", colour: str = "") -> None:
        """Add a text at a place in pixels."""
        fill = colour or "currentColor"
        self.parts.append(
            f'<text x="{across:.1f}" y="{down:.1f}" text-anchor="{anchor}" fill="{fill}">'
            f"{escape(text)}</text>"
        )

    def svg(self, title: str, x_label: str, y_label: str, whole: bool = False) -> str:
        """Return the text of the picture with its axes."""
        left, top, right, bottom = _MARGIN
        x0, y0, x1, y1 = left, self.height - bottom, self.width - right, top
        axes = Drawing(self.width, self.height, self.x, self.y, self.log)
        for value in _ticks(self.x, self.log, whole):
            across, _ = self.place(value, self.y[0])
            axes.text(across, y0 + 16, _number(value), "middle")
            axes.parts.append(f'<path d="M{across},{y0}v4" stroke="currentColor"/>')
        for value in _ticks(self.y, self.log):
            _, down = self.place(self.x[0], value)
            axes.text(x0 - 7, down + 4, _number(value), "end")
            axes.parts.append(f'<path d="M{x0},{down}H{x1}" stroke="currentColor" stroke-opacity="0.15"/>')
        axes.text((x0 + x1) / 2, self.height - 6, x_label, "middle")
        axes.text(4, 16, f"{title}" + (f" ({y_label})" if y_label else ""))
        frame = f'<path d="M{x0},{y1}V{y0}H{x1}" fill="none" stroke="currentColor"/>'
        return picture(self.width, self.height, title, [*axes.parts, frame, *self.parts])


def picture(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    """Return an SVG picture of parts, with a title that is read aloud."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-label="{escape(title)}" font-family="sans-serif" '
        f'font-size="12">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _number(value: float) -> str:
    return f"{value:.6g}"


def _ticks(ends: tuple[float, float], log: bool, whole: bool = False) -> list[float]:
    low, high = ends
    if log:
        powers = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
        return [10.0**number for number in powers][:: 1 + len(powers) // 7]
    if not high > low:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = power * next((factor for factor in (1, 2, 5) if (high - low) / (factor * power) <= 6), 10)
    if whole:
        step = max(1.0, float(round(step)))
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]],
    title: str,
    x_label: str,
    y_label: str = "",
    *,
    ends: tuple[tuple[float, float], tuple[float, float]] | None = None,
    whole: bool = False,
    size: tuple[float, float] = (380, 260),
) -> str:
    """Return lines through points (x, y), each with its name.

    Args:
        series: points by the line's name.
        title, x_label, y_label: texts.
        ends: of the axes ((left, right), (bottom, top)); None fits them to the points.
        whole: whether x are whole numbers.
        size: (width, height) in pixels.
    """
    points = [(x, y) for line in series.values() for x, y in line if math.isfinite(x) and math.isfinite(y)]
    if ends is None:
        ends = _ends([x for x, _ in points]), _ends([y for _, y in points], 0.05)
    drawing = Drawing(*size, *ends)
    for number, (name, line) in enumerate(series.items()):
        colour = SERIES[number % len(SERIES)]
        drawing.path(line, colour, dashed=number % 2 == 1)
        if len(line) == 1 and all(map(math.isfinite, line[0])):
            drawing.mark(*line[0], _MARKS["compute"], colour, name)
        drawing.text(size[0] - 14 - 90 * (len(series) - number), 30, name, "start", colour)
    return drawing.svg(title, x_label, y_label, whole)


def _ends(values: Sequence[float], room: float = 0.0) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    if high == low:
        return low - 0.5, high + 0.5
    return low - room * (high - low), high + room * (high - low)


def roofline(roof: Roofline, size: tuple[float, float] = (640, 380)) -> str:
    """Return a roofline: the machine's two peaks, and the steps below them.

    Marks show what binds a step: a circle for arithmetic, a square for memory, a triangle for overhead.
    """
    ridge = roof.peak_gflops / roof.peak_gbytes if roof.peak_gbytes else 1.0
    work = [point.intensity for point in roof.points] + [ridge]
    speed = [point.gflops for point in roof.points] + [roof.peak_gflops or 1.0]
    x = min(work) / 2, max(work) * 4
    y = min(min(speed) / 2, roof.peak_gflops / 20 or 1.0), max(speed) * 2
    drawing = Drawing(*size, x, y, log=True)
    if roof.peak_gflops and roof.peak_gbytes:
        start = max(x[0], y[0] / roof.peak_gbytes)
        roofs = [(start, start * roof.peak_gbytes), (ridge, roof.peak_gflops), (x[1], roof.peak_gflops)]
        drawing.path(roofs, "currentColor")
        across, down = drawing.place(x[1], roof.peak_gflops)
        peaks = f"{roof.peak_gflops:.0f} GFLOP/s, {roof.peak_gbytes:.0f} GB/s"
        drawing.text(across, down - 6, peaks, "end")
    for point in roof.points:
        name = f"{point.layer} {point.step} {point.algorithm}: {point.gflops:.3g} GFLOP/s, {point.ms:.3g} ms"
        drawing.mark(point.intensity, point.gflops, _MARKS[point.bound], _BOUNDS[point.bound], name)
    for number, (bound, colour) in enumerate(_BOUNDS.items()):
        across, down = size[0] - 110.0, size[1] - 92.0 + 18 * number
        drawing.parts.append(
            f'<path d="{_MARKS[bound]}" transform="translate({across:g} {down:g})" fill="{colour}"/>'
        )
        drawing.text(across + 12, down + 4, bound)
    return drawing.svg("Roofline", "FLOP / byte", "GFLOP/s")


class Svg(str):
    """The text of an SVG picture, which notebooks show."""

    __slots__ = ()

    def _repr_svg_(self) -> Any:
        return str(self)

    def save(self, path: Any) -> None:
        """Write the picture to a file."""
        from ..io.atomic import atomic_write

        with atomic_write(path) as file:
            file.write(self.encode("utf-8"))
