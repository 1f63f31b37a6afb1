# SPDX-License-Identifier: Apache-2.0
"""Damaged and crafted files: a ValueError, within bounded memory, and never a crash."""

from __future__ import annotations

import random
import resource
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("onnx.checker", reason="the tests' own folder is importable as onnx")
onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402

import cnncore.onnx  # noqa: E402
from onnx_graphs import info, model_of, small_network  # noqa: E402

make = helper.make_node

MUTATIONS = 300

MEMORY = 8 << 30


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def _mutated(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    kind = rng.randrange(4)
    if kind == 0:
        return bytes(changed[: rng.randrange(len(changed))])
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed))
        if kind == 1:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            changed[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        else:
            end = min(len(changed), at + rng.randint(1, 16))
            del changed[at:end]
    return bytes(changed)


def test_mutations_of_a_file() -> None:
    data = small_network().SerializeToString()
    x = np.ones((2, 3, 8, 8), np.float32)
    rng = random.Random(5)
    refused = 0
    for _ in range(MUTATIONS):
        try:
            model = cnncore.onnx.load(_mutated(data, rng))
        except ValueError:
            refused += 1
            continue
        try:
            model(x)
        except (ValueError, TypeError, MemoryError):
            refused += 1
    assert MUTATIONS // 4 < refused < MUTATIONS


@pytest.mark.parametrize("data", [b"", b"\x00" * 64, b"not a model", b"\xff" * 1000, bytes(range(256)) * 10])
def test_what_is_no_model(data: bytes) -> None:
    with pytest.raises(ValueError, match="ONNX"):
        cnncore.onnx.load(data)


def test_cycles() -> None:
    nodes = [make("Add", ["x", "b"], ["a"]), make("Relu", ["a"], ["b"])]
    with pytest.raises(ValueError, match=r"b"):
        cnncore.onnx.load(model_of(nodes, [info("x", [1])], [info("b", [1])]))


def test_missing_values() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        cnncore.onnx.load(model_of([make("Relu", ["nowhere"], ["y"])], [info("x", [1])], [info("y", [1])]))


def test_huge_declared_tensors() -> None:
    proto = model_of([make("Add", ["x", "w"], ["y"])], [info("x", [1])], [info("y", None)], opset=17)
    proto.graph.output[0].type.tensor_type.shape.SetInParent()
    tensor = proto.graph.initializer.add(name="w", data_type=TensorProto.FLOAT, raw_data=b"1234")
    tensor.dims.extend([1 << 40, 1 << 20])
    with pytest.raises(ValueError, match="w"):
        cnncore.onnx.load(proto)


def test_huge_computed_tensors() -> None:
    nodes = [make("ConstantOfShape", ["s"], ["c"]), make("Add", ["x", "c"], ["y"])]
    constants = {"s": np.array([1 << 31, 1 << 31], np.int64)}
    proto = model_of(nodes, [info("x", [1])], [info("y", ["a", "b"])], constants)
    with pytest.raises((ValueError, MemoryError), match=r"large|memory|allocate"):
        cnncore.onnx.load(proto)(np.ones(1, np.float32))


def test_deep_nesting() -> None:
    graph = helper.make_graph([make("Identity", ["x"], ["y0"])], "g0", [], [info("y0", [1])])
    for i in range(1, 12):
        branch = make("If", ["c"], [f"y{i}"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([branch], f"g{i}", [], [info(f"y{i}", [1])])
    inputs = [info("x", [1]), info("c", [], np.bool_)]
    main = helper.make_graph(list(graph.node), "main", inputs, list(graph.output))
    proto = helper.make_model(main, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    assert cnncore.onnx.load(proto)(np.ones(1, np.float32), np.array(True)).tolist() == [1.0]
