# SPDX-License-Identifier: Apache-2.0
"""Saving during training."""

from __future__ import annotations

import os
from typing import Any

from ..._files import check_path
from ...io.safetensors import check_name
from ...nn.arguments import flag, one_of
from ..settings import count
from .base import Callback
from .monitor import Monitor

_KEEP = ("best", "every", "last")


class ModelCheckpoint(Callback):
    """Saves the model, or all that a run needs to go on, while training.

    Args:
        path: the file. ``{epoch}`` (from 1) and names of figures in braces are filled in, as in
            ``"model-{epoch:03d}-{val_loss:.3f}.safetensors"``.
        monitor: the figure that says what is best; None: "val_loss" where there is validation, else "loss".
        mode: "min", "max", or "auto" by the name of the figure.
        keep: "best": save after an epoch that is better than all before; "every": after each epoch, under a
            name of its own; "last": after each epoch.
        state: save with `Trainer.save`, to go on with `Trainer.resume`; otherwise the model alone, with
            `cc.save`.
        batches: save after so many steps, too; only for "last".

    Attributes:
        best: the best value so far.

    Raises:
        ValueError: an unknown `keep`; a path without {epoch} for "every"; `batches` below 1 or without
            `keep="last"`; names in braces that are no figures.

    >>> callback = ModelCheckpoint("best.safetensors", monitor="val_accuracy")
    >>> every_100_steps = ModelCheckpoint("run.safetensors", keep="last", state=True, batches=100)
    """

    last = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: str | None = None,
        mode: str = "auto",
        keep: str = "best",
        state: bool = False,
        batches: int | None = None,
    ) -> None:
        self.path = check_path(path)
        check_name(self.path)
        self.keep, self.state = one_of("keep", keep, _KEEP), flag("state", state)
        if keep == "every" and "{epoch" not in self.path:
            raise ValueError(f"keep='every' needs {{epoch}} in the path, got {self.path!r}")
        self.batches = None if batches is None else count("batches", batches, 1)
        if batches is not None and (keep != "last" or "{" in self.path):
            raise ValueError("batches= goes with keep='last' and a path without braces")
        self.monitor = Monitor(monitor, mode)
        self.best: float | None = None
        self.steps = 0

    def on_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        self.steps += 1
        if self.batches is not None and self.steps % self.batches == 0:
            self._save(self.path)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        if self.keep == "best":
            name, value = self.monitor.value(logs)
            if not self.monitor.better(name, value, self.best):
                return
            self.best = value
        try:
            path = self.path.format(**{**logs, "epoch": epoch + 1})
        except (KeyError, IndexError) as error:
            raise ValueError(
                f"{self.path}: expected epoch and names of figures ({', '.join(logs)}) in braces, got {error}"
            ) from None
        self._save(path)

    def _save(self, path: str) -> None:
        if self.state:
            self.trainer.save(path)
        else:
            self.trainer.save_model(path)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "steps": self.steps}
