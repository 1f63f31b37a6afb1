# SPDX-License-Identifier: Apache-2.0
"""Data-parallel training: several processes, one model, MPI between them (extra `mpi`)."""

from __future__ import annotations

from typing import Any

from ..training import TrainStep
from .ranks import Ranks, ranks_of
from .step import RanksTrainStep

__all__ = ["Ranks", "RanksTrainStep", "make_step", "ranks_of"]


def make_step(ranks: Ranks | None, *args: Any, **settings: Any) -> TrainStep:
    """Return a training step of one process, or of several."""
    return TrainStep(*args, **settings) if ranks is None else RanksTrainStep(ranks, *args, **settings)
