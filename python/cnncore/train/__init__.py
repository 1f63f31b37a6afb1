# SPDX-License-Identifier: Apache-2.0
"""Training loops."""

from . import metrics
from .callbacks import Callback
from .history import History
from .trainer import Trainer

__all__ = ["Callback", "History", "Trainer", "metrics"]
