# SPDX-License-Identifier: Apache-2.0
"""Networks with torchvision's names, arguments and state_dict keys, each a function that returns a Module.

`models.list()` names all of them, `models.get(name, ...)` makes one.
"""

import builtins
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .. import nn
from . import alexnet as _alexnet
from . import convnext as _convnext
from . import densenet as _densenet
from . import detection, segmentation, video
from . import efficientnet as _efficientnet
from . import googlenet as _googlenet
from . import inception as _inception
from . import lenet as _lenet
from . import mnasnet as _mnasnet
from . import mobilenet as _mobilenet
from . import mobilenet_v3 as _mobilenet_v3
from . import regnet as _regnet
from . import resnet as _resnet
from . import resnet_cifar as _resnet_cifar
from . import shufflenet as _shufflenet
from . import squeezenet as _squeezenet
from . import unet as _unet
from . import vgg as _vgg
from . import vision_transformer as _vision_transformer
from .alexnet import *  # noqa: F403
from .convnext import *  # noqa: F403
from .densenet import *  # noqa: F403
from .efficientnet import *  # noqa: F403
from .googlenet import *  # noqa: F403
from .inception import *  # noqa: F403
from .lenet import *  # noqa: F403
from .mnasnet import *  # noqa: F403
from .mobilenet import *  # noqa: F403
from .mobilenet_v3 import *  # noqa: F403
from .preprocessing import Preprocessing, preprocessing
from .regnet import *  # noqa: F403
from .resnet import *  # noqa: F403
from .resnet_cifar import *  # noqa: F403
from .shufflenet import *  # noqa: F403
from .squeezenet import *  # noqa: F403
from .unet import *  # noqa: F403
from .vgg import *  # noqa: F403
from .vision_transformer import *  # noqa: F403

_FAMILIES: tuple[ModuleType, ...] = (
    _alexnet,
    _convnext,
    _densenet,
    _efficientnet,
    _googlenet,
    _inception,
    _lenet,
    _mnasnet,
    _mobilenet,
    _mobilenet_v3,
    _regnet,
    _resnet,
    _resnet_cifar,
    _shufflenet,
    _squeezenet,
    _unet,
    _vgg,
    _vision_transformer,
)

_PACKAGES: dict[str, ModuleType] = {
    "detection": detection,
    "segmentation": segmentation,
    "video": video,
}

__all__ = [
    *_alexnet.__all__,
    *_convnext.__all__,
    *_densenet.__all__,
    *_efficientnet.__all__,
    *_googlenet.__all__,
    *_inception.__all__,
    *_lenet.__all__,
    *_mnasnet.__all__,
    *_mobilenet.__all__,
    *_mobilenet_v3.__all__,
    *_regnet.__all__,
    *_resnet.__all__,
    *_resnet_cifar.__all__,
    *_shufflenet.__all__,
    *_squeezenet.__all__,
    *_unet.__all__,
    *_vgg.__all__,
    *_vision_transformer.__all__,
    "Preprocessing",
    "detection",
    "get",
    "list",
    "preprocessing",
    "segmentation",
    "video",
]


def list() -> builtins.list[str]:
    """Return the names of the networks there are.

    >>> "resnet20" in list(), "video.r3d_18" in list()
    (True, True)
    """
    names = [name for family in _FAMILIES for name in family.__all__ if name.islower()]
    for package, module in _PACKAGES.items():
        names += [f"{package}.{name}" for name in module.__all__ if name.islower()]
    return sorted(names)


def get(name: str, **options: Any) -> nn.Module:
    """Return a new network by its name.

    Args:
        name: one of `list()`; "video.", "segmentation." and "detection." may be left out.
        options: arguments of the function of that name, such as `num_classes` and `weights`, a safetensors
            or torch file.

    Raises:
        ValueError: there is none of that name, or the file does not fit.

    >>> import numpy as np
    >>> get("squeezenet1_1", num_classes=10)(np.zeros((1, 3, 32, 32))).shape
    (1, 10)
    """
    network: nn.Module = _builder(name)(**options)
    return network


def _builder(name: str) -> Callable[..., Any]:
    names = list()
    if not isinstance(name, str):
        raise TypeError(f"expected the name of a network, such as 'resnet18', got {name!r}")
    for full in names:
        package, _, short = full.rpartition(".")
        if name in (full, short):
            function: Callable[..., Any] = getattr(_PACKAGES[package], short) if package else globals()[short]
            return function
    raise ValueError(f"expected a network among {', '.join(names)}, got {name!r}")
