# SPDX-License-Identifier: Apache-2.0
"""Optimisers with the names, arguments, defaults and arithmetic of ``torch.optim``, and some beyond it."""

from . import lr_scheduler
from .adam import Adam, AdamW, NAdam, RAdam
from .adaptive import ASGD, Adadelta, Adagrad, Adamax, RMSprop, Rprop
from .large_batch import LAMB, LARS, Lion
from .optimizer import Optimizer
from .sgd import SGD

__all__ = [
    "ASGD",
    "LAMB",
    "LARS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "lr_scheduler",
]
