# SPDX-License-Identifier: Apache-2.0
"""Arguments that mean nothing are refused: the message names the argument, what it takes and what came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import data, models, nn, ops, optim
from cnncore.optim import swa_utils

X = np.ones((2, 3, 8, 8), np.float32)
V = np.ones(3, np.float32)
NAN = float("nan")
LOGITS, LABELS = np.ones((2, 3)), np.array([0, 1])


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 2))


def predictor() -> cc.Predictor:
    return cc.compile(network(), (1, 2))


def total(tensor: Any) -> Any:
    return ops.sum(tensor)


def forward(function: Callable[[Any], Any]) -> Any:
    return cc.grad(lambda tensor: ops.sum(function(tensor)))(X)


class Returning(nn.Module):
    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result

    def forward(self, x: Any) -> Any:
        return self.result


def trainer(loss: Any) -> cc.Trainer:
    model = network()
    return cc.Trainer(model, loss, optim.SGD(model.parameters(), 0.1))


def fit(train: Any, **options: Any) -> Any:
    return trainer(nn.MSELoss()).fit(train, epochs=1, verbose=0, **options)


CASES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: ops.batch_norm(X, V, V, eps=-1), ValueError, r"\[batch_norm\] .* eps .*-1"),
    (
        lambda: ops.batch_norm(X, V, V, eps=NAN),
        ValueError,
        "eps that is finite.*got nan",
    ),
    (lambda: ops.batch_norm(X, V, V, momentum=2), ValueError, "momentum from 0 to 1, got 2"),
    (lambda: ops.instance_norm(X, V, V, momentum=1.5), ValueError, "momentum from 0 to 1, got 1.5"),
    (lambda: ops.instance_norm(X, V, V, momentum=-0.5), ValueError, "momentum from 0 to 1, got -0.5"),
    (lambda: ops.batch_norm(X, V, V, momentum="x"), TypeError, "number for momentum, got 'x'"),
    (lambda: nn.BatchNorm2d(3, eps="x"), TypeError, "a number for eps, got 'x'"),
    (
        lambda: nn.BatchNorm2d(3, eps=NAN),
        ValueError,
        "a finite eps of at least 0, got nan",
    ),
    (
        lambda: ops.leaky_relu(X, NAN),
        ValueError,
        r"\[leaky_relu\] expected negative_slope that is",
    ),
    (lambda: ops.leaky_relu(X, "x"), TypeError, "a number for negative_slope, got 'x'"),
    (lambda: ops.elu(X, NAN), ValueError, r"\[elu\] expected alpha that is finite, got nan"),
    (lambda: ops.softplus(X, "x"), TypeError, r"\[softplus\] expected a number for beta, got 'x'"),
    (lambda: nn.LeakyReLU("x"), TypeError, "a number for negative_slope, got 'x'"),
    (lambda: nn.LeakyReLU(NAN), ValueError, "a finite negative_slope, got nan"),
    (
        lambda: ops.dropout(X, p="0"),
        TypeError,
        r"\[dropout\] .* number for a probability p, got '0'",
    ),
    (lambda: ops.dropout(X, p=NAN), ValueError, "probability p from 0 to 1, got nan"),
    (
        lambda: ops.cross_entropy(LOGITS, LABELS, label_smoothing="x"),
        TypeError,
        "a number for label_smoothing, got 'x'",
    ),
    (
        lambda: ops.cross_entropy(LOGITS, LABELS, ignore_index="x"),
        TypeError,
        "an integer for ignore_index, got 'x'",
    ),
    (
        lambda: ops.cross_entropy(LOGITS, LABELS, ignore_index=0.5),
        TypeError,
        "an integer for ignore_index, got 0.5",
    ),
    (lambda: ops.reshape(X, "ab"), TypeError, r"\[reshape\] expected an integer .* got 'ab'"),
    (
        lambda: ops.reshape(X, (1.5, -1)),
        TypeError,
        r"\[reshape\] expected an integer .* got 1.5",
    ),
    (lambda: ops.pad(X, "xx"), TypeError, r"\[pad\] expected pad as pairs of integers.* got 'xx'"),
    (lambda: ops.pad(X, (0.5, 1)), TypeError, r"\[pad\] expected an integer .* got 0.5"),
    (lambda: forward(lambda t: t[::0]), ValueError, "expected a step of a slice other than 0"),
    (lambda: forward(lambda t: t[::"x"]), TypeError, "integer for the step of a slice"),
    (
        lambda: cc.compile(nn.ReLU, (1, 3)),
        TypeError,
        r"the class itself: pass ReLU\(\.\.\.\)",
    ),
    (lambda: cc.compile(lambda x: None, (1, 3)), TypeError, "got None: is a return missing"),
    (lambda: network()["x"], TypeError, "an integer or a slice as index, got 'x'"),
    (lambda: network()[1.5], TypeError, "an integer or a slice as index, got 1.5"),
    (lambda: nn.ModuleList([nn.ReLU()])["x"], TypeError, "an integer or a slice as index"),
    (lambda: cc.grad(total, argnums="a"), TypeError, "argnums as an input's number.*got 'a'"),
    (lambda: cc.grad(total, argnums=None), TypeError, "argnums as an input's number.*None"),
    (
        lambda: cc.value_and_grad(total, None),
        TypeError,
        "list or dict of Parameters, got None",
    ),
    (
        lambda: cc.value_and_grad(total, network()),
        TypeError,
        r"pass list\(model.parameters",
    ),
    (lambda: cc.grad_check(None, [V]), TypeError, "expected a function, got NoneType"),
    (lambda: optim.Adam([nn.Parameter(V)], betas=0.9), TypeError, "betas as two numbers, got 0.9"),
    (lambda: optim.SGD([nn.Parameter(V)], lr=V), TypeError, "a number for lr, got array"),
    (lambda: cc.summary(network(), None), TypeError, "input_shape as a tuple of ints.*got None"),
    (lambda: cc.summary(network(), "12"), TypeError, "input_shape as a tuple of ints.*'12'"),
    (lambda: cc.measure_peak("x"), TypeError, "a number for seconds, got 'x'"),
    (
        lambda: cc.compile(network(), (1, 2)).autotune(np.ones((1, 2)), seconds="x"),
        TypeError,
        "a number for seconds, got 'x'",
    ),
    (lambda: cc.load_into(None, "m"), TypeError, "model to be a Module, got NoneType"),
    (lambda: cc.save({"a": V}, "a\0b"), ValueError, "which holds a NUL character"),
    (lambda: cc.save({"a": V}, 3), TypeError, "expected a file's path, got 3"),
    (lambda: cc.load(0), TypeError, "expected a file's path, got 0"),
    (lambda: data.read_image("x.pgm", size=5), TypeError, r"size as \(height, width\).* got 5"),
    (lambda: data.resize(X, (2.5, 2)), TypeError, r"size as \(height, width\)"),
    (lambda: data.resize(X, (2**40, 2**40)), ValueError, "a size of at most 67108864 pixels"),
    (lambda: data.resize("text", (2, 2)), TypeError, "expected an image of numbers"),
    (lambda: ops.relu(np.ma.masked_equal(V, 1)), TypeError, r"\[relu\] .* without masked values"),
    (lambda: models.resnet18(weights="DEFAULT"), ValueError, "resnet18: expected weights=None"),
    (lambda: models.vgg11(10, num_classes=10), TypeError, "vgg11: got classes twice"),
    (lambda: models.resnet18(groups=2), ValueError, "expected groups=1.*resnet50 and deeper take others"),
    (lambda: models.resnet34(replace_stride_with_dilation=(True,) * 3), ValueError, "and no dilation"),
    (lambda: models.resnet50(replace_stride_with_dilation=[True]), ValueError, "three booleans or None"),
    (lambda: models.mobilenet_v2(inverted_residual_setting=[[1, 2]]), ValueError, "expansion, channels, blo"),
    (lambda: models.mobilenet_v2(inverted_residual_setting=[[1, 16, 1, 3]]), ValueError, "stride of 1 or 2"),
    (lambda: models.mobilenet_v2(round_nearest=0), ValueError, "round_nearest of at least 1"),
    (lambda: models.mobilenet_v2(width_mult=NAN), ValueError, "finite width_mult"),
    (lambda: forward(lambda t: np.sum(t, dtype="f8")), TypeError, r"\[sum\] .* got dtype"),
    (
        lambda: forward(lambda t: t.sum(1, axis=1)),
        TypeError,
        r"\[sum\] expected dim or axis, got both",
    ),
    (lambda: nn.Module()(X), AttributeError, "no attribute 'forward'; a Module needs a method forward"),
    (lambda: network().apply(5), TypeError, "expected a function of a module, got 5"),
    (lambda: network().requires_grad_("x"), TypeError, "requires_grad True or False, got 'x'"),
    (lambda: nn.Parameter(V, requires_grad=2), TypeError, "requires_grad True or False, got 2"),
    (lambda: setattr(nn.Parameter(V), "requires_grad", None), TypeError, "True or False, got None"),
    (lambda: cc.summary(network(), [(1, 2), "a"]), TypeError, "input_shape as a tuple of ints.*got 'a'"),
    (lambda: nn.init.zeros_(5), TypeError, "a Parameter or a float array, got 5"),
    (lambda: nn.init.normal_(np.ones(3, int)), TypeError, "float array, got an array of int64"),
    (lambda: nn.init.uniform_(nn.Linear(2, 2)), TypeError, "got a Linear: pass its .weight or .bias"),
    (lambda: nn.init.kaiming_normal_("x"), TypeError, "a Parameter or a float array, got 'x'"),
    (lambda: nn.init.constant_(nn.Parameter(V), "x"), TypeError, "a number for val, got 'x'"),
    (lambda: nn.init.normal_(nn.Parameter(V), 0, -1), ValueError, "finite std of at least 0, got -1"),
    (lambda: nn.init.normal_(nn.Parameter(V), NAN), ValueError, "finite mean, got nan"),
    (lambda: nn.init.trunc_normal_(nn.Parameter(V), std=NAN), ValueError, "finite std .* got nan"),
    (lambda: nn.init.uniform_(nn.Parameter(V), 2, 1), ValueError, "a <= b, got a=2, b=1"),
    (lambda: Returning(None)(X), TypeError, r"Returning.forward returned None: is a return missing"),
    (lambda: trainer(nn.MSELoss), TypeError, r"got the class itself: pass MSELoss\(\)"),
    (lambda: fit([[[1, 2], [3, 4]], [[1, 0], [0, 1]]]), TypeError, "x and y of two rows .*or two batches"),
    (lambda: fit((X, V, V, V)), TypeError, r"expected \(x, y\) or \(x, y, weights\), got 4 arrays"),
    (lambda: fit([V] * 3), ValueError, r"batches \(x, y\) or .*, got an array of shape \(3,\)"),
    (lambda: fit((X, V), shuffle="x"), TypeError, "shuffle True or False, got 'x'"),
    (lambda: network()(None), TypeError, r"\[0\] expected an array of real numbers, got None"),
    (lambda: network().predict({"x": V}), TypeError, "expected an array of real numbers, got dict"),
    (lambda: cc.grad(total)({"x": V}), TypeError, r"\[input\] expected an array of real numbers, got dict"),
    (lambda: network()("a"), TypeError, "expected an array of real numbers, got 'a'"),
    (lambda: cc.save({"a": {"b": V}}, "m"), TypeError, "need names of their own, such as 'a.weight'"),
    (lambda: predictor().autotune(np.ones((1, 2)), seconds=V), TypeError, "a number for seconds, got array"),
    (lambda: predictor().autotune(np.ones((1, 2)), margin="x"), TypeError, "a number for margin, got 'x'"),
    (lambda: predictor().profile(np.ones((1, 2)), repeats=V), TypeError, "an integer repeats, got array"),
    (lambda: swa_utils.AveragedModel(network(), avg_fn=5), TypeError, "avg_fn as a function, got 5"),
    (lambda: swa_utils.AveragedModel(network(), use_buffers="x"), TypeError, "use_buffers True or False"),
    (lambda: swa_utils.EMA(network(), decay=V), TypeError, "a number for decay, got array"),
    (lambda: swa_utils.update_bn([], None), TypeError, "model to be a Module, got NoneType"),
    (lambda: nn.utils.weight_norm(5), TypeError, "module to be a Module, got int"),
    (lambda: nn.utils.weight_norm(nn.Linear(2, 2), []), ValueError, "name as that of a parameter"),
    (lambda: nn.utils.weight_norm(nn.Linear(2, 2), dim=V), TypeError, "an axis number as dim"),
    (lambda: nn.utils.spectral_norm(nn.Linear(2, 2), dim=0.5), TypeError, "an axis number as dim, got 0.5"),
    (lambda: nn.utils.spectral_norm(nn.Linear(2, 2), "weight", 2**70), ValueError, "n_power_iterations of"),
    (lambda: nn.utils.rnn.pad_sequence(5), TypeError, "sequences as a list of arrays, got 5"),
    (lambda: nn.utils.rnn.pad_sequence([V], batch_first=2), TypeError, "batch_first True or False, got 2"),
    (
        lambda: nn.init.kaiming_normal_(nn.Parameter(X), mode=V),
        ValueError,
        "expected mode 'fan_in', 'fan_out'",
    ),
    (lambda: nn.init.calculate_gain([]), TypeError, "nonlinearity as a name such as 'relu'"),
    (lambda: predictor().load_choices("/dev/zero"), ValueError, "expected a regular file"),
    (lambda: predictor().load_choices(3), TypeError, "expected a file's path, got 3"),
    (lambda: cc.tiled(predictor(), overlap=V), ValueError, "expected overlap 'exact'"),
    (lambda: cc.grad(total, argnums=np.ones(2, int)), TypeError, "argnums as an input's number"),
    (lambda: cc.grad_check(total, [V], step=0), ValueError, "expected step above 0"),
    (lambda: cc.grad_check(total, [V], seed=-1), ValueError, "seed of at least 0, got -1"),
    (lambda: cc.grad_check(total, 5), TypeError, "inputs as a list of arrays, got 5"),
    (lambda: cc.manual_seed(np.ones(2, int)), TypeError, "an integer seed, got array"),
    (lambda: cc.set_accuracy(V), ValueError, "expected accuracy 'exact' or 'fast'"),
    (lambda: cc.measure_peak(V), TypeError, "a number for seconds, got array"),
    (lambda: cc.checkpoint_sequential([5], 1, X), TypeError, "functions as a list of modules or functions"),
    (lambda: cc.freeze(network(), statistics="x"), TypeError, "statistics True or False, got 'x'"),
    (lambda: cc.parameter_groups(network(), 5), TypeError, "rules as a list of pairs, got 5"),
    (lambda: cc.replace_head(network(), 2, name=[]), ValueError, "name as the path of a layer"),
    (
        lambda: network().load_state_dict(network().state_dict(), strict="x"),
        TypeError,
        "strict True or False",
    ),
    (lambda: cc.save(network(), "m", metadata=["x"]), TypeError, "metadata as a dict of texts"),
    (lambda: cc.save(network(), "m", classes=5), TypeError, "classes as a list of names, got 5"),
    (lambda: cc.save(network(), "m", preprocessing={"a": 1}), TypeError, "size, mean, std and fit, got 'a'"),
    (
        lambda: forward(lambda t: ops.mean(ops.argmax(t, 1))),
        ValueError,
        r"\[argmax\] .* through argmax alone",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), CASES)
def test_what_means_nothing_is_refused(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
@pytest.mark.parametrize(("axis", "keepdims"), [(None, False), (1, False), ((2, 3), True)])
def test_reductions_of_numpy_work_on_tensors(name: str, axis: Any, keepdims: bool) -> None:
    class Reduced(nn.Module):
        def forward(self, x: Any) -> Any:
            return getattr(np, name)(x, axis=axis, keepdims=keepdims)

    x = np.random.default_rng(0).integers(-9, 9, (2, 3, 4, 8)).astype(np.float32)
    np.testing.assert_array_equal(Reduced()(x), getattr(np, name)(x, axis=axis, keepdims=keepdims))


def test_a_list_is_resized_as_an_array() -> None:
    assert data.resize([[1]], (2, 2)).tolist() == [[1, 1], [1, 1]]  # type: ignore[arg-type]
