# SPDX-License-Identifier: Apache-2.0
"""torchvision's names for arguments of networks."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypedDict, TypeVar

from .. import nn

P = ParamSpec("P")
Network = TypeVar("Network")

NormLayer = Callable[[int], nn.Module]
"""Makes the normalisation of so many channels, such as `nn.BatchNorm2d`."""


class CommonOptions(TypedDict, total=False):
    """What `torchvision_names` takes: `classes` under another name, and arguments of fetched weights."""

    num_classes: int
    weights: None
    progress: bool


def torchvision_names(build: Callable[P, Network]) -> Callable[P, Network]:
    """Let a function that builds a network take `num_classes` for `classes`, `weights=None` and `progress`.

    Trained weights are not fetched: other values of `weights` are refused with the way to load a file.
    """

    @wraps(build)
    def built(*args: Any, weights: Any = None, progress: bool = True, **options: Any) -> Network:
        name = build.__name__
        if weights is not None:
            raise ValueError(
                f"{name}: expected weights=None, got {weights!r}: none are fetched; "
                "cc.load_into(model, path) reads a safetensors file with torchvision's names"
            )
        if "num_classes" in options:
            if args or "classes" in options:
                raise TypeError(f"{name}: got classes twice: as classes and as num_classes")
            options["classes"] = options.pop("num_classes")
        return build(*args, **options)

    return built  # type: ignore[return-value]
