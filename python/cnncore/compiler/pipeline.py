# SPDX-License-Identifier: Apache-2.0
"""Every order of passes, from a traced function to a program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..graph.tensor import Graph, Tensor
from ..graph.trace import as_tensor, building, is_stored, map_tree, trace
from ..ops.build import copied
from ..runtime import get_accuracy
from .autodiff import add_gradients
from .broadcast import broadcast_numbers
from .chains import chain_elementwise
from .choose import choose_algorithms
from .exchanges import begin_exchanges
from .fuse import fuse_inference, fuse_pooling, fuse_training
from .gradient_portions import split_gradients
from .layout import settle_layouts
from .memory_limit import fit
from .packed_weights import limit_packed_weights, pack_linear_weights
from .portions import split_batch
from .program import Executable
from .recompute import recompute
from .shared_weights import share_weights
from .siblings import join_siblings
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
                tensor = copied(tensor, tensor.layout)
                graph.outputs[i] = tensor
            seen.add(tensor)


Pass = Callable[[Graph], None]

FORWARD: tuple[Pass, ...] = (settle_layouts, simplify, share_weights, choose_algorithms, fuse_training)
"""What comes before differentiation: gradient rules see the fused nodes."""

DERIVED: tuple[Pass, ...] = (settle_layouts, simplify, choose_algorithms, fuse_training, choose_algorithms)
"""What comes right after it."""

LAST: tuple[Pass, ...] = (
    recompute,
    separate_outputs,
    broadcast_numbers,
    chain_elementwise,
    join_siblings,
    split_gradients,
    begin_exchanges,
)
"""What comes once it is known which values are kept for gradients."""

FUNCTION: tuple[Pass, ...] = (
    settle_layouts,
    simplify,
    share_weights,
    choose_algorithms,
    fuse_inference,
    separate_outputs,
    choose_algorithms,
    split_batch,
    choose_algorithms,
    fuse_pooling,
    broadcast_numbers,
    chain_elementwise,
)
"""Calls of operations, functions and modules on arrays."""

PREDICTOR: tuple[Pass, ...] = (
    settle_layouts,
    simplify,
    share_weights,
    choose_algorithms,
    fuse_inference,
    separate_outputs,
    choose_algorithms,
    split_batch,
    choose_algorithms,
    pack_linear_weights,
    limit_packed_weights,
    fuse_pooling,
    broadcast_numbers,
    chain_elementwise,
)
"""Networks compiled for inference, whose packed weights stay."""

UNFUSED: tuple[Pass, ...] = (settle_layouts, separate_outputs, choose_algorithms, begin_exchanges)
"""What no graph can do without."""

FUSIONS: tuple[Pass, ...] = (
    share_weights,
    fuse_training,
    fuse_inference,
    fuse_pooling,
    broadcast_numbers,
    chain_elementwise,
)


def run(passes: Sequence[Pass], graph: Graph) -> None:
    """Apply passes to a graph, one after the other; without elements there is nothing to make faster."""
    graph.accuracy = graph.accuracy or get_accuracy()
    needed = UNFUSED if graph.has_empty() else passes
    for apply in passes:
        if apply in needed:
            apply(graph)


def compile_inference(graph: Graph) -> Executable:
    """Compile a graph that will not be differentiated."""
    run(FUNCTION, graph)
    return Executable(graph)


def prepare_predictor(graph: Graph) -> None:
    """Bring a graph to the form that a predictor keeps."""
    run(PREDICTOR, graph)


def compile_training(
    graph: Graph,
    wrt: Sequence[Tensor] | None,
    use: Callable[[list[Tensor | None]], None],
    max_memory: int | None = None,
) -> Executable:
    """Compile a graph with the gradients of its first output.

    Args:
        graph: outputs set; the first is the loss.
        wrt: tensors to differentiate by; None: all outputs behind the first, as what comes before
            differentiation leaves them.
        use: called with their gradients, None for zero; makes them outputs or adds updates.
        max_memory: bytes that the program may work with: values are computed again rather than kept.
    """
    run(FORWARD, graph)
    use(add_gradients(graph, graph.outputs[0], graph.outputs[1:] if wrt is None else wrt))
    run(DERIVED, graph)
    if max_memory is not None:
        return fit(graph, max_memory, partial(run, LAST))
    run(LAST, graph)
    return Executable(graph)


def compile_function(fn: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Compiled:
    """Trace and compile `fn` for arguments like these arrays."""
    graph, result = trace(fn, args, kwargs)
    rebuild = set_outputs(graph, result)
    return Compiled(compile_inference(graph), rebuild)
