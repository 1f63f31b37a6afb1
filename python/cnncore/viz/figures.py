# SPDX-License-Identifier: Apache-2.0
"""Pictures by matplotlib of what `arrays` computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph.arrays import to_array
from ..nn.arguments import several
from ..nn.module import Module
from ..profiling import Table
from ..train import History
from ..train.metrics import confusion_matrix as count_confusions
from . import arrays
from .arrays.probe import check_layer
from .colours import SERIES, maps_picture, overlaid, picture, scaled, signed, tiled
from .colours import Array as Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL = 2.2
"""Inches of a picture among several."""


def _figure(rows: int, columns: int, width: float = _PANEL, height: float = _PANEL) -> tuple[Figure, Any]:
    """Return a figure that no window holds, and its axes (rows, columns).

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("cnncore.viz needs matplotlib: pip install 'cnncore[viz]'") from error
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _show(axes: Axes, image: Array, title: str = "", **settings: Any) -> Any:
    shown = axes.imshow(image, interpolation="nearest", **settings)
    axes.set_title(title, fontsize=8)
    axes.set_axis_off()
    return shown


def filters(layer: Any) -> Figure:
    """Draw a convolution's filters: in colours where it sees colours, else a column for each channel.

    Args:
        layer: as of `cc.viz.arrays.filters`.

    Returns:
        A matplotlib Figure; blue is negative, white 0, orange positive.

    Raises:
        ImportError: matplotlib is not installed.

    >>> from cnncore import nn
    >>> filters(nn.Conv2d(3, 8, 5)).axes[0].get_title()
    '8 filters'
    """
    found = arrays.filters(layer)
    figure, ((axes,),) = _figure(1, 1, 5, 5)
    _show(axes, filter_picture(found), f"{len(found)} filters")
    return figure


def filter_picture(filters: Array, most: int = 64) -> Array:
    """Return filters, as of `arrays.filters`, as one image (height, width, 3), uint8.

    Args:
        filters: at most `most` are shown, and of grey ones at most 16 channels, a row for each filter.
        most: see above.
    """
    shown = filters[:most]
    largest = float(np.abs(shown).max(initial=0)) or 1.0
    if shown.shape[1] == 3:
        colours = np.moveaxis(scaled(shown, -largest, largest), 1, 3)
        return tiled(np.rint(colours * 255).astype(np.uint8))
    coloured = signed(shown[:, :16], largest)
    columns = coloured.shape[1] if coloured.shape[1] > 1 else None
    return tiled(coloured.reshape(-1, *coloured.shape[2:]), columns, shade=200)


def feature_maps(model: Module, x: Any, layer: str) -> Figure:
    """Draw what a layer answers to the first row of x, at most 64 channels, each on its own scale.

    Args:
        model, x, layer: as of `cc.viz.arrays.feature_maps`.

    Raises:
        ImportError: matplotlib is not installed.

    >>> import numpy as np
    >>> from cnncore import nn
    >>> feature_maps(nn.Sequential(nn.Conv2d(1, 8, 3)), np.ones((1, 1, 8, 8)), "0").axes[0].get_title()
    '0: (8, 6, 6)'
    """
    check_layer(layer)
    maps = arrays.feature_maps(model, x, layer)[0]
    figure, ((axes,),) = _figure(1, 1, 5, 5)
    _show(axes, maps_picture(maps), f"{layer}: {maps.shape}")
    return figure


def _images(x: Any) -> Array:
    """Return inputs (rows, 1 or 3, height, width), each on a scale of 0 to 1."""
    array = to_array(x, "x")
    if array.ndim != 4 or array.shape[1] not in (1, 3):
        raise ValueError(f"expected images (rows, 1 or 3, height, width) to draw, got {array.shape}")
    return np.stack([scaled(image) for image in array])


