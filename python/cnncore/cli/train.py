# SPDX-License-Identifier: Apache-2.0
"""`cnncore train`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace

import numpy as np

from .. import runtime
from ..io.safetensors import check_name
from ..train import History
from . import datasets, model_file
from .datasets import Images
from .job import Job, Settings, can_hold_out
from .networks import usual_size
from .optimizers import RATES
from .output import NonFiniteLossError, UsageError, print_result
from .parser import DEFAULT_MODEL_FILE
from .photos import FIT_TEXTS, Wanted, counts_text, left_out_rows, read_photos, report_left_out
from .ranks import communicator
from .recipes import RECIPES, Recipe, for_images
from .report import check_folder, class_rows, class_table, matrix_text, mean_row, write_run
from .runs import RUNS, forget_run, new_run
from .transfer import network_of, started_from


def run(options: argparse.Namespace) -> None:
    """Train, save, and print the test accuracy and, of a folder of images, the figures of classes."""
    _check_writable(options.out)
    if options.report is not None:
        check_folder(options.report)
    state = _state(options)
    if options.resume and not os.path.exists(state):
        raise ValueError(f"--resume: there is no {state}, which a stopped training leaves")
    runtime.manual_seed(options.seed)
    comm = communicator()
    images = _read(options, writes=comm is None or comm.Get_rank() == 0)
    recipe = _recipe(options, images)
    settings = _settings(options, images)
    job = Job(images, recipe, _describe(images, recipe), settings, comm)
    writes = job.trainer.writes
    if not options.quiet and writes:
        print(_title(job), file=sys.stderr)
    job.folder = _report_folder(options) if writes else None
    started = time.perf_counter()
    try:
        history = job.train(verbose=0 if options.quiet else 1)
    except BaseException:
        forget_run(job.folder)
        raise
    seconds = time.perf_counter() - started
    if not writes:
        return
    matrix = job.matrix()
    accuracy = float(np.trace(matrix) / matrix.sum())
    _save(options, job, accuracy, history)
    report = write_run(job, options, history, matrix, accuracy)
    if history.interrupted:
        print(f"saved {options.out} as trained so far; --resume goes on", file=sys.stderr)
        raise KeyboardInterrupt
    job.forget_state()
    if history.nonfinite is not None:
        raise NonFiniteLossError(
            f"the loss became NaN or infinite; saved {options.out} as after {history.epochs} of "
            f"{recipe.epochs} epochs"
        )
    rate = job.trained_images * recipe.epochs / sum(history["seconds"])
    which = f"epoch {job.best_epoch} of " if settings.best else ""
    figures = "epoch_validation_accuracy" if settings.best else "epoch_test_accuracy"
    result = {
        "dataset": images.name,
        "model": recipe.model,
        "epochs": recipe.epochs,
        "test_accuracy": accuracy,
        figures: history["val_accuracy"],
        "seconds": seconds,
        "images_per_second": rate,
        "file": options.out,
    }
    if settings.best:
        result["best_epoch"] = job.best_epoch
    if _is_folder(options):
        result.update(size=list(images.image[1:]), fit=images.fit, left_out=left_out_rows(images.left_out))
    text = (
        f"test accuracy {accuracy:.2%} after {which}{recipe.epochs} epochs: {seconds:.1f} s, "
        f"{rate:,.0f} images/s\n"
        f"saved {options.out}" + (f", and a report in {report}" if report else "")
    )
    if report is not None or _is_folder(options):
        rows = class_rows(matrix, images.classes)
        text = f"{class_table(rows)}\n\n{matrix_text(matrix, images.classes)}\n\n{text}"
        result.update(classes=rows, mean=mean_row(rows), confusion_matrix=matrix.tolist(), report=report)
    print_result(options, text, result)


def _is_folder(options: argparse.Namespace) -> bool:
    return options.dataset not in datasets.NAMES


def _read(options: argparse.Namespace, writes: bool) -> Images:
    """Return the images; what is said about those of a folder, or by the model to begin with, goes before.

    Args:
        options: of the command line.
        writes: whether this process tells how far it is.
    """
    if not _is_folder(options):
        if options.size is not None or options.fit is not None:
            raise UsageError(
                f"--size and --fit are for folders of images; those of {options.dataset} have a size"
            )
        return datasets.read(options.dataset, options)
    datasets.check_folder(options.dataset)
    start = _start(options)
    known = None if start is None else started_from(start)
    wanted = Wanted(size=usual_size(options.model), memory=options.cache << 20)
    if known is not None:
        wanted = wanted._replace(
            size=known.image[1:], fit=known.fit, channels=known.image[0], mean=known.mean, std=known.std
        )
    given = {name: value for name in ("size", "fit") if (value := getattr(options, name)) is not None}
    images = read_photos(options.dataset, wanted._replace(**given), options.quiet or not writes)
    if writes:
        count = sum(len(part) for part in images.parts) + len(images.left_out)
        report_left_out(images.left_out, count)
    return images


def _title(job: Job) -> str:
    """Return what is trained on what and, of a folder, what becomes of its images."""
    images, lines = job.images, job.title().split("\n")
    if not images.prepared:
        height, width = images.image[1:]
        lines[1:1] = [
            f"{counts_text(images)}",
            f"images are made {height}x{width}: {FIT_TEXTS[images.fit]} (--size, --fit)",
        ]
    elif images.name not in datasets.NAMES:
        lines[1:1] = [counts_text(images)]
    return "\n".join(lines)


def _save(options: argparse.Namespace, job: Job, accuracy: float, history: History) -> None:
    """Write the model; an older one under the name that nobody chose is kept."""
    older = model_file.keep_older(options.out) if options.out == DEFAULT_MODEL_FILE else None
    model_file.save(options.out, job.model, replace(job.description, test_accuracy=accuracy), history)
    if older:
        print(f"the older {options.out} is now {older}", file=sys.stderr)


def _start(options: argparse.Namespace) -> str | None:
    """Return the file with weights to begin with, or None."""
    found: str | None = options.transfer if options.transfer is not None else options.init
    return found


def _state(options: argparse.Namespace) -> str:
    """Return the name of the file that a stopped training leaves."""
    stem, extension = os.path.splitext(options.out)
    return f"{stem}.training{extension}"


def _settings(options: argparse.Namespace, images: Images) -> Settings:
    best = options.best
    if best is None:
        best = _is_folder(options) and can_hold_out(images)
    return Settings(
        seed=options.seed,
        optimizer=options.optimizer,
        schedule=options.schedule,
        start=_start(options),
        transfer=options.transfer is not None,
        mixup=options.mixup,
        best=best,
        resume=options.resume,
        state=_state(options),
    )


def _report_folder(options: argparse.Namespace) -> str | None:
    """Return the folder for the report: that which is named, a new one for a folder of images, or None."""
    if options.report is not None:
        return str(options.report)
    if not _is_folder(options) or options.resume:
        return None
    try:
        return new_run()
    except OSError as error:
        raise type(error)(error.errno, f"{error.strerror}; --report DIR writes elsewhere", RUNS) from None


def _recipe(options: argparse.Namespace, images: Images) -> Recipe:
    given = {
        name: getattr(options, name)
        for name in ("model", "epochs", "batch_size", "lr", "label_smoothing", "augment")
        if getattr(options, name) is not None
    }
    recipe = RECIPES.get(options.dataset)
    if recipe is None:
        recipe = for_images(len(images.train), images.prepared)
    if "augment" in given and given["augment"] != recipe.augment:
        given["shift"] = 0
    start = _start(options)
    if start is not None and "model" not in given:
        given["model"] = network_of(start) or recipe.model
    return replace(recipe, **{"lr": recipe.lr * RATES[options.optimizer], **given})


def _describe(images: Images, recipe: Recipe) -> model_file.Description:
    return model_file.Description(
        model=recipe.model,
        classes=images.classes,
        image=images.image,
        mean=images.mean,
        std=images.std,
        dataset=images.name,
        test_accuracy=0.0,
        fit=images.fit,
    )


def _check_writable(path: str) -> None:
    """Raise before the training, not after it, where the result could not be saved."""
    if not path or "\0" in path:
        raise ValueError(f"--out: expected a file's name, got {path!r}")
    check_name(path)
    folder = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path}: expected a file to write, got a folder")
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{path}: the folder {folder} is not writable")
