# SPDX-License-Identifier: Apache-2.0
"""What tests run in several processes: functions whose results, one of each, rank 0 prints as JSON."""

from __future__ import annotations

import json
import signal
import sys
import warnings
from typing import Any
from zlib import crc32

import numpy as np
from mpi4py import MPI

import cnncore as cc
from cnncore import nn, ops, optim

comm = MPI.COMM_WORLD
rank, size = comm.Get_rank(), comm.Get_size()
ROWS = 24


class Block(nn.Module):
    """A residual block; its first batch norm averages over all batches, its second adds and activates."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(6, momentum=None), nn.BatchNorm2d(6, affine=False)])

    def forward(self, x: Any) -> Any:
        y = ops.relu(self.norms[0](self.first(x)))
        return ops.relu(self.norms[1](self.second(y)) + x)


def normalised(seed: int) -> nn.Module:
    cc.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        Block(),
        nn.Flatten(),
        nn.Linear(6 * 36, 5),
        nn.BatchNorm1d(5),
    )


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


def synchronised() -> Any:
    """Batch norm over all processes, of which the last has no rows in the last step, and alone."""
    found = []
    for with_comm in (True, False):
        model = normalised(3)
        if with_comm:
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        trainer = cc.Trainer(
            model,
            nn.CrossEntropyLoss(),
            optim.SGD(model.parameters(), lr=0.01, momentum=0.9),
            comm=comm if with_comm else None,
        )
        x, y = data(6 * size + size - 1)
        batch = 3 if with_comm else 3 * size
        history = trainer.fit(x, y, epochs=2, batch_size=batch, validation=(x, y), verbose=0)
        found.append((history, model.state_dict(), digest(model)))
    (together, ours, bits), (alone, theirs, _) = found
    apart = {name: float(np.abs(ours[name] - theirs[name]).max()) for name in theirs}
    return {"figures": same(together, alone), "apart": apart, "digest": bits}


def one_rank() -> Any:
    model, plain = network(3), network(3)
    both = [train(each, slice(None), which) for each, which in ((model, comm), (plain, None))]
    return {"losses": both, "digests": [digest(model), digest(plain)]}


def threads() -> Any:
    """Threads before and after a step is made."""
    before = cc.get_num_threads()
    network_ = network(0)
    cc.train_step(lambda x: ops.mean(network_(x)), optim.SGD(network_.parameters(), lr=0.1), comm=comm)
    return [before, cc.get_num_threads()]


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


def make_trainer(comm: Any, seed: int, **settings: Any) -> cc.Trainer:
    model = network(seed)
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    loss = settings.pop("loss", None) or nn.CrossEntropyLoss()
    metrics = settings.pop("metrics", ("accuracy", "f1"))
    return cc.Trainer(model, loss, optimizer, metrics, comm=comm, **settings)


def same(first: Any, second: Any) -> dict[str, float]:
    """The largest differences of two histories' figures, times aside."""
    names = [name for name in second if name not in ("seconds", "images_per_second")]
    assert list(first) == list(second)
    return {name: float(np.abs(np.subtract(first[name], second[name])).max()) for name in names}


def fitted(rows: int, batch_size: int, settings: dict[str, Any]) -> Any:
    """Together, and alone with batches as large as those of all: figures and weights."""
    x, y = data(rows)
    ignored = settings.pop("ignored", False)
    weights = np.random.default_rng(2).uniform(0, 2, rows) if settings.pop("weighted", False) else None
    if ignored:
        y = np.where(np.arange(rows) % 3 == 0, -100, y)
    loss = nn.CrossEntropyLoss(reduction=settings.pop("reduction", "mean"))
    found = []
    for with_comm in (True, False):
        trainer = make_trainer(comm if with_comm else None, 3 + rank * with_comm, loss=loss, **settings)
        size_of_all = batch_size if with_comm else batch_size * size
        valid = data(7)
        history = trainer.fit(
            x, y, epochs=3, batch_size=size_of_all, validation=valid, verbose=0, sample_weight=weights
        )
        final = trainer.final_model.state_dict().values()
        found.append((history, trainer.model, [np.asarray(value) for value in final]))
    (together, model, ours), (alone, _, theirs) = found
    apart = max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))
    return {
        "apart": apart,
        "figures": same(together, alone),
        "history": [repr(together[name]) for name in ("loss", "accuracy", "f1", "val_loss", "val_f1")],
        "digest": digest(model),
    }


