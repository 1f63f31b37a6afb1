# SPDX-License-Identifier: Apache-2.0
"""What the compiler asks of parameters, modules and optimisers; it knows nothing else of them.

How a module is run
    `Module.__call__` does nothing but `return call_module(self, args, kwargs)` (compiler/call.py).
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
    Programs read and write `storage` in place (C order, float32, or int64 for counters). The machine lets
    one writer or several readers use it at a time, has snapshots copy it before it is written, and adds 1 to
    `version` in the same call (cpp/program/storage.h).

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
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from .._core import Storage


@runtime_checkable
class StoredArrayLike(Protocol):
    """A parameter or buffer: an array with an identity, changed in place."""

    storage: Storage
    requires_grad: bool
    name: str

    @property
    def version(self) -> int: ...

    @property
    def shape(self) -> tuple[int, ...]: ...


class ModuleLike(Protocol):
    """A layer or network."""

    structure_version: int
    forward: Callable[..., Any]

    @property
    def training(self) -> bool: ...

    def named_modules(self) -> Iterable[tuple[str, ModuleLike]]: ...


class OptimizerLike(Protocol):
    """How an optimiser's update becomes the last steps of a training program.

    A group's update is one step, `update_step(group)` of those in cpp/ops/optimizer.h, over all its
    parameters that have a gradient, with inputs `[hyper, None, (p, g, *slots) of each parameter]` and
    outputs `[(p', *slots') of each parameter]` in place, and `update_attrs(group)` as its settings. The
    slots are the same for all parameters of a group, with None for those its settings do without.
    """

    update_op: str

    @property
    def param_groups(self) -> Sequence[Mapping[str, Any]]:
        """Dicts with "params" (a list of parameters) and the group's settings."""

    counter: Storage
    """int64 scalar: the steps done. Every run of a step adds 1."""
    lock: AbstractContextManager[Any]
    """Held from `check_settings` to the end of a run."""
    settings_version: int
    """Grows in `check_settings` when what `update_attrs` returns, or the number of parameters, may differ."""

    def hyper(self, group: int) -> Storage:
        """Return the memory of the group's numbers (learning rate, ...), always the same: float64 bit
        patterns in the order of cpp/ops/optimizer.h."""

    def update_step(self, group: int) -> str:
        """Return the machine's step that updates the group."""

    def state_slots(self, parameter: Any) -> list[Storage | None]:
        """Return the memory of the parameter's state arrays (momentum; first and second moment), made on
        first use with the parameter's shape, always the same; [] when the update keeps none."""

    def update_attrs(self, group: int) -> dict[str, Any]:
        """Return settings that are fixed in the compiled step ("nesterov", "decoupled", ...).

        A train step compares them when `settings_version` has grown and compiles anew when they differ.
        """

    def check_settings(self) -> None:
        """Raise if a setting is wrong; called before a program is looked for."""

    def fixed(self, group: int) -> tuple[Any, ...]:
        """Return further settings that are fixed in the compiled step."""

    def direction_attrs(self, group: int) -> dict[str, Any] | None:
        """Return settings of a `rule_update` that comes first and makes directions of gradients, with the
        state; the group's update then has none. None where there is only one."""

    def direction(self, group: int, tensor: Any) -> Any:
        """Add nodes between the two, for what the first has made of one gradient."""

    def prepare(self) -> None:
        """Bring every `hyper` up to date for the next step; called before each run."""
