# SPDX-License-Identifier: Apache-2.0
"""Batches of sequences of different lengths, with the names and arguments of ``torch.nn.utils.rnn``.

torch puts the steps of all sequences in a row, as many as there are; here they stay padded beside their
lengths, because shapes do not depend on values in a traced function, and a training step may take the lengths
as an input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import ops
from ...graph.arrays import to_input
from ...graph.tensor import Tensor
from ...graph.trace import is_stored, is_tracing
from ...ops.rnn import checked_lengths
from ..arguments import flag, one_of, several

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class PackedSequence(NamedTuple):
    """Sequences of different lengths: `padded` (time, batch, ...) with zeros behind each, and `lengths`.

    Rows are in the order they were given in. A recurrent layer takes one and gives one. As a pair of arrays
    it may be an input of a compiled function or a training step.

    >>> packed = pack_sequence([[1.0, 2.0, 3.0], [4.0]])
    >>> packed.data.tolist(), packed.batch_sizes.tolist()
    ([1.0, 4.0, 2.0, 3.0], [2, 1, 1])
    """

    padded: Any
    lengths: Any

    @property
    def sorted_indices(self) -> NDArray[np.int64]:
        """The rows from the longest to the shortest."""
        order: NDArray[np.int64] = np.argsort(-_known(self.lengths, "sorted_indices"), kind="stable")
        return order

    @property
    def unsorted_indices(self) -> NDArray[np.int64]:
        """Where each row is in `sorted_indices`."""
        order: NDArray[np.int64] = invert_permutation(self.sorted_indices)
        return order

    @property
    def batch_sizes(self) -> NDArray[np.int64]:
        """How many sequences have a first step, a second, and so on."""
        lengths = _known(self.lengths, "batch_sizes")
        sizes: NDArray[np.int64] = (lengths[None] > np.arange(lengths.max(initial=0))[:, None]).sum(1)
        return sizes

    @property
    def data(self) -> NDArray[Any]:
        """The first steps of all sequences, longest first, then the second ones, and so on."""
        padded, order = _known(self.padded, "data"), self.sorted_indices
        return np.concatenate([padded[t, order[:n]] for t, n in enumerate(self.batch_sizes)])


def _known(value: Any, name: str) -> NDArray[Any]:
    """Return an array, or raise where a function is being traced."""
    if isinstance(value, Tensor):
        raise TypeError(
            f"[PackedSequence] {name} depends on the lengths, which have no value while a function is being "
            "traced: use padded and lengths"
        )
    return to_input(value, "PackedSequence")


def invert_permutation(permutation: Any) -> Any:
    """Return the permutation that undoes this one.

    >>> invert_permutation([2, 0, 1]).tolist()
    [1, 2, 0]
    """
    return ops.argsort(permutation)


def pack_padded_sequence(
    input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Return padded sequences with their lengths, for a recurrent layer.

    Args:
        input: (time, batch, ...), or (batch, time, ...) with `batch_first`; what lies behind a sequence does
            not count.
        lengths: (batch,) integers from 1 to time; in a traced function they may be an input of it.
        batch_first: whether the batch is the first axis of `input`.
        enforce_sorted: raise unless the lengths come in descending order.

    Raises:
        ValueError: lengths outside, or not in order; inside a traced function when it runs.

    >>> import numpy as np
    >>> pack_padded_sequence(np.ones((3, 2)), [3, 1]).padded.tolist()
    [[1.0, 1.0], [1.0, 0.0], [1.0, 0.0]]
    """
    op = "pack_padded_sequence"
    given = input if isinstance(input, Tensor) or is_stored(input) else to_input(input, op)
    if len(given.shape) < 2:
        raise ValueError(f"[{op}] expected input (time, batch, ...), got {given.shape}")
    x = ops.swapaxes(given, 0, 1) if flag("batch_first", batch_first) else given
    flag("enforce_sorted", enforce_sorted)
    known: Any
    if is_tracing():
        known = checked_lengths(lengths, x.shape[1], x.shape[0], op, enforce_sorted)
    else:
        known = _array_of_lengths(lengths, x.shape[1], x.shape[0], enforce_sorted)
        x = x[: known.max(initial=1)]
    return PackedSequence(ops.where(_inside(known, x.shape), x, 0), known)


def _array_of_lengths(lengths: Any, batch: int, time: int, in_order: bool) -> NDArray[np.int64]:
    op = "pack_padded_sequence"
    found = to_input(lengths, op)
    if found.dtype.kind not in "iu" or found.shape != (batch,):
        raise ValueError(
            f"[{op}] expected integer lengths ({batch},), got {found.dtype} of shape {found.shape}"
        )
    counts: NDArray[np.int64] = found.astype(np.int64)
    if counts.min(initial=1) < 1 or counts.max(initial=1) > time:
        raise ValueError(f"[{op}] expected lengths from 1 to {time}, got {counts.tolist()}")
    if in_order and (np.diff(counts) > 0).any():
        raise ValueError(
            f"[{op}] expected lengths in descending order (or enforce_sorted=False), got {counts.tolist()}"
        )
    return counts


