# SPDX-License-Identifier: Apache-2.0
"""From steps and their memory plan to a program of the machine, and running it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .lower import Builder
from .plan import Plan, plan_memory
from .random import next_step, rng_state
from .slots import Slot, Step
from .snapshot import Snapshot, gate
from .tensor import Graph
from .trace import is_stored


@dataclass(frozen=True)
class Memory:
    """Bytes a program works with.

    weights: what it holds for itself: packed and folded weights, constants, the steps' tables of offsets, and
    its copies of parameters and buffers that have changed or gone since it was compiled; activations: the
    values between steps; workspace: what steps need while they run, on all threads; shared: parameters and
    buffers of the living model, which cost nothing until they change (each changed one then counts among the
    weights).
    """

    weights: int
    activations: int
    workspace: int
    shared: int = 0

    @property
    def total(self) -> int:
        """What the program holds for itself; each further caller at the same time adds activations and
        workspace."""
        return self.weights + self.activations + self.workspace


class Executable:
    """A graph ready to run. Safe to call from several threads.

    Args:
        graph: outputs, updates and checks set.
    """

    def __init__(self, graph: Graph) -> None:
        builder = Builder(graph)
        guards = set(builder.outputs[len(graph.outputs) :])
        self.steps: list[Step] = sorted(builder.steps, key=lambda step: _stage(step, guards))
        self.input_shapes = [tensor.shape for tensor in graph.inputs]
        self._machine = _core.Program()
        self.run_machine = self._machine.run
        self._checks = [message for _, message in graph.checks]
        self._outputs = len(graph.outputs)
        self.counted = list(graph.counted)
        self._changed = [target for target, _ in graph.updates if is_stored(target)] + self.counted
        self.rng = builder.rng
        self._targets = [target for target, _ in graph.updates]
        self._stateful = self.rng is not None or bool(self._changed)
        self._snapshots_seen = -1
        self._lock = threading.Lock()
        self._build(builder)
        packed_from = {
            id(slot.root().source): slot.root().source
            for step in self.steps
            if step.setup
            for slot in step.inputs
            if slot is not None and slot.root().kind == "bound"
        }
        self._followed = [source for source in packed_from.values() if is_stored(source)]
        self._versions: list[int] = []
        if any(step.setup for step in self.steps):
            self.refresh()

    def _build(self, builder: Builder) -> None:
        machine = self._machine
        values = _Values(machine)
        bound = builder.bound_slots()
        for step in self.steps:
            inputs = [-1 if slot is None else values[slot] for slot in step.inputs]
            outputs = [-1 if slot is None else values[slot] for slot in step.outputs]
            step.index = machine.add_step(step.op, inputs, outputs, step.attrs, step.setup, step.label)
        for portions in dict.fromkeys(step.portions for step in self.steps):
            if portions is not None:
                stretch = [step.index for step in self.steps if step.portions is portions]
                machine.repeat(stretch[0], stretch[-1], portions.count)
        workspace = {step: machine.step_info(step.index)["workspace"] for step in self.steps}
        self.plan: Plan = plan_memory(self.steps, builder.inputs, workspace.__getitem__)
        machine.set_inputs([values[slot] for slot in builder.inputs])
        machine.set_outputs([values[slot] for slot in builder.outputs])
        machine.set_guards([values[slot] for slot in builder.outputs[self._outputs :]])
        self._place(values, bound)
        machine.finish(self.plan.arena_bytes, self.plan.persistent_bytes, self.plan.setup_bytes)
        self._sources = [(slot.source, slot.nbytes) for slot in bound]

    def _place(self, values: _Values, bound: Sequence[Slot]) -> None:
        """Tell the machine where every value and workspace lies."""
        machine = self._machine
        for regions, setup in ((self.plan.setup_regions, True), (self.plan.regions, False)):
            steps = [step for step in self.steps if step.setup == setup]
            for region in regions:
                if region.slot is None:
                    machine.place_workspace(steps[region.first].index, region.offset)
                else:
                    machine.place(values[region.slot], "arena", region.offset)
        for slot, offset in self.plan.persistent:
            machine.place(values[slot], "persistent", offset)
        written = {slot.root() for step in self.steps for slot in step.outputs if slot is not None}
        self._numbers: dict[int, int] = {}  # id of a snapshot -> the value that is its memory
        for slot in bound:
            source = slot.source
            if isinstance(source, Snapshot):
                source.add_reader(self)
                self._numbers[id(source)] = values[slot]
            array = source if isinstance(source, np.ndarray) else source.memory
            machine.bind(values[slot], array, slot in written)
        for slot, number in list(values.items()):
            if slot.base is not None:
                root = values[slot.root()]
                machine.alias(number, root, slot.offset_in_root(), slot.advance_in_root())

    def rebind(self, snapshot: Snapshot, memory: NDArray[Any]) -> None:
        """Read a snapshot's contents from other memory; returns when no run reads the old any more."""
        self._machine.bind(self._numbers[id(snapshot)], memory)

    def _follow(self) -> None:
        """Run the setup steps again if what they read has changed."""
        for source, version in zip(self._followed, self._versions, strict=True):
            if source.version != version:
                self.refresh()
                break

    def refresh(self) -> None:
        """Run the setup steps on the parameters as they are now."""
        self._versions = [source.version for source in self._followed]
        self._machine.setup()

    def __call__(self, arrays: Sequence[NDArray[Any]]) -> list[Any]:
        """Run on one array for each input; returns one array for each output."""
        self._follow()
        if self._stateful:
            with self._lock:
                return self._run_and_count(arrays)
        return self._check(self.run_machine(arrays))

    def _run_and_count(self, arrays: Sequence[NDArray[Any]]) -> list[Any]:
        """Run what draws random numbers or writes buffers, and say so."""
        if self.rng is not None:
            self.rng[:] = next_step()
        self._snapshots_seen = gate.enter(self._changed, self._snapshots_seen)
        try:
            outputs = self._check(self.run_machine(arrays))
            for target in self.counted:
                target.memory += 1
            for target in self._changed:
                target.version += 1
        finally:
            gate.leave()
        return outputs

    def _check(self, outputs: list[Any]) -> list[Any]:
        """Return the graph's outputs; raise if a guard among the machine's is not 0.

        The first such guard ended the run, so those after it were not written.
        """
        if self._checks:
            flags = outputs[self._outputs :]
            del outputs[self._outputs :]
            for flag, message in zip(flags, self._checks, strict=True):
                if flag:
                    raise ValueError(message.format(int(flag)))
        return outputs

    @property
    def run_steps(self) -> list[Step]:
        """The steps of a run, in order."""
        return [step for step in self.steps if not step.setup]

    @property
    def memory(self) -> Memory:
        """What the plan booked, exact before anything runs."""
        scratch = self._machine.scratch_bytes_per_thread * _core.num_threads()
        values = self.plan.value_bytes
        tables = sum(int(self.step_info(step)["tables"]) for step in self.steps)
        shared = sum(nbytes for source, nbytes in self._sources if is_stored(source) or _is_shared(source))
        bound = sum(nbytes for _, nbytes in self._sources)
        return Memory(
            weights=self.plan.persistent_bytes + bound - shared + tables,
            activations=values,
            workspace=self.plan.arena_bytes - values + scratch,
            shared=shared,
        )

    def step_info(self, step: Step) -> dict[str, Any]:
        """Return algorithm, flops and bytes of a step."""
        info: dict[str, Any] = self._machine.step_info(step.index)
        return info

    def profile(self, arrays: Sequence[NDArray[Any]]) -> tuple[list[Any], list[float]]:
        """Run once, without counting what the run changes; return the outputs and each step's seconds, by its
        index."""
        outputs, seconds = self._machine.profile(arrays)
        return outputs, seconds

    def measure(self, arrays: Sequence[NDArray[Any]], repeats: int) -> NDArray[np.float64]:
        """Run `repeats` times; return each step's least seconds, by its index.

        What the runs change (parameters, optimiser state, statistics) is as before afterwards, and no random
        numbers are used up.
        """
        self._follow()
        with self._lock:
            self._snapshots_seen = gate.enter(self._changed, self._snapshots_seen)
            try:
                written = [t if isinstance(t, np.ndarray) else t.memory for t in self._targets]
                before = [array.copy() for array in written]
                if self.rng is not None:
                    self.rng[:] = rng_state()
                try:
                    least = np.full(len(self.steps), np.inf)
                    for _ in range(repeats):
                        least = np.minimum(least, self._timed(arrays))
                    return least
                finally:
                    for array, values in zip(written, before, strict=True):
                        array[...] = values
            finally:
                gate.leave()

    def _timed(self, arrays: Sequence[NDArray[Any]]) -> list[float]:
        outputs, seconds = self.profile(arrays)
        self._check(outputs)
        return seconds


def _is_shared(source: Any) -> bool:
    return isinstance(source, Snapshot) and source.shared


class _Values(dict[Slot, int]):
    """The machine's number of each slot, which becomes known to it on first use."""

    def __init__(self, machine: Any) -> None:
        super().__init__()
        self._machine = machine

    def __missing__(self, slot: Slot) -> int:
        number: int = self._machine.add_value(slot.shape, slot.dtype, slot.layout, slot.pitch)
        self[slot] = number
        return number


def _stage(step: Step, guards: set[Slot]) -> int:
    """Setup steps come first, then guards of the inputs: they end a bad run before it changes anything."""
    if step.setup:
        return 0
    guards_inputs = not guards.isdisjoint(step.outputs) and all(
        slot is None or slot.root().kind == "input" for slot in step.inputs
    )
    return 1 if guards_inputs else 2
