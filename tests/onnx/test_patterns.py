# SPDX-License-Identifier: Apache-2.0
"""Groups of nodes that exporters write become the steps that are made for them, with the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi, sqrt
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx.checker", reason="the tests' own folder is importable as onnx")
onnx = pytest.importorskip("onnx")

from onnx import helper  # noqa: E402

import cnncore as cc  # noqa: E402
import cnncore.onnx  # noqa: E402
from cnncore import ops, optim  # noqa: E402
from cnncore.onnx.model import OnnxModel  # noqa: E402
from cnncore.onnx.reader import read  # noqa: E402
from onnx_graphs import info, model_of  # noqa: E402

make = helper.make_node
C = 16
RNG = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return (RNG.standard_normal(shape) / 3).astype(np.float32)


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


def one(value: float) -> Any:
    return np.array(value, np.float32)


def chain(*nodes: tuple[Any, ...]) -> list[Any]:
    """Return nodes (op, other inputs, attributes) each of which reads what the one before makes, from "c" on.

    An input "@" stands for that value where it is not the first, "c" for the first of all.
    """
    found, last = [], "c"
    for i, (op, inputs, *rest) in enumerate(nodes):
        output = "y" if i == len(nodes) - 1 else f"v{i}"
        names = [last if name == "@" else name for name in inputs]
        found.append(make(op, names, [output], f"{op}{i}", **(rest[0] if rest else {})))
        last = output
    return found


def build(nodes: Sequence[Any], shape: tuple[int, ...], rank: int, constants: Any, opset: int = 17) -> Any:
    inputs, outputs = [info("x", shape)], [info("y", [f"d{i}" for i in range(rank)])]
    used = {name for node in nodes for name in node.input}
    return model_of(nodes, inputs, outputs, {k: v for k, v in constants.items() if k in used}, opset)


def steps_of(proto: Any, shape: tuple[int, ...], tolerance: float = 2e-6) -> list[str]:
    """Compare with the nodes as they are, and with onnxruntime; return the compiled steps."""
    x = RNG.standard_normal(shape).astype(np.float32)
    predictor = cc.compile(cnncore.onnx.load(proto), shape)
    found = predictor(x)
    wanted = [OnnxModel(read(proto))(x)]
    try:
        import onnxruntime
    except ModuleNotFoundError:
        pass
    else:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options)
        wanted.append(session.run(None, {"x": x})[0])
    for want in wanted:
        assert found.shape == want.shape
        assert np.abs(found - want).max() <= tolerance * np.abs(want).max()
    return [row["step"] for row in predictor.explain()]


CONSTANTS = {
    "w": normal(C, C, 3, 3),
    "w2": normal(C, C, 3, 3),
    "wide": normal(C, 2 * C, 3, 3),
    "b": normal(C),
    "vector": normal(C),
    "scale": normal(C, 1, 1) + 1,
    "shift": normal(1, C, 1, 1),
    "ones": np.ones(4, np.float32),
    "zeros": np.zeros(4, np.float32),
    "matrix": normal(C, 5),
    "five": normal(5),
    "gamma": normal(8) + 1,
    "beta": normal(8),
    "eps": one(1e-5),
    "0": one(0),
    "1": one(1),
    "2": one(2),
    "3": one(3),
    "6": one(6),
    "half": one(0.5),
    "sixth": one(1 / 6),
    "sqrt2": one(sqrt(2)),
    "sqrt half": one(sqrt(0.5)),
    "cubic": one(0.044715),
    "sqrt 2/pi": one(sqrt(2 / pi)),
    "20": one(20),
    "groups": ints(0, 4, -1),
    "image": ints(2, C, 8, 8),
    "split": ints(2, 2, C // 2, 8, 8),
    "pixels": ints(2, C // 4, 2, 2, 8, 8),
    "larger": ints(2, C // 4, 16, 16),
    "pads": ints(0, 0, 0, 1, 0, 0, 2, 1),
    "nhwc pads": ints(0, 0, 1, 0, 0, 2, 1, 0),
}

CUBE = [("Mul", ["c", "c"]), ("Mul", ["@", "c"]), ("Mul", ["cubic", "@"]), ("Add", ["c", "@"])]

ACTIVATIONS: dict[str, list[Any]] = {
    "SiLU": [("Sigmoid", ["c"]), ("Mul", ["c", "@"])],
    "HardSwish of HardSigmoid": [
        ("HardSigmoid", ["c"], {"alpha": 1 / 6, "beta": 0.5}),
        ("Mul", ["c", "@"]),
    ],
    "HardSwish, divided last": [
        ("Add", ["c", "3"]),
        ("Clip", ["@", "0", "6"]),
        ("Mul", ["c", "@"]),
        ("Div", ["@", "6"]),
    ],
    "HardSwish, divided first": [
        ("Add", ["3", "c"]),
        ("Clip", ["@", "0", "6"]),
        ("Div", ["@", "6"]),
        ("Mul", ["@", "c"]),
    ],
    "HardSwish, multiplied": [
        ("Add", ["c", "3"]),
        ("Clip", ["@", "0", "6"]),
        ("Mul", ["@", "sixth"]),
        ("Mul", ["c", "@"]),
    ],
    "HardSigmoid": [("Add", ["c", "3"]), ("Clip", ["@", "0", "6"]), ("Div", ["@", "6"])],
    "ReLU6": [("Clip", ["c", "0", "6"])],
    "Mish": [("Softplus", ["c"]), ("Tanh", ["@"]), ("Mul", ["c", "@"])],
    "GELU, half last": [
        ("Div", ["c", "sqrt2"]),
        ("Erf", ["@"]),
        ("Add", ["@", "1"]),
        ("Mul", ["c", "@"]),
        ("Mul", ["@", "half"]),
    ],
    "GELU, half first": [
        ("Mul", ["c", "sqrt half"]),
        ("Erf", ["@"]),
        ("Add", ["1", "@"]),
        ("Mul", ["half", "@"]),
        ("Mul", ["@", "c"]),
    ],
    "GELU by tanh": [
        *CUBE,
        ("Mul", ["@", "sqrt 2/pi"]),
        ("Tanh", ["@"]),
        ("Add", ["@", "1"]),
        ("Mul", ["half", "@"]),
        ("Mul", ["c", "@"]),
    ],
    "GELU by tanh and Pow": [
        ("Pow", ["c", "3"]),
        ("Mul", ["@", "cubic"]),
        ("Add", ["c", "@"]),
        ("Mul", ["@", "sqrt 2/pi"]),
        ("Tanh", ["@"]),
        ("Add", ["@", "1"]),
        ("Mul", ["c", "@"]),
        ("Mul", ["@", "half"]),
    ],
    "GELU by tanh, x factored out": [
        ("Mul", ["c", "c"]),
        ("Mul", ["@", "cubic"]),
        ("Add", ["@", "1"]),
        ("Mul", ["c", "@"]),
        ("Mul", ["@", "sqrt 2/pi"]),
        ("Tanh", ["@"]),
        ("Add", ["@", "1"]),
        ("Mul", ["c", "@"]),
        ("Mul", ["@", "half"]),
    ],
    "Conv, scale, shift": [("Mul", ["c", "scale"]), ("Add", ["@", "shift"]), ("Relu", ["@"])],
    "Conv, numbers": [("Mul", ["c", "2"]), ("Add", ["@", "shift"]), ("Sub", ["@", "3"]), ("Relu", ["@"])],
    "Conv, BatchNormalization": [
        ("BatchNormalization", ["c", "vector", "b", "vector", "gain"]),
        ("Relu", ["@"]),
    ],
    "Conv, residual": [("Add", ["c", "x"]), ("Relu", ["@"])],
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_one_step_with_the_convolution(name: str) -> None:
    constants = {**CONSTANTS, "gain": np.abs(normal(C)) + 0.5}
    nodes = [make("Conv", ["x", "w", "b"], ["c"], pads=[1] * 4), *chain(*ACTIVATIONS[name])]
    proto = build(nodes, (2, C, 8, 8), 4, constants)
    assert steps_of(proto, (2, C, 8, 8)) == ["conv_forward"]


def test_softplus_with_a_threshold() -> None:
    nodes = [
        make("Softplus", ["x"], ["s"]),
        make("Greater", ["x", "20"], ["g"]),
        make("Where", ["g", "x", "s"], ["y"]),
    ]
    assert steps_of(build(nodes, (2, 9), 2, CONSTANTS), (2, 9)) == ["elementwise softplus"]


def _layer_norm(square: list[Any], root: list[Any]) -> list[Any]:
    return [
        make("ReduceMean", ["x"], ["m"], axes=[-1]),
        make("Sub", ["x", "m"], ["d"]),
        *square,
        make("ReduceMean", ["q"], ["v"], axes=[-1]),
        make("Add", ["v", "eps"], ["e"]),
        make("Sqrt", ["e"], ["r"]),
        *root,
        make("Mul", ["n", "gamma"], ["g"]),
        make("Add", ["g", "beta"], ["y"]),
    ]


@pytest.mark.parametrize("square", ["Pow", "Mul"])
@pytest.mark.parametrize("root", ["Div", "Reciprocal"])
def test_layer_norm(square: str, root: str) -> None:
    squares = {"Pow": [make("Pow", ["d", "2"], ["q"])], "Mul": [make("Mul", ["d", "d"], ["q"])]}
    roots = {
        "Div": [make("Div", ["d", "r"], ["n"])],
        "Reciprocal": [make("Reciprocal", ["r"], ["i"]), make("Mul", ["d", "i"], ["n"])],
    }
    nodes = _layer_norm(squares[square], roots[root])
    assert steps_of(build(nodes, (2, 5, 8), 3, CONSTANTS), (2, 5, 8)) == ["row_norm"]


def test_rms_norm() -> None:
    nodes = [
        make("Pow", ["x", "2"], ["q"]),
        make("ReduceMean", ["q"], ["v"], axes=[-1]),
        make("Add", ["v", "eps"], ["e"]),
        make("Sqrt", ["e"], ["r"]),
        make("Reciprocal", ["r"], ["i"]),
        make("Mul", ["x", "i"], ["n"]),
        make("Mul", ["gamma", "n"], ["y"]),
    ]
    assert steps_of(build(nodes, (2, 5, 8), 3, CONSTANTS), (2, 5, 8)) == ["row_norm"]


def test_norms_over_other_axes() -> None:
    """Over the pixels of each image it is instance norm; over channels, nothing special."""
    for axes, step in (([2, 3], "group_norm"), ([1], None)):
        nodes = [
            make("ReduceMean", ["x"], ["m"], axes=axes),
            make("Sub", ["x", "m"], ["d"]),
            make("Mul", ["d", "d"], ["q"]),
            make("ReduceMean", ["q"], ["v"], axes=axes),
            make("Add", ["v", "eps"], ["e"]),
            make("Sqrt", ["e"], ["r"]),
            make("Div", ["d", "r"], ["y"]),
        ]
        found = steps_of(build(nodes, (2, 3, 6, 5), 4, CONSTANTS), (2, 3, 6, 5))
        assert found == [step] or step is None


@pytest.mark.parametrize("back", ["image", "shape"])
def test_group_norm(back: str) -> None:
    nodes = [
        make("Reshape", ["x", "groups"], ["r"]),
        make("InstanceNormalization", ["r", "ones", "zeros"], ["n"], epsilon=1e-3),
        make("Shape", ["x"], ["shape"]),
        make("Reshape", ["n", back], ["o"]),
        make("Mul", ["o", "scale"], ["s"]),
        make("Add", ["s", "shift"], ["t"]),
        make("Relu", ["t"], ["y"]),
    ]
    proto = build(nodes, (2, C, 8, 8), 4, {**CONSTANTS, "shift": normal(C, 1, 1)})
    assert steps_of(proto, (2, C, 8, 8)) == ["group_norm"]
    assert set(cnncore.onnx.load(proto).state_dict()) == {"scale", "shift"}


def test_zeros_around_the_image_are_the_convolutions() -> None:
    nodes = [
        make("Pad", ["x", "pads"], ["p"]),
        make("Conv", ["p", "w", "b"], ["y"], strides=[2, 2], pads=[1] * 4),
    ]
    assert steps_of(build(nodes, (2, C, 8, 8), 4, CONSTANTS), (2, C, 8, 8)) == ["conv_forward"]
    # Padding of the channels is not.
    constants = {**CONSTANTS, "pads": ints(0, 1, 0, 0, 0, C - 1, 0, 0)}
    nodes = [make("Pad", ["x", "pads"], ["p"]), make("Conv", ["p", "wide"], ["y"])]
    assert len(steps_of(build(nodes, (2, C, 8, 8), 4, constants), (2, C, 8, 8))) > 1


@pytest.mark.parametrize("name", ["channels", "pixels"])
def test_shuffles_copy_once(name: str) -> None:
    first, perm, last = {
        "channels": ("split", [0, 2, 1, 3, 4], "image"),
        "pixels": ("pixels", [0, 1, 4, 2, 5, 3], "larger"),
    }[name]
    nodes = [
        make("Reshape", ["x", first], ["r"]),
        make("Transpose", ["r"], ["t"], perm=perm),
        make("Reshape", ["t", last], ["y"]),
    ]
    assert steps_of(build(nodes, (2, C, 8, 8), 4, CONSTANTS), (2, C, 8, 8)) == ["copy"]


@pytest.mark.parametrize("shape", [(4, C), (2, 7, C)])
def test_linear_layers(shape: tuple[int, ...]) -> None:
    nodes = [
        make("MatMul", ["x", "matrix"], ["m"]),
        make("Add", ["five", "m"], ["a"]),
        make("Relu", ["a"], ["y"]),
    ]
    assert steps_of(build(nodes, shape, len(shape), CONSTANTS), shape) == ["conv_forward"]
    if len(shape) == 2:
        nodes = [make("Gemm", ["x", "matrix", "five"], ["a"]), make("Relu", ["a"], ["y"])]
        assert steps_of(build(nodes, shape, 2, CONSTANTS), shape) == ["conv_forward"]


def test_squeeze_and_excite() -> None:
    constants = {"s": normal(4, C, 1, 1), "e": normal(C, 4, 1, 1)}
    nodes = [
        make("GlobalAveragePool", ["x"], ["g"]),
        make("Conv", ["g", "s"], ["a"]),
        make("Relu", ["a"], ["r"]),
        make("Conv", ["r", "e"], ["b"]),
        make("HardSigmoid", ["b"], ["h"], alpha=1 / 6),
        make("Mul", ["h", "x"], ["y"]),
    ]
    found = steps_of(build(nodes, (2, C, 8, 8), 4, constants), (2, C, 8, 8))
    assert found[1:] == ["conv_forward", "conv_forward", "elementwise mul"]


def test_pairs_of_quantization_are_one_step_without_integers() -> None:
    constants = {"s": one(0.05), "z": np.array(117, np.uint8)}
    nodes = [make("QuantizeLinear", ["x", "s", "z"], ["q"]), make("DequantizeLinear", ["q", "s", "z"], ["y"])]
    found = steps_of(build(nodes, (2, 3, 8, 8), 4, constants), (2, 3, 8, 8), tolerance=0)
    assert found == ["elementwise_chain div round add clamp sub mul"]


def to_nchw(x: str, y: str) -> Any:
    return make("Transpose", [x], [y], perm=[0, 3, 1, 2])


def to_nhwc(x: str, y: str) -> Any:
    return make("Transpose", [x], [y], perm=[0, 2, 3, 1])


def residual_network() -> Any:
    """Return a network as tf2onnx writes it: every convolution between two transposes."""
    nodes = [
        to_nchw("x", "a"),
        make("Conv", ["a", "w"], ["c"], pads=[1] * 4),
        to_nhwc("c", "d"),
        make("Add", ["d", "vector"], ["d1"]),
        make("Relu", ["d1"], ["h"]),
        to_nchw("h", "f"),
        make("Conv", ["f", "w2"], ["g"], pads=[1] * 4),
        to_nhwc("g", "g1"),
        make("Mul", ["g1", "b"], ["g2"]),
        make("Add", ["g2", "vector"], ["g3"]),
        make("Add", ["g3", "h"], ["k"]),
        make("Relu", ["k"], ["l"]),
        make("Pad", ["l", "nhwc pads"], ["p"]),
        to_nchw("p", "q"),
        make("Conv", ["q", "w2", "b"], ["r"], strides=[2, 2]),
        to_nhwc("r", "t"),
        make("Clip", ["t", "0", "6"], ["u"]),
        make("ReduceMean", ["u"], ["v"], axes=[1, 2], keepdims=0),
        make("MatMul", ["v", "matrix"], ["o"]),
        make("Add", ["o", "five"], ["y"]),
    ]
    return build(nodes, (2, 8, 8, C), 2, CONSTANTS)


def test_transposes_around_convolutions_meet() -> None:
    found = steps_of(residual_network(), (2, 8, 8, C))
    assert found == [*["conv_forward"] * 3, "reduce mean", "conv_forward"]


def test_transposes_sink_through_concatenations_and_inputs() -> None:
    nodes = [
        to_nchw("x", "a"),
        make("Conv", ["a", "w"], ["c"], pads=[1] * 4),
        to_nhwc("c", "d"),
        make("Add", ["x", "d"], ["e"]),
        make("Relu", ["e"], ["f"]),
        to_nchw("x", "x1"),
        make("Conv", ["x1", "w2"], ["g"], pads=[1] * 4),
        to_nhwc("g", "h"),
        make("Concat", ["f", "h"], ["i"], axis=3),
        to_nchw("i", "j"),
        make("Conv", ["j", "wide"], ["k"]),
        to_nhwc("k", "y"),
    ]
    found = steps_of(build(nodes, (2, 8, 8, C), 4, CONSTANTS), (2, 8, 8, C))
    assert [step for step in found if step != "copy"] == ["conv_forward"] * 3


def test_what_others_read_stays() -> None:
    nodes = [
        make("Sigmoid", ["x"], ["s"]),
        make("Mul", ["x", "s"], ["m"]),
        make("Add", ["m", "s"], ["y"]),
    ]
    proto = build(nodes, (3, 4), 2, {})
    assert [node.op for node in cnncore.onnx.load(proto).graph.nodes] == ["Sigmoid", "Mul", "Add"]
    steps_of(proto, (3, 4))


def test_functions_of_another_value_stay() -> None:
    """x * sigmoid(z), and numbers that are not the function's."""
    nodes = [make("Sigmoid", ["z"], ["s"]), make("Mul", ["x", "s"], ["y"])]
    proto = model_of(nodes, [info("x", [2]), info("z", [2])], [info("y", [2])])
    assert [node.op for node in cnncore.onnx.load(proto).graph.nodes] == ["Sigmoid", "Mul"]
    for constants in ({"half": one(0.6)}, {"1": one(1.1)}, {"sqrt2": one(1.5)}):
        changed = {**CONSTANTS, **constants, "w": CONSTANTS["w"]}
        nodes = [make("Conv", ["x", "w", "b"], ["c"], pads=[1] * 4), *chain(*ACTIVATIONS["GELU, half last"])]
        found = steps_of(build(nodes, (2, C, 8, 8), 4, changed), (2, C, 8, 8))
        assert found[0] == "conv_forward"
        assert len(found) == 2


