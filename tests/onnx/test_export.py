# SPDX-License-Identifier: Apache-2.0
"""Exported networks: what `load` and, where it is installed, onnxruntime make of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx.checker", reason="the tests' own folder is importable as onnx")
onnx = pytest.importorskip("onnx")

import cnncore as cc  # noqa: E402
import cnncore.onnx  # noqa: E402
from cnncore import models, nn, ops, optim  # noqa: E402
from onnx_exports import Function, in_onnxruntime, randomized  # noqa: E402

RNG = np.random.default_rng(0)


def leaves(result: Any) -> list[Any]:
    """Return the arrays in nested tuples, in order."""
    return [array for part in result for array in leaves(part)] if isinstance(result, tuple) else [result]


def check(model: nn.Module, *shapes: tuple[int, ...], tolerance: float = 2e-6) -> Any:
    """Export for one batch, with the batch open; run with two others."""
    model = randomized(model)
    one = [(1, *shape[1:]) for shape in shapes]
    proto = cnncore.onnx.export(model, None, one if len(one) > 1 else one[0], dynamic_batch=True)
    loaded = cnncore.onnx.load(proto)
    for batch in (1, 3):
        inputs = [RNG.standard_normal((batch, *shape[1:])).astype(np.float32) for shape in shapes]
        wanted = leaves(model(*inputs))
        found = loaded(*inputs)
        for others in (found if isinstance(found, tuple) else (found,), in_onnxruntime(proto, *inputs)):
            for want, other in zip(wanted, wanted if others is None else others, strict=True):
                assert want.shape == other.shape
                scale = max(np.abs(want).max(), 1e-3)
                assert np.abs(np.asarray(want, np.float64) - other).max() <= tolerance * scale
    return proto


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "conv1d": (lambda: nn.Conv1d(3, 4, 3, stride=2, padding=1), (1, 3, 9)),
    "conv2d": (lambda: nn.Conv2d(4, 6, (3, 5), padding=(1, 2), dilation=(2, 1), groups=2), (1, 4, 9, 8)),
    "conv3d": (lambda: nn.Conv3d(2, 3, 3, bias=False), (1, 2, 5, 6, 7)),
    "same": (lambda: nn.Conv2d(2, 3, 4, padding="same"), (1, 2, 7, 8)),
    "reflect": (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), (1, 2, 7, 8)),
    "circular": (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (1, 2, 7, 8)),
    "transposed": (
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
        (1, 4, 5, 6),
    ),
    "linear": (lambda: nn.Linear(5, 7), (1, 5)),
    "linear on sequences": (lambda: nn.Linear(5, 7), (1, 4, 5)),
    "batch norm": (lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU()), (1, 2, 6, 6)),
    "batch norm without weights": (lambda: nn.BatchNorm2d(3, affine=False), (1, 3, 4, 4)),
    "group norm": (lambda: nn.GroupNorm(2, 4), (1, 4, 5, 6)),
    "layer norm": (lambda: nn.LayerNorm(6), (1, 4, 6)),
    "layer norm of images": (lambda: nn.LayerNorm((4, 6)), (1, 3, 4, 6)),
    "rms norm": (lambda: nn.RMSNorm(6), (1, 4, 6)),
    "instance norm": (lambda: nn.InstanceNorm2d(3, affine=True), (1, 3, 5, 6)),
    "local response": (lambda: nn.LocalResponseNorm(5), (1, 8, 3, 4)),
    "max pool": (lambda: nn.MaxPool2d(3, 2, 1), (1, 2, 9, 8)),
    "max pool, ceil": (lambda: nn.MaxPool2d(3, 2, ceil_mode=True), (1, 2, 8, 8)),
    "average pool": (lambda: nn.AvgPool2d(3, 2, 1), (1, 2, 9, 8)),
    "average pool, ceil": (lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True), (1, 2, 8, 8)),
    "average pool, inside": (lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False), (1, 2, 9, 8)),
    "average pool, divisor": (lambda: nn.AvgPool2d(2, divisor_override=3), (1, 2, 6, 8)),
    "adaptive": (lambda: nn.AdaptiveAvgPool2d((2, 3)), (1, 2, 6, 9)),
    "adaptive, uneven": (lambda: nn.AdaptiveAvgPool2d((3, 4)), (1, 2, 7, 9)),
    "adaptive max": (lambda: nn.AdaptiveMaxPool2d(1), (1, 2, 7, 9)),
    "dropout": (lambda: nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 4)), (1, 4)),
    "lstm": (lambda: nn.LSTM(4, 3, 2, batch_first=True, bidirectional=True), (1, 5, 4)),
    "gru": (lambda: nn.GRU(4, 3, batch_first=True), (1, 5, 4)),
    "rnn": (lambda: nn.RNN(4, 3, batch_first=True, bias=False), (1, 5, 4)),
    "attention": (lambda: Function(lambda x: ops.scaled_dot_product_attention(x, x, x)), (1, 2, 5, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    make, shape = LAYERS[name]
    check(make(), shape, tolerance=1e-5)


ACTIVATIONS = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.ELU,
    nn.SELU,
    nn.CELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Hardtanh,
    nn.Sigmoid,
    nn.LogSigmoid,
    nn.Tanh,
    nn.Tanhshrink,
    nn.Softplus,
    nn.Softsign,
    nn.Softshrink,
    nn.Hardshrink,
    nn.GLU,
)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activations(kind: Any) -> None:
    check(kind(), (1, 4, 6), tolerance=1e-5)


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "softmax": lambda x: ops.softmax(x, 1),
    "log_softmax": lambda x: ops.log_softmax(x, -1),
    "mean": lambda x: ops.mean(x, (2, 3), True),
    "reductions": lambda x: ops.amax(x, 1) + ops.amin(x, 1) + ops.sum(x, 1) + ops.prod(x, 1),
    "var": lambda x: ops.var(x, (1, 2)),
    "permute": lambda x: ops.permute(x, (0, 2, 3, 1)),
    "slice": lambda x: x[:, 1:, ::2, 1:3],
    "flip": lambda x: ops.flip(x, 2),
    "pad": lambda x: ops.pad(x, (1, 2, 0, 1), value=0.5),
    "edges": lambda x: ops.pad(x, (1, 2, 0, 1), "replicate"),
    "concat": lambda x: ops.concat([x, x * 2.0], 1),
    "split": lambda x: ops.split(x, 2, 1)[1],
    "stack": lambda x: ops.stack([x, -x], 2),
    "flatten": lambda x: ops.flatten(x, 1),
    "merge of batch and channels": lambda x: ops.reshape(x, (-1, 4, 6)) * 2.0,
    "expand": lambda x: ops.broadcast_to(ops.mean(x, (2, 3), True), x.shape) + x,
    "matmul": lambda x: ops.matmul(x, ops.transpose(x, 2, 3)),
    "einsum": lambda x: ops.einsum("bchw,bcvw->bchv", x, x),
    "where": lambda x: ops.where(ops.greater(x, 0.0), x, ops.exp(x)),
    "comparisons": lambda x: ops.where(ops.logical_and(ops.less(x, 1.0), ops.not_equal(x, 0.0)), x, 1.0),
    "argmax": lambda x: ops.argmax(x, 1),
    "topk": lambda x: ops.topk(x, 2, 3).values,
    "cumsum": lambda x: ops.cumsum(x, 2),
    "functions": lambda x: (
        ops.sqrt(ops.abs(x) + 0.1) + ops.log1p(ops.square(x)) + ops.rsqrt(ops.abs(x) + 1.0)
    ),
    "powers": lambda x: ops.pow(ops.abs(x) + 0.5, 1.7) + ops.pow(x, 3.0) + 1.0 / (ops.abs(x) + 1.0),
    "trigonometry": lambda x: ops.sin(x) + ops.cos(x) * ops.atan(x) + ops.erf(x),
    "rounding": lambda x: ops.floor(x) + ops.ceil(x) + ops.trunc(x * 3.0) + ops.round(x),
    "remainder": lambda x: ops.remainder(x, 0.75) + ops.floor_divide(x, 0.5),
    "clamp": lambda x: ops.clamp(x, -0.5, 0.7),
    "nearest": lambda x: ops.interpolate(x, scale_factor=2, mode="nearest"),
    "nearest, sizes": lambda x: ops.interpolate(x, (7, 5), mode="nearest"),
    "bilinear": lambda x: ops.interpolate(x, scale_factor=2, mode="bilinear"),
    "bilinear, corners": lambda x: ops.interpolate(x, (7, 9), mode="bilinear", align_corners=True),
    "bicubic": lambda x: ops.interpolate(x, (8, 9), mode="bicubic"),
    "pixel_shuffle": lambda x: ops.pixel_shuffle(x, 2),
    "channel_shuffle": lambda x: ops.channel_shuffle(x, 2),
    "token": lambda x: ops.concat([ops.broadcast_to(np.ones((1, 1, 4, 6)), (x.shape[0], 1, 4, 6)), x], 1),
    "unfold": lambda x: ops.unfold(x, 2),
    "normalize": lambda x: ops.normalize(x),
    "index_select": lambda x: ops.index_select(x, 1, np.array([2, 0])),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    check(Function(FUNCTIONS[name]), (1, 4, 4, 6), tolerance=1e-5)


def test_what_has_no_axes_is_written_without() -> None:
    weight = nn.Parameter(np.array(2.0, np.float32))
    proto = check(Function(lambda x: ops.cumsum(x, 1) * weight + 3.0), (1, 4), tolerance=1e-5)
    found = {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer}
    assert list(found.values()) == [()] * 3, found


class Sequences(nn.Module):
    """Layers one after the other; of what a recurrent one returns, the output."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
            x = x[0] if isinstance(x, tuple) else x
        return x


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize(
    "before",
    [
        lambda: nn.Linear(6, 6),
        lambda: nn.LayerNorm(6),
        nn.ReLU,
        lambda: nn.TransformerEncoderLayer(6, 2, 8, batch_first=True),
    ],
)
def test_recurrent_layers_behind_others(before: Callable[[], nn.Module], batch_first: bool) -> None:
    model = Sequences(
        before(), nn.LSTM(6, 4, 2, bidirectional=True, batch_first=batch_first), nn.Linear(8, 3)
    )
    if batch_first:
        check(model, (2, 5, 6))
        return
    proto = cnncore.onnx.export(randomized(model), None, (5, 2, 6))
    x = RNG.standard_normal((5, 2, 6)).astype(np.float32)
    for found in (cnncore.onnx.load(proto)(x), *(in_onnxruntime(proto, x) or [])):
        np.testing.assert_allclose(found, model(x), atol=2e-6)


