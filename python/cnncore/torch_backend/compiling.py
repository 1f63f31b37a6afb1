# SPDX-License-Identifier: Apache-2.0
"""The backend of `torch.compile`: graphs of ATen's operators become programs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch._decomp import core_aten_decompositions
from torch._dynamo.backends.common import aot_autograd
from torch._functorch.partitioners import default_partition
from torch._guards import TracingContext
from torch.fx.passes.infra.partitioner import CapabilityBasedPartitioner
from torch.fx.passes.operator_support import create_op_support

from .emitting import unsupported
from .graph import Graph
from .left import name_once
from .programs import Part
from .reading import extent_of, operator_name, read
from .table import find

SMALLEST_PART = 3
"""Operators that compute something, from which on a part of a graph is run by a program."""

VIEWS = frozenset(
    {
        "view",
        "permute",
        "expand",
        "squeeze",
        "unsqueeze",
        "slice",
        "select",
        "alias",
        "clone",
        "detach",
        "t",
        "transpose",
        "_unsafe_view",
    }
)
"""Operators that give the same elements."""


def backend(module: Any, example_inputs: Sequence[Any], **options: Any) -> Callable[..., Any]:
    """Compile a graph that torch has captured: `torch.compile(model, backend="cnncore")`.

    Inference, and the forward and backward graphs of training, become programs of cnncore. Parameters are
    part of the programs of inference until they change: optimisers, `load_state_dict` and other changes that
    torch counts are seen at the next call. Changes that torch does not count, by `parameter.data` or a numpy
    view, are not. Operators that cannot be part of a program stay with torch; a warning names each once.

    Args:
        module: a torch.fx.GraphModule.
        example_inputs: its inputs.
        options: none are known.

    Returns:
        A function that computes what the module computes.

    Raises:
        TypeError: options.

    >>> import torch
    >>> from cnncore.torch_backend import backend
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU()).eval()
    >>> compiled = torch.compile(model, backend=backend)
    >>> with torch.no_grad():
    ...     compiled(torch.zeros(1, 2)).shape
    torch.Size([1, 3])
    """
    known = {name: value for name, value in options.items() if value}
    if known:
        raise TypeError(f"the backend cnncore has no options, got {', '.join(known)}")
    compiled: Callable[..., Any] = _compiler()(module, example_inputs)
    return compiled


@cache
def _compiler() -> Callable[..., Any]:
    compiler: Callable[..., Any] = aot_autograd(
        fw_compiler=partial(_compile, stage="forward"),
        bw_compiler=partial(_compile, stage="backward"),
        inference_compiler=partial(_compile, stage="inference"),
        decompositions=decompositions(),
        partition_fn=default_partition,
    )
    return compiler


@cache
def decompositions() -> dict[Any, Any]:
    """Return the decompositions to core ATen, without those of operators that the table has.

    What is taken apart cannot be fused again: a convolution with its batch normalization and activation is
    one step here, and so are pooling, normalization, attention and their gradients.
    """
    return {op: fn for op, fn in core_aten_decompositions().items() if find(operator_name(op)) is None}


def _compile(module: Any, example_inputs: Sequence[Any], stage: str) -> Callable[..., Any]:
    """Return what runs a graph of ATen's operators; the stage is that of `aot_autograd`."""
    constants = _constants() if stage == "inference" else frozenset()
    returned = _returned() if stage == "forward" else None
    numbers = _numbers(module.graph)
    graph = read(module.graph, partial(_attribute, module))
    left = unsupported(graph, numbers)
    if left:
        name_once(_by_operator(graph, left))
        return _mixed(module, left, constants)
    count = len(graph.outputs)
    free = range(count if returned is None else returned, count)
    part = Part(graph, constants, free, module)

    return _boxed(part.run)


def _boxed(function: Callable[[list[Any]], Any]) -> Callable[[list[Any]], Any]:
    """Return a function that takes its arguments out of the list, so that they are freed when not needed."""

    def run(args: list[Any]) -> Any:
        given = list(args)
        args.clear()
        return function(given)

    run._boxed_call = True  # type: ignore[attr-defined]
    return run


