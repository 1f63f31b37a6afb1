# SPDX-License-Identifier: Apache-2.0
"""Training, evaluation and prediction with Keras's verbs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph.hints import missing
from ..nn.arguments import flag, one_of, real
from ..nn.module import Module
from ..nn.predict import check_batch_size, inference_mode
from ..optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from ..optim.optimizer import Optimizer
from ..optim.swa_utils import AveragedModel
from ..training import TrainStep
from .batches import ArrayBatches, Batches, make_batches, takes_pair
from .callbacks.base import Callback, check_callbacks
from .history import History
from .labels import class_weights
from .objective import Objective, arrays_of, check_loss, form_of, is_of_classes, total_weight
from .probabilities import probabilities
from .progress import make_progress
from .rows import Batch, rows_of
from .run import Run
from .running import DEFAULT_METRICS, Metrics, MetricsLike, RunningMeans, named_metrics, usual_metrics
from .settings import averaged_of, count, ranks_of, schedulers_of
from .shards import EvaluatedPart, StandIn, joined, shard, share_of
from .stretches import Stretches, split_rows

if TYPE_CHECKING:
    from ..distributed import Ranks

EVALUATION_BATCH_SIZE = 128

_EPOCHS_OR_STEPS = ("epoch", "step")


class Trainer:
    """A model with its loss, optimiser and metrics.

    Args:
        model: a Module.
        loss: a loss layer or a function (output, target) that returns a scalar; for a model of several
            outputs also a dict or list of such, by key or position of the output, which are summed.
        optimizer: an optimiser over the model's parameters.
        metrics: names ("accuracy", "top5_accuracy", "f1", "f1_micro", "auc", "mse", ...), functions and
            objects of `cnncore.train.metrics`, or functions (output, target) of numpy arrays that return a
            number, which is averaged by rows; one or several, or None, or a dict of such by key of the
            model's output. By default accuracy where the targets are classes, "multilabel_accuracy" for
            `nn.BCEWithLogitsLoss` over several labels a row, and nothing for other targets.
        scheduler: a scheduler of the optimiser, or a list of them; `optim.lr_scheduler.ReduceLROnPlateau`
            follows "val_loss" where there is validation, else "loss".
        schedule_by: "epoch" or "step": when the scheduler goes on; steps are updates of the parameters.
        clip_grad_norm: largest norm of all gradients together, as in `cc.train_step`.
        clip_grad_value: largest size of a gradient's element.
        accumulate: batches whose mean gradient makes one update; the count goes on over epochs.
        ema: decay of a moving average of the weights, or an `optim.swa_utils.AveragedModel` of the model. The
            average is what validation, `evaluate`, `predict` and `save_model` use.
        max_memory: bytes that a training step may work with, as in `cc.train_step`.
        comm: an MPI communicator whose processes train together, as in `cc.train_step`. Each makes the same
            Trainer and calls `fit` alike. Arrays, data sets and `data.DataLoader`s are the same in all
            processes, and each takes its part of `batch_size` times as many rows as there are processes;
            other iterables, and loaders with a `data.ShardedSampler`, are each process's own. Figures are
            those of all rows; running statistics are those of rank 0, unless `nn.SyncBatchNorm` makes them of
            all. Rank 0 writes and shows, `evaluate` and `predict` are each process's own.

    Data are given as (x, y) arrays, as a `data.Dataset`, or as an iterable of batches (x, y). x is
    used as it is, converted to float32: scale uint8 images to 0..1 before if the model expects that. x and y
    may be dicts or tuples of arrays: a dict goes to `forward` by the names of its arguments, a tuple by their
    order.

    Attributes:
        epoch: the epochs trained so far, through all calls of `fit`.
        class_names: the names of the classes where targets were given as texts or categories, else None; the
            model has them, too.
        averaged: the average of the model, or None.

    Raises:
        TypeError: `model` is no Module or `optimizer` no Optimizer.
        ValueError: `schedule_by` is neither "epoch" nor "step"; `ReduceLROnPlateau`, which follows a figure
            of epochs, by "step".

    >>> import numpy as np
    >>> from cnncore import nn, optim
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(64, 2)); y = (x[:, 0] > 0).astype(int)
    >>> model = nn.Linear(2, 2)
    >>> trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=1.0))
    >>> history = trainer.fit(x, y, epochs=20, batch_size=16, verbose=0)
    >>> history["accuracy"][-1] > 0.9, trainer.predict(x).shape
    (True, (64, 2))
    """

    def __init__(
        self,
        model: Module,
        loss: Callable[[Any, Any], Any] | Mapping[Any, Any] | Iterable[Any],
        optimizer: Optimizer,
        metrics: MetricsLike = DEFAULT_METRICS,
        *,
        scheduler: LRScheduler | Iterable[LRScheduler] | None = None,
        schedule_by: str = "epoch",
        clip_grad_norm: float | None = None,
        clip_grad_value: float | None = None,
        accumulate: int = 1,
        ema: float | AveragedModel | None = None,
        max_memory: int | str | None = None,
        comm: Any = None,
    ) -> None:
        if not isinstance(model, Module):
            raise TypeError(f"expected model to be a Module, got {type(model).__name__}")
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"expected optimizer to be an Optimizer, got {type(optimizer).__name__}")
        one_of("schedule_by", schedule_by, _EPOCHS_OR_STEPS)
        self.model = model
        self.loss = check_loss(loss)
        self.optimizer = optimizer
        self.metrics = named_metrics(metrics)
        self._chosen = metrics is not DEFAULT_METRICS
        self.schedulers = schedulers_of(scheduler, optimizer)
        self.schedule_by = schedule_by
        if schedule_by == "step" and any(isinstance(s, ReduceLROnPlateau) for s in self.schedulers):
            raise ValueError("ReduceLROnPlateau follows a figure of epochs: schedule_by='epoch'")
        self.averaged = averaged_of(model, ema)
        self.epoch = 0
        self.class_names: tuple[str, ...] | None = None
        self.stop_training = False
        self._settings: dict[str, Any] = {
            "clip_grad_norm": clip_grad_norm,
            "clip_grad_value": clip_grad_value,
            "accumulate": accumulate,
            "max_memory": max_memory,
        }
        self.ranks = ranks_of(comm)
        self.together: Any = None  # what the last step was of all processes (distributed.exchange.Together)
        self._objectives: dict[Any, Objective] = {}
        self._steps: dict[str, TrainStep] = {}
        TrainStep(_nothing, optimizer, **self._settings)  # raises for wrong settings
        self._pending: dict[str, Any] = {}
        self._run: Run | None = None
        self._resumed: dict[str, Any] | None = None

    @property
    def writes(self) -> bool:
        """Whether this process writes files and shows progress: the only one, or rank 0."""
        return self.ranks is None or self.ranks.rank == 0

    @property
    def final_model(self) -> Module:
        """The model to use: the average of the weights where there is one, else the model that is trained."""
        averaged = self.averaged
        if averaged is None or not int(np.asarray(averaged.n_averaged)):
            return self.model
        module: Module = averaged.module
        return module

    @takes_pair
    def fit(
        self,
        train: Any,
        epochs: int = 1,
        batch_size: int = 32,
        validation: Any = None,
        callbacks: Callback | Callable[..., Any] | Iterable[Any] | None = (),
        shuffle: bool = True,
        seed: int = 0,
        verbose: int | str = 1,
        *,
        validation_split: float = 0.0,
        class_weight: Any = None,
        sample_weight: Any = None,
        steps_per_epoch: int | None = None,
        initial_epoch: int | None = None,
    ) -> History:
        """Train the model. ``fit(x, y, epochs)`` is ``fit((x, y), epochs)``.

        Args:
            train: (x, y) or (x, y, weights) arrays, a Dataset or an iterable of batches of this form. Texts
                and pandas' categories as y become class numbers (`class_names`), one-hot rows are taken as
                classes.
            epochs: how often to go through the data. After `resume` in the midst of a run, they count from
                the first epoch of that run.
            batch_size: rows of a step, of each process where several train together; the last one
                takes what is left, and a single row left over joins the batch before it. Not used for an
                iterable of batches.
            validation: data to evaluate after each epoch, in any of the three forms.
            callbacks: `Callback` objects and functions (epoch, logs), which are called after each epoch; one
                or several, or None.
            shuffle: take the rows in a new order each epoch; not used for an iterable of batches.
            seed: the order follows from (seed, epoch), so that a run can be repeated and two calls
                of `fit` do what one of as many epochs does.
            verbose: 0 shows nothing, 1 or "auto" a progress bar where tqdm is installed and stderr is a
                terminal and lines elsewhere, 2 lines.
            validation_split: share of the rows, the last ones of arrays, that are validated and not trained.
            class_weight: a weight for each class, by number or name, or "balanced": inversely to their rows.
            sample_weight: (rows,) a weight for each row of arrays. The loss of a batch is the sum of weight
                times loss, by the sum of the weights; metrics are not weighted.
            steps_per_epoch: batches of an epoch, which then begins where the one before ended: for endless
                iterables, and for generators.
            initial_epoch: the number of the first epoch; `epochs` is then the number to end at, as in Keras.

        Returns:
            The figures of each epoch. A loss that is NaN or infinite ends training: a warning, and
            `nonfinite` of what is returned, name the first layer with such a value, and model and
            optimiser, with its settings, are as after the last epoch before. Ctrl-C ends training after the
            step at work and returns the epochs so far; the model keeps what it learnt.

        Raises:
            TypeError: both `validation` and `validation_split`, or arguments of other kinds.
            ValueError: arrays that do not fit the model, each other or the loss; a loss that is NaN or
                infinite.
        """
        epochs = count("epochs", epochs, 0)
        flag("shuffle", shuffle)
        batch_size = check_batch_size(batch_size)
        if self.ranks is not None:
            batch_size *= self.ranks.size
        batches = make_batches(train, batch_size, shuffle, seed, sample_weight, self.class_names)
        self._learn_classes(batches)
        checks = None if validation is None else self._batches(validation, EVALUATION_BATCH_SIZE)
        if real("validation_split", validation_split):
            if validation is not None:
                raise TypeError("expected validation or validation_split, got both")
            of_classes = is_of_classes(self.loss) or self.class_names is not None
            batches, part = split_rows(batches, validation_split, of_classes)
            checks = ArrayBatches(part.all_rows, EVALUATION_BATCH_SIZE, False, 0)
        weights = None
        if class_weight is not None:
            weights = class_weights(class_weight, getattr(batches, "y", None), self.class_names)
        if steps_per_epoch is not None:
            batches = Stretches(batches, count("steps_per_epoch", steps_per_epoch, 1), batch_size)
        if self.ranks is not None:
            batches = shard(batches, self.ranks)
            checks = None if checks is None else shard(checks, self.ranks)
        shown, resumed = make_progress(verbose if self.writes else 0), self._resumed
        found = check_callbacks(callbacks)
        if initial_epoch is not None:
            first = count("initial_epoch", initial_epoch, 0)
            if first != self.epoch:
                self.epoch, resumed = first, None
            epochs = max(0, epochs - (first if resumed is None else resumed["first"]))
        self._resumed = None
        run = Run(self, batches, checks, found, epochs, shown, weights, resumed)
        return self._carry_out(run)

    def _carry_out(self, run: Run) -> History:
        modes = [(module, module.training) for module in self.model.modules()]
        self._run = run
        try:
            return run.run()
        except BaseException as error:
            if self.ranks is not None:
                self.ranks.end_all(error)
            raise
        finally:
            self._run = None
            for module, training in modes:
                if module.training != training:
                    module.training = training

    def _batches(self, data: Any, batch_size: Any, weight: Any = None) -> Batches:
        return make_batches(data, check_batch_size(batch_size), False, 0, weight, self.class_names)

    def _learn_classes(self, batches: Batches) -> None:
        """Keep the names of the classes that the targets had, here and in the model."""
        found = getattr(batches, "classes", None)
        if found is not None and found != self.class_names:
            self.class_names = found
        for model in {id(m): m for m in (self.model, self.final_model)}.values():
            if self.class_names is not None and getattr(model, "class_names", None) != self.class_names:
                model.class_names = self.class_names

    @takes_pair
    def evaluate(
        self, data: Any, batch_size: int = EVALUATION_BATCH_SIZE, *, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Return loss and metrics of the model, in inference mode, over all rows.

        ``evaluate(x, y)`` is ``evaluate((x, y))``.

        Args:
            data: (x, y) arrays, a Dataset or an iterable of batches.
            batch_size: rows at a time; bounds the memory used.
            sample_weight: (rows,) weights of rows in the loss.

        Raises:
            ValueError: data without targets, or targets that are not as many as inputs.
        """
        return self._evaluate(self._batches(data, batch_size, sample_weight))

    def _counting(self) -> Metrics | Callable[[Any, Any], Metrics]:
        """Return the metrics or, before the first batch has shown which ones are usual, what chooses them."""
        return self.metrics if self._chosen else self._choose_metrics

    def _choose_metrics(self, output: Any, target: Any) -> Metrics:
        self.metrics = usual_metrics(self.loss, output, target)
        self._chosen = True
        return self.metrics

    def _evaluate(self, batches: Batches, ranks: Ranks | None = None) -> dict[str, Any]:
        """Return figures of all rows, those of processes together where there are several."""
        parts: list[EvaluatedPart] = []
        running, model = RunningMeans(self._counting()), self.final_model
        with inference_mode(model):
            for batch in batches.epoch(0):
                loss, output = self._objective(batch, model)(*arrays_of(batch))
                counted = not isinstance(batch, StandIn)
                rows = rows_of(batch.x) if counted else 0
                weight = total_weight(batch.weight, rows) if counted else 0.0
                running.update(loss, output, batch.y, rows, weight, counted)
                if ranks is not None:
                    parts.append(EvaluatedPart(float(loss), share_of(self.loss, batch), rows, weight))
        if ranks is not None:
            running = running.merged(ranks)
            running.rows, running.weight, running.loss = joined(ranks.all(parts))
        return running.means()

    def predict(self, x: Any, batch_size: int = EVALUATION_BATCH_SIZE) -> Any:
        """Return the model's output for all rows of `x`, in inference mode; see `Module.predict`."""
        return self.final_model.predict(x, batch_size)

    def predict_proba(self, x: Any, batch_size: int = EVALUATION_BATCH_SIZE) -> Any:
        """Return the probabilities of the classes, (rows, classes, ...), or of yes, as the loss takes
        outputs.

        Raises:
            TypeError: a loss that is none of classes.
        """
        return probabilities(self.loss, self.predict(x, batch_size))

    def predict_classes(self, x: Any, batch_size: int = EVALUATION_BATCH_SIZE) -> Any:
        """Return the likeliest class of each row: its name where there are names, else its number.

        Raises:
            TypeError: a loss that is none of classes.
        """
        probabilities = self.predict_proba(x, batch_size)
        if is_of_classes(self.loss):
            numbers = probabilities.argmax(1)
        else:
            numbers = (probabilities > 0.5).astype(np.int64)
        return numbers if self.class_names is None else np.array(self.class_names)[numbers]

    def save_model(self, path: str | os.PathLike[str]) -> None:
        """Write the model alone, `final_model`, as `cc.save` does; `cc.load_model` reads it.

        Raises:
            TypeError: `path` is no path.
        """
        if not self.writes:
            return
        from ..model_file import save

        save(self.final_model, path)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all that training needs to go on, from any step: also in the midst of `fit`, by a callback.

        That is the model, its average, the optimiser, the schedulers, the callbacks, the figures so far, the
        place in the data and the state of the random numbers that layers draw. Not saved are the data,
        numpy's own random state, and what the Trainer was made with.

        Args:
            path: a safetensors file with a digest. It is replaced only once the new one is complete; the one
                before is kept beside it, as ``<name>.previous.<extension>``.

        Raises:
            TypeError: `path` is no path.

        >>> import os, tempfile
        >>> import numpy as np
        >>> from cnncore import nn, optim
        >>> def make():
        ...     model = nn.Linear(2, 1)
        ...     return Trainer(model, nn.MSELoss(), optim.Adam(model.parameters()))
        >>> path = os.path.join(tempfile.mkdtemp(), "run.safetensors")
        >>> first, second = make(), make()
        >>> _ = first.fit(np.ones((8, 2)), np.ones((8, 1)), epochs=3, verbose=0)
        >>> first.save(path); second.resume(path)
        >>> second.epoch, bool((second.model.weight.numpy() == first.model.weight.numpy()).all())
        (3, True)
        """
        from .state import save

        if self.writes:
            save(self, path)

    def resume(self, path: str | os.PathLike[str]) -> None:
        """Go on from what `save` wrote: the next `fit` ends with the bits of a run that was never stopped.

        The Trainer must be made as it was, and `fit` be called with the same data and settings; `epochs` then
        counts from the first epoch of the run that was stopped. The number of threads may be another.

        Raises:
            ValueError: no such file's contents, a damaged one, or one of another model, optimiser or
                schedule.
            OSError: it cannot be read.
        """
        from .state import resume

        resume(self, path)

    # -- what a run uses ------------------------------------------------------------------------

    def _objective(self, batch: Batch, model: Module) -> Objective:
        form, key = form_of(batch)
        objective = self._objectives.get((key, id(model)))
        if objective is None:
            objective = self._objectives[key, id(model)] = Objective(model, self.loss, form)
        return objective

    def _step_for(self, batch: Batch) -> TrainStep:
        _, key = form_of(batch)
        step = self._steps.get(key)
        if step is None:
            objective = self._objective(batch, self.model)
            step = self._steps[key] = self._make_step(objective.forward)
            if key in self._pending:
                step.load_pending(self._pending.pop(key))
        return step

    def _make_step(self, function: Callable[..., Any]) -> TrainStep:
        if self.ranks is None:
            return TrainStep(function, self.optimizer, **self._settings)
        from ..distributed import RanksTrainStep

        return RanksTrainStep(self.ranks, function, self.optimizer, **self._settings)

    def _take(self, batch: Batch, stop: bool) -> Any:
        step: Any = self._step_for(batch)
        if self.ranks is None:
            return step(*arrays_of(batch))
        rows = 0 if isinstance(batch, StandIn) else rows_of(batch.x)
        result = step.take(arrays_of(batch), share_of(self.loss, batch), rows, stop)
        self.together = step.exchange.together
        return result

    def _train_step(self, batch: Batch, stop: bool = False) -> Any:
        """Train on a batch; return loss and output.

        Args:
            stop: whether to ask all processes to stop after this step.
        """
        if self.averaged is None and self.schedule_by != "step":
            return self._take(batch, stop)
        updates = self.optimizer.step_count
        result = self._take(batch, stop)
        if self.optimizer.step_count != updates:
            if self.averaged is not None:
                self.averaged.update_parameters(self.model)
            if self.schedule_by == "step":
                for scheduler in self.schedulers:
                    scheduler.step()
        return result

    def _share_first(self, buffers_only: bool = False) -> None:
        """Take over what the first process has: running statistics, or all of the model and its average."""
        if self.ranks is None:
            return
        for model in (self.model, self.averaged):
            if model is not None:
                self.ranks.share_first(model.buffers())
                self.ranks.share_first(() if buffers_only else model.parameters())

    def _epoch_ended(self, figures: dict[str, Any]) -> None:
        if self.schedule_by == "step":
            return
        for scheduler in self.schedulers:
            if isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step(figures.get("val_loss", figures["loss"]))
            else:
                scheduler.step()

    if not TYPE_CHECKING:  # type checkers shall tell names that do not exist

        def __getattr__(self, name: str) -> Any:
            raise missing("trainer", type(self).__name__, name)

    def __repr__(self) -> str:
        loss = getattr(self.loss, "__name__", type(self.loss).__name__)
        return (
            f"Trainer({type(self.model).__name__}, {loss}, {type(self.optimizer).__name__}, "
            f"metrics={list(self.metrics) if self._chosen else 'usual'}, epoch={self.epoch})"
        )


def _nothing() -> None: ...
