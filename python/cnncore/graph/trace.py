# SPDX-License-Identifier: Apache-2.0
"""Tracing: running a Python function once on symbolic tensors to record its graph."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .dtype import ITEM_SIZE, dtype_name, value_dtype
from .limits import SMALL, require_shape
from .protocols import ModuleLike
from .surroundings import RandomNumbers, Surroundings, of_library
from .tensor import (
    OPS,
    TRACED,
    Graph,
    Layout,
    Node,
    Op,
    Origin,
    Tensor,
    constant_array,
    layout_matters,
)
from .warning import warn_caller


class _Tracer(threading.local):
    """What is being traced on this thread."""

    def __init__(self) -> None:
        self.graph: Graph | None = None
        self.paths: list[str] = []
        self.names: dict[int, str] = {}
        self.origin = TRACED
        self.exchange: Any = None


_tracer = _Tracer()


def is_tracing() -> bool:
    """Whether this thread is tracing: operations add nodes instead of running."""
    return _tracer.graph is not None


def current_graph() -> Graph:
    """Return the graph being built on this thread."""
    if _tracer.graph is None:
        raise RuntimeError("symbolic tensors can only be used inside a traced function")
    return _tracer.graph


@contextmanager
def building(graph: Graph) -> Iterator[Graph]:
    """Add nodes to `graph` in this block."""
    saved = _tracer.graph, _tracer.paths, _tracer.names, _tracer.origin
    origin = _tracer.origin if graph is _tracer.graph else TRACED
    _tracer.graph, _tracer.paths, _tracer.names, _tracer.origin = graph, [], {}, origin
    try:
        yield graph
    finally:
        _tracer.graph, _tracer.paths, _tracer.names, _tracer.origin = saved


@contextmanager
def originating(**fields: Any) -> Iterator[None]:
    """Give nodes made in this block these fields of their `Origin`, by name."""
    saved = _tracer.origin
    _tracer.origin = saved._replace(**fields)
    try:
        yield
    finally:
        _tracer.origin = saved


@contextmanager
def exchanging(exchange: Any) -> Iterator[None]:
    """Let functions traced in this block be those of several processes.

    Args:
        exchange: with `rank`, `size` and `call`, which serves the machine's steps.
    """
    _tracer.exchange = exchange
    try:
        yield
    finally:
        _tracer.exchange = None


def current_origin() -> Origin:
    """Return the origin of nodes that are made now."""
    return _tracer.origin


def as_part_of(node: Node) -> None:
    """Give nodes made from now on, until the end of the `building` block, the origin of `node`."""
    _tracer.origin = node.origin


@contextmanager
def at(path: str) -> Iterator[None]:
    """Give nodes made in this block the path `path`."""
    _tracer.paths.append(path)
    try:
        yield
    finally:
        _tracer.paths.pop()


def where(op: str) -> str:
    """Return the place to name in an error: the innermost module's path, or else the operation."""
    return (_tracer.paths[-1] if _tracer.paths else "") or op


def shape_error(op: str, message: str) -> ValueError:
    """Return the ValueError for a shape or setting that `op` cannot take."""
    return ValueError(f"[{where(op)}] {message}")


def dtype_error(op: str, message: str) -> TypeError:
    """Return the TypeError for an argument of the wrong kind."""
    return TypeError(f"[{where(op)}] {message}")


