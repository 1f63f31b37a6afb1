# SPDX-License-Identifier: Apache-2.0
"""A page about a model: what it is, what it costs, how well it does, what it sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ..predictor import Predictor
from ..predictor import compile as compile_predictor
from ..train.metrics import confusion_matrix, f1, precision, recall
from ..viz import arrays, svg
from ..viz.architecture import drawn
from ..viz.colours import Array, maps_picture, overlaid, picture
from ..viz.figures import filter_picture
from .html import chart, figure, folded, image, page, paragraph, section, table, text
from .opened import Opened, as_probabilities

_MISTAKES = 12
_EXAMPLES = 10
_MATRIX_CLASSES = 40
"""With more classes the matrix is left to its largest mistakes."""


class Labelled(NamedTuple):
    """Images that a model is judged by.

    Fields:
        name: of the data.
        x: as the network takes them, (rows, channels, height, width).
        y: class numbers (rows,).
    """

    name: str
    x: Array
    y: Array


class Result(NamedTuple):
    """What `report` returns: the page, and figures of it."""

    page: str
    figures: dict[str, float]


def report(
    opened: Opened, labelled: Labelled | None = None, history: Mapping[str, list[float]] | None = None
) -> Result:
    """Return a page about a model that needs nothing from outside.

    Args:
        opened: the model.
        labelled: images with classes; None leaves out what is about them.
        history: figures of the training by name; None are those of the model's file.

    Raises:
        ValueError: the model cannot be compiled, or the images' classes are not its.
    """
    shape = (opened.batch if opened.fixed else 1, *opened.image)
    predictor = compile_predictor(opened.model, shape)
    layers = arrays.layers(opened.model, shape)
    figures: dict[str, float] = {
        "parameters": sum(parameter.size for parameter in opened.model.parameters()),
        "flops": sum(layer.flops for layer in layers),
        "memory_bytes": predictor.memory.total,
    }
    parts = [
        _network(opened, layers, shape),
        _memory(predictor),
        _speed(predictor, shape),
        _curves(opened.history if history is None else history),
    ]
    if labelled is not None:
        parts += _results(opened, labelled, figures)
    parts.append(_weights(opened, layers))
    found = [part for part in parts if part is not None]
    title = f"{opened.name}: {type(opened.model).__name__}"
    content = _facts(opened, figures, labelled) + "".join(section(*part) for part in found)
    return Result(page(title, [(name, words) for name, words, *_ in found], content), figures)


Part = tuple[str, str, str]
"""Identifier, title and content of a section."""


def _facts(opened: Opened, figures: dict[str, float], labelled: Labelled | None) -> str:
    facts = {
        "Input": " x ".join(map(str, opened.image)),
        "Parameters": f"{figures['parameters']:,}",
        "FLOPs an image": _short(figures["flops"] / (opened.batch if opened.fixed else 1)),
        "Memory to run": _bytes(figures["memory_bytes"]),
    }
    if opened.classes:
        facts["Classes"] = str(len(opened.classes))
    if "accuracy" in figures and labelled is not None:
        facts[f"Accuracy on {labelled.name}"] = f"{figures['accuracy']:.2%}"
    rows = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in facts.items())
    return f'<dl class="facts">{rows}</dl>'


def _short(number: float) -> str:
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g} {unit}"
    return f"{number:.3g}"


def _bytes(count: float) -> str:
    for limit, unit in ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB")):
        if count >= limit:
            return f"{count / limit:.3g} {unit}"
    return f"{count:.0f} B"


def _network(opened: Opened, layers: Sequence[arrays.Layer], shape: tuple[int, ...]) -> Part:
    rows = [
        (layer.name, layer.kind, " x ".join(map(str, layer.shape)), layer.parameters, layer.flops)
        for layer in layers
    ]
    header = ("layer", "kind", "output", "parameters", "FLOPs")
    drawing = drawn(arrays.network(opened.model, shape), type(opened.model).__name__)
    return (
        "network",
        "Network",
        table(header, rows, f"{len(rows)} layers in the order they run in")
        + folded("Picture of the network", f'<div class="wide" tabindex="0">{drawing}</div>'),
    )


def _memory(predictor: Predictor) -> Part:
    memory = predictor.memory
    rows = [
        ("weights, packed and folded", memory.weights),
        ("values between layers", memory.activations),
        ("workspace of the layers", memory.workspace),
        ("total", memory.total),
        ("parameters shared with the model", memory.shared),
    ]
    return (
        "memory",
        "Memory plan",
        table(
            ("what", "bytes"), rows, f"For an input of {predictor.input_shape}, known before anything runs"
        ),
    )


def _speed(predictor: Predictor, shape: tuple[int, ...]) -> Part:
    measured = predictor.profile(np.zeros(shape, np.float32))
    assert measured.total is not None
    columns = {"ms": "ms", "percent_of_time": "% of time", "gflops": "GFLOP/s", "gbytes": "GB/s"}
    rows = [
        (row["layer"], row["step"], row["algorithm"], *(float(row[name]) for name in columns), row["bound"])
        for row in [*measured, {**measured.total, "bound": ""}]
    ]
    refused = [
        (row["layer"] or row["step"], row["algorithm"], row["refused"])
        for row in predictor.explain()
        if row["refused"]
    ]
    return (
        "speed",
        "Speed and roofline",
        chart(
            svg.roofline(arrays.roofline(measured)),
            "Each mark is a step: its speed by the operations it does for each byte. The line is what this "
            "machine can do; Winograd's speeds are counted as direct convolution and may lie above it, so "
            "may steps whose data are in the caches.",
        )
        + table(
            ("layer", "step", "algorithm", *columns.values(), "bound by"),
            rows,
            f"Steps of one run, {measured.total['ms']:.3g} ms. {measured.notes[0]}",
        )
        + folded(
            "Why these algorithms", table(("layer", "algorithm", "others were refused"), refused, "Choices")
        ),
    )


def _curves(history: Mapping[str, list[float]]) -> Part | None:
    names = [name for name in history if not name.startswith("val_") and history[name]]
    names = [name for name in names if name not in ("epoch", "seconds", "images_per_second")]
    if not names:
        return None
    charts = []
    for name in names:
        series = {
            label: list(enumerate(history[label], 1)) for label in (name, f"val_{name}") if label in history
        }
        charts.append(chart(svg.lines(series, name, "epoch", whole=True), f"{name} over the epochs"))
    return "training", "Training", f'<div class="tiles charts">{"".join(charts)}</div>'


def _results(opened: Opened, labelled: Labelled, figures: dict[str, float]) -> Iterator[Part]:
    """Yield what is about labelled images."""
    if not opened.classes:
        words = "The model's output is not one score for each class: its answers are not counted here."
        yield "results", "Results", paragraph(words)
        return
    outputs = opened.outputs(labelled.x)
    odds = as_probabilities(outputs)
    answers = odds.argmax(axis=1)
    figures["accuracy"] = float((answers == labelled.y).mean())
    matrix = confusion_matrix(odds, labelled.y)
    yield (
        "results",
        f"Results on {labelled.name}",
        paragraph(
            f"{int((answers == labelled.y).sum()):,} of {len(answers):,} images are right: "
            f"{figures['accuracy']:.2%}."
        )
        + _matrix(matrix, opened.classes)
        + _class_table(odds, labelled.y, opened.classes),
    )
    yield "mistakes", "Worst mistakes", _mistakes(opened, labelled, odds)
    yield "cam", "Where classes are seen", _examples(opened, labelled, odds)


def _class_table(odds: Array, y: Array, classes: Sequence[str]) -> str:
    areas = [curve.auc for curve in arrays.roc(odds, y)]
    parts = [function(odds, y, average=None) for function in (precision, recall, f1)]
    counts = np.bincount(y, minlength=len(classes))
    rows = [
        (name, int(counts[number]), *(f"{part[number]:.2%}" for part in parts), float(areas[number]))
        for number, name in enumerate(classes)
    ]
    return table(
        ("class", "images", "precision", "recall", "F1", "area under ROC"), rows, "Figures of the classes"
    )


def _matrix(matrix: Array, classes: Sequence[str]) -> str:
    if len(classes) > _MATRIX_CLASSES:
        wrong = matrix * (1 - np.eye(len(matrix), dtype=np.int64))
        order = np.argsort(-wrong, axis=None, kind="stable")[:20]
        pairs = [(int(place) // len(matrix), int(place) % len(matrix)) for place in order]
        rows = [
            (classes[true], classes[said], int(wrong[true, said]))
            for true, said in pairs
            if wrong[true, said]
        ]
        return table(("true class", "answer", "times"), rows, "Commonest mistakes")
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    lines = []
    for number, name in enumerate(classes):
        cells = []
        for other, share in enumerate(shares[number]):
            shade = 255 - np.array([150, 80, 30]) * share
            colour = ",".join(f"{level:.0f}" for level in shade)
            right = ' class="right"' if other == number else ""
            cells.append(
                f'<td{right} style="background:rgb({colour})">{int(matrix[number, other]) or ""}</td>'
            )
        lines.append(f'<tr><th scope="row">{text(name)}</th>{"".join(cells)}</tr>')
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in classes)
    return (
        '<div class="wide" tabindex="0"><table class="matrix"><caption>Confusion matrix: true class (down) '
        f"by answer (across)</caption><thead><tr><td></td>{head}</tr></thead><tbody>{''.join(lines)}"
        "</tbody></table></div>"
    )


def _cams(opened: Opened, x: Array, targets: Array) -> Array | None:
    """Return Grad-CAM of rows; None for models without maps, or of which no gradient is known."""
    rows = []
    try:
        for row, target in zip(x, targets, strict=True):
            given = np.repeat(row[None], opened.batch if opened.fixed else 1, axis=0)
            rows.append(arrays.grad_cam(opened.model, given, int(target))[0])
    except (ValueError, NotImplementedError):
        return None
    return np.stack(rows)


def _tile(opened: Opened, x: Array, heat: Array | None, words: str) -> str:
    shown = opened.shown(x)
    pictures = image(picture(shown), words, 112)
    if heat is not None:
        pictures += image(overlaid(shown, heat), f"Grad-CAM of {words}", 112)
    return figure(pictures, words)


def _mistakes(opened: Opened, labelled: Labelled, odds: Array) -> str:
    answers = odds.argmax(axis=1)
    sure = np.where(answers != labelled.y, odds.max(axis=1), -1.0)
    worst = [int(number) for number in np.argsort(-sure, kind="stable")[:_MISTAKES] if sure[number] >= 0]
    if not worst:
        return paragraph("There is none.")
    x = labelled.x[worst]
    heat = _cams(opened, x, answers[worst])
    tiles = []
    for place, number in enumerate(worst):
        said, true = opened.classes[answers[number]], opened.classes[labelled.y[number]]
        own = odds[number, labelled.y[number]]
        words = f"image {number}: {true}, taken for {said} ({odds[number].max():.1%}; {true} {own:.1%})"
        tiles.append(_tile(opened, x[place], None if heat is None else heat[place], words))
    note = "The surest wrong answers, and where Grad-CAM sees the class that was answered."
    return paragraph(note) + f'<div class="tiles">{"".join(tiles)}</div>'


def _examples(opened: Opened, labelled: Labelled, odds: Array) -> str:
    answers = odds.argmax(axis=1)
    chosen = []
    for label in range(min(len(opened.classes), _EXAMPLES)):
        right = np.flatnonzero((answers == labelled.y) & (labelled.y == label))
        chosen += [int(right[odds[right, label].argmax()])] if len(right) else []
    if not chosen:
        return paragraph("No image was given its class.")
    heat = _cams(opened, labelled.x[chosen], answers[chosen])
    tiles = [
        _tile(
            opened,
            labelled.x[number],
            None if heat is None else heat[place],
            f"{opened.classes[answers[number]]} ({odds[number].max():.1%})",
        )
        for place, number in enumerate(chosen)
    ]
    note = "The surest right answer of each class, and the places that speak for it by Grad-CAM."
    maps = _maps(opened, labelled.x[chosen[0]])
    return paragraph(note) + f'<div class="tiles">{"".join(tiles)}</div>' + maps


def _maps(opened: Opened, x: Array) -> str:
    """Return what some layers answer to an image."""
    rows = opened.batch if opened.fixed else 1
    layers = [layer.name for layer in arrays.layers(opened.model, (rows, *x.shape)) if len(layer.shape) == 4]
    if not layers:
        return ""
    chosen = [layers[place] for place in sorted({*np.linspace(0, len(layers) - 1, 6).astype(int).tolist()})]
    found = arrays.feature_maps(opened.model, np.repeat(x[None], rows, axis=0), chosen)
    tiles = "".join(
        figure(
            image(maps_picture(maps[0], 16), f"feature maps of {name}", 224), f"{name}: {maps.shape[1]} maps"
        )
        for name, maps in found.items()
    )
    return folded("Feature maps of the first of them", f'<div class="tiles">{tiles}</div>')


def _weights(opened: Opened, layers: Sequence[arrays.Layer]) -> Part | None:
    modules = dict(opened.model.named_modules(remove_duplicate=False))
    shown = []
    for layer in layers:
        weight = getattr(modules.get(layer.name), "weight", None)
        if weight is not None and len(weight.shape) == 4 and min(weight.shape[2:]) > 1:
            most = 64 if weight.shape[1] in (1, 3) else 12
            pixels = filter_picture(arrays.filters(weight), most)
            words = f"{layer.name}: {weight.shape[0]} filters of {weight.shape[2]} x {weight.shape[3]}"
            if most < weight.shape[0]:
                words += f", of which {most}; a row for each, a column for each of the first channels"
            shown.append(figure(image(pixels, words, min(560, 8 * pixels.shape[1])), words))
        if len(shown) == 2:
            break
    if not shown:
        return None
    note = (
        "Blue weights are negative, white ones 0, orange ones positive; filters of colours are shown in them."
    )
    return "filters", "Filters", paragraph(note) + "".join(shown)
