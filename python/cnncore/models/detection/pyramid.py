# SPDX-License-Identifier: Apache-2.0
"""Feature pyramids, by Lin et al. (2017), "Feature pyramid networks for object detection"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ... import nn, ops
from ..blocks import Conv2dNormActivation, draw


class FeaturePyramidNetwork(nn.Module):
    """Maps of equal channels: each is what the smaller one tells, enlarged, and its own activations.

    Args:
        in_channels_list: channels of the maps, from the largest map to the smallest.
        out_channels: channels of the results.

    Called with a dict of maps; returns one of the same names, and "pool": the smallest at every second pixel.
    """

    def __init__(self, in_channels_list: Sequence[int], out_channels: int) -> None:
        super().__init__()
        conv: Any = partial(Conv2dNormActivation, norm_layer=None, activation_layer=None)
        self.inner_blocks = nn.ModuleList(conv(channels, out_channels, 1) for channels in in_channels_list)
        self.layer_blocks = nn.ModuleList(conv(out_channels, out_channels, 3) for _ in in_channels_list)
        draw(self, lambda weight: nn.init.kaiming_uniform_(weight, a=1))

    def forward(self, maps: Mapping[str, Any]) -> dict[str, Any]:
        results: dict[str, Any] = {}
        above = None
        blocks = list(zip(maps.items(), self.inner_blocks, self.layer_blocks, strict=True))
        for (name, x), inner, layer in reversed(blocks):
            x = inner(x)
            if above is not None:
                x = x + ops.interpolate(above, size=tuple(x.shape[2:]), mode="nearest")
            above = x
            results[name] = layer(x)
        ordered = {name: results[name] for name in maps}
        last = list(ordered.values())[-1]
        return {**ordered, "pool": ops.max_pool2d(last, 1, 2)}


class BackboneWithFPN(nn.Module):
    """A classifier's activations by name, as a feature pyramid."""

    def __init__(self, body: nn.Module, in_channels_list: Sequence[int], out_channels: int = 256) -> None:
        super().__init__()
        self.body = body
        self.fpn = FeaturePyramidNetwork(in_channels_list, out_channels)
        self.out_channels = out_channels

    def forward(self, x: Any) -> dict[str, Any]:
        return self.fpn(self.body(x))  # type: ignore[no-any-return]