@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_of_words(layer: type[nn.Module]) -> None:
    model = Sequences(nn.Embedding(10, 4), layer(4, 3, batch_first=True)).eval()
    words = np.array([[1, 2, 0], [9, 9, 3]])
    proto = cnncore.onnx.export(model, None, (1, 3), input_dtype="int64", dynamic_batch=True)
    for found in (cnncore.onnx.load(proto)(words), *(in_onnxruntime(proto, words) or [])):
        np.testing.assert_allclose(found, model(words), atol=2e-6)


def test_several_inputs_and_outputs() -> None:
    proto = check(Function(lambda x, y: (x + y, x * y)), (1, 3), (1, 3))
    assert [value.name for value in proto.graph.input] == ["input", "input_1"]
    assert [value.name for value in proto.graph.output] == ["output", "output_1"]


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "lenet5": (models.lenet5, (1, 1, 28, 28)),
    "mnist_cnn": (models.mnist_cnn, (1, 1, 28, 28)),
    "resnet20": (models.resnet20, (1, 3, 32, 32)),
    "resnet18": (models.resnet18, (1, 3, 64, 64)),
    "mobilenet_v2": (models.mobilenet_v2, (1, 3, 64, 64)),
    "unet": (lambda: models.unet(width=8), (1, 3, 32, 32)),
    "mobilenet_v3_small": (models.mobilenet_v3_small, (1, 3, 64, 64)),
    "shufflenet_v2_x0_5": (models.shufflenet_v2_x0_5, (1, 3, 64, 64)),
    "squeezenet1_1": (models.squeezenet1_1, (1, 3, 64, 64)),
    "regnet_y_400mf": (models.regnet_y_400mf, (1, 3, 64, 64)),
    "vgg11_bn": (models.vgg11_bn, (1, 3, 32, 32)),
    "alexnet": (models.alexnet, (1, 3, 96, 96)),
}


