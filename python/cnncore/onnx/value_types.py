# SPDX-License-Identifier: Apache-2.0
"""Element types of all values of a graph, from those of its inputs and constants."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import onnx

from .dtypes import name_of, type_of
from .graph import Graph, Node

Types = Mapping[str, "str | None"]


def infer(graph: Graph, outer: Types | None = None) -> None:
    """Fill in the types of a graph's values and nodes; None is what has no element type, or is unknown.

    Args:
        outer: types of values around a subgraph.
    """
    types = dict(outer or {})
    types.update((value.name, value.dtype) for value in graph.inputs)
    types.update((name, type_of(array)) for name, array in graph.constants.items())
    for node in graph.nodes:
        node.input_types = tuple(types.get(name) if name else None for name in node.inputs)
        for value in node.attributes.values():
            if isinstance(value, Graph):
                _give_types(node, value)
                infer(value, types)
        node.output_types = tuple(_output_type(node, i) for i in range(len(node.outputs)))
        types.update(zip(node.outputs, node.output_types, strict=True))
    graph.types = types
    for value in graph.outputs:
        value.dtype = value.dtype or types.get(value.name)


def _give_types(node: Node, body: Graph) -> None:
    """Let the inputs of a loop's body have the types of what the loop is given."""
    if node.op in ("Scan", "Loop"):
        skipped = 1 if node.op == "Scan" and node.opset < 9 else 0
        for value, dtype in zip(body.inputs, node.input_types[skipped:], strict=False):
            if value.dtype is None and value.shape is None and node.op == "Scan":
                value.dtype = dtype


def _attribute_type(node: Node, default: str | None) -> str | None:
    """Return the type that an attribute names."""
    for name in ("to", "dtype", "output_dtype", "output_datatype"):
        value = node.attr(name)
        if isinstance(value, int) and value:
            return name_of(value)
    return default


def _first(node: Node) -> str | None:
    return node.input_types[0] if node.input_types else None


def _branch(node: Node, index: int) -> str | None:
    for name in ("then_branch", "body"):
        graph = node.attr(name)
        if isinstance(graph, Graph):
            position = index + (1 if node.op == "Loop" else 0)
            return graph.outputs[position].dtype if position < len(graph.outputs) else None
    return None


def _filled(node: Node) -> str:
    value = node.attr("value")
    return "float32" if value is None else type_of(value)


_RULES: dict[str, Any] = {
    "Cast": lambda node, i: _attribute_type(node, None),
    "CastLike": lambda node, i: node.input_types[1],
    "BitCast": lambda node, i: _attribute_type(node, None),
    "ConstantOfShape": lambda node, i: _filled(node),
    "EyeLike": lambda node, i: _attribute_type(node, _first(node)),
    "Bernoulli": lambda node, i: _attribute_type(node, _first(node)),
    "RandomNormal": lambda node, i: _attribute_type(node, "float32"),
    "RandomUniform": lambda node, i: _attribute_type(node, "float32"),
    "RandomNormalLike": lambda node, i: _attribute_type(node, _first(node)),
    "RandomUniformLike": lambda node, i: _attribute_type(node, _first(node)),
    "Multinomial": lambda node, i: _attribute_type(node, "int32"),
    "BlackmanWindow": lambda node, i: _attribute_type(node, "float32"),
    "HannWindow": lambda node, i: _attribute_type(node, "float32"),
    "HammingWindow": lambda node, i: _attribute_type(node, "float32"),
    "MelWeightMatrix": lambda node, i: _attribute_type(node, "float32"),
    "QuantizeLinear": lambda node, i: (
        node.input_types[2] if len(node.inputs) > 2 and node.inputs[2] else _attribute_type(node, "uint8")
    ),
    "DequantizeLinear": lambda node, i: _attribute_type(node, node.input_types[1]),
    "QLinearConv": lambda node, i: node.input_types[7],
    "QLinearMatMul": lambda node, i: node.input_types[7],
    "QLinearConcat": lambda node, i: node.input_types[1],
    "QGemm": lambda node, i: node.input_types[8] if len(node.inputs) > 8 else "float32",
    **dict.fromkeys(
        (
            "QLinearAdd",
            "QLinearAveragePool",
            "QLinearGlobalAveragePool",
            "QLinearLeakyRelu",
            "QLinearMul",
            "QLinearSigmoid",
            "QLinearSoftmax",
        ),
        lambda node, i: _first(node),
    ),
    "If": _branch,
    "Loop": _branch,
    "Scan": _branch,
    "SequenceMap": lambda node, i: None,
    "OptionalGetElement": lambda node, i: None,
}


@cache
def _schema(op: str, domain: str, opset: int) -> Any:
    try:
        return onnx.defs.get_schema(op, opset, domain)
    except onnx.defs.SchemaError:
        return None


def _output_type(node: Node, index: int) -> str | None:
    rule = _RULES.get(node.op)
    if rule is not None:
        found: str | None = rule(node, index)
        return found
    schema = _schema(node.op, node.domain, node.opset)
    if schema is None or not schema.outputs:
        return None
    wanted = schema.outputs[min(index, len(schema.outputs) - 1)].type_str
    if wanted.startswith("tensor("):
        return _plain(wanted[7:-1])
    for i, dtype in enumerate(node.input_types):
        formal = schema.inputs[min(i, len(schema.inputs) - 1)]
        if formal.type_str == wanted and dtype is not None:
            return dtype
    return _only(schema, wanted)


def _only(schema: Any, wanted: str) -> str | None:
    """Return the type of a constraint that allows one type."""
    for constraint in schema.type_constraints:
        if constraint.type_param_str == wanted and len(constraint.allowed_type_strs) == 1:
            return _plain(constraint.allowed_type_strs[0].removeprefix("tensor(").removesuffix(")"))
    return None


def _plain(name: str) -> str | None:
    if "(" in name:
        return None
    return {"float": "float32", "double": "float64"}.get(name, name)
