# SPDX-License-Identifier: Apache-2.0
"""Caches of programs: bounded, least recently used first out, compiled again when something changed."""

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops, optim
from cnncore.compiler import call
from cnncore.graph import dispatch
from cnncore.graph.cache import LRU


def test_the_least_recently_used_goes_first():
    cache: LRU[int] = LRU(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert cache.get("b") is None
    assert (cache.get("a"), cache.get("c"), len(cache)) == (1, 3, 2)
    assert cache.values() == [1, 3]
    cache.clear()
    assert len(cache) == 0


def test_storing_anew_counts_as_use():
    cache: LRU[int] = LRU(2)
    for key, value in (("a", 1), ("b", 2), ("a", 3), ("c", 4)):
        assert cache.put(key, value) == value
    assert cache.get("b") is None
    assert cache.values() == [3, 4]


def test_large_entries_are_not_kept_beside_each_other():
    cache: LRU[int] = LRU(10, cost=lambda entry: entry, budget=100)
    for size in (40, 50, 10):
        cache.put(size, size)
    assert cache.values() == [40, 50, 10]
    cache.put("big", 60)
    assert cache.values() == [10, 60]
    cache.put("huge", 1000)
    assert cache.values() == [1000]


def test_programs_of_one_cache_hold_128_mib():
    cache: LRU[int] = LRU(10, cost=lambda entry: entry)
    for key in range(2):
        cache.put(key, 1 << 26)
    assert len(cache) == 2
    cache.put("more", 1)
    assert cache.values() == [1 << 26, 1]


def test_programs_of_large_inputs_do_not_pile_up():
    layer = nn.Sequential(nn.Identity(), nn.ReLU())
    for n in range(5):
        layer(np.ones((2000, 10_000 + n), np.float32))  # 80 MB each
    held = sum(program.nbytes() for program in layer._programs.values())
    assert held <= layer._programs.budget


def test_modules_and_operations_keep_a_bounded_number_of_programs():
    layer = nn.ReLU()
    for n in range(1, 40):
        layer(np.ones((1, n), np.float32))
        ops.relu(np.ones((1, n), np.float32))
    assert len(layer._programs) == call.CAPACITY
    assert len(dispatch._programs) <= dispatch._programs.capacity


def test_a_program_is_used_again():
    layer = nn.ReLU()
    x = np.ones((2, 3), np.float32)
    layer(x)
    (first,) = layer._programs.values()
    layer(x + 1)
    (second,) = layer._programs.values()
    assert first is second


def test_programs_follow_changes_of_modules():
    x = np.linspace(-1, 1, 8).astype(np.float32)[None]
    model = nn.Sequential(nn.LeakyReLU(0.1), nn.Identity())
    assert model(x)[0, 0] == np.float32(-1) * np.float32(0.1)
    model[0].negative_slope = 0.5
    assert model(x)[0, 0] == -0.5
    setattr(model, "1", nn.ReLU())
    assert model(x)[0, 0] == 0.0


def test_programs_follow_modes_of_parts():
    model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(2))
    x = np.random.default_rng(0).normal(size=(4, 2, 3, 3)).astype(np.float32)
    model.eval()
    inference = model(x)
    model.train()
    assert not np.array_equal(model(x), inference)
    model[0].eval()
    model[1].eval()
    model[1].reset_running_stats()
    assert np.array_equal(model(x), inference)  # the model is in training mode, its parts are not


def test_steps_follow_frozen_parameters():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    step = cc.train_step(lambda x: model(x).sum(), optim.SGD(model.parameters(), lr=0.1))
    x = np.ones((2, 3), np.float32)
    step(x)
    frozen = np.array(model[0].weight)
    model[0].requires_grad_(False)
    step(x)
    assert np.array_equal(model[0].weight, frozen)
    model[0].requires_grad_(True)
    step(x)
    assert not np.array_equal(model[0].weight, frozen)


def test_numbers_and_flags_are_part_of_the_key():
    x = np.full((1, 1, 4, 4), 2.0, np.float32)
    assert ops.pow(x, 2)[0, 0, 0, 0] == 4
    assert ops.pow(x, 3)[0, 0, 0, 0] == 8
    assert ops.max_pool2d(x, 3, 2, ceil_mode=True).shape == (1, 1, 2, 2)
    assert ops.max_pool2d(x, 3, 2, ceil_mode=False).shape == (1, 1, 1, 1)
    assert ops.add(x, 1).max() == 3
    assert ops.add(x, True).max() == 3


def test_accuracy_is_chosen_when_compiling():
    cc.set_accuracy("exact")
    try:
        conv = nn.Conv2d(16, 16, 3, padding=1)
        rows = cc.compile(conv, (1, 16, 32, 32)).explain()
        assert "winograd" not in rows[0]["algorithm"]
    finally:
        cc.set_accuracy("fast")
    with pytest.raises(ValueError, match="expected accuracy"):
        cc.set_accuracy("sloppy")


class Unequal:
    """A value that cannot be compared, as arrays cannot."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise ValueError("no one value")


def test_values_are_not_compared():
    cache: LRU[Unequal] = LRU(2)
    value = cache.put(1, Unequal())
    assert cache.get(1) is value
    assert cache.get(1) is value
    assert cache.get(2) is None
