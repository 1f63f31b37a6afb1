# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers and cells as modules: weights and results as torch's, training, errors."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops, optim
from cnncore.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from reference.recurrent import recurrent

RNG = np.random.default_rng(0)
KINDS = {
    "LSTM": {},
    "GRU": {},
    "RNN": {},
    "RNN relu": {"nonlinearity": "relu"},
    "LSTM projected": {"proj_size": 3},
}
VARIANTS = [
    {},
    {"bias": False},
    {"batch_first": True, "bidirectional": True},
    {"num_layers": 3, "bidirectional": True},
    {"num_layers": 2, "batch_first": True, "bias": False},
]


def normal(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def flat(result: Any) -> list[Any]:
    """Output and states of any kind of layer."""
    output, last = result
    return [output, *(last if isinstance(last, tuple) else (last,))]


def pair(kind: str, features: int, hidden: int, **settings: Any) -> tuple[Any, Any]:
    """A layer and torch's with the same weights."""
    torch = pytest.importorskip("torch")
    name = kind.split()[0]
    settings = {**KINDS[kind], **settings}
    theirs = getattr(torch.nn, name)(features, hidden, **settings)
    ours = getattr(nn, name)(features, hidden, **settings)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    return ours, theirs


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
@pytest.mark.parametrize("settings", VARIANTS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_results_and_gradients_are_those_of_torch(kind: str, settings: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = pair(kind, 4, 6, **settings)
    x = normal(3, 5, 4)
    leaf = torch.tensor(x, requires_grad=True)
    expected = flat(theirs(leaf))
    found = flat(ours(x))
    factors = [normal(*part.shape) for part in found]
    sum((part * torch.tensor(f)).sum() for part, f in zip(expected, factors, strict=True)).backward()

    def loss(x: Any) -> Any:
        return sum((part * f).sum() for part, f in zip(flat(ours(x)), factors, strict=True))

    for part, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(part, wanted.detach().numpy(), rtol=1e-5, atol=1e-6)
    _, grads = cc.value_and_grad(loss, dict(ours.named_parameters()))(x)
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(grads[name], parameter.grad.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(cc.grad(loss)(x), leaf.grad.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_without_a_batch_and_with_states(kind: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = pair(kind, 4, 6, num_layers=2, batch_first=True)
    x, h, c = normal(7, 4), normal(2, 6), normal(2, 6)
    state = (h, c) if kind == "LSTM" else h
    torch_state = (torch.tensor(h), torch.tensor(c)) if kind == "LSTM" else torch.tensor(h)
    for part, wanted in zip(flat(ours(x, state)), flat(theirs(torch.tensor(x), torch_state)), strict=True):
        assert part.shape == tuple(wanted.shape)
        np.testing.assert_allclose(part, wanted.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_packed_sequences_are_those_of_torch(kind: str, batch_first: bool, in_order: bool) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = pair(kind, 4, 6, num_layers=2, bidirectional=True, batch_first=batch_first)
    lengths = [6, 4, 4, 1] if in_order else [4, 6, 1, 4]
    x = normal(4, 7, 4) if batch_first else normal(7, 4, 4)
    h, c = normal(4, 4, 6), normal(4, 4, 6)
    state = (h, c) if kind == "LSTM" else h
    torch_state = (torch.tensor(h), torch.tensor(c)) if kind == "LSTM" else torch.tensor(h)
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.tensor(x), lengths, batch_first, in_order)
    expected, *last = flat(theirs(packed, torch_state))
    found, *ends = flat(ours(pack_padded_sequence(x, lengths, batch_first, in_order), state))
    np.testing.assert_allclose(found.data, expected.data.detach().numpy(), rtol=1e-5, atol=1e-6)
    assert found.batch_sizes.tolist() == expected.batch_sizes.tolist()
    for part, wanted in zip(ends, last, strict=True):
        np.testing.assert_allclose(part, wanted.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "RNNCell", "RNNCell relu"])
@pytest.mark.parametrize("bias", [True, False])
def test_cells_are_those_of_torch(kind: str, bias: bool) -> None:
    torch = pytest.importorskip("torch")
    name, *relu = kind.split()
    settings: dict[str, Any] = {"bias": bias, **({"nonlinearity": "relu"} if relu else {})}
    theirs, ours = getattr(torch.nn, name)(4, 6, **settings), getattr(nn, name)(4, 6, **settings)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    for batch in ((), (3,)):
        x, h, c = normal(*batch, 4), normal(*batch, 6), normal(*batch, 6)
        for state in (None, (h, c) if name == "LSTMCell" else h):
            given: Any = state if state is None else torch.tensor(h)
            if isinstance(state, tuple):
                given = tuple(map(torch.tensor, state))
            found, expected = ours(x, state), theirs(torch.tensor(x), given)
            pairs = zip(found, expected, strict=True) if name == "LSTMCell" else [(found, expected)]
            for part, wanted in pairs:
                assert part.shape == tuple(wanted.shape)
                np.testing.assert_allclose(part, wanted.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_initial_weights_are_drawn_around_zero(kind: str) -> None:
    layer = getattr(nn, kind)(30, 100, num_layers=2)
    for weight in layer.parameters():
        values = np.asarray(weight)
        assert np.abs(values).max() <= 0.1
        assert values.size < 1000 or abs(np.std(values) - 0.1 / np.sqrt(3)) < 0.002
    assert [[w.shape[0] for w in one] for one in layer.all_weights] == [[layer.gates * 100] * 4] * 2
    layer.flatten_parameters()


def test_a_predictor_gives_what_the_layer_gives() -> None:
    layer = nn.GRU(5, 9, num_layers=2, bidirectional=True)
    x = normal(4, 3, 5)
    for ours, theirs in zip(flat(cc.compile(layer, x.shape)(x)), flat(layer.eval()(x)), strict=True):
        assert np.array_equal(ours, theirs)


class Tagger(nn.Module):
    """The class of a sequence from the last outputs of both directions."""

    def __init__(self, cell: type[Any]) -> None:
        super().__init__()
        self.recurrent = cell(3, 8, bidirectional=True, batch_first=True, num_layers=2, dropout=0.1)
        self.head = nn.Linear(16, 2)

    def forward(self, x: Any, lengths: Any) -> Any:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        output, _ = pad_packed_sequence(self.recurrent(packed)[0], batch_first=True)
        return self.head(output.sum(1))


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_training_step_takes_lengths_and_learns(cell: type[Any]) -> None:
    """Whether the first channel's sum within the length is positive; beyond it lies what would mislead."""
    cc.manual_seed(0)
    rng = np.random.default_rng(1)
    model = Tagger(cell)
    step = cc.train_step(
        lambda x, n, y: ops.cross_entropy(model(x, n), y), optim.Adam(model.parameters(), 0.02)
    )

    def batch() -> tuple[Any, ...]:
        x = rng.standard_normal((32, 10, 3)).astype(np.float32)
        lengths = rng.integers(1, 11, 32)
        inside = np.arange(10) < lengths[:, None]
        y = ((x[..., 0] * inside).sum(1) > 0).astype(np.int64)
        x[~inside] = np.nan
        return x, lengths, y

    losses = [float(step(*batch())) for _ in range(120)]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-20:]) < 0.45 < np.mean(losses[:5])


def test_lengths_outside_leave_a_step_undone() -> None:
    model = Tagger(nn.LSTM)
    step = cc.train_step(
        lambda x, n, y: ops.cross_entropy(model(x, n), y), optim.SGD(model.parameters(), 1.0)
    )
    x, y = normal(2, 4, 3), np.array([0, 1])
    step(x, np.array([4, 1]), y)
    before = model.state_dict()
    for lengths in ([5, 1], [0, 1], [2, -1]):
        with pytest.raises(ValueError, match="expected lengths from 1 to 4, got 1 others"):
            step(x, np.array(lengths), y)
    assert all(np.array_equal(before[key], value) for key, value in model.state_dict().items())


def test_lengths_that_are_to_fall_are_checked_while_a_function_runs() -> None:
    layer = nn.RNN(3, 4)
    function = cc.value_and_grad(
        lambda x, n: layer(pack_padded_sequence(x, n))[1].sum(), list(layer.parameters())
    )
    function(normal(4, 3, 3), np.array([4, 2, 2]))
    with pytest.raises(ValueError, match=r"descending order \(or enforce_sorted=False\), got 1 others"):
        function(normal(4, 3, 3), np.array([4, 2, 3]))


def test_dropout_acts_between_layers_in_training() -> None:
    x = normal(5, 3, 4)
    layer = nn.LSTM(4, 6, num_layers=2, dropout=0.5)
    assert not np.array_equal(layer(x)[0], layer(x)[0])
    layer.eval()
    assert np.array_equal(layer(x)[0], layer(x)[0])
    gone = nn.LSTM(4, 6, num_layers=2, dropout=1.0)
    weights = [[np.asarray(w, np.float64) for w in one] for one in gone.all_weights]
    first, *_ = recurrent("lstm", x.astype(np.float64), np.zeros((1, 3, 6)), np.zeros((1, 3, 6)), weights[:1])
    second, *_ = recurrent("lstm", first * 0, np.zeros((1, 3, 6)), np.zeros((1, 3, 6)), weights[1:])
    np.testing.assert_allclose(gone(x)[0], second, atol=1e-6)
    with pytest.warns(UserWarning, match="dropout=0.5 acts between layers"):
        nn.GRU(4, 6, dropout=0.5)


def test_an_empty_batch_gives_empty_results_and_no_gradient() -> None:
    layer = nn.LSTM(4, 6, batch_first=True, bidirectional=True)
    output, (h, c) = layer(np.zeros((0, 5, 4), np.float32))
    assert (output.shape, h.shape, c.shape) == ((0, 5, 12), (2, 0, 6), (2, 0, 6))
    _, grads = cc.value_and_grad(lambda x: layer(x)[0].sum(), list(layer.parameters()))(
        np.zeros((0, 5, 4), np.float32)
    )
    assert all(not grad.any() for grad in grads)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.LSTM(0, 4), ValueError, "input_size of at least 1"),
        (lambda: nn.LSTM(4, 4, proj_size=4), ValueError, "proj_size smaller than hidden_size 4, got 4"),
        (lambda: nn.LSTM(4, 4, dropout=1.5), ValueError, "dropout from 0 to 1"),
        (lambda: nn.GRU(4, 4, bias=1), TypeError, "bias True or False"),
        (lambda: nn.RNN(4, 4, nonlinearity="elu"), ValueError, "nonlinearity 'tanh' or 'relu', got 'elu'"),
        (lambda: nn.RNNCell(4, 4, nonlinearity="elu"), ValueError, "nonlinearity 'tanh' or 'relu'"),
        (lambda: nn.LSTM(4, 4, device="cuda"), ValueError, "cpu"),
    ],
)
def test_settings_that_are_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.LSTM(4, 6)(normal(5, 3, 5)), r"\[LSTM\] expected input with 4 features .* got 5"),
        (lambda: nn.LSTM(4, 6)(normal(5)), r"expected input \(time, batch, features\) or \(time, features\)"),
        (
            lambda: nn.LSTM(4, 6)(normal(5, 3, 4), (normal(1, 2, 6), normal(1, 3, 6))),
            r"expected h_0 \(layers \* directions, batch, size\) of shape \(1, 3, 6\), got \(1, 2, 6\)",
        ),
        (
            lambda: nn.LSTM(4, 6, proj_size=2)(normal(5, 3, 4), (normal(1, 3, 2), normal(1, 3, 2))),
            r"expected c_0 .* of shape \(1, 3, 6\), got \(1, 3, 2\)",
        ),
        (lambda: nn.GRU(4, 6)(normal(5, 4), normal(1, 1, 6)), r"expected h_0 .* of shape \(1, 6\)"),
        (lambda: nn.LSTMCell(4, 6)(normal(3, 5)), r"\[LSTMCell\] expected input with 4 features"),
        (
            lambda: nn.GRUCell(4, 6)(normal(3, 4), normal(2, 6)),
            r"expected hx of shape \(3, 6\), got \(2, 6\)",
        ),
    ],
)
def test_inputs_that_do_not_fit(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_an_lstm_wants_both_states() -> None:
    with pytest.raises(TypeError, match=r"expected the states \(h_0, c_0\)"):
        nn.LSTM(4, 6)(normal(5, 3, 4), normal(1, 3, 6))
    with pytest.raises(TypeError, match=r"expected the pair \(hx, cx\)"):
        nn.LSTMCell(4, 6)(normal(3, 4), normal(3, 6))


def test_weights_that_do_not_fit_each_other() -> None:
    x = normal(5, 3, 4)
    with pytest.raises(ValueError, match=r"expected 2 times \(weight_ih, weight_hh, bias_ih, bias_hh\)"):
        ops.lstm(x, None, [normal(8, 4), normal(8, 2)], bidirectional=True)
    with pytest.raises(ValueError, match=r"expected weight_hh \(8, 2\)"):
        ops.lstm(x, None, [normal(8, 4), normal(8, 3)], has_biases=False)
    with pytest.raises(ValueError, match=r"expected bias_hh \(8,\)"):
        ops.lstm(x, None, [normal(8, 4), normal(8, 2), normal(8), normal(7)])
    with pytest.raises(ValueError, match=r"expected weight_hr \(1, 2\)"):
        ops.lstm(x, None, [normal(8, 4), normal(8, 1), normal(1, 3)], has_biases=False)
    with pytest.raises(ValueError, match=r"expected weights \(3 \* hidden size"):
        ops.gru(x, None, [normal(8, 4), normal(8, 2)], has_biases=False)


def test_extra_repr_is_that_of_torch() -> None:
    text = "LSTM(4, 6, proj_size=2, num_layers=2, batch_first=True)"
    assert repr(nn.LSTM(4, 6, 2, batch_first=True, proj_size=2)) == text
    assert repr(nn.RNNCell(4, 6, nonlinearity="relu")) == "RNNCell(4, 6, nonlinearity=relu)"


class Reader(nn.Module):
    """Columns of an image, read by a recurrent layer behind a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.recurrent = nn.LSTM(4 * 6, 12, bidirectional=True, batch_first=True)
        self.head = nn.Linear(24, 2)

    def forward(self, x: Any) -> Any:
        y = self.features(x)
        columns = ops.reshape(ops.permute(y, (0, 3, 1, 2)), (y.shape[0], y.shape[3], -1))
        return self.head(self.recurrent(columns)[0].mean(1))


def test_a_network_behind_a_convolution_trains_and_is_kept(tmp_path: Any) -> None:
    """Trainer, predictor, pickle and file of one network: which half of the columns is brighter."""
    cc.manual_seed(0)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 96)
    x = rng.standard_normal((96, 1, 6, 8)).astype(np.float32)
    x[y == 0, :, :, :4] += 1.5
    x[y == 1, :, :, 4:] += 1.5
    model = Reader()
    trainer = cc.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), 0.01))
    trainer.fit((x, y), epochs=6, batch_size=16, verbose=0)
    assert trainer.evaluate((x, y))["accuracy"] > 0.9
    predictor = cc.compile(model.eval(), (4, 1, 6, 8))
    expected = predictor(x[:4])
    assert np.array_equal(pickle.loads(pickle.dumps(predictor))(x[:4]), expected)
    np.testing.assert_allclose(model(x[:4]), expected, atol=1e-5)
    cc.save(model, tmp_path / "reader.safetensors")
    again = Reader()
    cc.load_into(again, tmp_path / "reader.safetensors")
    assert np.array_equal(again.eval()(x[:4]), model(x[:4]))
    captured = cc.capture(model, ["recurrent"], x[:2])["recurrent"]
    assert captured[0].shape == (2, 8, 24)
    assert [part.shape for part in captured[1]] == [(2, 2, 12)] * 2


def test_gates_that_are_computed_again_have_the_same_bits() -> None:
    layer = nn.GRU(3, 5, num_layers=2)
    x, parameters = normal(6, 2, 3), list(layer.parameters())
    kept = cc.value_and_grad(lambda x: (layer(x)[0] ** 2).sum(), parameters)(x)
    again = cc.value_and_grad(lambda x: (cc.checkpoint(layer, x)[0] ** 2).sum(), parameters)(x)
    assert kept[0] == again[0]
    assert all(np.array_equal(a, b) for a, b in zip(kept[1], again[1], strict=True))


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN", "LSTM projected"])
def test_each_weight_has_its_gradient_alone(kind: str) -> None:
    """What others need is then left out."""
    layer = getattr(nn, kind.split()[0])(3, 5, bidirectional=True, **KINDS[kind])
    x, h, c = normal(4, 2, 3), normal(2, 2, layer.proj_size or 5), normal(2, 2, 5)

    def loss(x: Any, h: Any, c: Any) -> Any:
        output, _ = layer(x, (h, c) if kind.startswith("LSTM") else h)
        return (output**2).sum()

    _, together = cc.value_and_grad(loss, dict(layer.named_parameters()))(x, h, c)
    for name, weight in layer.named_parameters():
        _, alone = cc.value_and_grad(loss, [weight])(x, h, c)
        np.testing.assert_allclose(alone[0], together[name], rtol=1e-5, atol=1e-6)
    places = [0, 1, 2] if kind.startswith("LSTM") else [0, 1]
    for place, found in zip(places, cc.grad(loss, places)(x, h, c), strict=True):
        assert np.array_equal(cc.grad(loss, place)(x, h, c), found)


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn_tanh", "rnn_relu"])
def test_defaults_of_the_functions_are_those_of_the_layers(name: str) -> None:
    function = inspect.signature(getattr(ops, name)).parameters
    layer = inspect.signature(getattr(nn, name.split("_")[0].upper())).parameters
    for setting in ("num_layers", "dropout", "bidirectional", "batch_first"):
        assert function[setting].default == layer[setting].default
    assert function["has_biases"].default == layer["bias"].default
    assert function["train"].default is False


@pytest.mark.parametrize("kind", KINDS)
def test_one_sequence_with_states_is_a_batch_of_one(kind: str) -> None:
    cc.manual_seed(0)
    settings = {**KINDS[kind], "num_layers": 2, "bidirectional": True, "dropout": 0.0}
    layer = getattr(nn, kind.split()[0])(4, 5, **settings)
    sizes = [settings.get("proj_size", 5), 5][: 2 if "LSTM" in kind else 1]
    x, states = normal(7, 4), [normal(4, size) for size in sizes]
    single = flat(layer(x, tuple(states) if len(states) > 1 else states[0]))
    whole = [state[:, None] for state in states]
    batch = flat(layer(x[:, None], tuple(whole) if len(whole) > 1 else whole[0]))
    for one, other in zip(single, batch, strict=True):
        assert one.shape == other.shape[:1] + other.shape[2:]
        np.testing.assert_array_equal(one, other[:, 0])
    for bad in ((1, 5), (5, 5), (4, 6), (4, 1, 5)):
        wrong = [normal(*bad)] * len(states)
        with pytest.raises(ValueError, match=r"\(layers \* directions, size\) of shape \(4, "):
            layer(x, tuple(wrong) if len(wrong) > 1 else wrong[0])
