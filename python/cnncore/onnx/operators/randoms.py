# SPDX-License-Identifier: Apache-2.0
"""Random tensors, drawn by numpy: the node's seed where it has one, else one from the system."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..bounds import require_result
from ..dtypes import numpy_type
from ..graph import Node
from ..table import host

Array = Any


def _generator(node: Node) -> np.random.Generator:
    seed = node.attr("seed")
    return np.random.default_rng(None if seed is None else int(np.float32(seed).view(np.uint32)))


def _kind(node: Node) -> np.dtype[Any]:
    return numpy_type(node.output_types[0] or "float32")


def _shape(node: Node, inputs: tuple[Array, ...]) -> tuple[int, ...]:
    shape = tuple(inputs[0].shape) if inputs else tuple(node.attr("shape"))
    require_result(shape, np.dtype(np.float64).itemsize)
    return shape


@host("RandomNormal", "RandomNormalLike")
def normal(node: Node, *inputs: Array) -> Array:
    mean, scale = node.attr("mean", 0.0), node.attr("scale", 1.0)
    return _generator(node).normal(mean, scale, _shape(node, inputs)).astype(_kind(node))


@host("RandomUniform", "RandomUniformLike")
def uniform(node: Node, *inputs: Array) -> Array:
    low, high = node.attr("low", 0.0), node.attr("high", 1.0)
    return _generator(node).uniform(low, high, _shape(node, inputs)).astype(_kind(node))


@host("Bernoulli")
def bernoulli(node: Node, x: Array) -> Array:
    return (_generator(node).random(x.shape) < x).astype(_kind(node))


@host("Multinomial")
def multinomial(node: Node, x: Array) -> Array:
    draw = _generator(node)
    powers = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
    shares = np.cumsum(powers / powers.sum(1, keepdims=True), 1)
    require_result([*x.shape, node.attr("sample_size", 1)])
    picks = draw.random((len(x), node.attr("sample_size", 1)))
    found = (picks[:, :, None] >= shares[:, None, :-1]).sum(2)
    return found.astype(_kind(node))
