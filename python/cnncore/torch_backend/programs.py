# SPDX-License-Identifier: Apache-2.0
"""Programs for graphs, called with torch's tensors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from ..compiler.pipeline import compile_inference, prepare_predictor
from ..compiler.program import Executable
from ..graph.cache import LRU
from ..graph.mode import get_mode
from ..graph.tensor import Graph as Program
from ..graph.tensor import Layout, Tensor, layout_matters
from ..graph.trace import as_tensor, building
from ..ops import permute
from ..ops.build import with_layout
from .emitting import emit_nodes, new_input
from .graph import Graph, Ref, Spec
from .left import name_once
from .reading import array_of, dtype_of
from .table import PROGRAM, Empty

CAPACITY = 32
"""Programs kept for a graph: one for each combination of sizes and of parameters that it is called with."""

CHANGES_IN_A_ROW = 3
"""Calls that find changed parameters, one after the other, before parameters become ordinary inputs."""

_pointer, _version = torch.Tensor.data_ptr, torch.Tensor._version.__get__


class Output(NamedTuple):
    """Where a result comes from: an array of the program, whose axes are brought in this order, one of the
    arguments, or a value that is known."""

    kind: str
    place: int = 0
    axes: tuple[int, ...] | None = None
    value: Any = None


class Entry:
    """A program for certain sizes, with the parameters that are part of it."""

    def __init__(
        self,
        executable: Executable | None,
        checks: bool,
        feeds: Sequence[int],
        outputs: Sequence[Output],
    ) -> None:
        self.executable = executable
        self.run: Any = executable if executable is None or checks else executable.run_machine
        self.feeds = tuple(feeds)
        self.outputs = tuple(outputs)
        self.simple = all(output.kind == "array" and output.axes is None for output in outputs)
        self.versions: tuple[int, ...] = ()
        self.changes = 0

    def nbytes(self) -> int:
        """Return the memory that the program holds for itself."""
        if self.executable is None:
            return 0
        return self.executable.plan.arena_bytes + self.executable.plan.persistent_bytes

    def __call__(self, args: Sequence[Any]) -> list[Any]:
        arrays = [args[i].detach().numpy() for i in self.feeds]
        results = [] if self.run is None else self.run(arrays)
        if self.simple:
            return [torch.from_numpy(results[output.place]) for output in self.outputs]
        tensors = [torch.from_numpy(array) for array in results]
        return [self._output(output, tensors, args) for output in self.outputs]

    @staticmethod
    def _output(output: Output, tensors: Sequence[Any], args: Sequence[Any]) -> Any:
        if output.kind == "array":
            tensor = tensors[output.place]
            return tensor if output.axes is None else tensor.permute(output.axes)
        return args[output.place] if output.kind == "input" else output.value


class Part:
    """A graph that is run by programs: one for each combination of sizes it meets.

    Args:
        graph: what to compute; its outputs are a flat sequence.
        constants: numbers of the inputs that are parameters and buffers: part of the program until they
            change.
        free: numbers of the outputs that may lie in memory in any order.
        otherwise: computes the same by torch, for sizes that no program takes.
    """

    def __init__(
        self,
        graph: Graph,
        constants: Collection[int],
        free: Collection[int],
        otherwise: Callable[..., Any],
    ) -> None:
        self._graph = graph
        self._constants = tuple(sorted(constants))
        self._free = frozenset(free)
        self._otherwise = otherwise
        self._varying = [
            i
            for i, spec in enumerate(graph.specs)
            if i not in constants and (spec is None or None in spec.shape)
        ]
        self._entries: LRU[Entry] = LRU(CAPACITY, Entry.nbytes)
        self._refused: set[Any] = set()
        self._checked = False

    def __call__(self, *args: Any) -> list[Any]:
        """Return the graph's outputs for these inputs."""
        return self.run(args)

    def run(self, args: Sequence[Any]) -> list[Any]:
        """Return the graph's outputs for a list of inputs."""
        if not self._checked:
            # Tensors of inference mode count no changes.
            self._constants = tuple(i for i in self._constants if not args[i].is_inference())
            self._checked = True
        given = [args[i] for i in self._constants]
        sizes = [args[i] if type(args[i]) is int else tuple(args[i].shape) for i in self._varying]
        key = (get_mode(), *sizes, *map(_pointer, given))
        entry = self._entries.get(key)
        versions = tuple(map(_version, given))
        if entry is None or entry.versions != versions:
            if key in self._refused:
                return list(self._otherwise(*args))
            entry = self._renewed(key, entry, args, versions)
            if entry is None:
                return list(self._otherwise(*args))
        elif entry.changes:
            entry.changes = 0
        return entry(args)

    def _renewed(self, key: Any, old: Entry | None, args: Sequence[Any], versions: Any) -> Entry | None:
        """Return a program for these arguments, or None where there is none."""
        changes = 0 if old is None else old.changes + 1
        if changes >= CHANGES_IN_A_ROW:
            self._constants, versions = (), ()
            self._entries.clear()
            return self._renewed((get_mode(), *key[1 : 1 + len(self._varying)]), None, args, ())
        try:
            entry = self._build(args)
        except (ValueError, TypeError) as error:
            name_once({f"a graph called with {_shapes(args)}": str(error)})
            self._refused.add(key)
            return None
        entry.versions, entry.changes = versions, changes
        return self._entries.put(key, entry)

    def _build(self, args: Sequence[Any]) -> Entry:
        program, values, numbers = Program(), dict[str, Any](self._graph.constants), {}
        with building(program):
            for i, (name, value) in enumerate(zip(self._graph.inputs, args, strict=True)):
                if isinstance(value, torch.Tensor) and not value.numel():
                    values[name] = Empty(tuple(value.shape), dtype_of(value.dtype))
                    numbers[id(values[name])] = i
                elif isinstance(value, torch.Tensor):
                    values[name] = _constant(value) if i in self._constants else _input(value)
                    numbers[id(values[name])] = i
                else:
                    values[name] = value
            emit_nodes(self._graph.nodes, values)
            outputs = self._outputs(program, values, numbers)
        read = {id(t) for node in program.nodes for t in node.inputs if t is not None}
        read |= {id(t) for t in program.outputs}
        program.inputs = [tensor for tensor in program.inputs if id(tensor) in read]
        feeds = [numbers[id(tensor)] for tensor in program.inputs]
        if not program.outputs:
            return Entry(None, False, (), outputs)
        if not self._constants:
            return Entry(compile_inference(program), bool(program.checks), feeds, outputs)
        prepare_predictor(program)
        return Entry(Executable(program), bool(program.checks), feeds, outputs)

    def _outputs(self, program: Program, values: dict[str, Any], numbers: dict[int, int]) -> list[Output]:
        """Make tensors the program's outputs, each once, and return where results come from."""
        specs = {node.name: node.results for node in self._graph.nodes}
        places: dict[tuple[int, Any], int] = {}
        found = []
        for i, output in enumerate(self._graph.outputs):
            value = values[output.name] if isinstance(output, Ref) else output
            if id(value) in numbers:
                found.append(Output("input", numbers[id(value)]))
                continue
            if isinstance(value, np.ndarray) and value.dtype.name in PROGRAM:
                value = as_tensor(value)
            if isinstance(output, Ref) and (value is None or isinstance(value, np.ndarray)):
                raise TypeError(f"{output.name} has elements that programs do not have")
            if isinstance(value, Empty):
                value = torch.empty(value.shape, dtype=getattr(torch, value.dtype))
            if not isinstance(value, Tensor):
                found.append(Output("known", value=value))
                continue
            spec = None if i in self._free else specs.get(output.name)
            tensor, axes = _arranged(value, spec)
            place = places.setdefault((id(value), tensor.layout if axes is None else axes), len(places))
            if place == len(program.outputs):
                program.outputs.append(tensor)
            found.append(Output("array", place, axes))
        return found


def _constant(value: Any) -> Tensor:
    """Return a parameter as a constant of the program, on the same memory."""
    array = np.require(array_of(value), requirements="C")
    return Tensor(array.shape, array.dtype.name, Layout.C, array)


def _input(value: Any) -> Tensor:
    return new_input(tuple(value.shape), str(value.dtype).removeprefix("torch."))


def _arranged(x: Tensor, spec: Spec | None) -> tuple[Tensor, tuple[int, ...] | None]:
    """Return a tensor in the memory order that torch gives it, and the order in which its axes are then."""
    if spec is None or not layout_matters(x.shape):
        return x, None
    plain, last = tuple(range(x.ndim)), (0, *range(2, x.ndim), 1)
    if spec.order == plain:
        return with_layout(x, Layout.C), None
    if spec.order == last:
        return with_layout(x, Layout.CHANNELS_LAST), None
    inner = with_layout(permute(x, spec.order), Layout.C)
    return inner, tuple(spec.order.index(axis) for axis in plain)


def _shapes(args: Sequence[Any]) -> str:
    return ", ".join(str(tuple(v.shape)) if isinstance(v, torch.Tensor) else str(v) for v in args[:8])
