# SPDX-License-Identifier: Apache-2.0
"""Transformers: torch's numbers where it is installed, their meaning everywhere."""

from __future__ import annotations

import pickle
from copy import deepcopy
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops

SIZE, HEADS, WIDTH = 8, 2, 12


def sequence(places: int, batch_first: bool, seed: int = 0) -> Any:
    shape = (3, places, SIZE) if batch_first else (places, 3, SIZE)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def attended(x: Any, source: Any, layer: Any, mask: Any = None) -> Any:
    """Attention written out for (batch, places, size), from a layer's parameters, in float64."""
    weight, bias = np.asarray(layer.in_proj_weight, float), np.asarray(layer.in_proj_bias, float)
    parts = zip((x, source, source), np.split(weight, 3), np.split(bias, 3), strict=True)
    q, k, v = (
        (a @ w.T + b).reshape(*a.shape[:2], HEADS, SIZE // HEADS).transpose(0, 2, 1, 3) for a, w, b in parts
    )
    scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(SIZE // HEADS) + (0 if mask is None else mask)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    mixed = (shares @ v).transpose(0, 2, 1, 3).reshape(x.shape)
    return mixed @ np.asarray(layer.out_proj.weight, float).T + np.asarray(layer.out_proj.bias, float)


def normalised(x: Any) -> Any:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def fed(x: Any, layer: Any) -> Any:
    hidden = np.maximum(x @ np.asarray(layer.linear1.weight, float).T + np.asarray(layer.linear1.bias), 0)
    return hidden @ np.asarray(layer.linear2.weight, float).T + np.asarray(layer.linear2.bias)


@pytest.mark.parametrize("norm_first", [False, True])
def test_layers_are_what_the_paper_says(norm_first: bool) -> None:
    x, memory = sequence(4, True).astype(float), sequence(5, True, 1).astype(float)
    mask = nn.Transformer.generate_square_subsequent_mask(4)
    settings = {"batch_first": True, "norm_first": norm_first}
    encoder = nn.TransformerEncoderLayer(SIZE, HEADS, WIDTH, 0.0, **settings)
    decoder = nn.TransformerDecoderLayer(SIZE, HEADS, WIDTH, 0.0, **settings)

    def added(a: Any, part: Any) -> Any:
        return a + part(normalised(a)) if norm_first else normalised(a + part(a))

    wanted = added(x, lambda a: attended(a, a, encoder.self_attn, mask))
    wanted = added(wanted, lambda a: fed(a, encoder))
    assert np.abs(encoder(x, src_mask=mask) - wanted).max() < 1e-5

    wanted = added(x, lambda a: attended(a, a, decoder.self_attn, mask))
    wanted = added(wanted, lambda a: attended(a, memory, decoder.multihead_attn))
    wanted = added(wanted, lambda a: fed(a, decoder))
    assert np.abs(decoder(x, memory, tgt_mask=mask) - wanted).max() < 1e-5


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("settings", [{}, {"norm_first": True, "bias": False, "activation": "gelu"}])
def test_a_model_has_torch_s_keys_and_results(settings: dict[str, Any], batch_first: bool) -> None:
    torch = pytest.importorskip("torch")
    arguments = (SIZE, HEADS, 2, 1, WIDTH, 0.0)
    theirs, ours = (
        module.Transformer(*arguments, batch_first=batch_first, **settings) for module in (torch.nn, nn)
    )
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    src, tgt = sequence(5, batch_first), sequence(4, batch_first, 1)
    padding = np.zeros((3, 5), bool)
    padding[1, 3:] = True
    masks = {
        "tgt_mask": nn.Transformer.generate_square_subsequent_mask(4),
        "src_key_padding_mask": padding,
        "memory_key_padding_mask": padding,
    }
    expected = theirs.double()(
        torch.tensor(src).double(),
        torch.tensor(tgt).double(),
        **{
            k: torch.tensor(v).double() if v.dtype == np.float32 else torch.tensor(v)
            for k, v in masks.items()
        },
    )
    assert np.abs(ours(src, tgt, **masks) - expected.detach().numpy()).max() < 1e-5


def test_later_places_do_not_matter_under_the_causal_mask() -> None:
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(SIZE, HEADS, WIDTH, batch_first=True), 2).eval()
    x = sequence(6, True)
    mask = nn.Transformer.generate_square_subsequent_mask(6)
    changed = x.copy()
    changed[:, 4:] = 7.0
    before, after = model(x, mask), model(changed, mask)
    assert np.array_equal(before[:, :4], after[:, :4])
    assert not np.array_equal(before[:, 4:], after[:, 4:])


def test_copies_of_a_layer_have_weights_of_their_own() -> None:
    layer = nn.TransformerEncoderLayer(SIZE, HEADS, WIDTH)
    model = nn.TransformerEncoder(layer, 2, nn.LayerNorm(SIZE))
    first, second = (model.layers[i].linear1.weight for i in range(2))
    assert np.array_equal(first, second)
    assert first is not second
    assert not np.array_equal(nn.Transformer(8, 2, 2, 1, 8).encoder.layers[0].linear1.weight,
                              nn.Transformer(8, 2, 2, 1, 8).encoder.layers[1].linear1.weight)  # fmt: skip


def test_it_learns_to_copy() -> None:
    cc.manual_seed(0)
    model = nn.Transformer(16, 2, 1, 1, 32, dropout=0.0, batch_first=True)
    head = nn.Linear(16, 16)
    modules = nn.ModuleList([model, head])
    src = np.random.default_rng(0).standard_normal((16, 4, 16)).astype(np.float32)

    def loss(a: Any) -> Any:
        return ops.mse_loss(head(model(a, a)), a)

    step = cc.train_step(loss, cc.optim.Adam(modules.parameters(), lr=3e-3))
    first = float(step(src))
    last = [float(step(src)) for _ in range(60)][-1]
    assert last < first / 2


def test_pickle_and_deepcopy() -> None:
    model = nn.Transformer(8, 2, 1, 1, 8, batch_first=True).eval()
    x = sequence(3, True)
    for other in (deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(other(x, x), model(x, x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.TransformerEncoderLayer(8, 3), "num_heads that divides"),
        (lambda: nn.TransformerEncoderLayer(8, 2, activation="swish"), "activation 'relu', 'gelu'"),
        (lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2), 0), "num_layers"),
        (lambda: nn.Transformer(8, 2, device="cuda"), "cuda"),
    ],
)
def test_errors(make: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make()


@pytest.mark.parametrize("kind", [nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.Transformer])
def test_without_biases(kind: Any) -> None:
    settings = {"dim_feedforward": WIDTH, "dropout": 0.0}
    with_bias, without = (kind(SIZE, HEADS, **settings, bias=bias) for bias in (True, False))
    kept = [name for name in with_bias.state_dict() if "bias" not in name]
    assert len(kept) < len(with_bias.state_dict())
    assert list(without.state_dict()) == kept


class Recorded(nn.Module):
    """A decoder layer that keeps what it is called with."""

    def __init__(self) -> None:
        super().__init__()
        self.given: Any = None

    def forward(self, tgt: Any, memory: Any, *rest: Any) -> Any:
        self.given = rest
        return tgt + memory


def test_a_stack_hands_everything_on() -> None:
    x, mask = sequence(4, True), np.zeros((4, 4), np.float32)
    decoder = nn.TransformerDecoder(Recorded(), 2, nn.Identity())
    for flags in ((True, False), (False, True)):
        decoder(x, x, mask, None, mask, None, *flags)
        for layer in decoder.layers:
            assert layer.given[0] is not None
            assert layer.given[1] is None
            assert layer.given[2] is not None
            assert layer.given[3:] == (None, *flags)


@pytest.mark.parametrize("kind", [nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.Transformer])
def test_settings_reach_every_part(kind: Any) -> None:
    settings = {"dropout": 0.25, "activation": ops.tanh, "layer_norm_eps": 0.5, "batch_first": True}
    model = kind(SIZE, HEADS, dim_feedforward=WIDTH, norm_first=True, bias=False, **settings)
    parts = list(model.modules())
    found = {type(part): [p for p in parts if type(p) is type(part)] for part in parts}
    assert {part.p for part in found[nn.Dropout]} == {0.25}
    assert {part.eps for part in found[nn.LayerNorm]} == {0.5}
    for part in found[nn.MultiheadAttention]:
        assert (part.dropout, part.batch_first, part.num_heads) == (0.25, True, HEADS)
    assert {(part.in_features, part.out_features) for part in found[nn.Linear]} == {
        (SIZE, SIZE),
        (SIZE, WIDTH),
        (WIDTH, SIZE),
    }
    layers = [part for part in parts if hasattr(part, "linear1")]
    assert all(layer.norm_first and layer.activation is ops.tanh for layer in layers)
    assert not any("bias" in name for name, _ in model.named_parameters())
    if kind is nn.Transformer:
        plain = nn.Transformer(SIZE, HEADS)
        assert [len(part.layers) for part in (plain.encoder, plain.decoder)] == [6, 6]


DROPPED = ["self_attn", "dropout1", "dropout", "dropout2"]
DROPS = [(nn.TransformerEncoderLayer, name) for name in DROPPED]
DROPS += [(nn.TransformerDecoderLayer, name) for name in (*DROPPED, "multihead_attn", "dropout3")]


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize(("kind", "name"), DROPS)
def test_each_dropout_is_of_one_part(kind: Any, name: str, norm_first: bool) -> None:
    """What is dropped for certain is zero: all of a part, its shares, or what lies between linear layers."""
    decoder = kind is nn.TransformerDecoderLayer
    layer = kind(SIZE, HEADS, WIDTH, 0.0, batch_first=True, norm_first=norm_first)
    rng = np.random.default_rng(0)
    for key, parameter in layer.named_parameters():
        if "norm" not in key:
            parameter.assign(rng.normal(size=parameter.shape))
    setattr(getattr(layer, name), "dropout" if "attn" in name else "p", 1.0)
    x, memory = sequence(4, True).astype(float), sequence(5, True, 1).astype(float)

    def attention(part: str, a: Any, source: Any) -> Any:
        attn = getattr(layer, part)
        bias = np.asarray(attn.out_proj.bias, float)
        return np.broadcast_to(bias, a.shape) if name == part else attended(a, source, attn)

    parts = [lambda a: attention("self_attn", a, a)]
    if decoder:
        parts.append(lambda a: attention("multihead_attn", a, memory))
    parts.append(
        lambda a: (
            np.broadcast_to(np.asarray(layer.linear2.bias, float), a.shape)
            if name == "dropout"
            else fed(a, layer)
        )
    )
    wanted = x
    for place, part in enumerate(parts, 1):
        kept = 0.0 if name == f"dropout{place}" else 1.0
        if norm_first:
            wanted = wanted + kept * part(normalised(wanted))
        else:
            wanted = normalised(wanted + kept * part(wanted))
    found = layer(x, memory) if decoder else layer(x)
    assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_parts_of_ones_own() -> None:
    encoder, decoder = nn.Identity(), Recorded()
    model = nn.Transformer(SIZE, HEADS, custom_encoder=encoder, custom_decoder=decoder)
    assert (model.encoder, model.decoder) == (encoder, decoder)
    assert (model.d_model, model.nhead, model.batch_first) == (SIZE, HEADS, False)


class Taking(nn.Module):
    """Keeps what it is called with; returns the first."""

    def __init__(self) -> None:
        super().__init__()
        self.given: Any = None

    def forward(self, *given: Any) -> Any:
        self.given = given
        return given[0] * 1.0


@pytest.mark.parametrize("place", range(9))
def test_a_model_hands_each_argument_to_its_part(place: int) -> None:
    """One mask or flag at a time, beside the two sequences."""
    encoder, decoder = Taking(), Taking()
    model = nn.Transformer(SIZE, HEADS, custom_encoder=encoder, custom_decoder=decoder)
    x = sequence(4, False)
    rest: list[Any] = [None] * 6 + [None, None, False]
    rest[place] = True if place > 5 else np.full((4, 4), float(place), np.float32)
    model(x, x, *rest)
    given = [*encoder.given[1:], *decoder.given[2:]]
    # src_mask, its padding and flag; tgt_mask, memory_mask, their paddings and flags.
    order = [0, 3, 6, 1, 2, 4, 5, 7, 8]
    found = [argument is not None and argument is not False for argument in given]
    assert found == [number == place for number in order]
