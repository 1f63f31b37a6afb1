# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers of 100 steps against torch and onnxruntime: the same weights, answers compared."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import cnncore as cc
from cnncore import nn, ops, optim
from cnncore.bench.timing import interleaved
from measure import WrongAnswerError
from networks import Array
from results import Row

STEPS = 100
SIZES = tuple((hidden, batch) for hidden in (128, 512) for batch in (1, 32))
CELLS = ("LSTM", "GRU", "RNN")
TOLERANCE = 1e-3
"""Of the largest value: float32 sums through 100 steps."""
SMALL_LR = 1e-6  # weights stay what they are, as good as

Calls = dict[str, Callable[[], Array]]


def rows(threads: int, seconds: float, cells: tuple[str, ...] = CELLS) -> Iterator[Row]:
    """Each cell and size, inference and a training step, input as wide as the state."""
    cc.set_num_threads(threads)
    for cell in cells:
        for hidden, batch in SIZES:
            rng = np.random.default_rng(0)
            x = rng.standard_normal((STEPS, batch, hidden)).astype(np.float32)
            factor = rng.standard_normal(x.shape).astype(np.float32)
            layer = getattr(nn, cell)(hidden, hidden)
            calls: Calls = {"cnncore": _ours(layer, x)}
            if importlib.util.find_spec("torch"):
                calls["torch"] = _torch(layer, x, threads)
            if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"):
                calls["onnxruntime"] = _onnxruntime(layer, x, threads)
            yield _row(f"{cell} {hidden}", "inference", batch, calls, seconds)
            steps: Calls = {"cnncore": _our_step(layer, x, factor)}
            if "torch" in calls:
                steps["torch"] = _torch_step(layer, x, factor)
            yield _row(f"{cell} {hidden}", "training", batch, steps, seconds)


def _row(name: str, mode: str, batch: int, calls: Calls, seconds: float) -> Row:
    answers = {runner: np.asarray(call()) for runner, call in calls.items()}
    first = answers["cnncore"]
    row = Row(name, mode, batch)
    for runner, answer in answers.items():
        row.errors[runner] = float(np.abs(answer - first).max() / np.abs(first).max())
        if row.errors[runner] > TOLERANCE:
            raise WrongAnswerError(f"{name}: {runner} is off by {row.errors[runner]:.1e}")
    row.times = interleaved(calls, seconds)
    return row


def _ours(layer: Any, x: Array) -> Callable[[], Array]:
    predict = cc.compile(layer, x.shape)
    return lambda: predict(x)[0]  # type: ignore[no-any-return]


def _our_step(layer: Any, x: Array, factor: Array) -> Callable[[], Array]:
    step = cc.train_step(
        lambda x, factor: ops.sum(layer(x)[0] * factor), optim.SGD(layer.parameters(), SMALL_LR)
    )
    return lambda: step(x, factor)  # type: ignore[no-any-return]


def _torch_layer(layer: Any) -> Any:
    import torch

    twin = getattr(torch.nn, type(layer).__name__)(layer.input_size, layer.hidden_size)
    twin.load_state_dict({name: torch.from_numpy(value) for name, value in layer.state_dict().items()})
    return twin


def _torch(layer: Any, x: Array, threads: int) -> Callable[[], Array]:
    import torch

    torch.set_num_threads(threads)
    twin, given = _torch_layer(layer), torch.from_numpy(x)

    def predict() -> Array:
        with torch.inference_mode():
            output: Array = twin(given)[0].numpy()
        return output

    return predict


def _torch_step(layer: Any, x: Array, factor: Array) -> Callable[[], Array]:
    import torch

    twin, given, weight = _torch_layer(layer), torch.from_numpy(x), torch.from_numpy(factor)
    optimizer = torch.optim.SGD(twin.parameters(), SMALL_LR)

    def step() -> Array:
        optimizer.zero_grad()
        loss = (twin(given)[0] * weight).sum()
        loss.backward()
        optimizer.step()
        return loss.detach().numpy()  # type: ignore[no-any-return]

    return step


GATE_ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}
"""Of ONNX, in torch's: input, output, forget, cell; update, reset, new."""


def _onnxruntime(layer: Any, x: Array, threads: int) -> Callable[[], Array]:
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    cell, hidden = type(layer).__name__, layer.hidden_size
    state = layer.state_dict()

    def ordered(name: str) -> Array:
        gates = np.split(state[name], len(GATE_ORDER[cell]))
        return np.concatenate([gates[i] for i in GATE_ORDER[cell]])[None]

    biases = np.concatenate([ordered("bias_ih_l0"), ordered("bias_hh_l0")], 1)
    weights = {"W": ordered("weight_ih_l0"), "R": ordered("weight_hh_l0"), "B": biases}
    settings = {"hidden_size": hidden, **({"linear_before_reset": 1} if cell == "GRU" else {})}
    node = helper.make_node(cell, ["x", *weights], ["y"], **settings)
    graph = helper.make_graph(
        [node],
        cell,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, {"x": x})[0][:, 0]  # type: ignore[no-any-return]
