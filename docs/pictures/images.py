# SPDX-License-Identifier: Apache-2.0
"""Pictures of the examples that classify, compare and make images."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cnncore.data.cifar import CLASSES as CIFAR
from cnncore.viz import arrays
from sheet import BLUE, GREEN, ORANGE, bars, panels, show


def edges(example: Any, found: Any) -> Figure:
    figure, axes = panels(1, 5, 1.6)
    image, strengths = found.images[0, 0], found.edges[0]
    show(axes[0, 0], image, "image")
    for place, name in ((0, "left to right"), (1, "top to bottom")):
        show(axes[0, 1 + place], strengths[place], name, cmap="RdBu_r", vmin=-4, vmax=4)
    show(axes[0, 3], np.hypot(*strengths), "strength")
    filters = np.concatenate([np.pad(each, 1) for each in found.learned], 1)
    show(axes[0, 4], filters, "learned filters", cmap="RdBu_r", vmin=-2, vmax=2)
    return figure


def mlp_against_cnn(example: Any, found: Any) -> Figure:
    figure, axes = panels(1, 4, 1.9, width_ratios=(1, 1, 1, 2.6))
    images = found.x_test[:1]
    for place, shift in enumerate((0, 2, 4)):
        show(axes[0, place], example.framed(images, right=shift)[0], f"shifted by {shift}")
    chart = axes[0, 3]
    for name, colour, mark in (("cnn", BLUE, "o"), ("mlp", ORANGE, "s")):
        chart.plot(example.SHIFTS, np.array(found.found[name]) * 100, color=colour, marker=mark)
        chart.text(4.15, found.found[name][-1] * 100, name.upper(), color=colour, va="center")
    chart.set(xlabel="shift in pixels", ylabel="% right", ylim=(0, 105), xlim=(0, 4.9), xticks=example.SHIFTS)
    return figure


def similar_images(example: Any, found: Any) -> Figure:
    rows = (0, 3, 5)
    figure, axes = panels(len(rows), 9, 2.5)
    for row, line in zip(rows, axes, strict=True):
        show(line[0], found.pictures[row], "query" if row == rows[0] else "", cmap="magma")
        for axis, other in zip(line[1:], found.found["embeddings"][row], strict=False):
            show(axis, found.pictures[other])
    return figure


def graph_convolution(example: Any, found: Any) -> Figure:
    figure, axes = panels(1, 2, 2.6, width_ratios=(1, 1.4))
    order = np.argsort(found.y, kind="stable")
    links = found.edges[np.ix_(order, order)]
    size = len(links) // 4 * 4
    shares = links[:size, :size].reshape(size // 4, 4, size // 4, 4).mean((1, 3))
    show(axes[0, 0], shares, "edges, sorted", cmap="gray_r", vmax=0.2)
    names = ("without edges", "with edges")
    bars(axes[0, 1], names, (found.alone, found.accuracy), "communities that were not told")
    return figure


def autoencoder(example: Any, found: Any) -> Figure:
    figure, axes = panels(4, 10, 2.8)
    noisy = found.x_test + found.test_noise
    lines = (found.x_test, found.found, noisy, noisy - found.guessed)
    names = ("digit", "16 numbers", "noisy", "denoised")
    for line, images, name in zip(axes, lines, names, strict=True):
        for axis, image in zip(line, images, strict=False):
            show(axis, image, vmin=0, vmax=1)
        line[0].text(-3, 14, name, ha="right", va="center", fontsize=8)
    return figure


def faces(example: Any, found: Any) -> Figure:
    figure, axes = panels(2, 6, 2.2, width_ratios=(1, 1, 1, 1, 1, 2.9))
    first, second = (found.model.predict(part) for part in found.pair)
    likeness = (first * second).sum(1)
    for place in range(5):
        for line, part in zip(axes, found.pair, strict=True):
            show(line[place], part[place], vmin=-0.2, vmax=0.9)
        axes[1, place].text(20, 47, f"{likeness[place]:.2f}", ha="center", va="top", fontsize=8)
        axes[0, place].set_title("same" if found.same[place] else "other", fontsize=8)
    chart = _right_half(figure, axes)
    edges = np.linspace(-0.5, 1, 31)
    chart.hist(likeness[~found.same], edges, color=ORANGE, alpha=0.7, label="other person")
    chart.hist(likeness[found.same], edges, color=BLUE, alpha=0.7, label="same person")
    chart.set(yticks=[], xlabel="cosine of the two directions")
    chart.legend(fontsize=7, loc="upper left")
    return figure


def dcgan(example: Any, found: Any) -> Figure:
    figure, axes = panels(4, 10, 2.6)
    for axis, image in zip(axes.flat, found.made, strict=False):
        show(axis, (image + 1) / 2, vmin=0, vmax=1)
    return figure


def mnist_digits(example: Any, found: Any) -> Figure:
    figure, axes = panels(2, 8, 2.4)
    answers = found.model.eval().predict(found.x_test).argmax(1)
    wrong = np.flatnonzero(answers != found.y_test)
    for axis, row in zip(axes.flat, wrong, strict=False):
        show(axis, found.x_test[row], f"{answers[row]}, not {found.y_test[row]}")
    return figure


def transfer_learning(example: Any, found: Any) -> Figure:
    figure, axes = panels(2, 6, 2.3, width_ratios=(1, 1, 1, 1, 1, 3.2))
    names = ("cat", "dog")
    for number, axis in enumerate(axes[:, :5].flat):
        show(axis, found.images[number])
        axis.set_title(names[found.sets[1][1][number]], fontsize=8)
    chart = _right_half(figure, axes)
    for history, colour, mark, name in (
        (found.transferred, BLUE, "o", "trained before"),
        (found.scratch, ORANGE, "s", "from scratch"),
    ):
        shares = 100 * np.array(history["val_accuracy"])
        epochs = np.arange(1, len(shares) + 1)
        chart.plot(epochs, shares, color=colour, marker=mark)
        chart.text(len(shares), shares[-1] - 7, name, color=colour, ha="right", va="center")
    chart.set(xlabel="epoch", ylabel="% right", ylim=(45, 100))
    return figure


def _right_half(figure: Figure, axes: Any) -> Any:
    """One chart in place of the last column."""
    grid = axes[0, -1].get_gridspec()
    for line in axes:
        line[-1].remove()
    chart = figure.add_subplot(grid[:, -1])
    chart.spines[["top", "right"]].set_visible(False)
    return chart


def cifar10_resnet20(example: Any, found: Any) -> Figure:
    return _photos(found, found.answers, np.array(found.history["val_accuracy"]))


def cifar10_speedrun(example: Any, found: Any) -> Figure:
    return _photos(found, found.answers[::200], np.array(found.curve)[:, 1])


def _photos(found: Any, answers: Any, shares: Any) -> Figure:
    """Every 400th test image with what the network takes it for, and the test accuracy by epoch."""
    figure, axes = panels(4, 7, 3.7, width_ratios=(1,) * 6 + (4.2,))
    for number, axis in enumerate(axes[:, :6].flat):
        row = 2 * number
        show(axis, found.x_test[200 * row] / 255)
        answer, truth = int(answers[row]), int(found.y_test[200 * row])
        axis.set_title(CIFAR[answer], fontsize=7, pad=2, color=GREEN if answer == truth else ORANGE)
        if answer != truth:
            axis.text(15.5, 33, f"not {CIFAR[truth]}", fontsize=6, color=ORANGE, ha="center", va="top")
    chart = _right_half(figure, axes)
    epochs = np.arange(1, len(shares) + 1)
    chart.plot(epochs, 100 * shares, color=BLUE, marker="o")
    for epoch, above in ((1, -14), (len(shares), 7)):
        percents = 100 * shares[epoch - 1]
        chart.annotate(
            f"{percents:.1f}", (epoch, percents), (0, above), textcoords="offset points", ha="center"
        )
    chart.set(xlabel="epoch", ylabel="% of the test images right", xticks=epochs, ylim=(50, 90))
    chart.set_xlim(0.5, len(shares) + 0.5)
    return figure


def features_grad_cam(example: Any, found: Any) -> Figure:
    """What `cc.viz` shows of two digits: a layer's maps, and what the answer owes to the pixels."""
    figure, axes = panels(2, 7, 2.2)
    model, images = found.model, found.images[[4, 1]]
    maps = arrays.feature_maps(model, images, "body.0")
    for line, row, every in zip(axes, range(2), maps, strict=True):
        x = images[row : row + 1]
        tiles = every.reshape(4, 4, 28, 28).transpose(0, 2, 1, 3).reshape(4 * 28, 4 * 28)
        signed = arrays.integrated_gradients(model, x)[0, 0], arrays.occlusion(model, x, window=5)[0]
        shown = (
            ("input", x[0], {}),
            ("maps of body.0", tiles, {"cmap": "viridis"}),
            ("Grad-CAM", arrays.grad_cam(model, x)[0], {"cmap": "viridis"}),
            ("Grad-CAM++", arrays.grad_cam_plus_plus(model, x)[0], {"cmap": "viridis"}),
            ("saliency", arrays.saliency(model, x)[0], {"cmap": "viridis"}),
            ("integrated grad.", signed[0], {"cmap": "RdBu_r"}),
            ("occlusion", signed[1], {"cmap": "RdBu_r"}),
        )
        for axis, (title, values, settings) in zip(line, shown, strict=True):
            if settings.get("cmap") == "RdBu_r":
                largest = float(np.abs(values).max())
                settings = {**settings, "vmin": -largest, "vmax": largest}
            show(axis, values, **settings)
            if row == 0:
                axis.set_title(title, fontsize=7)
    return figure
