# SPDX-License-Identifier: Apache-2.0
"""Fusion: which steps a network becomes, and that results and gradients stay what they were."""

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops
from cnncore.graph.rewrite import RULES, Stage, rule
from cnncore.graph.tensor import OPS
from oracle import assert_close

RNG = np.random.default_rng(0)


def image(*shape):
    return RNG.normal(size=shape).astype(np.float32)


class Block(nn.Module):
    """A residual block, with what may be fused and what may not."""

    def __init__(self, channels=8, activation=None, bias=True):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        self.bn2 = nn.BatchNorm2d(channels)
        self.act = activation or nn.ReLU()

    def forward(self, x):
        y = self.act(self.bn1(self.conv1(x)))
        return self.act(self.bn2(self.conv2(y)) + x)


class Exp(nn.Module):
    """A function that no step applies to its result."""

    def forward(self, x):
        return ops.exp(x)


def randomise(model):
    for buffer in model.buffers():
        if buffer.dtype == np.float32:
            buffer.assign(RNG.uniform(0.5, 1.5, buffer.shape))
    for parameter in model.parameters():
        parameter.assign(RNG.normal(0, 0.3, parameter.shape))
    return model


def steps(model, *shape):
    return [row["step"] for row in cc.compile(model, shape).explain()]


ACTIVATIONS = [nn.ReLU(), nn.LeakyReLU(0.2), nn.ReLU6()]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_residual_block_is_two_steps_in_inference(activation):
    assert steps(Block(activation=activation), 2, 8, 6, 6) == ["conv_forward", "conv_forward"]


def test_other_activations_stay_steps_of_their_own():
    assert steps(nn.Sequential(nn.Conv2d(3, 4, 3), Exp()), 1, 3, 6, 6) == ["conv_forward", "elementwise exp"]
    assert steps(nn.Sequential(nn.Conv2d(3, 4, 3), nn.LeakyReLU(-0.5)), 1, 3, 6, 6)[0] == "conv_forward"


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False])
def test_fused_inference_equals_unfused(activation, bias, unfused):
    model = randomise(Block(activation=activation, bias=bias)).eval()
    x = image(2, 8, 9, 7)
    fused = cc.compile(model, x.shape)(x)
    assert np.array_equal(model(x), fused)
    unfused()
    plain = cc.compile(model, x.shape)
    assert len(plain.explain()) > 5
    # Folding rounds each weight once more; outputs are sums of 72 products.
    assert_close(fused, plain(x), ulps=72.0, magnitude=np.abs(fused).max())


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("training", [True, False])
def test_fused_gradients_equal_unfused(activation, training, unfused):
    model = randomise(Block(activation=activation)).train(training)
    x = image(4, 8, 6, 5)
    params = dict(model.named_parameters())

    def loss(x):
        return ops.mean(model(x) * weights)

    weights = image(4, 8, 6, 5)
    value, grads = cc.value_and_grad(loss, params)(x)
    by_input = cc.grad(loss)(x)
    unfused()
    plain_value, plain = cc.value_and_grad(loss, params)(x)
    assert_close(value, plain_value, ulps=64.0, magnitude=1.0)
    plain_by_input = cc.grad(loss)(x)
    assert_close(by_input, plain_by_input, ulps=512.0, magnitude=np.abs(plain_by_input).max())
    for name, gradient in grads.items():
        assert_close(gradient, plain[name], ulps=512.0, magnitude=max(np.abs(plain[name]).max(), 1e-3))


def training_steps(fn, params, *arrays):
    function = cc.value_and_grad(fn, params)
    function(*arrays)
    (program,) = function._programs.values()
    return [step.op for step in program.executable.run_steps if step.op != "conv_pack_weight"]


def test_training_takes_statistics_from_the_convolution():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
    found = training_steps(lambda x: ops.sum(model(x)), list(model.parameters()), image(4, 3, 8, 8))
    assert "batch_norm_statistics" not in found
    assert "elementwise" not in found
    assert found.count("batch_norm_apply") == 1
    assert found.count("batch_norm_backward") == 1
    assert "conv_backward_data" not in found  # nobody asked for the gradient by the input


