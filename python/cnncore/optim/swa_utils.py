# SPDX-License-Identifier: Apache-2.0
"""Averages of a model's weights over training: stochastic weight averaging and moving averages."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..compiler.pipeline import compile_inference
from ..compiler.program import Executable
from ..graph.trace import as_tensor, count_call, current_graph, trace
from ..nn.arguments import flag
from ..nn.construction import Construction
from ..nn.module import Module
from ..nn.parameter import Buffer
from .lr_scheduler.scheduler import LRScheduler, checked_optimizer, number, one_each, whole
from .optimizer import Optimizer

AverageFunction = Callable[[Any, Any, Any], Any]
MultiAverageFunction = Callable[[Sequence[Any], Sequence[Any], Any], Sequence[Any]]


def get_swa_avg_fn() -> AverageFunction:
    """Return the function of a plain average: averaged + (current - averaged) / (num_averaged + 1).

    >>> get_swa_avg_fn()(1.0, 3.0, 1)
    2.0
    """
    return _plain_average


def get_ema_avg_fn(decay: float = 0.999) -> AverageFunction:
    """Return the function of a moving average: decay * averaged + (1 - decay) * current.

    Raises:
        ValueError: `decay` is not from 0 to 1.

    >>> get_ema_avg_fn(0.75)(1.0, 3.0, 1)
    1.5
    """
    return partial(_moving_average, number("decay", decay, 0, 1))


def get_swa_multi_avg_fn() -> MultiAverageFunction:
    """Return `get_swa_avg_fn` for lists; the results are returned, not written (torch writes them).

    >>> get_swa_multi_avg_fn()([1.0, 0.0], [3.0, 1.0], 1)
    [2.0, 0.5]
    """
    return _for_lists(get_swa_avg_fn())


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAverageFunction:
    """Return `get_ema_avg_fn` for lists; the results are returned, not written (torch writes them).

    Raises:
        ValueError: `decay` is not from 0 to 1.

    >>> get_ema_multi_avg_fn(0.75)([1.0, 0.0], [3.0, 1.0], 1)
    [1.5, 0.25]
    """
    return _for_lists(get_ema_avg_fn(decay))


def _plain_average(averaged_param: Any, current_param: Any, num_averaged: Any) -> Any:
    return averaged_param + (current_param - averaged_param) / (num_averaged + 1)


def _moving_average(decay: float, averaged_param: Any, current_param: Any, num_averaged: Any) -> Any:
    return averaged_param * decay + current_param * (1 - decay)


def _for_lists(fn: AverageFunction) -> MultiAverageFunction:
    return partial(_each, fn)


def _each(fn: AverageFunction, averaged: Sequence[Any], current: Sequence[Any], count: Any) -> list[Any]:
    return [fn(a, c, count) for a, c in zip(averaged, current, strict=True)]


class AveragedModel(Module):
    """A copy of a model whose parameters are averages of the model's (Izmailov et al., 2018).

    Args:
        model: the model that is trained.
        avg_fn: function of (averaged, current, num_averaged) for one parameter, on tensors; None: their mean.
        multi_avg_fn: the same for lists of all parameters, returns the new ones; excludes `avg_fn`.
        use_buffers: average floating-point buffers, such as running statistics, as well; otherwise they are
            copied. Whole numbers are always copied.

    The first `update_parameters` copies the parameters. `module` is the copy, `n_averaged` counts the
    updates.

    Raises:
        TypeError: `model` is no Module.
        ValueError: both `avg_fn` and `multi_avg_fn`.

    >>> import numpy as np
    >>> from cnncore import nn
    >>> model = nn.Linear(1, 1, bias=False)
    >>> averaged = AveragedModel(model)
    >>> for value in (1.0, 2.0, 6.0):
    ...     model.weight.assign(np.array([[value]]))
    ...     averaged.update_parameters(model)
    >>> averaged.module.weight.numpy().item()
    3.0
    """

    def __init__(
        self,
        model: Module,
        avg_fn: AverageFunction | None = None,
        multi_avg_fn: MultiAverageFunction | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(model, Module):
            raise TypeError(f"expected a model, got {type(model).__name__}")
        for name, function in (("avg_fn", avg_fn), ("multi_avg_fn", multi_avg_fn)):
            if function is not None and not callable(function):
                raise TypeError(f"expected {name} as a function, got {function!r}")
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("expected avg_fn or multi_avg_fn, got both")
        # The model that is averaged is no part of the average, nor of a copy or pickle of it.
        self.__dict__["_construction"] = Construction(type(self), unknown="the model that it averages")
        self.module = copy.deepcopy(model)
        self.register_buffer("n_averaged", Buffer(np.zeros((), np.int64)))
        self.use_buffers = flag("use_buffers", use_buffers)
        self._average = multi_avg_fn or _for_lists(avg_fn or get_swa_avg_fn())
        self._updates: dict[bool, tuple[Module, Executable]] = {}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the model's parameters into the averages, in one call that changes all or none.

        Raises:
            ValueError: a model of other parameters.
        """
        first = int(np.asarray(self.n_averaged)) == 0
        known = self._updates.get(first)
        if known is None or known[0] is not model:
            known = self._updates[first] = (model, self._compile(model, first))
        known[1]([np.asarray(self.n_averaged, np.float32)])

    def _compile(self, model: Module, first: bool) -> Executable:
        own, theirs = _stored(self.module), _stored(model)
        if [(name, value.shape) for name, value in own] != [(name, value.shape) for name, value in theirs]:
            raise ValueError("expected a model with the parameters of the one that was averaged first")
        averaged = [
            not first and value.dtype == np.float32 and (self.use_buffers or not isinstance(value, Buffer))
            for _, value in own
        ]

        def update(count: Any) -> Any:
            pairs = [(a, as_tensor(a), as_tensor(b)) for (_, a), (_, b) in zip(own, theirs, strict=True)]
            chosen = [pair for pair, mean in zip(pairs, averaged, strict=True) if mean]
            new = self._average([a for _, a, _ in chosen], [b for *_, b in chosen], count)
            results = dict(zip([id(target) for target, *_ in chosen], new, strict=True))
            for target, _, current in pairs:
                current_graph().updates.append((target, results.get(id(target), current)))
            count_call(self.n_averaged)
            return count

        graph, result = trace(update, [np.zeros((), np.float32)])
        graph.outputs = [result]
        return compile_inference(graph)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_updates": {}}


