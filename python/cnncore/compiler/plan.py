# SPDX-License-Identifier: Apache-2.0
"""Memory planning: which slots share memory, and where each lies in one arena."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..graph.arrays import ALIGNMENT
from ..graph.slots import Portions, Slot, Step

ROOMY = range(1 << 20, 1 << 24)
"""Bytes of values and workspaces that each get memory of their own, if that is not `MUCH_MORE` than shared.

In caches of this size, memory that one thread wrote and both have read is slow to write again. With places of
their own, values that are made and used image by image stay with one thread.
"""

MUCH_MORE = 2.5

_NO_ROOM = np.iinfo(np.int64).max


def align(size: int) -> int:
    """Round up to whole cache lines."""
    return -(-size // ALIGNMENT) * ALIGNMENT


@dataclass
class Region:
    """Memory in use from step `first` to step `last`, both included."""

    nbytes: int
    first: int
    last: int
    slot: Slot | None = None  # None: the workspace of step `first`
    offset: int = -1


@dataclass
class Plan:
    """Where everything lies. Offsets are in bytes."""

    arena_bytes: int = 0
    setup_bytes: int = 0  # of the arena that setup steps use, gone when they have run
    persistent_bytes: int = 0
    regions: list[Region] = field(default_factory=list)
    setup_regions: list[Region] = field(default_factory=list)
    persistent: list[tuple[Slot, int]] = field(default_factory=list)

    @property
    def value_bytes(self) -> int:
        """Where the last value in the arena ends; what lies beyond is workspaces alone."""
        return max((align(r.offset + r.nbytes) for r in self.regions if r.slot is not None), default=0)


def plan_memory(steps: Sequence[Step], inputs: Sequence[Slot], workspace: Callable[[Step], int]) -> Plan:
    """Plan the memory of all steps; marks persistent slots and in-place results on the way.

    Args:
        steps: setup steps and steps of a run, each kind in its order.
        inputs: slots that a run fills before its first step; other inputs lie elsewhere.
        workspace: bytes a step works on.
    """
    setup = [step for step in steps if step.setup]
    run = [step for step in steps if not step.setup]
    plan = Plan()
    _mark_persistent(setup, run)
    _reuse_in_place(run)
    plan.setup_regions = _regions(setup, (), workspace)
    plan.regions = _regions(run, inputs, workspace)
    plan.setup_bytes = assign_offsets(plan.setup_regions)
    plan.arena_bytes = assign_offsets(plan.regions)
    for slot in dict.fromkeys(slot.root() for step in setup for slot in step.slots()):
        if slot.kind == "persistent":
            plan.persistent.append((slot, plan.persistent_bytes))
            plan.persistent_bytes += align(slot.nbytes)
    return plan


def _mark_persistent(setup: Sequence[Step], run: Sequence[Step]) -> None:
    """What setup writes and a run reads must outlive both."""
    made = {slot.root() for step in setup for slot in step.outputs if slot is not None}
    for step in run:
        for slot in step.slots():
            root = slot.root()
            if root.kind == "temp" and root in made:
                root.kind = "persistent"


def _uses(steps: Sequence[Step]) -> Iterator[tuple[Slot, int, int]]:
    """Yield (root, first, last) for each slot of each step: it is in use during these steps.

    Of a slot that a step uses a portion of, these are all steps that portions pass; so they are of one that
    these steps do not make: the next portion reads it again.
    """
    inside = _made_inside(steps)
    first: dict[Portions | None, int] = {}
    last: dict[Portions | None, int] = {}
    for i, step in enumerate(steps):
        first.setdefault(step.portions, i)
        last[step.portions] = i
    for i, step in enumerate(steps):
        portions = step.portions
        for slot in step.slots():
            root = slot.root()
            if portions is not None and (slot.advance_in_root() > 0 or root not in inside[portions]):
                yield root, first[portions], last[portions]
            else:
                yield root, i, i


def _made_inside(steps: Sequence[Step]) -> dict[Portions, set[Slot]]:
    """Return what the steps of each stretch make."""
    made: dict[Portions, set[Slot]] = {}
    for step in steps:
        if step.portions is not None:
            outputs = (slot.root() for slot in step.outputs if slot is not None)
            made.setdefault(step.portions, set()).update(outputs)
    return made


def _last_use(steps: Sequence[Step]) -> dict[Slot, int]:
    last: dict[Slot, int] = {}
    for root, _, end in _uses(steps):
        if end > last.get(root, -1):
            last[root] = end
    return last


def _reuse_in_place(steps: Sequence[Step]) -> None:
    """Let a step overwrite an input that nobody reads afterwards, where it says that it may."""
    last = _last_use(steps)
    inside = _made_inside(steps)
    for i, step in enumerate(steps):
        taken: set[Slot] = set()
        for out, into in step.inplace:
            target, source = step.outputs[out], step.inputs[into]
            if target is None or source is None or target.kind != "temp" or target.base is not None:
                continue
            root = source.root()
            shared = sum(slot is not None and slot.root() is root for slot in step.inputs)
            if (
                root.kind == "temp"
                and (step.portions is None or root in inside[step.portions])
                and last[root] == i
                and shared == 1
                and root not in taken
                and target not in taken
                and root.nbytes == target.nbytes
                and source.nbytes == target.nbytes
            ):
                taken.update((root, target))
                end = last[target]
                target.base = root
                last[root] = end


def _regions(steps: Sequence[Step], inputs: Sequence[Slot], workspace: Callable[[Step], int]) -> list[Region]:
    regions: dict[Slot, Region] = {slot: Region(slot.nbytes, -1, -1, slot) for slot in inputs}
    work: list[Region] = []
    for root, first, last in _uses(steps):
        known = regions.get(root)
        if known is None and root.kind != "temp":
            continue
        if known is None:
            regions[root] = Region(root.nbytes, first, last, root)
        elif last > known.last:
            known.last = last
    for i, step in enumerate(steps):
        size = workspace(step)
        if size:
            work.append(Region(size, i, i))
    return [*regions.values(), *work]


def assign_offsets(regions: Sequence[Region]) -> int:
    """Give every region an offset such that no two live at once overlap.

    Returns:
        Bytes needed.
    """
    shared = _best_fit(regions)
    everything = sum(align(region.nbytes) for region in regions)
    if everything not in ROOMY or everything > MUCH_MORE * shared:
        return shared
    offset = 0
    for region in regions:
        region.offset = offset
        offset += align(region.nbytes)
    return everything


def _best_fit(regions: Sequence[Region]) -> int:
    """Reuse memory: largest region first, in the smallest gap that takes it."""
    count = len(regions)
    order = sorted(range(count), key=lambda i: (-regions[i].nbytes, regions[i].first))
    first = np.array([regions[i].first for i in order], np.int64)
    last = np.array([regions[i].last for i in order], np.int64)
    begin = np.zeros(count, np.int64)
    end = np.zeros(count, np.int64)
    total = 0
    for place, index in enumerate(order):
        region = regions[index]
        alive = (first[:place] <= region.last) & (last[:place] >= region.first)
        size = align(region.nbytes)
        region.offset = _best_gap(begin[:place][alive], end[:place][alive], size)
        begin[place] = region.offset
        end[place] = region.offset + size
        total = max(total, region.offset + size)
    return total


def _best_gap(begin: NDArray[np.int64], end: NDArray[np.int64], size: int) -> int:
    """Return the start of the smallest gap between the blocks that `size` bytes fit in."""
    if not begin.size:
        return 0
    order = begin.argsort()
    tops = np.maximum.accumulate(end[order])  # where the memory before the next block begins to be free
    room = begin[order]
    room[1:] -= tops[:-1]
    room[room < size] = _NO_ROOM
    best = int(room.argmin())
    if room[best] == _NO_ROOM:
        return int(tops[-1])
    return int(tops[best - 1]) if best else 0
