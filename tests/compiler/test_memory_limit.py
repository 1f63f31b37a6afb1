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
from cnncore.compiler import memory_limit
from cnncore.compiler.recompute import Schedule

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


def residual_network(layers: Any, x: Any) -> Any:
    for layer in layers:
        x = ops.dropout(ops.silu(layer(x)), 0.2) + x
    return ops.square(ops.concat([x, ops.tanh(x)], 1)).mean()


def normed_network(layers: Any, x: Any) -> Any:
    for layer in layers:
        x = ops.relu(layer(x))
    return ops.exp(ops.max_pool2d(x, 2)).mean()


NETWORK_LAYERS = [
    (residual_network, [lambda: nn.Conv2d(4, 4, 3, padding=1)] * 3),
    (normed_network, [lambda: nn.Conv2d(4, 4, 3, padding=1), lambda: nn.BatchNorm2d(4)] * 3),
]


def search_of(monkeypatch: pytest.MonkeyPatch, loss: Any, layers: Any) -> Any:
    """Return the search of a step that is refused for its limit."""
    found = []

    class Search(memory_limit._Search):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            self.plain = given[1]
            found.append(self)

    monkeypatch.setattr(memory_limit, "_Search", Search)
    cc.manual_seed(0)
    model = nn.ModuleList([layer() for layer in layers])
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    step = cc.train_step(lambda x: loss(model, x), optimizer, max_memory=1000)
    with pytest.raises(ValueError, match="max_memory of at least"):
        step(np.ones((2, 4, 24, 24), np.float32))
    (search,) = found
    return search


def counted(search: Any, tensors: set[Any]) -> tuple[list[int], float]:
    """Return the bytes alive at each node, looked at place by place, and the price of repeated nodes."""
    schedule = Schedule(search._nodes, search._fixed | tensors)
    order = list(schedule)
    uses: list[tuple[set[Any], set[Any]]] = []
    for node, number in order:
        read = {(schedule.repeat_read(node, number, t), s) for t, s in search._values[node][0]}
        uses.append((read, {(number, slot) for _, slot in search._values[node][1]}))
    alive, written = [], set()
    for place, (node, number) in enumerate(order):
        earlier = set().union(*(read | made for read, made in uses[:place]))
        later = set().union(*(read | made for read, made in uses[place + 1 :]))
        read, made = uses[place]
        here = read | made | (earlier & later)
        for tensor, slot in search._values[node][0]:
            key = schedule.repeat_read(node, number, tensor), slot
            result = number, search._in_place.get((node.output, slot))
            first = result not in earlier and result in made
            if first and result not in written and key in earlier and key not in later and key in here:
                written.add(result)
                here.remove(key)
        alive.append(sum(slot.nbytes for _, slot in here) + search._extra.get(node.output, 0))
    repeated = [node for node, number in order if number]
    price = sum(search._costs.get(node.output, 0.0) for node in repeated)
    sizes = [t.nbytes for node in repeated for t in (*node.inputs, *node.outputs) if t is not None]
    return alive, price + memory_limit.OPERATIONS_A_BYTE * sum(sizes)


@pytest.mark.parametrize(("loss", "layers"), NETWORK_LAYERS)
def test_what_lives_is_counted_as_place_by_place(
    monkeypatch: pytest.MonkeyPatch, loss: Any, layers: Any
) -> None:
    search = search_of(monkeypatch, loss, layers)
    groups, rng = search._groups, np.random.default_rng(0)
    assert len(groups) > 4
    assert search._in_place
    for kept in [1.0, 0.0, *rng.uniform(0, 1, 10)]:
        chosen = {tensor for group in groups for tensor in group if rng.random() >= kept}
        count, (alive, price) = search._counted(chosen), counted(search, chosen)
        assert count.alive.tolist() == alive
        assert count.price == pytest.approx(price, rel=1e-12)
        target = 0.7 * max(alive)
        assert count.excess(target) == pytest.approx(sum(max(n - target, 0) for n in alive))
    assert counted(search, set())[1] == 0
    assert search.peak == max(counted(search, set())[0])


