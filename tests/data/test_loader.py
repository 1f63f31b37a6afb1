# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnncore.data import DataLoader, Dataset
from cnncore.data.loader import TORCH_NAMES


def rows(loader: DataLoader) -> list[list[int]]:
    return [x.tolist() for (x,) in loader]


@given(
    samples=st.integers(1, 40),
    batch_size=st.integers(1, 12),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    workers=st.integers(0, 3),
)
def test_an_epoch_holds_every_sample_once(
    samples: int, batch_size: int, shuffle: bool, drop_last: bool, workers: int
) -> None:
    loader = DataLoader((np.arange(samples),), batch_size, shuffle, 5, drop_last, workers=workers)
    batches = rows(loader)
    assert len(batches) == len(loader)
    kept = samples - samples % batch_size if drop_last else samples
    flat = [number for batch in batches for number in batch]
    assert len(flat) == len(set(flat)) == kept
    assert all(len(batch) == batch_size for batch in batches[: samples // batch_size])
    if not shuffle:
        assert flat == list(range(kept))


def test_the_order_follows_from_seed_and_epoch_only() -> None:
    def epochs(workers: int, seed: int = 3) -> list[list[list[int]]]:
        loader = DataLoader((np.arange(50),), 8, shuffle=True, seed=seed, workers=workers)
        return [rows(loader) for _ in range(3)]

    first = epochs(0)
    assert first == epochs(1) == epochs(4)
    assert first[0] != first[1] != first[2]
    assert first != epochs(0, seed=4)
    resumed = DataLoader((np.arange(50),), 8, shuffle=True, seed=3)
    resumed.epoch = 2
    assert rows(resumed) == first[2]


def test_the_order_does_not_change_between_versions() -> None:
    order = DataLoader((np.arange(12),), shuffle=True, seed=7).order(1)
    assert order.tolist() == [7, 9, 10, 11, 6, 1, 4, 8, 3, 2, 5, 0]


class Squares(Dataset):
    """Makes its samples."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Any:
        if index == 7:
            raise RuntimeError("no such sample")
        return np.full(3, index * index, np.float32), index


def test_a_data_set_of_ones_own() -> None:
    batches = DataLoader(Squares(), 3, workers=1)
    x, y = next(iter(batches))
    assert (x.shape, x[2, 0], y.dtype, y.tolist()) == ((3, 3), 4, np.int64, [0, 1, 2])
    assert len(list(zip(*Squares().batch([1, 2]), strict=True))) == 2


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_errors_of_a_worker_reach_the_caller(workers: int) -> None:
    batches = iter(DataLoader(Squares(), 2, workers=workers))
    assert [next(batches)[1].tolist() for _ in range(3)] == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(RuntimeError, match="no such sample"):
        next(batches)


def test_no_thread_outlives_an_epoch() -> None:
    def workers() -> list[str]:
        return [thread.name for thread in threading.enumerate() if "cnncore-loader" in thread.name]

    loader = DataLoader((np.arange(100),), 2, workers=3)
    for _ in loader:
        pass
    assert not workers()
    left = iter(loader)
    next(left)
    assert workers()
    left.close()  # type: ignore[attr-defined]
    assert not workers()


def test_few_batches_wait() -> None:
    prepared: list[int] = []

    def count(x: Any) -> Any:
        prepared.append(1)
        return x

    batches = iter(DataLoader((np.arange(1000),), 1, transform=count, workers=2))
    for used in range(1, 20):
        next(batches)
        assert len(prepared) <= used + 2 * 2
    batches.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_transform_takes_the_first_array(workers: int) -> None:
    loader = DataLoader((np.arange(4), np.arange(4)), 2, transform=lambda x: x / 2, workers=workers)
    assert [(x.tolist(), y.tolist()) for x, y in loader] == [([0, 0.5], [0, 1]), ([1, 1.5], [2, 3])]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Dataset(np.arange(3), np.arange(4)),
            r"same number of samples, got shapes \[\(3,\), \(4,\)\]",
        ),
        (lambda: Dataset(np.float32(1)), r"one row a sample, got shapes \[\(\)\]"),
        (lambda: DataLoader((np.arange(3),), 0), "expected batch_size of at least 1, got 0"),
        (lambda: DataLoader((np.arange(3),), 1, seed=-1), "expected seed of at least 0"),
        (lambda: DataLoader((np.arange(3),), 1, workers=-1), "expected workers of at least 0"),
    ],
)
def test_wrong_arguments(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_wrong_types() -> None:
    with pytest.raises(TypeError, match=r"expected batch_size to be an integer, got 2\.5"):
        DataLoader((np.arange(3),), 2.5)  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError, match="does not override __len__"):
        len(DataLoader(type("Empty", (Dataset,), {})()))
    with pytest.raises(TypeError, match="expected at least one array with one row a sample, got none"):
        Dataset()
    for wrong in (None, 3, {"x": np.arange(3)}, "text", iter([1])):
        with pytest.raises(
            TypeError, match=rf"expected a Dataset, a tuple of arrays.*got {type(wrong).__name__}"
        ):
            DataLoader(wrong)
    with pytest.raises(TypeError, match="expected arrays without masked values"):
        Dataset(np.ma.masked_equal(np.arange(3), 1))
    with pytest.raises(TypeError, match="expected samples as tuples of arrays and numbers, got dict"):
        next(iter(DataLoader([({"x": 1}, 0)])))


class Pairs:
    """Samples by number, of no class of the package."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Any:
        return np.full(3, index, np.float32), index % 2


@pytest.mark.parametrize(
    "samples", [Pairs(), [Pairs()[i] for i in range(5)], [list(Pairs()[i]) for i in range(5)]]
)
def test_any_object_with_samples_by_number(samples: Any) -> None:
    batches = list(DataLoader(samples, 2, workers=1))
    assert [y.tolist() for _, y in batches] == [[0, 1], [0, 1], [0]]
    assert np.concatenate([x for x, _ in batches])[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert batches[0][1].dtype == np.int64


def test_datasets_of_torch() -> None:
    torch = pytest.importorskip("torch")
    dataset = torch.utils.data.TensorDataset(torch.arange(6.0).reshape(3, 2), torch.tensor([1, 0, 1]))
    (x, y), (last, _) = DataLoader(dataset, 2)
    assert (x.tolist(), y.tolist(), last.tolist()) == ([[0, 1], [2, 3]], [1, 0], [[4, 5]])


def test_samples_of_different_shapes_do_not_make_a_batch() -> None:
    class Ragged(Squares):
        def __getitem__(self, index: int) -> Any:
            return (np.zeros(index),)

    with pytest.raises(ValueError, match=r"expected samples of one shape in a batch, got \(0,\) and \(1,\)"):
        next(iter(DataLoader(Ragged(), 2)))


@pytest.mark.parametrize("name", TORCH_NAMES)
def test_arguments_of_torchs_loader_say_what_to_write(name: str) -> None:
    with pytest.raises(TypeError, match=f"no argument '{name}': ") as caught:
        DataLoader((np.zeros(3),), **{name: 1})  # type: ignore[arg-type]
    assert str(caught.value).endswith(TORCH_NAMES[name])
    with pytest.raises(TypeError, match="unexpected keyword argument 'workerz'"):
        DataLoader((np.zeros(3),), workerz=1)  # type: ignore[call-arg]
