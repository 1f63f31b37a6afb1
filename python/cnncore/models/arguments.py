# SPDX-License-Identifier: Apache-2.0
"""torchvision's names for arguments of networks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypedDict, TypeVar, cast

from .. import nn
from ..nn.arguments import flag, positive

P = ParamSpec("P")
Network = TypeVar("Network")

NormLayer = Callable[[int], nn.Module]
"""Makes the normalisation of so many channels, such as `nn.BatchNorm2d`."""


class CommonOptions(TypedDict, total=False):
    """What `torchvision_names` takes: `classes` under another name, and a file of weights."""

    num_classes: int
    weights: str | os.PathLike[str] | None
    progress: bool


def torchvision_names(build: Callable[P, Network]) -> Callable[P, Network]:
    """Let a function that builds a network take `num_classes` for `classes`, `weights` and `progress`."""
    return published()(build)


def published(
    rename: Sequence[tuple[str, str | None]] = (), with_weights: Mapping[str, Any] | None = None
) -> Callable[[Callable[P, Network]], Callable[P, Network]]:
    """Return `torchvision_names` for a network whose published weights ask for more than being read.

    Args:
        rename: rules of `cc.load_into` for names that files of them have.
        with_weights: arguments that take these values where a file is named and they are not given, as
            torchvision sets them for its own weights.
    """

    def decorate(build: Callable[P, Network]) -> Callable[P, Network]:
        @wraps(build)
        def built(*args: Any, weights: Any = None, progress: bool = True, **options: Any) -> Network:
            name = build.__name__
            path = weights_file("weights", weights, name)
            flag("progress", progress)
            if "num_classes" in options:
                if args or "classes" in options:
                    raise TypeError(f"{name}: got classes twice: as classes and as num_classes")
                options["classes"] = positive("num_classes", options.pop("num_classes"))
            if path is None:
                return build(*args, **options)
            network = build(*args, **{**(with_weights or {}), **options})
            from ..io import load_into

            load_into(cast(nn.Module, network), path, rename=rename)
            return network

        return built  # type: ignore[return-value]

    return decorate


def weights_file(name: str, weights: Any, network: str = "backbone") -> str | os.PathLike[str] | None:
    """Return a file of a network's weights, or raise for the names of weights that torchvision fetches.

    Args:
        name: the argument's.
        weights: what it was given.
        network: whose weights they are.
    """
    if weights is None or isinstance(weights, os.PathLike):
        return weights
    if isinstance(weights, str) and os.path.splitext(weights)[1]:
        return weights
    raise ValueError(
        f"{network}: expected {name}=None or a file, such as '{network}.safetensors' or '{network}.pth', got "
        f"{weights!r}: none are fetched"
    )
