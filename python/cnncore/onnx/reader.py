# SPDX-License-Identifier: Apache-2.0
"""Reading ONNX models: parsing, checking, external data, functions; what comes out is a `Graph`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.inliner
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx.external_data_helper import ExternalDataInfo

from .._files import open_regular
from .dtypes import name_of
from .graph import Graph, Node, Value
from .parameters import CONSTANTS
from .table import OPERATORS
from .value_types import infer

Source = Any
"""A path, the bytes of a file, or an `onnx.ModelProto`."""


SHARED = 8
"""Tensors that may lie in the same bytes of a file outside: weights that are used under several names."""


MOST_NODES = 1_000_000
"""Nodes of a model whose functions are replaced by what they do."""


def read(source: Source) -> Graph:
    """Read a model.

    Raises:
        ValueError: the file is damaged, breaks ONNX's rules, or has external data outside its folder.
        OSError: it cannot be read.
    """
    if not isinstance(source, (str, os.PathLike)):
        return _read(source)
    try:
        return _read(source)
    except ValueError as error:
        raise ValueError(f"{os.fsdecode(source)}: {error}") from error


def _read(source: Source) -> Graph:
    model, folder = _parse(source)
    _check(model, source if folder is not None else model)
    try:
        model = _inlined(model)
        opsets = {_domain(opset.domain): opset.version for opset in model.opset_import}
        graph = _Reader(opsets, folder).graph(model.graph, {})
    except (RecursionError, KeyError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise ValueError(f"not a valid ONNX model: {type(error).__name__}: {error}") from error
    graph.fixed = _fixed(model)
    graph.metadata = {entry.key: entry.value for entry in model.metadata_props}
    infer(graph)
    return graph


def _fixed(model: onnx.ModelProto) -> frozenset[str]:
    """Return the names of initialisers that the exporter calls constants."""
    for entry in model.metadata_props:
        if entry.key == CONSTANTS:
            try:
                names = json.loads(entry.value)
            except ValueError:
                continue
            if isinstance(names, list):
                return frozenset(name for name in names if isinstance(name, str))
    return frozenset()


def _parse(source: Source) -> tuple[onnx.ModelProto, Path | None]:
    if isinstance(source, onnx.ModelProto):
        return source, None
    folder = None
    if isinstance(source, (str, os.PathLike)):
        folder = Path(source).resolve().parent
        with open_regular(source) as file:
            source = file.read()
    if not isinstance(source, (bytes, bytearray, memoryview)):
        raise TypeError(f"expected a path, bytes or an onnx.ModelProto, got {type(source).__name__}")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(bytes(source))
    except DecodeError as error:
        raise ValueError(f"not an ONNX model, or a damaged one: {error}") from error
    return model, folder


def _check(model: onnx.ModelProto, source: Source) -> None:
    """Apply the official checker: by path where there is one, which finds external data then."""
    if not model.HasField("graph"):
        raise ValueError("not an ONNX model: it has no graph")
    try:
        if any(map(_lacks_shape, (*model.graph.input, *model.graph.output))):
            source = model = _with_shapes(model)
        onnx.checker.check_model(source if source is model else os.fspath(source))
    except onnx.checker.ValidationError as error:
        raise ValueError(f"not a valid ONNX model: {error}") from error
    except Exception as error:  # the checker's own faults at damaged files
        raise ValueError(f"not a valid ONNX model: {type(error).__name__}: {error}") from error
    newest = onnx.defs.onnx_opset_version()
    for opset in model.opset_import:
        if not _domain(opset.domain) and opset.version > newest:
            raise ValueError(
                f"expected an opset up to {newest}, got {opset.version}: a newer onnx package knows more"
            )


def _lacks_shape(info: onnx.ValueInfoProto) -> bool:
    return info.type.HasField("tensor_type") and not info.type.tensor_type.HasField("shape")


def _with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy to be checked of a model that leaves shapes open, which runtimes allow and the checker
    does not. It has no data outside, which the reader checks itself."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for info in filter(_lacks_shape, (*copy.graph.input, *copy.graph.output)):
        info.type.tensor_type.shape.SetInParent()
    for tensor in _all_tensors(copy.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            tensor.CopyFrom(onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=(0,)))
    return copy


def _all_tensors(graph: onnx.GraphProto) -> Iterable[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for below in (attribute.g, *attribute.graphs):
                yield from _all_tensors(below)


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace calls of functions, those of the file and those that define operators, by their nodes."""
    known = [("", "Constant"), *OPERATORS]
    used = {(_domain(node.domain), node.op_type) for node in _all_nodes(model.graph)}
    if not model.functions and used <= set(known):
        return model
    own = {(_domain(function.domain), function.name): function for function in model.functions}
    _require_nodes(model.graph, own)
    kept = [key for key in known if key not in own]
    inline = onnx.inliner.inline_selected_functions
    try:
        return inline(model, kept, exclude=True, inline_schema_functions=True)
    except Exception:  # the inliner does not know all types that functions of operators ask for
        try:
            return inline(model, kept, exclude=True)
        except Exception as error:
            raise ValueError(f"functions of the model cannot be inlined: {error}") from error