def _beside(x: Any, maps: Array, title: str, over: bool = False) -> Figure:
    images = _images(x)
    figure, panels = _figure(len(images), 2)
    for (first, second), image, values in zip(panels, images, maps, strict=True):
        _show(first, picture(image), "input", cmap="gray", vmin=0, vmax=255)
        if over:
            _show(second, overlaid(image, values), title)
        elif values.min(initial=0) < 0:
            size = float(np.abs(values).max(initial=0)) or 1.0
            figure.colorbar(_show(second, values, title, cmap="PuOr_r", vmin=-size, vmax=size))
        else:
            figure.colorbar(_show(second, values, title, cmap="viridis"))
    return figure


def grad_cam(model: Module, x: Any, target: Any = None, layer: str | None = None) -> Figure:
    """Draw images and, above them, which places speak for a class by Grad-CAM.

    Args:
        model, x, target, layer: as of `cc.viz.arrays.grad_cam`; x are images (rows, 1 or 3, height, width).

    Raises:
        ValueError: images that are no (rows, 1 or 3, height, width).
        ImportError: matplotlib is not installed.

    >>> import numpy as np
    >>> from cnncore import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    >>> len(grad_cam(net, np.zeros((2, 1, 8, 8)), 3).axes)
    4
    """
    return _beside(x, arrays.grad_cam(model, x, target, layer), "Grad-CAM", over=True)


def grad_cam_plus_plus(model: Module, x: Any, target: Any = None, layer: str | None = None) -> Figure:
    """Draw images and, above them, which places speak for a class by Grad-CAM++.

    Args:
        model, x, target, layer: as of `grad_cam`.

    Raises:
        ValueError: images that are no (rows, 1 or 3, height, width).
        ImportError: matplotlib is not installed.

    >>> import numpy as np
    >>> from cnncore import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    >>> len(grad_cam_plus_plus(net, np.zeros((2, 1, 8, 8)), 3).axes)
    4
    """
    return _beside(x, arrays.grad_cam_plus_plus(model, x, target, layer), "Grad-CAM++", over=True)


def saliency(model: Module, x: Any, target: Any = None) -> Figure:
    """Draw images and the size of a class score's gradient at each pixel.

    Args:
        model, x, target: as of `cc.viz.arrays.saliency`; x are images (rows, 1 or 3, height, width).

    Raises:
        ValueError: images that are no (rows, 1 or 3, height, width).
        ImportError: matplotlib is not installed.

    >>> import numpy as np
    >>> from cnncore import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    >>> saliency(net, np.zeros((1, 1, 8, 8)), 3).axes[1].get_title()
    'saliency'
    """
    return _beside(x, arrays.saliency(model, x, target), "saliency")


def integrated_gradients(
    model: Module, x: Any, target: Any = None, baseline: Any = 0.0, steps: int = 50
) -> Figure:
    """Draw images and what each pixel adds to a class' score: orange speaks for it, purple against it.

    Args:
        model, x, target, baseline, steps: as of `cc.viz.arrays.integrated_gradients`; x are images (rows,
            1 or 3, height, width), whose channels are added up.

    Raises:
        ValueError: images that are no (rows, 1 or 3, height, width).
        ImportError: matplotlib is not installed.

    >>> import numpy as np
    >>> from cnncore import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    >>> integrated_gradients(net, np.ones((1, 1, 8, 8)), 3).axes[1].get_title()
    'integrated gradients'
    """
    parts = arrays.integrated_gradients(model, x, target, baseline, steps)
    return _beside(x, parts.sum(axis=1), "integrated gradients")


def occlusion(
    model: Module, x: Any, target: Any = None, window: Any = 3, stride: Any = 1, value: Any = 0.0
) -> Figure:
    """Draw images and how much a class' score falls where a window is covered.

    Args:
        model, x, target, window, stride, value: as of `cc.viz.arrays.occlusion`; x are images (rows, 1 or 3,
            height, width).

    Raises:
        ValueError: images that are no (rows, 1 or 3, height, width).
        ImportError: matplotlib is not installed.

    >>> import numpy as np
    >>> from cnncore import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    >>> occlusion(net, np.ones((1, 1, 8, 8)), 3).axes[1].get_title()
    'occlusion'
    """
    return _beside(x, arrays.occlusion(model, x, target, window, stride, value), "occlusion")


