# SPDX-License-Identifier: Apache-2.0
"""Batch norm over two processes with the same rows, which is that of one of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import cnncore as cc
import mpi_ranks
from cnncore import nn, ops, optim
from cnncore.distributed import RanksTrainStep


def network(norm: type[nn.Module], **settings: Any) -> nn.Module:
    cc.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 5, 3), norm(5, **settings), nn.GELU(), nn.Flatten(), nn.Linear(80, 3))


@pytest.mark.parametrize("settings", [{}, {"affine": False}, {"momentum": None}, {"bias": False}])
def test_two_processes_with_the_same_rows(settings: dict[str, Any]) -> None:
    """Doubled counts change the unbiased variance alone, which running_var follows."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(2, 3, (4, 2, 6, 6)).astype(np.float32), np.array([0, 1, 2, 0])
    together, alone = network(nn.SyncBatchNorm, **settings), network(nn.BatchNorm2d, **settings)
    ranks: Any = mpi_ranks.TwoRanks()

    def loss(model: nn.Module) -> Any:
        return lambda x, y: ops.cross_entropy(model(x), y)

    ours = RanksTrainStep(ranks, loss(together), optim.SGD(together.parameters(), lr=0.1))
    theirs = cc.train_step(loss(alone), optim.SGD(alone.parameters(), lr=0.1))
    for _ in range(3):
        assert ours(x, y) == pytest.approx(theirs(x, y), abs=2e-6)
    count = 4 * 16
    unbiased = (2 * count / (2 * count - 1)) / (count / (count - 1))
    start = 0.9**3 if "momentum" not in settings else 0.0
    for (name, a), b in zip(together.state_dict().items(), alone.state_dict().values(), strict=True):
        expected = (b - start) * unbiased + start if name.endswith("running_var") else b
        np.testing.assert_allclose(a, expected, rtol=1e-4, atol=2e-6, err_msg=name)


def test_alone_it_is_batch_norm() -> None:
    x = np.random.default_rng(1).normal(size=(4, 2, 6, 6)).astype(np.float32)
    sync, plain = network(nn.SyncBatchNorm), network(nn.BatchNorm2d)
    np.testing.assert_array_equal(sync(x), plain(x))


def test_convert_sync_batchnorm() -> None:
    model = network(nn.BatchNorm2d, momentum=0.3, affine=False).eval()
    before = model[1]
    assert nn.SyncBatchNorm.convert_sync_batchnorm(model) is model
    norm = model[1]
    assert type(norm) is nn.SyncBatchNorm
    assert norm.running_mean is before.running_mean
    assert (norm.momentum, norm.weight, norm.training) == (0.3, None, False)
    assert type(nn.SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm1d(3))) is nn.SyncBatchNorm
    assert nn.SyncBatchNorm.convert_sync_batchnorm(norm) is norm
