# SPDX-License-Identifier: Apache-2.0
"""Tools for modules, with the names and arguments of ``torch.nn.utils``."""

from . import parametrizations, parametrize, rnn
from .split_weights import remove_spectral_norm, remove_weight_norm, spectral_norm, weight_norm

__all__ = [
    "parametrizations",
    "parametrize",
    "remove_spectral_norm",
    "remove_weight_norm",
    "rnn",
    "spectral_norm",
    "weight_norm",
]
