# SPDX-License-Identifier: Apache-2.0
"""The state of a Trainer between two epochs: taken, and brought back as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._core import write_storages
from ..nn.state import loadable_state

if TYPE_CHECKING:
    from .trainer import Trainer


def weights_of(trainer: Trainer) -> dict[str, Any]:
    """Return copies of the arrays of the model and of its average."""
    averaged = trainer.averaged
    return {
        "model": trainer.model.state_dict(),
        "averaged": None if averaged is None else averaged.state_dict(),
    }


def load_weights(trainer: Trainer, weights: Mapping[str, Any]) -> None:
    """Bring back what `weights_of` returned."""
    trainer.model.load_state_dict(weights["model"])
    if trainer.averaged is not None and weights["averaged"] is not None:
        trainer.averaged.load_state_dict(weights["averaged"])


def moment_of(trainer: Trainer) -> dict[str, Any]:
    """Return copies of all that epochs change."""
    return {
        **weights_of(trainer),
        "optimizer": trainer.optimizer.state_dict(),
        "schedulers": [scheduler.state_dict() for scheduler in trainer.schedulers],
        "epoch": trainer.epoch,
    }


def go_back(trainer: Trainer, moment: Mapping[str, Any]) -> None:
    """Bring back a moment; model, average, optimiser and epoch in one call, which Ctrl-C cannot cut."""
    optimizer = trainer.optimizer
    with optimizer.lock:
        storages, arrays, _ = loadable_state(trainer.model, moment["model"])
        own, own_arrays, settings = optimizer.loadable_state(moment["optimizer"])
        storages, arrays = [*storages, *own], [*arrays, *own_arrays]
        if trainer.averaged is not None and moment["averaged"] is not None:
            more, more_arrays, _ = loadable_state(trainer.averaged, moment["averaged"])
            storages, arrays = [*storages, *more], [*arrays, *more_arrays]
        settings.append((vars(trainer), {"epoch": moment["epoch"]}))
        write_storages(storages, arrays, settings)
    for scheduler, state in zip(trainer.schedulers, moment["schedulers"], strict=True):
        scheduler.load_state_dict(state)
