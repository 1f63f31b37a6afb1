# SPDX-License-Identifier: Apache-2.0
"""Running graphs on arrays: compiled programs, and between them what programs cannot do, in numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..compiler.call import Validity
from ..compiler.pipeline import Compiled, compile_inference, set_outputs
from ..graph.cache import LRU
from ..graph.mode import get_mode
from ..graph.tensor import Tensor
from ..graph.trace import current_graph, is_stored, trace
from .dtypes import PROGRAM, converted, type_of
from .emitting import Emitted, Marker, NeedsValuesError, call, mode
from .graph import Graph, Node
from .table import operator_of

if TYPE_CHECKING:
    from ..nn.module import Module

_CONVERTED = ("bfloat16", "float16", "float64")

CAPACITY = 64
"""Programs kept for a graph: those of different input shapes, and the parts that each needs."""


class Part:
    """A program, the nodes that numpy computes after it, and the nodes that come later still."""

    def __init__(self, nodes: Sequence[Node], base: Mapping[str, Any], outputs: Sequence[str]) -> None:
        self.nodes = tuple(nodes)
        self.base = base
        self.asked: set[str] = set()
        wanted = {*outputs}.union(*(node.inputs for node in nodes), *(node.captured() for node in nodes))
        self.live = frozenset(wanted - {""})

    def key(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return what tells programs for this part apart: shapes, types and asked values of its inputs."""
        found: list[Any] = [self, get_mode()]
        for name, value in values.items():
            if name not in self.live:
                continue
            if isinstance(value, np.ndarray):
                found.append((name, value.shape, value.dtype))
                if name in self.asked:
                    found.append(value.tobytes())
            elif value is not None:
                found.append((name, type(value)))
        return tuple(found)


class Plan:
    """A part compiled for inputs of certain shapes."""

    def __init__(self) -> None:
        self.program: Compiled | None = None
        self.inputs: list[str] = []
        self.results: list[tuple[str, str | None]] = []
        self.known: dict[str, Any] = {}
        self.host: list[Node] = []
        self.runners: dict[Graph, Runner] = {}
        self.next: Part | None = None

    def nbytes(self) -> int:
        return 0 if self.program is None else self.program.nbytes()

    def holds(self) -> bool:
        return self.program is None or self.program.validity.holds()

    def run(self, values: dict[str, Any]) -> None:
        """Add what the part computes to the values."""
        if self.program is not None:
            arrays = [_entering(values[name]) for name in self.inputs]
            for (name, dtype), array in zip(self.results, self.program(arrays), strict=True):
                values[name] = converted(array, dtype)
        for node in self.host:
            operator = operator_of(node)
            assert operator is not None
            assert operator.host is not None
            inputs = [self._value(values, name) for name in node.inputs]
            if operator.subgraphs:
                result = call(operator.host, node, [self._runs(values), *inputs])
            else:
                result = call(operator.host, node, inputs)
            _keep(node, result, values)

    def _value(self, values: Mapping[str, Any], name: str) -> Any:
        if not name:
            return None
        value = values[name] if name in values else self.known[name]
        return value.copy() if is_stored(value) else value

    def _runs(self, values: dict[str, Any]) -> Callable[..., Any]:
        def run(graph: Graph, arguments: Sequence[Any]) -> list[Any]:
            runner = self.runners.get(graph)
            if runner is None:
                runner = self.runners[graph] = Runner(graph, self.known)
            given = {name: values[name] for name in graph.captured() if name in values}
            given.update(zip((value.name for value in graph.inputs), arguments, strict=True))
            return runner(given)

        return run


def _keep(node: Node, result: Any, values: dict[str, Any]) -> None:
    results = result if isinstance(result, tuple) else (result,)
    for name, value, dtype in zip(node.outputs, results, node.output_types, strict=False):
        if name:
            if isinstance(value, (np.generic, np.ndarray)):
                value = converted(np.asarray(value), dtype)
            values[name] = value


def _entering(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float32) if type_of(array) in _CONVERTED else array


