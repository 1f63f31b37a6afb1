# SPDX-License-Identifier: Apache-2.0
"""Weights that are computed from others: `nn.utils.parametrizations` and `parametrize`."""

import copy

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, optim
from cnncore.nn.utils.parametrizations import weight_norm
from cnncore.nn.utils.parametrize import is_parametrized, remove_parametrizations

LAYERS = [("Linear(5, 4)", (2, 5)), ("Conv2d(3, 4, 3)", (2, 3, 6, 6)), ("Conv1d(3, 4, 3)", (2, 3, 6))]


def draw(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(("text", "shape"), LAYERS)
@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm_follows_torch(text, shape, dim):
    torch = pytest.importorskip("torch")
    ours = weight_norm(eval(f"nn.{text}"), dim=dim)
    theirs = torch.nn.utils.parametrizations.weight_norm(eval(f"torch.nn.{text}"), dim=dim)
    state = ours.state_dict()
    assert list(state) == list(theirs.state_dict())
    theirs.load_state_dict({name: torch.tensor(np.array(value)) for name, value in state.items()})
    x = draw(shape)
    y = theirs(torch.tensor(x))
    np.testing.assert_allclose(ours(x), y.detach(), rtol=1e-5, atol=1e-5)
    (y**2).sum().backward()
    _, gradients = cc.value_and_grad(lambda a: (ours(a) ** 2).sum(), list(ours.parameters()))(x)
    for gradient, parameter in zip(gradients, theirs.parameters(), strict=True):
        np.testing.assert_allclose(gradient, parameter.grad, rtol=1e-4, atol=1e-4)


def test_a_weight_is_what_its_magnitude_and_direction_give():
    layer = nn.Linear(3, 2)
    before = np.array(layer.weight)
    weight_norm(layer)
    np.testing.assert_allclose(layer.weight, before, rtol=1e-6)
    originals = layer.parametrizations["weight"]
    np.testing.assert_allclose(originals.original0, np.linalg.norm(before, axis=1, keepdims=True), rtol=1e-6)
    originals.original0.assign([[2.0], [3.0]])
    np.testing.assert_allclose(np.linalg.norm(layer.weight, axis=1), [2.0, 3.0], rtol=1e-6)
    found = [is_parametrized(layer), is_parametrized(layer, "weight"), is_parametrized(layer, "bias")]
    assert found == [True, True, False]
    assert not is_parametrized(nn.Linear(3, 2))


def test_training_and_compiling():
    first, last = weight_norm(nn.Conv2d(1, 4, 3)), weight_norm(nn.Linear(64, 2))
    model = nn.Sequential(first, nn.ReLU(), nn.Flatten(), last)
    x = draw((8, 1, 6, 6))
    step = cc.train_step(lambda a: (model(a) ** 2).mean(), optim.SGD(model.parameters(), lr=0.1))
    losses = [float(step(x)) for _ in range(5)]
    assert losses == sorted(set(losses), reverse=True)
    assert len(losses) == 5
    steps = [row["step"] for row in cc.compile(model, x.shape).explain()]
    assert steps == ["conv_forward", "conv_forward"]  # the weights are computed once, when it is compiled


def test_back_to_an_ordinary_weight():
    layer = weight_norm(nn.Linear(3, 2))
    x = draw((4, 3))
    y, twin = layer(x), copy.deepcopy(layer)
    assert remove_parametrizations(layer, "weight") is layer
    assert type(layer) is nn.Linear
    assert sorted(layer.state_dict()) == ["bias", "weight"]
    assert np.array_equal(layer(x), y)
    assert np.array_equal(twin(x), y)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: weight_norm(nn.ReLU()), "name of a parameter of ReLU, got 'weight'"),
        (lambda: weight_norm(nn.Linear(2, 3), dim=2), "dim from -2 to 1 or None"),
        (lambda: weight_norm(weight_norm(nn.Linear(2, 3))), "name of a parameter"),
        (
            lambda: remove_parametrizations(nn.Linear(2, 3), "weight"),
            "of Linear is not parametrized",
        ),
        (
            lambda: remove_parametrizations(weight_norm(nn.Linear(2, 3)), "weight", False),
            "cannot be one parameter",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
