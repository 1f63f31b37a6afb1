# SPDX-License-Identifier: Apache-2.0
"""From steps and their memory plan to a program of the machine, and running it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._core import Snapshot, Storage
from ..graph.limits import require_memory
from ..graph.slots import Slot, Step
from ..graph.tensor import Graph
from ..graph.trace import is_stored
from .lower import RANDOM, Builder
from .plan import Plan, plan_memory


@dataclass(frozen=True)
class Memory:
    """Bytes a program works with.

    weights: what it holds for itself: packed and folded weights, constants, the steps' tables of offsets, and
    its copies of parameters and buffers that have changed or gone since it was compiled; activations: the
    values between steps, and inputs where they are converted (those whose axes are in another order in
    memory, or whose dtype was known to be another when the program was compiled, and any other as soon as
    one has come); workspace: what steps need while they run, on all threads; shared: parameters and buffers
    of the living model, which cost nothing until they change (each changed one then counts among the
    weights). recomputed: bytes of values that are computed again for gradients instead of kept, for
    `extra_flops` percent more floating-point operations.
    """

    weights: int
    activations: int
    workspace: int
    shared: int = 0
    recomputed: int = 0
    extra_flops: float = 0.0

    @property
    def total(self) -> int:
        """What the program holds for itself; each further caller at the same time adds activations and
        workspace."""
        return self.weights + self.activations + self.workspace


class Executable:
    """A graph ready to run. Safe to call from several threads: a run that writes parameters, buffers or
    optimiser state has them for itself (cpp/program/storage.h). It is one call of the machine, which no
    exception can cut: what the run changes, and the count of it, have all happened or not at all.

    Args:
        graph: outputs, updates and checks set.
        may_exceed: whether the program may be larger than the memory that there is: a plan to be looked at.
    """

    def __init__(self, graph: Graph, may_exceed: bool = False) -> None:
        if not may_exceed:
            require_memory(sum(t.nbytes for t in graph.outputs), lambda: _what_is_returned(graph))
        self._may_exceed = may_exceed
        builder = Builder(graph)
        guards = set(builder.outputs[len(graph.outputs) :])
        early = _early(builder.steps, guards)
        self.steps: list[Step] = sorted(builder.steps, key=lambda step: _stage(step, early))
        self.places = {node: place for place, node in enumerate(graph.nodes)}
        self.input_shapes = [tensor.shape for tensor in graph.inputs]
        self._machine = _core.Program()
        self.run_machine = self._machine.run
        self._checks = [message for _, message in graph.checks]
        self._outputs = len(graph.outputs)
        self._build(builder, graph.counted, graph.exchange)
        self._machine.setup()

    def _build(self, builder: Builder, counted: Sequence[Any], exchange: Any) -> None:
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
        self.plan: Plan = plan_memory(self.steps, builder.converted, workspace.__getitem__)
        if not self._may_exceed:
            self._require_memory(builder, workspace)
        machine.set_inputs([values[slot] for slot in builder.inputs])
        machine.set_outputs([values[slot] for slot in builder.outputs])
        machine.set_guards([values[slot] for slot in builder.outputs[self._outputs :]])
        self._place(values, bound)
        if exchange is not None:
            machine.set_exchange(exchange.call)
            machine.set_random_stream(exchange.rank)
        for buffer in counted:
            machine.count(_storage(buffer))
        machine.finish(self.plan.arena_bytes, self.plan.persistent_bytes, self.plan.setup_bytes)
        self._sources = [(slot.source, slot.nbytes) for slot in bound if slot.source is not RANDOM]

    def _require_memory(self, builder: Builder, workspace: dict[Step, int]) -> None:
        """Raise a MemoryError that names the largest step when the plan exceeds what there is."""
        plan = self.plan
        returned = sum(slot.nbytes for slot in builder.outputs[: self._outputs])
        needed = max(plan.arena_bytes, plan.setup_bytes) + plan.persistent_bytes + returned

        def message() -> str:
            of_layers = [step for step in self.steps if step.label] or self.steps
            largest = max(of_layers, key=lambda step: _step_bytes(step) + workspace[step], default=None)
            place = "" if largest is None else f"[{largest.label or largest.op}] "
            return f"{place}the program, of which this step is the largest,"

        require_memory(needed, message)

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
        for slot in bound:
            source = slot.source
            if source is RANDOM:
                machine.bind_random(values[slot])
            elif isinstance(source, Snapshot):
                machine.bind_snapshot(values[slot], source)
            elif isinstance(source, np.ndarray):
                machine.bind(values[slot], source)
            else:
                machine.bind_storage(values[slot], _storage(source), slot in written)
        for slot, number in list(values.items()):
            if slot.base is not None:
                root = values[slot.root()]
                machine.alias(number, root, slot.offset_in_root(), slot.advance_in_root())

    def __call__(self, arrays: Sequence[NDArray[Any]]) -> list[Any]:
        """Run on one array for each input; returns one array for each output."""
        return self._check(self.run_machine(arrays))

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
        planned = self.plan.value_bytes
        tables = sum(int(self.step_info(step)["tables"]) for step in self.steps)
        shared = sum(nbytes for source, nbytes in self._sources if is_stored(source) or _is_shared(source))
        bound = sum(nbytes for _, nbytes in self._sources)
        return Memory(
            weights=self.plan.persistent_bytes + bound - shared + tables,
            activations=planned + self._machine.staged_bytes,
            workspace=self.plan.arena_bytes - planned + scratch,
            shared=shared,
            **self._recomputation(),
        )

    def _recomputation(self) -> dict[str, Any]:
        """Return the bytes of values that steps compute again, and the operations for them in percent."""
        again = [step for step in self.steps if step.recomputed]
        if not again:
            return {}
        nodes = dict.fromkeys(step.node for step in again if step.node is not None)
        values = [tensor for node in nodes for tensor in node.outputs if tensor is not None]
        flops = sum(self.step_info(step)["flops"] for step in again)
        others = sum(self.step_info(step)["flops"] for step in self.steps) - flops
        extra = 100.0 * flops / others if others else 0.0
        return {"recomputed": sum(tensor.nbytes for tensor in values), "extra_flops": extra}

    def step_info(self, step: Step) -> dict[str, Any]:
        """Return algorithm, flops and bytes of a step."""
        info: dict[str, Any] = self._machine.step_info(step.index)
        return info

    def measure(self, arrays: Sequence[NDArray[Any]], repeats: int = 1) -> NDArray[np.float64]:
        """Run `repeats` times; return each step's least seconds, by its index.

        What the runs change (parameters, optimiser state, statistics) is as before afterwards, and no random
        numbers are used up.
        """
        outputs, seconds = self._machine.measure(arrays, repeats)
        self._check(outputs)
        return np.array(seconds)


def _storage(source: Any) -> Storage:
    """Return the memory of a parameter, buffer or optimiser's state."""
    storage: Storage = source.storage if is_stored(source) else source
    return storage