def call_traced(module: ModuleLike, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Run `module.forward` on symbolic tensors, recording the module and its path."""
    graph = current_graph()
    names = _tracer.names
    if id(module) not in names:
        names.update((id(below), path) for path, below in module.named_modules())
    graph.modules[id(module)] = module
    if not of_library(type(module)):
        if graph.random is None:
            graph.random = RandomNumbers(module.forward)
        graph.random.look_at(module)
    _tracer.paths.append(names[id(module)] or type(module).__name__)
    try:
        result = module.forward(*args, **kwargs)
    finally:
        _tracer.paths.pop()
    kept = graph.captures.get(id(module))
    if kept is not None:
        kept.append(result)
    return result


def count_call(buffer: Any) -> None:
    """Make every run of the program being traced add 1 to an int64 buffer."""
    graph = current_graph()
    if all(known is not buffer for known in graph.counted):
        graph.counted.append(buffer)


def is_stored(value: Any) -> bool:
    """Whether `value` is a parameter or buffer."""
    return hasattr(type(value), "version") and hasattr(value, "storage")


def note_value_read(stored: Any) -> None:
    """Note that a traced function took a parameter's or buffer's values as numbers."""
    if _tracer.graph is not None:
        _tracer.graph.values_read.append((stored, stored.version))


def as_tensor(value: Any, op: str = "tensor") -> Tensor:
    """Return `value` as a tensor of the graph being built: parameters once each, arrays as constants."""
    if isinstance(value, Tensor):
        return value
    graph = current_graph()
    if is_stored(value):
        known = graph.stored.get(id(value))
        if known is None:
            dtype = value_dtype(value.dtype)
            known = graph.stored[id(value)] = Tensor(value.shape, dtype, Layout.C, value)
        return known
    try:
        array = constant_array(value)
    except TypeError as error:
        plain = value is None or isinstance(value, (str, bytes, complex))
        message = f"expected an array of real numbers, got {value!r}" if plain else str(error)
        if isinstance(value, dict):
            message = "expected an array of real numbers, got dict"
        raise dtype_error(op, message) from None
    except ValueError:
        raise dtype_error(op, f"expected an array, got {type(value).__name__}") from None
    if array.size == 0 and 0 in array.shape[1:]:
        raise shape_error(op, f"expected a non-empty array, got shape {array.shape}")
    return Tensor(array.shape, dtype_name(array.dtype), Layout.C, array)


def emit(op: type[Op] | Op, inputs: Sequence[Tensor | None], attrs: Any, path: str | None = None) -> Node:
    """Add a node to the graph being built; its outputs are what `op.infer` says.

    Args:
        op: the operation.
        inputs: its `Inputs`, or values for them in their order.
        attrs: its `Attributes`.
        path: of the node; by default that of the module being traced.
    """
    if isinstance(op, type):
        op = OPS[op.name]
    inputs, attrs = op.named(inputs), op.settled(attrs)
    outputs = [spec and Tensor(*spec) for spec in op.infer(inputs, attrs)]
    for output in outputs:
        if output is not None and output.nbytes > SMALL:
            require_shape(output.shape, ITEM_SIZE[output.dtype], where(op.name))
    if path is None:
        path = _tracer.paths[-1] if _tracer.paths else ""
    node = Node(op, inputs, outputs, attrs, path, _tracer.origin)
    current_graph().nodes.append(node)
    return node


# -- functions of arrays ------------------------------------------------------------------------


def trace(
    fn: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any] | None = None, watch: bool = True
) -> tuple[Graph, Any]:
    """Record `fn(*args, **kwargs)` as a graph.

    Arrays among the arguments (also inside lists, tuples and dicts) become the graph's inputs, in
    order; anything else is passed as it is.

    Args:
        fn: a function or module.
        args, kwargs: what to call it with.
        watch: whether the graph notes what `fn` takes from around it (`Graph.surroundings`), for programs
            that are made anew when that changes.

    Returns:
        The graph, without outputs yet, and what `fn` returned (tensors in any nesting).
    """
    graph = Graph()
    graph.exchange = _tracer.exchange

    def symbol(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            layout = Layout.OPEN if layout_matters(value.shape) else Layout.CHANNELS_LAST
            tensor = Tensor(value.shape, value_dtype(value.dtype), layout)
            graph.inputs.append(tensor)
            graph.arriving[tensor] = dtype_name(value.dtype)
            return tensor
        return value

    with building(graph):
        symbols = map_tree(symbol, list(args))
        keywords = map_tree(symbol, dict(kwargs or {}))
        if not of_library(fn):
            graph.random = RandomNumbers(fn)
        result = fn(*symbols, **keywords)
    if watch or graph.random is not None:
        graph.surroundings = Surroundings(fn, graph.modules.values())
    if graph.random is not None and graph.random.drawn(graph.surroundings.draws):
        warn_caller(
            "random numbers were drawn while a function was traced: it runs once, so that they stay the same "
            "in every call. Use cnncore.ops.dropout (which follows cnncore.manual_seed), or pass them as an "
            "input"
        )
    return graph, result


def map_tree(fn: Callable[[Any], Any], tree: Any) -> Any:
    """Apply `fn` to the leaves of nested lists, tuples and dicts."""
    if isinstance(tree, dict):
        return {key: map_tree(fn, value) for key, value in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(map_tree(fn, value) for value in tree))
    if isinstance(tree, (list, tuple)):
        return type(tree)(map_tree(fn, value) for value in tree)
    return fn(tree)
