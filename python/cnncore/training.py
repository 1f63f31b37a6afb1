# SPDX-License-Identifier: Apache-2.0
"""Training steps: forward pass, backward pass and update in one program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _checks, profiling
from ._core import Storage
from .compiler.call import Validity
from .compiler.pipeline import Compiled, compile_training, set_outputs
from .compiler.program import Executable, Memory
from .graph.dtype import dtype_name
from .graph.hints import missing
from .graph.protocols import OptimizerLike
from .graph.tensor import Graph, Layout, Tensor, present
from .graph.trace import at, building, emit
from .nn.arguments import positive
from .ops.build import elementwise
from .ops.gradient import clipped, norm_scale
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
        optimizer = self._optimizer
        return [
            (len(group["params"]), optimizer.update_step(i), optimizer.update_attrs(i), optimizer.fixed(i))
            for i, group in enumerate(groups)
        ]

    def holds(self) -> bool:
        if not super().holds():
            return False
        version = self._optimizer.settings_version
        if self._version != version:
            if self._settings() != self._compiled_for:
                return False
            self._version = version
        return True


class LossValue(float):
    """The loss of a step: a float that explains what it does not have."""

    __slots__ = ()

    if not TYPE_CHECKING:  # type checkers shall tell names that do not exist

        def __getattr__(self, name: str) -> Any:
            raise missing("loss", "the loss of a step", name)


MOST_COUNTED = 2**31 - 1
"""Batches of an update, with more of which there would never be one."""


class TrainStep(Function):
    """Returned by `train_step`: forward, backward and update of one batch in one call."""

    def __init__(
        self,
        fn: Callable[..., Any],
        optimizer: OptimizerLike,
        clip_grad_norm: float | None = None,
        clip_grad_value: float | None = None,
        accumulate: int = 1,
        max_memory: int | str | None = None,
    ) -> None:
        super().__init__(fn, max_memory)
        if not hasattr(optimizer, "update_op"):
            raise TypeError(f"expected an optimizer, got {type(optimizer).__name__}")
        self.optimizer = optimizer
        self._most_norm = _positive("clip_grad_norm", clip_grad_norm)
        self._most_value = _positive("clip_grad_value", clip_grad_value)
        self._accumulate = positive("accumulate", accumulate, MOST_COUNTED)
        self._batches = Storage(np.zeros((), np.int64))
        self._sums: dict[Any, Storage] = {}

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        arrays, key = input_arrays(self._positional(inputs, named))
        with self.optimizer.lock:
            program = self._program(key, arrays)
            self.optimizer.prepare()
            return program(arrays)

    @property
    def _place(self) -> tuple[bool, bool]:
        """Whether the next batch is the first, and whether it is the last, of those that share an update."""
        place = self._batches.item() % self._accumulate if self._accumulate > 1 else 0
        return place == 0, place == self._accumulate - 1

    @property
    def is_amid(self) -> bool:
        """Whether there have been some, and not all, of the batches that share an update."""
        return not self._place[0]

    def pending(self) -> dict[str, Any]:
        """Return what the batches so far, of those that share an update, have summed up.

        ``{"batches": batches of all updates so far, "sums": {number of the parameter: array}}``
        """
        with self.optimizer.lock:
            numbers = {id(parameter): number for number, parameter in enumerate(self._parameters())}
            sums = {numbers[id(parameter)]: kept.read() for parameter, kept in self._sums.items()}
            return {"batches": int(self._batches.item()), "sums": sums}

    def load_pending(self, pending: dict[str, Any]) -> None:
        """Go on from what `pending` returned for a step of the same function and settings."""
        parameters = self._parameters()
        with self.optimizer.lock:
            self._batches.write(np.array(pending["batches"], np.int64))
            for number, values in pending["sums"].items():
                kept = self._sums.setdefault(parameters[number], Storage(np.zeros(values.shape, np.float32)))
                kept.write(values)

    def _parameters(self) -> list[Any]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

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
        return super()._program((self._place, *key), arrays)

    def _compile(self, arrays: list[Any]) -> Compiled:
        graph, _, result = self._trace(arrays)
        validity = _Validity(graph, self.optimizer)
        rebuild = set_outputs(graph, result)
        self._seed(graph)
        wanted: list[tuple[int, Any, Tensor]] = []
        for number, group in enumerate(self.optimizer.param_groups):
            for parameter in group["params"]:
                tensor = graph.stored.get(id(parameter))
                if tensor is not None and parameter.requires_grad:
                    wanted.append((number, parameter, tensor))
        if not wanted:
            raise ValueError("the loss depends on none of the optimizer's parameters (or all are frozen)")

        def use(grads: list[Tensor | None]) -> None:
            with building(graph), at("optimizer"):
                found = [(*entry, g) for entry, g in zip(wanted, grads, strict=True) if g is not None]
                found = [(n, p, t, self._accumulated(graph, p, g)) for n, p, t, g in found]
                last = self._place[1]
                found = self._summed(graph, found, last)
                if not last:
                    return
                scale = None
                if self._most_value is not None:
                    found = [(n, p, t, clipped(g, self._most_value)) for n, p, t, g in found]
                if self._most_norm is not None and found:
                    scale = norm_scale([g for *_, g in found], self._most_norm)
                for number in range(len(self.optimizer.param_groups)):
                    self._add_update(graph, number, [entry for n, *entry in found if n == number], scale)

        executable = compile_training(graph, [tensor for _, _, tensor in wanted], use, self._max_memory)

        def unpack(outputs: list[Any]) -> Any:
            outputs[0] = LossValue(outputs[0])
            return rebuild(outputs)

        return Compiled(executable, unpack, validity)

    def _seed(self, graph: Graph) -> None:
        """Say what of the graph's first output is differentiated, by making it that output."""

    def _summed(self, graph: Graph, found: list[Any], updates: bool) -> list[Any]:
        """Return (group, parameter, tensor, gradient) with the gradients of all processes, for an update."""
        return found

    def _accumulated(self, graph: Graph, parameter: Any, gradient: Tensor) -> Tensor:
        """Return the mean gradient of the batches that share an update, or until the last keep their sum."""
        if self._accumulate == 1:
            return gradient
        first, last = self._place
        if all(known is not self._batches for known in graph.counted):
            graph.counted.append(self._batches)
        if parameter not in self._sums:
            self._sums[parameter] = Storage(np.zeros(parameter.shape, np.float32))
        kept = self._sums[parameter]
        if not first:
            gradient = elementwise("add", present(_bound(kept)), gradient)
        if last:
            return elementwise("mul_scalar", gradient, alpha=1.0 / self._accumulate)
        graph.updates.append((kept, gradient))
        return gradient

    def _add_update(self, graph: Graph, number: int, found: list[Any], scale: Tensor | None) -> None:
        """Add the update of one group's (parameter, tensor, gradient), with a factor of all gradients."""
        if not found:
            return
        optimizer = self.optimizer
        if all(known is not optimizer.counter for known in graph.counted):
            graph.counted.append(optimizer.counter)
        slots = [optimizer.state_slots(parameter) for parameter, _, _ in found]
        first = optimizer.direction_attrs(number)
        if first is not None:
            pieces = [[t, g, *map(_bound, kept)] for (_, t, g), kept in zip(found, slots, strict=True)]
            changed = self._emit_update(number, "rule_update", first, scale, pieces)
            for kept, (_, *new) in zip(slots, changed, strict=True):
                graph.updates += list(zip(kept, new, strict=True))
            directions = [optimizer.direction(number, rows[0]) for rows in changed]
            found = [(p, t, d) for (p, t, _), d in zip(found, directions, strict=True)]
            slots, scale = [[] for _ in found], None
        pieces = [[t, g, *map(_bound, kept)] for (_, t, g), kept in zip(found, slots, strict=True)]
        attrs = optimizer.update_attrs(number)
        changed = self._emit_update(number, optimizer.update_step(number), attrs, scale, pieces)
        for (parameter, _, _), kept, rows in zip(found, slots, changed, strict=True):
            pairs = zip([parameter, *kept], rows, strict=True)
            graph.updates += [pair for pair in pairs if pair[0] is not None and pair[1] is not None]

    def _emit_update(
        self, number: int, step: str, attrs: dict[str, Any], scale: Tensor | None, pieces: list[Any]
    ) -> list[list[Tensor]]:
        """Add a step of the machine over a group's tensors; return the new ones of each parameter."""
        count = len(pieces[0]) - 1
        inputs = [_bound(self.optimizer.hyper(number)), scale, *(t for piece in pieces for t in piece)]
        record = UpdateAttributes(step, count, tuple(attrs.items()))
        outputs: Any = emit(OptimizerUpdate, inputs, record, "optimizer").outputs
        return [list(outputs[i : i + count]) for i in range(0, len(outputs), count)]


