# SPDX-License-Identifier: Apache-2.0
"""Training, evaluation and prediction with Keras's verbs."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from .._core import write_storages
from ..nn.module import Module
from ..nn.predict import check_batch_size, inference_mode
from ..nn.state import loadable_state
from ..nonfinite import NonFinite, find_nonfinite
from ..optim.optimizer import Optimizer
from ..training import train_step
from .batches import Batches, make_batches, takes_pair
from .callbacks import Callback, check_callbacks, overrides
from .history import History
from .interrupt import StopOnInterrupt
from .progress import Progress, make_progress
from .running import DEFAULT_METRICS, MetricLike, Metrics, RunningMeans, named_metrics, usual_metrics

EVALUATION_BATCH_SIZE = 128


class Trainer:
    """A model with its loss, optimiser and metrics.

    Args:
        model: a Module.
        loss: a loss layer or a function (output, target) that returns a scalar.
        optimizer: an optimiser over the model's parameters.
        metrics: names ("accuracy", "top5_accuracy", "f1", "f1_micro", "auc", "mse", ...), functions and
            objects of `cnncore.train.metrics`, or functions (output, target) of numpy arrays that return a
            number, which is averaged by rows; one or several, or None. By default accuracy where the targets
            are classes, "multilabel_accuracy" for `nn.BCEWithLogitsLoss` over several labels a row, and
            nothing for other targets.
        max_memory: bytes that a training step may work with, as in `train_step`.

    Data are given as (x, y) arrays, as a `data.Dataset`, or as an iterable of batches (x, y). x is
    used as it is, converted to float32: scale uint8 images to 0..1 before if the model expects that.

    `epoch` counts the epochs trained so far, through all calls of `fit`.

    >>> import numpy as np
    >>> from cnncore import nn, optim
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(64, 2)); y = (x[:, 0] > 0).astype(int)
    >>> model = nn.Linear(2, 2)
    >>> trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=1.0))
    >>> history = trainer.fit((x, y), epochs=20, batch_size=16, verbose=0)
    >>> history["accuracy"][-1] > 0.9, trainer.predict(x).shape
    (True, (64, 2))
    """

    def __init__(
        self,
        model: Module,
        loss: Callable[[Any, Any], Any],
        optimizer: Optimizer,
        metrics: MetricLike | Iterable[MetricLike] | None = DEFAULT_METRICS,
        *,
        max_memory: int | str | None = None,
    ) -> None:
        if not isinstance(model, Module):
            raise TypeError(f"expected model to be a Module, got {type(model).__name__}")
        if isinstance(loss, type):
            raise TypeError(f"expected loss to be a loss layer, got the class itself: pass {loss.__name__}()")
        if not callable(loss):
            raise TypeError(f"expected loss to be a loss layer or a function, got {type(loss).__name__}")
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"expected optimizer to be an Optimizer, got {type(optimizer).__name__}")
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.metrics = named_metrics(metrics)
        self._chosen = metrics is not DEFAULT_METRICS
        self.epoch = 0
        self.stop_training = False
        self._objective = _Objective(model, loss)
        self._step = train_step(self._objective.forward, optimizer, max_memory=max_memory)

    @takes_pair
    def fit(
        self,
        train: Any,
        epochs: int,
        batch_size: int = 32,
        validation: Any = None,
        callbacks: Callback | Iterable[Callback] | None = (),
        shuffle: bool = True,
        seed: int = 0,
        verbose: int = 1,
    ) -> History:
        """Train the model. ``fit(x, y, epochs)`` is ``fit((x, y), epochs)``.

        Args:
            train: (x, y) arrays, a Dataset or an iterable of batches.
            epochs: how often to go through the data.
            batch_size: rows of a step; the last one takes what is left, and a single row left over
                joins the batch before it. Not used for an iterable of batches.
            validation: data to evaluate after each epoch, in any of the three forms.
            callbacks: `Callback` objects; one or several, or None.
            shuffle: take the rows in a new order each epoch; not used for an iterable of batches.
            seed: the order follows from (seed, epoch), so that a run can be repeated and two calls
                of `fit` do what one of as many epochs does.
            verbose: 0 shows nothing, 1 a progress bar where tqdm is installed and stderr is a
                terminal and lines elsewhere, 2 lines.

        Returns:
            The figures of each epoch. A loss that is NaN or infinite ends training: a warning, and
            `nonfinite` of what is returned, name the first layer with such a value, and model and
            optimiser, with its settings, are as after the last epoch before. Ctrl-C ends training after the
            step at work and returns the epochs so far; the model keeps what it learnt.
        """
        if isinstance(epochs, bool) or not hasattr(epochs, "__index__") or epochs < 0:
            raise ValueError(f"expected epochs as an integer of at least 0, got {epochs!r}")
        if not isinstance(shuffle, (bool, np.bool_)):
            raise TypeError(f"expected shuffle True or False, got {shuffle!r}")
        batch_size = check_batch_size(batch_size)
        batches = make_batches(train, batch_size, shuffle, seed)
        checks = None if validation is None else make_batches(validation, EVALUATION_BATCH_SIZE, False, 0)
        run = _Run(self, batches, checks, check_callbacks(callbacks), epochs, make_progress(verbose))
        modes = [(module, module.training) for module in self.model.modules()]
        try:
            return run.run()
        finally:
            for module, training in modes:
                if module.training != training:
                    module.training = training

    @takes_pair
    def evaluate(self, data: Any, batch_size: int = EVALUATION_BATCH_SIZE) -> dict[str, Any]:
        """Return loss and metrics of the model, in inference mode, over all rows.

        ``evaluate(x, y)`` is ``evaluate((x, y))``.

        Args:
            data: (x, y) arrays, a Dataset or an iterable of batches.
            batch_size: rows at a time; bounds the memory used.
        """
        return self._evaluate(make_batches(data, check_batch_size(batch_size), False, 0))

    def _metrics(self, output: Any, target: Any) -> Metrics:
        """Return the metrics, after the first batch has shown which ones are usual."""
        if not self._chosen:
            self.metrics = usual_metrics(self.loss, output, target)
            self._chosen = True
        return self.metrics

    def _evaluate(self, batches: Batches) -> dict[str, float]:
        running = RunningMeans(self._metrics)
        with inference_mode(self.model):
            for x, y in batches.epoch(0):
                loss, output = self._objective(x, y)
                running.update(loss, output, y, len(y))
        return running.means()

    def predict(self, x: Any, batch_size: int = EVALUATION_BATCH_SIZE) -> Any:
        """Return the model's output for all rows of `x`, in inference mode."""
        return self.model.predict(x, batch_size)