@pytest.mark.parametrize(
    "name",
    [n if n not in ("vgg11_bn", "alexnet") else pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS],
)
def test_networks_come_back_as_they_were(name: str) -> None:
    make, shape = NETWORKS[name]
    model = make()
    proto = check(model, shape, tolerance=1e-5)
    loaded = cnncore.onnx.load(proto)
    state = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    for key, value in loaded.state_dict().items():
        np.testing.assert_array_equal(value, state.pop(key))
    assert state == {}
    x = RNG.standard_normal((2, *shape[1:])).astype(np.float32)
    np.testing.assert_array_equal(loaded(x), model(x))


def test_an_imported_network_is_trained_and_exported_with_its_names(tmp_path: Path) -> None:
    model = randomized(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3)))
    proto = cnncore.onnx.export(model, None, (1, 1, 6, 6), dynamic_batch=True, input_names=["image"])
    imported = cnncore.onnx.load(proto)
    x, y = RNG.standard_normal((4, 1, 6, 6)).astype(np.float32), np.array([0, 1, 2, 1])
    step = cc.train_step(lambda x, y: ops.cross_entropy(imported(x), y), optim.Adam(imported.parameters()))
    losses = [float(step(x, y)) for _ in range(5)]
    assert losses[-1] < losses[0]
    path = tmp_path / "trained.onnx"
    cnncore.onnx.export(imported, path, (1, 1, 6, 6), dynamic_batch=True)
    again = onnx.load(path)
    assert {t.name for t in proto.graph.initializer} <= {t.name for t in again.graph.initializer}
    assert again.graph.input[0].name == "image"
    np.testing.assert_array_equal(cnncore.onnx.load(path)(x), imported(x))


