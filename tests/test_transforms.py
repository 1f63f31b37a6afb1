# SPDX-License-Identifier: Apache-2.0
"""Training steps: what they compute, return and change; several steps, threads, changing settings."""

import threading

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops, optim
from oracle import assert_close
from reference import numerical_gradient

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 1, 6, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 8)


def network():
    cc.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )


def objective(model):
    loss = nn.CrossEntropyLoss()
    return lambda x, y: loss(model(x), y)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.SGD(p, lr=0.1),
        lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-2),
        lambda p: optim.Adam(p, lr=1e-2),
        lambda p: optim.AdamW(p, lr=1e-2),
    ],
)
def test_a_step_is_gradient_then_update(make):
    """One call does what torch does in forward, backward and step."""
    torch = pytest.importorskip("torch")
    model = network()
    peer = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, bias=False),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(64, 3),
    )
    peer.load_state_dict({k: torch.tensor(v) for k, v in model.state_dict().items()})
    optimizer = make(model.parameters())
    # torch's AdamW has the flag in its groups, too, but takes no such argument.
    kept = set(optimizer.param_groups[0]) - {"params", "decoupled_weight_decay"}
    settings = {name: optimizer.param_groups[0][name] for name in kept}
    theirs = getattr(torch.optim, type(optimizer).__name__)(peer.parameters(), **settings)
    step = cc.train_step(objective(model), optimizer)
    for _ in range(3):
        theirs.zero_grad()
        loss = torch.nn.functional.cross_entropy(peer(torch.tensor(X)), torch.tensor(Y))
        loss.backward()
        theirs.step()
        assert step(X, Y) == pytest.approx(loss.item(), rel=1e-4)
    for name, value in peer.state_dict().items():
        ours = model.state_dict()[name]
        np.testing.assert_allclose(ours, value.numpy(), rtol=1e-3, atol=1e-4, err_msg=name)


def test_the_loss_is_a_float_and_aux_are_arrays():
    model = network()

    def fn(x, y):
        logits = model(x)
        return ops.cross_entropy(logits, y), logits, {"twice": logits * 2.0}

    step = cc.train_step(fn, optim.SGD(model.parameters(), lr=0.0))
    loss, logits, more = step(X, Y)
    assert isinstance(loss, float)
    assert_close(logits, model(X), ulps=64.0, magnitude=np.abs(logits).max())
    assert np.array_equal(more["twice"], logits * 2)


def test_learning_rate_and_other_settings_may_change_at_any_time():
    model = nn.Linear(2, 1, bias=False)
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    step = cc.train_step(lambda x: model(x).sum(), optimizer)
    x = np.ones((1, 2), np.float32)
    start = np.array(model.weight)
    step(x)
    assert np.array_equal(model.weight, start - 0.5)
    optimizer.lr = 0.25
    step(x)
    assert np.array_equal(model.weight, start - 0.75)
    optimizer.lr = 0.0
    step(x)
    assert np.array_equal(model.weight, start - 0.75)


def test_groups_have_their_own_settings():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    optimizer = optim.SGD(
        [{"params": list(model[0].parameters())}, {"params": list(model[1].parameters()), "lr": 0.0}], lr=0.1
    )
    before = model.state_dict()
    cc.train_step(lambda x: model(x).sum(), optimizer)(np.ones((1, 2)))
    after = model.state_dict()
    assert not np.array_equal(before["0.weight"], after["0.weight"])
    assert np.array_equal(before["1.weight"], after["1.weight"])


def test_two_steps_share_modules():
    """As in a GAN: each step changes its own half and sees what the other has done."""
    first, second = nn.Linear(2, 2), nn.Linear(2, 1)

    def loss(x):
        return (second(first(x)) ** 2).mean()

    step_first = cc.train_step(loss, optim.SGD(first.parameters(), lr=0.1))
    step_second = cc.train_step(loss, optim.SGD(second.parameters(), lr=0.1))
    x = RNG.normal(size=(16, 2)).astype(np.float32)
    plain = cc.value_and_grad(loss, [*first.parameters(), *second.parameters()])
    for _ in range(3):
        for step, own, other in ((step_first, first, second), (step_second, second, first)):
            kept, expected = other.state_dict(), plain(x)[0]
            changed = own.state_dict()
            assert step(x) == pytest.approx(float(expected), rel=1e-5)
            for name, value in other.state_dict().items():
                assert np.array_equal(value, kept[name])
            assert any(not np.array_equal(value, changed[name]) for name, value in own.state_dict().items())


def test_inference_sees_what_training_changed():
    model = network()
    step = cc.train_step(objective(model), optim.SGD(model.parameters(), lr=0.1))
    model.eval()
    before = model(X)
    model.train()
    step(X, Y)
    model.eval()
    after = model(X)
    assert not np.array_equal(before, after)
    assert_close(after, cc.compile(model, X.shape)(X), ulps=0.0)


def test_running_statistics_and_counters_advance_with_each_step():
    model = network()
    step = cc.train_step(objective(model), optim.SGD(model.parameters(), lr=0.0))
    for _ in range(3):
        step(X, Y)
    assert int(model[1].num_batches_tracked) == 3
    assert np.asarray(model[1].running_mean).any()


