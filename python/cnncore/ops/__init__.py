# SPDX-License-Identifier: Apache-2.0
"""Operations on numpy arrays and, inside traced functions, on symbolic tensors.

Names, argument names and defaults are those of ``torch.nn.functional`` and ``torch``.
"""

from . import activation as _activation
from . import distance as _distance
from . import loss_margin as _loss_margin
from . import loss_regression as _loss_regression
from . import norm as _norm
from . import row_norm as _row_norm
from .activation import *  # noqa: F403
from .arithmetic import (
    abs,
    add,
    div,
    equal,
    exp,
    floor_divide,
    greater,
    greater_equal,
    log,
    maximum,
    minimum,
    mul,
    neg,
    not_equal,
    pow,
    remainder,
    sqrt,
    square,
    sub,
    where,
)
from .arrange import (
    cat,
    chunk,
    expand,
    flip,
    movedim,
    repeat,
    roll,
    split,
    squeeze,
    stack,
    swapaxes,
    tile,
    unbind,
    unsqueeze,
)
from .conv import conv1d, conv2d, conv3d
from .conv_pool import ConvPool as _ConvPool  # noqa: F401
from .conv_transpose import conv_transpose1d, conv_transpose2d, conv_transpose3d
from .distance import *  # noqa: F403
from .dropout import dropout
from .elementwise import Elementwise as _Elementwise  # noqa: F401  (the operation, not a function)
from .formula import Formula as _Formula  # noqa: F401
from .inverted_residual import InvertedResidual as _InvertedResidual  # noqa: F401
from .linear import linear, matmul
from .loss import cross_entropy
from .loss_margin import *  # noqa: F403
from .loss_regression import *  # noqa: F403
from .methods import Methods as _Methods  # noqa: F401
from .norm import *  # noqa: F403
from .numpy_names import OPERATIONS as _OPERATIONS
from .parts import concat, pad, slice
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
from .reduce import argmax, mean, sum
from .row_norm import *  # noqa: F403
from .shape import flatten, permute, reshape, transpose, unflatten
from .softmax import log_softmax, softmax
from .sort import (
    amax,
    amin,
    argmin,
    argsort,
    cummax,
    cummin,
    kthvalue,
    max,
    median,
    min,
    mode,
    sort,
    topk,
)
from .update import OptimizerUpdate as _OptimizerUpdate  # noqa: F401

__all__ = [
    *_activation.__all__,
    *_distance.__all__,
    *_norm.__all__,
    *_row_norm.__all__,
    *_loss_margin.__all__,
    *_loss_regression.__all__,
    "abs",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "add",
    "amax",
    "amin",
    "argmax",
    "argmin",
    "argsort",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "cat",
    "chunk",
    "concat",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cross_entropy",
    "cummax",
    "cummin",
    "div",
    "dropout",
    "equal",
    "exp",
    "expand",
    "flatten",
    "flip",
    "floor_divide",
    "greater",
    "greater_equal",
    "kthvalue",
    "linear",
    "log",
    "log_softmax",
    "matmul",
    "max",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "maximum",
    "mean",
    "median",
    "min",
    "minimum",
    "mode",
    "movedim",
    "mul",
    "neg",
    "not_equal",
    "pad",
    "permute",
    "pow",
    "remainder",
    "repeat",
    "reshape",
    "roll",
    "slice",
    "softmax",
    "sort",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "sub",
    "sum",
    "swapaxes",
    "tile",
    "topk",
    "transpose",
    "unbind",
    "unflatten",
    "unsqueeze",
    "where",
]

_OPERATIONS.update((_name, globals()[_name]) for _name in __all__)
