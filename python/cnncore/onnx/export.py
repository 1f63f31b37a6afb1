# SPDX-License-Identifier: Apache-2.0
"""`export`: a network as an ONNX file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from .. import __version__, ops
from .._checks import is_index
from ..compiler.pipeline import set_outputs
from ..graph.arrays import input_dtypes, input_examples
from ..graph.rewrite import remove_dead
from ..graph.tensor import Graph, Tensor
from ..graph.trace import trace
from ..io.safetensors import check_metadata
from ..nn.arguments import flag, integer, several
from ..nn.module import Module
from ..nn.predict import inference_mode
from . import exporting as _exporting  # noqa: F401  (fills the table)
from .dtypes import numpy_type
from .exporting.elementwise import TYPES
from .exporting.writer import EXPORTERS, Writer
from .model import OnnxModel
from .parameters import CONSTANTS
from .sizes import AXES, larger, require_equal_outputs, require_same
from .writing import check_and_write, place_weights

OPSET = 17

OLDEST = 13

CHECKED = (1, 23)
"""Pixels more than the traced image has, of images with which open sizes are checked."""


def export(
    model: Module,
    path: str | os.PathLike[str] | None,
    input_shape: Any,
    *,
    dynamic_batch: bool = False,
    input_names: Sequence[str] = (),
    output_names: Sequence[str] = (),
    input_dtype: Any = None,
    dynamic_size: bool = False,
    opset: int = OPSET,
    normalize: tuple[Sequence[float], Sequence[float]] | None = None,
    softmax: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Write a network as an ONNX model, as it computes in inference mode.

    Args:
        model: a Module.
        path: the file to write, or None to write none. Weights above 2 GB go to a file beside it, whose name
            ends in ".data".
        input_shape: with the batch, such as (1, 3, 224, 224); a list of shapes for several inputs.
        dynamic_batch: whether the first axis of inputs and outputs takes any extent; otherwise it is that of
            `input_shape`.
        input_names: names of the inputs, by default those of an imported model, or "input", "input_1", ...
        output_names: likewise, "output", ...
        input_dtype: that of the inputs, "int64" for numbers of words; a list for several inputs. By default
            those of an imported model, or "float32".
        dynamic_size: whether the axes behind the channels take any extents that the network takes, too.
        opset: of the operators that are written, from 13 to the newest.
        normalize: mean and deviation of each channel; the model then takes images before (x - mean) / std.
        softmax: whether the model gives probabilities: softmax over axis 1 of its only output.
        metadata: texts by name to store in the file.

    Returns:
        The model, checked. Parameters and buffers have their paths in `model` as names.

    Raises:
        ValueError: the network has an operation that has no form in ONNX here, names it; or, with
            `dynamic_batch` or `dynamic_size`, what it computes depends on these in another way than by being
            as large.
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
    newest = onnx.defs.onnx_opset_version()
    opset, softmax = integer("opset", opset), flag("softmax", softmax)
    dynamic_batch, dynamic_size = flag("dynamic_batch", dynamic_batch), flag("dynamic_size", dynamic_size)
    texts = check_metadata(metadata)
    if not OLDEST <= opset <= newest:
        raise ValueError(f"expected an opset from {OLDEST} to {newest}, got {opset}")
    shapes = _shapes(input_shape)
    batches = twin = None
    if dynamic_batch:
        # A batch of one needs no copies where others do: two larger ones show what the batch changes.
        batch = max(2, shapes[0][0])
        batches = (batch, batch + 1)
        shapes = [(batch, *shape[1:]) for shape in shapes]
    compute = _around(model, normalize, softmax)
    graph = _traced(model, compute, shapes, input_dtype)
    if dynamic_batch or dynamic_size:
        others = larger(shapes, dynamic_batch, dynamic_size)
        twin = _traced(model, compute, others, input_dtype)
        require_same(graph, twin)
    stored = {id(array): name for name, array in _stored(model)}
    writer = Writer(stored, batches, opset)
    names = _names(model, input_names, len(shapes), "input")
    proto, outside = _written(writer, model, graph, twin, (names, output_names), path)
    helper.set_model_props(proto, {**{p.key: p.value for p in proto.metadata_props}, **texts})
    if outside:
        check_and_write(proto, path, outside)
    if dynamic_size:
        for more in CHECKED:
            others = [(*shape[:2], *(n + more for n in shape[2:])) for shape in shapes]
            _check_other_sizes(path if outside else proto, model, compute, graph, others)
    if not outside:
        check_and_write(proto, path, outside)
    return proto


def _stored(model: Module) -> list[tuple[str, Any]]:
    found = [*model.named_parameters(), *model.named_buffers()]
    if isinstance(model, OnnxModel):
        return [(array.name, array) for _, array in found]
    return found


def _shapes(input_shape: Any) -> list[tuple[int, ...]]:
    several = isinstance(input_shape, Sequence) and any(isinstance(one, Sequence) for one in input_shape)
    shapes = input_shape if several else [input_shape]
    for shape in shapes:
        if not isinstance(shape, Sequence) or not all(map(is_index, shape)):
            got = f"an array of shape {shape.shape}" if hasattr(shape, "shape") else repr(shape)
            raise TypeError(f"expected input_shape as a tuple of ints (or a list of such), got {got}")
    return [tuple(int(n) for n in shape) for shape in shapes]


def _moments(normalize: Any) -> list[NDArray[np.float32]]:
    """Return mean and deviation of each channel."""
    pair = normalize if isinstance(normalize, (tuple, list)) else ()
    arrays = [np.asarray(values) for values in pair]
    if len(arrays) != 2 or any(values.dtype.kind not in "biuf" for values in arrays):
        raise TypeError(f"expected normalize as (mean, deviation), each of every channel, got {normalize!r}")
    return [values.astype(np.float32).reshape(-1) for values in arrays]


def _around(model: Module, normalize: Any, softmax: bool) -> Callable[..., Any]:
    """Return the network with what shall come before and after it."""
    if normalize is None and not softmax:
        return model
    moments = None if normalize is None else _moments(normalize)

    def compute(*inputs: Any) -> Any:
        x, *rest = inputs
        if moments is not None:
            mean, std = moments
            if not len(mean) == len(std) == x.shape[1] or not (std > 0).all():
                raise ValueError(
                    f"expected normalize as means and deviations above 0 of {x.shape[1]} channels, "
                    f"got {normalize}"
                )
            shape = (1, -1, *[1] * (x.ndim - 2))
            x = (x - mean.reshape(shape)) * (1 / std).reshape(shape)
        result = model(x, *rest)
        if not softmax:
            return result
        if isinstance(result, (tuple, list, dict)) or result.ndim < 2:
            raise ValueError("softmax goes with networks of one output (batch, classes, ...)")
        return ops.softmax(result, 1)

    return compute


def _check_other_sizes(
    written: Any,
    model: Module,
    compute: Callable[..., Any],
    graph: Graph,
    shapes: list[tuple[int, ...]],
) -> None:
    """Compare with the network at sizes that were not traced."""
    rng = np.random.default_rng(0)
    types = [numpy_type(tensor.dtype) for tensor in graph.inputs]
    inputs = [
        rng.standard_normal(shape).astype(dtype) if dtype.kind == "f" else np.zeros(shape, dtype)
        for shape, dtype in zip(shapes, types, strict=True)
    ]
    with inference_mode(model):
        require_equal_outputs(written, compute, inputs)


def _traced(
    model: Module, compute: Callable[..., Any], shapes: Sequence[tuple[int, ...]], dtype: Any
) -> Graph:
    types = input_dtypes("float32" if dtype is None else dtype, len(shapes))
    if dtype is None and isinstance(model, OnnxModel) and len(model.graph.inputs) == len(shapes):
        types = [numpy_type(value.dtype or "float32") for value in model.graph.inputs]
    with inference_mode(model):
        graph, result = trace(compute, input_examples(shapes, types))
    set_outputs(graph, result)
    graph.updates, graph.counted, graph.checks = [], [], []
    remove_dead(graph)
    return graph


def _names(model: Module, names: Sequence[str], count: int, kind: str) -> list[str]:
    """Return names of the inputs or outputs."""
    given = several(f"{kind}_names", names, "texts")
    if not all(isinstance(name, str) and name for name in given) or len(set(given)) < len(given):
        raise TypeError(f"expected {kind}_names as different texts, got {names!r}")
    if given:
        if len(given) != count:
            raise ValueError(f"expected {count} {kind}_names, got {len(given)}")
        return list(given)
    own = getattr(model, f"{kind}_names", ())
    if len(own) == count:
        return list(own)
    return [kind if i == 0 else f"{kind}_{i}" for i in range(count)]


def _info(name: str, tensor: Tensor, other: Tensor | None, axes: Sequence[str]) -> onnx.ValueInfoProto:
    """Return a value's name, type and shape; extents that the other tensor has not have names."""
    others = tensor.shape if other is None else other.shape
    shape = [n if n == m else axes[i] for i, (n, m) in enumerate(zip(tensor.shape, others, strict=True))]
    return helper.make_tensor_value_info(name, TYPES[tensor.dtype], shape)


