# SPDX-License-Identifier: Apache-2.0
"""Predictions in Ray Data, and trainings in Ray Tune and Ray Train (extra `ray`).

Training in several processes goes over MPI: ``comm=`` of `cnncore.Trainer`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from .predictor import Predictor
from .train.callbacks.base import Callback
from .train.callbacks.logs import scalars

if TYPE_CHECKING:
    from .train import Trainer

__all__ = ["BatchPredictor", "Report", "training"]

_LIBRARIES = ("tune", "train")
STATE = "trainer.safetensors"
"""The file of a checkpoint that `Trainer.save` writes."""


class BatchPredictor:
    """A model or predictor as `ray.data.Dataset.map_batches` calls it.

    ``dataset.map_batches(BatchPredictor(predictor), batch_format="numpy")``: models and predictors travel to
    Ray's workers by pickle.

    Args:
        model: a Module, whose `predict` is used, or what `cnncore.compile` returned, which takes its batches
            of any number of rows, too.
        input: the column that is the model's input.
        output: the column that its output becomes.

    >>> import cnncore as cc
    >>> from cnncore import nn
    >>> model = nn.Linear(3, 2).eval()
    >>> predict = BatchPredictor(cc.compile(model, (4, 3)), input="x", output="y")
    >>> batch = predict({"x": np.ones((5, 3), np.float32)})
    >>> list(batch), batch["y"].shape
    (['x', 'y'], (5, 2))
    """

    def __init__(self, model: Any, input: str = "image", output: str = "prediction") -> None:
        if not isinstance(model, Predictor) and not hasattr(model, "predict"):
            raise TypeError(f"expected a Module or what cnncore.compile returns, got {type(model).__name__}")
        self.model = model
        self.input = input
        self.output = output

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return a batch, a dict of columns, with the outputs as one more column."""
        if self.input not in batch:
            raise ValueError(f"expected a column {self.input!r}, got {', '.join(batch) or 'none'}")
        x = np.asarray(batch[self.input])
        found = self._in_batches(x) if isinstance(self.model, Predictor) else self.model.predict(x)
        if not isinstance(found, np.ndarray):
            raise TypeError(f"expected a model of one output, got {type(found).__name__}")
        return {**batch, self.output: found}

    def _in_batches(self, x: Any) -> Any:
        """Return the predictor's output for any number of rows: the last batch is filled up."""
        size = self.model.input_shape[0]
        if not isinstance(size, int):
            raise TypeError(f"expected a predictor of one input, got {self.model!r}")
        found = []
        for start in range(0, len(x) or 1, size):
            rows = x[start : start + size]
            lacking = size - len(rows)
            if lacking:
                rows = np.concatenate([rows, np.zeros((lacking, *x.shape[1:]), x.dtype)])
            found.append(self.model(rows)[: size - lacking])
        return np.concatenate(found)


class Report(Callback):
    """Reports the figures of each epoch to Ray.

    Args:
        to: "tune" within a trial of Ray Tune, "train" within Ray Train, which gets a checkpoint with them.

    >>> callback = Report("tune")
    """

    last = True

    def __init__(self, to: str = "tune") -> None:
        if to not in _LIBRARIES:
            raise ValueError(f"expected to='tune' or 'train', got {to!r}")
        self.to = to

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        library, figures = _library(self.to), {**scalars(logs), "epoch": epoch + 1}
        if self.to == "tune":
            library.report(figures)
            return
        with tempfile.TemporaryDirectory() as folder:
            self.trainer.save(os.path.join(folder, STATE))
            library.report(figures, checkpoint=library.Checkpoint.from_directory(folder))


def training(
    make: Callable[[dict[str, Any]], Trainer], train: Any, to: str = "tune", **fit: Any
) -> Callable[[dict[str, Any]], None]:
    """Return the function of a configuration that `ray.tune.Tuner` and Ray Train's trainers call.

    Args:
        make: function of the configuration that returns a `Trainer`.
        train: what `Trainer.fit` trains on.
        to: "tune" or "train": where the figures of each epoch are reported. Ray Train gets a checkpoint with
            them, what `Trainer.save` writes, and a worker that it starts again goes on from the last.
        fit: further arguments of `Trainer.fit`; those among them that the configuration has, such as
            batch_size, are taken from it.

    >>> import cnncore as cc
    >>> from cnncore import nn, optim
    >>> def make(config):
    ...     model = nn.Linear(2, 1)
    ...     return cc.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=config["lr"]))
    >>> run = training(make, (np.ones((8, 2)), np.ones((8, 1))), epochs=3, batch_size=4)
    >>> # ray.tune.Tuner(run, param_space={"lr": ray.tune.loguniform(1e-3, 1), "batch_size": 8}).fit()
    """
    report = Report(to)

    def run(config: dict[str, Any]) -> None:
        context = _library(to).get_context()
        workers = getattr(context, "get_world_size", lambda: 1)() if to == "train" else 1
        if workers and workers > 1:
            raise ValueError(
                f"{workers} workers would train {workers} models: processes that train one are started by "
                "mpiexec, with comm= of Trainer; use one worker"
            )
        settings = {**fit, "verbose": fit.get("verbose", 0)}
        settings.update({name: config[name] for name in fit if name in config})
        callbacks = settings.pop("callbacks", None) or []
        given = list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]
        trainer = make(config)
        checkpoint = _library(to).get_checkpoint() if to == "train" else None
        if checkpoint is not None:
            with checkpoint.as_directory() as folder:
                trainer.resume(os.path.join(folder, STATE))
        trainer.fit(train, callbacks=[*given, report], **settings)

    return run


def _library(name: str) -> Any:
    try:
        return import_module(f"ray.{name}")
    except ImportError as error:
        raise ImportError(f"ray.{name} needs Ray: pip install 'cnncore[ray]' ({error})") from error
