# SPDX-License-Identifier: Apache-2.0
"""Recurrent layers, and single steps of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnncore import ops
from reference.recurrent import GATES, recurrent, step

from .case import Array, Case, case, draw


def shapes_of(
    cell: str, features: int, hidden: int, layers: int, directions: int, bias: bool, proj: int
) -> Any:
    """Shapes of the weights of each layer and direction."""
    rows, size = GATES[cell] * hidden, proj or hidden
    found = []
    for layer in range(layers):
        width = features if layer == 0 else directions * size
        one = [
            (rows, width),
            (rows, size),
            *([(rows,)] * 2 if bias else []),
            *([(size, hidden)] if proj else []),
        ]
        found += [one] * directions
    return found


def settings_of(
    cell: str,
    time: int,
    batch: int,
    features: int,
    hidden: int,
    layers: int = 1,
    directions: int = 1,
    bias: bool = True,
    batch_first: bool = False,
    proj: int = 0,
    lengths: Sequence[int] | None = None,
    **rest: Any,
) -> Case:
    """A case on drawn values: input, states, weights, lengths."""
    sets = shapes_of(cell, features, hidden, layers, directions, bias, proj)
    x = draw(*((batch, time) if batch_first else (time, batch)), features, low=-1.0, high=1.0)
    sizes = (proj or hidden, hidden)[: 2 if cell == "lstm" else 1]
    states = [draw(len(sets), batch, size, low=-1.0, high=1.0, seed=i) for i, size in enumerate(sizes)]
    flat = [draw(*shape, low=-0.5, high=0.5, seed=i) for i, one in enumerate(sets) for shape in one]
    counts = [] if lengths is None else [np.array(lengths)]
    each, known = len(sets[0]), len(states)

    def taken(arrays: Sequence[Any]) -> tuple[Any, list[Any], list[Any], Any]:
        end = len(arrays) - len(counts)
        return arrays[0], list(arrays[1 : 1 + known]), list(arrays[1 + known : end]), arrays[end:]

    def reference(*arrays: Array) -> tuple[Array, ...]:
        x, hx, weights, rows = taken(arrays)
        whole = [weights[i : i + each] for i in range(0, len(weights), each)]
        if not bias:
            whole = [[*one[:2], np.zeros(len(one[0])), np.zeros(len(one[0])), *one[2:]] for one in whole]
        c0 = hx[1] if known == 2 else np.zeros(hx[0].shape)
        x = np.swapaxes(x, 0, 1) if batch_first else x
        y, *last = recurrent(cell, x, hx[0], c0, whole, directions, *rows)
        return np.swapaxes(y, 0, 1) if batch_first else y, *last[:known]

    def ours(*arrays: Any) -> Any:
        x, hx, weights, rows = taken(arrays)
        state = hx if known == 2 else hx[0]
        given = (x, state, weights, bias, layers, 0.0, False, directions == 2, batch_first)
        return getattr(ops, cell)(*given, *rows)

    def theirs(*arrays: Any) -> Any:
        import torch
        from torch.nn.utils import rnn

        x, hx, weights, rows = taken(arrays)
        plain = (weights, bias, layers, 0.0, False, directions == 2)
        if not rows:
            return tuple(getattr(torch, cell)(x, hx if known == 2 else hx[0], *plain, batch_first))
        packed = rnn.pack_padded_sequence(x, rows[0], batch_first, enforce_sorted=False)
        hx = [state[:, packed.sorted_indices] for state in hx]
        state = hx if known == 2 else hx[0]
        data, *last = getattr(torch, cell)(packed.data, packed.batch_sizes, state, *plain)
        y, _ = rnn.pad_packed_sequence(packed._replace(data=data), batch_first, total_length=time)
        return y, *(state[:, packed.unsorted_indices] for state in last)

    arrays = (x, *states, *flat, *counts)
    return case(cell, arrays, reference, function=ours, torch=theirs, twice=False, **rest)


def one_step(cell: str, batch: tuple[int, ...], features: int, hidden: int, bias: bool) -> Case:
    """A case of a cell: input, states, weights."""
    rows = GATES[cell] * hidden
    states = [draw(*batch, hidden, low=-1.0, high=1.0, seed=i) for i in range(2 if cell == "lstm" else 1)]
    weights = [draw(rows, n, low=-0.5, high=0.5) for n in (features, hidden)]
    biases = [draw(rows, low=-0.5, high=0.5, seed=i) for i in range(2)] if bias else []
    known = len(states)

    def reference(x: Array, *rest: Array) -> Any:
        h, c = rest[0], rest[1] if known == 2 else np.zeros(rest[0].shape)
        given = [*rest[known:], *([] if bias else [np.zeros(rows)] * 2)]
        pairs = [
            step(cell, *one, given)
            for one in zip(*(value.reshape(-1, value.shape[-1]) for value in (x, h, c)), strict=True)
        ]
        found = tuple(np.reshape(part, h.shape) for part in zip(*pairs, strict=True))
        return found if known == 2 else found[0]

    def call(function: Any) -> Any:
        return lambda x, *rest: function(x, list(rest[:2]) if known == 2 else rest[0], *rest[known:])

    def theirs(*arrays: Any) -> Any:
        import torch

        return call(getattr(torch, f"{cell}_cell"))(*arrays)

    x = draw(*batch, features, low=-1.0, high=1.0)
    arrays = (x, *states, *weights, *biases)
    ours = call(getattr(ops, f"{cell}_cell"))
    # torch's function, unlike its module, takes a batch alone.
    peer = theirs if batch else False
    return case(f"{cell}_cell", arrays, reference, function=ours, torch=peer, twice=False)


CASES = [
    *(
        settings_of(cell, 5, 4, 2, 3, layers, directions, batch_first=directions == 2, lengths=(2, 5, 1, 4))
        for cell in GATES
        for layers, directions in ((1, 1), (2, 2))
    ),
    *(
        settings_of(cell, 4, 3, 2, 5, layers, directions, bias, batch_first)
        for cell in GATES
        for layers, directions, bias, batch_first in (
            (1, 1, True, False),
            (1, 2, False, True),
            (2, 2, True, False),
            (2, 1, True, True),
        )
    ),
    *(settings_of(cell, 1, 1, 1, 1) for cell in GATES),
    *(settings_of(cell, 3, 1, 3, 17) for cell in GATES),
    *(
        settings_of("lstm", 4, 3, 2, 5, layers, directions, bias, proj=proj)
        for layers, directions, bias, proj in ((1, 1, True, 3), (2, 2, True, 2), (1, 2, False, 1))
    ),
    settings_of("lstm", 4, 3, 2, 4, 2, 2, proj=3, lengths=(4, 1, 3)),
    # 110 products of values up to 1 and weights up to 1/2 are added up in each step.
    *(settings_of(cell, 6, 19, 40, 70, directions=2, magnitude=110 / 8) for cell in GATES),
    *(one_step(cell, (3,), 2, 5, True) for cell in GATES),
    *(one_step(cell, (), 4, 3, False) for cell in GATES),
]