def activation_maximisation(
    model: Module, input_shape: Sequence[int], targets: Sequence[int], layer: str | None = None, **how: Any
) -> Figure:
    """Draw what classes or channels answer most to, an image for each.

    Args:
        model, input_shape, layer, how: as of `cc.viz.arrays.activation_maximisation`; of each the first row
            is drawn.
        targets: numbers of classes or channels.

    Raises:
        ValueError: images that are no (rows, 1 or 3, height, width).
        ImportError: matplotlib is not installed.

    >>> from cnncore import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    >>> len(activation_maximisation(net, (1, 1, 8, 8), [1, 7], steps=2).axes)
    2
    """
    chosen = several("targets", targets, "classes or channels")
    if not chosen:
        raise ValueError("expected targets of at least one class or channel, got none")
    figure, (panels,) = _figure(1, len(chosen))
    for axes, target in zip(panels, chosen, strict=True):
        made = arrays.activation_maximisation(model, input_shape, target, layer, **how)
        _show(axes, picture(_images(made)[0]), f"{layer or 'class'} {target}", cmap="gray")
    return figure


def _class_names(classes: Any, count: int) -> list[str]:
    """Return so many names, numbers where there are none."""
    names = range(count) if classes is None else several("classes", classes, "names")
    if len(names) != count:
        raise ValueError(f"expected {count} names of classes, got {len(names)}")
    return list(map(str, names))


def confusion_matrix(output: Any, target: Any = None, classes: Sequence[str] | None = None) -> Figure:
    """Draw how often rows of a class (down) were given to another (across).

    Args:
        output: scores (rows, classes) or class numbers (rows,); or, without target, a matrix of counts.
        target: class numbers (rows,).
        classes: their names.

    Raises:
        ValueError: no square matrix of counts, or another number of names.

    >>> confusion_matrix([0, 1, 1], [0, 1, 0], ["cat", "dog"]).axes[0].get_xlabel()
    'answer'
    """
    counts = to_array(output) if target is None else count_confusions(to_array(output), to_array(target))
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"expected a matrix of counts (classes, classes), got shape {counts.shape}")
    names = _class_names(classes, len(counts))
    inches = max(3.5, 0.35 * len(counts) + 1.5)
    figure, ((axes,),) = _figure(1, 1, inches, inches)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(counts) <= 20:
        for row, column in np.argwhere(counts > 0):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(
                column, row, f"{counts[row, column]:g}", ha="center", va="center", color=colour, fontsize=8
            )
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("answer")
    axes.set_ylabel("true class")
    return figure


def history(history: Any, names: Sequence[str] | None = None) -> Figure:
    """Draw the figures of a training over its epochs, each beside that of the validation.

    Args:
        history: what `Trainer.fit` returned, or a dict of lists.
        names: of the figures; by default all numbers but times.

    Raises:
        TypeError: `history` is neither.
        ImportError: matplotlib is not installed.

    >>> len(history({"loss": [2.0, 1.0], "val_loss": [2.5, 1.5]}).axes)
    1
    """
    if not isinstance(history, Mapping):
        raise TypeError(f"expected history as what Trainer.fit returns, or a dict of lists, got {history!r}")
    figure: Figure = (history if isinstance(history, History) else History(history)).plot(names)
    return figure


