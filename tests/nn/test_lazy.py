# SPDX-License-Identifier: Apache-2.0
"""Layers that take the size of their first input."""

from __future__ import annotations

import copy
import inspect
import pickle
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops, optim
from cnncore.nn.lazy import Lazy

RNG = np.random.default_rng(0)

LAYERS: list[tuple[str, dict[str, Any], tuple[int, ...]]] = [
    ("Linear", {"out_features": 5}, (4, 7)),
    ("Linear", {"out_features": 5, "bias": False}, (2, 3, 7)),
    ("Conv1d", {"out_channels": 4, "kernel_size": 3, "groups": 2}, (2, 6, 9)),
    ("Conv2d", {"out_channels": 4, "kernel_size": 3, "stride": 2, "padding": 1}, (2, 3, 9, 9)),
    ("Conv3d", {"out_channels": 4, "kernel_size": 2, "bias": False, "dilation": 2}, (1, 3, 5, 5, 5)),
    ("ConvTranspose1d", {"out_channels": 4, "kernel_size": 3, "stride": 2, "output_padding": 1}, (2, 3, 9)),
    ("ConvTranspose2d", {"out_channels": 4, "kernel_size": 3, "groups": 2}, (2, 6, 5, 5)),
    ("ConvTranspose3d", {"out_channels": 4, "kernel_size": 2, "padding": 1}, (1, 3, 4, 4, 4)),
    ("BatchNorm1d", {"momentum": None}, (5, 3)),
    ("BatchNorm1d", {"track_running_stats": False}, (5, 3, 4)),
    ("BatchNorm2d", {"eps": 0.1, "affine": False}, (5, 3, 4, 4)),
    ("BatchNorm3d", {"bias": False}, (5, 3, 2, 2, 2)),
    ("InstanceNorm1d", {"affine": True, "track_running_stats": False}, (5, 3, 4)),
    ("InstanceNorm2d", {"affine": True, "track_running_stats": True}, (5, 3, 4, 4)),
    ("InstanceNorm3d", {"eps": 0.1, "affine": False, "track_running_stats": False}, (5, 3, 2, 2, 2)),
]
IDS = [f"{name}-{'-'.join(settings)}" for name, settings, _ in LAYERS]


def count(name: str, shape: tuple[int, ...]) -> int:
    return shape[-1] if name == "Linear" else shape[1]


@pytest.mark.parametrize(("name", "settings", "shape"), LAYERS, ids=IDS)
def test_the_first_call_makes_the_layer(name: str, settings: dict[str, Any], shape: tuple[int, ...]) -> None:
    x = RNG.normal(size=shape).astype(np.float32)
    cc.manual_seed(3)
    lazy = getattr(nn, f"Lazy{name}")(**settings)
    assert isinstance(lazy, getattr(nn, name))
    result = lazy(x)
    cc.manual_seed(3)
    plain = getattr(nn, name)(count(name, shape), **settings)
    assert type(lazy) is type(plain)
    assert repr(lazy) == repr(plain)
    np.testing.assert_array_equal(result, plain(x))
    assert list(lazy.state_dict()) == list(plain.state_dict())
    for key, array in plain.state_dict().items():
        np.testing.assert_array_equal(lazy.state_dict()[key], array)
    assert sorted(vars(lazy)) == sorted(vars(plain))


@pytest.mark.parametrize(("name", "settings", "shape"), LAYERS, ids=IDS)
def test_arguments_and_text_are_torchs(name: str, settings: dict[str, Any], shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    twin = getattr(torch.nn, f"Lazy{name}")
    ours = getattr(nn, f"Lazy{name}")
    theirs = [p for p in inspect.signature(twin).parameters if p not in ("device", "dtype", "bias")]
    assert [p for p in inspect.signature(ours).parameters if p not in ("device", "dtype", "bias")] == theirs
    lazy, reference = ours(**settings), twin(**settings)
    names = [name for name, _ in reference.named_parameters()]
    assert [name for name, _ in lazy.named_parameters()] == names
    lazy(np.zeros(shape))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about num_features without weights
        reference(torch.zeros(shape))
    assert [(k, v.shape) for k, v in lazy.state_dict().items()] == [
        (k, tuple(v.shape)) for k, v in reference.state_dict().items()
    ]


def network() -> nn.Sequential:
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))


X = RNG.normal(size=(2, 1, 8, 8)).astype(np.float32)


@pytest.mark.parametrize(
    "first",
    [
        lambda net: net(X),
        lambda net: net.predict(X),
        lambda net: cc.summary(net, X.shape),
        lambda net: cc.compile(net, X.shape),
        lambda net: cc.capture(net, "2", X),
    ],
)
def test_what_makes_layers(first: Callable[[Any], Any]) -> None:
    net = network()
    first(net)
    assert [type(m).__name__ for m in net] == ["Conv2d", "BatchNorm2d", "ReLU", "Flatten", "Linear"]
    assert net[4].in_features == 4 * 6 * 6
    assert net(X).shape == (2, 3)


def test_summary_counts_parameters() -> None:
    assert cc.summary(network(), (1, 1, 8, 8)).parameters == 4 * 9 + 4 + 8 + 144 * 3 + 3