def _example(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of the shape and type that `_entering` would give, without its memory."""
    dtype = np.float32 if type_of(array) in _CONVERTED else array.dtype
    return np.broadcast_to(np.zeros((), dtype), array.shape)


def enters(value: Any) -> bool:
    """Whether an array can be a program's input."""
    return isinstance(value, np.ndarray) and value.size > 0 and type_of(value) in (*PROGRAM, "float64")


class Runner:
    """Runs a graph on arrays.

    Args:
        base: values that are the same in every run: constants, parameters, buffers.
        module: what the parameters belong to; its mode is part of what programs depend on.
    """

    def __init__(self, graph: Graph, base: Mapping[str, Any], module: Module | None = None) -> None:
        self._graph = graph
        self._module = module
        self._outputs = [value.name for value in graph.outputs]
        self._preferred = frozenset(value.name for value in graph.inputs) if module else frozenset()
        self._first = Part(
            graph.nodes, {**base, **graph.constants} if module is None else base, self._outputs
        )
        self._plans: LRU[Plan] = LRU(CAPACITY, Plan.nbytes)

    def __call__(self, given: Mapping[str, Any]) -> list[Any]:
        """Return the graph's outputs for these inputs, by name."""
        values = dict(given)
        part: Part | None = self._first
        while part is not None:
            plan = self._plan(part, values)
            plan.run(values)
            part = plan.next
        results = []
        for output in self._graph.outputs:
            value = values[output.name] if output.name in values else plan.known[output.name]
            if is_stored(value) or output.name in plan.known:
                value = value.copy()
            results.append(converted(value, output.dtype) if isinstance(value, np.ndarray) else value)
        return results

    def _plan(self, part: Part, values: Mapping[str, Any]) -> Plan:
        key = part.key(values)
        plan = self._plans.get(key)
        if plan is None or not plan.holds():
            while True:
                try:
                    plan = self._make(part, values)
                    break
                except NeedsValuesError as needed:
                    part.asked |= needed.names
            self._plans.put(part.key(values), plan)
        return plan

    def _make(self, part: Part, values: Mapping[str, Any]) -> Plan:
        """Trace and compile what can be one program."""
        known = {name: values[name] for name in part.asked if name in values}
        live = [name for name in values if name in part.live and name not in known]
        names = [name for name in live if enters(values[name])]
        outside = {name: Marker.OUTSIDE for name in live if name not in names}
        plan, state = Plan(), Emitted({})

        def add(*tensors: Tensor) -> list[Tensor]:
            nonlocal state
            if self._module is not None:
                current_graph().modules[id(self._module)] = self._module
            given = {**part.base, **known, **outside, **dict(zip(names, tensors, strict=True))}
            state = Emitted(given, frozenset(names), self._preferred)
            with mode(self._module is not None and self._module.training):
                state.nodes(part.nodes)
            return self._leaving(state, plan, dict(zip(names, tensors, strict=True)))

        arrays = [_example(values[name]) for name in names]
        graph, results = trace(add, arrays)
        plan.known = {n: v for n, v in state.values.items() if not isinstance(v, (Tensor, Marker))}
        plan.host = state.host
        if state.later:
            plan.next = Part(state.later, {**part.base, **plan.known}, self._outputs)
        if results:
            rebuild = set_outputs(graph, results)
            used = {id(t) for node in graph.nodes for t in node.inputs if t is not None}
            used |= {id(t) for t in graph.outputs}
            kept = [i for i, tensor in enumerate(graph.inputs) if id(tensor) in used]
            graph.inputs = [graph.inputs[i] for i in kept]
            plan.inputs = [names[i] for i in kept]
            validity = Validity(graph)
            plan.program = Compiled(compile_inference(graph), rebuild, validity)
        return plan

    def _leaving(self, state: Emitted, plan: Plan, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        """Return the tensors that others than the program's nodes need, and note their names and types."""
        followers = [*state.host, *state.later]
        wanted = {*self._outputs}.union(*(n.inputs for n in followers), *(n.captured() for n in followers))
        tensors = []
        for name in sorted(wanted - {""}):
            tensor = state.values.get(name)
            if isinstance(tensor, Tensor) and inputs.get(name) is not tensor:
                plan.results.append((name, self._graph.types.get(name)))
                tensors.append(tensor)
        return tensors