def _positive(name: str, value: Any) -> float | None:
    """Return an optional bound as a number above 0, or raise."""
    if value is None:
        return None
    found = _checks.real(f"a number for {name}", value, flags=False)
    if not 0 < found < float("inf"):
        raise ValueError(f"expected {name} above 0 and finite, got {value}")
    return found


def _bound(storage: Storage | None) -> Tensor | None:
    """Return a tensor that is an optimiser's memory."""
    if storage is None:
        return None
    return Tensor(storage.shape, dtype_name(storage.dtype), Layout.C, storage)


def train_step(
    fn: Callable[..., Any],
    optimizer: OptimizerLike,
    *,
    clip_grad_norm: float | None = None,
    clip_grad_value: float | None = None,
    accumulate: int = 1,
    max_memory: int | str | None = None,
    comm: Any = None,
) -> TrainStep:
    """Compile forward pass, backward pass and update into one call.

    Args:
        fn: function of tensors that returns a scalar loss, or (loss, aux...).
        optimizer: changes its parameters that the loss depends on and that are not frozen; its
            settings may change between calls.
        clip_grad_norm: largest norm of all gradients together; larger ones are scaled down to it, as torch's
            `clip_grad_norm_` does.
        clip_grad_value: largest size of a gradient's element; larger ones become it, before the norm is
            taken.
        accumulate: calls that share an update: each adds its gradients to a sum, and the last changes the
            parameters by their mean. Running statistics follow every call, the optimiser's steps and
            schedules count updates.
        max_memory: bytes that the step may work with (`memory.total`: weights packed, activations and
            workspace, without the parameters and the optimiser's state), as an integer or as text such as
            "500MB" or "1.5GiB". Activations are computed again in the backward pass, rather than kept, as far
            as that asks for; those that cost least come first. Losses and weights are the same bits.
            `memory` and `explain()` tell the price.
        comm: an MPI communicator, such as mpi4py's ``MPI.COMM_WORLD`` (extra `mpi`), whose processes train
            together: each calls the step with rows of its own, as often as the others. The loss, a mean over
            rows, and its gradients are those of all rows together; parameters, buffers and the optimiser's
            state are at first those of rank 0. A process whose step fails ends all with its message. See
            docs/scale.md.

    Returns:
        A function of fn's inputs (arrays) that runs one step, without Python's global lock, and
        returns the loss (a float) or (loss, aux...). It is compiled once for each combination of input
        shapes, and anew when a module or `requires_grad` has changed. Several steps may share modules.

    Raises:
        ValueError: `max_memory` is less than recomputation reaches (when the step is compiled).

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
    settings = (fn, optimizer, clip_grad_norm, clip_grad_value, accumulate, max_memory)
    if comm is None:
        return TrainStep(*settings)
    from .distributed import make_step, ranks_of

    return make_step(ranks_of(comm), *settings)