def test_they_train_and_are_exported() -> None:
    proto = residual_network()
    model = cnncore.onnx.load(proto).train()
    names = set(model.state_dict())
    assert names == {"w", "w2", "b", "vector", "matrix", "five"}
    x, y = RNG.standard_normal((2, 8, 8, C)).astype(np.float32), np.array([0, 3])
    _, grads = cc.value_and_grad(lambda x, y: ops.cross_entropy(model(x), y), model.parameters())(x, y)
    plain = OnnxModel(read(proto)).train()
    order = [name for name, _ in model.named_parameters()]
    own = dict(plain.named_parameters())
    _, wanted = cc.value_and_grad(lambda x, y: ops.cross_entropy(plain(x), y), [own[name] for name in order])(
        x, y
    )
    for found, want in zip(grads, wanted, strict=True):
        np.testing.assert_allclose(found, want, atol=2e-6 * np.abs(want).max())
    step = cc.train_step(lambda x, y: ops.cross_entropy(model(x), y), optim.SGD(model.parameters(), 0.01))
    assert step(x, y) > step(x, y)
    again = cnncore.onnx.export(model, None, (2, 8, 8, C))
    assert names <= {tensor.name for tensor in again.graph.initializer}
    np.testing.assert_allclose(cnncore.onnx.load(again)(x), model.eval()(x), rtol=1e-5, atol=1e-5)
