# SPDX-License-Identifier: Apache-2.0
"""Modules called on arrays: modes, prediction in batches, and errors that name the layer."""

from __future__ import annotations

import copy
import ctypes
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pytest

import cnncore as cc
from cnncore import models, nn, ops

RNG = np.random.default_rng(0)


def image(*shape: int) -> Any:
    return RNG.normal(size=shape).astype(np.float32)


LAYERS = [
    ("Conv2d(3, 4, 3, stride=2, padding=1)", (2, 3, 9, 8)),
    ("Conv2d(4, 8, (3, 1), padding=(2, 0), dilation=(2, 1), groups=2, bias=False)", (2, 4, 7, 7)),
    ("Conv2d(3, 4, 4, padding='same')", (2, 3, 9, 8)),
    ("Conv2d(3, 4, 3, padding='valid')", (2, 3, 9, 8)),
    ("Conv1d(4, 6, 3, stride=2, padding=1)", (2, 4, 9)),
    ("Conv1d(4, 6, (3,), padding='same', dilation=2, groups=2, bias=False)", (2, 4, 9)),
    ("Conv3d(2, 4, (2, 3, 3), (1, 2, 1), (1, 0, 1))", (2, 2, 4, 6, 5)),
    ("ConvTranspose1d(4, 6, 3, 2, 1, 1)", (2, 4, 9)),
    ("ConvTranspose3d(2, 4, (2, 3, 2), (1, 2, 1), dilation=(1, 1, 2))", (1, 2, 3, 4, 5)),
    ("Linear(5, 7)", (3, 5)),
    ("BatchNorm1d(3)", (4, 3)),
    ("BatchNorm1d(3, affine=False)", (4, 3, 7)),
    ("BatchNorm3d(3)", (2, 3, 3, 4, 5)),
    ("MaxPool1d(3, 2, 1)", (2, 3, 9)),
    ("MaxPool1d(2, dilation=2, ceil_mode=True)", (2, 3, 9)),
    ("MaxPool3d((2, 3, 2), (1, 2, 2), (0, 1, 1))", (2, 3, 4, 6, 5)),
    ("AvgPool1d(3, 2, 1, True, False)", (2, 3, 9)),
    ("AvgPool3d(2, divisor_override=3)", (2, 3, 4, 6, 5)),
    ("AdaptiveAvgPool1d(3)", (2, 3, 8)),
    ("AdaptiveAvgPool3d((2, None, 3))", (2, 3, 4, 6, 5)),
    ("AdaptiveMaxPool1d(4)", (2, 3, 8)),
    ("AdaptiveMaxPool3d(2)", (2, 3, 4, 6, 5)),
    ("Linear(5, 7, bias=False)", (3, 2, 5)),
    ("BatchNorm2d(3)", (4, 3, 5, 6)),
    ("BatchNorm2d(3, eps=0.1, momentum=0.3, affine=False)", (4, 3, 5, 6)),
    ("BatchNorm2d(3, track_running_stats=False)", (4, 3, 5, 6)),
    ("MaxPool2d(2)", (2, 3, 9, 8)),
    ("MaxPool2d((3, 2), stride=(2, 1), padding=1, ceil_mode=True)", (2, 3, 9, 8)),
    ("MaxPool2d(3, stride=1, dilation=2)", (2, 3, 9, 8)),
    ("AvgPool2d(3, 2, 1, True, False)", (2, 3, 9, 8)),
    ("AvgPool2d(2, divisor_override=3)", (2, 3, 9, 8)),
    ("AdaptiveAvgPool2d((3, None))", (2, 3, 9, 8)),
    ("AdaptiveMaxPool2d(2)", (2, 3, 9, 8)),
    ("Flatten()", (2, 3, 4, 5)),
    ("Flatten(0, 1)", (2, 3, 4, 5)),
    ("ReLU(inplace=True)", (2, 3)),
    ("LeakyReLU(0.2)", (2, 3, 4)),
    ("ReLU6()", (2, 50)),
    ("Sigmoid()", (2, 3)),
    ("Tanh()", (2, 3)),
    ("Softmax(dim=-1)", (2, 3, 4)),
    ("Softmax(dim=1)", (2, 3, 4, 5)),
    ("LogSoftmax(dim=1)", (2, 3)),
    ("Identity()", (2, 3)),
]


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize(("layer", "shape"), LAYERS)
@pytest.mark.parametrize("training", [True, False])
def test_layers_match_torch(layer: str, shape: tuple[int, ...], training: bool) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = eval(f"nn.{layer}"), eval(f"torch.nn.{layer}", {"torch": torch})
    theirs.load_state_dict({name: torch.from_numpy(array) for name, array in ours.state_dict().items()})
    ours.train(training)
    theirs.train(training)
    x = 4 * image(*shape)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x.copy())).numpy()
    np.testing.assert_allclose(ours(x), expected, rtol=1e-5, atol=1e-5)
    for name, tensor in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name], tensor.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 3, 4), (2, 3, 4, 5)])