class _Objective(Module):
    """Loss and output of a model for a batch."""

    def __init__(self, model: Module, loss: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        # In a tuple they are not registered, so that errors name layers by their path in the model.
        self.parts = model, loss

    def forward(self, x: Any, y: Any) -> Any:
        model, loss = self.parts
        output = model(x)
        return loss(output, y), output


class _Run:
    """One call of `Trainer.fit`."""

    def __init__(
        self,
        trainer: Trainer,
        batches: Batches,
        validation: Batches | None,
        callbacks: list[Callback],
        epochs: int,
        progress: Progress,
    ) -> None:
        self.trainer = trainer
        self.batches = batches
        self.validation = validation
        self.callbacks = callbacks
        self.on_batch_end = [c.on_batch_end for c in callbacks if overrides(c, "on_batch_end")]
        self.epochs = epochs
        self.progress = progress
        self.history = History()
        self._kept: tuple[dict[str, Any], dict[str, Any], int] | None = None  # model, optimiser, epochs

    def run(self) -> History:
        trainer = self.trainer
        trainer.stop_training = False
        for callback in self.callbacks:
            callback.trainer = trainer
            callback.on_train_begin()
        try:
            with StopOnInterrupt() as interrupt:
                first = trainer.epoch
                for epoch in range(first, first + self.epochs):
                    self.progress.begin(epoch - first + 1, self.epochs, self.batches.rows())
                    if not self._epoch(epoch, interrupt) or trainer.stop_training:
                        break
        except KeyboardInterrupt:
            self._note_interrupt()
        finally:
            self.progress.close()
            for callback in self.callbacks:
                callback.on_train_end()
        return self.history

    def _epoch(self, epoch: int, interrupt: StopOnInterrupt) -> bool:
        """Train and validate one epoch; return whether it was completed."""
        trainer = self.trainer
        trainer.model.train()
        for callback in self.callbacks:
            callback.on_epoch_begin(epoch)
        self._keep()
        running = RunningMeans(trainer._metrics)
        started = time.perf_counter()
        for number, (x, y) in enumerate(self.batches.epoch(epoch)):
            loss, output = trainer._step(x, y)
            if not math.isfinite(loss):
                self._end_nonfinite(loss, epoch, number, x, y)
                return False
            running.update(loss, output, y, len(y))
            self.progress.step(len(y), partial(running.means, at_end=False))
            for on_batch_end in self.on_batch_end:
                on_batch_end(number, running.means(at_end=False))
            if interrupt.requested:
                self._note_interrupt()
                return False
            if trainer.stop_training:
                self.history.interrupted = True
                return False
        seconds = time.perf_counter() - started
        trainer.epoch = epoch + 1
        figures = running.means()
        if self.validation is not None:
            validated = trainer._evaluate(self.validation)
            figures.update({f"val_{name}": value for name, value in validated.items()})
        figures.update(seconds=seconds, images_per_second=running.rows / seconds)
        self.history.append(figures)
        self.progress.end(figures)
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, figures)
        return not interrupt.requested

    def _keep(self) -> None:
        """Keep the state, to go back to if the loss becomes NaN or infinite."""
        trainer = self.trainer
        model = trainer.model.state_dict()
        if self._kept is None or all(np.isfinite(array).all() for array in model.values()):
            self._kept = model, trainer.optimizer.state_dict(), trainer.epoch

    def _end_nonfinite(self, loss: float, epoch: int, batch: int, x: Any, y: Any) -> None:
        """Go back to the last state that was finite, and say where the loss' NaN or infinity comes from."""
        assert self._kept is not None
        trainer, (model, optimizer, kept_epoch) = self.trainer, self._kept
        try:
            now = find_nonfinite(trainer._objective, x, y)
        finally:  # Ctrl-C included
            self._go_back(model, optimizer, kept_epoch)
        # What the finite weights bring about is the cause; else they have grown out of bounds step by step.
        found = find_nonfinite(trainer._objective, x, y) or now or NonFinite("the loss", "output", "loss")
        self.history.nonfinite = found
        hint = "; a smaller learning rate may help" if found.what == "weights" else ""
        warnings.warn(
            f"the loss became {loss} in epoch {epoch + 1}, batch {batch + 1}: "
            f"{found} has NaN or infinity{hint}. "
            f"Training ends; the model is as it was after {kept_epoch} epochs",
            stacklevel=2,
        )

    def _go_back(self, model: dict[str, Any], optimizer: dict[str, Any], epoch: int) -> None:
        """Bring model, optimiser and number of epochs back in one call, which Ctrl-C cannot cut."""
        trainer = self.trainer
        with trainer.optimizer.lock:
            storages, arrays, _ = loadable_state(trainer.model, model)
            own, own_arrays, settings = trainer.optimizer.loadable_state(optimizer)
            settings.append((vars(trainer), {"epoch": epoch}))
            write_storages([*storages, *own], [*arrays, *own_arrays], settings)

    def _note_interrupt(self) -> None:
        self.history.interrupted = True
        self.progress.note(
            f"stopped by Ctrl-C after {self.history.epochs} of {self.epochs} epochs; "
            "the model keeps what it has learnt"
        )
