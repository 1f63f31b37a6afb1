# SPDX-License-Identifier: Apache-2.0
"""Optimisers with the names, arguments, defaults and arithmetic of ``torch.optim``."""

from . import lr_scheduler
from .adam import Adam, AdamW
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler"]