@pytest.mark.parametrize(
    "use",
    [
        lambda net: net.state_dict(),
        lambda net: net[0].weight.shape,
        lambda net: np.asarray(net[0].weight),
        lambda net: net[4].weight.numpy(),
        lambda net: net[4].bias.assign([1.0]),
        lambda net: nn.init.zeros_(net[0].weight),
        lambda net: net[0].weight + 1,
        lambda net: net[1].running_mean.numpy(),
        lambda net: net.load_state_dict({}, strict=False) and net[0].weight.size,
        lambda net: cc.save(net, "model"),
        lambda net: cc.value_and_grad(lambda x: net(x).sum(), net.parameters()),
        lambda net: ops.relu(net[0].bias),
    ],
)
def test_parameters_before_the_first_call_say_what_to_do(use: Callable[[Any], Any], tmp_path: Any) -> None:
    with pytest.raises(ValueError, match=r"of a lazy layer has no shape yet: call the .* or cc.summ"):
        use(network())


def test_optimisers_may_be_made_before() -> None:
    net = network()
    net[0].weight.requires_grad = False
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    held = list(net.parameters())
    loss = nn.CrossEntropyLoss()
    step = cc.train_step(lambda x, y: loss(net(x), y), optimizer)
    losses = [step(X, np.array([0, 1])) for _ in range(20)]
    assert losses[-1] < losses[0]
    assert all(a is b for a, b in zip(held, net.parameters(), strict=True))
    assert not net[0].weight.requires_grad
    assert optimizer.step_count == 20


def test_a_state_gives_shapes() -> None:
    source, target = network(), network()
    source(X)
    state = source.state_dict()
    assert target.load_state_dict(state) == ([], [])
    for name, array in target.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    np.testing.assert_array_equal(target.eval()(X), source.eval()(X))
    assert type(target[0]) is nn.Conv2d
    other = network()
    other.load_state_dict(state)
    with pytest.raises(ValueError, match=r"\[0\] expected an input for the loaded weight of shape \(4, 1"):
        other(np.zeros((2, 3, 8, 8), np.float32))
    untouched = network()
    with pytest.raises(ValueError, match=r"missing: 4\.bias"):
        untouched.load_state_dict({name: array for name, array in state.items() if name != "4.bias"})
    with pytest.raises(ValueError, match="has no shape yet"):
        untouched.state_dict()


def test_copies_before_the_first_call() -> None:
    net = network()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert isinstance(other[0], Lazy)
        assert other(X).shape == (2, 3)
    assert isinstance(net[0], Lazy)
    assert repr(net[4]) == "LazyLinear(in_features=0, out_features=3, bias=True)"
    assert repr(net[4].weight) == "UninitializedParameter()"


def test_two_threads_make_a_layer_once() -> None:
    for _ in range(5):
        net = network().eval()
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(net, [X] * 8))
        for result in results:
            np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.LazyConv2d(4, 0), ValueError, "kernel_size of at least 1"),
        (lambda: nn.LazyConv2d(4, 3, groups=3), ValueError, "multiple of groups"),
        (lambda: nn.LazyLinear(0), ValueError, "out_features of at least 1"),
        (lambda: nn.LazyLinear(3, device="cuda"), ValueError, "computes on CPUs"),
        (lambda: nn.LazyBatchNorm2d(eps=-1), ValueError, "eps"),
        (
            lambda: nn.LazyConv2d(4, 3)(np.zeros((3, 8, 8))),
            ValueError,
            r"\[LazyConv2d\] .* with 4 axes",
        ),
        (lambda: nn.LazyConv2d(4, 3, groups=2)(np.zeros((1, 3, 8, 8))), ValueError, "multiple of 2 channels"),
        (
            lambda: nn.LazyBatchNorm2d()(np.zeros((3, 8))),
            ValueError,
            r"expected input \(batch, channels",
        ),
        (lambda: nn.LazyLinear(3)(np.float32(1)), ValueError, "expected input .*features.*, got a number"),
    ],
)
def test_wrong_arguments_and_inputs(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_loaded_state_gives_the_size() -> None:
    first = nn.Sequential(nn.Linear(7, 5), nn.BatchNorm1d(5))
    lazy = nn.Sequential(nn.LazyLinear(5), nn.LazyBatchNorm1d())
    lazy.load_state_dict(first.state_dict())
    x = RNG.standard_normal((4, 7)).astype(np.float32)
    assert np.array_equal(lazy.eval()(x), first.eval()(x))


@pytest.mark.parametrize(("name", "settings", "shape"), LAYERS, ids=IDS)
def test_an_input_of_another_rank_does_not_make_the_layer(
    name: str, settings: dict[str, Any], shape: tuple[int, ...]
) -> None:
    """It is refused by the layer's name, and the next input still counts."""
    lazy = getattr(nn, f"Lazy{name}")(**settings)
    wrong = np.float32(1.0) if name == "Linear" else np.ones((2, 4, *shape[1:], 3), np.float32)
    with pytest.raises(ValueError, match=rf"\[Lazy{name}\] expected input"):
        lazy(wrong)
    assert isinstance(lazy, Lazy)
    lazy(RNG.normal(size=shape).astype(np.float32))
    assert type(lazy) is getattr(nn, name)


def test_the_first_call_takes_all_arguments() -> None:
    x = np.ones((1, 2, 4, 4), np.float32)
    assert nn.LazyConvTranspose2d(3, 3, stride=2)(x, (10, 10)).shape == (1, 3, 10, 10)
    assert nn.LazyConvTranspose2d(3, 3, stride=2)(x, output_size=(10, 9)).shape == (1, 3, 10, 9)


def test_a_file_gives_shapes_also_where_others_do_not_fit(tmp_path: Any) -> None:
    known = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    cc.save(known, tmp_path / "known.safetensors")
    lazy = nn.Sequential(nn.LazyLinear(4), nn.Linear(4, 5))
    report = cc.load_into(lazy, tmp_path / "known.safetensors", strict=False)
    assert report.mismatched_keys == ["1.weight", "1.bias"]
    assert np.array_equal(lazy[0].weight, known[0].weight)
