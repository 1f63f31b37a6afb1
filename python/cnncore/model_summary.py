# SPDX-License-Identifier: Apache-2.0
"""A table of a model's layers: shapes, parameters, operations, bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ._checks import is_index
from .graph.arrays import input_dtypes, input_examples
from .graph.tensor import Node
from .graph.trace import trace
from .nn.module import Module
from .nn.predict import inference_mode
from .ops.shape import Relayout

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerSummary:
    """One row: a layer, or an operation that a module's `forward` calls itself."""

    path: str
    kind: str
    output_shape: Shape
    parameters: int
    flops: int
    output_bytes: int


@dataclass(frozen=True, repr=False)
class Summary:
    """What `summary` returns; `repr` is the table.

    `flops` counts a multiply-add of convolutions and matrix products as 2 and leaves out other
    operations. `output_bytes` is the sum over layers, more than is ever held at once in inference.
    """

    model: str
    input_shape: Shape | tuple[Shape, ...]
    layers: tuple[LayerSummary, ...]
    parameters: int
    trainable_parameters: int
    buffers: int
    flops: int
    parameter_bytes: int
    output_bytes: int

    def __repr__(self) -> str:
        header = ("layer", "kind", "output shape", "parameters", "FLOPs", "output bytes")
        rows = [
            (
                layer.path,
                layer.kind,
                str(layer.output_shape),
                f"{layer.parameters:,}" if layer.parameters else "",
                f"{layer.flops:,}" if layer.flops else "",
                f"{layer.output_bytes:,}",
            )
            for layer in self.layers
        ]
        widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
        lines = [_line(row, widths) for row in [header, tuple("-" * width for width in widths), *rows]]
        frozen = self.parameters - self.trainable_parameters
        return "\n".join(
            [
                f"{self.model}, input {self.input_shape}",
                *lines,
                f"parameters: {self.parameters:,} ({self.parameter_bytes:,} bytes)"
                + (f", of which {frozen:,} are frozen" if frozen else ""),
                f"FLOPs: {self.flops:,} (a multiply-add is 2; convolutions and matrix products only)",
                f"outputs of all layers: {self.output_bytes:,} bytes",
            ]
        )


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    left = [cell.ljust(width) for cell, width in zip(row[:3], widths[:3], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
    return "  ".join(left + right).rstrip()


def summary(model: Module, input_shape: Any, *, input_dtype: Any = "float32") -> Summary:
    """Return a table of a model's layers in the order they run in inference. Nothing is computed.

    Args:
        model: a Module.
        input_shape: shape of the input, batch included; a list of shapes for several inputs.
        input_dtype: "float32", or "int64" and the like for numbers of words; a list for several inputs.

    Raises:
        ValueError: the input does not fit; names the layer.

    >>> from cnncore import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    >>> table = summary(net, (1, 1, 8, 8))
    >>> table.parameters, table.flops
    (2970, 10944)
    >>> print(table.layers[0].path, table.layers[0].output_shape)
    0 (1, 8, 6, 6)
    """
    if not isinstance(model, Module):
        raise TypeError(f"expected a Module, got {type(model).__name__}")
    several = isinstance(input_shape, (list, tuple)) and any(isinstance(one, Sequence) for one in input_shape)
    shapes = [_shape(one) for one in (input_shape if several else (input_shape,))]
    with inference_mode(model):
        graph, _ = trace(model, input_examples(shapes, input_dtypes(input_dtype, len(shapes))))
    layers = [row for row, _ in traced_layers(model, graph.nodes)]
    parameters = list(model.parameters())
    return Summary(
        model=type(model).__name__,
        input_shape=tuple(shapes) if several else shapes[0],
        layers=tuple(layers),
        parameters=sum(parameter.size for parameter in parameters),
        trainable_parameters=sum(p.size for p in parameters if p.requires_grad),
        buffers=sum(buffer.size for buffer in model.buffers()),
        flops=sum(layer.flops for layer in layers),
        parameter_bytes=sum(parameter.nbytes for parameter in parameters),
        output_bytes=sum(layer.output_bytes for layer in layers),
    )


def _shape(extents: Any) -> Shape:
    if not isinstance(extents, Sequence) or not all(map(is_index, extents)):
        raise TypeError(f"expected input_shape as a tuple of ints, batch included, got {extents!r}")
    shape = tuple(int(extent) for extent in extents)
    if not shape or min(shape) < 1:
        raise ValueError(f"expected an input_shape of sizes from 1, batch included, got {extents}")
    return shape


def traced_layers(model: Module, nodes: list[Node]) -> list[tuple[LayerSummary, list[Node]]]:
    """Return the row and the nodes of each layer, in the order they run in.

    Args:
        model: the Module whose call was traced.
        nodes: of its graph, before any pass.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    modules.setdefault(type(model).__name__, model)
    counted: set[int] = set()
    rows: list[tuple[LayerSummary, list[Node]]] = []
    for group in _by_layer(nodes, modules):
        module = modules.get(group[0].path)
        is_layer = module is not None and not any(True for _ in module.children())
        parameters = 0
        if module is not None and id(module) not in counted and is_layer:
            counted.add(id(module))
            parameters = sum(parameter.size for parameter in module.parameters())
        last = group[-1]
        row = LayerSummary(
            path=group[0].path,
            kind=type(module).__name__ if is_layer else last.op.label(last),
            output_shape=last.output.shape,
            parameters=parameters,
            flops=sum(node.op.flops(node) for node in group),
            output_bytes=last.output.nbytes,
        )
        rows.append((row, group))
    return rows


def _by_layer(nodes: list[Node], modules: dict[str, Module]) -> list[list[Node]]:
    """Group the nodes of one call of a layer, or of a node of an ONNX model, which is no module; what a
    container does itself stands alone."""
    groups: list[list[Node]] = []
    for node in nodes:
        module = modules.get(node.path)
        is_layer = module is None or not any(True for _ in module.children())
        if groups and is_layer and groups[-1][0].path == node.path:
            groups[-1].append(node)
        elif is_layer or not isinstance(node.op, Relayout):
            groups.append([node])
    return groups
