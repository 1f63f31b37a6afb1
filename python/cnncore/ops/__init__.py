# SPDX-License-Identifier: Apache-2.0
"""Operations on numpy arrays and, inside traced functions, on symbolic tensors.

Names, argument names and defaults are those of ``torch.nn.functional`` and ``torch``.
"""

from . import activation as _activation
from . import arithmetic as _arithmetic
from . import arrange as _arrange
from . import attention as _attention
from . import blend as _blend
from . import box_loss as _box_loss
from . import boxes as _boxes
from . import comparison as _comparison
from . import creation as _creation
from . import ctc as _ctc
from . import cumulative as _cumulative
from . import deform as _deform
from . import detach as _detach
from . import distance as _distance
from . import dropout as _dropout
from . import elementary as _elementary
from . import embedding as _embedding
from . import embedding_bag as _embedding_bag
from . import fractional_pool as _fractional_pool
from . import glu as _glu
from . import group_norm as _group_norm
from . import indexing as _indexing
from . import linalg as _linalg
from . import linear_loss as _linear_loss
from . import loss_classes as _loss_classes
from . import loss_distance as _loss_distance
from . import loss_margin as _loss_margin
from . import loss_overlap as _loss_overlap
from . import loss_regression as _loss_regression
from . import lovasz as _lovasz
from . import lp_pool as _lp_pool
from . import nms as _nms
from . import noise as _noise
from . import norm as _norm
from . import patch as _patch
from . import rearrange as _rearrange
from . import rectifier as _rectifier
from . import reduce as _reduce
from . import rnn as _rnn
from . import roi as _roi
from . import rounding as _rounding
from . import row_norm as _row_norm
from . import sample as _sample
from . import shape as _shape
from . import sort as _sort
from . import statistics as _statistics
from . import unpool as _unpool
from . import upsample as _upsample
from .activation import *  # noqa: F403
from .arithmetic import *  # noqa: F403
from .arrange import *  # noqa: F403
from .attention import *  # noqa: F403
from .blend import *  # noqa: F403
from .box_loss import *  # noqa: F403
from .boxes import *  # noqa: F403
from .comparison import *  # noqa: F403
from .conv import conv1d, conv2d, conv3d
from .conv_pool import ConvPool as _ConvPool  # noqa: F401
from .conv_transpose import conv_transpose1d, conv_transpose2d, conv_transpose3d
from .creation import *  # noqa: F403
from .ctc import *  # noqa: F403
from .cumulative import *  # noqa: F403
from .deform import *  # noqa: F403
from .detach import *  # noqa: F403
from .distance import *  # noqa: F403
from .dropout import *  # noqa: F403
from .elementary import *  # noqa: F403
from .elementwise import Elementwise as _Elementwise  # noqa: F401  (the operation, not a function)
from .embedding import *  # noqa: F403
from .embedding_bag import *  # noqa: F403
from .formula import Formula as _Formula  # noqa: F401
from .fractional_pool import *  # noqa: F403
from .glu import *  # noqa: F403
from .group_norm import *  # noqa: F403
from .indexing import *  # noqa: F403
from .inverted_residual import InvertedResidual as _InvertedResidual  # noqa: F401
from .linalg import *  # noqa: F403
from .linear import bilinear, linear, matmul
from .linear_loss import *  # noqa: F403
from .loss import cross_entropy
from .loss_classes import *  # noqa: F403
from .loss_distance import *  # noqa: F403
from .loss_margin import *  # noqa: F403
from .loss_overlap import *  # noqa: F403
from .loss_regression import *  # noqa: F403
from .lovasz import *  # noqa: F403
from .lp_pool import *  # noqa: F403
from .methods import Methods as _Methods  # noqa: F401
from .nms import *  # noqa: F403
from .noise import *  # noqa: F403
from .norm import *  # noqa: F403
from .numpy_names import OPERATIONS as _OPERATIONS
from .parts import concat, pad, slice
from .patch import *  # noqa: F403
from .pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from .portions import SplitBatch as _SplitBatch  # noqa: F401
from .rearrange import *  # noqa: F403
from .rectifier import *  # noqa: F403
from .reduce import *  # noqa: F403
from .rnn import *  # noqa: F403
from .rnn_cell import *  # noqa: F403
from .roi import *  # noqa: F403
from .rounding import *  # noqa: F403
from .row_norm import *  # noqa: F403
from .sample import *  # noqa: F403
from .shape import *  # noqa: F403
from .softmax import log_softmax, softmax
from .sort import *  # noqa: F403
from .statistics import *  # noqa: F403
from .unpool import *  # noqa: F403
from .update import OptimizerUpdate as _OptimizerUpdate  # noqa: F401
from .upsample import *  # noqa: F403

__all__ = [
    *_activation.__all__,
    *_upsample.__all__,
    *_rectifier.__all__,
    *_glu.__all__,
    *_patch.__all__,
    *_lp_pool.__all__,
    *_dropout.__all__,
    *_arithmetic.__all__,
    *_arrange.__all__,
    *_attention.__all__,
    *_blend.__all__,
    *_box_loss.__all__,
    *_boxes.__all__,
    *_comparison.__all__,
    *_creation.__all__,
    *_cumulative.__all__,
    *_deform.__all__,
    *_detach.__all__,
    *_distance.__all__,
    *_elementary.__all__,
    *_embedding.__all__,
    *_embedding_bag.__all__,
    *_group_norm.__all__,
    *_indexing.__all__,
    *_linalg.__all__,
    *_ctc.__all__,
    *_linear_loss.__all__,
    *_loss_classes.__all__,
    *_loss_distance.__all__,
    *_loss_overlap.__all__,
    *_lovasz.__all__,
    *_loss_margin.__all__,
    *_loss_regression.__all__,
    *_nms.__all__,
    *_norm.__all__,
    *_rearrange.__all__,
    *_reduce.__all__,
    *_rnn.__all__,
    *_roi.__all__,
    *_rounding.__all__,
    *_row_norm.__all__,
    *_sample.__all__,
    *_shape.__all__,
    *_sort.__all__,
    *_statistics.__all__,
    *_unpool.__all__,
    *_noise.__all__,
    *_fractional_pool.__all__,
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "bilinear",
    "concat",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cross_entropy",
    "linear",
    "log_softmax",
    "matmul",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "pad",
    "slice",
    "softmax",
]

_OPERATIONS.update((_name, globals()[_name]) for _name in __all__)
