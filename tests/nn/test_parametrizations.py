# SPDX-License-Identifier: Apache-2.0
"""Weights that are computed from others: `nn.utils.parametrizations` and `parametrize`."""

import copy
import pickle

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, optim
from cnncore.nn import utils
from cnncore.nn.utils.parametrizations import spectral_norm, weight_norm
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


SPECTRAL = [*LAYERS, ("ConvTranspose2d(3, 4, 3)", (2, 3, 6, 6))]
FORMS = {
    "weight": lambda nn_: nn_.utils.parametrizations.weight_norm,
    "spectral": lambda nn_: nn_.utils.parametrizations.spectral_norm,
    "old weight": lambda nn_: nn_.utils.weight_norm,
    "old spectral": lambda nn_: nn_.utils.spectral_norm,
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("text", "shape"), SPECTRAL)
def test_training_steps_follow_torch(text, shape, form):
    """State, results in both modes, gradients, and what the power iterations leave in the buffers."""
    torch = pytest.importorskip("torch")
    ours = FORMS[form](nn)(eval(f"nn.{text}"))
    theirs = FORMS[form](torch.nn)(eval(f"torch.nn.{text}"))
    assert {n: v.shape for n, v in ours.state_dict().items()} == {
        n: tuple(v.shape) for n, v in theirs.state_dict().items()
    }
    state = {name: value.numpy() for name, value in theirs.state_dict().items()}
    ours.load_state_dict(state)
    theirs.double()
    x = draw(shape)
    wide = torch.tensor(x).double()
    for _ in range(2):
        theirs.zero_grad()
        y = theirs(wide)
        (y**2).sum().backward()
        parameters = dict(ours.named_parameters())
        _, gradients = cc.value_and_grad(lambda a: (ours(a) ** 2).sum(), list(parameters.values()))(x)
        for name, gradient in zip(parameters, gradients, strict=True):
            expected = theirs.get_parameter(name).grad.numpy()
            assert np.abs(gradient - expected).max() <= 1e-4 * np.abs(expected).max()
    for name, buffer in theirs.named_buffers():
        np.testing.assert_allclose(np.asarray(ours.get_buffer(name)), buffer.numpy(), atol=1e-5)
    np.testing.assert_allclose(ours.eval()(x), theirs.eval()(wide).detach().numpy(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_pickle_and_deepcopy(form):
    layer = FORMS[form](nn)(nn.Conv2d(3, 4, 3))
    model = nn.Sequential(layer, nn.ReLU())
    x = draw((2, 3, 6, 6))
    model.eval()
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(twin(x), model(x))
        assert list(twin.state_dict()) == list(model.state_dict())
        assert isinstance(twin[0], nn.Conv2d)
        first = next(iter(twin.parameters()))
        before = np.array(model(x))
        first.assign(np.asarray(first) * 1.5 + 0.25)
        assert not np.array_equal(twin(x), before)
        assert np.array_equal(model(x), before)


@pytest.mark.parametrize("make", [spectral_norm, utils.spectral_norm])
def test_a_weight_has_the_largest_singular_value_1(make):
    cc.manual_seed(0)
    layer = make(nn.Linear(30, 20), n_power_iterations=40)
    cc.value_and_grad(lambda a: layer(a).sum(), list(layer.parameters()))(draw((2, 30)))
    assert abs(np.linalg.norm(np.asarray(layer.weight), 2) - 1) < 1e-4


def test_vectors_move_in_training_alone():
    layer = utils.spectral_norm(nn.Linear(6, 5))
    x = draw((2, 6))
    before = np.array(layer.weight_u)
    layer.eval()(x)
    cc.value_and_grad(lambda a: layer(a).sum(), list(layer.parameters()))(x)
    assert np.array_equal(layer.weight_u, before)
    layer.train()
    cc.value_and_grad(lambda a: layer(a).sum(), list(layer.parameters()))(x)
    assert not np.array_equal(layer.weight_u, before)


def test_a_bias_is_divided_by_its_length():
    layer = spectral_norm(nn.Linear(3, 4), "bias")
    np.testing.assert_allclose(np.linalg.norm(layer.bias), 1, rtol=1e-6)
    remove_parametrizations(layer, "bias", leave_parametrized=False)
    assert type(layer) is nn.Linear


@pytest.mark.parametrize(
    ("make", "remove"),
    [(utils.weight_norm, utils.remove_weight_norm), (utils.spectral_norm, utils.remove_spectral_norm)],
)
def test_old_forms_go_away(make, remove):
    layer = make(nn.Linear(3, 2)).eval()
    y = layer(draw((4, 3)))
    assert remove(layer) is layer
    assert type(layer) is nn.Linear
    assert sorted(layer.state_dict()) == ["bias", "weight"]
    np.testing.assert_allclose(layer(draw((4, 3))), y, rtol=1e-6)
    with pytest.raises(ValueError, match="no such norm"):
        remove(layer)


def test_two_weights_of_one_layer():
    layer = utils.weight_norm(weight_norm(nn.Linear(3, 2)), "bias", None)
    y = layer(draw((4, 3)))
    remove_parametrizations(layer, "weight")
    np.testing.assert_allclose(layer(draw((4, 3))), y, rtol=1e-6)
    utils.remove_weight_norm(layer, "bias")
    assert type(layer) is nn.Linear
    np.testing.assert_allclose(layer(draw((4, 3))), y, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: weight_norm(nn.ReLU()), "name as that of a parameter of ReLU, got 'weight'"),
        (lambda: weight_norm(nn.Linear(2, 3), dim=2), "dim from -2 to 1 or None"),
        (lambda: weight_norm(weight_norm(nn.Linear(2, 3))), "name as that of a parameter"),
        (lambda: spectral_norm(nn.Linear(2, 3), dim=2), "dim from -2 to 1 or None"),
        (lambda: spectral_norm(nn.Linear(2, 3), n_power_iterations=0), "n_power_iterations"),
        (lambda: utils.spectral_norm(nn.ReLU()), "name as that of a parameter of ReLU"),
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


def test_a_short_bias_is_divided_by_eps():
    layer = nn.Linear(3, 4)
    layer.bias.assign(np.full(4, 0.01, np.float32))
    np.testing.assert_allclose(spectral_norm(layer, "bias", eps=0.5).bias, np.full(4, 0.02), rtol=1e-6)


@pytest.mark.parametrize(("dim", "rows"), [(0, 4), (1, 3), (-1, 5), (2, 5), (None, 4)])
def test_the_axis_of_a_spectral_norm(dim, rows):
    layer = spectral_norm(nn.Conv1d(3, 4, 5), n_power_iterations=30, dim=dim)
    weight = np.asarray(layer.parametrizations.weight.original, np.float64)
    matrix = np.moveaxis(weight, dim or 0, 0).reshape(rows, -1)
    np.testing.assert_allclose(layer.weight, weight / np.linalg.norm(matrix, 2), rtol=1e-3)


def test_the_earlier_spectral_norm_begins_with_the_columns() -> None:
    cc.manual_seed(0)
    layer = nn.utils.spectral_norm(nn.Linear(4, 3), n_power_iterations=2)
    weight = np.asarray(layer.weight_orig, np.float64)
    u, v = np.array(layer.weight_u, np.float64), np.array(layer.weight_v, np.float64)
    cc.train_step(lambda x: layer(x).sum(), optim.SGD(layer.parameters(), lr=0.0))(
        np.ones((1, 4), np.float32)
    )
    for _ in range(2):
        v = weight.T @ u
        v /= np.linalg.norm(v)
        u = weight @ v
        u /= np.linalg.norm(u)
    np.testing.assert_allclose(layer.weight_v, v, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer.weight_u, u, rtol=1e-5, atol=1e-6)