class Own:
    """Batches of this process: rank r has r + 1 of them."""

    def __iter__(self) -> Any:
        x, y = data(4 * size)
        for i in range(rank + 1):
            yield x[i * 4 : i * 4 + 2 + rank], y[i * 4 : i * 4 + 2 + rank]


def loaders() -> Any:
    """A loader shared by all, one with a sampler that shares, and iterables of different lengths."""
    x, y = data(22)
    found = []
    for kind in ("loader", "sharded", "own"):
        trainer = make_trainer(comm, 1)
        batches: Any = Own()
        if kind == "loader":
            batches = cc.data.DataLoader((x, y), 3, shuffle=True, seed=4, workers=1)
        elif kind == "sharded":
            sampler = cc.data.ShardedSampler(len(x), rank, size, seed=4)
            batches = cc.data.DataLoader((x, y), 3, sampler=sampler)
        history = trainer.fit(batches, epochs=2, verbose=0)
        found.append([repr(history["loss"]), repr(history["accuracy"]), digest(trainer.model)])
    plain = make_trainer(None, 1)
    history = plain.fit(cc.data.DataLoader((x, y), 3 * size, shuffle=True, seed=4), epochs=2, verbose=0)
    return {"found": found, "alone": history["loss"], "losses": eval(found[0][0])}


def resumed(folder: str) -> Any:
    """Two epochs, saved and resumed, then two more; and four at a stretch."""
    path = f"{folder}/run.safetensors"
    x, y = data(30)
    first, second, whole = (make_trainer(comm, 5 + rank, ema=0.5) for _ in range(3))
    logger = cc.train.CSVLogger(f"{folder}/log.csv")
    keep = cc.train.ModelCheckpoint(path, keep="last", state=True)
    first.fit(x, y, epochs=2, batch_size=4, verbose=2, callbacks=[logger, keep])
    comm.Barrier()
    second.resume(path)
    callbacks = [cc.train.CSVLogger(f"{folder}/log.csv", append=True), keep]
    second.fit(x, y, epochs=4, batch_size=4, verbose=0, callbacks=callbacks)
    whole.fit(x, y, epochs=4, batch_size=4, verbose=0)
    return [second.epoch, digest(second.model), digest(whole.model), digest(second.final_model)]


def stopped(how: str) -> Any:
    """Rank 1 stops in the midst of an epoch, by a callback of its own or by Ctrl-C."""

    class Stop(cc.Callback):
        def on_batch_end(self, batch: int, logs: Any) -> None:
            if rank == 1 and batch == 1 and how == "signal":
                signal.raise_signal(signal.SIGINT)
            elif rank == 1 and batch == 1:
                self.trainer.stop_training = True

    trainer = make_trainer(comm, 1)
    x, y = data(40)
    history = trainer.fit(x, y, epochs=3, batch_size=2, verbose=0, callbacks=[Stop()])
    return [history.interrupted, trainer.optimizer.step_count, trainer.epoch]


def nonfinite() -> Any:
    """The last process has NaN among its rows in the second epoch."""
    x, y = data(4 * size)

    class Spoil(cc.Callback):
        def on_epoch_begin(self, epoch: int) -> None:
            if epoch == 1 and rank == size - 1:
                x[-1] = np.nan

    trainer = make_trainer(comm, 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = trainer.fit(x, y, epochs=3, batch_size=4, shuffle=False, verbose=0, callbacks=[Spoil()])
    return [str(history.nonfinite), trainer.epoch, digest(trainer.model), len(caught)]


def fail_in_fit(how: str) -> None:
    x, y = data(16)
    if how == "rows":
        x, y = x[: 16 - 4 * rank], y[: 16 - 4 * rank]
    elif how == "kinds" and rank == 1:
        make_trainer(comm, 1).fit(iter([(x, y)]), epochs=1, verbose=0)
    elif how == "model":
        model = nn.Linear(4, 3 + rank)
        cc.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), comm=comm).fit(
            np.ones((4, 4), np.float32), np.array([0, 1, 2, 0]), epochs=1, verbose=0
        )
    elif how == "one alone":
        trainer = make_trainer(comm, 1)
        if rank == 1:
            return
        trainer.fit(x, y, epochs=1, verbose=0)

    def on_epoch_end(epoch: int, logs: Any) -> None:
        if rank == 1:
            raise (KeyError("nothing to be found") if how == "raise" else SystemExit(how))

    make_trainer(comm, 1).fit(x, y, epochs=3, batch_size=4, verbose=0, callbacks=[on_epoch_end])


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
