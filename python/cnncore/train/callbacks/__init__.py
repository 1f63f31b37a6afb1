# SPDX-License-Identifier: Apache-2.0
"""What happens beside training: hooks, and the usual callbacks."""

from .base import Callback, Lambda
from .checkpoints import ModelCheckpoint
from .logs import CSVLogger, TensorBoard
from .rates import LearningRateScheduler, ReduceLROnPlateau
from .stopping import EarlyStopping, TerminateOnNaN

__all__ = [
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "Lambda",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
]
