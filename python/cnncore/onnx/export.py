# SPDX-License-Identifier: Apache-2.0
"""`export`: a network as an ONNX file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from .. import __version__
from ..compiler.pipeline import set_outputs
from ..graph.arrays import input_dtypes, input_examples
from ..graph.rewrite import remove_dead
from ..graph.tensor import Graph, Tensor
from ..graph.trace import trace
from ..io.atomic import atomic_write
from ..nn.module import Module
from ..nn.predict import inference_mode
from ..ops.convolution import ConvBackwardData
from ..ops.parts import Embed, Slice
from ..ops.shape import Expand, Reshape
from . import exporting as _exporting  # noqa: F401  (fills the table)
from .dtypes import numpy_type
from .exporting.elementwise import TYPES
from .exporting.writer import EXPORTERS, Writer
from .model import OnnxModel
from .parameters import CONSTANTS

OPSET = 17

IR_VERSION = 8


def export(
    model: Module,
    path: str | os.PathLike[str] | None,
    input_shape: Any,
    *,
    dynamic_batch: bool = False,
    input_names: Sequence[str] = (),
    output_names: Sequence[str] = (),
    input_dtype: Any = None,
) -> onnx.ModelProto:
    """Write a network as an ONNX model of opset 17, as it computes in inference mode.

    Args:
        model: a Module.
        path: the file to write, or None to write none.
        input_shape: with the batch, such as (1, 3, 224, 224); a list of shapes for several inputs.
        dynamic_batch: whether the first axis of inputs and outputs takes any extent; otherwise it is that of
            `input_shape`.
        input_names: names of the inputs, by default those of an imported model, or "input", "input_1", ...
        output_names: likewise, "output", ...
        input_dtype: that of the inputs, "int64" for numbers of words; a list for several inputs. By default
            those of an imported model, or "float32".

    Returns:
        The model, checked. Parameters and buffers have their paths in `model` as names.

    Raises:
        ValueError: the network has an operation that has no form in ONNX here, names it; or, with
            `dynamic_batch`, what it computes depends on the batch in another way than by being as large.
        OSError: the file cannot be written; one that was there is as before.

    >>> import numpy as np
    >>> import cnncore.onnx
    >>> from cnncore import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    >>> proto = cnncore.onnx.export(net, None, (1, 1, 8, 8), dynamic_batch=True)
    >>> [node.op_type for node in proto.graph.node]
    ['Conv', 'Relu']
    >>> x = np.ones((4, 1, 8, 8), np.float32)
    >>> bool((cnncore.onnx.load(proto)(x) == net.eval()(x)).all())
    True
    """
    if not isinstance(model, Module):
        raise TypeError(f"expected a Module, got {type(model).__name__}")
    shapes = _shapes(input_shape)
    batches = twin = None
    if dynamic_batch:
        # A batch of one needs no copies where others do: two larger ones show what the batch changes.
        batch = max(2, shapes[0][0])
        batches = (batch, batch + 1)
        shapes = [(batch, *shape[1:]) for shape in shapes]
    graph = _traced(model, shapes, input_dtype)
    if dynamic_batch:
        others = [(shape[0] + 1, *shape[1:]) for shape in shapes]
        twin = _traced(model, others, input_dtype)
        _require_same(graph, twin)
    stored = {id(array): name for name, array in _stored(model)}
    writer = Writer(stored, batches)
    proto = _written(
        writer, model, graph, twin, _names(model, input_names, len(shapes), "input"), output_names
    )
    onnx.checker.check_model(proto, full_check=True)
    if path is not None:
        with atomic_write(path) as file:
            file.write(proto.SerializeToString())
    return proto


FOLLOWING = (ConvBackwardData, Embed, Expand, Reshape, Slice)
"""Operations whose settings are extents, which may follow the batch; those of all others may not."""


def _require_same(graph: Graph, twin: Graph) -> None:
    """Refuse a network that computes something else for another batch.

    Raises:
        ValueError: naming the first difference.
    """
    names, others = ([node.op.name for node in g.nodes] for g in (graph, twin))
    if names != others:
        raise ValueError("the network has other operations for another batch: export without dynamic_batch")
    for node, other in zip(graph.nodes, twin.nodes, strict=True):
        same = isinstance(node.op, FOLLOWING) or node.attrs == other.attrs
        for a, b in zip(node.inputs, other.inputs, strict=True):
            if a is not None and isinstance(a.source, np.ndarray):
                same = same and np.array_equal(a.source, b.source)
        if not same:
            raise ValueError(
                f"[{node.path}] {node.op.name} depends on the batch's size: export without dynamic_batch"
            )


def _stored(model: Module) -> list[tuple[str, Any]]:
    found = [*model.named_parameters(), *model.named_buffers()]
    if isinstance(model, OnnxModel):
        return [(array.name, array) for _, array in found]
    return found


def _shapes(input_shape: Any) -> list[tuple[int, ...]]:
    several = isinstance(input_shape, Sequence) and any(isinstance(one, Sequence) for one in input_shape)
    shapes = input_shape if several else [input_shape]
    for shape in shapes:
        if not isinstance(shape, Sequence) or not all(hasattr(n, "__index__") for n in shape):
            got = f"an array of shape {shape.shape}" if hasattr(shape, "shape") else repr(shape)
            raise TypeError(f"expected input_shape as a tuple of ints (or a list of such), got {got}")
    return [tuple(int(n) for n in shape) for shape in shapes]


def _traced(model: Module, shapes: Sequence[tuple[int, ...]], dtype: Any) -> Graph:
    types = input_dtypes("float32" if dtype is None else dtype, len(shapes))
    if dtype is None and isinstance(model, OnnxModel) and len(model.graph.inputs) == len(shapes):
        types = [numpy_type(value.dtype or "float32") for value in model.graph.inputs]
    with inference_mode(model):
        graph, result = trace(model, input_examples(shapes, types))
    set_outputs(graph, result)
    graph.updates, graph.counted, graph.checks = [], [], []
    remove_dead(graph)
    return graph


def _names(model: Module, names: Sequence[str], count: int, kind: str) -> list[str]:
    """Return names of the inputs or outputs."""
    if names:
        if len(names) != count:
            raise ValueError(f"expected {count} {kind}_names, got {len(names)}")
        return list(names)
    own = getattr(model, f"{kind}_names", ())
    if len(own) == count:
        return list(own)
    return [kind if i == 0 else f"{kind}_{i}" for i in range(count)]


def _info(writer: Writer, name: str, tensor: Tensor, dynamic: bool) -> onnx.ValueInfoProto:
    shape = ["batch" if i == 0 and dynamic else extent for i, extent in enumerate(tensor.shape)]
    return helper.make_tensor_value_info(name, TYPES[tensor.dtype], shape)


def _written(
    writer: Writer,
    model: Module,
    graph: Graph,
    twin: Graph | None,
    input_names: Sequence[str],
    output_names: Sequence[str],
) -> onnx.ModelProto:
    inputs = []
    names = _names(model, output_names, len(graph.outputs), "output")
    for name in names:
        writer.fresh(name)
    for name, tensor in zip(input_names, graph.inputs, strict=True):
        writer.set(tensor, writer.fresh(name))
        inputs.append(_info(writer, name, tensor, twin is not None))
    writer.first_input = input_names[0]
    for i, node in enumerate(graph.nodes):
        writer.path = node.path
        write: Callable[..., Any] | None = EXPORTERS.get(type(node.op))
        if write is None:
            raise ValueError(f"[{node.path}] {node.op.name} has no form in ONNX that is written here")
        found = write(writer, node, None if twin is None else twin.nodes[i])
        for made, name in zip(node.outputs, [found] if isinstance(found, str) else found, strict=False):
            if made is not None:
                writer.set(made, name)
    outputs = []
    results = [tensor for tensor in graph.outputs if tensor is not None]
    for i, (name, output) in enumerate(zip(names, results, strict=True)):
        moving = twin is not None and twin.outputs[i].shape != output.shape
        writer.nodes.append(helper.make_node("Identity", [writer.get(output)], [name], f"{name}/Identity"))
        outputs.append(_info(writer, name, output, moving))
    nodes = _without_copies(_needed(writer.nodes, names), names)
    used = {name for node in nodes for name in node.input}
    constants = [tensor for name, tensor in writer.initializers.items() if name in used]
    graph_proto = helper.make_graph(nodes, type(model).__name__, inputs, outputs, constants)
    proto = helper.make_model(
        graph_proto,
        producer_name="cnncore",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    helper.set_model_props(proto, {CONSTANTS: json.dumps(sorted(used & writer.constants))})
    return proto


def _needed(nodes: Sequence[onnx.NodeProto], names: Sequence[str]) -> list[onnx.NodeProto]:
    """Return the nodes that the outputs depend on."""
    wanted = set(names)
    kept = []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1]


def _without_copies(nodes: list[onnx.NodeProto], names: Sequence[str]) -> list[onnx.NodeProto]:
    """Let nodes make outputs themselves where nothing but a copy reads what they make."""
    readers: dict[str, int] = {}
    for node in nodes:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    makers = {name: node for node in nodes for name in node.output}
    kept = []
    for node in nodes:
        if node.op_type == "Identity" and node.output[0] in names and readers.get(node.input[0]) == 1:
            maker = makers.get(node.input[0])
            if maker is not None and maker.output[0] not in names:
                maker.output[list(maker.output).index(node.input[0])] = node.output[0]
                continue
        kept.append(node)
    return kept