@pytest.mark.parametrize(("loss", "layers"), NETWORK_LAYERS)
def test_what_nodes_work_on_counts(monkeypatch: pytest.MonkeyPatch, loss: Any, layers: Any) -> None:
    """Their workspaces, and memory between the steps of one node that is no value of the graph."""
    search = search_of(monkeypatch, loss, layers)
    steps = search.plain.run_steps
    users: dict[Any, set[Any]] = {}
    for step in steps:
        for slot in step.slots():
            users.setdefault(slot.root(), set()).add(step.node)
    sizes = []
    for node in dict.fromkeys(step.node for step in steps):
        own = sum(root.nbytes for root, nodes in users.items() if nodes == {node} and root.kind == "temp")
        sizes.append((own, max(search.plain.step_info(s)["workspace"] for s in steps if s.node is node)))
        assert search._extra[node.output] == sum(sizes[-1])
    assert all(map(any, zip(*sizes, strict=True)))


@pytest.mark.parametrize(("loss", "layers"), NETWORK_LAYERS)
def test_what_the_peak_does_not_need_is_kept(monkeypatch: pytest.MonkeyPatch, loss: Any, layers: Any) -> None:
    search = search_of(monkeypatch, loss, layers)
    rng, fewer = np.random.default_rng(0), 0
    for _ in range(6):
        groups = [group for group in search._groups if rng.random() < 0.7]
        chosen = wanted = {tensor for group in groups for tensor in group}
        search._count = search._counted(chosen)
        (alive, price), peak = counted(search, chosen), max(counted(search, chosen)[0])
        for group in groups:
            alive, less = counted(search, wanted.difference(group))
            if max(alive) <= peak and less <= price:
                wanted, price = wanted.difference(group), less
        assert search.without_surplus(chosen) == wanted
        fewer += len(chosen) - len(wanted)
    assert fewer


@pytest.mark.parametrize("loss", [residual_network, normed_network])
def test_what_may_be_given_up_is_made_again_for_gradients(monkeypatch: pytest.MonkeyPatch, loss: Any) -> None:
    search = search_of(monkeypatch, loss, [lambda: nn.Conv2d(4, 4, 3, padding=1)] * 2)
    groups = {frozenset(group) for group in search._groups}
    nodes = search._nodes
    made: dict[Any, set[Any]] = {}
    for tensor, slot in search._roots.items():
        if tensor.node is not None:
            made.setdefault(slot, set()).add(tensor)
    for slot, tensors in made.items():
        readers = [node for node in nodes for t in node.inputs if t in tensors]
        late = any(
            node.origin.derivative > tensor.node.origin.derivative
            for node in readers
            for tensor in tensors
            if tensor in set(node.inputs)
        )
        large = slot.nbytes > search.peak / 1000
        largest = {
            t: max(u.nbytes for u in (*t.node.inputs, *t.node.outputs) if u is not None) for t in tensors
        }
        small = any(16 * t.nbytes <= n for t, n in largest.items() if not t.node.op.may_alias)
        if frozenset(tensors) in groups:
            assert late
            assert large
            assert not small
        else:
            assert not late or not large or small, tensors


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


def test_the_least_is_never_more_than_without_recomputation() -> None:
    """Of this network each step of the search makes the plan larger."""
    cc.manual_seed(0)
    model = nn.ModuleList([nn.Conv2d(4, 4, 3, padding=1) for _ in range(3)])
    x = np.ones((2, 4, 24, 24), np.float32)

    def step(max_memory: int | None) -> Any:
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        return cc.train_step(lambda x: residual_network(model, x), optimizer, max_memory=max_memory)

    plain = step(None).memory_of(x).total
    with pytest.raises(ValueError, match=r"max_memory of at least \d+ bytes") as error:
        step(1000)(x)
    least = int(re.findall(r"at least (\d+) bytes", str(error.value))[0])
    assert least <= plain
    assert step(least).memory_of(x).total <= least