def test_softmax_without_axis(shape: tuple[int, ...]) -> None:
    y = nn.Softmax()(image(*shape))
    axis = 0 if len(shape) in (1, 3) else 1
    np.testing.assert_allclose(y.sum(axis=axis), 1.0, rtol=1e-6)


LOSSES = [
    ("CrossEntropyLoss(reduction='sum', label_smoothing=0.1)", "classes"),
    ("CrossEntropyLoss(ignore_index=2)", "classes"),
    ("CrossEntropyLoss(reduction='none')", "classes"),
    ("MSELoss()", "values"),
    ("MSELoss('sum')", "values"),
    ("BCEWithLogitsLoss()", "values"),
    ("BCEWithLogitsLoss(reduction='none')", "values"),
]


@pytest.mark.parametrize(("loss", "kind"), LOSSES)
def test_losses_match_torch(loss: str, kind: str) -> None:
    torch = pytest.importorskip("torch")
    output = image(6, 5)
    target: Any = RNG.integers(0, 5, 6) if kind == "classes" else RNG.random((6, 5)).astype(np.float32)
    their_loss = loss.replace("MSELoss('sum')", "MSELoss(reduction='sum')")
    expected = eval(f"torch.nn.{their_loss}", {"torch": torch})(
        torch.from_numpy(output), torch.from_numpy(target)
    )
    np.testing.assert_allclose(eval(f"nn.{loss}")(output, target), expected.numpy(), rtol=2e-6, atol=1e-6)


def test_class_weights_match_torch() -> None:
    torch = pytest.importorskip("torch")
    output, target, weight = image(6, 5), RNG.integers(0, 5, 6), RNG.random(5).astype(np.float32)
    expected = torch.nn.CrossEntropyLoss(torch.from_numpy(weight))(
        torch.from_numpy(output), torch.from_numpy(target)
    )
    np.testing.assert_allclose(nn.CrossEntropyLoss(weight)(output, target), expected.numpy(), rtol=1e-6)
    positive = nn.BCEWithLogitsLoss(pos_weight=weight)(output, (output > 0).astype(np.float32))
    expected = torch.nn.BCEWithLogitsLoss(pos_weight=torch.from_numpy(weight))(
        torch.from_numpy(output), torch.from_numpy((output > 0).astype(np.float32))
    )
    np.testing.assert_allclose(positive, expected.numpy(), rtol=1e-6)