def test_what_comes_before_and_after() -> None:
    model = randomized(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 5)))
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    proto = cnncore.onnx.export(
        model,
        None,
        (1, 3, 8, 8),
        dynamic_batch=True,
        normalize=(mean, std),
        softmax=True,
        metadata={"a": "b"},
    )
    x = RNG.uniform(size=(2, 3, 8, 8)).astype(np.float32)
    shape = (1, 3, 1, 1)
    want = ops.softmax(model((x - np.reshape(mean, shape)) / np.reshape(std, shape)), 1)
    for found in (cnncore.onnx.load(proto)(x), *(in_onnxruntime(proto, x) or [])):
        np.testing.assert_allclose(found, want, atol=1e-5)
    assert {t.name for t in proto.graph.initializer} >= set(model.state_dict())
    assert {entry.key: entry.value for entry in proto.metadata_props}["a"] == "b"
    with pytest.raises(ValueError, match="of 3 channels"):
        cnncore.onnx.export(model, None, (1, 3, 8, 8), normalize=((0.5,), (0.1,)))
    with pytest.raises(ValueError, match="one output"):
        cnncore.onnx.export(Function(lambda x: (x, x)), None, (1, 3), softmax=True)


def test_weights_in_a_file_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnncore.onnx.writing.LARGEST", 1000)
    model = randomized(models.lenet5())
    with pytest.raises(ValueError, match="give a path"):
        cnncore.onnx.export(model, None, (1, 1, 28, 28))
    path = tmp_path / "model.onnx"
    cnncore.onnx.export(model, path, (1, 1, 28, 28), dynamic_batch=True)
    assert {file.name for file in tmp_path.iterdir()} == {"model.onnx", "model.onnx.data"}
    assert path.stat().st_size < 5000
    loaded = cnncore.onnx.load(path)
    x = RNG.standard_normal((2, 1, 28, 28)).astype(np.float32)
    np.testing.assert_array_equal(loaded(x), model(x))
    assert loaded.state_dict().keys() == model.state_dict().keys()
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(path))
    np.testing.assert_allclose(session.run(None, {"input": x})[0], model(x), atol=1e-5)


