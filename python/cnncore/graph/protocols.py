# SPDX-License-Identifier: Apache-2.0
"""What the compiler asks of parameters, modules and optimisers; it knows nothing else of them.

How a module is run
    `Module.__call__` does nothing but `return call_module(self, args, kwargs)` (graph/call.py).
    * While a function is being traced, this pushes the module's path for error messages, runs
      `module.forward` on symbolic tensors and records the module, so that a compiled program knows
      when it is out of date.
    * Otherwise the module is traced in its current mode, compiled (bounded LRU, kept in
      `module._programs`) and run on the arrays given.
    Paths come from the outermost module's `named_modules()`.

What is recorded
    A program traced from a module stays valid while every recorded module has the same `training` and
    `structure_version` and every parameter met has the same `requires_grad`. A module adds 1 to
    `structure_version` whenever an attribute, parameter, buffer or child is set or deleted. So that
    a call need not look at every module, all of these also add 1 to `changes.structure`
    (graph/changes.py), as do `train()`, `eval()` and setting `requires_grad`.

Parameters and buffers
    Programs read and write `memory` in place (a C-order array, float32, or int64 for counters) and add 1
    to `version` after writing. Whoever writes `memory` passes the gate of graph/snapshot.py, so that
    predictors which share it can take a copy first.

Batch norm
    `ops.batch_norm(..., training=True)` writes the running buffers given to it when they are
    `StoredArray`s. `trace.count_call(buffer)` makes every run of the program add 1 to an int64
    buffer (`num_batches_tracked`).

Random numbers
    `ops.dropout(x, p, training=True)` draws from the generator that `manual_seed` sets; a layer
    only passes its own mode as `training`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from numpy.typing import NDArray

if TYPE_CHECKING:
    from .snapshot import Snapshot


@runtime_checkable
class StoredArrayLike(Protocol):
    """A parameter or buffer: an array with an identity, changed in place."""

    memory: NDArray[Any]
    version: int
    requires_grad: bool
    name: str

    @property
    def shape(self) -> tuple[int, ...]: ...

    def snapshot(self) -> Snapshot: ...

    def before_change(self) -> None: ...


class ModuleLike(Protocol):
    """A layer or network."""

    training: bool
    structure_version: int
    forward: Callable[..., Any]

    def named_modules(self) -> Iterable[tuple[str, ModuleLike]]: ...


class OptimizerLike(Protocol):
    """How an optimiser's update becomes the last steps of a training program.

    A group's update is one step named `update_op` ("sgd_update" or "adam_update") over all its
    parameters that have a gradient, with inputs `[hyper, None, (p, g, *slots) of each parameter]` and
    outputs `[(p', *slots') of each parameter]` in place, and `update_attrs(group)` as its settings. The
    number of slots of a parameter is `slot_count`; missing ones are passed as None.
    """

    update_op: str
    slot_count: int

    @property
    def param_groups(self) -> Sequence[Mapping[str, Any]]:
        """Dicts with "params" (a list of parameters) and the group's settings."""

    def hyper(self, group: int) -> NDArray[Any]:
        """Return the group's numbers (learning rate, ...), always the same float64 array.

        Its contents may change at any time; their order is that of cpp/ops/optimizer.h.
        """

    def state_slots(self, parameter: Any) -> list[NDArray[Any]]:
        """Return the parameter's state arrays (momentum; first and second moment), made on first
        use with the parameter's shape, always the same arrays; [] when the update keeps none."""

    def update_attrs(self, group: int) -> dict[str, Any]:
        """Return settings that are fixed in the compiled step ("nesterov", "decoupled", ...).

        A train step compares them before each run and compiles anew when they differ.
        """

    def advance(self) -> None:
        """Count one update and bring every `hyper` array up to date; called before each run."""

    def retreat(self) -> None:
        """Take the last `advance` back: the run was refused."""