def test_batches_of_several_sizes():
    model = network()
    step = cc.train_step(objective(model), optim.SGD(model.parameters(), lr=0.01))
    losses = [step(X[:n], Y[:n]) for n in (8, 5, 8, 3, 5)]
    assert np.isfinite(losses).all()
    assert len(step._programs) == 3


def test_a_step_repeats_bit_for_bit():
    states = []
    for _ in range(2):
        model = network()
        step = cc.train_step(objective(model), optim.Adam(model.parameters()))
        for _ in range(5):
            step(X, Y)
        states.append(model.state_dict())
    for name, value in states[0].items():
        assert np.array_equal(value, states[1][name]), name


def test_steps_called_from_threads_take_turns():
    model = network()
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    step = cc.train_step(objective(model), optimizer)
    step(X, Y)
    threads = [threading.Thread(target=lambda: [step(X, Y) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert optimizer.step_count == 81
    assert int(model[1].num_batches_tracked) == 81
    assert all(np.isfinite(value).all() for value in model.state_dict().values())


def test_mistakes_are_named():
    model = network()
    with pytest.raises(TypeError, match="expected an optimizer, got list"):
        cc.train_step(objective(model), [])
    with pytest.raises(TypeError, match="expected a function, got int"):
        cc.train_step(3, optim.SGD(model.parameters(), lr=0.1))
    other = cc.train_step(objective(model), optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1))
    with pytest.raises(ValueError, match="depends on none of the optimizer's parameters"):
        other(X, Y)
    step = cc.train_step(objective(model), optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(ValueError, match=r"\[input 0\] expected a non-empty array, got shape \(8, 0, 6, 6\)"):
        step(np.zeros((8, 0, 6, 6)), Y)
    with pytest.raises(
        TypeError, match=r"\[input 0\] expected an array of real numbers, got dtype complex64"
    ):
        step(X.astype(np.complex64), Y)
    with pytest.raises(ValueError, match=r"expected labels of shape \(8,\) for input \(8, 3\), got \(7,\)"):
        step(X, Y[:7])


def test_a_gradient_in_a_traced_function_is_part_of_it():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3)).astype(np.float32)
    slope = cc.grad(lambda x: (x**3).sum())
    np.testing.assert_allclose(cc.grad(lambda x: (slope(x) ** 2).sum())(x), 36 * x**3, rtol=1e-6)
    # Only what it is called with counts, not other uses of the same tensor.
    product = cc.grad(lambda x: (cc.grad(lambda a, b: (a * b * x).sum(), 0)(x, x) ** 1).sum())
    np.testing.assert_allclose(product(x), 2 * x, rtol=1e-6)
    twice = cc.grad(cc.grad(cc.grad(lambda x: (x**4).sum())))(np.float32(2.0))
    assert twice == 24 * 2.0
    nothing = cc.grad(lambda x: (x * cc.grad(lambda a, b: (b * b).sum(), 0)(x, x)).sum())
    np.testing.assert_array_equal(nothing(x), 0)


def test_a_penalty_of_gradients():
    """The critic's of Gulrajani et al. (2017), against differences of a float64 formula."""
    cc.manual_seed(0)
    critic = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1))
    x = np.random.default_rng(1).standard_normal((3, 6)).astype(np.float32)

    def penalty(x):
        slope = cc.grad(lambda x: critic(x).sum())(x)
        return (((slope**2).sum(1) ** 0.5 - 1) ** 2).mean()

    def reference(values):
        first, bias, last, _ = values
        slope = last * (1 - np.tanh(x @ first.T + bias) ** 2) @ first
        return np.mean((np.sqrt((slope**2).sum(1)) - 1) ** 2)

    params = list(critic.parameters())
    wide = [np.asarray(p).astype(np.float64) for p in params]
    value, grads = cc.value_and_grad(penalty, params)(x)
    assert value == pytest.approx(reference(wide), rel=1e-5)
    for i, grad in enumerate(grads):
        expected = numerical_gradient(lambda v, i=i: reference([*wide[:i], v, *wide[i + 1 :]]), wide[i], 1e-5)
        np.testing.assert_allclose(grad, expected, rtol=1e-5, atol=1e-6)


def test_inputs_by_name():
    layer = nn.Linear(2, 2)
    x, y = np.ones((1, 2), np.float32), np.zeros((1, 2), np.float32)

    def loss(x, y, scale=2.0):
        return ops.mse_loss(layer(x), y) * scale

    function = cc.value_and_grad(loss, dict(layer.named_parameters()))
    assert function(y=y, x=x)[0] == function(x, y=y)[0] == function(x, y)[0]
    np.testing.assert_array_equal(cc.grad(loss)(x=x, y=y), cc.grad(loss)(x, y))
    step = cc.train_step(loss, cc.optim.SGD(layer.parameters(), lr=0.0))
    assert step(x=x, y=y) == step(x, y)
    assert step(x, y, scale=np.float32(4)) == 2 * step(x, y)
    with pytest.raises(TypeError, match=r"the inputs are those of the function: got an unexpected .* 'z'"):
        step(x, y, z=y)
    with pytest.raises(TypeError, match="missing a required argument: 'y'"):
        step(x=x)

    def by_name(x, *, y):
        return ops.mse_loss(layer(x), y)

    with pytest.raises(TypeError, match="taken by position"):
        cc.value_and_grad(by_name, list(layer.parameters()))(x, y=y)
