# SPDX-License-Identifier: Apache-2.0
"""`checkpoint`: less memory, the same bits; random numbers, statistics, nesting, gradients of gradients."""

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops, optim

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 3, 16, 16)).astype(np.float32)
Y = RNG.integers(0, 4, 8)


class Joined(nn.Module):
    """Two branches of a map, one pooled and scaled up again, joined along the channels."""

    def __init__(self):
        super().__init__()
        self.narrow, self.wide = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, x):
        return ops.concat([self.narrow(x), self.wide(nn.Upsample(scale_factor=2)(ops.max_pool2d(x, 2)))], 1)


BLOCKS = {
    "batch norm": lambda: [nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()],
    "no momentum": lambda: [nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8, momentum=None), nn.GELU()],
    "group norm": lambda: [nn.Conv2d(8, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU()],
    "activation": lambda: [nn.Conv2d(8, 8, 3, padding=1), nn.SiLU(), nn.Dropout(0.3)],
    "pool": lambda: [nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 1, 1), nn.Dropout2d(0.2)],
    "joined": lambda: [Joined(), nn.BatchNorm2d(8), nn.ReLU()],
    "transposed": lambda: [nn.ConvTranspose2d(8, 8, 3, padding=1), nn.GELU(), nn.LayerNorm((8, 16, 16))],
}


def model_of(name):
    cc.manual_seed(1)
    return [nn.Sequential(*BLOCKS[name]()) for _ in range(5)], nn.Linear(8, 4)


def train(blocks, head, body):
    """Return losses, weights and statistics after three steps, and the step."""
    stem = nn.Parameter(np.random.default_rng(1).normal(size=(8, 3, 1, 1)))
    model = nn.ModuleList([*blocks, head])
    optimizer = optim.SGD([stem, *model.parameters()], lr=0.05, momentum=0.9)

    def loss(x, y):
        h = body(ops.conv2d(x, stem))
        return ops.cross_entropy(head(h.mean((2, 3))), y)

    step = cc.train_step(loss, optimizer)
    losses = [step(X, Y) for _ in range(3)]
    return losses, {**model.state_dict(), "stem": np.array(stem)}, step


def chain(functions):
    def run(x):
        for function in functions:
            x = function(x)
        return x

    return run


def wrapped(functions):
    return chain([lambda x, f=function: cc.checkpoint(f, x) for function in functions])


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("segments", [1, 2, 5])
def test_bits_are_those_without_and_memory_is_less(name, segments):
    """`segments` 1: each block by itself."""
    blocks, head = model_of(name)
    plain_losses, plain_state, plain = train(blocks, head, chain(blocks))
    blocks, head = model_of(name)
    if segments == 1:
        body = wrapped(blocks)
    else:
        body = lambda x: cc.checkpoint_sequential(nn.Sequential(*blocks), segments, x)  # noqa: E731
    losses, state, step = train(blocks, head, body)
    assert losses == plain_losses
    assert state.keys() == plain_state.keys()
    for key, value in plain_state.items():
        np.testing.assert_array_equal(state[key], value, err_msg=key)
    assert step.memory.activations < plain.memory.activations
    assert plain.memory.recomputed == 0 < step.memory.recomputed
    assert any(row["step"].endswith("(again)") for row in step.explain())
    assert "run again" in step.explain().notes[-1]


def test_random_numbers_of_the_second_time_are_those_of_the_first():
    """The gradient of a sum of kept elements is the mask: it has to be the one of the value."""

    def loss(x):
        y = cc.checkpoint(lambda x: ops.square(ops.dropout(x, 0.5)), x)
        return y.sum(), y

    x = nn.Parameter(np.arange(1.0, 65.0))
    (_, y), (grad,) = cc.value_and_grad(lambda: loss(x * 1.0), [x])()
    assert 0 < np.count_nonzero(y) < 64
    np.testing.assert_array_equal(grad, np.where(y > 0, 8 * np.array(x), 0))


