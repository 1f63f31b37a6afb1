# SPDX-License-Identifier: Apache-2.0
"""`cnncore train`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from typing import Any

from .. import runtime
from ..train import History
from ..train.metrics import confusion_matrix
from . import model_file
from .datasets import Images, read
from .job import Job, Settings
from .optimizers import RATES
from .output import NonFiniteLossError, print_result
from .parser import DEFAULT_MODEL_FILE
from .ranks import communicator
from .recipes import IMAGES, RECIPES, Recipe
from .report import check_folder, class_rows, class_table, write_report
from .transfer import network_of


def run(options: argparse.Namespace) -> None:
    """Train, save, and print the test accuracy."""
    recipe = _recipe(options)
    _check_writable(options.out)
    if options.report is not None:
        check_folder(options.report)
    runtime.manual_seed(options.seed)
    images = read(options.dataset, options, options.size)
    job = Job(images, recipe, _describe(images, recipe), _settings(options), communicator())
    if not options.quiet and job.trainer.writes:
        print(job.title(), file=sys.stderr)
    started = time.perf_counter()
    history = job.train(verbose=0 if options.quiet else 1)
    seconds = time.perf_counter() - started
    if not job.trainer.writes:
        return
    if history.interrupted:
        _save(options, job, job.accuracy())
        print(f"saved {options.out} as trained so far; --resume goes on", file=sys.stderr)
        raise KeyboardInterrupt
    if history.nonfinite is not None:
        job.forget_state()
        _save(options, job, job.accuracy())
        raise NonFiniteLossError(
            f"the loss became NaN or infinite; saved {options.out} as after {history.epochs} of "
            f"{recipe.epochs} epochs"
        )
    accuracy = job.accuracy() if options.best else float(history["val_accuracy"][-1])
    _save(options, job, accuracy)
    job.forget_state()
    rate = job.trained_images * recipe.epochs / sum(history["seconds"])
    which = f"epoch {job.best_epoch} of " if options.best else ""
    result = {
        "dataset": images.name,
        "model": recipe.model,
        "epochs": recipe.epochs,
        "test_accuracy": accuracy,
        "epoch_validation_accuracy" if options.best else "epoch_test_accuracy": history["val_accuracy"],
        "seconds": seconds,
        "images_per_second": rate,
        "file": options.out,
    }
    if options.best:
        result["best_epoch"] = job.best_epoch
    text = (
        f"test accuracy {accuracy:.2%} after {which}{recipe.epochs} epochs: {seconds:.1f} s, "
        f"{rate:,.0f} images/s\n"
        f"saved {options.out}"
    )
    if options.report is not None:
        text = f"{_report(options, job, history, result)}\n{text}, and a report in {options.report}"
    print_result(options, text, result)


def _report(options: argparse.Namespace, job: Job, history: History, result: dict[str, Any]) -> str:
    """Write the report, add the figures of classes to the result, and return them as text."""
    matrix = confusion_matrix(job.trainer.predict(job.test), job.images.test[1], len(job.images.classes))
    settings = {name: value for name, value in vars(options).items() if name != "run"}
    settings.update(vars(job.recipe), test_accuracy=result["test_accuracy"])
    write_report(options.report, settings, history, matrix, job.images.classes)
    rows = class_rows(matrix, job.images.classes)
    result.update(classes=rows, confusion_matrix=matrix.tolist(), report=options.report)
    return class_table(rows)


def _save(options: argparse.Namespace, job: Job, accuracy: float) -> None:
    """Write the model; an older one under the name that nobody chose is kept."""
    older = model_file.keep_older(options.out) if options.out == DEFAULT_MODEL_FILE else None
    model_file.save(options.out, job.model, replace(job.description, test_accuracy=accuracy))
    if older:
        print(f"the older {options.out} is now {older}", file=sys.stderr)


def _settings(options: argparse.Namespace) -> Settings:
    stem, extension = os.path.splitext(options.out)
    return Settings(
        seed=options.seed,
        optimizer=options.optimizer,
        schedule=options.schedule,
        transfer=options.transfer,
        mixup=options.mixup,
        best=options.best,
        resume=options.resume,
        state=f"{stem}.training{extension}",
    )


def _recipe(options: argparse.Namespace) -> Recipe:
    given = {
        name: getattr(options, name)
        for name in ("model", "epochs", "batch_size", "lr", "label_smoothing")
        if getattr(options, name) is not None
    }
    recipe = RECIPES.get(options.dataset, IMAGES)
    if options.transfer is not None and "model" not in given:
        given["model"] = network_of(options.transfer) or recipe.model
    return replace(recipe, **{"lr": recipe.lr * RATES[options.optimizer], **given})


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
