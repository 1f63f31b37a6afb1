# SPDX-License-Identifier: Apache-2.0
"""Adding a graph's nodes to the program that is being traced, and finding those that cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..graph.tensor import Graph as Program
from ..graph.tensor import Layout, Tensor, layout_matters
from ..graph.trace import at, building, current_graph
from ..ops.conversions import converted
from . import operators as _operators  # noqa: F401  (fills the table)
from .graph import Graph, Mode, Node, Ref, Spec, map_args
from .table import PROGRAM, TAKING_EMPTY, Empty, find

FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What the functions of the table raise for arguments that they do not take."""


def emit_nodes(nodes: Iterable[Node], values: dict[str, Any], training: bool = False) -> None:
    """Add nodes to the graph being traced.

    Args:
        nodes: in their order.
        values: by name: tensors, parameters and buffers, numbers; the nodes' results are added.
        training: what layers do that follow a module's mode.

    Raises:
        ValueError: a node cannot be computed; the message names it.
    """
    for node in nodes:
        try:
            values[node.name] = emit_node(node, values, training)
        except FAILURES as error:
            text = str(error).removeprefix(f"[{node.path}] ")
            raise ValueError(f"[{node.label}] {text}") from error


def emit_node(node: Node, values: Mapping[str, Any], training: bool = False) -> Any:
    """Add a node to the graph being traced, and return its result."""
    function = find(node.op)
    if function is None:
        raise NotImplementedError("the operator is not known")

    def value(argument: Any) -> Any:
        if isinstance(argument, Ref):
            return values[argument.name]
        return training if argument is Mode.TRAINING else argument

    args, kwargs = map_args(value, node.args), map_args(value, node.kwargs)
    with at(node.path or node.name):
        return _settled(function(*args, **kwargs), node.results)


def _settled(result: Any, wanted: Any) -> Any:
    """Return results in the element types that torch gives them."""
    if isinstance(wanted, tuple) and isinstance(result, (tuple, list)):
        both = zip(result, (*wanted, *[None] * (len(result) - len(wanted))), strict=False)
        return tuple(_settled(one, spec) for one, spec in both)
    if isinstance(result, Tensor) and isinstance(wanted, Spec) and result.dtype != wanted.dtype:
        if wanted.dtype not in PROGRAM:
            raise TypeError(f"elements of type {wanted.dtype}")
        return converted(result, wanted.dtype)
    return result


def new_input(shape: tuple[int, ...], dtype: str) -> Tensor:
    """Add an input to the graph being traced; its layout in memory is open where it matters."""
    graph = current_graph()
    tensor = Tensor(shape, dtype, Layout.OPEN if layout_matters(shape) else Layout.CHANNELS_LAST)
    graph.inputs.append(tensor)
    graph.arriving[tensor] = dtype
    return tensor


def unsupported(graph: Graph, constants: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return the nodes that cannot be part of a program, by name, each with the reason.

    The graph is traced once with tensors of the shapes that it was made with; what cannot be computed is
    replaced by a new input.

    Args:
        constants: values of inputs that are numbers, by name; 2 by default.
    """
    found: dict[str, str] = {}
    values: dict[str, Any] = {}
    with building(Program()):
        values.update((name, _known(array)) for name, array in graph.constants.items())
        for name, spec in zip(graph.inputs, graph.specs, strict=True):
            values[name] = (constants or {}).get(name) if spec is None else _stand_in(spec)
        for node in graph.nodes:
            before = len(current_graph().nodes)
            try:
                _require_known(node, values)
                values[node.name] = emit_node(node, values)
                _require_shape(values[node.name], node.results)
            except FAILURES as error:
                del current_graph().nodes[before:]
                found[node.name] = str(error).removeprefix(f"[{node.path or node.name}] ")
                values[node.name] = _stand_in(node.results)
    return found


def _require_known(node: Node, values: Mapping[str, Any]) -> None:
    for name in node.refs():
        if isinstance(values[name], _Unknown):
            raise TypeError(f"reads {values[name].what}")
        if isinstance(values[name], Empty) and node.op not in TAKING_EMPTY:
            raise TypeError("reads a tensor without elements")


class _Unknown:
    """A value that no program has."""

    def __init__(self, what: str) -> None:
        self.what = what


def _known(array: Any) -> Any:
    if array is None or array.dtype.name not in PROGRAM:
        return _Unknown("a constant of elements that programs do not have")
    return array


def _stand_in(spec: Any) -> Any:
    if isinstance(spec, tuple):
        return tuple(map(_stand_in, spec))
    if not isinstance(spec, Spec):
        return _Unknown("a number that is only known at run time")
    if spec.dtype not in PROGRAM:
        return _Unknown(f"elements of type {spec.dtype}")
    if 0 in spec.example:
        return Empty(spec.example, spec.dtype)
    return new_input(spec.example, spec.dtype)


def _require_shape(result: Any, wanted: Any) -> None:
    """Raise where something else has come than what torch says."""
    if isinstance(wanted, tuple) and isinstance(result, (tuple, list)):
        for one, spec in zip(result, wanted, strict=False):
            _require_shape(one, spec)
    elif isinstance(wanted, Spec) and isinstance(result, Tensor):
        if result.shape != wanted.example:
            raise ValueError(f"expected a result of shape {wanted.example}, got {result.shape}")
        if result.dtype != wanted.dtype:
            raise TypeError(f"elements of type {wanted.dtype}")
