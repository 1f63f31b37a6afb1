# SPDX-License-Identifier: Apache-2.0
"""Pictures of the examples that find things in images, volumes and videos."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sheet import SKY, YELLOW, panels, show

CLASSES = np.array([[0, 0, 0], [0, 114, 178], [230, 159, 0], [0, 158, 115], [204, 121, 167]], np.uint8)
"""A colour for each class, the first for nothing."""


def _box(axes: Axes, corners: Any, colour: str, words: str = "") -> None:
    left, top, right, bottom = corners
    place = (left - 0.5, top - 0.5)
    axes.add_patch(Rectangle(place, right - left, bottom - top, fill=False, edgecolor=colour, linewidth=1.3))
    if words:
        ground = {"facecolor": "black", "alpha": 0.6, "pad": 0.8, "linewidth": 0}
        top = max(top, 8)
        axes.text(left, top, words, color=colour, fontsize=6.5, va="bottom", bbox=ground, clip_on=True)


def unet_cells(example: Any, found: Any) -> Figure:
    figure, axes = panels(2, 3, 4.4)
    for line, row in zip(axes, (0, 1), strict=True):
        show(line[0], found.x[row], "picture" if row == 0 else "")
        show(line[1], CLASSES[found.y[row]], f"{found.cells[row]} cells drawn")
        show(line[2], CLASSES[found.found[row].argmax(0)], f"{found.counted[row]} cells found")
    return figure


def detector(example: Any, found: Any) -> Figure:
    figure, axes = panels(1, 3, 2.2)
    names = (("circle", SKY), ("square", YELLOW), ("triangle", "white"))
    results = example.detect(found.model, found.x[:12])
    crowded = np.argsort([-len(target["labels"]) for target in found.targets[:12]], kind="stable")[1:]
    for axis, row in zip(axes[0], crowded, strict=False):
        show(axis, found.x[row])
        columns = (results[row][key] for key in ("boxes", "scores", "labels"))
        for box, score, label in zip(*columns, strict=True):
            if score > 0.3:
                name, colour = names[label]
                _box(axis, box, colour, f"{name} {score:.1f}")
    return figure


def tracking(example: Any, found: Any) -> Figure:
    figure, axes = panels(2, 4, 3.3)
    rng = np.random.default_rng(7)
    texture = example.textures(1, rng)[0]
    show(axes[0, 0], texture, "object")
    axes[1, 0].set_axis_off()
    for place in range(3):
        size = (26, 34, 42)[place]
        region = example.frame(texture, rng.uniform(26, 70, 2), size, rng)
        where, sizes = (maps[0] for maps in found.model(texture[None], region[None]))
        row, column = np.unravel_index(where.argmax(), where.shape)
        centre = (np.array([column, row]) + 0.5) * example.STRIDE
        box = example.box(centre, example.OBJECT * float(np.exp(sizes[row, column])))[0]
        show(axes[0, place + 1], region, "found")
        _box(axes[0, place + 1], box, "white")
        show(axes[1, place + 1], 1 / (1 + np.exp(-where)), "where it is", cmap="viridis")
    return figure


def volume_segmentation(example: Any, found: Any) -> Figure:
    figure, axes = panels(3, 6, 3.6)
    answers = found.model.eval().predict(found.x[:1], batch_size=1)[0].argmax(0)
    for place, depth in enumerate(range(6, 30, 4)):
        show(axes[0, place], found.x[0, 0, depth], f"slice {depth}", vmin=0, vmax=1)
        show(axes[1, place], CLASSES[found.y[0, depth]])
        show(axes[2, place], CLASSES[answers[depth]])
    for line, name in zip(axes, ("scan", "drawn", "found"), strict=True):
        line[0].text(-2, 16, name, rotation=90, ha="right", va="center")
    return figure


def video_classification(example: Any, found: Any) -> Figure:
    figure, axes = panels(3, 6, 3.4, width_ratios=(1, 1, 1, 1, 1, 0.05))
    clips, motions = example.draw(40, np.random.default_rng(1))
    for line, motion in zip(axes, (0, 3, 4), strict=True):
        clip = clips[np.flatnonzero(motions == motion)[0], 0]
        for place, time in enumerate((0, 2, 4, 5, 7)):
            show(line[place], clip[time], f"frame {time + 1}" if motion == 0 else "", vmin=-0.3, vmax=1.2)
        line[5].set_axis_off()
        line[0].text(-2, 16, example.MOTIONS[motion], rotation=90, ha="right", va="center")
    return figure


def satellite_tiles(example: Any, found: Any) -> Figure:
    figure, axes = panels(1, 3, 2.4)
    size, step = found.size // 2, found.size // 256
    infrared = found.bands[0, [3, 2, 1], :size:step, :size:step]  # as usual: vegetation is red
    low, high = np.percentile(infrared, (2, 98))
    show(axes[0, 0], (infrared - low) / (high - low), "near infrared, red, green")
    colours = CLASSES[[1, 3, 2, 4]]
    for axis, classes, title in (
        (axes[0, 1], found.by_pixel, "nearest spectrum"),
        (axes[0, 2], found.found[0].argmax(0), "network, by tiles"),
    ):
        show(axis, colours[classes[:size:step, :size:step]], title)
    for place in range(found.tile, size, found.tile):
        axes[0, 2].axhline(place / step, color="white", linewidth=0.6)
        axes[0, 2].axvline(place / step, color="white", linewidth=0.6)
    return figure


def semantic_segmentation(example: Any, found: Any) -> Figure:
    figure, axes = panels(3, 4, 3.4)
    answers = found.found.argmax(1)
    for place, column in enumerate(axes.T):
        show(column[0], found.x_test[place])
        show(column[1], example.PALETTE[found.y_test[place]])
        show(column[2], example.PALETTE[answers[place]])
    for line, name in zip(axes, ("picture", "drawn", "found"), strict=True):
        line[0].text(-4, 32, name, rotation=90, ha="right", va="center")
    return figure


def faster_rcnn(example: Any, found: Any) -> Figure:
    figure, axes = panels(1, 4, 1.8)
    for axis, image in zip(axes[0], found.shown, strict=False):
        show(axis, image)
    return figure