def test_modes_decide_what_dropout_and_batch_norm_do() -> None:
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5))
    x = image(8, 3, 4, 4)
    y = net(x)
    assert 0.3 < (y == 0).mean() < 0.7
    assert net[0].num_batches_tracked.item() == 1
    np.testing.assert_allclose(net[0].running_mean, 0.1 * x.mean((0, 2, 3)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(net[0].running_var, 0.9 + 0.1 * x.var((0, 2, 3), ddof=1), rtol=1e-5, atol=1e-6)
    net.eval()
    state = net.state_dict()
    first, second = net(x), net(x)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(
        first,
        (x - state["0.running_mean"][:, None, None]) / np.sqrt(state["0.running_var"][:, None, None] + 1e-5),
        rtol=1e-5,
        atol=1e-5,
    )
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, state[name])


def test_changes_take_effect_at_the_next_call() -> None:
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU()).eval()
    x = image(1, 2, 6, 6)
    net(x)
    net[0].weight.assign(np.zeros((3, 2, 3, 3)))
    net[0].bias.assign([1.0, -1.0, 2.0])
    np.testing.assert_array_equal(net(x)[0, :, 0, 0], [1.0, 0.0, 2.0])
    net[1] = nn.Identity()
    np.testing.assert_array_equal(net(x)[0, :, 0, 0], [1.0, -1.0, 2.0])
    net.append(nn.Flatten())
    assert net(x).shape == (1, 48)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_compute_the_same(duplicate: Any) -> None:
    net = models.lenet5().eval()
    x = image(3, 1, 28, 28)
    expected = net(x)
    other = duplicate(net)
    np.testing.assert_array_equal(other(x), expected)
    other.fc3.bias.assign(np.ones(10))
    assert not np.array_equal(other(x), expected)
    np.testing.assert_array_equal(net(x), expected)


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 9])
def test_predict_takes_any_number_of_rows(rows: int) -> None:
    net = models.mnist_cnn()
    net.dropout1.eval()
    x = image(rows, 1, 28, 28)
    y = net.predict(x, batch_size=4)
    assert [module.training for module in (net, net.dropout1, net.dropout2)] == [True, False, True]
    assert y.shape == (rows, 10)
    np.testing.assert_allclose(y, net.eval()(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_several_threads_may_predict(training: bool) -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 3)
    )
    net.train(training)
    x = image(40, 1, 8, 8)
    expected = net.predict(x, 8)
    with ThreadPoolExecutor(4) as pool:
        for y in pool.map(lambda _: net.predict(x, 8), range(40)):
            np.testing.assert_array_equal(y, expected)
    assert all(module.training is training for module in net.modules())


def test_predict_of_several_outputs() -> None:
    class Two(nn.Module):
        def forward(self, x: Any) -> Any:
            return ops.relu(x), ops.neg(x)

    x = image(5, 3)
    first, second = Two().predict(x, batch_size=2)
    np.testing.assert_array_equal(first, np.maximum(x, 0))
    np.testing.assert_array_equal(second, -x)


