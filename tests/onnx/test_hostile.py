# SPDX-License-Identifier: Apache-2.0
"""Damaged and crafted files: a ValueError, within bounded memory, and never a crash.

`python tests/onnx/test_hostile.py 100000` mutates a file that often.
"""

from __future__ import annotations

import random
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx.checker", reason="the tests' own folder is importable as onnx")
onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402

import cnncore.onnx  # noqa: E402
from cnncore.graph import limits  # noqa: E402
from cnncore.onnx import bounds  # noqa: E402
from cnncore.onnx.operators import control  # noqa: E402
from cnncore.onnx.table import operator_of  # noqa: E402
from onnx_graphs import info, model_of, small_network  # noqa: E402

make = helper.make_node

MUTATIONS = 2000

CALLED = 8
"""Of so many that are loaded, one is called."""

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


def attack(count: int, seed: int) -> int:
    """Load and call mutations of a file; return how many were refused."""
    data = small_network().SerializeToString()
    x = np.ones((2, 3, 8, 8), np.float32)
    rng = random.Random(seed)
    refused = 0
    for i in range(count):
        try:
            model = cnncore.onnx.load(_mutated(data, rng))
        except ValueError:
            refused += 1
            continue
        if i % CALLED:
            continue
        try:
            model(x)
        except ValueError:
            refused += 1
    return refused


def test_mutations_of_a_file() -> None:
    assert MUTATIONS // 4 < attack(MUTATIONS, 5) < MUTATIONS


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
    with pytest.raises(ValueError, match=r"\[c \(ConstantOfShape\)\] .* needs 18.4 EB: too large"):
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


def with_external(folder: Path, places: list[dict[str, Any]]) -> Path:
    """Write a sum of tensors of 4 floats that lie at these places, and a file of 64 bytes, w.bin."""
    (folder / "w.bin").write_bytes(bytes(64))
    names = [f"w{i}" for i in range(len(places))]
    proto = model_of([make("Sum", ["x", *names], ["y"])], [info("x", [4])], [info("y", [4])])
    for name, place in zip(names, places, strict=True):
        tensor = proto.graph.initializer.add(name=name, data_type=TensorProto.FLOAT, dims=[4])
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": "w.bin", "length": 16, **place}.items():
            tensor.external_data.add(key=key, value=str(value))
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.mark.parametrize(
    "places",
    [
        [{"offset": 1 << 62}],
        [{"offset": -16}],
        [{"length": 1 << 62}],
        [{"length": -1}],
        [{"length": 8}],
        [{"offset": 0}, {"offset": 8}],
        [{"offset": 16}] * 9,
        [{"location": "../w.bin"}],
        [{"location": "link/w.bin"}],
        [{"location": "w.bin\0"}],
        [{"location": "."}],
    ],
)
def test_places_of_external_data(tmp_path: Path, places: list[dict[str, Any]]) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "w.bin").write_bytes(bytes(64))
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match=r"w0|w1|w8|external|location|ONNX"):
        cnncore.onnx.load(with_external(folder, places))


def test_tied_weights_may_lie_in_one_place(tmp_path: Path) -> None:
    model = cnncore.onnx.load(with_external(tmp_path, [{"offset": 16}] * 2))
    assert model(np.ones(4, np.float32)).tolist() == [1.0] * 4


def test_functions_that_call_themselves() -> None:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    nodes = [make("F", ["a"], ["b"], domain="own")]
    function = helper.make_function("own", "F", ["a"], ["b"], nodes, opsets)
    graph = helper.make_graph(
        [make("F", ["x"], ["y"], domain="own")], "g", [info("x", [1])], [info("y", [1])]
    )
    proto = helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=10)
    with pytest.raises(ValueError, match=r"F|ONNX"):
        cnncore.onnx.load(proto)


def test_messages_in_messages() -> None:
    """Graphs in attributes of nodes of graphs, deeper than the parser goes."""

    def field(number: int, contents: bytes) -> bytes:
        size = len(contents)
        return bytes([number << 3 | 2, size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14]) + contents

    inner = b""
    for _ in range(5000):
        inner = field(1, field(5, field(6, inner)))
    with pytest.raises(ValueError, match="ONNX"):
        cnncore.onnx.load(field(7, inner))


