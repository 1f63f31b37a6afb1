# SPDX-License-Identifier: Apache-2.0
"""Figures of one look, and small PNG files of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

BLUE, ORANGE, GREEN, PINK, YELLOW, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
"""Okabe and Ito's colours, which remain distinct to colour-blind eyes."""

STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
}
WIDTH, DOTS, LARGEST = 6.4, 125, 40_000
"""Inches, dots an inch, and bytes that a picture may have."""


def panels(rows: int, columns: int, height: float, **settings: Any) -> tuple[Figure, Any]:
    """Return a figure of the page's width and its axes (rows, columns); `height` is in inches."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), dpi=DOTS, layout="constrained")
        return figure, figure.subplots(rows, columns, squeeze=False, **settings)


def show(axes: Axes, image: Any, title: str = "", **settings: Any) -> None:
    """Show an image, (height, width), (1 or 3, height, width) of 0 to 1, or colours (height, width, 3)."""
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[0] in (1, 3):
        image = image[0] if len(image) == 1 else np.moveaxis(image, 0, 2)
    if image.ndim == 3:
        image = image.clip(0, 255 if image.dtype == np.uint8 else 1)
    settings.setdefault("cmap", "gray")
    axes.imshow(image, interpolation="nearest", **settings)
    axes.set_title(title)
    axes.set_axis_off()


def bars(axes: Axes, names: Sequence[str], values: Sequence[float], title: str = "") -> None:
    """Draw shares as bars from left to right, the last one in the colour of what is shown."""
    colours = ["#b0b0b0"] * (len(values) - 1) + [BLUE]
    places = range(len(values))[::-1]
    axes.barh(places, values, color=colours, height=0.6)
    for place, value in zip(places, values, strict=True):
        axes.text(value + 0.01, place, f"{100 * value:.1f} %", va="center")
    axes.set_yticks(list(places), names)
    axes.set_xlim(0, 1.25)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.set_title(title)


def save(figure: Figure, path: Path) -> int:
    """Write a figure as a PNG file of few colours, as many as its bytes allow; return these."""
    page = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(page, format="png")
    image = Image.open(page).convert("RGB")
    for colours in (256, 128, 64, 32, 16):
        reduced = image.quantize(colours, dither=Image.Dither.NONE)
        reduced.save(path, optimize=True)
        if path.stat().st_size <= LARGEST:
            break
    return path.stat().st_size
