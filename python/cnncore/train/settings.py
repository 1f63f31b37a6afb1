# SPDX-License-Identifier: Apache-2.0
"""What a Trainer is made with, checked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .._checks import is_integer, is_real
from ..nn.module import Module
from ..optim.lr_scheduler import LRScheduler
from ..optim.optimizer import Optimizer
from ..optim.swa_utils import EMA, AveragedModel

if TYPE_CHECKING:
    from ..distributed import Ranks


MOST = 2**31 - 1
"""Epochs, batches and steps: with more, training would not end."""


def count(name: str, value: Any, least: int) -> int:
    """Return an integer from `least` to `MOST`; refuse anything else by its name."""
    if not is_integer(value) or value < least:
        raise ValueError(f"expected {name} as an integer of at least {least}, got {value!r}")
    if value > MOST:
        raise ValueError(f"expected {name} of at most {MOST}, got {value}")
    return int(value)


def schedulers_of(scheduler: Any, optimizer: Optimizer) -> list[LRScheduler]:
    """Return the schedulers of a Trainer's optimiser as a list."""
    if scheduler is None:
        return []
    found = [scheduler] if isinstance(scheduler, LRScheduler) else scheduler
    if not isinstance(found, Iterable):
        raise TypeError(f"expected a scheduler of optim.lr_scheduler or a list of such, got {scheduler!r}")
    found = list(found)
    for each in found:
        if not isinstance(each, LRScheduler):
            called = f": make one, {each.__name__}(optimizer, ...)" if isinstance(each, type) else ""
            raise TypeError(f"expected a scheduler of optim.lr_scheduler, got {each!r}{called}")
        if each.optimizer is not optimizer:
            raise ValueError(
                f"expected a scheduler of the Trainer's optimizer, got one of {each.optimizer!r}"
            )
    return found


def averaged_of(model: Module, ema: Any) -> AveragedModel | None:
    """Return the average of a model's weights that `ema` asks for, a decay or an average that is there."""
    if ema is None or isinstance(ema, AveragedModel):
        return ema
    if not is_real(ema) or isinstance(ema, bool) or not 0 <= float(ema) < 1:
        raise ValueError(f"expected ema as a decay from 0 to below 1, or an AveragedModel, got {ema!r}")
    return EMA(model, decay=float(ema))


def ranks_of(comm: Any) -> Ranks | None:
    """Return the processes of an MPI communicator, which train together."""
    if comm is None:
        return None
    from .. import distributed

    return distributed.ranks_of(comm)
