# SPDX-License-Identifier: Apache-2.0
"""Forms of arguments that torch allows beside the usual ones: axes of scalars, types, extra operands."""

from __future__ import annotations

from typing import Any

import numpy as np

import reference
from cnncore import ops

from .case import case, different, draw, whole

SCALAR = np.array(0.75)
INTS = np.array([[3, -1, 4], [1, -5, 9]])
SHORT = INTS.astype(np.int32)
FLAGS = np.array([[True, False, True], [False, False, True]])


def _placed(x: Any, s: dict[str, Any]) -> Any:
    """Largest values and their places in the channel, from the reference's numbers of taps."""
    rank = x.ndim - 2
    kernel, stride, padding, dilation = (
        v if isinstance(v, tuple) else (v,) * rank
        for v in (
            s["kernel_size"],
            s.get("stride", s["kernel_size"]),
            s.get("padding", 0),
            s.get("dilation", 1),
        )
    )
    values, taps = reference.max_pool(
        x, kernel, stride, padding, padding, dilation, s.get("ceil_mode", False)
    )
    at = [
        o.reshape(values.shape[2:]) * st - p + t * d
        for o, t, st, p, d in zip(
            np.indices(values.shape[2:]),
            np.unravel_index(taps, kernel),
            stride,
            padding,
            dilation,
            strict=True,
        )
    ]
    return values, np.ravel_multi_index(np.broadcast_arrays(*at), x.shape[2:])


WHOLE = ("argmax", "count_nonzero", "any", "all")
"""Results that are no floats."""