def _inside(lengths: Any, shape: tuple[int, ...]) -> Any:
    """Return which steps (time, batch, 1, ...) belong to the sequences."""
    time, batch, *rest = shape
    steps = np.arange(time).reshape(time, 1)
    inside = ops.less(steps, ops.reshape(lengths, (1, batch)))
    return ops.reshape(inside, (time, batch, *(1 for _ in rest)))


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Any, Any]:
    """Return padded sequences and their lengths.

    Args:
        sequence: what `pack_padded_sequence` or a recurrent layer returned.
        batch_first: whether the batch is to be the first axis.
        padding_value: what lies behind each sequence.
        total_length: extent of the time; None: that of the longest sequence, inside a traced function that of
            what was packed.

    Raises:
        ValueError: a longer sequence than `total_length`.

    >>> padded, lengths = pad_packed_sequence(pack_sequence([[1.0, 2.0], [3.0]]), batch_first=True)
    >>> padded.tolist(), lengths.tolist()
    ([[1.0, 2.0], [3.0, 0.0]], [2, 1])
    """
    op = "pad_packed_sequence"
    if not isinstance(sequence, PackedSequence):
        raise TypeError(f"[{op}] expected a PackedSequence, got {type(sequence).__name__}")
    padded, lengths = sequence
    time = padded.shape[0]
    if total_length is not None and total_length < time:
        raise ValueError(f"[{op}] expected total_length of at least {time}, got {total_length}")
    x = padded
    if padding_value != 0:
        x = ops.where(_inside(lengths, x.shape), x, padding_value)
    if total_length is not None and total_length > time:
        behind = [0] * (2 * len(x.shape) - 2)
        x = ops.pad(x, (*behind, 0, total_length - time), value=padding_value)
    return ops.swapaxes(x, 0, 1) if batch_first else x, lengths


def pad_sequence(
    sequences: Sequence[Any],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Any:
    """Return sequences of different lengths as one array, padded to the longest.

    Args:
        sequences: (length, ...) each, with the same axes behind the first.
        batch_first: whether the batch is to be the first axis, instead of the time.
        padding_value: what fills the rest.
        padding_side: "right" or "left" of the sequences.

    Raises:
        ValueError: no sequences, or of different axes behind the first.

    >>> pad_sequence([[1.0, 2.0], [3.0]], batch_first=True).tolist()
    [[1.0, 2.0], [3.0, 0.0]]
    """
    op = "pad_sequence"
    one_of("padding_side", padding_side, ("right", "left"))
    flag("batch_first", batch_first)
    given = several("sequences", sequences, "arrays")
    rows = [
        value if isinstance(value, Tensor) or is_stored(value) else to_input(value, op) for value in given
    ]
    if not rows:
        raise ValueError(f"[{op}] expected at least one sequence")
    if any(len(row.shape) == 0 or row.shape[1:] != rows[0].shape[1:] for row in rows):
        raise ValueError(
            f"[{op}] expected sequences (length, ...) with the same axes behind the first, got "
            f"{[tuple(row.shape) for row in rows]}"
        )
    time = max(row.shape[0] for row in rows)
    widened = []
    for row in rows:
        ends = (0, time - row.shape[0])
        ends = ends if padding_side == "right" else ends[::-1]
        behind = [0] * (2 * len(row.shape) - 2)
        widened.append(ops.pad(row, (*behind, *ends), value=padding_value) if any(ends) else row)
    return ops.stack(widened, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list[Any]:
    """Return the sequences of a padded array, each as long as its length, which must be known.

    Raises:
        TypeError: lengths without values, in a function that is traced.

    >>> [row.tolist() for row in unpad_sequence([[1.0, 2.0], [3.0, 0.0]], [2, 1], batch_first=True)]
    [[1.0, 2.0], [3.0]]
    """
    counts = _known(lengths, "unpad_sequence").tolist()
    rows: Any = padded_sequences if isinstance(padded_sequences, Tensor) else to_input(padded_sequences)
    return [rows[i, :n] if batch_first else rows[:n, i] for i, n in enumerate(counts)]


def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = True) -> PackedSequence:
    """Return sequences of different lengths, for a recurrent layer.

    Args:
        sequences: (length, ...) each, with the same axes behind the first.
        enforce_sorted: raise unless the lengths come in descending order.

    Raises:
        ValueError: no sequences, of different axes, or not in order.

    >>> pack_sequence([[1.0, 2.0], [3.0]]).lengths.tolist()
    [2, 1]
    """
    lengths = [len(row) if isinstance(row, (list, tuple)) else row.shape[0] for row in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Any]:
    """Return the sequences that were packed; their lengths must be known.

    Raises:
        TypeError: lengths without values, in a function that is traced.

    >>> [row.tolist() for row in unpack_sequence(pack_sequence([[1.0, 2.0], [3.0]]))]
    [[1.0, 2.0], [3.0]]
    """
    return unpad_sequence(*pad_packed_sequence(packed_sequences))
