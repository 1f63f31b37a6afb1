# SPDX-License-Identifier: Apache-2.0
"""Adding a graph's nodes to the program that is being traced, as far as they can be part of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from ..graph.trace import at, current_graph, is_stored
from .bounds import OversizedError, folding, is_beyond, require_results, require_steps
from .dtypes import numpy_type, type_of
from .graph import Graph, Node
from .table import Function, Operator, operator_of

LONGEST_LOOP = 4096
"""Iterations that a program repeats the nodes of a loop for; longer ones run outside."""


_training: ContextVar[bool] = ContextVar("training", default=False)


def is_training() -> bool:
    """Whether the model whose nodes are being added is in training mode."""
    return _training.get()


@contextmanager
def mode(training: bool) -> Iterator[None]:
    """Add nodes for training, or for inference, in this block."""
    token = _training.set(training)
    try:
        yield
    finally:
        _training.reset(token)


class Marker(Enum):
    """What stands for a value that the program does not have."""

    OUTSIDE = "given, as an array that no program takes: text, sequences, long unsigned integers"
    MADE = "made by numpy once the program has run"
    LATER = "made by a node that comes after this program"


class NeedsValuesError(Exception):
    """The program can only be made for known values of these inputs."""

    def __init__(self, names: set[str], node: Node) -> None:
        super().__init__(names)
        self.names = names
        self.node = node


@dataclass
class Emitted:
    """What became of nodes: those of the program are in neither list.

    Attributes:
        values: by name: tensors, parameters and buffers, arrays (known values) or markers.
        inputs: names of the program's inputs; of those in `preferred`, values may be asked for freely.
        alone: names of the values that follow from the file alone.
    """

    values: dict[str, Any]
    inputs: frozenset[str] = frozenset()
    preferred: frozenset[str] = frozenset()
    host: list[Node] = field(default_factory=list)
    later: list[Node] = field(default_factory=list)
    alone: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.alone = self.alone or self.values.keys() - self.inputs

    def nodes(self, nodes: Iterable[Node]) -> None:
        """Add nodes to the graph being traced, or to `host` or `later`."""
        for node in nodes:
            if node.captured() or not self.alone.issuperset(filter(None, node.inputs)):
                _emit(node, self)
                continue
            with folding([self.values[name] for name in node.inputs if name]):
                _emit(node, self)
            self.alone.update(node.outputs)

    def put_off(self, node: Node, where: list[Node], marker: Marker) -> None:
        """Leave a node to what follows the program."""
        where.append(node)
        self.values.update((name, marker) for name in node.outputs if name)

    def record(self, node: Node, results: Any) -> None:
        """Note what a node has made."""
        if not isinstance(results, tuple):
            results = (results,)
        for name, result, dtype in zip(node.outputs, results, node.output_types, strict=False):
            if name:
                if isinstance(result, (np.ndarray, np.generic)):
                    result = np.asarray(result)
                    if dtype is not None and type_of(result) != dtype:
                        result = result.astype(numpy_type(dtype))
                self.values[name] = result


def is_known(value: Any) -> bool:
    """Whether a value is an array, a sequence of such or absent, while a program is traced."""
    return value is None or isinstance(value, (np.ndarray, list))


def _has(marker: Marker, values: Iterable[Any]) -> bool:
    return any(value is marker for value in values)


def _emit(node: Node, done: Emitted) -> None:
    operator = operator_of(node)
    if operator is None:
        raise ValueError(f"[{node.label}] the operator is not supported")
    inputs = [done.values[name] if name else None for name in node.inputs]
    around = [*inputs, *(done.values[name] for name in node.captured() if name in done.values)]
    if _has(Marker.LATER, around):
        done.put_off(node, done.later, Marker.LATER)
    elif operator.subgraphs:
        if not _emit_subgraph(node, inputs, done):
            done.put_off(node, done.host, Marker.MADE)
    elif operator.name in FROM_SHAPE and not isinstance(inputs[0], (Marker, list)):
        done.record(node, FROM_SHAPE[operator.name](node, _shape_of(inputs[0])))
    elif all(map(is_known, inputs)) and operator.host is not None and operator.name not in RANDOM:
        done.record(node, call(operator.host, node, inputs))
    elif not operator.traces(node) or _has(Marker.OUTSIDE, inputs) or _takes_empty(operator, inputs):
        if operator.host is None:
            raise ValueError(f"[{node.label}] cannot be computed for {_shapes(inputs)}")
        done.put_off(node, done.host, Marker.MADE)
    else:
        _emit_traced(node, operator, inputs, done)


def _emit_traced(node: Node, operator: Operator, inputs: list[Any], done: Emitted) -> None:
    """Add a node to the program, unless it needs values that are not known yet."""
    places = [i for i in operator.static if i < len(inputs)]
    unknown = {node.inputs[i] for i in places if not (is_known(inputs[i]) or is_stored(inputs[i]))}
    if unknown:
        if unknown <= done.inputs and (unknown <= done.preferred or operator.host is None):
            raise NeedsValuesError(unknown, node)
        if operator.host is not None:
            done.put_off(node, done.host, Marker.MADE)
        else:
            done.put_off(node, done.later, Marker.LATER)
        return
    if _has(Marker.MADE, inputs):
        done.put_off(node, done.later, Marker.LATER)
        return
    for i in places:
        if is_stored(inputs[i]):
            inputs[i] = inputs[i].numpy()
    graph = current_graph()
    before = len(graph.nodes)
    traced = operator.traced
    assert traced is not None

    def bounded(node: Node, *inputs: Any) -> Any:
        result = traced(node, *inputs)
        require_steps(graph.nodes[before:])
        return result

    try:
        with at(node.label):
            result = call(bounded, node, inputs)
    except OversizedError:
        raise
    except ValueError:
        if operator.host is None:
            raise
        del graph.nodes[before:]
        done.put_off(node, done.host, Marker.MADE)
        return
    done.record(node, result)


def call(function: Function, node: Node, inputs: Sequence[Any]) -> Any:
    """Call an operator's function; what it finds wrong becomes a ValueError that names the node.

    Raises:
        ValueError: with the inputs' shapes; an `OversizedError` for results beyond the bounds of `bounds.py`.
        MemoryError: the same, for results within the bounds that this process has no memory for.
    """
    try:
        with np.errstate(all="ignore"):
            result = function(node, *inputs)
        require_results(result)
        return result
    except NeedsValuesError:
        raise
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError) as error:
        kind = OversizedError if isinstance(error, OversizedError) else ValueError
        raise kind(_named(error, node, inputs)) from error
    except MemoryError as error:
        named = _named(error, node, inputs)
        raise (OversizedError if is_beyond(error) else MemoryError)(named) from error


def _named(error: Exception, node: Node, inputs: Sequence[Any]) -> str:
    return f"[{node.label}] {str(error).removeprefix(f'[{node.label}] ')}; inputs: {_shapes(inputs)}"


def _shapes(inputs: Sequence[Any]) -> str:
    return ", ".join(str(getattr(value, "shape", "none" if value is None else "a list")) for value in inputs)


def _shape_of(value: Any) -> tuple[int, ...]:
    shape: tuple[int, ...] = value.shape
    return shape


def _takes_empty(operator: Operator, inputs: Sequence[Any]) -> bool:
    """Whether one of the tensors has no elements; programs take none of these."""
    return any(0 in getattr(v, "shape", ()) for i, v in enumerate(inputs) if i not in operator.static)


# -- what needs shapes only -----------------------------------------------------------------------


def _shape(node: Node, shape: tuple[int, ...]) -> Any:
    start, end = node.attr("start", 0), node.attr("end")
    return np.array(shape[slice(start, end)], np.int64)


FROM_SHAPE: dict[str, Any] = {
    "Shape": _shape,
    "Size": lambda node, shape: np.array(int(np.prod(shape, dtype=np.int64)), np.int64),
}

RANDOM = frozenset(
    {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
"""Operators whose results are never the same."""


# -- graphs within graphs ---------------------------------------------------------------------------


def _emit_subgraph(node: Node, inputs: list[Any], done: Emitted) -> bool:
    """Add the nodes of a subgraph that is known to run, and how often; return False when it is not."""
    graph = current_graph()
    before = len(graph.nodes)
    kept = dict(done.values)
    try:
        results = _INLINE[node.op](node, inputs, done) if node.op in _INLINE else None
    except _NotInlineError:
        results = None
    if results is None:
        del graph.nodes[before:]
        done.values = kept
        return False
    done.values = kept
    done.values.update((name, value) for name, value in zip(node.outputs, results, strict=False) if name)
    return True


class _NotInlineError(Exception):
    """A subgraph has nodes that cannot be part of a program."""


def _branch(graph: Graph, arguments: Mapping[str, Any], done: Emitted) -> list[Any]:
    """Add a subgraph's nodes, and return its outputs."""
    values = {**done.values, **graph.constants, **arguments}
    inner = Emitted(values, done.inputs, done.preferred, alone={*done.alone, *graph.constants})
    inner.nodes(graph.nodes)
    if inner.host or inner.later:
        raise _NotInlineError
    return [inner.values[value.name] for value in graph.outputs]