def _written(
    writer: Writer,
    model: Module,
    graph: Graph,
    twin: Graph | None,
    names_given: tuple[Sequence[str], Sequence[str]],
    path: str | os.PathLike[str] | None,
) -> tuple[onnx.ModelProto, bool]:
    """Return the model, and whether its weights are in a file of their own."""
    input_names, output_names = names_given
    inputs = []
    names = _names(model, output_names, len(graph.outputs), "output")
    for name in names:
        writer.fresh(name)
    for i, (name, tensor) in enumerate(zip(input_names, graph.inputs, strict=True)):
        writer.set(tensor, writer.fresh(name))
        prefix = f"{name}_" if i else ""
        axes = ["batch", f"{prefix}channels", *(prefix + axis for axis in AXES.get(tensor.ndim, ()))]
        other = None if twin is None else twin.inputs[i]
        inputs.append(_info(name, tensor, other, axes))
        if other is not None:
            writer.follow(tensor, other)
    writer.first_input = input_names[0]
    for i, node in enumerate(graph.nodes):
        other_node = None if twin is None else twin.nodes[i]
        writer.begin(node, other_node)
        write: Callable[..., Any] | None = EXPORTERS.get(type(node.op))
        if write is None:
            raise ValueError(f"[{node.path}] {node.op.name} has no form in ONNX that is written here")
        found = write(writer, node, other_node)
        for k, (made, name) in enumerate(
            zip(node.outputs, [found] if isinstance(found, str) else found, strict=False)
        ):
            if made is not None:
                writer.set(made, name)
            other_made = None if other_node is None else other_node.outputs[k]
            if made is not None and other_made is not None:
                writer.follow(made, other_made)
    outputs = []
    results = [tensor for tensor in graph.outputs if tensor is not None]
    for i, (name, output) in enumerate(zip(names, results, strict=True)):
        axes = ["batch", *(f"{name}_{axis}" for axis in range(1, output.ndim))]
        writer.nodes.append(helper.make_node("Identity", [writer.get(output)], [name], f"{name}/Identity"))
        outputs.append(_info(name, output, None if twin is None else twin.outputs[i], axes))
    nodes = _without_copies(_needed(writer.nodes, names), names)
    used = {name for node in nodes for name in node.input}
    constants = [tensor for name, tensor in writer.initializers.items() if name in used]
    outside = place_weights(constants, path)
    graph_proto = helper.make_graph(nodes, type(model).__name__, inputs, outputs, constants)
    proto = helper.make_model(
        graph_proto,
        producer_name="cnncore",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", writer.opset)],
        ir_version=max(8, helper.find_min_ir_version_for([helper.make_opsetid("", writer.opset)])),
    )
    helper.set_model_props(proto, {CONSTANTS: json.dumps(sorted(used & writer.constants))})
    return proto, outside


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
