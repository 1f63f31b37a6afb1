# SPDX-License-Identifier: Apache-2.0
"""A network, its data and its training, as `cnncore train` sets them up."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import data, nn, runtime
from ..data.arrays import TEST_EVERY, every_fifth_of_each_class
from ..train import Callback, History, ModelCheckpoint, Trainer
from ..train.metrics import confusion_matrix
from ..train.moment import load_weights, weights_of
from ..train.state import previous
from .augment import AUGMENTATIONS, augmentation, training_transform
from .datasets import Images, Part
from .model_file import Description
from .networks import build, check_input
from .optimizers import optimizer
from .recipes import Recipe, learning_rate
from .transfer import FROZEN_SHARE, Thaw, begin_with

_WORKERS = 1
"""Threads that normalise the next batches; the kernels keep the cores busy."""

_EVALUATION_BATCH = 256


class Settings(NamedTuple):
    """What the command line says beside the recipe."""

    seed: int = 0
    optimizer: str = "adamw"
    schedule: str = "cosine"
    start: str | None = None
    """The file with weights to begin with."""
    transfer: bool = False
    """Whether these are fixed at first."""
    mixup: float | None = None
    best: bool = False
    resume: bool = False
    state: str = ""
    """The file that an interrupted training leaves."""


class Job:
    """A network, its data and its training.

    Args:
        images: training and test images.
        recipe: network, epochs and rates.
        description: of the model, for its file.
        settings: of the command line.
        comm: of the processes that train together, if there are several.
    """

    def __init__(
        self,
        images: Images,
        recipe: Recipe,
        description: Description,
        settings: Settings,
        comm: Any = None,
    ) -> None:
        self.images = images
        self.recipe = recipe
        self.description = description
        self.settings = settings
        check_input(recipe.model, description.image)
        self.model = build(recipe.model, len(images.classes), description.image[0])
        self._frozen: list[str] = []
        if settings.start is not None:
            loaded = begin_with(self.model, settings.start, recipe.model)
            self._frozen = loaded if settings.transfer else []
        self.trainer = Trainer(
            self.model,
            nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing),
            optimizer(settings.optimizer, self.model.parameters(), recipe.lr, recipe.weight_decay),
            comm=comm,
        )
        self._ranks = 1 if self.trainer.ranks is None else self.trainer.ranks.size
        self._train, held = images.train, None
        if settings.best:
            self._train, held = held_out(images)
        self.trained_images = len(self._train)
        self.held_images = 0 if held is None else len(held)
        self.test = self._loader(images.test)
        self._validation = self.test if held is None else self._loader(held)
        self._best = KeepBest()
        self._state = KeepState(settings.state)

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, whose weights the model has in the end."""
        return self.recipe.epochs if self._best.epoch is None else self._best.epoch + 1

    @property
    def last(self) -> Mapping[str, Any]:
        """The weights after the last epoch."""
        return self._state.last_weights or self.model.state_dict()

    @property
    def folder(self) -> str | None:
        """The folder of the run's report, or None; that of the run that goes on."""
        return self._state.folder

    @folder.setter
    def folder(self, folder: str | None) -> None:
        self._state.folder = folder

    def title(self) -> str:
        """Return what is trained on what."""
        _, height, width = self.description.image
        held, recipe = self.held_images, self.recipe
        lines = [
            f"{self.images.name}: {self.trained_images:,} training and {len(self.images.test):,} "
            f"test images of {height}x{width}, {len(self.images.classes)} classes"
            + (f", {held:,} held out to choose the epoch" if held else ""),
            f"{recipe.model}, batch {recipe.batch_size}, threads {runtime.get_num_threads()}"
            + (f" in each of {self._ranks} processes" if self._ranks > 1 else ""),
        ]
        if self._frozen:
            lines[1] += f"; {len(self._frozen)} parameters of {self.settings.start} fixed at first"
        elif self.settings.start is not None:
            lines[1] += f"; begun with {self.settings.start}"
        if recipe.augment != "none":
            lines.append(f"--augment {recipe.augment}: images are {AUGMENTATIONS[recipe.augment]}")
        return "\n".join(lines)

    def train(self, verbose: int) -> History:
        """Train for all epochs, with the test images as validation: nothing is chosen by them.

        With `best` the validation is what was held out.
        """
        batches = self._batches()
        own, epochs, settings = len(batches), self.recipe.epochs, self.settings
        steps = own // self._ranks if batches.drop_last else -(-own // self._ranks)
        callbacks: list[Callback] = [Schedule(self.recipe.lr, steps * epochs, settings.schedule)]
        if self._frozen:
            callbacks.append(Thaw(self._frozen, max(1, round(epochs * FROZEN_SHARE))))
        if settings.best:
            callbacks.append(self._best)
        callbacks.append(self._state)
        if settings.resume:
            self.trainer.resume(settings.state)
        return self.trainer.fit(
            batches, epochs, validation=self._validation, callbacks=callbacks, verbose=verbose
        )

    def forget_state(self) -> None:
        """Remove what `--resume` would go on from."""
        for name in (self.settings.state, previous(self.settings.state)):
            with suppress(FileNotFoundError):
                os.unlink(name)

    def matrix(self) -> NDArray[np.int64]:
        """Return the confusion matrix of the test images: (classes, classes), true class by answer."""
        return confusion_matrix(
            self.trainer.predict(self.test), self.images.test.labels, len(self.images.classes)
        )

    def _loader(self, images: Part) -> data.DataLoader:
        return data.DataLoader(
            images, _EVALUATION_BATCH, transform=self.description.normalise, workers=_WORKERS
        )

    def _batches(self) -> data.DataLoader:
        samples, recipe, mixup = self.trained_images, self.recipe, self.settings.mixup
        _, height, width = self.description.image
        augment = augmentation(recipe.augment, (height, width), recipe.shift)
        whole = recipe.batch_size * self._ranks
        mix = None if mixup is None else data.transforms.Mixup(len(self.images.classes), mixup)
        return data.DataLoader(
            self._train,
            recipe.batch_size,
            shuffle=True,
            seed=self.settings.seed,
            # Batch norm cannot learn from a batch of one, of any process.
            drop_last=samples > whole and 0 < samples % whole < 2 * self._ranks,
            transform=training_transform(augment, mix, self.description),
            workers=_WORKERS,
        )


