# SPDX-License-Identifier: Apache-2.0
"""What tests run in several processes: functions whose results, one of each, rank 0 prints as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any
from zlib import crc32

import numpy as np
from mpi4py import MPI

import cnncore as cc
from cnncore import nn, ops, optim

comm = MPI.COMM_WORLD
rank, size = comm.Get_rank(), comm.Get_size()
ROWS = 24


def network(seed: int) -> nn.Module:
    cc.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(6 * 16, 5)
    )


def data(rows: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(rows, 2, 8, 8)).astype(np.float32), rng.integers(0, 5, rows)


def shares(rows: int) -> slice:
    """Unequal parts: rank r has about r + 1 times the rows of rank 0."""
    cuts = np.cumsum([0, *(np.arange(1, size + 1) * rows // (size * (size + 1) // 2))])
    cuts[-1] = rows
    return slice(int(cuts[rank]), int(cuts[rank + 1]))


def digest(model: nn.Module) -> int:
    found = 0
    for value in model.state_dict().values():
        found = crc32(np.ascontiguousarray(value).tobytes(), found)
    return found


def train(model: nn.Module, chosen: slice, comm: Any, **settings: Any) -> list[float]:
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    loss = nn.CrossEntropyLoss()
    step = cc.train_step(lambda x, y: loss(model(x), y), optimizer, comm=comm, **settings)
    x, y = data(ROWS)
    losses = []
    for i in range(6):
        order = np.random.default_rng(i).permutation(ROWS)[chosen]
        losses.append(float(step(x[order], y[order])))
    return losses


def step_losses(settings: dict[str, Any]) -> Any:
    """Together on unequal parts of the rows, and alone on all of them."""
    together, alone = network(3 + rank), network(3)
    losses = train(together, shares(ROWS), comm, **settings)
    expected = train(alone, slice(None), None, **settings)
    apart = max(
        float(np.abs(a - b).max())
        for a, b in zip(together.state_dict().values(), alone.state_dict().values(), strict=True)
    )
    return {"losses": losses, "expected": expected, "apart": apart, "digest": digest(together)}


def one_rank() -> Any:
    model, plain = network(3), network(3)
    both = [train(each, slice(None), which) for each, which in ((model, comm), (plain, None))]
    return {"losses": both, "digests": [digest(model), digest(plain)]}


def dropout() -> Any:
    """Masks of all processes, in two steps."""
    weight = nn.Parameter(np.ones(64, np.float32))
    cc.manual_seed(5 + rank)

    def drop(x: Any) -> Any:
        kept = ops.dropout(x * weight, 0.5, training=True)
        return ops.mean(kept), kept

    step = cc.train_step(drop, optim.SGD([weight], lr=0.0), comm=comm)
    return [(np.asarray(step(np.ones((1, 64), np.float32))[1]) > 0).astype(int).tolist() for _ in range(2)]


def profiled() -> Any:
    """Steps measured part by part, which all processes do at a time."""
    model = network(0)
    step = cc.train_step(
        lambda x, y: ops.cross_entropy(model(x), y), optim.SGD(model.parameters(), lr=0.1), comm=comm
    )
    x, y = data(4)
    step(x, y)
    before = digest(model)
    rows = [row["step"] for row in step.profile(x, y, repeats=2)]
    return {"steps": rows, "same": digest(model) == before}


def fail(how: str) -> None:
    """Take a step; then rank 1 goes wrong, and the others take one more."""
    model = nn.Linear(4, 3)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    step = cc.train_step(lambda x, y: ops.cross_entropy(model(x), y), optimizer, comm=comm)
    x, y = np.ones((4, 4), np.float32), np.array([0, 1, 2, 0])
    step(x, y)
    if rank == 1:
        if how == "label":
            y = np.array([0, 1, 7, 0])
        elif how == "shape":
            x = x[:, :3]
        elif how == "raise":
            raise KeyError("nothing to be found")
        elif how == "leave":
            return
        elif how == "rate":
            optimizer.lr = 0.2
        elif how == "assign":
            model.weight.assign(np.zeros((3, 4)))
    step(x, y)


if __name__ == "__main__":
    _, name, *arguments = sys.argv
    found = comm.gather(globals()[name](*map(json.loads, arguments)))
    if rank == 0:
        print(json.dumps(found))
