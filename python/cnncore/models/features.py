# SPDX-License-Identifier: Apache-2.0
"""Classifiers as backbones: inner activations of a chain of layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import nn
from .mobilenet_v3 import InvertedResidual, MobileNetV3


class LayerOutputs(nn.ModuleDict):
    """The children of a module one after another, up to the last that is asked for.

    Args:
        module: its children, in their order, make a chain.
        layers: names of results by names of children.

    Called with the chain's input; returns a dict of the activations behind the children named.

    >>> import numpy as np
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten())
    >>> {name: x.shape for name, x in LayerOutputs(net, {"1": "out"})(np.zeros((1, 3, 5, 5))).items()}
    {'out': (1, 4, 3, 3)}
    """

    def __init__(self, module: nn.Module, layers: Mapping[str, str]) -> None:
        children = dict(module.named_children())
        missing = [name for name in layers if name not in children]
        if missing:
            raise ValueError(f"expected names among {', '.join(children)}, got {', '.join(missing)}")
        names = list(children)
        last = max(names.index(name) for name in layers)
        super().__init__({name: children[name] for name in names[: last + 1]})
        self.layers = dict(layers)

    def forward(self, x: Any) -> dict[str, Any]:
        outputs = {}
        for name, layer in self.items():
            x = layer(x)
            if name in self.layers:
                outputs[self.layers[name]] = x
        return outputs


def mobilenet_stages(network: MobileNetV3) -> list[int]:
    """Return the numbers of the layers where the map becomes smaller, and of the last."""
    layers = list(network.features)
    halving = [
        number for number, layer in enumerate(layers) if isinstance(layer, InvertedResidual) and layer.halves
    ]
    return [0, *halving, len(layers) - 1]


def layer_channels(network: MobileNetV3, number: int) -> int:
    """Return the channels behind a layer of the network."""
    channels: int = network.features[number].out_channels
    return channels
