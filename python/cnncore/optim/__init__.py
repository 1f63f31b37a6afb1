# SPDX-License-Identifier: Apache-2.0
"""Optimisers with the names, arguments, defaults and arithmetic of ``torch.optim``, and some beyond it."""

from . import lr_scheduler, swa_utils
from .adafactor import Adafactor
from .adam import Adam, AdamW, NAdam, RAdam
from .adaptive import ASGD, Adadelta, Adagrad, Adamax, RMSprop, Rprop
from .large_batch import LAMB, LARS, Lion
from .muon import Muon
from .optimizer import Optimizer
from .sgd import SGD
from .swa_utils import EMA

__all__ = [
    "ASGD",
    "EMA",
    "LAMB",
    "LARS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "lr_scheduler",
    "swa_utils",
]
