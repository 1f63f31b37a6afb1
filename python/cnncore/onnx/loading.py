# SPDX-License-Identifier: Apache-2.0
"""`load` and `unsupported`."""

from __future__ import annotations

from .model import OnnxModel
from .patterns import replace_patterns
from .reader import Source, read
from .unsupported_nodes import UnsupportedNode, unsupported_nodes


def load(source: Source) -> OnnxModel:
    """Load an ONNX model as a module.

    Args:
        source: a path, the bytes of a file, or an `onnx.ModelProto`. Opsets from 7 on. Data outside the file
            are read from its folder.

    Returns:
        A module in inference mode. Its inputs and outputs have the model's types; inside, floats are computed
        in float32. Weights are parameters under their ONNX names.

    Raises:
        ValueError: the file is damaged, or has nodes that cannot run: all of them are named.

    >>> import numpy as np
    >>> import onnx
    >>> from onnx import TensorProto, helper
    >>> import cnncore.onnx
    >>> graph = helper.make_graph(
    ...     [helper.make_node("Relu", ["x"], ["y"])],
    ...     "example",
    ...     [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
    ...     [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
    ... )
    >>> proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    >>> model = cnncore.onnx.load(proto)
    >>> model(np.array([[-1.0, 2.0]], np.float32)).tolist()
    [[0.0, 2.0]]
    """
    graph = read(source)
    found = unsupported_nodes(graph)
    if found:
        raise ValueError("nodes that cannot run:\n" + "\n".join(f"  {node}" for node in found))
    replace_patterns(graph)
    return OnnxModel(graph)


def unsupported(source: Source) -> list[UnsupportedNode]:
    """Return a row for each node of a model that cannot run; an empty list means that `load` takes it.

    Args:
        source: as for `load`.

    Raises:
        ValueError: the file is damaged.

    >>> from onnx import TensorProto, helper
    >>> value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [2])
    >>> node = helper.make_node("ImageDecoder", ["x"], ["y"])
    >>> graph = helper.make_graph([node], "g", [value("x")], [value("y")])
    >>> [each.operator for each in unsupported(helper.make_model(graph))]
    ['ImageDecoder']
    """
    return unsupported_nodes(read(source))