def _constants() -> frozenset[int]:
    """Return the numbers of the inputs that are parameters and buffers, which the graph does not change."""
    context = TracingContext.try_get()
    metadata = None if context is None else context.fw_metadata
    if metadata is None:
        return frozenset()
    return frozenset(metadata.static_input_indices) - frozenset(metadata.mutated_inp_runtime_indices)


def _returned() -> int:
    """Return how many results of a forward graph go to its caller; the others are kept for gradients."""
    context = TracingContext.try_get()
    metadata = None if context is None else context.fw_metadata
    if metadata is None:
        return 1 << 30
    return int(metadata.num_forward_returns)


def _numbers(graph: Any) -> dict[str, int]:
    """Return the sizes that a graph was met with, of its inputs that are sizes."""
    found = {}
    for node in graph.nodes:
        value = node.meta.get("val")
        if node.op == "placeholder" and isinstance(value, (int, torch.SymInt)):
            hint = extent_of(value)
            if hint is not None:
                found[node.name] = hint
    return found


def _attribute(module: Any, target: str) -> Any:
    value = module
    for name in target.split("."):
        value = getattr(value, name)
    return value


def _by_operator(graph: Graph, left: dict[str, str]) -> dict[str, str]:
    """Return the operators that cannot be run and are not left out only for what they read."""
    found: dict[str, str] = {}
    for node in graph.nodes:
        if node.name in left:
            found.setdefault(f"aten.{node.op}", left[node.name])
    return found


# -- graphs of which parts stay with torch ----------------------------------------------------------


def _mixed(module: Any, left: dict[str, str], constants: Collection[int]) -> Callable[..., Any]:
    """Return a module in which the parts that programs can run are run by them."""
    placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
    names = {node.name for i, node in enumerate(placeholders) if i in constants}

    def supported(_: Any, node: Any) -> bool:
        return node.op == "call_function" and node.name not in left

    partitioner = CapabilityBasedPartitioner(
        module, create_op_support(supported), allows_single_node_partition=True
    )
    partitions = [part for part in partitioner.propose_partitions() if _pays(part.nodes)]
    fused = partitioner.fuse_partitions(partitions)
    for node in fused.graph.nodes:
        if node.op == "call_module" and node.target.startswith("fused_"):
            inner = fused.get_submodule(node.target)
            known = [i for i, value in enumerate(node.args) if value.name in names]
            setattr(fused, node.target, _PartModule(inner, known))
    _views_to_reshapes(fused.graph)
    fused.recompile()
    return _boxed(lambda args: fused.forward(*args))


def _pays(nodes: Any) -> bool:
    """Whether nodes are enough work for a program of their own."""
    work = [n for n in nodes if operator_name(n.target).split(".")[0] not in (*VIEWS, "number")]
    heavy = ("convolution", "mm", "addmm", "bmm", "native_layer_norm", "max_pool2d_with_indices")
    return len(work) >= SMALLEST_PART or any(operator_name(n.target).startswith(heavy) for n in work)


class _PartModule(torch.nn.Module):  # type: ignore[misc]
    """A part of a graph: what it returns is one value, or a list."""

    def __init__(self, inner: Any, constants: Sequence[int]) -> None:
        super().__init__()
        graph = read(inner.graph, partial(_attribute, inner))
        self._single = not isinstance(graph.outputs, (list, tuple)) or hasattr(graph.outputs, "name")
        if self._single:
            graph.outputs = [graph.outputs]
        single = self._single

        def otherwise(*args: Any) -> Any:
            result = inner(*args)
            return [result] if single else result

        self._part = Part(graph, constants, (), otherwise)

    def forward(self, *args: Any) -> Any:
        results = self._part.run(args)
        return results[0] if self._single else results


def _views_to_reshapes(graph: Any) -> None:
    """Let views of what programs return be copies where it lies in another order of memory."""
    for node in graph.nodes:
        if node.op == "call_function" and node.target is torch.ops.aten.view.default:
            node.target = torch.ops.aten.reshape.default
