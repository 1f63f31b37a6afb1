# SPDX-License-Identifier: Apache-2.0
"""What is no array, and what is no setting, is refused by every operation of the table by its name."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from cases import CASES
from cases.case import Case
from cnncore import ops
from cnncore.graph.tensor import Graph
from cnncore.graph.trace import building


class Nonsense:
    """What no argument may be."""


SHOWN = {
    "addbmm": "bmm",
    "addcmul": "add|mul",
    "addmm": "mm",
    "addmv": "mv",
    "baddbmm": "bmm",
    "clip": "clamp",
    "div": "floor_divide",
    "eq": "equal",
    "expand_as": "broadcast_to",
    "ge": "greater_equal",
    "gt": "greater",
    "le": "less_equal|greater_equal",
    "less": "greater",
    "less_equal": "greater_equal",
    "lp_pool1d": "avg_pool1d",
    "lp_pool2d": "avg_pool2d",
    "lp_pool3d": "avg_pool3d",
    "lt": "less|greater",
    "masked_fill": "where",
    "max": "maximum",
    "min": "minimum",
    "ne": "not_equal",
    "scaled_dot_product_attention": "dropout",
    "softmin": "softmax",
    "swapaxes": "transpose",
    "swapdims": "transpose",
    "triplet_margin_loss": "pairwise_distance",
    "upsample": "interpolate",
}
"""Operations that others compute: what these are called."""

UNREAD = {"norm_type", "compute_mode"}
"""Settings of torch's that matter only beside one that is refused."""

SWITCHES = {"unbiased", "align_corners", "recompute_scale_factor"}
"""Booleans whose default is None."""


def _plain() -> dict[tuple[str, ...], Case]:
    """One case for each set of arguments of an operation."""
    chosen: dict[tuple[str, ...], Case] = {}
    for case in CASES:
        if case.function is None and not case.large:
            chosen.setdefault((case.name, str(len(case.arrays)), *sorted(case.settings)), case)
    return chosen


def _settings(case: Case) -> list[str]:
    """The parameters of an operation that are neither arrays nor switches."""
    given = [*inspect.signature(getattr(ops, case.name)).parameters.values()][len(case.arrays) :]
    return [
        parameter.name
        for parameter in given
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and not isinstance(parameter.default, bool)
        and parameter.name not in UNREAD | SWITCHES
    ]


PLAIN = [*_plain().values()]
ARRAYS = [(case, i) for case in PLAIN for i in range(len(case.arrays))]
SETTINGS = [(case, name) for case in PLAIN for name in _settings(case)]


def _message(case: Case) -> str:
    names = "|".join([case.name, *SHOWN.get(case.name, "").split("|")]).strip("|")
    return rf"\[({names})\]"


@pytest.mark.parametrize(("case", "place"), ARRAYS, ids=lambda v: str(v))
def test_what_is_no_array(case: Case, place: int) -> None:
    for wrong in ("text", [["a"]], Nonsense()):
        arrays: list[Any] = list(case.arrays)
        arrays[place] = wrong
        with pytest.raises((TypeError, ValueError), match=_message(case)):
            case(*arrays)
        with building(Graph()), pytest.raises((TypeError, ValueError), match=_message(case)):
            case(*arrays)


@pytest.mark.parametrize(("case", "name"), SETTINGS, ids=lambda v: str(v))
def test_what_is_no_setting(case: Case, name: str) -> None:
    with pytest.raises((TypeError, ValueError), match=_message(case)):
        getattr(ops, case.name)(*case.arrays, **{**case.settings, name: Nonsense()})


LABELLED = ("cross_entropy", "nll_loss", "multi_margin_loss", "multilabel_margin_loss", "lovasz_softmax_loss")


@pytest.mark.parametrize("wrong", ["text", [["a"]], Nonsense()], ids=["text", "list", "object"])
def test_what_are_no_labels(wrong: Any) -> None:
    logits = np.ones((2, 3), np.float32)
    calls: list[tuple[str, tuple[Any, ...]]] = [(name, (logits, wrong)) for name in LABELLED]
    calls += [
        ("linear_cross_entropy", (logits, np.ones((4, 3), np.float32), wrong)),
        ("ctc_loss", (np.zeros((4, 2, 3), np.float32), wrong, [4, 4], [1, 1])),
        ("one_hot", (wrong,)),
        ("bincount", (wrong,)),
    ]
    for name, given in calls:
        with pytest.raises((TypeError, ValueError), match=rf"\[{name}\]"):
            getattr(ops, name)(*given)
        with building(Graph()), pytest.raises((TypeError, ValueError), match=rf"\[{name}\]"):
            getattr(ops, name)(*given)