def test_statistics_move_once():
    """With momentum 1 they are the batch's own; a second update of the count would show."""
    norm = nn.BatchNorm2d(3, momentum=0.25)
    cc.value_and_grad(lambda x: ops.square(cc.checkpoint(norm, x)).mean(), norm.parameters())(X)
    mean = X.astype(np.float64).mean((0, 2, 3))
    np.testing.assert_allclose(np.array(norm.running_mean), 0.25 * mean, rtol=1e-5, atol=1e-7)
    assert int(np.array(norm.num_batches_tracked)) == 1


def test_outside_of_gradients_it_is_a_plain_call():
    block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    expected = block(X)
    np.testing.assert_array_equal(cc.checkpoint(block, X), expected)
    np.testing.assert_array_equal(cc.checkpoint_sequential(block, 2, X), expected)
    assert cc.checkpoint(lambda a, *, b: (a, b), 1, b=2, use_reentrant=False) == (1, 2)

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = block

        def forward(self, x):
            return cc.checkpoint(self.block, x)

    predictor = cc.compile(Wrapped(), X.shape)
    np.testing.assert_array_equal(predictor(X), expected)
    assert len(predictor.explain()) == len(cc.compile(block, X.shape).explain())


def test_inside_of_one_another_and_of_a_shared_layer():
    layer = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Tanh())

    def twice(x, call):
        return call(layer, call(layer, x))

    def gradients(body):
        return cc.value_and_grad(lambda x: ops.square(body(x)).sum(), layer.parameters())(X)

    value, plain = gradients(lambda x: twice(x, lambda f, x: f(x)))
    for body in (
        lambda x: twice(x, cc.checkpoint),
        lambda x: cc.checkpoint(lambda x: twice(x, cc.checkpoint), x),
    ):
        again, grads = gradients(body)
        assert again == value
        for ours, theirs in zip(grads, plain, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_gradients_of_gradients():
    """A penalty of the gradient of a function with a checkpoint, and a checkpoint around a gradient."""
    cc.manual_seed(0)
    critic = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 1, 3))
    parameters = list(critic.parameters())

    def penalty(x, call):
        return ops.square(cc.grad(lambda x: call(critic, x).sum())(x)).sum()

    def plain_call(fn, x):
        return fn(x)

    value, plain = cc.value_and_grad(lambda x: penalty(x, plain_call), parameters)(X)
    inside = cc.value_and_grad(lambda x: penalty(x, cc.checkpoint), parameters)(X)
    around = cc.value_and_grad(lambda x: cc.checkpoint(lambda x: penalty(x, plain_call), x), parameters)(X)
    for again, grads in (inside, around):
        assert again == value
        for ours, theirs in zip(grads, plain, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_results_that_leave_are_kept():
    """The last result is read outside: nothing of a single function is computed again."""
    step = cc.grad(lambda x: ops.square(cc.checkpoint(ops.tanh, x)).sum())
    plain = cc.grad(lambda x: ops.square(ops.tanh(x)).sum())
    np.testing.assert_array_equal(step(X), plain(X))


def test_steps_that_run_again_say_so_whatever_they_have_become():
    """Copies into another layout and chains are made of several nodes, or beside them."""
    conv, scale = nn.Conv2d(3, 8, 3, padding=1), nn.Parameter(np.ones(X.shape))

    def loss(x):
        y = cc.checkpoint(lambda x: conv(ops.exp(ops.sin(x * scale) + 1.0)), x)
        return ops.sum(ops.square(y))

    rows = cc.train_step(loss, optim.SGD([scale, *conv.parameters()], lr=0.1)).explain(X)
    steps = [row["step"] for row in rows]
    again = [step.removesuffix(" (again)") for step in steps if step.endswith(" (again)")]
    assert again == ["copy", "elementwise mul", "elementwise_chain sin add_scalar exp"]
    assert steps.index("reduce sum") < min(i for i, step in enumerate(steps) if step.endswith("(again)"))


@pytest.mark.parametrize("segments", [0, 3, -1])
def test_wrong_segments_are_refused(segments):
    with pytest.raises(ValueError, match="1 to 2 segments"):
        cc.checkpoint_sequential([ops.relu, ops.relu], segments, X)


def test_wrong_types_are_refused():
    with pytest.raises(TypeError, match="expected an integer segments"):
        cc.checkpoint_sequential([ops.relu], 1.0, X)
    with pytest.raises(TypeError, match="module or function"):
        cc.checkpoint(X, X)
