# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime's CPU provider, inference only."""

from __future__ import annotations

import onnxruntime

from networks import Array, Network, State

from . import Predict, Runner
from .exported import onnx_bytes


def runners(threads: int) -> list[Runner]:
    """One runner: all graph optimisations, float32."""

    def predictor(network: Network, state: State, batch: int) -> Predict:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        model = onnx_bytes(network, state, batch)
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

        def predict(x: Array) -> Array:
            output: Array = session.run(None, {"x": x})[0]
            return output

        return predict

    return [Runner("onnxruntime", predictor)]
