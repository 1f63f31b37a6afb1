# SPDX-License-Identifier: Apache-2.0
"""Feature pyramids by torchvision's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import ops
from ..graph.trace import shape_error
from . import init
from .arguments import positive, several
from .blocks import Conv2dNormActivation, Layer
from .containers import ModuleList
from .conv import Conv2d
from .module import Module

__all__ = ["ExtraFPNBlock", "FeaturePyramidNetwork", "LastLevelMaxPool", "LastLevelP6P7"]


class ExtraFPNBlock(Module):
    """What adds coarser maps to a pyramid: `forward(results, x, names)` returns maps and names.

    `results` are the pyramid's maps, `x` those it is made of, finest first.

    >>> isinstance(LastLevelMaxPool(), ExtraFPNBlock)
    True
    """

    def forward(self, results: list[Any], x: list[Any], names: list[str]) -> tuple[list[Any], list[str]]:
        raise NotImplementedError(f"{type(self).__name__} has no forward")


class LastLevelMaxPool(ExtraFPNBlock):
    """Every second pixel of the coarsest map as one more, "pool".

    >>> import numpy as np
    >>> [y.shape for y in LastLevelMaxPool()([np.ones((1, 2, 5, 5))], [], ["a"])[0]]
    [(1, 2, 5, 5), (1, 2, 3, 3)]
    """

    def forward(self, results: list[Any], x: list[Any], names: list[str]) -> tuple[list[Any], list[str]]:
        return [*results, ops.max_pool2d(results[-1], 1, 2, 0)], [*names, "pool"]


class LastLevelP6P7(ExtraFPNBlock):
    """Two more maps, "p6" and "p7", by convolutions of stride 2 (RetinaNet, Lin et al., 2017).

    Args:
        in_channels: of the map that they begin with: the pyramid's coarsest one where the numbers are equal,
            that it was made of otherwise.
        out_channels: of the new ones.

    >>> import numpy as np
    >>> maps, names = LastLevelP6P7(2, 2)([np.ones((1, 2, 5, 5))], [np.ones((1, 7, 5, 5))], ["a"])
    >>> [y.shape for y in maps], names
    ([(1, 2, 5, 5), (1, 2, 3, 3), (1, 2, 2, 2)], ['a', 'p6', 'p7'])
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.p6 = Conv2d(in_channels, out_channels, 3, 2, 1)
        self.p7 = Conv2d(out_channels, out_channels, 3, 2, 1)
        for layer in (self.p6, self.p7):
            init.kaiming_uniform_(layer.weight, a=1)
            init.zeros_(layer.bias)
        self.use_P5 = in_channels == out_channels

    def forward(self, results: list[Any], x: list[Any], names: list[str]) -> tuple[list[Any], list[str]]:
        p6 = self.p6(results[-1] if self.use_P5 else x[-1])
        return [*results, p6, self.p7(ops.relu(p6))], [*names, "p6", "p7"]


class FeaturePyramidNetwork(Module):
    """Maps of one number of channels from those of a network (Lin et al., 2017).

    Coarse ones are added to finer ones.

    Args:
        in_channels_list: channels of each map, finest first.
        out_channels: of all results.
        extra_blocks: adds coarser maps.
        norm_layer: makes the norm behind each convolution; None leaves it out and gives them a bias.

    The call takes a dict of maps, finest first, and returns one of the results.

    Raises:
        TypeError: `extra_blocks` is no ExtraFPNBlock.
        ValueError: maps that are not as many as `in_channels_list`.

    >>> import numpy as np
    >>> maps = {"a": np.ones((1, 4, 8, 8)), "b": np.ones((1, 6, 4, 4))}
    >>> pyramid = FeaturePyramidNetwork([4, 6], 5, LastLevelMaxPool())
    >>> {name: y.shape for name, y in pyramid(maps).items()}
    {'a': (1, 5, 8, 8), 'b': (1, 5, 4, 4), 'pool': (1, 5, 2, 2)}
    """

    def __init__(
        self,
        in_channels_list: Sequence[int],
        out_channels: int,
        extra_blocks: ExtraFPNBlock | None = None,
        norm_layer: Layer | None = None,
    ) -> None:
        super().__init__()
        channels_of_maps = [
            positive("in_channels_list", n) for n in several("in_channels_list", in_channels_list)
        ]
        if extra_blocks is not None and not isinstance(extra_blocks, ExtraFPNBlock):
            raise TypeError(f"expected an ExtraFPNBlock for extra_blocks, got {type(extra_blocks).__name__}")

        def block(channels: int, kernel: int) -> Module:
            return Conv2dNormActivation(
                channels, out_channels, kernel, norm_layer=norm_layer, activation_layer=None
            )

        self.inner_blocks = ModuleList(block(channels, 1) for channels in channels_of_maps)
        self.layer_blocks = ModuleList(block(out_channels, 3) for _ in channels_of_maps)
        for layer in self.modules():
            if isinstance(layer, Conv2d):
                init.kaiming_uniform_(layer.weight, a=1)
                if layer.bias is not None:
                    init.zeros_(layer.bias)
        self.extra_blocks = extra_blocks

    def forward(self, x: Mapping[str, Any]) -> dict[str, Any]:
        names, maps = list(x), list(x.values())
        if len(maps) != len(self.inner_blocks):
            raise shape_error("FeaturePyramidNetwork", f"expected {len(self.inner_blocks)} maps, got {names}")
        above: Any = None
        results: list[Any] = []
        for i in reversed(range(len(maps))):
            lateral = self.inner_blocks[i](maps[i])
            if above is not None:
                lateral = lateral + ops.interpolate(above, size=lateral.shape[2:], mode="nearest")
            above = lateral
            results.insert(0, self.layer_blocks[i](lateral))
        if self.extra_blocks is not None:
            results, names = self.extra_blocks(results, maps, names)
        return dict(zip(names, results, strict=True))