def test_what_is_no_label_of_one_row() -> None:
    for wrong in ("text", Nonsense()):
        with pytest.raises((TypeError, ValueError), match=r"\[cross_entropy\]"):
            ops.cross_entropy(np.ones(3, np.float32), wrong)


@pytest.mark.parametrize(
    ("call", "axes", "hint"),
    [
        (lambda: ops.pdist(np.ones(3)), r"2 axes \(batch, features\)", ""),
        (lambda: ops.pdist(np.ones((2, 3, 4))), r"2 axes \(batch, features\)", " Is a Flatten missing"),
        (
            lambda: ops.max_pool1d(np.ones((3, 8)), 2),
            r"3 axes \(batch, channels, length\)",
            r" For one sample add a batch axis of 1: input\[None\]\.",
        ),
        (
            lambda: ops.max_pool2d(np.ones((3, 8, 8)), 2),
            r"4 axes \(batch, channels, height, width\)",
            r" For one sample add a batch axis of 1: input\[None\]\.",
        ),
        (lambda: ops.max_pool2d(np.ones((8, 8)), 2), r"4 axes \(batch, channels, height, width\)", "$"),
        (
            lambda: ops.max_pool3d(np.ones((1, 1, 3, 8, 8, 2)), 2),
            r"5 axes \(batch, channels, depth, height, width\)",
            "$",
        ),
    ],
)
def test_what_has_other_axes(call: Any, axes: str, hint: str) -> None:
    with pytest.raises(ValueError, match=rf"expected input with {axes}, got shape \([0-9, ]+\)\.{hint}"):
        call()


@pytest.mark.parametrize(("case", "name"), SETTINGS, ids=lambda v: str(v))
def test_what_cannot_be_told_apart(case: Case, name: str) -> None:
    """Settings are part of the key of a program: a dict cannot be."""
    with pytest.raises((TypeError, ValueError), match=_message(case)):
        getattr(ops, case.name)(*case.arrays, **{**case.settings, name: {}})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, n: ops.tril(x, n), "diagonal from -2"),
        (lambda x, n: ops.triu(x, n), "diagonal from -2"),
        (lambda x, n: ops.round(x, n), "decimals from -"),
        (lambda x, n: ops.full_like(x.astype(int), n), "fill_value from -2"),
        (lambda x, n: ops.avg_pool2d(x[None, None], 2, divisor_override=n), "divisor_override from -2"),
        (lambda x, n: ops.lovasz_softmax_loss(x, [0, 1], ignore_index=n), "ignore_index from -2"),
    ],
)
def test_integers_beyond_64_bits(call: Any, message: str) -> None:
    for number in (2**63, -(2**63) - 1, 2**70):
        with pytest.raises(ValueError, match=message):
            call(np.ones((2, 3), np.float32), number)


def test_what_is_no_array_is_refused_where_nothing_is_done_with_it() -> None:
    for call in (lambda x: ops.diff(x, 0), lambda x: ops.flatten(x), lambda x: ops.concat([np.ones(2), x])):
        with pytest.raises(TypeError, match=r"\[(diff|flatten|concat)\] expected an array of real numbers"):
            call("text")


def test_rolling_by_any_integer() -> None:
    x = np.arange(6)
    assert ops.roll(x, -(2**62), 0).tolist() == np.roll(x, -(2**62) % 6).tolist()
    with pytest.raises(ValueError, match="shifts of at least -4611686018427387904"):
        ops.roll(x, -(2**62) - 1, 0)


@pytest.mark.parametrize("far", [3, 2**40, 2**63 - 1])
def test_triangles_of_diagonals_outside(far: int) -> None:
    x = np.arange(1.0, 7).reshape(2, 3).astype(np.float32)
    for op, whole in ((ops.tril, far), (ops.triu, -far)):
        assert np.array_equal(op(x, whole), x)
        assert not op(x, -whole).any()
