# SPDX-License-Identifier: Apache-2.0
"""Weights to begin with, and the epochs in which they stay as they are."""

from __future__ import annotations

from .. import io, nn
from ..model_file import read_about
from ..train import Callback
from . import model_file
from .networks import names

FROZEN_SHARE = 0.25
"""Of the epochs, in which only what is new is trained."""


def network_of(path: str) -> str | None:
    """Return the name of the network whose weights are in a file, where the file says it."""
    try:
        about = read_about(path)
    except ValueError:  # a torch checkpoint, for example
        return None
    name = None if about is None else about.get("model")
    return name if name in names() else None


def started_from(path: str) -> model_file.Description | None:
    """Return what a file says about the images that its weights are for; None where it says nothing."""
    try:
        about = read_about(path)
    except ValueError:
        return None
    return None if about is None or "model" not in about else model_file.describe(path)


def begin_with(model: nn.Module, path: str, network: str) -> list[str]:
    """Load what fits of a file's weights.

    Returns:
        The names of the parameters that were loaded; none where all were.

    Raises:
        ValueError: another network's weights.
    """
    report = io.load_into(model, path, strict=False)
    new = {*report.missing_keys, *report.mismatched_keys}
    parameters = dict(model.named_parameters())
    loaded = [name for name in parameters if name not in new]
    if sum(parameters[name].size for name in loaded) < 0.5 * sum(p.size for p in parameters.values()):
        raise ValueError(
            f"{path}: fits {len(loaded)} of {len(parameters)} parameters of {network}: choose the --model "
            "whose weights these are"
        )
    return loaded if len(loaded) < len(parameters) else []


class Thaw(Callback):
    """Keeps parameters fixed in the first epochs.

    Args:
        frozen: names of the parameters.
        epochs: how many.
    """

    def __init__(self, frozen: list[str], epochs: int) -> None:
        self.frozen = frozen
        self.epochs = epochs

    def on_train_begin(self) -> None:
        self.on_epoch_begin(self.trainer.epoch)

    def on_epoch_begin(self, epoch: int) -> None:
        parameters = dict(self.trainer.model.named_parameters())
        for name in self.frozen:
            parameters[name].requires_grad = epoch >= self.epochs

    def on_train_end(self) -> None:
        for parameter in self.trainer.model.parameters():
            parameter.requires_grad = True
