# SPDX-License-Identifier: Apache-2.0
"""Tools for modules, with the names and arguments of ``torch.nn.utils``."""

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from ...graph.hints import missing as _missing
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


if not _TYPE_CHECKING:  # type checkers shall tell names that do not exist

    def __getattr__(name: str) -> _Any:
        raise _missing("utils", f"module {__name__!r}", name)
