# SPDX-License-Identifier: Apache-2.0
"""Memory planning: nothing alive is overwritten, memory is reused, the sizes reported are those booked."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cnncore as cc
import reference
from cnncore import models, nn, ops, optim
from cnncore.compiler.plan import Region, _best_gap, align, assign_offsets, plan_memory
from cnncore.graph.slots import Portions, Slot, Step


def overlaps(a: Region, b: Region) -> bool:
    alive = a.first <= b.last and b.first <= a.last
    return alive and a.offset < b.offset + align(b.nbytes) and b.offset < a.offset + align(a.nbytes)


def assert_disjoint(regions: list[Region]) -> None:
    for i, a in enumerate(regions):
        assert a.offset >= 0
        assert a.offset % 64 == 0
        for b in regions[:i]:
            assert not overlaps(a, b), (a, b)


@given(
    st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 30), st.integers(0, 12)), min_size=1, max_size=60)
)
def test_no_two_live_regions_overlap(entries):
    regions = [Region(nbytes, first, first + length) for nbytes, first, length in entries]
    total = assign_offsets(regions)
    assert_disjoint(regions)
    assert total == max(region.offset + align(region.nbytes) for region in regions)
    peak = max(sum(align(r.nbytes) for r in regions if r.first <= step <= r.last) for step in range(43))
    assert peak <= total <= sum(align(r.nbytes) for r in regions)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12)), max_size=8), st.integers(1, 10))
def test_the_smallest_gap_that_is_large_enough(blocks, size):
    found = _best_gap(np.array([b for b, _ in blocks]), np.array([b + n for b, n in blocks]), size)
    gaps, top = [], 0
    for begin, length in sorted(blocks):
        if begin - top >= size:
            gaps.append((begin - top, top))
        top = max(top, begin + length)
    assert found == (min(gaps)[1] if gaps else top)


def test_whole_cache_lines():
    assert [align(n) for n in (0, 1, 63, 64, 65, 128, 129)] == [0, 64, 64, 64, 128, 128, 192]


def executable(name: str, batch: int = 4):
    model = getattr(models, name)()
    shape = (3, 32, 32) if name == "resnet20" else (1, 28, 28)
    x, y = np.zeros((batch, *shape), np.float32), np.zeros(batch, np.int64)
    step = cc.train_step(
        lambda x, y: ops.cross_entropy(model(x), y), optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    )
    return step._compile([x, y]).executable


@pytest.mark.parametrize("name", ["lenet5", "mnist_cnn", "resnet20"])
def test_training_programs_keep_every_live_value(name):
    program = executable(name)
    assert_disjoint(program.plan.regions)
    assert_disjoint(program.plan.setup_regions)
    steps = program.run_steps
    regions = {region.slot: region for region in program.plan.regions if region.slot is not None}
    for i, step in enumerate(steps):
        for slot in step.slots():
            root = slot.root()
            if root.kind == "temp" or root in regions:
                assert regions[root].first <= i <= regions[root].last
                assert slot.offset + slot.nbytes <= regions[root].nbytes


@pytest.mark.parametrize("name", ["lenet5", "mnist_cnn", "resnet20"])
def test_inputs_written_over_are_not_read_afterwards(name):
    steps = executable(name).run_steps
    for i, step in enumerate(steps):
        for source in step.inputs:
            for target in step.outputs:
                if source is None or target is None or source.root() is not target.root():
                    continue
                if source.root().kind == "bound":
                    continue
                later = [s for other in steps[i + 1 :] for s in other.inputs if s is source]
                assert not later, step.op


def test_memory_is_reused():
    program = executable("resnet20")
    values = {id(slot.root()): slot.root() for step in program.run_steps for slot in step.slots()}
    everything = sum(slot.nbytes for slot in values.values() if slot.kind == "temp")
    assert program.plan.arena_bytes < 0.8 * everything


def test_values_of_a_few_megabytes_keep_places_of_their_own_unless_that_is_much_more():
    size = 1 << 20
    few = [Region(size, step, step + 1) for step in range(5)]
    assert assign_offsets(few) == 5 * size
    assert sorted(region.offset for region in few) == [size * i for i in range(5)]
    many = [Region(size, step, step + 1) for step in range(6)]
    assert assign_offsets(many) == 2 * size
    assert_disjoint(many)
    small = [Region(size // 8, step, step + 1) for step in range(5)]
    assert assign_offsets(small) == size // 4


def test_memory_reported_is_what_is_booked():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    predictor = cc.compile(model, (2, 3, 10, 12))
    memory = predictor.memory
    packed_and_bound = sum(p.nbytes for p in model.parameters())
    assert memory.weights >= packed_and_bound
    hidden = 2 * 8 * 8 * 10 * 4
    staged = 2 * 3 * 10 * 12 * 4
    assert memory.activations == align(hidden) + align(staged)
    assert memory.total == memory.weights + memory.activations + memory.workspace


def chain(count: int) -> tuple[list[Step], Slot]:
    """A chain of unary steps, each of which may work in place."""
    source = Slot((16,), "float32", "c", "input")
    steps, last = [], source
    for _ in range(count):
        result = Slot((16,), "float32", "c")
        steps.append(Step("relu", [last], [result], {}, "", False, [(0, 0)], ()))
        last = result
    return steps, source


def test_a_chain_works_in_place_but_never_on_the_input():
    steps, source = chain(5)
    plan = plan_memory(steps, [source], lambda step: 0)
    assert len({id(slot.root()) for step in steps for slot in step.outputs}) == 1
    assert steps[0].outputs[0].root() is not source
    assert plan.arena_bytes == 128


def test_what_a_step_reads_twice_is_not_its_result() -> None:
    """A residual sum could be written over the residual, but not while it is the input as well."""
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, (1, 8, 9, 9)).astype(np.float32)
    weight = rng.integers(-4, 5, (8, 8, 3, 3)).astype(np.float32)

    def block(a):
        y = ops.relu(a * 3.0)
        return ops.conv2d(y, weight, padding=1) + y

    y = np.maximum(3.0 * x, 0.0)
    sides = {"stride": (1, 1), "begin": (1, 1), "end": (1, 1), "dilation": (1, 1)}
    expected = reference.conv(y, weight, **sides) + y
    for predictor in (cc.compile(block, x.shape), lambda a: cc.compile(lambda b: block(b) * 1.0, x.shape)(a)):
        assert np.array_equal(predictor(x), expected)
    first, step, result = (
        Slot((16,), "float32", "c", "input"),
        Slot((16,), "float32", "c"),
        Slot((16,), "float32", "c"),
    )
    steps = [
        Step("relu", [first], [step], {}, "", False, (), ()),
        Step("conv_forward", [step, None, None, step], [result], {}, "", False, [(0, 3)], ()),
    ]
    plan_memory(steps, [first], lambda step: 0)
    assert result.root() is not step.root()


def test_workspaces_are_planned_like_values():
    steps, source = chain(3)
    plan = plan_memory(steps, [source], lambda step: 1000 if step is steps[1] else 0)
    assert_disjoint(plan.regions)
    assert plan.arena_bytes == align(1000) + 64
    assert 128 <= plan.value_bytes <= plan.arena_bytes
    steps, source = chain(3)
    without = plan_memory(steps, [source], lambda step: 0)
    assert without.value_bytes == without.arena_bytes == 128


def portion(whole: Slot, count: int) -> Slot:
    slot = Slot((whole.shape[0] // count,), "float32", "c")
    slot.base, slot.advance = whole, slot.nbytes
    return slot


def test_what_portions_are_taken_from_is_kept_until_the_last_has_passed():
    count = 4
    source, result, last = (
        Slot((64,), "float32", "c"),
        Slot((64,), "float32", "c"),
        Slot((64,), "float32", "c"),
    )
    inside = [
        portion(source, count),
        *(Slot((16,), "float32", "c") for _ in range(3)),
        portion(result, count),
    ]
    given = Slot((64,), "float32", "c", "input")
    steps = [Step("relu", [given], [source], {}, "", False, [(0, 0)], ())]
    steps += [Step("relu", [x], [y], {}, "", False, [(0, 0)], ()) for x, y in itertools.pairwise(inside)]
    steps.append(Step("relu", [result], [last], {}, "", False, [(0, 0)], ()))
    passed = Portions(count)
    for step in steps[1:-1]:
        step.portions = passed
    plan = plan_memory(steps, [given], lambda step: 0)
    assert_disjoint(plan.regions)
    spans = {region.slot: (region.first, region.last) for region in plan.regions}
    assert spans[source] == (0, 4)
    assert spans[result] == (1, 5)
    assert inside[0].root() is source  # never overwritten: the next portion is still to be read
    assert inside[1].root() is inside[3].root() is not source
    assert plan.arena_bytes == 4 * (64 + 16 + 64)


@pytest.mark.parametrize(
    ("nbytes", "together"),
    [((1 << 20) - 128, False), (1 << 20, True), ((1 << 24) - 128, True), (1 << 24, False)],
)
def test_from_one_to_sixteen_megabytes_keep_places_of_their_own(nbytes, together):
    regions = [Region(nbytes // 2, step, step) for step in range(2)]
    assert assign_offsets(regions) == (nbytes if together else nbytes // 2)
    assert [region.offset for region in regions] == [0, nbytes // 2 if together else 0]


def test_one_result_takes_the_place_of_an_input() -> None:
    """Also where two could, and nobody reads either."""
    given, value = Slot((16,), "float32", "c", "input"), Slot((16,), "float32", "c")
    first, second, other = (Slot((16,), "float32", "c") for _ in range(3))
    steps = [
        Step("relu", [given], [value], {}, "", False, (), ()),
        Step("sort", [value], [first, second], {}, "", False, [(0, 0), (1, 0)], ()),
        Step("relu", [given], [other], {}, "", False, (), ()),
    ]
    plan = plan_memory(steps, [given], lambda step: 0)
    assert first.root() is value
    assert second.root() is second
    assert_disjoint(plan.regions)
    both = [Slot((16,), "float32", "c") for _ in range(2)]
    result = Slot((16,), "float32", "c")
    steps = [Step("relu", [given], [slot], {}, "", False, (), ()) for slot in both]
    steps.append(Step("add", both, [result], {}, "", False, [(0, 0), (0, 1)], ()))
    plan_memory(steps, [given], lambda step: 0)
    assert result.root() is both[0]
    assert both[1].root() is both[1]