def test_gradients_that_meet_are_added_by_pooling():
    model = nn.Conv2d(3, 8, 3, padding=1)

    def loss(x):
        y = model(x)
        return ops.max_pool2d(y, 2).sum() + (y * y).sum()

    found = training_steps(loss, list(model.parameters()), image(2, 3, 8, 8))
    assert found.count("max_pool_backward") == 1
    assert "elementwise" not in found[found.index("max_pool_backward") :]


def test_pooling_applies_the_activation_after_it():
    model = nn.Sequential(nn.AvgPool2d(2), nn.MaxPool2d(2), nn.LeakyReLU(0.25))
    assert steps(model, 2, 8, 16, 16) == ["avg_pool", "max_pool"]
    x = image(2, 8, 16, 16)
    y = ops.max_pool2d(ops.avg_pool2d(x, 2), 2)
    np.testing.assert_array_equal(cc.compile(model, x.shape)(x), np.where(y < 0, np.float32(0.25) * y, y))


def test_a_bias_gets_its_gradient_with_the_activation():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    found = training_steps(
        lambda x: ops.sum(model(x) * model(x)), list(model.parameters()), image(4, 3, 8, 8)
    )
    assert found.count("activation_backward") == 1
    assert found.count("conv_forward") == 1  # the two calls are the same computation


def test_gradients_that_meet_are_added_by_the_convolution():
    model = Block()
    first = nn.Conv2d(8, 8, 1)
    params = [*first.parameters(), *model.parameters()]
    found = training_steps(lambda x: ops.sum(model(first(x))), params, image(2, 8, 6, 6))
    assert "elementwise" not in found


@pytest.mark.parametrize("window", [(2, 2, 0), (3, 2, 1), (17, 1, 0)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_max_pooling_takes_over_activations_in_training(activation, window, unfused):
    pool = nn.MaxPool2d(*window)
    model = randomise(nn.Sequential(nn.Conv2d(3, 6, 3), activation, pool, nn.BatchNorm2d(6)))
    x = image(2, 3, 21, 22)
    weights = image(*model(x).shape)

    def loss(x):
        return (model(x) * weights).sum()

    params = list(model.parameters())
    steps = training_steps(loss, params, x)
    assert "activation_backward" not in steps
    assert "max_pool_backward" in steps
    _, grads = cc.value_and_grad(loss, params)(x)
    unfused()
    _, plain = cc.value_and_grad(loss, params)(x)
    for ours, theirs in zip(grads, plain, strict=True):
        assert_close(ours, theirs, ulps=256.0, magnitude=np.abs(theirs).max())


def test_results_used_twice_are_not_fused_away():
    conv = nn.Conv2d(3, 4, 3)

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = conv

        def forward(self, x):
            y = self.conv(x)
            return ops.relu(y), y

    x = image(1, 3, 6, 6)
    positive, plain = Both()(x)
    assert_close(plain, ops.conv2d(x, conv.weight, conv.bias), ulps=0.0)
    assert np.array_equal(positive, np.maximum(plain, 0))


@pytest.mark.parametrize("shape", [(5, 3, 4, 6), (2, 7, 1, 5), (1, 1, 3, 3), (3, 16, 1, 1)])
@pytest.mark.parametrize("activation", [None, nn.ReLU()])
def test_a_linear_layer_reads_images_as_they_lie(shape, activation, unfused):
    features = int(np.prod(shape[1:]))
    layers = [nn.Flatten(), nn.Linear(features, 11)] + ([activation] if activation else [])
    model = nn.Sequential(*layers)
    x = image(*shape)
    weights = image(shape[0], 11)
    expected = x.reshape(shape[0], -1).astype(np.float64) @ np.float64(model[1].weight).T + np.float64(
        model[1].bias
    )
    expected = np.maximum(expected, 0) if activation else expected

    def loss(a):
        y = model(a)
        return (y * weights).sum(), y

    params = list(model.parameters())
    (_, y), grads = cc.value_and_grad(loss, params)(x)
    by_input = cc.grad(loss)(x)
    assert_close(y, expected, ulps=features, magnitude=np.abs(expected).max())
    assert "copy" not in steps(model, *shape)
    unfused()
    _, plain = cc.value_and_grad(loss, params)(x)
    for ours, theirs in zip(grads, plain, strict=True):
        assert_close(ours, theirs, ulps=16.0, magnitude=np.abs(theirs).max())
    assert_close(by_input, cc.grad(loss)(x), ulps=16.0, magnitude=np.abs(by_input).max())


def test_folded_weights_follow_the_parameters():
    model = randomise(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))).eval()
    x = image(1, 3, 5, 5)
    before = model(x)
    predictor = cc.compile(model, x.shape)
    for name in ("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"):
        array = dict([*model.named_parameters(), *model.named_buffers()])[name]
        array.assign(np.asarray(array) * 1.5)
        after = model(x)
        assert not np.array_equal(after, before), name
        assert_close(after, cc.compile(model, x.shape)(x), ulps=0.0)
        before = after
    assert not np.array_equal(predictor(x), before)  # a snapshot


