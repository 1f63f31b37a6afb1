# SPDX-License-Identifier: Apache-2.0
"""OpenVINO's CPU plugin in float32, inference only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino

from networks import Array, Network, State

from . import Predict, Runner
from .exported import onnx_bytes


def runners(threads: int) -> list[Runner]:
    """One runner: the latency hint, float32, one stream."""
    config = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }

    def predictor(network: Network, state: State, batch: int) -> Predict:
        return _predict(onnx_bytes(network, state, batch), config)

    def load(network: Network, batch: int, folder: Path) -> Predict:
        return _predict(str(_model_file(network, batch, folder)), config)

    return [Runner("openvino", predictor, save=save, load=load)]


def save(network: Network, state: State, batch: int, folder: Path) -> None:
    """OpenVINO's own format, whose weights it maps into memory instead of reading them."""
    model = openvino.Core().read_model(onnx_bytes(network, state, batch))
    openvino.save_model(model, _model_file(network, batch, folder), compress_to_fp16=False)


def _model_file(network: Network, batch: int, folder: Path) -> Path:
    return folder / f"{network.name}-{batch}.xml"


def _predict(model: bytes | str, config: dict[str, Any]) -> Predict:
    core = openvino.Core()
    request = core.compile_model(core.read_model(model), "CPU", config).create_infer_request()

    def predict(x: Array) -> Array:
        request.infer([x], share_inputs=True)
        output: Array = request.get_output_tensor().data.copy()
        return output

    return predict
