# SPDX-License-Identifier: Apache-2.0
"""Small ONNX models for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Shape = Sequence[int | str | None]


def info(name: str, shape: Shape | None, dtype: Any = np.float32) -> onnx.ValueInfoProto:
    """Return a value's name, type and shape."""
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


def model_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    constants: dict[str, Any] | None = None,
    opset: int = 17,
    **more: Any,
) -> onnx.ModelProto:
    """Return a model of these nodes and constants."""
    tensors = [numpy_helper.from_array(np.asarray(v), name) for name, v in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "test", list(inputs), list(outputs), tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10, **more)


def small_network(seed: int = 0) -> onnx.ModelProto:
    """Return a network with convolution, batch normalization, pooling, shape arithmetic and a matrix."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float32)

    make = helper.make_node
    nodes = [
        make("Conv", ["x", "stem.0.weight", "stem.0.bias"], ["a"], "conv", pads=[1, 1, 1, 1]),
        make("BatchNormalization", ["a", "stem.1.weight", "stem.1.bias", "mean", "var"], ["b"], "bn"),
        make("Relu", ["b"], ["c"], "relu"),
        make("MaxPool", ["c"], ["d"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        make("Shape", ["d"], ["s"], "shape"),
        make("Gather", ["s", "zero"], ["n"], "gather"),
        make("Unsqueeze", ["n", "first"], ["n1"], "unsqueeze"),
        make("Concat", ["n1", "rest"], ["flat"], "concat", axis=0),
        make("Reshape", ["d", "flat"], ["e"], "reshape"),
        make("Gemm", ["e", "head.weight", "head.bias"], ["y"], "gemm", transB=1),
    ]
    constants = {
        "stem.0.weight": normal(4, 3, 3, 3),
        "stem.0.bias": normal(4),
        "stem.1.weight": normal(4),
        "stem.1.bias": normal(4),
        "mean": normal(4),
        "var": np.abs(normal(4)) + 0.5,
        "zero": np.array(0, np.int64),
        "first": np.array([0], np.int64),
        "rest": np.array([-1], np.int64),
        "head.weight": normal(5, 64),
        "head.bias": normal(5),
    }
    return model_of(nodes, [info("x", ["n", 3, 8, 8])], [info("y", ["n", 5])], constants)
