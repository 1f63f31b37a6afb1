# SPDX-License-Identifier: Apache-2.0
"""`max_memory`: the plan stays within it, the bits stay, the price is told, what cannot be is refused."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cnncore as cc
from cnncore import models, nn, ops, optim

RNG = np.random.default_rng(0)
NETWORKS = {
    "resnet20": (16, 3, 32, 32),
    "resnet18": (16, 3, 64, 64),
    "mobilenet_v2": (4, 3, 64, 64),
    "unet": (4, 3, 64, 64),
}


def job(name: str, max_memory: int | str | None = None) -> tuple[nn.Module, Any]:
    cc.manual_seed(2)
    model = models.unet(3, 2, width=8) if name == "unet" else getattr(models, name)()
    optimizer = optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
    return model, cc.train_step(lambda x: ops.square(model(x)).mean(), optimizer, max_memory=max_memory)


def trained(name: str, x: Any, max_memory: int | None = None) -> tuple[list[float], dict[str, Any], Any]:
    model, step = job(name, max_memory)
    cc.manual_seed(3)
    return [step(x) for _ in range(2)], model.state_dict(), step


@pytest.mark.parametrize("name", NETWORKS)
def test_within_the_limit_with_the_same_bits(name: str) -> None:
    x = RNG.normal(size=NETWORKS[name]).astype(np.float32)
    losses, state, plain = trained(name, x)
    saved = 0
    for part in (0.9, 0.8, 0.7):
        limit = int(plain.memory.total - (1 - part) * plain.memory.activations)
        try:
            again, new, step = trained(name, x, limit)
        except ValueError:  # the least is tested below
            continue
        saved += 1
        assert step.memory.total <= limit
        assert step.memory.recomputed > 0
        assert again == losses
        for key, value in state.items():
            np.testing.assert_array_equal(new[key], value, err_msg=key)
    assert saved


def test_enough_memory_changes_nothing() -> None:
    x = RNG.normal(size=NETWORKS["resnet20"]).astype(np.float32)
    plain, roomy = job("resnet20")[1], job("resnet20", "1GB")[1]
    assert plain.memory_of(x) == roomy.memory_of(x)
    assert plain.explain(x) == roomy.explain(x)


def test_less_than_can_be_is_refused_with_the_least_that_can() -> None:
    x = RNG.normal(size=NETWORKS["resnet20"]).astype(np.float32)
    with pytest.raises(ValueError, match=r"max_memory of at least \d+ bytes") as error:
        job("resnet20", 1000)[1](x)
    least = int(re.findall(r"at least (\d+) bytes", str(error.value))[0])
    assert job("resnet20", least)[1].memory_of(x).total <= least < job("resnet20")[1].memory_of(x).total
    with pytest.raises(ValueError, match="at least"):
        job("resnet20", least - 1)[1](x)


def test_the_price_is_told() -> None:
    """Of a chain of equal convolutions: each that runs again is one more of three a layer."""
    layers = [nn.Conv2d(8, 8, 3, padding=1, bias=False) for _ in range(12)]
    body = nn.Sequential(*(part for layer in layers for part in (layer, nn.Tanh())))
    x = RNG.normal(size=(4, 8, 48, 48)).astype(np.float32)

    def step(max_memory: int | None = None) -> Any:
        optimizer = optim.SGD(body.parameters(), lr=0.0)
        return cc.train_step(lambda x: ops.square(body(x)).mean(), optimizer, max_memory=max_memory)

    plain = step()
    memory = plain.memory_of(x)
    assert (memory.recomputed, memory.extra_flops) == (0, 0.0)
    limited = step(int(0.6 * memory.total))
    fewer = limited.memory_of(x)
    rows = limited.explain(x)
    again = [row for row in rows if row["step"].endswith("(again)")]
    convolutions = sum(row["step"].startswith("conv_forward") for row in again)
    assert convolutions > 0
    # 12 forward, 12 gradients by the weight and 11 by the input are the plain step's; an element of each
    # takes 144 operations, one of other steps one.
    assert fewer.extra_flops == pytest.approx(100 * convolutions / 35, rel=1 / 144)
    assert fewer.recomputed == sum(x.nbytes for row in again if row["step"].startswith("conv_forward"))
    assert f"{len(again)} steps run again" in rows.notes[-1]
    assert f"{fewer.extra_flops:.1f} % more floating-point operations" in rows.notes[-1]


def test_cheap_results_are_given_up_before_convolutions() -> None:
    x = RNG.normal(size=NETWORKS["resnet20"]).astype(np.float32)
    total = job("resnet20")[1].memory_of(x).total
    rows = job("resnet20", int(0.85 * total))[1].explain(x)
    again = {row["step"] for row in rows if row["step"].endswith("(again)")}
    assert "batch_norm_apply (again)" in again
    assert not any(step.startswith("conv") for step in again)


def test_value_and_grad_and_trainer() -> None:
    x = RNG.normal(size=NETWORKS["resnet20"]).astype(np.float32)
    y = RNG.integers(0, 10, len(x))
    model = models.resnet20()
    loss = nn.CrossEntropyLoss()

    def objective(x: Any, y: Any) -> Any:
        return loss(model(x), y)

    plain = cc.value_and_grad(objective, model.parameters())
    value, grads = plain(x, y)
    limited = cc.value_and_grad(objective, model.parameters(), max_memory="24MB")
    again, fewer = limited(x, y)
    assert again == value
    for ours, theirs in zip(fewer, grads, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match="max_memory of at least"):
        cc.value_and_grad(objective, model.parameters(), max_memory=1)(x, y)
    trainer = cc.Trainer(model, loss, optim.SGD(model.parameters(), lr=0.1), max_memory=1)
    with pytest.raises(ValueError, match="max_memory of at least"):
        trainer.fit(x, y, epochs=1, verbose=0)


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, 5), min_size=3, max_size=9), st.floats(0.3, 0.95), st.booleans(), st.booleans()
)
def test_drawn_networks(kinds: list[int], part: float, dropout: bool, residual: bool) -> None:
    """Whatever the network and the limit, the plan is within it or the limit is refused; bits stay."""
    cc.manual_seed(4)
    makers = (
        lambda: nn.Conv2d(4, 4, 3, padding=1),
        lambda: nn.BatchNorm2d(4),
        lambda: nn.GroupNorm(2, 4),
        nn.ReLU,
        nn.SiLU,
        lambda: nn.MaxPool2d(3, 1, 1),
    )
    layers = [makers[kind]() for kind in kinds]
    model = nn.ModuleList([*layers, nn.Conv2d(4, 4, 1)])

    def loss(x: Any) -> Any:
        kept = x = layers_last(x)
        for layer in layers:
            x = layer(x)
            if dropout:
                x = ops.dropout(x, 0.2)
            if residual:
                kept = x = ops.concat([x + kept, x], 1)[:, 2:6]
        return ops.square(x).mean()

    layers_last = model[-1]
    x = RNG.normal(size=(2, 4, 24, 24)).astype(np.float32)

    def gradients(max_memory: int | None) -> Any:
        cc.manual_seed(5)
        return cc.value_and_grad(loss, model.parameters(), max_memory=max_memory)

    plain = cc.train_step(loss, optim.SGD(model.parameters(), lr=0.0))
    limit = int(part * plain.memory_of(x).total)
    value, grads = gradients(None)(x)
    try:
        again, fewer = gradients(limit)(x)
    except ValueError as error:
        assert "max_memory of at least" in str(error)  # noqa: PT017
        return
    assert again == value
    for ours, theirs in zip(fewer, grads, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    step = cc.train_step(loss, optim.SGD(model.parameters(), lr=0.0), max_memory=int(1.2 * limit))
    try:
        assert step.memory_of(x).total <= 1.2 * limit
    except ValueError as error:
        assert "max_memory of at least" in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("value", "bytes_"), [(10, 10), ("2GB", 2 * 10**9), ("500 MB", 5 * 10**8), ("1.5GiB", 3 << 29), ("7", 7)]
)
def test_sizes(value: Any, bytes_: int) -> None:
    from cnncore.graph.limits import parse_size

    assert parse_size(value, "max_memory") == bytes_


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("much", ValueError),
        ("-1MB", ValueError),
        ("2 iB", ValueError),
        (0, ValueError),
        (-5, ValueError),
        (1.5, TypeError),
        (True, TypeError),
    ],
)
def test_other_sizes_are_refused(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="max_memory"):
        job("resnet20", value)


MEASURE = """
import re, sys
from pathlib import Path
import numpy as np
import cnncore as cc
from cnncore import models, ops, optim
model = models.unet(3, 2, width=16)
optimizer = optim.SGD(model.parameters(), lr=0.1)
limit = int(sys.argv[1]) or None
step = cc.train_step(lambda x: ops.square(model(x)).mean(), optimizer, max_memory=limit)
x = np.ones((8, 3, 128, 128), np.float32)
planned = step.memory_of(x)
peak = lambda: 1024 * int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
before = peak()
step(x)
print(planned.total, peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells a process's largest size")
def test_the_process_grows_by_what_is_planned() -> None:
    """The memory that a step makes the process grow by falls as the plan does."""

    def measure(limit: int) -> tuple[int, int]:
        run = [sys.executable, "-c", MEASURE, str(limit)]
        planned, grown = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
        return int(planned), int(grown)

    planned, grown = measure(0)
    fewer, less = measure(int(0.65 * planned))
    assert fewer <= 0.65 * planned
    # What grew before the first step does not count; the rest is the arena, page by page.
    assert less <= fewer
    assert grown - less >= 0.75 * (planned - fewer)
