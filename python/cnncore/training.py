# SPDX-License-Identifier: Apache-2.0
"""Training steps: forward pass, backward pass and update in one program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import profiling
from ._core import Storage
from .compiler.call import Validity
from .compiler.pipeline import Compiled, compile_training, set_outputs
from .compiler.program import Executable, Memory
from .graph.protocols import OptimizerLike
from .graph.tensor import Graph, Tensor
from .graph.trace import building, emit
from .ops.update import OptimizerUpdate, UpdateAttributes
from .profiling import Table
from .transforms import Function, input_arrays


class _Validity(Validity):
    """What a compiled step depends on, with what the optimiser has fixed in it."""

    def __init__(self, graph: Graph, optimizer: OptimizerLike) -> None:
        super().__init__(graph)
        self._optimizer = optimizer
        self._version = optimizer.settings_version
        self._compiled_for = self._settings()

    def _settings(self) -> list[Any]:
        groups = self._optimizer.param_groups
        return [(len(group["params"]), self._optimizer.update_attrs(i)) for i, group in enumerate(groups)]

    def holds(self) -> bool:
        if not super().holds():
            return False
        version = self._optimizer.settings_version
        if self._version != version:
            if self._settings() != self._compiled_for:
                return False
            self._version = version
        return True


class TrainStep(Function):
    """Returned by `train_step`: forward, backward and update of one batch in one call."""

    def __init__(self, fn: Callable[..., Any], optimizer: OptimizerLike) -> None:
        super().__init__(fn)
        if not hasattr(optimizer, "update_op"):
            raise TypeError(f"expected an optimizer, got {type(optimizer).__name__}")
        self.optimizer = optimizer

    def __call__(self, *inputs: Any) -> Any:
        arrays, key = input_arrays(inputs)
        with self.optimizer.lock:
            program = self._program(key, arrays)
            self.optimizer.prepare()
            return program(arrays)

    def explain(self, *inputs: Any) -> Table:
        """Return a row for each part of a step: layer, step, algorithm, and why others were not taken.

        Args:
            inputs: as for a call; without, the program that ran last is explained.
        """
        return profiling.explain(self._executable(inputs))

    @property
    def memory(self) -> Memory:
        """Bytes of the program that ran last: weights, activations, workspace; parameters, buffers and the
        optimiser's state are those it shares with the model."""
        return self._executable(()).memory

    def memory_of(self, *inputs: Any) -> Memory:
        """Return the bytes that a step on such inputs works with, without running it.

        Args:
            inputs: as for a call.

        >>> import numpy as np
        >>> import cnncore as cc
        >>> from cnncore import nn, ops, optim
        >>> model = nn.Linear(4, 2)
        >>> loss = lambda x, y: ops.mse_loss(model(x), y)
        >>> step = cc.train_step(loss, optim.SGD(model.parameters(), lr=0.1))
        >>> step.memory_of(np.ones((8, 4)), np.ones((8, 2))).total > 0
        True
        """
        return self._executable(inputs).memory

    def _executable(self, inputs: Sequence[Any]) -> Executable:
        """Return the program for the inputs, or, without any, the one that ran last."""
        with self.optimizer.lock:
            if inputs:
                arrays, key = input_arrays(inputs)
                return self._program(key, arrays).executable
            programs = self._programs.values()
        if not programs:
            raise ValueError("expected the inputs of a step, or a step that has run: nothing is compiled yet")
        return programs[-1].executable

    def profile(self, *inputs: Any, repeats: int = 5) -> Table:
        """Measure each part of a step.

        Parameters, statistics and the optimiser's state are afterwards as before; other threads that use them
        wait meanwhile.

        Args:
            inputs: as for a call.
            repeats: steps measured; the least time of each part counts.

        Returns:
            A row for each part, as `Predictor.profile` returns them.
        """
        repeats = profiling.check_repeats(repeats)
        arrays, key = input_arrays(inputs)
        with self.optimizer.lock:
            executable = self._program(key, arrays).executable
            self.optimizer.prepare()
            seconds = executable.measure(arrays, repeats + 1)
        return profiling.profile(executable, seconds)

    def _program(self, key: tuple[Any, ...], arrays: list[Any]) -> Compiled:
        self.optimizer.check_settings()
        return super()._program(key, arrays)

    def _compile(self, arrays: list[Any]) -> Compiled:
        graph, _, result = self._trace(arrays)
        validity = _Validity(graph, self.optimizer)
        rebuild = set_outputs(graph, result)
        wanted: list[tuple[int, Any, Tensor]] = []
        for number, group in enumerate(self.optimizer.param_groups):
            for parameter in group["params"]:
                tensor = graph.stored.get(id(parameter))
                if tensor is not None and parameter.requires_grad:
                    wanted.append((number, parameter, tensor))
        if not wanted:
            raise ValueError("the loss depends on none of the optimizer's parameters (or all are frozen)")

        def use(grads: list[Tensor | None]) -> None:
            for number in range(len(self.optimizer.param_groups)):
                mine = [(p, t, g) for (n, p, t), g in zip(wanted, grads, strict=True) if n == number]
                self._add_update(graph, number, mine)

        executable = compile_training(graph, [tensor for _, _, tensor in wanted], use)

        def unpack(outputs: list[Any]) -> Any:
            outputs[0] = float(outputs[0])
            return rebuild(outputs)

        return Compiled(executable, unpack, validity)

    def _add_update(
        self, graph: Graph, number: int, triples: list[tuple[Any, Tensor, Tensor | None]]
    ) -> None:
        """Add the update of one parameter group, for the parameters that have a gradient."""
        optimizer = self.optimizer
        inputs: list[Tensor | None] = [_bound(optimizer.hyper(number)), None]
        targets: list[Any] = []
        parameters = 0
        for parameter, tensor, gradient in triples:
            if gradient is None:
                continue
            slots = optimizer.state_slots(parameter)
            inputs += [tensor, gradient, *map(_bound, slots)]
            targets += [parameter, *slots]
            parameters += 1
        if not targets:
            return
        if all(known is not optimizer.counter for known in graph.counted):
            graph.counted.append(optimizer.counter)
        settings = tuple(optimizer.update_attrs(number).items())
        attrs = UpdateAttributes(optimizer.update_step(number), len(targets) // parameters, settings)
        with building(graph):
            node = emit(OptimizerUpdate, inputs, attrs, "optimizer")
        for target, new in zip(targets, node.outputs, strict=True):
            if target is not None and new is not None:
                graph.updates.append((target, new))


def _bound(storage: Storage | None) -> Tensor | None:
    """Return a tensor that is an optimiser's memory."""
    if storage is None:
        return None
    return Tensor(storage.shape, storage.dtype.name, "c", storage)


def train_step(fn: Callable[..., Any], optimizer: OptimizerLike) -> TrainStep:
    """Compile forward pass, backward pass and update into one call.

    Args:
        fn: function of tensors that returns a scalar loss, or (loss, aux...).
        optimizer: changes its parameters that the loss depends on and that are not frozen; its
            settings may change between calls.

    Returns:
        A function of fn's inputs (arrays) that runs one step, without Python's global lock, and
        returns the loss (a float) or (loss, aux...). It is compiled once for each combination of input
        shapes, and anew when a module or `requires_grad` has changed. Several steps may share modules.

    >>> import numpy as np
    >>> import cnncore as cc
    >>> from cnncore import nn, ops, optim
    >>> model = nn.Linear(1, 1)
    >>> step = cc.train_step(lambda x, y: ops.mse_loss(model(x), y), optim.SGD(model.parameters(), lr=0.5))
    >>> x = np.linspace(-1, 1, 8)[:, None]
    >>> losses = [step(x, 3 * x + 1) for _ in range(50)]
    >>> losses[-1] < 1e-3 < losses[0]
    True
    """
    return TrainStep(fn, optimizer)
