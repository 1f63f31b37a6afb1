# SPDX-License-Identifier: Apache-2.0
"""Steps of several processes against one process with all rows, and what becomes of one that fails."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
import mpi_ranks
from cnncore import nn, ops, optim
from cnncore.distributed import exchange, step


@pytest.mark.parametrize(
    ("ranks", "settings"),
    [(4, {}), (3, {"clip_grad_norm": 0.5}), (2, {"accumulate": 3, "clip_grad_value": 0.01})],
)
def test_losses_are_those_of_one_process_with_all_rows(ranks: int, settings: dict[str, Any]) -> None:
    """Also on unequal parts: losses agree to 1e-5, and all processes have the same bits."""
    found = mpi_ranks.results(ranks, "step_losses", settings)
    for each in found:
        np.testing.assert_allclose(each["losses"], each["expected"], rtol=0, atol=1e-5)
        assert each["apart"] < 1e-4  # Adam divides by the root of small numbers
    assert len({each["digest"] for each in found}) == 1
    assert len({tuple(each["losses"]) for each in found}) == 1


def test_a_run_repeats_bit_for_bit() -> None:
    first, second = (mpi_ranks.results(3, "step_losses", {}) for _ in range(2))
    assert [each["digest"] for each in first] == [each["digest"] for each in second]
    assert [each["losses"] for each in first] == [each["losses"] for each in second]


def test_one_process_has_the_bits_of_a_plain_step() -> None:
    (found,) = mpi_ranks.results(1, "one_rank")
    assert found["losses"][0] == found["losses"][1]
    assert found["digests"][0] == found["digests"][1]


def test_processes_draw_other_numbers_each_from_the_first_ones_seed() -> None:
    first, second = (mpi_ranks.results(2, "dropout") for _ in range(2))
    assert first == second
    masks = [mask for of_rank in first for mask in of_rank]
    assert all(a != b for i, a in enumerate(masks) for b in masks[:i])


def test_processes_share_the_cores_that_nobody_has_given_out() -> None:
    for before, after in mpi_ranks.results(2, "threads", CNNCORE_NUM_THREADS="", OMP_NUM_THREADS=""):
        assert after == max(1, before // 2)
    assert mpi_ranks.results(2, "threads", CNNCORE_NUM_THREADS="3") == [[3, 3]] * 2


def test_profiles_are_taken_together() -> None:
    for found in mpi_ranks.results(2, "profiled"):
        assert {"exchange_share", "exchange_begin", "exchange_end"} <= set(found["steps"])
        assert found["same"]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("label", "expected labels from 0 to 2"),
        ("shape", "expected"),
        ("raise", "KeyError: 'nothing to be found'"),
        ("leave", "rank 1 has ended while rank"),
        ("rate", "the ranks' steps differ"),
        ("assign", "the parameters differ"),
    ],
)
def test_a_process_that_fails_ends_all_with_its_message(how: str, message: str) -> None:
    done = mpi_ranks.run(3, "fail", how)
    assert done.returncode != 0
    assert message in done.stderr


def test_sums_begin_while_gradients_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With buckets of one layer each, all but the last begin before the first layer's gradient."""
    monkeypatch.setattr(step, "BUCKET", 1)
    model = nn.Sequential(*(nn.Linear(16, 16, bias=False) for _ in range(4)))
    ranks: Any = mpi_ranks.TwoRanks()
    for accumulate in (1, 2):
        taken = step.RanksTrainStep(
            ranks,
            lambda x: ops.mean(model(x) ** 2),
            optim.SGD(model.parameters(), lr=0.1),
            accumulate=accumulate,
        )
        for _ in range(accumulate):
            taken(np.ones((8, 16), np.float32))
        names = [row["step"] for row in taken.explain()]
        last_gradient = max(i for i, name in enumerate(names) if name == "conv_backward_weight")
        begins = [i for i, name in enumerate(names) if name == "exchange_begin"]
        ends = [i for i, name in enumerate(names) if name == "exchange_end"]
        assert len(begins) == len(ends) == 4
        assert sum(begin < last_gradient for begin in begins) == 3
        assert min(ends) > last_gradient


def test_the_share_of_a_process() -> None:
    ranks: Any = mpi_ranks.TwoRanks()
    of_two = exchange.Exchange(ranks)
    memory = [memoryview(bytearray(8)) for _ in range(2)]
    for weight, rows, expected in ((3.0, 3, (0.5, 1.0)), (0.0, 0, (0.0, 0.0)), (None, 2, (1.0, 1.0))):
        of_two.open(weight, rows, (1, 2), stop=False)
        of_two.call("share", 0, *memory)
        assert tuple(float(np.frombuffer(each, np.float32)[0]) for each in memory) == expected
    of_two._all[1, 2] = 7
    with pytest.raises(RuntimeError, match="steps differ"):
        of_two._check(of_two._all[:, 2], "the ranks' steps differ")


def test_what_is_no_communicator() -> None:
    model = nn.Linear(2, 2)
    with pytest.raises(TypeError, match="expected comm as an MPI communicator"):
        cc.train_step(lambda x: ops.mean(model(x)), optim.SGD(model.parameters(), lr=1.0), comm=3)
