# SPDX-License-Identifier: Apache-2.0
"""Layers with the names, arguments, defaults and state_dict keys of ``torch.nn``."""

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from ..graph.hints import missing as _missing
from . import activation as _activation
from . import adaptive_softmax as _adaptive_softmax
from . import anchors as _anchors
from . import attention as _attention
from . import blocks as _blocks
from . import distance as _distance
from . import dropout as _dropout
from . import embedding as _embedding
from . import functional, init, utils
from . import lazy as _lazy
from . import loss_elements as _loss_elements
from . import loss_embeddings as _loss_embeddings
from . import loss_labels as _loss_labels
from . import lp_pool as _lp_pool
from . import margin_heads as _margin_heads
from . import norm as _norm
from . import pad as _pad
from . import patch as _patch
from . import pyramid as _pyramid
from . import rectifier as _rectifier
from . import recurrent as _recurrent
from . import recurrent_cell as _recurrent_cell
from . import regions as _regions
from . import sample_norm as _sample_norm
from . import transformer as _transformer
from . import unpool as _unpool
from . import upsample as _upsample
from .activation import *  # noqa: F403
from .adaptive_softmax import *  # noqa: F403
from .anchors import *  # noqa: F403
from .attention import *  # noqa: F403
from .blocks import *  # noqa: F403
from .containers import ModuleDict, ModuleList, Sequential
from .conv import Conv1d, Conv2d, Conv3d
from .conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from .distance import *  # noqa: F403
from .dropout import *  # noqa: F403
from .embedding import *  # noqa: F403
from .lazy import *  # noqa: F403
from .linear import Bilinear, Identity, Linear
from .loss import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss
from .loss_elements import *  # noqa: F403
from .loss_embeddings import *  # noqa: F403
from .loss_labels import *  # noqa: F403
from .lp_pool import *  # noqa: F403
from .margin_heads import *  # noqa: F403
from .module import Module
from .norm import *  # noqa: F403
from .pad import *  # noqa: F403
from .parameter import Buffer, Parameter
from .parameter_containers import ParameterDict, ParameterList
from .patch import *  # noqa: F403
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
from .pyramid import *  # noqa: F403
from .rectifier import *  # noqa: F403
from .recurrent import *  # noqa: F403
from .recurrent_cell import *  # noqa: F403
from .regions import *  # noqa: F403
from .sample_norm import *  # noqa: F403
from .shape import Flatten, Unflatten
from .transformer import *  # noqa: F403
from .unpool import *  # noqa: F403
from .upsample import *  # noqa: F403

__all__ = [
    *_activation.__all__,
    *_anchors.__all__,
    *_blocks.__all__,
    *_pyramid.__all__,
    *_regions.__all__,
    *_adaptive_softmax.__all__,
    *_attention.__all__,
    *_embedding.__all__,
    *_lazy.__all__,
    *_distance.__all__,
    *_dropout.__all__,
    *_lp_pool.__all__,
    *_norm.__all__,
    *_patch.__all__,
    *_pad.__all__,
    *_rectifier.__all__,
    *_recurrent.__all__,
    *_recurrent_cell.__all__,
    *_sample_norm.__all__,
    *_transformer.__all__,
    *_unpool.__all__,
    *_upsample.__all__,
    *_loss_elements.__all__,
    *_loss_embeddings.__all__,
    *_loss_labels.__all__,
    *_margin_heads.__all__,
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
    "Bilinear",
    "Buffer",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "CrossEntropyLoss",
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
    "utils",
]


if not _TYPE_CHECKING:  # type checkers shall tell names that do not exist

    def __getattr__(name: str) -> _Any:
        raise _missing("nn", f"module {__name__!r}", name)