def large_block(*layers, size=(2, 8, 112, 112)):
    """The steps of layers on images whose expansion to 48 channels exceeds the caches."""
    return steps(nn.Sequential(*layers), *size)


def filters(channels=48, **settings):
    return nn.Conv2d(channels, channels, 3, **{"padding": 1, "groups": channels, **settings})


def test_large_inverted_residuals_are_one_step_in_inference():
    expand, project = nn.Conv2d(8, 48, 1), nn.Conv2d(48, 8, 1)
    layers = [expand, nn.BatchNorm2d(48), nn.ReLU6(), filters(), nn.ReLU(), project, nn.BatchNorm2d(8)]
    assert large_block(*layers) == ["inverted_residual"]
    assert large_block(*layers, nn.ReLU()) == ["inverted_residual"]
    assert large_block(*layers, size=(1, 8, 56, 56)) == ["conv_forward"] * 3
    found = training_steps(
        lambda x: ops.sum(nn.Sequential(*layers)(x)), list(expand.parameters()), image(2, 8, 112, 112)
    )
    assert "inverted_residual" not in found


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([nn.Conv2d(8, 48, 3, padding=1), filters(), nn.Conv2d(48, 8, 1)], ["conv", "block"]),
        ([nn.Conv2d(8, 48, 1, padding=1), filters(), nn.Conv2d(48, 8, 1)], ["conv", "block"]),
        ([nn.Conv2d(8, 48, 1, groups=2), filters(), nn.Conv2d(48, 8, 1)], ["conv", "block"]),
        ([nn.Conv2d(8, 48, 1), Exp(), filters(), nn.Conv2d(48, 8, 1)], ["conv", "exp", "block"]),
        ([nn.Conv2d(8, 48, 1), filters(), Exp(), nn.Conv2d(48, 8, 1)], ["conv", "conv", "exp", "conv"]),
        ([nn.Conv2d(8, 48, 1), filters(), nn.Conv2d(48, 8, 1, stride=2)], ["conv"] * 3),
        ([nn.Conv2d(8, 48, 1), filters(), nn.Conv2d(48, 8, 1, groups=2)], ["conv"] * 3),
        ([nn.Conv2d(8, 48, 1), filters(groups=24), nn.Conv2d(48, 8, 1)], ["conv"] * 3),
        ([nn.Conv2d(8, 1, 1), filters(1), nn.Conv2d(1, 8, 1)], ["conv"] * 3),
        ([nn.Conv2d(8, 48, 1), nn.Conv2d(48, 96, 3, groups=48), nn.Conv2d(96, 8, 1)], ["conv"] * 3),
    ],
)
def test_what_is_no_inverted_residual_stays_as_it_is(layers, expected):
    names = {"conv": "conv_forward", "block": "inverted_residual", "exp": "elementwise exp"}
    assert large_block(*layers) == [names[name] for name in expected]


def test_an_expansion_with_other_users_is_kept():
    expand, depthwise, project = nn.Conv2d(8, 48, 1), filters(), nn.Conv2d(48, 48, 1)
    x = image(2, 8, 112, 112)

    def expanded_twice(x):
        y = expand(x)
        return project(depthwise(y)) + y

    def filtered_twice(x):
        y = depthwise(expand(x))
        return project(y) + y

    def found(fn):
        return [row["step"] for row in cc.compile(fn, x.shape).explain()]

    assert found(expanded_twice) == ["conv_forward", "inverted_residual"]
    assert found(filtered_twice) == ["conv_forward"] * 3