class Search(memory_limit._Search):
    """Of groups that are told by letters: each spares bytes at each of three places, at a price."""

    def __init__(self, alive: list[int], spared: dict[str, list[int]], prices: dict[str, float]) -> None:
        self.alive, self.spared, self.prices = np.array(alive), spared, prices
        self._groups: Any = [[letter] for letter in spared]
        self._count = self._counted(set())
        self.peak = self._peak()

    def _counted(self, tensors: Any) -> Any:
        less = sum((np.array(self.spared[letter]) for letter in tensors), np.zeros(3, int))
        return memory_limit._Count(self.alive - less, sum(map(self.prices.__getitem__, sorted(tensors))))


def greedy(search: Search) -> list[tuple[str, int]]:
    """What `path` yields, each move looked for among all groups."""
    found: list[tuple[str, int]] = []
    chosen: set[str] = set()
    target = search.peak * memory_limit.STAGE

    def peak() -> int:
        return int(search._counted(chosen).alive.max())

    def worth(letter: str) -> float:
        before, after = search._counted(chosen), search._counted(chosen ^ {letter})
        gain = before.excess(target) - after.excess(target)
        return gain / max(after.price - before.price, 1.0)

    while True:
        before = len(found)
        for taken_out in (False, True):
            left = [letter for letter in search.spared if (letter in chosen) == taken_out]
            while peak() > target and left and max(map(worth, left)) > 0:
                best = max(left, key=worth)
                left.remove(best)
                chosen = chosen ^ {best}
                found.append(("".join(sorted(chosen)), peak()))
        if peak() <= target:
            target *= memory_limit.STAGE
        elif len(found) == before:
            if peak() - target < search.peak * memory_limit.FINEST:
                return found
            target = (target + peak()) / 2


SEARCHES = {
    "to the stage": Search(
        [1000, 0, 0],
        {"a": [80, 0, 0], "b": [73, 0, 0], "c": [1, 0, 0], "d": [30, 0, 0]},
        {"a": 4.0, "b": 5.0, "c": 1.0, "d": 5.0},
    ),
    "by the price": Search(
        [1000, 990, 0], {c: [60, 60, 0] for c in "abcd"}, {"a": 9.0, "b": 2.0, "c": 5.0, "d": 3.0}
    ),
    "at two places": Search(
        [1000, 1000, 900], {"a": [100, 0, 0], "b": [0, 90, 0], "c": [50, 50, 0]}, dict.fromkeys("abc", 10.0)
    ),
    "worse elsewhere": Search(
        [1000, 800, 700],
        {"a": [200, -150, 0], "b": [90, 0, 0], "c": [90, -400, 0]},
        dict.fromkeys("abc", 0.5),
    ),
    "taken out": Search([1000, 700, 0], {"a": [150, -250, 0], "b": [160, 20, 0]}, {"a": 1.0, "b": 10.0}),
    "nothing": Search([1000, 1000, 0], {"a": [0, 0, 0], "b": [-5, 0, 0]}, dict.fromkeys("ab", 1.0)),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_what_is_most_worth_is_given_up_first(name: str) -> None:
    search = SEARCHES[name]
    found = [("".join(sorted(map(str, chosen))), peak) for chosen, peak in search.path()]
    search._count = search._counted(set())
    assert found == greedy(search)
    assert bool(found) == (name != "nothing")
    if name == "to the stage":  # of 920, then of 846.4, which the smallest one just reaches
        assert found == [("a", 920), ("ab", 847), ("abc", 846), ("abcd", 816)]
    if name == "taken out":
        assert found[:3] == [("a", 950), ("ab", 930), ("b", 840)]
