# SPDX-License-Identifier: Apache-2.0
"""What the machine says about a convolution: by which algorithm, and why not by the others."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from .. import _core
from ..graph.lowering import Builder
from ..graph.tensor import Shape, Tensor
from .window import Window


class Algorithm(NamedTuple):
    """How a convolution is computed.

    One that is `fixed` was given for a compiled network, measured or for its memory; `declined` is then
    "<the cost model's algorithm>: <why it is not taken>", unless that was measured.
    """

    name: str
    problem: str
    """The convolution's sizes as a text."""
    packed: _core.Packed
    """The weight in the order that it is read in; of no elements: as it is."""
    statistics_rows: int
    """Rows of the statistics for batch norm that it can write; 0: it cannot."""
    pitched_output: bool
    """Whether the output may be some of the channels of a wider tensor."""
    residual_in_place: bool
    input_parts: int
    """The input may be two tensors whose channels are multiples of this; 0: it may not."""
    refused: tuple[tuple[str, str], ...]
    """Other algorithms, each with the reason."""
    fixed: bool = False
    declined: str = ""
    one_order: bool = False
    """Whether sums are to be made in one order at whatever place of the image, as "exact" accuracy has it."""


def geometry(window: Window, groups: int, pool: Window | None = None) -> dict[str, Any]:
    """Return the attributes by which the machine knows a convolution, and the pooling after it."""
    settings = {**window.settings(), "groups": groups}
    if pool is not None:
        settings |= {"pool_kernel": pool.kernel, **pool.settings("pool_")}
    return settings


@lru_cache(maxsize=1024)
def choose(
    direction: str,
    input_shape: Shape,
    weight_shape: Shape,
    window: Window,
    groups: int,
    pool: Window | None,
    accuracy: str,
    name: str = "",
    declined: str = "",
) -> Algorithm:
    """Return the algorithm for a convolution: the cost model's or, where given, the one of this `name`."""
    attrs = geometry(window, groups, pool)
    wanted = {**attrs, "algorithm": name} if name else attrs
    choice = _core.conv_choose(direction, input_shape, weight_shape, wanted, accuracy)
    refused = choice.refused
    if name:
        able, _, reason = declined.partition(": ")
        measured = "" if declined else "slower when measured"
        others = candidates(direction, input_shape, weight_shape, window, groups, pool, accuracy)
        reasons = [(other, why or (reason if other == able else measured)) for other, why in others]
        refused = [(other, why) for other, why in reasons if why and other != name]
    return Algorithm(
        choice.algorithm,
        choice.problem,
        choice.packed,
        choice.statistics_rows,
        choice.pitched_output,
        choice.residual_in_place,
        choice.input_parts,
        tuple(refused),
        bool(name),
        declined,
        accuracy == "exact",
    )


@lru_cache(maxsize=1024)
def candidates(
    direction: str,
    input_shape: Shape,
    weight_shape: Shape,
    window: Window,
    groups: int,
    pool: Window | None,
    accuracy: str,
) -> tuple[tuple[str, str], ...]:
    """Return every algorithm's name and why it cannot compute a convolution, "" where it can."""
    attrs = geometry(window, groups, pool)
    return tuple(_core.conv_candidates(direction, input_shape, weight_shape, attrs, accuracy))


def pack(
    builder: Builder,
    direction: str,
    weight: Tensor,
    input_shape: Shape,
    settings: dict[str, Any],
    algorithm: Algorithm,
) -> Any:
    """Return the weight in the order the algorithm reads it, which may be its own.

    Args:
        builder: of the steps.
        direction: of the convolution.
        weight: as the network has it.
        input_shape: that of the convolution.
        settings: its `geometry`.
        algorithm: of the convolution.
    """
    if algorithm.packed.count == 0:
        return builder.slot(weight)
    attrs = {**settings, "direction": direction, "input_shape": input_shape, "algorithm": algorithm.name}
    return builder.pack("conv_pack_weight", weight, algorithm.packed, attrs)