def test_every_rule_names_an_operation_once():
    assert all(RULES[stage] and set(RULES[stage]) <= set(OPS) for stage in Stage)
    with pytest.raises(ValueError, match="max_pool has a rule"):
        rule(Stage.POOLING, root=type(OPS["max_pool"]))(lambda rewriter, node: False)


def test_an_operation_adds_at_an_input_that_may_be_absent():
    adding = [op for op in OPS.values() if op.adds is not None]
    assert {op.name for op in adding} >= {"conv_forward", "conv_backward_data", "batch_norm_apply"}
    assert all(op.Inputs._field_defaults.get(op.adds, 0) is None for op in adding)


def test_statistics_of_a_linear_layer_on_flattened_images():
    """A convolution that writes statistics, too, has two outputs and stays what it is."""
    x, weight = image(4, 8, 6, 6), image(16, 288)

    def normalised(x):
        return ops.batch_norm(ops.linear(ops.flatten(x, 1), weight), None, None, training=True)

    flat = x.reshape(4, -1).astype(np.float64) @ weight.T.astype(np.float64)
    wanted = (flat - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5)
    # Sums of 288 products of error 288 eps, divided by a deviation that is not much less than theirs.
    bound = 288 * np.finfo(np.float32).eps * np.abs(flat).max() / flat.std(0).min() * 2
    assert np.abs(cc.compile(normalised, x.shape)(x) - wanted).max() < bound


def test_a_view_that_an_activation_moved_before_keeps_its_layer():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.ReLU())
    rows = cc.compile(model, (2, 3, 8, 8)).explain()
    assert [(row["layer"], row["step"]) for row in rows] == [("0", "conv_forward"), ("1", "copy")]


def rows_of(fn, *shapes):
    return [row["step"] for row in cc.compile(fn, shapes if len(shapes) > 1 else shapes[0]).explain()]


SCALE = [np.linspace(0.5, 1.5, 8, dtype=np.float32) for _ in range(4)]
FILTERS = np.random.default_rng(3).normal(size=(8, 3, 3, 3)).astype(np.float32)


def normalised(y, weight=SCALE[0], bias=SCALE[1], mean=SCALE[2], var=SCALE[3]):
    return ops.batch_norm(y, mean, var, weight, bias)


@pytest.mark.parametrize(
    ("fn", "shape"),
    [
        (lambda x: normalised(ops.conv2d(x, FILTERS)), (2, 3, 6, 6)),
        (lambda x: normalised(ops.conv2d(x, FILTERS, SCALE[1])), (2, 3, 6, 6)),
        (lambda x: normalised(ops.conv2d(x, FILTERS), None, None), (2, 3, 6, 6)),
        (lambda x: normalised(ops.conv2d(x, FILTERS), SCALE[0] * 2, None), (2, 3, 6, 6)),
        (lambda x: normalised(ops.conv_transpose2d(x, FILTERS.transpose(1, 0, 2, 3))), (2, 3, 6, 6)),
        (
            lambda x: normalised(ops.conv_transpose2d(x, FILTERS[:, :2].reshape(4, 4, 3, 3), groups=2)),
            (2, 4, 6, 6),
        ),
    ],
)
def test_batch_norm_is_folded_into_stored_weights(fn, shape, unfused):
    x = image(*shape)
    found = cc.compile(fn, shape)
    assert len([row for row in found.explain() if not row["step"].startswith("elementwise")]) == 1
    folded = found(x)
    unfused()
    plain = cc.compile(fn, shape)
    assert "batch_norm_apply" in [row["step"] for row in plain.explain()]
    assert_close(folded, plain(x), ulps=72.0, magnitude=np.abs(folded).max())


def folded_apart(fn, *shapes):
    """The steps of a network whose batch norm stays."""
    found = rows_of(fn, *shapes)
    assert "batch_norm_apply" in found
    return found


