# SPDX-License-Identifier: Apache-2.0
"""Loading ONNX models: values, names, training, programs and the parts outside of them, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx.checker", reason="the tests' own folder is importable as onnx")
onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.external_data_helper import set_external_data  # noqa: E402

import cnncore as cc  # noqa: E402
import cnncore.onnx  # noqa: E402
from cnncore import nn, ops, optim  # noqa: E402
from onnx_graphs import info, model_of, small_network  # noqa: E402

make = helper.make_node


def twin(model: onnx.ModelProto) -> nn.Module:
    """Return the small network as layers."""
    arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    layers = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 5),
    ).eval()
    names = {"0": "stem.0", "1": "stem.1", "5": "head"}
    state = {f"{a}.{kind}": arrays[f"{b}.{kind}"] for a, b in names.items() for kind in ("weight", "bias")}
    state.update({"1.running_mean": arrays["mean"], "1.running_var": arrays["var"]})
    layers.load_state_dict(state, strict=False)
    return layers


@pytest.fixture
def images() -> Any:
    return np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype(np.float32)


def test_a_network_computes_what_its_layers_do(images: Any) -> None:
    proto = small_network()
    model = cnncore.onnx.load(proto)
    layers = twin(proto)
    np.testing.assert_array_equal(model(images), layers(images))
    np.testing.assert_array_equal(model(x=images[:1]), layers(images[:1]))
    predictor = cc.compile(model, images.shape)
    np.testing.assert_array_equal(predictor(images), cc.compile(layers, images.shape)(images))


def test_parameters_have_their_names_and_statistics_are_buffers() -> None:
    model = cnncore.onnx.load(small_network())
    assert [name for name, _ in model.named_parameters()] == [
        "stem.0.weight",
        "stem.0.bias",
        "stem.1.weight",
        "stem.1.bias",
        "head.weight",
        "head.bias",
    ]
    assert [name for name, _ in model.named_buffers()] == ["mean", "var"]
    assert model.input_names == ["x"]
    assert model.output_names == ["y"]
    assert not model.training


def test_names_that_cannot_be_attributes() -> None:
    names = ["forward", "a", "a.b", ".", "training.weight", "é/ü:0"]
    nodes, last = [], "x"
    for i, name in enumerate(names):
        nodes.append(make("Add", [last, name], [f"v{i}"]))
        last = f"v{i}"
    constants = {name: np.full(2, i, np.float32) for i, name in enumerate(names)}
    model = cnncore.onnx.load(model_of(nodes, [info("x", [2])], [info(last, [2])], constants))
    assert model(np.zeros(2, np.float32)).tolist() == [15.0, 15.0]
    assert sorted(float(p[0]) for p in model.parameters()) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_training_follows_the_layers(images: Any) -> None:
    proto = small_network()
    labels = np.array([1, 3])
    losses = []
    for model in (cnncore.onnx.load(proto), twin(proto)):
        model.train()
        step = cc.train_step(
            lambda x, y, model=model: ops.cross_entropy(model(x), y), optim.SGD(model.parameters(), 0.1, 0.9)
        )
        losses.append([float(step(images, labels)) for _ in range(3)])
    assert losses[0] == losses[1]
    assert losses[0][2] < losses[0][0]


def test_gradients_of_all_parameters(images: Any) -> None:
    model = cnncore.onnx.load(small_network())
    params = dict(model.named_parameters())
    _, grads = cc.value_and_grad(lambda x: ops.sum(ops.square(model(x))), params)(images)
    assert all(np.abs(grads[name]).max() > 0 for name in params)


def test_running_statistics_move_in_training(images: Any) -> None:
    model = cnncore.onnx.load(small_network())
    before = model.mean.copy()
    model(images)
    np.testing.assert_array_equal(model.mean, before)
    model.train()
    model(images)
    assert np.abs(model.mean - before).max() > 0


def test_what_depends_on_values_runs_beside_programs() -> None:
    nodes = [
        make("Relu", ["x"], ["r"]),
        make("NonZero", ["r"], ["at"]),
        make("Transpose", ["at"], ["rows"], perm=[1, 0]),
        make("GatherND", ["r", "rows"], ["found"]),
        make("Exp", ["found"], ["y"]),
    ]
    model = cnncore.onnx.load(model_of(nodes, [info("x", [2, 3])], [info("y", [None])]))
    for x in ([[1.0, -1.0, 0.0], [-2.0, 2.0, 3.0]], [[-1.0, -1.0, 0.5], [-2.0, 0.0, 0.0]]):
        x = np.array(x, np.float32)
        np.testing.assert_allclose(model(x), np.exp(x[x > 0]), rtol=1e-6)
    assert model(-np.ones((2, 3), np.float32)).shape == (0,)
    with pytest.raises(ValueError, match=r"NonZero.*outside of compiled programs"):
        cc.compile(model, (2, 3))


def test_values_that_shapes_need_come_from_inputs() -> None:
    nodes = [make("Mul", ["x", "x"], ["s"]), make("Reshape", ["s", "shape"], ["y"])]
    inputs = [info("x", [2, 3]), info("shape", [2], np.int64)]
    model = cnncore.onnx.load(model_of(nodes, inputs, [info("y", ["a", "b"])]))
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for shape in ((3, 2), (6, 1), (1, -1), (3, 2)):
        np.testing.assert_array_equal(model(x, np.array(shape)), np.square(x).reshape(shape))


def test_constant_loops_and_branches_are_in_the_program() -> None:
    body = helper.make_graph(
        [make("Identity", ["go"], ["going"]), make("Add", ["v", "step"], ["w"])],
        "body",
        [info("i", [], np.int64), info("go", [], np.bool_), info("v", [2])],
        [info("going", [], np.bool_), info("w", [2])],
    )
    nodes = [make("Loop", ["three", "", "x"], ["y"], body=body)]
    constants = {"three": np.array(3, np.int64), "step": np.array([1.0, 2.0], np.float32)}
    model = cnncore.onnx.load(model_of(nodes, [info("x", [2])], [info("y", [2])], constants))
    assert model(np.zeros(2, np.float32)).tolist() == [3.0, 6.0]
    assert cc.compile(model, (2,))(np.ones(2, np.float32)).tolist() == [4.0, 7.0]
    _, grads = cc.value_and_grad(lambda x: ops.sum(model(x)), dict(model.named_parameters()))(
        np.zeros(2, np.float32)
    )
    assert grads["step"].tolist() == [3.0, 3.0]


def test_constants_of_shape_arithmetic_are_no_parameters() -> None:
    nodes = [
        make("Shape", ["x"], ["s"]),
        make("Cast", ["s"], ["f"], to=TensorProto.FLOAT),
        make("Div", ["wanted", "f"], ["scales"]),
        make("Resize", ["x", "", "scales"], ["y"], mode="nearest"),
    ]
    constants = {"wanted": np.array([1, 1, 4, 8], np.float32)}
    model = cnncore.onnx.load(
        model_of(nodes, [info("x", [1, 1, 2, 2])], [info("y", ["a", "b", "c", "d"])], constants)
    )
    assert list(model.parameters()) == []
    assert cc.compile(model, (1, 1, 2, 2))(np.ones((1, 1, 2, 2), np.float32)).shape == (1, 1, 4, 8)


def test_places_of_maxima_and_one_hot_rows_are_in_the_program() -> None:
    nodes = [
        make("MaxPool", ["x"], ["y", "at"], kernel_shape=[2, 2], strides=[2, 2]),
        make("OneHot", ["at", "depth", "values"], ["z"]),
    ]
    constants = {"depth": np.array(32, np.int64), "values": np.array([0.0, 2.0], np.float32)}
    outputs = [info("at", [1, 2, 2, 2], np.int64), info("z", [1, 2, 2, 2, 32])]
    model = cnncore.onnx.load(model_of(nodes, [info("x", [1, 2, 4, 4])], outputs, constants))
    x = np.random.default_rng(3).permutation(32).astype(np.float32).reshape(1, 2, 4, 4)
    at, z = cc.compile(model, x.shape)(x)
    np.testing.assert_array_equal(x.reshape(-1)[at], x.reshape(1, 2, 2, 2, 2, 2).max((3, 5)))
    np.testing.assert_array_equal(z, 2.0 * (at[..., None] == np.arange(32)))


@pytest.mark.parametrize("classes", [[0, 1, 2, 3], [0, 1, 3, 2]])
def test_products_with_one_hot_rows_read_rows(classes: list[int]) -> None:
    nodes = [
        make("Unsqueeze", ["i", "last"], ["j"]),
        make("Equal", ["j", "classes"], ["hot"]),
        make("Cast", ["hot"], ["rows"], to=TensorProto.FLOAT),
        make("MatMul", ["rows", "table"], ["y"]),
    ]
    table = np.arange(12, dtype=np.float32).reshape(4, 3)
    constants = {"last": np.array([-1]), "classes": np.array(classes, np.int32), "table": table}
    proto = model_of(nodes, [info("i", ["n"], np.int32)], [info("y", ["n", 3])], constants)
    model = cnncore.onnx.load(proto)
    places = np.array([2, 0, -1, 3, 4], np.int32)
    hot = (places[:, None] == np.array(classes)).astype(np.float32)
    np.testing.assert_array_equal(model(places), hot @ table)
    predictor = cc.compile(model, (5,))
    np.testing.assert_array_equal(predictor(places), hot @ table)
    steps = {row["step"].split()[0] for row in predictor.explain()}
    assert ("matmul" in steps) == (classes != [0, 1, 2, 3])


def test_types_of_inputs_and_outputs_are_the_declared_ones() -> None:
    nodes = [
        make("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        make("Cast", ["f"], ["y"], to=TensorProto.FLOAT16),
    ]
    proto = model_of(nodes, [info("i", ["n"], np.int32)], [info("y", ["n"], np.float16)])
    y = cnncore.onnx.load(proto)(np.array([1, 2], np.int64))
    assert y.dtype == np.float16
    assert y.tolist() == [1.0, 2.0]


def test_float64_is_computed_in_float64() -> None:
    proto = model_of(
        [make("Add", ["x", "x"], ["y"])], [info("x", [1], np.float64)], [info("y", [1], np.float64)]
    )
    y = cnncore.onnx.load(proto)(np.array([1 + 2.0**-40]))
    assert y.dtype == np.float64
    assert y[0] == 2 + 2.0**-39


def test_functions_of_the_file_are_inlined() -> None:
    function = helper.make_function(
        "own", "Twice", ["a"], ["b"], [make("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    graph = helper.make_graph(
        [make("Twice", ["x"], ["y"], domain="own")], "g", [info("x", [2])], [info("y", [2])]
    )
    proto = helper.make_model(
        graph,
        functions=[function],
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("own", 1)],
        ir_version=10,
    )
    assert cnncore.onnx.load(proto)(np.array([1.0, 2.0], np.float32)).tolist() == [2.0, 4.0]


def _with_external(folder: Path, location: str) -> Path:
    proto = small_network()
    for tensor in proto.graph.initializer:
        if tensor.name == "head.weight":
            (folder / "data.bin").write_bytes(bytes(8) + tensor.raw_data)
            set_external_data(tensor, location, 8, len(tensor.raw_data))
            tensor.ClearField("raw_data")
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def test_external_data_are_read_from_the_folder(tmp_path: Path, images: Any) -> None:
    model = cnncore.onnx.load(_with_external(tmp_path, "data.bin"))
    np.testing.assert_array_equal(model(images), cnncore.onnx.load(small_network())(images))


@pytest.mark.parametrize("location", ["../data.bin", "/etc/hostname", "missing.bin", "link.bin"])
def test_external_data_elsewhere_are_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    path = _with_external(folder, location)
    (tmp_path / "data.bin").write_bytes(bytes(1 << 12))
    (folder / "link.bin").symlink_to(tmp_path / "data.bin")
    with pytest.raises(ValueError, match=r"head\.weight|external|location"):
        cnncore.onnx.load(path)


def test_all_unsupported_nodes_are_named_at_once() -> None:
    nodes = [
        make("ImageDecoder", ["x"], ["a"], "decoder"),
        make("Own", ["a"], ["y"], "mine", domain="own"),
    ]
    graph = helper.make_graph(nodes, "g", [info("x", ["n"], np.uint8)], [info("y", None, np.uint8)])
    graph.output[0].type.tensor_type.shape.SetInParent()
    proto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("own", 1)], ir_version=10
    )
    found = cnncore.onnx.unsupported(proto)
    assert [(node.operator, node.name) for node in found] == [
        ("ImageDecoder", "decoder"),
        ("own::Own", "mine"),
    ]
    assert found[0].opset == 20
    assert found[0].dtype == "uint8"
    with pytest.raises(ValueError, match=r"(?s)ImageDecoder.*own::Own"):
        cnncore.onnx.load(proto)
    assert cnncore.onnx.unsupported(small_network()) == []


def test_shapes_that_do_not_fit_name_the_node() -> None:
    proto = model_of(
        [make("MatMul", ["x", "w"], ["y"], "product")],
        [info("x", ["n", "k"])],
        [info("y", ["n", 2])],
        {"w": np.ones((3, 2), np.float32)},
    )
    model = cnncore.onnx.load(proto)
    with pytest.raises(ValueError, match=r"product \(MatMul\).*\(1, 4\), \(3, 2\)"):
        model(np.ones((1, 4), np.float32))


def test_inputs_are_checked() -> None:
    model = cnncore.onnx.load(small_network())
    with pytest.raises(
        ValueError, match=r"\[x\] expected an array of shape \(n, 3, 8, 8\), got \(1, 4, 8, 8\)"
    ):
        model(np.ones((1, 4, 8, 8), np.float32))
    with pytest.raises(TypeError, match="expected inputs x, got 'z'"):
        model(z=1)
    with pytest.raises(TypeError, match="missing x"):
        model()
    with pytest.raises(TypeError, match="complex"):
        model(np.ones((1, 3, 8, 8), np.complex64))


def test_programs_of_many_shapes_are_bounded() -> None:
    proto = model_of([make("Relu", ["x"], ["y"])], [info("x", ["n", "m"])], [info("y", ["n", "m"])])
    model = cnncore.onnx.load(proto)
    for n in range(1, 200):
        assert model(np.ones((n, 1), np.float32)).shape == (n, 1)
    assert len(model._runner._plans) <= 64


def test_shapes_of_inputs_and_outputs_may_be_missing(tmp_path: Path, images: Any) -> None:
    """The official checker refuses such models, other runtimes take them; data outside are read, too."""
    proto = small_network()
    expected = cnncore.onnx.load(proto)(images)
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.ClearField("shape")
    written = proto.SerializeToString()
    np.testing.assert_array_equal(cnncore.onnx.load(proto)(images), expected)
    assert proto.SerializeToString() == written
    path = tmp_path / "model.onnx"
    onnx.save(proto, path, save_as_external_data=True, size_threshold=0, location="weights.bin")
    model = cnncore.onnx.load(path)
    np.testing.assert_array_equal(model(images), expected)
    np.testing.assert_array_equal(cc.compile(model, images.shape)(images), expected)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ValueError, match=r"its data are missing: no file 'weights\.bin'"):
        cnncore.onnx.load(path)
