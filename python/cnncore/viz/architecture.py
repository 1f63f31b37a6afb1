# SPDX-License-Identifier: Apache-2.0
"""Networks as pictures: a box for each layer, a line for each way of the data."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from ..nn.module import Module
from .arrays import Layer, Network, network
from .svg import Svg, picture

_WIDTH, _HEIGHT, _ROW, _COLUMN = 224, 36, 54, 240

_FILLS = (
    (("Conv", "conv"), "#cfe3f2"),
    (("Linear", "matmul"), "#fbe0c8"),
    (("Norm", "norm"), "#e3e3e3"),
    (("Pool", "pool"), "#d3ecdf"),
    (("add", "concat", "mul"), "#f3dcea"),
)
"""Beginnings or parts of kinds, and the colours of their boxes; dark text is readable on all of them."""


def architecture(model: Module, input_shape: Sequence[int], input_dtype: str = "float32") -> Svg:
    """Return a picture of a model's layers and the ways of the data between them.

    Args:
        model: a Module of one input.
        input_shape: its shape, batch included.
        input_dtype: "float32", or "int64" and the like for numbers of words.

    Returns:
        The text of an SVG picture, which notebooks show; `save(path)` writes it to a file.

    Raises:
        TypeError: `model` is no Module.

    >>> from cnncore import nn
    >>> svg = architecture(nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU()), (1, 1, 8, 8))
    >>> svg[:4], "Conv2d" in svg
    ('<svg', True)
    """
    return drawn(network(model, input_shape, input_dtype), type(model).__name__)


def drawn(net: Network, title: str) -> Svg:
    """Return the picture of a network."""
    places = _places(net)
    columns = 1 + max(column for column, _ in places)
    rows = 1 + max(row for _, row in places)
    bend = 26 * (1 + max((_detour(net, places, edge) for edge in net.edges), default=0))
    parts = [
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0,0L8,4L0,8z" fill="currentColor"/></marker></defs>'
    ]
    parts += [_edge(net, places, edge) for edge in net.edges]
    parts += [_box(layer, place) for layer, place in zip(net.layers, places, strict=True)]
    width = columns * _COLUMN + bend + 8
    return Svg(picture(width, rows * _ROW + 8, f"{title}: {len(net.layers) - 1} layers", parts))


def _places(net: Network) -> list[tuple[int, int]]:
    """Return column and row of each layer: below all that it reads, beside others of that row."""
    before: dict[int, list[int]] = {}
    for source, number in net.edges:
        before.setdefault(number, []).append(source)
    rows: list[int] = []
    for number in range(len(net.layers)):
        rows.append(1 + max((rows[source] for source in before.get(number, ())), default=-1))
    taken: dict[int, int] = {}
    places = []
    for row in rows:
        places.append((taken.get(row, 0), row))
        taken[row] = taken.get(row, 0) + 1
    return places


def _detour(net: Network, places: list[tuple[int, int]], edge: tuple[int, int]) -> int:
    """Return how far to the side a line has to go: 0 where it leads from a row to the next."""
    (_, start), (_, end) = places[edge[0]], places[edge[1]]
    return 0 if end - start <= 1 else 1 + min(2, (end - start) // 8)


def _edge(net: Network, places: list[tuple[int, int]], edge: tuple[int, int]) -> str:
    (column, row), (to_column, to_row) = places[edge[0]], places[edge[1]]
    x0, y0 = 4.0 + column * _COLUMN + _WIDTH / 2, 4.0 + row * _ROW + _HEIGHT
    x1, y1 = 4.0 + to_column * _COLUMN + _WIDTH / 2, 4.0 + to_row * _ROW
    aside = _detour(net, places, edge)
    if not aside:
        way = f"M{x0:g},{y0}V{y0 + 6}L{x1:g},{y1 - 8}V{y1 - 1}"
    else:
        side = max(column, to_column) * _COLUMN + _WIDTH + 4 + 26 * aside
        x0, y0 = 4 + column * _COLUMN + _WIDTH, y0 - _HEIGHT / 2
        x1, y1 = 4 + to_column * _COLUMN + _WIDTH, y1 + _HEIGHT / 2
        way = f"M{x0:g},{y0:g}C{side:g},{y0:g} {side:g},{y1:g} {x1 + 1:g},{y1:g}"
    return f'<path d="{way}" fill="none" stroke="currentColor" stroke-opacity="0.6" marker-end="url(#tip)"/>'


def _box(layer: Layer, place: tuple[int, int]) -> str:
    x, y = 4 + place[0] * _COLUMN, 4 + place[1] * _ROW
    fill = next((colour for marks, colour in _FILLS if any(m in layer.kind for m in marks)), "#f6f6f6")
    shape = " x ".join(map(str, layer.shape))
    numbers = f"{shape}, {layer.parameters:,} parameters" if layer.parameters else shape
    texts: tuple[tuple[Any, ...], ...] = (
        (_short(f"{layer.name}  {layer.kind}"), 15, 600),
        (numbers, 29, 400),
    )
    if layer.name.rpartition(".")[2].partition("#")[0] == layer.kind:
        texts = ((_short(layer.name), 15, 600), texts[1])
    return (
        f'<g><title>{escape(layer.name)}</title><rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'rx="4" fill="{fill}" stroke="#555"/>'
        + "".join(
            f'<text x="{x + _WIDTH / 2:g}" y="{y + down}" text-anchor="middle" font-size="11" '
            f'font-weight="{weight}" fill="#111">{escape(text)}</text>'
            for text, down, weight in texts
        )
        + "</g>"
    )


def _short(text: str, most: int = 31) -> str:
    """Return a text that fits a box: of a longer one the end, which tells layers apart."""
    return text if len(text) <= most else "…" + text[1 - most :]
