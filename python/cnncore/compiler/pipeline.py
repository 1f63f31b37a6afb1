# SPDX-License-Identifier: Apache-2.0
"""The passes in their order: trace, simplify, fuse, differentiate, plan, build."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..graph.tensor import OPS, Graph, Tensor
from ..graph.trace import as_tensor, building, emit, is_stored, map_tree, trace
from .fuse import fuse, fuse_pooling
from .portions import split_batch
from .program import Executable
from .simplify import simplify


class Rebuild:
    """Puts arrays where a function's result had tensors."""

    def __init__(self, tree: Any) -> None:
        self.tree = tree
        self.single = isinstance(tree, _Place)
        self._flat = type(tree) is tuple and [getattr(v, "index", -1) for v in tree] == list(range(len(tree)))

    def __call__(self, arrays: Sequence[Any]) -> Any:
        if self.single:
            return arrays[0]
        if self._flat:
            return tuple(arrays)
        return map_tree(lambda v: arrays[v.index] if isinstance(v, _Place) else v, self.tree)


class _Place:
    """Where an output belongs."""

    def __init__(self, index: int) -> None:
        self.index = index


def set_outputs(graph: Graph, result: Any) -> Rebuild:
    """Make the tensors in a function's result the graph's outputs."""
    graph.outputs = []

    def place(value: Any) -> Any:
        if is_stored(value):
            with building(graph):
                value = as_tensor(value)
        if isinstance(value, Tensor):
            graph.outputs.append(value)
            return _Place(len(graph.outputs) - 1)
        return value

    return Rebuild(map_tree(place, result))


class Compiled:
    """An executable and how the function's result is put together from its outputs."""

    __slots__ = ("executable", "rebuild", "validity")

    def __init__(
        self, executable: Executable, rebuild: Callable[[list[Any]], Any], validity: Any = None
    ) -> None:
        self.executable = executable
        self.rebuild = rebuild
        self.validity = validity

    def __call__(self, arrays: Sequence[Any]) -> Any:
        return self.rebuild(self.executable(arrays))

    def nbytes(self) -> int:
        """Return the memory that the program holds for itself."""
        plan = self.executable.plan
        return plan.arena_bytes + plan.persistent_bytes


def separate_outputs(graph: Graph) -> None:
    """Give every output memory of its own: inputs, parameters and repeated outputs are copied."""
    seen: set[Tensor] = set()
    with building(graph):
        for i, tensor in enumerate(graph.outputs):
            if tensor.node is None or tensor in seen:
                tensor = emit(OPS["relayout"], [tensor], {"layout": tensor.layout}).output
                graph.outputs[i] = tensor
            seen.add(tensor)


def finish(graph: Graph) -> Executable:
    """Compile a graph that passes have completed."""
    separate_outputs(graph)
    return Executable(graph)


def compile_inference(graph: Graph) -> Executable:
    """Compile a graph that will not be differentiated."""
    simplify(graph)
    fuse(graph, inference=True)
    separate_outputs(graph)
    split_batch(graph)
    fuse_pooling(graph)
    return Executable(graph)


def compile_function(fn: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Compiled:
    """Trace and compile `fn` for arguments like these arrays."""
    graph, result = trace(fn, args, kwargs)
    rebuild = set_outputs(graph, result)
    return Compiled(compile_inference(graph), rebuild)
