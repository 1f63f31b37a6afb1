# SPDX-License-Identifier: Apache-2.0
"""The input that a class or a channel answers most to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import ops
from ..._checks import is_integer
from ...nn.arguments import at_least, positive
from ...nn.module import Module
from ...nn.parameter import Parameter
from ...nn.predict import inference_mode
from ...optim import Adam
from ...training import train_step
from .probe import Array, check_layer, check_model, check_shape, outline, values_of


def activation_maximisation(
    model: Module,
    input_shape: Sequence[int],
    target: int,
    layer: str | None = None,
    *,
    steps: int = 100,
    lr: float = 0.1,
    decay: float = 0.01,
    smoothness: float = 0.02,
    seed: int = 0,
) -> Array:
    """Return inputs that are made, from noise, for a class' score or a channel's mean to grow.

    Args:
        model: a Module of one input, in inference mode here.
        input_shape: of what is made, (rows, channels, spatial...): each row begins with other noise.
        target: the class; with `layer` the number of the channel.
        layer: its name, as `layers` lists them; None is the model's output.
        steps: of Adam.
        lr: its learning rate, in units of the input.
        decay: how much the squares of the input count against the score.
        smoothness: how much the squares of differences between neighbours count against it.
        seed: of the noise.

    Returns:
        An array of `input_shape`, float32. The model's weights and statistics are as before.

    Raises:
        ValueError: there is no such layer, class or channel.

    Source: Erhan et al., "Visualizing higher-layer features of a deep network" (2009); the penalties are
    Mahendran and Vedaldi's (2015).

    >>> from cnncore import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10)).eval()
    >>> image = activation_maximisation(net, (1, 1, 8, 8), 3, steps=10)
    >>> bool(net(image)[0, 3] > net(0 * image)[0, 3])
    True
    """
    shape, steps = check_shape(input_shape), positive("steps", steps)
    if layer is not None:
        check_layer(layer)
    seed = at_least("seed", seed, 0)
    known = outline(check_model(model), shape)
    image = Parameter((0.1 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32))

    def loss() -> Any:
        x = image * 1.0
        output, values = values_of(model, x, () if layer is None else (layer,))
        seen: Any = output if layer is None else values[0]
        channel = seen[:, target] if seen.ndim > 1 else seen
        score = ops.sum(channel) / (channel.size / shape[0])
        penalty = decay * ops.sum(x * x)
        for axis in range(2, len(shape)):
            if shape[axis] > 1:
                penalty = penalty + smoothness * ops.sum(_differences(x, axis) ** 2)
        return penalty - score

    _check_channel(known.output_shape if layer is None else _shape_of(known.layers, layer), target, layer)
    with inference_mode(model):
        step = train_step(loss, Adam([image], lr=lr))
        for _ in range(steps):
            step()
    return np.array(image, np.float32)


def _differences(x: Any, axis: int) -> Any:
    before = (slice(None),) * axis
    after, until = (*before, slice(1, None)), (*before, slice(None, -1))
    return x[after] - x[until]


def _shape_of(layers: Sequence[Any], name: str) -> tuple[int, ...]:
    """Return the shape of a layer's output, (), where only tracing can tell."""
    return next((layer.shape for layer in layers if layer.name == name), ())


def _check_channel(shape: tuple[int, ...], target: Any, layer: str | None) -> None:
    if not is_integer(target):
        raise TypeError(f"expected target as a class or channel number, got {target!r}")
    count = shape[1] if len(shape) > 1 else 1
    if shape and not 0 <= target < count:
        what = "the model's classes" if layer is None else f"the channels of {layer!r}"
        raise ValueError(f"expected a target from 0 to {count - 1}, {what}, got {target}")
