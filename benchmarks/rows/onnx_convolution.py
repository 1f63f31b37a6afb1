# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime's Conv with a constant weight, forward only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from cnncore.bench.layers import ConvStep
from cnncore.bench.shapes import ConvProblem

from .convolution import Array, Call

OPSET = 17


def maker(threads: int) -> Callable[[ConvProblem, str, ConvStep], dict[str, Call]]:
    """A maker of calls on `threads` threads."""

    def calls(problem: ConvProblem, direction: str, ours: ConvStep) -> dict[str, Call]:
        if direction != "forward":
            return {}
        x, w = map(np.ascontiguousarray, ours.inputs)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            _model(problem, w), options, providers=["CPUExecutionProvider"]
        )

        def call() -> Array:
            output: Array = session.run(None, {"x": x})[0]
            return output

        return {"onnxruntime": call}

    return calls


def _model(problem: ConvProblem, weight: Array) -> bytes:
    node = helper.make_node(
        "Conv",
        ["x", "w"],
        ["y"],
        strides=problem.stride,
        pads=[*problem.pad_begin, *problem.pad_end],
        dilations=problem.dilation,
        group=problem.groups,
    )
    graph = helper.make_graph(
        [node],
        "convolution",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, problem.input_shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, problem.output_shape)],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    written: bytes = model.SerializeToString()
    return written
