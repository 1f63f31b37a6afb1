# SPDX-License-Identifier: Apache-2.0
"""Attention with several heads: torch's numbers where it is installed, a float64 reference everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops

TARGETS, SOURCES, BATCH, SIZE, HEADS = 4, 5, 3, 8, 2
RNG = np.random.default_rng(0)
PADDING = np.zeros((BATCH, SOURCES), bool)
PADDING[1, 3:] = True
CAUSAL = np.triu(np.ones((TARGETS, SOURCES), bool), 2)
FLOATS = RNG.standard_normal((TARGETS, SOURCES)).astype(np.float32)

SETTINGS: list[dict[str, Any]] = [
    {},
    {"bias": False},
    {"kdim": 6, "vdim": 7},
    {"add_bias_kv": True},
    {"add_zero_attn": True},
    {"batch_first": True},
    {"add_bias_kv": True, "add_zero_attn": True, "batch_first": True},
]
MASKS: list[dict[str, Any]] = [
    {},
    {"key_padding_mask": PADDING},
    {"attn_mask": CAUSAL},
    {"attn_mask": CAUSAL, "is_causal": True},
    {"attn_mask": np.repeat(CAUSAL[None], BATCH * HEADS, 0), "key_padding_mask": PADDING},
    {"attn_mask": FLOATS},
    {"average_attn_weights": False},
    {"need_weights": False},
]


def _sequence(places: int, size: int, settings: dict[str, Any], seed: int) -> Any:
    shape = (BATCH, places, size) if settings.get("batch_first") else (places, BATCH, size)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _inputs(settings: dict[str, Any]) -> tuple[Any, Any, Any]:
    return (
        _sequence(TARGETS, SIZE, settings, 1),
        _sequence(SOURCES, settings.get("kdim", SIZE), settings, 2),
        _sequence(SOURCES, settings.get("vdim", SIZE), settings, 3),
    )


@pytest.mark.parametrize("masks", MASKS, ids=lambda m: ",".join(m))
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: ",".join(s))
def test_same_as_torch(settings: dict[str, Any], masks: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    theirs, ours = (m.MultiheadAttention(SIZE, HEADS, **settings) for m in (torch.nn, nn))
    ours.load_state_dict({name: p.detach().numpy() for name, p in theirs.state_dict().items()})
    assert list(ours.state_dict()) == list(theirs.state_dict())
    inputs = _inputs(settings)
    asked = {name: torch.from_numpy(m) if isinstance(m, np.ndarray) else m for name, m in masks.items()}
    expected, expected_weights = theirs(*map(torch.from_numpy, inputs), **asked)
    output, weights = ours(*inputs, **masks)
    np.testing.assert_allclose(output, expected.detach().numpy(), rtol=1e-5, atol=2e-6)
    if expected_weights is None:
        assert weights is None
    else:
        np.testing.assert_allclose(weights, expected_weights.detach().numpy(), rtol=1e-5, atol=2e-6)


def _reference(layer: Any, query: Any, key: Any, value: Any, padding: Any) -> Any:
    """(batch, places, size) in float64, head by head."""
    split = np.split(np.asarray(layer.in_proj_weight, np.float64), 3)
    biases = np.split(np.asarray(layer.in_proj_bias, np.float64), 3)
    q, k, v = (x @ w.T + b for x, w, b in zip((query, key, value), split, biases, strict=True))
    result = np.zeros_like(q)
    for head in np.split(np.arange(SIZE), HEADS):
        scores = q[..., head] @ np.swapaxes(k[..., head], 1, 2) / np.sqrt(head.size)
        powers = np.where(padding[:, None], 0, np.exp(scores))
        result[..., head] = powers / powers.sum(-1, keepdims=True) @ v[..., head]
    return result @ np.asarray(layer.out_proj.weight, np.float64).T + np.asarray(layer.out_proj.bias)


def test_against_float64() -> None:
    layer = nn.MultiheadAttention(SIZE, HEADS, batch_first=True)
    for bias in (layer.in_proj_bias, layer.out_proj.bias):
        bias.assign(RNG.standard_normal(bias.shape).astype(np.float32))
    inputs = _inputs({"batch_first": True})
    output, _ = layer(*inputs, key_padding_mask=PADDING)
    expected = _reference(layer, *(x.astype(np.float64) for x in inputs), PADDING)
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=2e-6)
    single, weights = layer(*(x[0] for x in inputs))
    assert (single.shape, weights.shape) == ((TARGETS, SIZE), (TARGETS, SOURCES))
    np.testing.assert_allclose(single, output[0], rtol=1e-5, atol=2e-6)


def test_trains() -> None:
    layer = nn.MultiheadAttention(SIZE, HEADS, dropout=0.1, batch_first=True)
    step = cc.train_step(
        lambda x, y: ((layer(x, x, x, need_weights=False)[0] - y) ** 2).mean(),
        cc.optim.Adam(layer.parameters(), lr=0.02),
    )
    x = _sequence(SOURCES, SIZE, {"batch_first": True}, 4)
    losses = [float(step(x, x[:, ::-1])) for _ in range(150)]
    assert losses[-1] < losses[0] / 2


def test_dropout_only_in_training() -> None:
    layer = nn.MultiheadAttention(SIZE, HEADS, dropout=0.5)
    inputs = _inputs({})
    first, second = layer(*inputs)[0], layer(*inputs)[0]
    assert not np.array_equal(first, second)
    layer.eval()
    np.testing.assert_array_equal(layer(*inputs)[0], layer(*inputs)[0])


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"attn_mask": np.zeros((SOURCES, TARGETS), bool)}, r"attn_mask of shape \(4, 5\) or \(6, 4, 5\)"),
        ({"key_padding_mask": np.zeros((SOURCES, BATCH), bool)}, r"key_padding_mask of shape \(3, 5\)"),
        ({"is_causal": True}, "attn_mask with is_causal=True"),
    ],
)
def test_masks_that_do_not_fit(masks: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nn.MultiheadAttention(SIZE, HEADS)(*_inputs({}), **masks)


def test_masks_of_integers_are_refused() -> None:
    """0 and 1 could say which sources take part, which are left out, or what is added."""
    ones = np.ones((TARGETS, SOURCES), np.int64)
    with pytest.raises(TypeError, match=r"attn_mask of booleans, or of floats .*attn_mask != 0"):
        nn.MultiheadAttention(SIZE, HEADS)(*_inputs({}), attn_mask=ones)
    with pytest.raises(TypeError, match="key_padding_mask of booleans"):
        nn.MultiheadAttention(SIZE, HEADS)(*_inputs({}), key_padding_mask=ones[:BATCH])
    query = np.ones((1, TARGETS, 2), np.float32)
    with pytest.raises(TypeError, match=r"scaled_dot_product_attention\] expected attn_mask of booleans"):
        ops.scaled_dot_product_attention(query, query, query, attn_mask=np.ones((TARGETS, TARGETS), np.uint8))


def test_heads_divide_the_size() -> None:
    with pytest.raises(ValueError, match="num_heads that divides embed_dim 8, got 3"):
        nn.MultiheadAttention(8, 3)


@pytest.mark.parametrize("settings", [{"add_bias_kv": True}, {"add_zero_attn": True}])
def test_sources_that_every_sample_of_the_batch_has(settings: dict[str, Any]) -> None:
    layer = nn.MultiheadAttention(SIZE, HEADS, batch_first=True, **settings)
    inputs = _inputs({"batch_first": True})
    output, weights = layer(*inputs)
    assert weights.shape == (len(inputs[0]), TARGETS, SOURCES + 1)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    for i in range(len(inputs[0])):
        alone, _ = layer(*(x[i : i + 1] for x in inputs))
        np.testing.assert_allclose(output[i], alone[0], rtol=1e-5, atol=2e-6)


def test_the_learnt_source_is_drawn() -> None:
    layer = nn.MultiheadAttention(64, 2, add_bias_kv=True)
    for source in (layer.bias_k, layer.bias_v):
        assert np.std(source) == pytest.approx(np.sqrt(2 / 65), rel=0.5)  # Xavier's for (1, 1, 64)


@pytest.mark.parametrize("masks", MASKS, ids=lambda m: ",".join(m))
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_every_setting_against_float64(
    masks: dict[str, Any], zeros: bool, biases: bool, batch_first: bool
) -> None:
    """Sources of zeros and learnt ones come last and are never masked; keys and values have other sizes."""
    kdim, vdim = 6, 7
    layer = nn.MultiheadAttention(
        SIZE, HEADS, kdim=kdim, vdim=vdim, add_bias_kv=biases, add_zero_attn=zeros, batch_first=batch_first
    )
    for parameter in layer.parameters():
        parameter.assign(RNG.standard_normal(parameter.shape))
    settings = {"kdim": kdim, "vdim": vdim, "batch_first": batch_first}
    inputs = _inputs(settings)
    output, weights = layer(*inputs, **masks)
    rows = [x.astype(np.float64) if batch_first else x.swapaxes(0, 1).astype(np.float64) for x in inputs]
    matrices = [np.asarray(getattr(layer, f"{n}_proj_weight"), np.float64) for n in "qkv"]
    split = np.split(np.asarray(layer.in_proj_bias, np.float64), 3)
    q, k, v = (x @ w.T + b for x, w, b in zip(rows, matrices, split, strict=True))
    if biases:
        k, v = (
            np.concatenate([x, np.broadcast_to(np.asarray(b, np.float64), (BATCH, 1, SIZE))], 1)
            for x, b in ((k, layer.bias_k), (v, layer.bias_v))
        )
    if zeros:
        k, v = (np.concatenate([x, np.zeros((BATCH, 1, SIZE))], 1) for x in (k, v))
    more = zeros + biases
    added = np.zeros((BATCH, HEADS, TARGETS, SOURCES + more))
    mask = masks.get("attn_mask")
    if mask is not None:
        given = np.where(mask, -np.inf, 0.0) if mask.dtype == bool else mask
        added[..., :SOURCES] += given.reshape(
            (BATCH, HEADS, TARGETS, SOURCES) if given.ndim == 3 else given.shape
        )
    if "key_padding_mask" in masks:
        added[..., :SOURCES] += np.where(masks["key_padding_mask"], -np.inf, 0.0)[:, None, None]
    q, k, v = (x.reshape(BATCH, -1, HEADS, SIZE // HEADS).swapaxes(1, 2) for x in (q, k, v))
    powers = np.exp(q @ k.swapaxes(2, 3) / np.sqrt(SIZE // HEADS) + added)
    shares = powers / powers.sum(-1, keepdims=True)
    mixed = (shares @ v).swapaxes(1, 2).reshape(BATCH, TARGETS, SIZE)
    expected = mixed @ np.asarray(layer.out_proj.weight, np.float64).T + np.asarray(layer.out_proj.bias)
    if not batch_first:
        expected = expected.swapaxes(0, 1)
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-4)
    if masks.get("need_weights", True):
        wanted = shares.mean(1) if masks.get("average_attn_weights", True) else shares
        np.testing.assert_allclose(weights, wanted, rtol=1e-4, atol=1e-5)
    else:
        assert weights is None


@pytest.mark.parametrize("sizes", [{}, {"kdim": 6, "vdim": 7}])
def test_no_biases_are_biases_of_zero(sizes: dict[str, int]) -> None:
    plain, zero = (nn.MultiheadAttention(SIZE, HEADS, bias=bias, **sizes) for bias in (False, True))
    zero.load_state_dict(plain.state_dict(), strict=False)
    for vector in (zero.in_proj_bias, zero.out_proj.bias):
        vector.assign(np.zeros(vector.shape))
    for found, expected in zip(plain(*_inputs(sizes)), zero(*_inputs(sizes)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_heads_that_a_query_does_not_have() -> None:
    query, source = np.ones((3, 4), np.float32), np.ones((1, 5, 4), np.float32)
    with pytest.raises(ValueError, match="heads that divide the query's 0, got shape"):
        ops.scaled_dot_product_attention(query, source, source, enable_gqa=True)
