# SPDX-License-Identifier: Apache-2.0
"""Lowering: from a graph of operations to a list of steps over slots of memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._core import Packed
from ..graph import lowering
from ..graph.dtype import ITEM_SIZE, dtype_name
from ..graph.slots import Portions, Slot, Step
from ..graph.tensor import Graph, Layout, Node, Shape, Tensor, layout_matters, present
from .joins import beginnings, joined_by_readers, joined_parts, parts_read_in_place


class _RandomSource:
    """Stands for the seed and step that a run's random numbers follow from."""

    shape = (2,)
    dtype = np.dtype(np.int64)


RANDOM = _RandomSource()


class Builder(lowering.Builder):
    """Collects the steps of a graph. Operations' `lower` methods call its methods.

    Steps that read only parameters, buffers and constants which the program itself does not write
    run once, at setup, and again when one of those arrays has changed.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.steps: list[Step] = []
        self._slots: dict[Tensor, Slot] = {}
        self._bound: dict[int, Slot] = {}
        self._packed: dict[Any, Slot] = {}
        self._node: Node | None = None
        self._static_node = False
        self._portions: Portions | None = None
        self._written = {id(target) for target, _ in graph.updates}
        self._static: set[Tensor] = set()
        self._made_at_setup: set[Slot] = set()
        self.inputs = [self._declare(tensor, "input") for tensor in graph.inputs]
        self.converted = [self._slots[tensor] for tensor in graph.inputs if _is_converted(graph, tensor)]
        self._outputs = set(graph.outputs) | {flag for flag, _ in graph.checks}
        self.read_apart = joined_by_readers(graph, self._outputs)
        self._begun = beginnings(graph, self._outputs | self.read_apart)
        self._there: dict[Tensor, int] = {}
        self._parts = joined_parts(graph, self._outputs | self.read_apart, self._begun)
        self.read_in_place = parts_read_in_place(graph, self._outputs)
        self._has_empty = graph.has_empty()
        self._late_updates: list[tuple[Slot, Tensor]] = []
        if graph.updates:
            self._place_updates()
        self._place_joined_portions()
        for node in graph.nodes:
            self._lower(node)
        self._copy_updates()
        self.outputs = [self._slots[tensor] for tensor in graph.outputs]
        self.outputs += [self._slots[flag] for flag, _ in graph.checks]

    # -- for operations -------------------------------------------------------------------------

    def slot(self, tensor: Tensor) -> Slot:
        known = self._slots.get(tensor)
        if known is not None:
            return known
        if tensor.source is not None:
            return self._bind(tensor)
        if tensor.node is None:
            raise ValueError(f"a tensor of shape {tensor.shape} comes from another traced function")
        return self._declare(tensor, "output" if tensor in self._outputs else "temp")

    def slots(self, tensors: Sequence[Tensor | None]) -> list[Slot | None]:
        return [None if tensor is None else self.slot(tensor) for tensor in tensors]

    def joined_slots(self, tensor: Tensor) -> list[Slot]:
        node = tensor.node
        parts = node.inputs if node is not None and tensor in self.read_apart else [tensor]
        return [self.slot(present(part)) for part in parts]

    def temp(self, shape: Shape, dtype: str, layout: Layout = Layout.C) -> Slot:
        """Return new memory for use between steps."""
        return Slot(shape, dtype, layout)

    def step(
        self,
        op: str,
        inputs: Sequence[Slot | None],
        outputs: Sequence[Slot | None],
        attrs: dict[str, Any] | None = None,
        inplace: Sequence[tuple[int, int]] = (),
        refused: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._append(op, inputs, outputs, attrs or {}, self._static_node, inplace, refused)

    def node_step(self, node: Node, inplace: Sequence[tuple[int, int]] = ()) -> None:
        inputs, outputs = self.slots(node.inputs), self.slots(node.outputs)
        self.step(node.op.name, inputs, outputs, node.attrs._asdict(), inplace)

    def pack(self, op: str, source: Tensor, packed: Packed, attrs: dict[str, Any]) -> Slot:
        static = self.is_static(source)
        # What a step packs for itself in each run is not kept until a gradient repeats the step.
        repeated = not static and self._node is not None and self._node.origin.recomputed
        settings = (tuple(v) if isinstance(v, (list, tuple)) else v for v in attrs.values())
        key = (op, source, repeated, *settings)
        slot = self._packed.get(key)
        if slot is None:
            slot = self._packed[key] = self.temp((packed.count,), packed.dtype)
            self._append(op, [self.slot(source)], [slot], attrs, static, (), ())
        return slot

    def alias(self, tensor: Tensor, base: Slot, offset: int = 0) -> None:
        slot = self.slot(tensor)
        root = base.root()
        has_place = slot.kind == "output" or slot.base is not None  # as what portions make up has
        if slot.kind == "temp" and not has_place:
            slot.base, slot.offset = base, offset
        elif (
            has_place
            and slot.pitch == 0
            and root.kind == "temp"
            and base.offset_in_root() == base.advance_in_root() == 0
            and root.nbytes == slot.nbytes
            and root not in self._made_at_setup
        ):
            root.base = slot
        else:
            view = Slot(tensor.shape, tensor.dtype, tensor.layout)
            view.base, view.offset = base, offset
            self.step("copy", [view], [slot])

    def begin_portions(self, node: Node) -> None:
        self._portions = Portions(node.attrs.portions)
        for whole, portion in zip(node.inputs, node.outputs, strict=True):
            self._place_portion(present(portion), present(whole))

    def end_portions(self) -> None:
        self._portions = None

    def is_static(self, tensor: Tensor) -> bool:
        if tensor.source is not None:
            return id(tensor.source) not in self._written
        return tensor in self._static

    def alias_channels(self, part: Tensor, whole: Tensor, channel: int) -> None:
        slot, base = self.slot(part), self.slot(whole)
        slot.base = base
        slot.offset = channel * ITEM_SIZE[part.dtype]
        slot.pitch = base.pitch or whole.shape[1]

    def joined(self, node: Node) -> tuple[Tensor, int]:
        tensor = node.output
        if tensor in self._static:
            return tensor, 0
        whole = self._begun.get(tensor, tensor)
        there = self._there.get(whole, 0)
        self._there[whole] = len(node.inputs)
        if whole is not tensor:
            self.alias_channels(tensor, whole, 0)
        return whole, there

    def bind_rng(self) -> Slot:
        """Return the memory of a run's seed and step of the random generator."""
        return self._bind_source(RANDOM)

    # -- internals ------------------------------------------------------------------------------

    def _append(
        self,
        op: str,
        inputs: Sequence[Slot | None],
        outputs: Sequence[Slot | None],
        attrs: dict[str, Any],
        setup: bool,
        inplace: Sequence[tuple[int, int]],
        refused: Sequence[tuple[str, str]],
    ) -> None:
        if setup:
            self._made_at_setup.update(slot for slot in outputs if slot is not None)
        step = Step(op, inputs, outputs, attrs, self._node, setup, inplace, refused)
        step.portions = None if setup else self._portions
        self.steps.append(step)

    def _declare(self, tensor: Tensor, kind: str) -> Slot:
        slot = self._slots[tensor] = Slot(tensor.shape, tensor.dtype, tensor.layout, kind)
        return slot

    def _bind(self, tensor: Tensor) -> Slot:
        slot = self._bind_source(tensor.source, tensor.layout)
        self._slots[tensor] = slot
        return slot

    def _bind_source(self, source: Any, layout: Layout = Layout.C) -> Slot:
        slot = self._bound.get(id(source))
        if slot is None:
            slot = Slot(source.shape, dtype_name(source.dtype), layout, "bound", source)
            self._bound[id(source)] = slot
        return slot

    def _lower(self, node: Node) -> None:
        self._node = node
        inputs = [tensor for tensor in node.inputs if tensor is not None]
        self._static_node = (
            not node.op.varies
            and all(self.is_static(tensor) for tensor in inputs)
            and not any(tensor in self._outputs for tensor in node.outputs)
        )
        if self._static_node:
            self._static.update(tensor for tensor in node.outputs if tensor is not None)
        elif node.outputs[0] in self._parts:
            self._place_part(node.output)
        if self._has_empty and any(0 in tensor.shape for tensor in inputs):
            self._lower_of_nothing(node)
        else:
            node.op.lower(node, self)

    def _lower_of_nothing(self, node: Node) -> None:
        """Fill the results that have elements although an input has none; the others need no step."""
        for tensor in node.outputs:
            if tensor is None:
                continue
            slot = self.slot(tensor)
            if tensor.size > 0:
                self.step("fill", [], [slot], {"value": float(node.op.of_nothing(node))})

    def _place_part(self, tensor: Tensor) -> None:
        """Let a tensor be written where its concatenation will want it."""
        whole, channel = self._parts[tensor]
        self._declare(tensor, "temp")
        self.alias_channels(tensor, whole, channel)

    def _place_joined_portions(self) -> None:
        """Let portions that make up a whole be written there."""
        for node in self.graph.nodes:
            if node.op.joins_portions:
                for portion, whole in zip(node.inputs, node.outputs, strict=True):
                    self._place_portion(present(portion), present(whole))

    def _place_portion(self, portion: Tensor, whole: Tensor) -> None:
        slot = self._declare(portion, "temp")
        slot.base = self.slot(whole)
        slot.advance = slot.nbytes

    def _place_updates(self) -> None:
        """Let each new value be written straight into its array, where nobody reads the old one later."""
        position = {node: i for i, node in enumerate(self.graph.nodes)}
        last_read: dict[int, int] = {}
        views: dict[Tensor, int] = {}  # tensors that may be the memory of an array under another shape
        for i, node in enumerate(self.graph.nodes):
            for tensor in node.inputs:
                if tensor is None:
                    continue
                origin = id(tensor.source) if tensor.source is not None else views.get(tensor)
                if origin is not None:
                    last_read[origin] = i
                    if node.op.may_alias:
                        views[node.output] = origin
        for target, new in self.graph.updates:
            bound = self._bind_source(target)
            safe = (
                new.node is not None
                and new not in self._slots
                and new not in self._outputs
                and new.layout == Layout.C
                and new.node.op.writes_updates
                and last_read.get(id(target), -1) <= position[new.node]
            )
            if safe:
                slot = Slot(new.shape, new.dtype, Layout.C)
                slot.base = bound
                self._slots[new] = slot
            else:
                self._late_updates.append((bound, new))

    def _copy_updates(self) -> None:
        self._node = None
        for bound, new in self._late_updates:
            self._append("copy", [self.slot(new)], [bound], {}, False, (), ())

    def tensors(self) -> list[tuple[Tensor, Slot]]:
        """Return the values that have memory, each with its slot."""
        return list(self._slots.items())

    def bound_slots(self) -> list[Slot]:
        """Return the slots that are memory of arrays, storages, snapshots and of `RANDOM`."""
        return list(self._bound.values())


def _is_converted(graph: Graph, tensor: Tensor) -> bool:
    """Whether an array in C order has to be converted to be this input."""
    other_order = tensor.layout != Layout.C and layout_matters(tensor.shape)
    return other_order or graph.arriving.get(tensor, tensor.dtype) != tensor.dtype
