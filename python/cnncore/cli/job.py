# SPDX-License-Identifier: Apache-2.0
"""A network, its data and its training, as `cnncore train` sets them up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from .. import data, nn, runtime
from ..data.arrays import TEST_EVERY, every_fifth_of_each_class
from ..train import Callback, EarlyStopping, History, ModelCheckpoint, Trainer
from ..train.state import previous
from .augment import ShiftedImages
from .datasets import Images
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
    transfer: str | None = None
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
        if settings.transfer is not None:
            self._frozen = begin_with(self.model, settings.transfer, recipe.model)
        self.trainer = Trainer(
            self.model,
            nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing),
            optimizer(settings.optimizer, self.model.parameters(), recipe.lr, recipe.weight_decay),
            comm=comm,
        )
        self._ranks = 1 if self.trainer.ranks is None else self.trainer.ranks.size
        self._train, held = images.train, None
        if settings.best:
            self._train, held = _split(images.train)
        self.trained_images = len(self._train[1])
        self.test = self._loader(images.test)
        self._validation = self.test if held is None else self._loader(held)
        self._best = EarlyStopping("val_accuracy", patience=recipe.epochs + 1, restore_best=True)

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, whose weights the model has in the end."""
        best = self._best.best_epoch
        return self.recipe.epochs if best is None else best + 1

    def title(self) -> str:
        """Return what is trained on what."""
        _, height, width = self.description.image
        held = len(self.images.train[1]) - self.trained_images
        return (
            f"{self.images.name}: {self.trained_images:,} training and {len(self.images.test[1]):,} "
            f"test images of {height}x{width}, {len(self.images.classes)} classes"
            + (f", {held:,} held out to choose the epoch" if held else "")
            + f"\n{self.recipe.model}, batch {self.recipe.batch_size}, threads {runtime.get_num_threads()}"
            + (f" in each of {self._ranks} processes" if self._ranks > 1 else "")
            + (
                f"; {len(self._frozen)} parameters of {self.settings.transfer} fixed at first"
                if self._frozen
                else ""
            )
        )

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
        callbacks.append(KeepState(settings.state))
        if settings.resume:
            if not os.path.exists(settings.state):
                raise ValueError(f"--resume: there is no {settings.state}, which a stopped training leaves")
            self.trainer.resume(settings.state)
        return self.trainer.fit(
            batches, epochs, validation=self._validation, callbacks=callbacks, verbose=verbose
        )

    def forget_state(self) -> None:
        """Remove what `--resume` would go on from."""
        for name in (self.settings.state, previous(self.settings.state)):
            with suppress(FileNotFoundError):
                os.unlink(name)

    def accuracy(self) -> float:
        """Return the accuracy on the test images."""
        return float(self.trainer.evaluate(self.test)["accuracy"])

    def _loader(self, images: Any) -> data.DataLoader:
        return data.DataLoader(
            images, _EVALUATION_BATCH, transform=self.description.normalise, workers=_WORKERS
        )

    def _batches(self) -> Any:
        samples, batch_size, mixup = self.trained_images, self.recipe.batch_size, self.settings.mixup
        whole = batch_size * self._ranks
        mix = None if mixup is None else data.transforms.Mixup(len(self.images.classes), mixup)
        loader = data.DataLoader(
            ShiftedImages(*self._train, self.recipe.shift, self.settings.seed),
            batch_size,
            shuffle=True,
            seed=self.settings.seed,
            # Batch norm cannot learn from a batch of one, of any process.
            drop_last=samples > whole and 0 < samples % whole < 2 * self._ranks,
            transform=self.description.normalise if mix is None else mix,
            workers=_WORKERS,
        )
        return loader if mix is None else Normalised(loader, self.description.normalise)


def _split(images: Any) -> tuple[Any, Any]:
    """Return images to train on and those held out."""
    pixels, labels = images
    held = every_fifth_of_each_class(labels)
    if not held.any():
        raise ValueError(f"--best: expected at least {TEST_EVERY} training images of some class")
    return (pixels[~held], labels[~held]), (pixels[held], labels[held])


class Normalised:
    """The batches of a loader whose images go through a function."""

    def __init__(self, loader: data.DataLoader, normalise: Callable[[Any], Any]) -> None:
        self.loader = loader
        self.normalise = normalise
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.loader)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)  # what tells its samples, order and sizes

    def batches(self, epoch: int, numbers: Any) -> Iterator[Any]:
        """Yield a batch for each array of sample numbers, as those of an epoch."""
        return ((self.normalise(images), labels) for images, labels in self.loader.batches(epoch, numbers))

    def __iter__(self) -> Iterator[Any]:
        self.loader.epoch = self.epoch
        self.epoch += 1
        return ((self.normalise(images), labels) for images, labels in self.loader)


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
    """Saves what `--resume` needs after each epoch, and where training is interrupted."""

    def __init__(self, path: str) -> None:
        super().__init__(path.replace("{", "{{").replace("}", "}}"), keep="last", state=True)
        self.file = path

    def on_train_end(self) -> None:
        run = self.trainer._run
        if run is not None and run.history.interrupted and run.between_steps:
            self.trainer.save(self.file)
