# SPDX-License-Identifier: Apache-2.0
"""`cnncore train`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass, replace

from .. import data, nn, optim, runtime
from ..train import Callback, History, Trainer
from . import model_file
from .augment import ShiftedImages
from .datasets import Images, read
from .networks import build, check_input
from .output import NonFiniteLossError, print_result
from .parser import DEFAULT_MODEL_FILE
from .recipes import IMAGES, RECIPES, Recipe, learning_rate

_WORKERS = 1
"""Threads that normalise the next batches; the kernels keep the cores busy."""

_EVALUATION_BATCH = 256


def run(options: argparse.Namespace) -> None:
    """Train, save, and print the test accuracy."""
    recipe = _recipe(options)
    _check_writable(options.out)
    runtime.manual_seed(options.seed)
    images = read(options.dataset, options, options.size)
    job = _Job(images, recipe, _describe(images, recipe), options.seed)
    if not options.quiet:
        print(job.title(), file=sys.stderr)
    started = time.perf_counter()
    history = job.train(verbose=0 if options.quiet else 1)
    seconds = time.perf_counter() - started
    if history.interrupted:
        _save(options, job, job.accuracy())
        print(f"saved {options.out} as trained so far", file=sys.stderr)
        raise KeyboardInterrupt
    if history.nonfinite is not None:
        _save(options, job, job.accuracy())
        raise NonFiniteLossError(
            f"the loss became NaN or infinite; saved {options.out} as after {history.epochs} of "
            f"{recipe.epochs} epochs"
        )
    accuracy = float(history["val_accuracy"][-1])
    _save(options, job, accuracy)
    rate = len(images.train[1]) * recipe.epochs / sum(history["seconds"])
    print_result(
        options,
        f"test accuracy {accuracy:.2%} after {recipe.epochs} epochs: {seconds:.1f} s, {rate:,.0f} images/s\n"
        f"saved {options.out}",
        {
            "dataset": images.name,
            "model": recipe.model,
            "epochs": recipe.epochs,
            "test_accuracy": accuracy,
            "epoch_test_accuracy": history["val_accuracy"],
            "seconds": seconds,
            "images_per_second": rate,
            "file": options.out,
        },
    )


@dataclass
class _Job:
    """A network, its data and its training."""

    images: Images
    recipe: Recipe
    description: model_file.Description
    seed: int

    def __post_init__(self) -> None:
        check_input(self.recipe.model, self.description.image)
        self.model = build(self.recipe.model, len(self.images.classes), self.description.image[0])
        optimizer = optim.AdamW(
            self.model.parameters(), lr=self.recipe.lr, weight_decay=self.recipe.weight_decay
        )
        loss = nn.CrossEntropyLoss(label_smoothing=self.recipe.label_smoothing)
        self.trainer = Trainer(self.model, loss, optimizer)
        self.test = data.DataLoader(
            self.images.test, _EVALUATION_BATCH, transform=self.description.normalise, workers=_WORKERS
        )

    def title(self) -> str:
        """Return what is trained on what."""
        _, height, width = self.description.image
        return (
            f"{self.images.name}: {len(self.images.train[1]):,} training and {len(self.images.test[1]):,} "
            f"test images of {height}x{width}, {len(self.images.classes)} classes\n"
            f"{self.recipe.model}, batch {self.recipe.batch_size}, threads {runtime.get_num_threads()}"
        )

    def train(self, verbose: int) -> History:
        """Train for all epochs, with the test images as validation: nothing is chosen by them."""
        samples, batch_size = len(self.images.train[1]), self.recipe.batch_size
        train = data.DataLoader(
            ShiftedImages(*self.images.train, self.recipe.shift, self.seed),
            batch_size,
            shuffle=True,
            seed=self.seed,
            # Batch norm cannot learn from a batch of one.
            drop_last=samples > batch_size and samples % batch_size == 1,
            transform=self.description.normalise,
            workers=_WORKERS,
        )
        schedule = _Schedule(self.recipe.lr, len(train) * self.recipe.epochs)
        return self.trainer.fit(
            train, self.recipe.epochs, validation=self.test, callbacks=[schedule], verbose=verbose
        )

    def accuracy(self) -> float:
        """Return the accuracy on the test images."""
        return float(self.trainer.evaluate(self.test)["accuracy"])


class _Schedule(Callback):
    """Sets the learning rate of each step."""

    def __init__(self, highest: float, steps: int) -> None:
        self.highest = highest
        self.steps = steps
        self.step = 0

    def on_train_begin(self) -> None:
        self.trainer.optimizer.lr = learning_rate(self.highest, 0, self.steps)

    def on_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        self.step += 1
        self.trainer.optimizer.lr = learning_rate(self.highest, self.step, self.steps)


def _save(options: argparse.Namespace, job: _Job, accuracy: float) -> None:
    """Write the model; an older one under the name that nobody chose is kept."""
    older = model_file.keep_older(options.out) if options.out == DEFAULT_MODEL_FILE else None
    model_file.save(options.out, job.model, replace(job.description, test_accuracy=accuracy))
    if older:
        print(f"the older {options.out} is now {older}", file=sys.stderr)


def _recipe(options: argparse.Namespace) -> Recipe:
    given = {
        name: getattr(options, name)
        for name in ("model", "epochs", "batch_size", "lr")
        if getattr(options, name) is not None
    }
    return replace(RECIPES.get(options.dataset, IMAGES), **given)


def _describe(images: Images, recipe: Recipe) -> model_file.Description:
    channels, height, width = (int(extent) for extent in images.train[0].shape[1:])
    mean, std = model_file.channel_moments(images.train[0])
    image = (channels, height, width)
    return model_file.Description(recipe.model, images.classes, image, mean, std, images.name, 0.0)


def _check_writable(path: str) -> None:
    """Raise before the training, not after it, where the result could not be saved."""
    if not path or "\0" in path:
        raise ValueError(f"--out: expected a file's name, got {path!r}")
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path}: expected a file to write, got a folder")
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{path}: the folder {folder} is not writable")