class EMA(AveragedModel):
    """A copy of a model whose parameters are moving averages: decay * average + (1 - decay) * parameter.

    Args:
        model: the model that is trained.
        decay: share of the average that each update keeps.
        use_buffers: average floating-point buffers, such as running statistics, as well.

    Raises:
        ValueError: `decay` is not from 0 to 1.

    >>> from cnncore import nn
    >>> averaged = EMA(nn.Linear(2, 1), decay=0.9)
    >>> averaged.update_parameters(nn.Linear(2, 1))
    """

    def __init__(self, model: Module, decay: float = 0.999, use_buffers: bool = True) -> None:
        super().__init__(model, get_ema_avg_fn(decay), use_buffers=use_buffers)


def _stored(model: Module) -> list[tuple[str, Any]]:
    return [*model.named_parameters(), *model.named_buffers()]


class SWALR(LRScheduler):
    """Goes from the present rate to `swa_lr` in `anneal_epochs` steps and stays there.

    Args:
        optimizer: whose rates are set.
        swa_lr: the rate at the end, one number or one for each group.
        anneal_epochs: steps to it.
        anneal_strategy: "cos" or "linear".
        last_epoch: the step to continue after, -1 to begin.

    Raises:
        ValueError: an unknown `anneal_strategy`.

    >>> from cnncore import nn, optim
    >>> optimizer = optim.SGD(nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = SWALR(optimizer, swa_lr=0.5, anneal_epochs=2, anneal_strategy="linear")
    >>> scheduler.step(); scheduler.step(); optimizer.lr
    0.5
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: Any,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"expected anneal_strategy 'cos' or 'linear', got {anneal_strategy!r}")
        self.swa_lrs = one_each("swa_lr", swa_lr, checked_optimizer(optimizer))
        self.anneal_epochs = whole("anneal_epochs", anneal_epochs, 0)
        self.anneal_strategy = anneal_strategy
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        done = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return done if self.anneal_strategy == "linear" else (1.0 - math.cos(math.pi * done)) / 2.0

    def get_lr(self) -> list[float]:
        step = max(1, self.last_epoch) if self.anneal_epochs == 0 else self.last_epoch
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for rate, last in zip(self.lrs, self.swa_lrs, strict=True):
            start = last if before == 1.0 else (rate - before * last) / (1.0 - before)
            rates.append(last * now + start * (1.0 - now))
        return rates


def update_bn(loader: Iterable[Any], model: Module) -> None:
    """Work out the running statistics of a model's batch norms anew, as averages over a loader's batches.

    Args:
        loader: batches: arrays, or tuples and lists whose first entry is the model's input.
        model: its batch norms are changed, its mode is kept.

    Raises:
        TypeError: `model` is no Module.

    >>> import numpy as np
    >>> from cnncore import nn
    >>> norm = nn.BatchNorm1d(1)
    >>> update_bn([np.array([[1.0], [3.0]]), np.array([[5.0], [7.0]])], norm)
    >>> np.array(norm.running_mean).tolist()
    [4.0]
    """
    if not isinstance(model, Module):
        raise TypeError(f"expected model to be a Module, got {type(model).__name__}")
    norms = [layer for layer in model.modules() if hasattr(layer, "reset_running_stats")]
    norms = [layer for layer in norms if getattr(layer, "running_mean", None) is not None]
    if not norms:
        return
    kept = [(layer, layer.momentum) for layer in norms]
    modes = [(layer, layer.training) for layer in model.modules()]
    try:
        model.train()
        for layer in norms:
            layer.reset_running_stats()
            layer.momentum = None
        for batch in loader:
            model(batch[0] if isinstance(batch, (tuple, list)) else batch)
    finally:
        for layer, momentum in kept:
            layer.momentum = momentum
        for layer, mode in modes:
            layer.training = mode
