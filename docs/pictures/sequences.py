# SPDX-License-Identifier: Apache-2.0
"""Pictures of the examples on sounds, signals, texts and other sequences."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sheet import BLUE, GREEN, ORANGE, YELLOW, bars, panels


def time_series(example: Any, found: Any) -> Figure:
    figure, axes = panels(1, 4, 1.9, width_ratios=(1, 1, 1, 1.7))
    for place, (name, colour) in enumerate(zip(example.NAMES, (BLUE, ORANGE, GREEN), strict=True)):
        chart = axes[0, place]
        for row in np.flatnonzero(found.y == place)[:3]:
            chart.plot(found.x[row, 0], color=colour, linewidth=0.8, alpha=0.7)
        chart.set(title=name, ylim=(-2, 3.2), yticks=[], xlabel="time")
    names = ("nearest", "CNN")
    bars(axes[0, 3], names, tuple(found.figures.values()), "new series")
    return figure


def dna_motifs(example: Any, found: Any) -> Figure:
    """The letters as high as the information that their place holds (Schneider and Stephens, 1990)."""
    figure, axes = panels(1, 2, 2.0, width_ratios=(2, 1.2))
    chart, shares = axes[0, 0], found.shares
    bits = 2 + (shares * np.log2(np.maximum(shares, 1e-9))).sum(0)
    colours = dict(zip("ACGT", (GREEN, BLUE, YELLOW, ORANGE), strict=True))
    for place, (column, whole) in enumerate(zip(shares.T, bits, strict=True)):
        bottom = 0.0
        for base in np.argsort(column):
            letter, height = "ACGT"[base], column[base] * whole
            chart.bar(place, height, 0.85, bottom, color=colours[letter])
            if height > 0.25:
                middle = bottom + height / 2
                chart.text(place, middle, letter, color="white", ha="center", va="center", weight="bold")
            bottom += height
    title = f"planted {example.MOTIF}, found {found.consensus}"
    chart.set(ylim=(0, 2), xticks=[], ylabel="bits", title=title)
    bars(axes[0, 1], ("linear", "CNN"), (found.figures["linear"], found.figures["CNN"]), "new sequences")
    return figure


def text_cnn(example: Any, found: Any) -> Figure:
    """Words, coloured by how far the score falls when a word is taken away."""
    figure, axes = panels(1, 2, 1.9, width_ratios=(3, 1.2))
    chart = axes[0, 0]
    chart.set_axis_off()
    chart.set(xlim=(0, 1), ylim=(0, 3))
    texts = ("please open the valve but first check the door", "open the valve before check the door now")
    for line, text in enumerate(texts):
        words = text.split()
        numbers = found.tokenizer([text] * (len(words) + 1), length=16)
        for place in range(len(words)):
            numbers[place + 1, place] = 1  # a word that is not known
        scores = np.asarray(found.model.eval()(numbers))
        first = int(scores[0].argmax())
        gap = scores[:, first] - scores[:, 1 - first]
        weights = np.clip((gap[0] - gap[1:]) / max(gap[0], 1e-6), 0, 1)
        at = 0.0
        for word, weight in zip(words, weights, strict=True):
            width = 0.016 * len(word) + 0.022
            colour = (1 - weight, 1 - 0.55 * weight, 1 - 0.3 * weight)
            chart.text(at, 2.2 - 1.3 * line, word, backgroundcolor=colour, fontsize=8)
            at += width
        answer = "door" if first else "valve"
        chart.text(at, 1.7 - 1.3 * line, f"the {answer} first", fontsize=8, ha="right", style="italic")
    names = ("words", "text CNN")
    bars(axes[0, 1], names, (found.figures["bag of words"], found.figures["text CNN"]), "new texts")
    return figure


def lstm_head(example: Any, found: Any) -> Figure:
    figure, axes = panels(2, 1, 3.0, sharex=True)
    signal, steps = found.x[0], float(found.y[0, 0])
    model = found.model.eval()
    states, _ = model.lstm(np.asarray(model.features(signal[None])).transpose(0, 2, 1))
    counted = np.asarray(model.head(states))[0, :, 0].cumsum()
    seconds = np.arange(example.LENGTH) / example.RATE
    for axis, colour in zip(signal, (BLUE, ORANGE, GREEN), strict=True):
        axes[0, 0].plot(seconds, axis, color=colour, linewidth=0.8)
    axes[0, 0].set(ylabel="acceleration", yticks=[], title="three axes of the sensor")
    axes[1, 0].plot(np.linspace(0, example.SECONDS, len(counted), endpoint=False), counted, color=BLUE)
    axes[1, 0].axhline(steps, color="#808080", linestyle="--", linewidth=0.8)
    title = f"steps counted up to each moment; {steps:.0f} were taken"
    axes[1, 0].set(xlabel="seconds", ylabel="steps", title=title, xlim=(0, example.SECONDS))
    return figure


def text_features(example: Any, found: Any) -> Figure:
    figure, axes = panels(1, 2, 1.4)
    shares = list(found.figures.values())
    bars(axes[0, 0], ("TF-IDF", "with the CNN"), shares[:2], "logistic regression")
    bars(axes[0, 1], ("table", "with the CNN"), shares[2:4], "gradient boosting")
    return figure


def keyword_spotting(example: Any, found: Any) -> Figure:
    figure, axes = panels(2, 1, 2.8, sharex=True)
    heard, first, moments = np.concatenate(found.heard), 1000, 1000
    seconds = np.arange(moments) * example.HOP / example.RATE
    part = slice(first, first + moments)
    shape = (seconds[0], seconds[-1], 0, example.BANDS)
    axes[0, 0].imshow(found.x[:, part], origin="lower", aspect="auto", cmap="viridis", extent=shape)
    axes[0, 0].set(ylabel="mel band", title="the stream")
    axes[1, 0].plot(seconds, 1 / (1 + np.exp(-heard[part])), color="black", linewidth=1)
    for place in np.flatnonzero(np.diff(found.ends[part]) == 1):
        axes[1, 0].axvline(seconds[place], color="black", linewidth=1, linestyle=":")
    title = "probability of the keyword; dotted: where one ended"
    axes[1, 0].set(xlabel="seconds", ylim=(0, 1.05), title=title)
    return figure


def spoken_digits(example: Any, found: Any) -> Figure:
    figure, axes = panels(2, 5, 2.5)
    for place in range(5):
        row = int(np.flatnonzero(found.y_test == place)[0])
        axes[0, place].plot(found.x_test[row, 0], color=BLUE, linewidth=0.4)
        axes[0, place].set(title=f'"{place}"', xticks=[], yticks=[])
        axes[1, place].imshow(found.unseen[row, 0], origin="lower", aspect="auto", cmap="viridis")
        axes[1, place].set(xticks=[], yticks=[])
    axes[0, 0].set_ylabel("wave")
    axes[1, 0].set_ylabel("mel band")
    return figure


def line_reading(example: Any, found: Any) -> Figure:
    figure, axes = panels(3, 1, 3.0)
    rows = (0, 1, 2)
    scores = np.asarray(found.model(found.x[:3]))
    for axis, row in zip(axes[:, 0], rows, strict=True):
        axis.imshow(found.x[row, 0], cmap="gray_r", interpolation="nearest")
        best = scores[:, row].argmax(1)
        for column in np.flatnonzero((best != 0) & (best != np.roll(best, 1))):
            axis.text(4 * column + 2, 34, str(best[column] - 1), color=ORANGE, ha="center", va="center")
        axis.set(ylim=(38, 0))
        axis.set_axis_off()
    return figure
