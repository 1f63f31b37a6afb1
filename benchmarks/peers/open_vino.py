# SPDX-License-Identifier: Apache-2.0
"""OpenVINO's CPU plugin in float32, inference only."""

from __future__ import annotations

import openvino

from networks import Array, Network, State

from . import Predict, Runner
from .exported import onnx_bytes


def runners(threads: int) -> list[Runner]:
    """One runner: the latency hint, float32, one stream."""
    core = openvino.Core()
    config = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }

    def predictor(network: Network, state: State, batch: int) -> Predict:
        model = core.read_model(onnx_bytes(network, state, batch))
        request = core.compile_model(model, "CPU", config).create_infer_request()

        def predict(x: Array) -> Array:
            request.infer([x], share_inputs=True)
            output: Array = request.get_output_tensor().data.copy()
            return output

        return predict

    return [Runner("openvino", predictor)]