def roc(output: Any, target: Any, classes: Sequence[str] | None = None) -> Figure:
    """Draw the receiver operating characteristic of each class against the rest.

    Args:
        output, target: as of `cc.viz.arrays.roc`.
        classes: their names.

    Raises:
        ImportError: matplotlib is not installed.

    >>> roc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]).axes[0].get_xlabel()
    'false positive rate'
    """
    curves = arrays.roc(output, target)
    names = _class_names(classes, len(curves))
    figure, ((axes,),) = _figure(1, 1, 4.5, 4)
    for number, (curve, name) in enumerate(zip(curves, names, strict=True)):
        axes.plot(
            curve.false_positive_rate,
            curve.true_positive_rate,
            color=SERIES[number % len(SERIES)],
            linestyle=("-", "--", ":")[number // len(SERIES) % 3],
            label=f"{name}: {curve.auc:.3f}" if len(curves) > 1 else f"area {curve.auc:.3f}",
        )
    axes.plot((0, 1), (0, 1), color="0.7", linewidth=1)
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    axes.legend(fontsize=7)
    return figure


def embedding(
    model: Module, x: Any, labels: Any = None, layer: str | None = None, classes: Sequence[str] | None = None
) -> Figure:
    """Draw where inputs lie in the first two principal components of a layer's features.

    Args:
        model, x, layer: as of `cc.viz.arrays.embedding`.
        labels: class numbers (rows,), which give colours and marks.
        classes: their names.

    Raises:
        ValueError: another number of labels than rows.

    >>> import numpy as np
    >>> from cnncore import nn
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Linear(3, 2))
    >>> embedding(net, np.eye(4).reshape(4, 1, 2, 2), [0, 0, 1, 1]).axes[0].get_title()
    'principal components'
    """
    found = arrays.embedding(model, x, layer)
    numbers = np.zeros(len(found.coordinates), int) if labels is None else to_array(labels)
    if numbers.shape != (len(found.coordinates),):
        raise ValueError(f"expected a label for each of {len(found.coordinates)} rows, got {numbers.shape}")
    names = {label: str(label) for label in np.unique(numbers)}
    if classes is not None:
        known = several("classes", classes, "names")
        if not set(names) <= set(range(len(known))):
            raise ValueError(f"expected a name in classes for each label, got {classes!r} and {list(names)}")
        names = {label: str(known[int(label)]) for label in names}
    figure, ((axes,),) = _figure(1, 1, 5, 4)
    for place, label in enumerate(names):
        axes.scatter(
            *found.coordinates[numbers == label].T,
            s=14,
            color=SERIES[place % len(SERIES)],
            marker="os^Dv"[place // len(SERIES) % 5],
            label=names[label],
        )
    if labels is not None:
        axes.legend(fontsize=7)
    axes.set_title("principal components")
    axes.set_xlabel(f"first, {found.explained[0]:.0%} of the variance")
    axes.set_ylabel(f"second, {found.explained[1]:.0%}")
    return figure


def profile(table: Table) -> Figure:
    """Draw the roofline of a program: each step's speed below the machine's two peaks.

    Args:
        table: what `Predictor.profile(x)` or a training step's `profile` returned.

    Raises:
        ImportError: matplotlib is not installed.

    >>> import numpy as np
    >>> import cnncore as cc
    >>> from cnncore import nn
    >>> predictor = cc.compile(nn.Conv2d(16, 16, 3), (1, 16, 32, 32))
    >>> profile(predictor.profile(np.zeros((1, 16, 32, 32), np.float32))).axes[0].get_ylabel()
    'GFLOP/s'
    """
    found = arrays.roofline(table)
    figure, ((axes,),) = _figure(1, 1, 6, 4)
    looks = {"compute": (SERIES[0], "o"), "memory": (SERIES[1], "s"), "overhead": (SERIES[3], "^")}
    for bound, (colour, marker) in looks.items():
        of_kind = [point for point in found.points if point.bound == bound]
        axes.scatter(
            [point.intensity for point in of_kind],
            [point.gflops for point in of_kind],
            color=colour,
            marker=marker,
            alpha=0.7,
            label=bound,
        )
    ridge = found.peak_gflops / found.peak_gbytes
    work = sorted([*(point.intensity for point in found.points), ridge / 10, ridge * 4])
    axes.plot(work, [min(found.peak_gflops, n * found.peak_gbytes) for n in work], color="0.3")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("FLOP / byte")
    axes.set_ylabel("GFLOP/s")
    axes.legend(fontsize=8)
    return figure
