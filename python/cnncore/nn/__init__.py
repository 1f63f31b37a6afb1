# SPDX-License-Identifier: Apache-2.0
"""Layers with the names, arguments, defaults and state_dict keys of ``torch.nn``."""

from . import activation as _activation
from . import distance as _distance
from . import functional, init
from . import lazy as _lazy
from . import loss_elements as _loss_elements
from . import norm as _norm
from . import sample_norm as _sample_norm
from .activation import *  # noqa: F403
from .containers import ModuleDict, ModuleList, Sequential
from .conv import Conv1d, Conv2d, Conv3d
from .conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from .distance import *  # noqa: F403
from .dropout import Dropout
from .lazy import *  # noqa: F403
from .linear import Identity, Linear
from .loss import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss
from .loss_elements import *  # noqa: F403
from .module import Module
from .norm import *  # noqa: F403
from .parameter import Buffer, Parameter
from .parameter_containers import ParameterDict, ParameterList
from .pool import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)
from .sample_norm import *  # noqa: F403
from .shape import Flatten, Unflatten

__all__ = [
    *_activation.__all__,
    *_lazy.__all__,
    *_distance.__all__,
    *_norm.__all__,
    *_sample_norm.__all__,
    *_loss_elements.__all__,
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BCEWithLogitsLoss",
    "Buffer",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Identity",
    "Linear",
    "MSELoss",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "Sequential",
    "Unflatten",
    "functional",
    "init",
]
