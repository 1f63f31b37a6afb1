# SPDX-License-Identifier: Apache-2.0
"""Charts are well-formed and say what they show."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cnncore.viz import svg
from cnncore.viz.arrays import Point, Roofline

SPACE = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(picture).iter(f"{SPACE}text")]


def test_lines_lie_where_the_numbers_are() -> None:
    drawing = svg.Drawing(154 - 54 + 54, 174, (0.0, 10.0), (0.0, 100.0))
    assert drawing.place(0.0, 0.0) == (54.0, 134.0)
    assert drawing.place(10.0, 100.0) == (140.0, 34.0)
    assert drawing.place(5.0, 50.0) == (97.0, 84.0)
    log = svg.Drawing(154, 174, (1.0, 100.0), (1.0, 100.0), log=True)
    assert log.place(10.0, 10.0) == drawing.place(5.0, 50.0)


def test_names_are_escaped() -> None:
    picture = svg.lines({"<b>&\"'": [(1, 2.0), (2, 1.0)]}, "</svg><script>", "x")
    assert "<script>" not in picture
    assert "<b>&\"'" in texts(picture)


def test_gaps_and_single_points() -> None:
    picture = svg.lines({"a": [(1, 1.0), (2, math.nan), (3, 3.0)], "b": [(1, 2.0)]}, "t", "x")
    path = next(
        p for p in ElementTree.fromstring(picture).iter(f"{SPACE}path") if p.get("stroke-width") == "2"
    )
    assert path.get("d", "").count("M") == 2
    assert "nan" not in picture
    assert svg.lines({"a": []}, "t", "x").startswith("<svg")


def test_ticks_are_round_and_inside() -> None:
    assert svg._ticks((0.0, 10.0), False) == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    assert svg._ticks((1.0, 3.0), False, whole=True) == [1.0, 2.0, 3.0]
    assert svg._ticks((0.5, 2000.0), True) == [1.0, 10.0, 100.0, 1000.0]
    for ends in ((0.013, 0.017), (-5.0, 1e6), (3.0, 3.0)):
        ticks = svg._ticks(ends, False)
        assert 1 <= len(ticks) <= 8
        assert all(ends[0] - 1e-9 <= tick <= ends[1] + 1e-9 for tick in ticks)


@pytest.mark.parametrize("peak", [100.0, 0.0])
def test_rooflines(peak: float) -> None:
    points = tuple(
        Point("a<b", "conv", "x", 2.0, 10.0, 1.0, bound) for bound in ("compute", "memory", "overhead")
    )
    root = ElementTree.fromstring(svg.roofline(Roofline(peak, 20.0 if peak else 0.0, points)))
    titles = [element.text for element in root.iter(f"{SPACE}title")]
    assert sum(text is not None and "a<b" in text for text in titles) == 3
    assert ElementTree.fromstring(svg.roofline(Roofline(peak, peak, ()))) is not None


def test_pictures_are_shown_by_notebooks_and_saved(tmp_path: Path) -> None:
    text = svg.Svg("<svg/>")
    text.save(tmp_path / "p.svg")
    assert (tmp_path / "p.svg").read_text() == text._repr_svg_() == "<svg/>"