def _emit_if(node: Node, inputs: list[Any], done: Emitted) -> list[Any] | None:
    condition = inputs[0]
    if not isinstance(condition, np.ndarray) or condition.size != 1:
        return None
    return _branch(node.attr("then_branch" if condition.reshape(-1)[0] else "else_branch"), {}, done)


def _emit_loop(node: Node, inputs: list[Any], done: Emitted) -> list[Any] | None:
    count, condition, *carried = inputs
    body: Graph = node.attr("body")
    scans = len(body.outputs) - 1 - len(carried)
    if scans or not isinstance(count, np.ndarray) or not is_known(condition):
        return None
    trips = int(count.reshape(-1)[0])
    if trips > LONGEST_LOOP:
        return None
    for i in range(trips):
        if condition is not None and not condition.reshape(-1)[0]:
            break
        names = [value.name for value in body.inputs]
        going = np.array(True) if condition is None else condition
        arguments = dict(zip(names, [np.array(i, np.int64), going, *carried], strict=True))
        condition, *carried = _branch(body, arguments, done)
        if not isinstance(condition, np.ndarray):
            return None
    return carried


_INLINE: dict[str, Any] = {"If": _emit_if, "Loop": _emit_loop}


def requires_program(done: Emitted) -> None:
    """Refuse nodes that are left outside the program.

    Raises:
        ValueError: naming them.
    """
    if done.host:
        nodes = ", ".join(node.label for node in done.host[:5])
        raise ValueError(
            f"{nodes}: computed outside of compiled programs, because of its types or because the shape of "
            "what it makes depends on values: call the model on arrays instead of compiling or training it"
        )