def _what_is_returned(graph: Graph) -> str:
    """Return the beginning of a message that names the layer which makes the largest output."""
    largest = max(graph.outputs, key=lambda tensor: tensor.nbytes)
    node = largest.node
    while node is not None and not node.path and any(t is not None and t.node for t in node.inputs):
        node = next(t.node for t in node.inputs if t is not None and t.node is not None)
    return f"[{node.path}] what is returned" if node is not None and node.path else "what is returned"


def _step_bytes(step: Step) -> int:
    """Return the bytes of what a step reads and writes."""
    return sum(slot.nbytes for slot in step.slots())


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


def _stage(step: Step, early: set[Step]) -> int:
    """Setup steps come first, then guards: they end a bad run before it changes anything."""
    if step.setup:
        return 0
    return 1 if step in early else 2


def _early(steps: Sequence[Step], guards: set[Slot]) -> set[Step]:
    """Return the guards, with the steps that they depend on, that read nothing which the program changes."""
    if not guards:
        return set()
    writers: dict[Slot, list[Step]] = {}
    for step in steps:
        for slot in step.outputs:
            if slot is not None:
                writers.setdefault(slot.root(), []).append(step)
    early: set[Step] = set()
    for step in steps:
        if guards.isdisjoint(step.outputs):
            continue
        needed = {step: None}
        roots: dict[Slot, None] = {}
        waiting = [step]
        while waiting:
            found = [root for root in (slot.root() for slot in waiting.pop().slots()) if root not in roots]
            roots.update(dict.fromkeys(found))
            before = {w: None for root in found for w in writers.get(root, ()) if w not in needed}
            needed.update(before)
            waiting += before
        if all(root.kind != "bound" or root not in writers for root in roots):
            early.update(needed)
    return early