@pytest.mark.slow
def test_models_above_2_gb(tmp_path: Path) -> None:
    """Needs 8 GB of memory."""
    model = nn.Sequential(nn.Linear(8, 1 << 15, bias=False), nn.Linear(1 << 15, 18_000, bias=False))
    for parameter in model.parameters():
        parameter.assign(np.full(parameter.shape, 1 / 1024, np.float32))
    cnncore.onnx.export(model, tmp_path / "m.onnx", (1, 8))
    assert (tmp_path / "m.onnx.data").stat().st_size > 1 << 31
    del model
    y = cnncore.onnx.load(tmp_path / "m.onnx")(np.ones((1, 8), np.float32))
    np.testing.assert_allclose(y, np.full((1, 18_000), 8 / 1024 * 32), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("opset", "x"), ("opset", 17.0), ("softmax", 2), ("dynamic_batch", "yes"), ("dynamic_size", None)]
    + [("normalize", wrong) for wrong in (5, "ab", ([0.5],), ("a", "b"), [None, None])]
    + [("metadata", wrong) for wrong in (5, ["a"], {"a": 1}, {1: "a"})]
    + [(f"{kind}_names", wrong) for kind in ("input", "output") for wrong in (5, [None], [[]], "ab", [""])],
)
def test_settings_are_refused_by_name(name: str, wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        cnncore.onnx.export(nn.Sequential(nn.Conv2d(1, 1, 3)), None, (1, 1, 4, 4), **{name: wrong})


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="expected a Module"):
        cnncore.onnx.export(lambda x: x, None, (1, 2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"losses are not exported|has no form in ONNX"):
        cnncore.onnx.export(Function(lambda x: ops.mse_loss(x, x * 2.0)), None, (1, 2))
    with pytest.raises(ValueError, match="batch"):
        cnncore.onnx.export(Function(lambda x: x * float(x.shape[0] ** 2)), None, (2, 2), dynamic_batch=True)
    path = tmp_path / "model.onnx"
    with pytest.raises(ValueError, match="windows of different sizes"):
        cnncore.onnx.export(nn.AdaptiveMaxPool2d(3), path, (1, 1, 7, 7))
    assert not path.exists()


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bags(mode: str) -> None:
    model = nn.EmbeddingBag(10, 4, mode=mode).eval()
    words = np.array([[1, 2, 0], [9, 9, 3]])
    proto = cnncore.onnx.export(model, None, (2, 3), input_dtype="int64")
    for found in (cnncore.onnx.load(proto)(words), *(in_onnxruntime(proto, words) or [])):
        np.testing.assert_allclose(found, model(words), atol=1e-6)
    with pytest.raises(ValueError, match="do not count"):
        cnncore.onnx.export(nn.EmbeddingBag(10, 4, padding_idx=0), None, (2, 3), input_dtype="int64")


@pytest.mark.parametrize("aligned", [False, True])
def test_regions(aligned: bool) -> None:
    rois = np.array([[0, 1, 2, 9, 8], [1, 0.5, 0, 4, 12]], np.float32)
    model = Function(lambda x: ops.roi_align(x, rois, (2, 3), 0.5, 2, aligned))
    check_fixed(model, RNG.standard_normal((2, 3, 8, 9)).astype(np.float32))


def check_fixed(model: nn.Module, x: Any, **options: Any) -> None:
    proto = cnncore.onnx.export(model, None, x.shape, **options)
    want = model(x)
    for found in (cnncore.onnx.load(proto)(x), *(in_onnxruntime(proto, x) or [])):
        np.testing.assert_allclose(found, want, atol=1e-5 * np.abs(want).max())


def test_suppression_of_boxes() -> None:
    corner = RNG.uniform(0, 20, (40, 2)).astype(np.float32)
    boxes = np.concatenate([corner, corner + RNG.uniform(2, 9, (40, 2))], 1).astype(np.float32)
    scores, groups = RNG.permutation(40).astype(np.float32), np.arange(40) % 3
    check_fixed(Function(lambda b: ops.nms(b, scores, 0.3, max_output=9) * 1.0), boxes)
    check_fixed(Function(lambda b: ops.nms(b, scores, 0.01, max_output=30) * 1.0), boxes)
    check_fixed(Function(lambda b: ops.batched_nms(b, scores, groups, 0.3, max_output=25) * 1.0), boxes)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Function(lambda x: ops.deform_conv2d(x, x[:, :, 1:-1, 1:-1] * 0.1, np.ones((2, 18, 3, 3)))),
        lambda: nn.LSTM(18, 4, proj_size=2),
    ],
)
def test_layers_without_a_form(make: Callable[[], nn.Module]) -> None:
    model = make()
    shape = (5, 2, 18) if isinstance(model, nn.LSTM) else (1, 18, 6, 6)
    with pytest.raises(ValueError, match=r"has no form in ONNX|have no form in ONNX"):
        cnncore.onnx.export(model, None, shape)


@pytest.mark.parametrize("dynamic_batch", [False, True])
def test_inputs_of_integers(dynamic_batch: bool) -> None:
    model = nn.Sequential(nn.Embedding(10, 4, padding_idx=0), nn.Flatten(), nn.Linear(12, 3)).eval()
    words = np.array([[1, 2, 0], [9, 9, 3]])
    proto = cnncore.onnx.export(model, None, (2, 3), input_dtype="int64", dynamic_batch=dynamic_batch)
    assert proto.graph.input[0].type.tensor_type.elem_type == 7  # INT64
    np.testing.assert_array_equal(cnncore.onnx.load(proto)(words), model(words))
    for found in in_onnxruntime(proto, words) or []:
        np.testing.assert_allclose(found, model(words), atol=2e-6)
    with pytest.raises(TypeError, match=r"a tuple of ints .*, got an array of shape \(2, 3\)"):
        cnncore.onnx.export(model, None, words)
