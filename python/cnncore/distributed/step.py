# SPDX-License-Identifier: Apache-2.0
"""Training steps that several processes take together."""

from __future__ import annotations

from typing import Any
from zlib import crc32

from .._core import random_state, set_random_state
from ..graph.tensor import Graph, Tensor
from ..graph.trace import at, building, exchanging
from ..ops.build import elementwise
from ..ops.exchange import loss_share, summed
from ..training import TrainStep
from ..transforms import input_arrays
from .exchange import Exchange
from .ranks import Ranks

BUCKET = 4 << 20
"""Bytes of gradients that are summed together: enough to use a network's rate, little enough that the first
ones travel early and the last ones delay little."""

WATCHED = 1 << 16
"""Bytes of the parameters that each step compares, a stretch after the other."""

Found = list[tuple[int, Any, Tensor, Tensor]]


class RanksTrainStep(TrainStep):
    """A step whose gradients and loss are those of the rows of all processes.

    The loss of a process is taken as a mean over its rows, or over their weights.
    """

    def __init__(self, ranks: Ranks, *args: Any, **settings: Any) -> None:
        if not all(hasattr(ranks, name) for name in ("rank", "size")):
            raise TypeError(f"expected ranks as distributed.ranks_of(comm) returns them, got {ranks!r}")
        super().__init__(*args, **settings)
        self.ranks = ranks
        self.exchange = Exchange(ranks)
        self._order: list[int] = []
        self._joined = False
        self._watched = 0

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        try:
            arrays, _ = input_arrays(self._positional(inputs, named))
            rows = len(arrays[0]) if arrays and arrays[0].ndim else 1
            return self.take(arrays, float(rows), rows)
        except BaseException as error:
            self.ranks.end_all(error)
            raise

    def take(self, arrays: list[Any], weight: float | None, rows: int, stop: bool = False) -> Any:
        """Take a step on arrays.

        Args:
            arrays: inputs of the function.
            weight: what the loss counts among those of all processes; None: losses are summed.
            rows: 0 where the arrays only stand for data that this process does not have.
            stop: whether to ask all to stop after this step; `exchange.together` tells whether any has.
        """
        arrays, key = input_arrays(arrays)
        with self.optimizer.lock:
            program = self._program(key, arrays)
            if not self._joined:
                self._join(program.validity.stored)
                program = self._program(key, arrays)
            state = (self._settings_now(), self._contents_now())
            self.exchange.open(weight, rows, state, stop)
            self.optimizer.prepare()
            return program(arrays)

    def _join(self, stored: list[Any]) -> None:
        """Begin with what the first process has: parameters, buffers, the optimiser's and random state."""
        ranks = self.ranks
        optimizer: Any = self.optimizer
        known = {id(each): each for each in (*self._parameters(), *stored)}
        ranks.share_first(known.values())
        if any(ranks.all(int(optimizer.step_count))):
            state = ranks.first(optimizer.state_dict() if ranks.rank == 0 else None)
            optimizer.load_state_dict(state)
        set_random_state(*ranks.first(random_state()))
        order = ranks.first(self._order)
        if order != self._order:
            self._order = order
            self._programs.clear()
        self._joined = True

    def _settings_now(self) -> int:
        """Return a number of what must be the same in all processes for their steps to be one."""
        optimizer: Any = self.optimizer
        rates = [group["lr"] for group in optimizer.param_groups]
        trained = sum(parameter.requires_grad for parameter in self._parameters())
        state = (self._order, trained, self._place, optimizer.step_count, rates)
        return crc32(repr(state).encode())

    def _contents_now(self) -> int:
        """Return a checksum of the next stretch of the parameters."""
        parameters = self._parameters()
        total = sum(parameter.storage.nbytes for parameter in parameters)
        start = self._watched = self._watched % total
        self._watched += WATCHED
        found = 0
        for parameter in parameters:
            size = parameter.storage.nbytes
            if start < size:
                stretch = memoryview(parameter.storage).cast("B")[start : start + WATCHED]
                found = crc32(stretch)
                break
            start -= size
        return found

    # -- what the program has more ----------------------------------------------------------------

    def _trace(self, arrays: list[Any]) -> tuple[Graph, Tensor, Any]:
        with exchanging(self.exchange):
            return super()._trace(arrays)

    def _seed(self, graph: Graph) -> None:
        """Differentiate this process's part of the loss of all: gradients are then those of that loss."""
        with building(graph), at("exchange"):
            factor, _ = loss_share()
            graph.outputs[0] = elementwise("mul", graph.outputs[0], factor)

    def _summed(self, graph: Graph, found: Found, updates: bool) -> Found:
        """Return gradients summed over all processes, for an update; the loss with the first."""
        numbers = {id(parameter): number for number, parameter in enumerate(self._parameters())}
        if not self._order:
            made = {tensor: i for i, node in enumerate(graph.nodes) for tensor in node.outputs}
            ready = {numbers[id(p)]: made.get(g, -1) for _, p, _, g in found}
            self._order = sorted(numbers.values(), key=lambda number: ready.get(number, len(made)))
        place = {number: i for i, number in enumerate(self._order)}
        buckets: list[list[Any]] = [[]]
        waiting = sorted(found, key=lambda entry: place[numbers[id(entry[1])]]) if updates else []
        for entry in waiting:
            if sum(g.nbytes for *_, g in buckets[-1]) >= BUCKET:
                buckets.append([])
            buckets[-1].append(entry)
        done: dict[int, Tensor] = {}
        for number, bucket in enumerate(buckets):
            loss = [graph.outputs[0]] if number == 0 else []
            sums = summed([*loss, *(g for *_, g in bucket)], number, self.ranks.size)
            if loss:
                graph.outputs[0] = sums.pop(0)
            done.update((id(p), g) for (_, p, _, _), g in zip(bucket, sums, strict=True))
        return [(n, p, t, done.get(id(p), g)) for n, p, t, g in found]