POOLED: tuple[tuple[str, tuple[int, ...], dict[str, Any]], ...] = (
    ("max_pool1d", (2, 3, 10), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("max_pool1d", (2, 3, 11), {"kernel_size": 2, "dilation": 3, "ceil_mode": True}),
    ("max_pool2d", (2, 3, 6, 7), {"kernel_size": (2, 3), "stride": (2, 1), "padding": (1, 0)}),
    ("max_pool2d", (1, 2, 9, 8), {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 2}),
    ("max_pool2d", (1, 2, 20, 20), {"kernel_size": 17, "stride": 2}),
    ("max_pool3d", (2, 2, 5, 6, 7), {"kernel_size": (2, 3, 2), "stride": (1, 2, 2), "padding": (1, 1, 0)}),
)

CASES = [
    *[
        case(
            name,
            different(*shape),
            lambda x, s=s: _placed(x, s),
            exact=True,
            return_indices=True,
            **s,
        )
        for name, shape, s in POOLED
    ],
    *[
        case(
            f"adaptive_max_pool{len(shape) - 2}d",
            different(*shape),
            lambda x, e=size: reference.adaptive_max_pool(x, e),
            output_size=size,
            return_indices=True,
            exact=True,
        )
        for shape, size in (((2, 3, 10), (3,)), ((2, 3, 5, 7), (2, 4)), ((1, 2, 4, 5, 6), (2, 3, 5)))
    ],
    *[
        case(name, SCALAR, expected, dim=0, differentiable=name not in WHOLE)
        for name, expected in (
            ("sum", lambda x: x),
            ("mean", lambda x: x),
            ("prod", lambda x: x),
            ("amax", lambda x: x),
            ("amin", lambda x: x),
            ("norm", np.abs),
            ("logsumexp", lambda x: x),
            ("softmax", lambda x: x * 0 + 1),
            ("log_softmax", lambda x: x * 0),
            ("softmin", lambda x: x * 0 + 1),
            ("squeeze", lambda x: x),
            ("argmax", lambda x: np.array(0)),
            ("count_nonzero", lambda x: np.array(1)),
            ("any", lambda x: np.array(True)),
            ("all", lambda x: np.array(True)),
        )
    ],
    case("normalize", np.array(-3.0), np.sign, dim=0),
    case("cosine_similarity", (np.array(2.0), np.array(-3.0)), lambda a, b: np.sign(a * b), dim=0),
    case("transpose", SCALAR, lambda x: x, dim0=0, dim1=-1),
    case(
        "index_select",
        (SCALAR, np.array([0])),
        lambda x, i: x,
        function=lambda x, i: ops.index_select(x, 0, i),
        torch=False,
    ),
    case(
        "index_add",
        (SCALAR, np.array(0), np.array(2.5)),
        lambda x, i, y: x + y,
        function=lambda x, i, y: ops.index_add(x, 0, i, y),
        torch=False,
    ),
    *[
        case(
            name,
            (SCALAR, np.array(0), np.array(2.5)),
            expected,
            function=lambda x, i, y, name=name: getattr(ops, name)(x, 0, i, y),
            torch=False,
        )
        for name, expected in (("scatter", lambda x, i, y: y), ("scatter_add", lambda x, i, y: x + y))
    ],
    case(
        "scatter",
        (draw(4), np.array([1, 1, 3]), draw(3, seed=1)),
        lambda x, i, y: x + np.bincount(i, y, 4),
        function=lambda x, i, y: ops.scatter(x, 0, i, y, reduce="add"),
        torch=False,
    ),
    case(
        "scatter",
        (draw(4), np.array([1, 1, 3])),
        lambda x, i: x + np.bincount(i, None, 4) * 0.5,
        function=lambda x, i: ops.scatter(x, 0, i, 0.5, reduce="add"),
        torch=False,
    ),
    *[
        case(
            name,
            draw(3, 5),
            expected,
            function=lambda x, name=name: getattr(ops, name)(x, False),
            torch=False,
        )
        for name, expected in (("var", np.var), ("std", np.std))
    ],
    case("var", draw(3, 5), lambda x: np.var(x, ddof=1), correction=None, torch=False),
    case("cumsum", SHORT, lambda x: np.cumsum(x, 1, dtype=np.int32), dim=1, dtype="int32", torch=False),
    case("cumprod", SHORT, lambda x: np.cumprod(x, 0, dtype=np.int32), dim=0, dtype="int32", torch=False),
    case("sum", SHORT, lambda x: x.sum(1, dtype=np.int32), dim=1, dtype="int32", torch=False),
    case("sum", FLAGS, lambda x: x.any(1), dim=1, dtype="bool", torch=False),
    case("prod", SHORT, lambda x: x.prod(dtype=np.int32), dtype="int32", torch=False),
    case("mean", INTS, lambda x: x.mean(), dtype="float32", torch=False),
    case("dot", (SHORT[0], SHORT[1]), lambda a, b: np.array(a @ b, np.int32)),
    case("square", FLAGS, lambda x: x.astype(np.int64)),
    case("addmm", (INTS[:, :2], INTS, INTS.T), lambda x, a, b: 2 * x - 3 * (a @ b), beta=2, alpha=-3),
    case("addmv", (INTS[:, 0], INTS, INTS[0]), lambda x, a, b: x + a @ b),
    case("addbmm", (INTS[:, :2], INTS[None], INTS.T[None]), lambda x, a, b: x + (a @ b).sum(0)),
    case("baddbmm", (INTS[:, :2], INTS[None], INTS.T[None]), lambda x, a, b: 3 * x + a @ b, beta=3),
    case(
        "masked_fill",
        (FLAGS, FLAGS[::-1].copy()),
        lambda x, m: x | m,
        function=lambda x, m: ops.masked_fill(x, m, 7),
        torch=lambda x, m: x.masked_fill(m, 7),
    ),
    case(
        "diff",
        (draw(2, 4), draw(2, 1, seed=1), draw(2, 2, seed=2)),
        lambda x, a, b: np.diff(x, 1, 1, a, b),
        function=lambda x, a, b: ops.diff(x, 1, 1, a, b),
        torch=False,
        ulps=16.0,
    ),
    case(
        "tensordot",
        (draw(1, 3), draw(4, 2, seed=1)),
        lambda a, b: np.outer(a[0], b.sum(0)),
        dims=([0], [0]),
        ulps=32.0,
    ),
    *[
        case(name, (whole(3, 4), whole(4, seed=1)), lambda a, b, f=f: f(a, b), exact=True)
        for name, f in (("max", np.maximum), ("min", np.minimum))
    ],
    case(
        "repeat_interleave",
        draw(2, 3),
        lambda x: np.repeat(x, [2, 1, 3], 1),
        repeats=[2, 1, 3],
        dim=1,
        output_size=6,
        torch=False,
    ),
    case(
        "cdist",
        (draw(3, 2), draw(4, 2, seed=1)),
        lambda a, b: np.linalg.norm(a[:, None] - b, axis=-1),
        compute_mode="donot_use_mm_for_euclid_dist",
    ),
    *[
        case(name, (whole(3, 4), whole(4, seed=1)), compare, differentiable=False)
        for name, compare in (
            ("eq", np.equal),
            ("ne", np.not_equal),
            ("gt", np.greater),
            ("ge", np.greater_equal),
            ("lt", np.less),
            ("le", np.less_equal),
        )
    ],
    *[
        case(name, draw(3, 4), expected, inplace=True, torch=False)
        for name, expected in (
            ("relu", lambda x: np.maximum(x, 0)),
            ("relu6", lambda x: np.clip(x, 0, 6)),
            ("leaky_relu", lambda x: np.where(x > 0, x, x * 0.01)),
        )
    ],
]