def test_where_batch_norm_stays_a_step():
    x, w = (2, 3, 6, 6), (8, 3, 3, 3)

    def used_twice(x):
        y = ops.conv2d(x, FILTERS)
        return normalised(y), y

    residual = np.ones((2, 8, 4, 4), np.float32)
    assert folded_apart(used_twice, x).count("conv_forward") == 1
    folded_apart(lambda x: normalised(ops.relu(ops.conv2d(x, FILTERS))), x)
    folded_apart(lambda x: normalised(ops.conv2d(x, FILTERS) + residual), x)
    folded_apart(lambda x, w: normalised(ops.conv2d(x, w)), x, w)
    folded_apart(lambda x, b: normalised(ops.conv2d(x, FILTERS, b)), x, (8,))
    folded_apart(lambda x, g: normalised(ops.conv2d(x, FILTERS), g), x, (8,))
    folded_apart(lambda x, b: normalised(ops.conv2d(x, FILTERS), bias=b), x, (8,))
    folded_apart(lambda x, m: normalised(ops.conv2d(x, FILTERS), mean=m), x, (8,))


def test_weights_that_follow_from_stored_ones_in_a_few_steps_are_folded():
    gamma = nn.Parameter(SCALE[0])

    def scaled(x, steps):
        weight = gamma
        for _ in range(steps):
            weight = ops.tanh(weight)
        return normalised(ops.conv2d(x, FILTERS), weight)

    assert "batch_norm_apply" not in rows_of(lambda x: scaled(x, 8), (2, 3, 6, 6))
    folded_apart(lambda x: scaled(x, 9), (2, 3, 6, 6))


def test_where_statistics_are_a_step_of_their_own():
    """Behind an activation or a residual, and where they are asked for twice."""
    weight = nn.Parameter(FILTERS)

    def trained(fn):
        def loss(x):
            return (ops.batch_norm(fn(x), None, None, training=True) * NOISE).sum()

        return training_steps(loss, [weight], image(2, 3, 6, 6)).count("batch_norm_statistics")

    def conv(x):
        return ops.conv2d(x, weight)

    assert trained(conv) == 0
    assert trained(lambda x: ops.relu(conv(x))) == 1
    assert trained(lambda x: conv(x) + RESIDUAL) == 1
    assert trained(lambda x: ops.avg_pool2d(conv(x), 3, 1, 1)) == 1


NOISE, RESIDUAL = image(2, 8, 4, 4), image(2, 8, 4, 4)


@pytest.mark.parametrize("shape", [(3, 5, 6), (3, 5, 4, 6), (3, 5, 2, 3, 4)])
def test_images_of_every_rank_are_read_as_they_lie_by_linear_layers(shape):
    weight = image(7, int(np.prod(shape[1:])))
    kernel = (3,) * (len(shape) - 2)
    pool = {3: ops.avg_pool1d, 4: ops.avg_pool2d, 5: ops.avg_pool3d}[len(shape)]

    def fn(x):
        return ops.linear(ops.flatten(pool(x, kernel, 1, 1), 1), weight)

    assert rows_of(fn, shape) == ["avg_pool", "conv_forward"]


def test_what_is_no_flattened_image_is_a_plain_linear_layer():
    weight, x = image(7, 120), image(3, 5, 4, 6)

    def pooled(x):
        return ops.avg_pool2d(x, 3, 1, 1)

    rows = rows_of(lambda x: ops.linear(ops.reshape(pooled(x), (6, 60)), weight[:, :60]), x.shape)
    assert rows == ["avg_pool", "copy", "conv_forward"]
    rows = rows_of(lambda x: ops.linear(ops.flatten(pooled(x), 1), weight) + SUMMAND, x.shape)
    assert rows[0] == "avg_pool"
    found = cc.compile(lambda x: ops.linear(ops.flatten(pooled(x), 1), weight) + SUMMAND, x.shape)(x)
    flat = np.asarray(pooled(x)).reshape(3, -1).astype(np.float64)
    expected = flat @ weight.T.astype(np.float64) + SUMMAND
    assert_close(found, expected, ulps=120.0, magnitude=np.abs(flat).max() * np.abs(weight).max())


SUMMAND = image(3, 7)


def test_large_weights_are_not_kept_twice():
    """From 4 Mi floats on the activations are rearranged rather than the weight."""

    def steps_of(features):
        weight = np.zeros((features, 1024 * 4), np.float32)
        return rows_of(lambda x: ops.linear(ops.flatten(ops.avg_pool2d(x, 1), 1), weight), (1, 1024, 2, 2))

    assert "copy" not in steps_of(1023)
    assert "copy" in steps_of(1024)