@pytest.mark.parametrize(
    ("x", "batch_size", "error", "message"),
    [
        (np.zeros(4), 32, ValueError, r"x of shape \(rows, ...\), got \(4,\); one row is x\[None\]"),
        (np.zeros((2, 4), complex), 32, TypeError, "real numbers"),
        (np.zeros((2, 4)), 0, ValueError, "batch_size of at least 1, got 0"),
        (np.zeros((2, 4)), 1.5, TypeError, "an integer batch_size, got 1.5"),
    ],
)
def test_predict_refuses(x: Any, batch_size: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        nn.Linear(4, 2).predict(x, batch_size)


class Pair(NamedTuple):
    left: Any
    right: Any


class Structured(nn.Module):
    def forward(self, x: Any) -> Any:
        return {"a": x, "b": [(ops.relu(x), Pair(ops.neg(x), ops.reshape(x, (-1, 2, 2))))], "none": None}


@pytest.mark.parametrize("rows", [0, 1, 3, 4, 40])
def test_predict_joins_outputs_of_any_structure(rows: int) -> None:
    x = image(rows, 4)
    found = Structured().predict(x, batch_size=3)
    assert list(found) == ["a", "b", "none"]
    np.testing.assert_array_equal(found["a"], x)
    assert type(found["b"]) is list
    ((relu, pair),) = found["b"]
    assert type(pair) is Pair
    np.testing.assert_array_equal(relu, np.maximum(x, 0))
    np.testing.assert_array_equal(pair.left, -x)
    np.testing.assert_array_equal(pair.right, x.reshape(-1, 2, 2))
    assert found["none"] is None


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_predict_refuses_what_is_no_value_of_a_row(rows: int) -> None:
    class Mean(nn.Module):
        def forward(self, x: Any) -> Any:
            return x, {"mean": ops.mean(x)}

    with pytest.raises(ValueError, match=r"expected output\[1\]\['mean'\] to have a row .* got shape \(\)"):
        Mean().predict(image(rows, 4), batch_size=2)


def test_errors_name_the_layer() -> None:
    net = models.resnet20()
    with pytest.raises(ValueError, match=r"\[conv1\] expected input with 3 channels .*channels-last"):
        net(np.zeros((1, 32, 32, 3), np.float32))
    with pytest.raises(ValueError, match=r"\[Conv2d\] expected input with 4 axes .*input\[None\]"):
        nn.Conv2d(1, 1, 3)(np.zeros((1, 8, 8)))
    nested = nn.Sequential(nn.Sequential(nn.ReLU(), nn.Linear(3, 3)))
    with pytest.raises(ValueError, match=r"\[0\.1\]"):
        nested(np.zeros((1, 4)))
    with pytest.raises(ValueError, match="one sample has no variance"):
        nn.BatchNorm2d(3)(np.zeros((1, 3, 1, 1)))
    with pytest.raises(AttributeError, match="Module has no attribute 'forward'"):
        nn.Module()(np.zeros(3))


def test_parameters_in_arithmetic() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter([2.0, 3.0])
            self.shift = nn.Parameter([1.0])

        def forward(self, x: Any) -> Any:
            return np.float32(2.0) * self.scale * x + self.shift - np.ones(2, np.float32) * self.shift

    net = Scale()
    np.testing.assert_allclose(net(np.array([[1.0, 2.0]])), [[4.0, 12.0]])
    net.scale.assign([0.0, 1.0])
    np.testing.assert_allclose(net(np.array([[1.0, 2.0]])), [[0.0, 4.0]])
    value, grads = cc.value_and_grad(lambda x: net(x).sum(), dict(net.named_parameters()))(np.ones((1, 2)))
    assert float(value) == 2.0
    assert grads["scale"].tolist() == [2.0, 2.0]
    assert grads["shift"].tolist() == [0.0]


def test_classes_need_a_score_each() -> None:
    class Pair(nn.Module):
        def forward(self, x: Any) -> Any:
            return x, x

    x = np.array([[0.0, 2.0, 1.0], [5.0, 0.0, 0.0]], np.float32)
    identity = nn.Identity()
    assert identity.predict_classes(x).tolist() == [1, 0]
    assert identity.predict_classes(memoryview(x)).tolist() == [1, 0]
    with pytest.raises(ValueError, match=r"expected outputs \(rows, classes, ...\), got tuple"):
        Pair().predict_classes(x)
    with pytest.raises(ValueError, match=r"got shape \(2, 1\)"):
        identity.predict_classes(x[:, :1])
    identity.class_names = ["a", "b", "c"]
    assert identity.predict_classes(x).tolist() == ["b", "a"]
    identity.class_names = ["a", "b"]
    with pytest.raises(ValueError, match="expected 3 class_names, one for each output, got 2"):
        identity.predict_classes(x)


def test_buffers_without_a_shape_of_their_own_are_rows() -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    rows = ((ctypes.c_float * 3) * 2).from_buffer_copy(x.tobytes())
    assert not hasattr(rows, "shape")
    np.testing.assert_array_equal(nn.Identity().predict(rows, batch_size=1), x)