def test_long_products_and_transposes_of_inputs() -> None:
    """Chains that patterns could walk for ever, or that double at every step."""
    count = 400
    nodes = [make("Sigmoid", ["x"], ["s"])]
    nodes += [make("Mul", [f"p{i - 1}" if i else "s"] * 2, [f"p{i}"]) for i in range(count)]
    nodes += [make("Mul", ["x", f"p{count - 1}"], ["y"])]
    model = cnncore.onnx.load(model_of(nodes, [info("x", [2])], [info("y", [2])]))
    assert len(model.graph.nodes) == count + 2
    nodes = [make("Transpose", ["a"], ["t"], perm=[1, 0]), make("Add", ["t", "b"], ["y"])]
    model = cnncore.onnx.load(model_of(nodes, [info("a", [2, 3]), info("b", [3, 2])], [info("y", [3, 2])]))
    a, b = np.arange(6.0).reshape(2, 3), np.ones((3, 2))
    np.testing.assert_array_equal(model(a, b), a.T + b)


def test_functions_that_double_each_other() -> None:
    """Each calls the next twice: 2**40 nodes from 80."""
    functions = [
        helper.make_function(
            *("own", f"F{i}", ["a"], ["b"]),
            [make(f"F{i + 1}", ["a"], ["t"], domain="own"), make(f"F{i + 1}", ["t"], ["b"], domain="own")],
            [helper.make_opsetid("own", 1)],
        )
        for i in range(40)
    ]
    last = helper.make_function(
        "own", "F40", ["a"], ["b"], [make("Relu", ["a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    nodes = [make("F0", ["x"], ["y"], domain="own")]
    proto = model_of(nodes, [info("x", [1])], [info("y", [1])], functions=[*functions, last])
    proto.opset_import.append(helper.make_opsetid("own", 1))
    with pytest.raises(ValueError, match=r"expected at most 1000000 nodes, got 1099511627776"):
        cnncore.onnx.load(proto)


def test_loops_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MOST_TRIPS", 100)
    body = helper.make_graph(
        [make("Identity", ["going"], ["still"]), make("Neg", ["v"], ["w"])],
        "body",
        [info("i", [], np.int64), info("going", [], np.bool_), info("v", [1])],
        [info("still", [], np.bool_), info("w", [1])],
    )
    ones = np.ones(1, np.float32)
    for count, expected in ((99, -1.0), (100, 1.0)):
        constants = {"n": np.array(count), "go": np.array(True)}
        proto = model_of(
            [make("Loop", ["n", "go", "x"], ["y"], body=body)], [info("x", [1])], [info("y", [1])], constants
        )
        assert cnncore.onnx.load(proto)(ones).tolist() == [expected]
    for names in (["n", "go", "x"], ["", "go", "x"]):
        constants = {"n": np.array(1 << 62), "go": np.array(True)}
        proto = model_of(
            [make("Loop", names, ["y"], body=body)], [info("x", [1])], [info("y", [1])], constants
        )
        with pytest.raises(ValueError, match=r"\[y \(Loop\)\] expected a loop that ends after at most 100"):
            cnncore.onnx.load(proto)(ones)


@pytest.mark.parametrize(
    ("op", "constants", "attributes", "error"),
    [
        (
            "TopK",
            [np.array([5])],
            {},
            r"\[y \(TopK\)\] expected k from 0 to 4, the extent",
        ),
        (
            "Pad",
            [np.array([-3, -2])],
            {},
            r"\[y \(Pad\)\] pads \(-3, -2\) take more than the 4",
        ),
        ("Pad", [np.array([-5, 3])], {"mode": "edge"}, r"pads \(-5, 3\) take more than the 4 elements"),
    ],
)
def test_more_is_taken_than_there_is(
    op: str, constants: list[Any], attributes: dict[str, Any], error: str
) -> None:
    named = {f"c{i}": value for i, value in enumerate(constants)}
    outputs = ["y", "places"] if op == "TopK" else ["y"]
    for dtype in (np.float32, np.int64):
        node = make(op, ["x", *named], outputs, **attributes)
        proto = model_of([node], [info("x", [4], dtype)], [info("y", ["n"], dtype)], named)
        with pytest.raises(ValueError, match=error):
            cnncore.onnx.load(proto)(np.arange(4).astype(dtype))


ENORMOUS = 1 << 40


@pytest.mark.parametrize(
    ("op", "inputs", "constants", "attributes"),
    [
        ("Range", [], [np.array(0), np.array(ENORMOUS), np.array(1)], {}),
        ("ConstantOfShape", [], [np.array([ENORMOUS])], {}),
        ("Expand", ["x"], [np.array([ENORMOUS, 4])], {}),
        ("Expand", ["w"], [np.array([ENORMOUS, 4])], {}),
        ("Tile", ["x"], [np.array([ENORMOUS])], {}),
        ("Tile", ["w"], [np.array([ENORMOUS])], {}),
        ("Pad", ["x"], [np.array([ENORMOUS, 0])], {}),
        ("Pad", ["w"], [np.array([ENORMOUS, 0])], {"mode": "wrap"}),
        ("CenterCropPad", ["x"], [np.array([ENORMOUS])], {}),
        ("OneHot", ["i"], [np.array([ENORMOUS]), np.array([0.0, 1.0], np.float32)], {}),
        ("Resize", ["x", "", ""], [np.array([ENORMOUS])], {}),
        ("Resize", ["w", "", ""], [np.array([ENORMOUS])], {}),
        ("RandomNormal", [], [], {"shape": [ENORMOUS]}),
        ("Multinomial", ["m"], [], {"sample_size": ENORMOUS}),
        ("HannWindow", [], [np.array(ENORMOUS)], {}),
        (
            "MelWeightMatrix",
            [],
            [np.array(n) for n in (8, ENORMOUS, 8000)] + [np.float32(0), np.float32(9)],
            {},
        ),
        ("MaxPool", ["im"], [], {"kernel_shape": [1, 1], "pads": [0, 0, 1 << 30, 1 << 30]}),
        ("AveragePool", ["im"], [], {"kernel_shape": [1, 1], "pads": [0, 0, 1 << 30, 1 << 30]}),
        ("Conv", ["im"], [np.ones((1, 1, 1, 1), np.float32)], {"pads": [0, 0, 1 << 25, 1 << 25]}),
        ("ConvTranspose", ["im"], [np.ones((1, 1, 1, 1), np.float32)], {"strides": [1 << 25, 1 << 25]}),
        ("Col2Im", ["c"], [np.array([1 << 20, 1 << 20]), np.array([1 << 20, 1 << 20])], {}),
    ],
)
def test_results_beyond_the_bound(
    op: str, inputs: list[str], constants: list[Any], attributes: dict[str, Any]
) -> None:
    """Whatever the machine's memory is: a ValueError that names the node, and nothing is made."""
    given = {
        "x": np.ones(4, np.float32),
        "i": np.arange(4),
        "m": np.ones((1, 4), np.float32),
        "im": np.ones((1, 1, 2, 2), np.float32),
        "c": np.ones((1, 1, 1), np.float32),
    }
    known = {"w": np.ones(4, np.float32)} if "w" in inputs else {}
    named = {f"c{i}": np.asarray(value) for i, value in enumerate(constants)}
    names = [name for name in inputs if name in given]
    proto = model_of(
        [make(op, [*inputs, *named], ["y"], **attributes)],
        [info(name, list(given[name].shape), given[name].dtype.type) for name in names],
        [info("y", None)],
        {**known, **named},
        opset=18,
    )
    with pytest.raises(ValueError, match=rf"\[y \({op}\)\] "):
        cnncore.onnx.load(proto)(*(given[name] for name in names))


def test_constants_that_double_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "LARGEST_FOLDED", 1 << 20)
    nodes = [make("Concat", [f"c{i}", f"c{i}"], [f"c{i + 1}"], axis=0) for i in range(40)]
    nodes.append(make("Add", ["x", "c40"], ["y"]))
    constants = {"c0": np.ones(4, np.float32)}
    proto = model_of(nodes, [info("x", [1])], [info("y", ["n"])], constants)
    # 16 bytes double 17 times before they are more than a megabyte beyond what they are made of.
    with pytest.raises(ValueError, match=r"\[c18 \(Concat\)\] a result of shape \(1048576,\) needs 4.2 MB"):
        cnncore.onnx.load(proto)(np.ones(1, np.float32))


def test_results_within_the_bound_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an input of the caller's needs is a MemoryError, what the file alone needs is not."""
    monkeypatch.setattr(limits, "SMALL", 0)
    monkeypatch.setattr(limits, "available_memory", lambda: (1000, "of this test"))
    proto = model_of(
        [make("Expand", ["x", "s"], ["y"])], [info("x", [1])], [info("y", ["n"])], {"s": np.array([400])}
    )
    with pytest.raises(MemoryError, match=r"\[y \(Expand\)\] .* needs 1.6 kB, .* 1.0 kB \(of this test\)"):
        cnncore.onnx.load(proto)(np.ones(1, np.float32))

    def no_memory(node: Any, *inputs: Any) -> Any:
        raise MemoryError("no memory")

    expand = operator_of(cnncore.onnx.load(proto).graph.nodes[0])
    assert expand is not None
    monkeypatch.setattr(expand, "host", no_memory)
    nodes = [make("Expand", ["w", "s"], ["e"]), make("Add", ["x", "e"], ["y"])]
    constants = {"s": np.array([400]), "w": np.ones(1, np.float32)}
    proto = model_of(nodes, [info("x", [1])], [info("y", ["n"])], constants)
    with pytest.raises(ValueError, match=r"\[e \(Expand\)\] no memory; inputs: \(1,\), \(1,\)"):
        cnncore.onnx.load(proto)(np.ones(1, np.float32))


if __name__ == "__main__":
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    print(attack(times, 1), "of", times, "refused")