def _require_nodes(graph: onnx.GraphProto, functions: Mapping[tuple[str, str], Any]) -> None:
    """Refuse functions that call each other so often that a small file becomes a model without end."""
    sizes: dict[tuple[str, str], int] = {}

    def size(body: Any) -> int:
        return sum(of(_domain(node.domain), node.op_type) for node in _all_nodes(body))

    def of(*key: str) -> int:
        name = (key[0], key[1])
        if name not in functions:
            return 1
        if name not in sizes:
            sizes[name] = MOST_NODES  # of one that calls itself
            sizes[name] = size(functions[name])
        return sizes[name]

    if (nodes := size(graph)) > MOST_NODES:
        raise ValueError(f"expected at most {MOST_NODES} nodes, got {nodes} with those of functions")


def _all_nodes(graph: onnx.GraphProto | onnx.FunctionProto) -> Iterable[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for below in (attribute.g, *attribute.graphs):
                yield from _all_nodes(below)


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


class _Reader:
    def __init__(self, opsets: Mapping[str, int], folder: Path | None) -> None:
        self._opsets = opsets
        self._folder = folder
        self._taken: dict[Path, list[tuple[int, int]]] = {}

    def graph(self, proto: onnx.GraphProto, outer: Mapping[str, Any]) -> Graph:
        constants = {}
        for tensor in proto.initializer:
            constants[tensor.name] = self._tensor(tensor)
        for sparse in proto.sparse_initializer:
            constants[sparse.values.name] = self._sparse(sparse)
        nodes = []
        for node in proto.node:
            if node.op_type == "Constant" and not _domain(node.domain):
                constants[node.output[0]] = self._constant(node)
            else:
                nodes.append(self._node(node))
        inputs = [_value(info) for info in proto.input if info.name not in constants]
        graph = Graph(proto.name, inputs, [_value(info) for info in proto.output], nodes, constants)
        _require_order(graph)
        return graph

    def _node(self, proto: onnx.NodeProto) -> Node:
        domain = _domain(proto.domain)
        attributes = {attribute.name: self._attribute(attribute) for attribute in proto.attribute}
        return Node(
            proto.op_type,
            domain,
            self._opsets.get(domain, 1),
            proto.name,
            tuple(proto.input),
            tuple(proto.output),
            attributes,
        )

    def _attribute(self, proto: onnx.AttributeProto) -> Any:
        kind = onnx.AttributeProto
        if proto.type == kind.GRAPH:
            return self.graph(proto.g, {})
        if proto.type == kind.TENSOR:
            return self._tensor(proto.t)
        if proto.type == kind.SPARSE_TENSOR:
            return self._sparse(proto.sparse_tensor)
        if proto.type == kind.STRING:
            return _text(proto.s)
        if proto.type == kind.STRINGS:
            return tuple(_text(value) for value in proto.strings)
        if proto.type == kind.FLOAT:
            # The number that was meant: 0.001, of which the file has the nearest float32.
            return float(str(np.float32(proto.f)))
        value = onnx.helper.get_attribute_value(proto)
        return tuple(value) if isinstance(value, (list, tuple)) or hasattr(value, "add") else value

    def _constant(self, proto: onnx.NodeProto) -> NDArray[Any]:
        attribute = proto.attribute[0]
        value = self._attribute(attribute)
        if attribute.name in ("value", "sparse_value"):
            array: NDArray[Any] = value
            return array
        kinds = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32}
        return np.array(
            value, kinds.get(attribute.name, object if "string" in attribute.name else np.float32)
        )

    def _tensor(self, proto: onnx.TensorProto) -> NDArray[Any]:
        if name_of(proto.data_type) is None:
            raise ValueError(f"[{proto.name}] unknown element type {proto.data_type}")
        if any(extent < 0 for extent in proto.dims):
            raise ValueError(f"[{proto.name}] negative extents in {tuple(proto.dims)}")
        if proto.data_location == onnx.TensorProto.EXTERNAL:
            proto = self._external(proto)
        try:
            array: NDArray[Any] = onnx.numpy_helper.to_array(proto)
        except Exception as error:
            raise ValueError(
                f"[{proto.name}] damaged tensor of shape {tuple(proto.dims)}: {error}"
            ) from error
        if array.dtype.kind in "OSU":
            flat = [_text(v) if isinstance(v, bytes) else str(v) for v in array.ravel()]
            array = np.array(flat, object).reshape(array.shape)
        return array

    def _external(self, proto: onnx.TensorProto) -> onnx.TensorProto:
        """Return a tensor with its bytes, which lie in a file of the model's folder or below it."""
        info = ExternalDataInfo(proto)
        if self._folder is None:
            raise ValueError(
                f"[{proto.name}] its data are in the file {info.location!r}: load the model by path"
            )
        if "\0" in info.location:
            raise ValueError(f"[{proto.name}] expected the name of a file, got {info.location!r}")
        path = self._folder / info.location
        if not path.resolve().is_relative_to(self._folder):
            raise ValueError(f"[{proto.name}] expected data in the model's folder, got {info.location!r}")
        if not path.is_file():
            raise ValueError(f"[{proto.name}] its data are missing: no file {info.location!r}")
        offset, size = info.offset or 0, path.stat().st_size
        length = size - offset if info.length is None else info.length
        if not 0 <= offset <= offset + length <= size:
            raise ValueError(
                f"[{proto.name}] expected {length} bytes at {offset}, but {info.location!r} has {size}"
            )
        self._require_apart(path, offset, length, proto.name)
        filled = onnx.TensorProto(name=proto.name, data_type=proto.data_type, dims=proto.dims)
        with path.open("rb") as file:
            file.seek(offset)
            filled.raw_data = file.read(length)
        return filled

    def _require_apart(self, path: Path, offset: int, length: int, name: str) -> None:
        """Refuse bytes that tensors share in part, or many share: a small file could fill the memory."""
        taken = self._taken.setdefault(path.resolve(), [])
        end = offset + length
        same = taken.count((offset, end))
        if same >= SHARED or any(a < end and offset < b for a, b in taken if (a, b) != (offset, end)):
            raise ValueError(f"[{name}] its data at {offset} overlap with another tensor's")
        taken.append((offset, end))

    def _sparse(self, proto: onnx.SparseTensorProto) -> NDArray[Any]:
        values, indices = self._tensor(proto.values), self._tensor(proto.indices)
        dense = np.zeros(tuple(proto.dims), values.dtype)
        try:
            if indices.ndim == 2:
                dense[tuple(indices.T)] = values
            else:
                dense.reshape(-1)[indices] = values
        except (IndexError, ValueError) as error:
            raise ValueError(f"[{proto.values.name}] damaged sparse tensor: {error}") from error
        return dense


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _value(info: onnx.ValueInfoProto) -> Value:
    kind = info.type.WhichOneof("value")
    if kind != "tensor_type":
        return Value(info.name, None, None)
    tensor = info.type.tensor_type
    shape = None
    if tensor.HasField("shape"):
        shape = tuple(
            d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else d.dim_param or None
            for d in tensor.shape.dim
        )
    return Value(info.name, name_of(tensor.elem_type), shape)


def _require_order(graph: Graph) -> None:
    """Refuse a graph whose nodes use values of later nodes, of themselves, or name a value twice."""
    made = {value.name for value in graph.inputs} | set(graph.constants)
    later = {name for node in graph.nodes for name in node.outputs if name}
    for node in graph.nodes:
        for name in (*node.inputs, *node.captured()):
            if name in later and name not in made:
                raise ValueError(f"[{node.label}] its input {name!r} is made by itself or a later node")
        for name in node.outputs:
            if name and name in made:
                raise ValueError(f"[{node.label}] the value {name!r} is made twice")
        made.update(node.outputs)
