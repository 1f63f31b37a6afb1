# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime's CPU provider, inference only."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from networks import Array, Network, State

from . import Predict, Runner
from .exported import onnx_bytes, onnx_file


def runners(threads: int) -> list[Runner]:
    """One runner: all graph optimisations, float32."""

    def predictor(network: Network, state: State, batch: int) -> Predict:
        return _predict(onnx_bytes(network, state, batch), threads)

    def load(network: Network, batch: int, folder: Path) -> Predict:
        return _predict(str(onnx_file(network, batch, folder)), threads)

    return [Runner("onnxruntime", predictor, save=save, load=load)]


def save(network: Network, state: State, batch: int, folder: Path) -> None:
    """An ONNX file for the batch size."""
    onnx_file(network, batch, folder).write_bytes(onnx_bytes(network, state, batch))


def _predict(model: bytes | str, threads: int) -> Predict:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def predict(x: Array) -> Array:
        output: Array = session.run(None, {"x": x})[0]
        return output

    return predict
