# SPDX-License-Identifier: Apache-2.0
"""Orders of samples, and parts of data sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnncore import data

LABELS = np.repeat([0, 1, 2], [60, 30, 10])


@pytest.mark.parametrize(
    "sampler",
    [
        data.StratifiedSampler(LABELS),
        data.GroupSampler(LABELS),
        data.LengthSampler(LABELS, 7, batches=3),
        data.WeightedSampler(np.ones(100), replacement=False),
    ],
)
def test_an_epoch_has_every_sample_once_in_an_order_of_its_own(sampler: Any) -> None:
    first, second = sampler.order(0), sampler.order(1)
    assert len(sampler) == 100
    assert sorted(first) == sorted(second) == list(range(100))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, sampler.order(0))


def test_strata_are_in_every_batch() -> None:
    labels = LABELS[data.StratifiedSampler(LABELS).order(3)].reshape(10, 10)
    for kind, share in enumerate((6, 3, 1)):
        assert np.abs((labels == kind).sum(1) - share).max() <= 1


def test_groups_stay_together() -> None:
    groups = np.array(list("abcabcaabbx"))
    order = groups[data.GroupSampler(groups).order(0)]
    assert (order[1:] != order[:-1]).sum() == 3
    firsts = {groups[data.GroupSampler(groups).order(epoch)][0] for epoch in range(40)}
    assert firsts == set("abcx")


def test_lengths_come_together() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 400)
    order = data.LengthSampler(lengths, 8, batches=50).order(0)
    spread = np.ptp(lengths[order].reshape(50, 8), axis=1)
    assert spread.max() < 12
    assert (np.diff(lengths[order].reshape(50, 8).mean(1)) < 0).sum() > 10


def test_weights_are_shares() -> None:
    weights = np.array([0.0, 1, 2, 5])
    counts = np.bincount(data.WeightedSampler(weights, 80000).order(0), minlength=4)
    assert counts[0] == 0
    assert np.abs(counts / 10000 - weights).max() < 5 * np.sqrt(80000 / 4) / 10000
    firsts = [data.WeightedSampler(weights, 1, replacement=False, seed=i).order(0)[0] for i in range(800)]
    assert np.abs(np.bincount(firsts, minlength=4) / 100 - weights).max() < 5 * np.sqrt(800 / 4) / 100


@given(st.integers(1, 50), st.integers(1, 7))
def test_shards_are_equally_long_and_hold_everything(samples: int, ranks: int) -> None:
    shards = [data.ShardedSampler(samples, rank, ranks, seed=2).order(1) for rank in range(ranks)]
    assert len({len(shard) for shard in shards}) == 1
    together = np.stack(shards, 1).ravel()
    assert np.array_equal(together[:samples], data.ShardedSampler(samples, 0, 1, seed=2).order(1))
    assert set(together) == set(range(samples))


def test_loaders_take_samplers() -> None:
    x = np.arange(100)
    loader = data.DataLoader((x, LABELS), 10, sampler=data.StratifiedSampler(LABELS))
    batches = [y for _, y in loader]
    assert all(abs((y == 0).sum() - 6) <= 1 for y in batches)
    assert [x.tolist() for x, _ in data.DataLoader((x, LABELS), 2, sampler=[5, 3, 9])] == [[5, 3], [9]]
    assert len(data.DataLoader((x, LABELS), 10, sampler=data.WeightedSampler(np.ones(100), 25))) == 3
    with pytest.raises(ValueError, match="shuffle=False with a sampler"):
        data.DataLoader((x,), sampler=[1], shuffle=True)
    with pytest.raises(ValueError, match="numbers from 0 to 99 of the sampler"):
        list(data.DataLoader((x,), sampler=[100]))
    with pytest.raises(TypeError, match="got generator"):
        data.DataLoader((x,), sampler=(i for i in range(3)))


def test_samplers_of_torch() -> None:
    torch = pytest.importorskip("torch")
    sampler = torch.utils.data.WeightedRandomSampler([0.0, 1.0], 5)
    assert [x.tolist() for (x,) in data.DataLoader((np.arange(2),), 5, sampler=sampler)] == [[1] * 5]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_of_several_lengths(workers: int) -> None:
    samples = [(np.full((2, i), float(i), np.float32), i) for i in range(1, 6)]
    loader = data.DataLoader(samples, 3, collate=data.pad_collate, workers=workers)
    (x, lengths, y), (last, _, _) = list(loader)
    assert x.shape == (3, 2, 3)
    assert lengths.tolist() == [1, 2, 3]
    assert x.sum((1, 2)).tolist() == [2, 8, 18]
    assert y.tolist() == [1, 2, 3]
    assert last.shape == (2, 2, 5)
    with pytest.raises(TypeError, match=r"a collate or a transforms.Transform"):
        data.DataLoader(samples, collate=data.pad_collate, transform=data.transforms.ToFloat())
    doubled = data.DataLoader(samples, 3, collate=data.pad_collate, transform=lambda x: 2 * x)
    assert next(iter(doubled))[0].sum() == 56
    with pytest.raises(ValueError, match="differ in their last axis alone"):
        data.pad_collate([(np.zeros((2, 3)),), (np.zeros((3, 3)),)])


@given(st.lists(st.integers(0, 3), min_size=8, max_size=60), st.integers(2, 8))
def test_every_sample_is_tested_once(labels: list[int], k: int) -> None:
    folds = list(data.k_fold(labels, k))
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(labels)))
    for train, test in folds:
        assert set(train).isdisjoint(test)
        for kind in set(labels):
            count = sum(labels[i] == kind for i in test)
            assert abs(count - labels.count(kind) / k) < 1
    sizes = [test.size for _, test in folds]
    assert max(sizes) - min(sizes) <= 1


def test_groups_are_not_torn() -> None:
    groups = np.repeat(np.arange(10), np.arange(1, 11))
    for train, test in data.k_fold(55, 5, groups=groups):
        assert set(groups[train]).isdisjoint(groups[test])
        assert abs(test.size - 11) <= 2
    train, test = data.train_test_split(55, 0.3, groups=groups)
    assert set(groups[train]).isdisjoint(groups[test])
    assert train.size + test.size == 55
    assert test.size >= 16


def test_split_keeps_shares() -> None:
    train, test = data.train_test_split(LABELS, 0.1)
    assert np.bincount(LABELS[test]).tolist() == [6, 3, 1]
    assert sorted([*train, *test]) == list(range(100))
    assert not np.array_equal(test, data.train_test_split(LABELS, 0.1, seed=1)[1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: list(data.k_fold(4, 5)), "k from 2 to the 4 samples"),
        (lambda: list(data.k_fold(4, 3, groups=[0, 0, 1, 1])), "k from 2 to the 2 groups"),
        (lambda: list(data.k_fold(4, 2, groups=[0, 1])), r"groups \(4,\)"),
        (lambda: data.train_test_split(4, 1.0), "above 0 and below 1"),
        (lambda: data.train_test_split(1), "both train and test"),
        (lambda: data.train_test_split(4, groups=[1] * 4), "both train and test"),
        (lambda: data.WeightedSampler([1, -1]), "not negative"),
        (lambda: data.WeightedSampler([1, 0], 2, replacement=False), "from 1 to 1"),
        (lambda: data.ShardedSampler(5, 2, 2), "rank from 0 to 1"),
        (lambda: data.StratifiedSampler(np.zeros((2, 2))), "labels"),
    ],
)
def test_wrong_arguments(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
