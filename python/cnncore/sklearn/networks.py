# SPDX-License-Identifier: Apache-2.0
"""The networks that estimators train where none is given, one for each kind of input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import nn, ops

HIDDEN = (128, 64)
"""Units of the layers for tables."""

WIDTHS = (32, 64, 128)
"""Channels of the stages for images and volumes."""

SEQUENCE = ((64, 7), (128, 5), (64, 3))
"""Channels and taps of the layers for sequences."""

EMBEDDING, FILTERS, TAPS = 64, 64, (2, 3, 4, 5)
"""Of the network for texts: size of a token's vector, filters of each width, widths in tokens."""

SMALLEST = 8
"""Extents below which images are not pooled any more."""

_CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_MAX_POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
_MEAN = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}


def default_network(shape: tuple[int, ...], outputs: int, vocabulary: int | None = None) -> nn.Module:
    """Return a network for rows of a shape.

    Args:
        shape: (columns,) of tables, (channels, length) of sequences, (channels, height, width) of images,
            (channels, depth, height, width) of volumes, (length,) of texts.
        outputs: classes, or numbers to predict.
        vocabulary: tokens of texts, else None.

    >>> default_network((3, 32, 32), 10)(np.zeros((1, 3, 32, 32))).shape
    (1, 10)
    """
    if vocabulary is not None:
        return TextCNN(vocabulary, outputs)
    if len(shape) == 1:
        return table_network(shape[0], outputs)
    if len(shape) == 2:
        return sequence_network(shape[0], outputs)
    if len(shape) in (3, 4):
        return image_network(shape, outputs)
    raise ValueError(f"expected rows of 1 to 4 axes, or network= a Module, got rows of shape {shape}")


def table_network(columns: int, outputs: int) -> nn.Module:
    """Return a multilayer perceptron: columns of a table have no neighbours that filters could move over."""
    layers: list[nn.Module] = []
    for before, units in zip((columns, *HIDDEN), HIDDEN, strict=False):
        layers += [nn.Linear(before, units), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(HIDDEN[-1], outputs))


def sequence_network(channels: int, outputs: int) -> nn.Module:
    """Return convolutions without pooling and a mean over time (Wang, Yan and Oates, "Time Series
    Classification from Scratch with Deep Neural Networks", 2017), with half of the channels."""
    layers: list[nn.Module] = []
    for width, taps in SEQUENCE:
        layers += [nn.Conv1d(channels, width, taps, padding=taps // 2, bias=False)]
        layers += [nn.BatchNorm1d(width), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(channels, outputs))


def image_network(shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Return stages of two convolutions of 3 taps an axis, with max pooling between while the image is large
    enough, and a mean to at most 4 elements an axis."""
    channels, extents = shape[0], list(shape[1:])
    rank, layers = len(extents), list[nn.Module]()
    for stage, width in enumerate(WIDTHS):
        if stage and min(extents) >= SMALLEST:
            layers.append(_MAX_POOL[rank](2))
            extents = [extent // 2 for extent in extents]
        for _ in range(2):
            layers += [_CONV[rank](channels, width, 3, padding=1, bias=False), _NORM[rank](width), nn.ReLU()]
            channels = width
    kept = tuple(min(extent, 4) for extent in extents)
    features = channels * int(np.prod(kept))
    head = [_MEAN[rank](kept), nn.Flatten(), nn.Dropout(0.25), nn.Linear(features, outputs)]
    return nn.Sequential(*layers, *head)


class TextCNN(nn.Module):
    """Convolutions of several widths over the vectors of tokens, and the largest value of each over the text
    (Kim, "Convolutional Neural Networks for Sentence Classification", 2014).

    Args:
        vocabulary: tokens; number 0 fills rows up.
        outputs: classes, or numbers to predict.
        embedding: size of a token's vector.
        filters: filters of each width.
        taps: widths, in tokens.
        dropout: share of the filters' maxima that is left out in a training step.

    >>> TextCNN(100, 2)(np.ones((3, 20), np.int64)).shape
    (3, 2)
    """

    def __init__(
        self,
        vocabulary: int,
        outputs: int,
        embedding: int = EMBEDDING,
        filters: int = FILTERS,
        taps: Sequence[int] = TAPS,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding, padding_idx=0)
        # Standard normal vectors of rare words, which training hardly moves, would outweigh what it learns.
        self.embedding.weight.assign(0.1 * np.asarray(self.embedding.weight))
        self.convolutions = nn.ModuleList([nn.Conv1d(embedding, filters, width) for width in taps])
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(filters * len(taps), outputs)

    def forward(self, tokens: Any) -> Any:
        vectors = ops.transpose(self.embedding(tokens), 1, 2)
        found = [ops.amax(ops.relu(convolution(vectors)), 2) for convolution in self.convolutions]
        return self.head(self.dropout(ops.concat(found, 1)))
