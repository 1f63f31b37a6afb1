# SPDX-License-Identifier: Apache-2.0
"""Every operation once more in numpy and float64: naive, slow, and right by inspection.

Arrays mean (batch, channels, spatial...) with any number of spatial axes. Nothing here knows of layouts,
threads or algorithms. Gradients are written from the definition, not derived from the library's.
"""

from .arrays import Array, Indices, Ints, float64, output_extents
from .bounds import EPS, dot_bound, winograd_growth
from .conv import conv, conv_backward_bias, conv_backward_data, conv_backward_weight
from .differences import numerical_gradient
from .interpolate import interpolate
from .loss import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from .norm import batch_norm, batch_norm_backward, batch_norm_running, group_norm
from .optim import adam, sgd
from .pool import (
    adaptive_avg_pool,
    adaptive_avg_pool_backward,
    adaptive_max_pool,
    adaptive_max_pool_backward,
    adaptive_windows,
    avg_pool,
    avg_pool_backward,
    max_pool,
    max_pool_backward,
)
from .softmax import log_softmax, log_softmax_backward, softmax, softmax_backward

__all__ = [
    "EPS",
    "Array",
    "Indices",
    "Ints",
    "adam",
    "adaptive_avg_pool",
    "adaptive_avg_pool_backward",
    "adaptive_max_pool",
    "adaptive_max_pool_backward",
    "adaptive_windows",
    "avg_pool",
    "avg_pool_backward",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_running",
    "binary_cross_entropy_with_logits",
    "conv",
    "conv_backward_bias",
    "conv_backward_data",
    "conv_backward_weight",
    "cross_entropy",
    "dot_bound",
    "float64",
    "group_norm",
    "interpolate",
    "log_softmax",
    "log_softmax_backward",
    "max_pool",
    "max_pool_backward",
    "mse_loss",
    "numerical_gradient",
    "output_extents",
    "sgd",
    "softmax",
    "softmax_backward",
    "winograd_growth",
]
