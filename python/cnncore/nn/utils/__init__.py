# SPDX-License-Identifier: Apache-2.0
"""Tools for modules, with the names and arguments of ``torch.nn.utils``."""

from . import parametrizations, parametrize, rnn

__all__ = ["parametrizations", "parametrize", "rnn"]