def can_hold_out(images: Images) -> bool:
    """Whether there are images to choose the best epoch by."""
    return images.validation is not None or bool(every_fifth_of_each_class(images.train.labels).any())


def held_out(images: Images) -> tuple[Part, Part]:
    """Return images to train on and those that choose the epoch: the validation, or every fifth image."""
    if images.validation is not None:
        return images.train, images.validation
    held = every_fifth_of_each_class(images.train.labels)
    if not held.any():
        raise ValueError(f"--best: expected at least {TEST_EVERY} training images of some class")
    return images.train.take(~held), images.train.take(held)


class KeepBest(Callback):
    """Gives the model in the end the weights of the most accurate epoch, of several that of the least loss.

    Attributes:
        epoch: the best one from 0, or None.
    """

    def __init__(self) -> None:
        self.epoch: int | None = None
        self.figures: list[float] = []
        self._weights: dict[str, Any] | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        figures = [float(logs["val_accuracy"]), -float(logs["val_loss"])]
        if figures > self.figures:
            self.epoch, self.figures = epoch, figures
            self._weights = weights_of(self.trainer)

    def on_train_end(self) -> None:
        if self._weights is not None:
            load_weights(self.trainer, self._weights)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "figures": self.figures, "_weights": self._weights}


class Schedule(Callback):
    """Sets the learning rate of each step."""

    def __init__(self, highest: float, steps: int, schedule: str) -> None:
        self.settings = highest, steps, schedule
        self.step = 0

    def _set(self) -> None:
        highest, steps, schedule = self.settings
        self.trainer.optimizer.lr = learning_rate(highest, self.step, steps, schedule)

    def on_train_begin(self) -> None:
        self._set()

    def on_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        self.step += 1
        self._set()

    def state_dict(self) -> dict[str, Any]:
        return {"settings": self.settings, "step": self.step}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        if state_dict["settings"] != self.settings:
            raise ValueError(
                "--resume: expected the options and data of the training that was stopped, with (rate, "
                f"steps, schedule) {state_dict['settings']}, got {self.settings}"
            )
        self.step = state_dict["step"]
        self._set()


class KeepState(ModelCheckpoint):
    """Saves what `--resume` needs after each epoch, and where training is interrupted.

    Args:
        path: the file.

    Attributes:
        folder: of the run's report; None: that of the run that goes on, if it had one.
        last_weights: those at the end of training.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path.replace("{", "{{").replace("}", "}}"), keep="last", state=True)
        self.file = path
        self.folder: str | None = None
        self.last_weights: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "folder": self.folder}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        given = self.folder
        super().load_state_dict(state_dict)
        self.folder = given or self.folder

    def on_train_end(self) -> None:
        self.last_weights = self.trainer.model.state_dict()
        run = self.trainer._run
        if run is not None and run.history.interrupted and run.between_steps:
            self.trainer.save(self.file)
