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
from .lower import Builder, Slot, Step
from .plan import Plan, plan_memory
from .random import next_step
from .tensor import Graph
from .trace import is_stored


@dataclass(frozen=True)
class Memory:
    """Bytes a program works with.

    weights: parameters, buffers and constants, and what was packed or folded from them; activations:
    the values between steps; workspace: what steps need while they run, on all threads.
    """

    weights: int
    activations: int
    workspace: int

    @property
    def total(self) -> int:
        return self.weights + self.activations + self.workspace


class Executable:
    """A graph ready to run. Safe to call from several threads.

    Args:
        graph: outputs, updates and checks set; it is not used afterwards.
    """

    def __init__(self, graph: Graph) -> None:
        builder = Builder(graph)
        self.steps: list[Step] = sorted(builder.steps, key=lambda step: not step.setup)
        self.input_shapes = [tensor.shape for tensor in graph.inputs]
        self._machine = _core.Program()
        self.run_machine = self._machine.run
        self._checks = [message for _, message in graph.checks]
        self._outputs = len(graph.outputs)
        self.counted = list(graph.counted)
        self._changed = [target for target, _ in graph.updates if is_stored(target)] + self.counted
        self.rng = builder.rng
        self._stateful = self.rng is not None or bool(self._changed)
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
        slots: dict[Slot, int] = {}

        def declare(slot: Slot) -> int:
            number = slots.get(slot)
            if number is None:
                number = slots[slot] = machine.add_value(slot.shape, slot.dtype, slot.layout)
            return number

        for slot in (*builder.inputs, *builder.outputs, *builder.bound_slots()):
            declare(slot)
        for step in self.steps:
            inputs = [-1 if slot is None else declare(slot) for slot in step.inputs]
            outputs = [-1 if slot is None else declare(slot) for slot in step.outputs]
            label = step.label
            step.index = machine.add_step(step.op, inputs, outputs, step.attrs, step.setup, label)
        workspace = {step: machine.step_info(step.index)["workspace"] for step in self.steps}
        self.plan: Plan = plan_memory(self.steps, builder.inputs, workspace.__getitem__)
        machine.set_inputs([slots[slot] for slot in builder.inputs])
        machine.set_outputs([slots[slot] for slot in builder.outputs])
        self._place(slots, builder)
        machine.finish(self.plan.arena_bytes, self.plan.persistent_bytes)
        self._bound_bytes = sum(slot.nbytes for slot in builder.bound_slots())

    def _place(self, slots: dict[Slot, int], builder: Builder) -> None:
        machine = self._machine
        setup = [step for step in self.steps if step.setup]
        run = [step for step in self.steps if not step.setup]
        for regions, steps in ((self.plan.setup_regions, setup), (self.plan.regions, run)):
            for region in regions:
                if region.slot is None:
                    machine.place_workspace(steps[region.first].index, region.offset)
                else:
                    number = slots.get(region.slot)
                    if number is None:
                        number = slots[region.slot] = machine.add_value(
                            region.slot.shape, region.slot.dtype, region.slot.layout
                        )
                    machine.place(number, "arena", region.offset)
        for slot, offset in self.plan.persistent:
            machine.place(slots[slot], "persistent", offset)
        written = {id(target) for step in self.steps for target in _bound_targets(step)}
        for slot in builder.bound_slots():
            source = slot.source
            array = source if isinstance(source, np.ndarray) else source.data
            machine.bind(slots[slot], array, id(slot) in written)
        for slot in list(slots):
            base = slot.base
            if base is None:
                continue
            if base not in slots:
                raise AssertionError("a slot's base has no place")
            machine.alias(slots[slot], slots[base], slot.offset)

    def refresh(self) -> None:
        """Run the setup steps on the parameters as they are now."""
        self._versions = [source.version for source in self._followed]
        self._machine.setup()

    def __call__(self, arrays: Sequence[NDArray[Any]]) -> list[Any]:
        """Run on one array for each input; returns one array for each output."""
        for source, version in zip(self._followed, self._versions, strict=True):
            if source.version != version:
                self.refresh()
                break
        if self._stateful:
            with self._lock:
                outputs = self._run_and_count(arrays)
        else:
            outputs = self.run_machine(arrays)
        if self._checks:
            self._check(outputs)
        return outputs

    def _run_and_count(self, arrays: Sequence[NDArray[Any]]) -> list[Any]:
        """Run what draws random numbers or writes buffers, and say so."""
        if self.rng is not None:
            self.rng[:] = next_step()
        outputs: list[Any] = self.run_machine(arrays)
        for target in self.counted:
            target.data += 1
        for target in self._changed:
            target.version += 1
        return outputs

    def _check(self, outputs: list[Any]) -> None:
        """Remove the outputs that must be 0 and raise if one is not."""
        flags = outputs[self._outputs :]
        del outputs[self._outputs :]
        for flag, message in zip(flags, self._checks, strict=True):
            if flag:
                raise ValueError(message.format(int(flag)))

    @property
    def run_steps(self) -> list[Step]:
        """The steps of a run, in order."""
        return [step for step in self.steps if not step.setup]

    @property
    def memory(self) -> Memory:
        """What the plan booked, exact before anything runs."""
        scratch = self._machine.scratch_bytes_per_thread * _core.num_threads()
        values = self.plan.value_bytes
        return Memory(
            weights=self._bound_bytes + self.plan.persistent_bytes,
            activations=values,
            workspace=self.plan.arena_bytes - values + scratch,
        )

    def step_info(self, step: Step) -> dict[str, Any]:
        """Return algorithm, flops and bytes of a step."""
        info: dict[str, Any] = self._machine.step_info(step.index)
        return info

    def profile(self, arrays: Sequence[NDArray[Any]]) -> tuple[list[Any], list[float]]:
        """Run once; return the outputs and each step's seconds, by its index."""
        outputs, seconds = self._machine.profile(arrays)
        return outputs, seconds


def _bound_targets(step: Step) -> list[Slot]:
    roots = [slot.root() for slot in step.outputs if slot is not None]
    return [root for root in roots if root.kind == "bound"]
