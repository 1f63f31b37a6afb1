# SPDX-License-Identifier: Apache-2.0
"""Quantized operators against the operators on dequantized numbers, and onnxruntime where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx.checker", reason="the tests' own folder is importable as onnx")
onnx = pytest.importorskip("onnx")

from onnx import helper  # noqa: E402

import cnncore.onnx  # noqa: E402
from onnx_graphs import info  # noqa: E402

RNG = np.random.default_rng(2)

SCALE, ZERO = np.float32(0.02), np.int8(3)
OTHER, OTHER_ZERO = np.float32(0.013), np.int8(-7)
RESULT, RESULT_ZERO = np.float32(0.05), np.int8(-11)


def _bytes(*shape: int) -> Any:
    return RNG.integers(-128, 128, shape).astype(np.int8)


def _real(x: Any, scale: Any, zero: Any) -> Any:
    return (x.astype(np.float64) - float(zero)) * float(scale)


def _quantized(y: Any) -> Any:
    return np.clip(np.rint(y / float(RESULT)) + float(RESULT_ZERO), -128, 127)


def _softmax(x: Any) -> Any:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


A, B, X, W = _bytes(2, 3, 4), _bytes(2, 3, 4), _bytes(2, 3, 4, 6), _bytes(5, 4)
REAL_A, REAL_B, REAL_X = _real(A, SCALE, ZERO), _real(B, OTHER, OTHER_ZERO), _real(X, SCALE, ZERO)
ROWS = _bytes(3, 4)
C = RNG.integers(-500, 500, 5).astype(np.int32)
PRODUCT = _real(ROWS, SCALE, ZERO) @ _real(W, OTHER, OTHER_ZERO).T + C * float(SCALE) * float(OTHER)

TWO = [A, SCALE, ZERO, B, OTHER, OTHER_ZERO, RESULT, RESULT_ZERO]
ONE = [A, SCALE, ZERO, RESULT, RESULT_ZERO]
IMAGE = [X, SCALE, ZERO, RESULT, RESULT_ZERO]

CASES: dict[str, tuple[list[Any], dict[str, Any], Any]] = {
    "QLinearAdd": (TWO, {}, REAL_A + REAL_B),
    "QLinearMul": (TWO, {}, REAL_A * REAL_B),
    "QLinearSigmoid": (ONE, {}, 1 / (1 + np.exp(-REAL_A))),
    "QLinearLeakyRelu": (ONE, {"alpha": 0.2}, np.where(REAL_A < 0, 0.2 * REAL_A, REAL_A)),
    "QLinearSoftmax": (ONE, {"axis": -1, "opset": 13}, _softmax(REAL_A)),
    "QLinearGlobalAveragePool": (IMAGE, {"channels_last": 0}, REAL_X.mean((2, 3), keepdims=True)),
    "QLinearAveragePool": (
        IMAGE,
        {"kernel_shape": [2, 3], "strides": [2, 3]},
        REAL_X.reshape(2, 3, 2, 2, 2, 3).mean((3, 5)),
    ),
    "QLinearConcat": (
        [RESULT, RESULT_ZERO, A, SCALE, ZERO, B, OTHER, OTHER_ZERO],
        {"axis": 1},
        np.concatenate([REAL_A, REAL_B], 1),
    ),
    "QGemm": ([ROWS, SCALE, ZERO, W, OTHER, OTHER_ZERO, C, RESULT, RESULT_ZERO], {"transB": 1}, PRODUCT),
}


@pytest.mark.parametrize("op", CASES)
def test_operators_of_onnxruntimes_quantizer(op: str) -> None:
    inputs, attributes, real = CASES[op]
    names = [f"i{i}" for i in range(len(inputs))]
    graph = helper.make_graph(
        [helper.make_node(op, names, ["y"], domain="com.microsoft", **attributes)],
        "g",
        [info(name, np.shape(x), np.asarray(x).dtype) for name, x in zip(names, inputs, strict=True)],
        [info("y", np.shape(real), np.int8)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    y = cnncore.onnx.load(proto)(*map(np.asarray, inputs))
    assert y.dtype == np.int8
    np.testing.assert_array_equal(y, _quantized(real))
    try:
        import onnxruntime
    except ModuleNotFoundError:
        return
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (other,) = session.run(None, dict(zip(names, map(np.asarray, inputs), strict=True)))
    # Its tables and float32 sums put some results on the other side of a half.
    assert np.abs(y.astype(int) - other.astype(int)).max() <= 1
