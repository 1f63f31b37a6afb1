# SPDX-License-Identifier: Apache-2.0
"""Products of vectors, matrices and tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from cnncore import ops

from .case import case, draw, whole

A, B = whole(2, 3, 4), whole(2, 4, 5, seed=1)
M, N = whole(3, 4), whole(4, 5, seed=1)
BIG = np.array([[2**53 + 1, 3], [5, 7]])


def _exact(name: str, arrays: Any, reference: Any, **rest: Any):
    return case(name, arrays, reference, exact=True, **rest)


def _einsum(equation: str, *shapes: tuple[int, ...]):
    arrays = tuple(whole(*shape, least=-2, most=2, seed=i) for i, shape in enumerate(shapes))

    def torch_einsum(*tensors: Any) -> Any:
        import torch

        return torch.einsum(equation, *tensors)

    return _exact(
        "einsum",
        arrays,
        lambda *a: np.einsum(equation, *a),
        function=lambda *a: ops.einsum(equation, *a),
        torch=torch_einsum,
    )


def _distance(a: Any, b: Any, p: float) -> Any:
    apart = np.abs(a[..., :, None, :] - b[..., None, :, :])
    return apart.max(-1) if np.isinf(p) else (apart**p).sum(-1) ** (1 / p)


CASES = [
    _exact("outer", (whole(3), whole(4, seed=1)), np.outer),
    _exact("dot", (whole(7), whole(7, seed=1)), np.dot),
    *[
        _exact("inner", (whole(*a), whole(*b, seed=1)), np.inner)
        for a, b in (((4,), (4,)), ((2, 3, 4), (5, 4)), ((3, 4), ()))
    ],
    _exact("mv", (M, whole(4, seed=1)), np.matmul),
    _exact("mm", (M, N), np.matmul),
    _exact("bmm", (A, B), np.matmul),
    *[
        _exact(
            "addmm",
            (whole(*s, seed=2), M, N),
            lambda x, a, b, k=k: k[0] * x + k[1] * (a @ b),
            beta=k[0],
            alpha=k[1],
        )
        for s, k in (((3, 5), (1, 1)), ((5,), (2, -1)), ((3, 1), (0, 1)))
    ],
    _exact("addmv", (whole(3, seed=2), M, whole(4, seed=1)), lambda x, a, b: x + a @ b),
    _exact("baddbmm", (whole(2, 3, 5, seed=2), A, B), lambda x, a, b: 2 * x + a @ b, beta=2),
    _exact("addbmm", (whole(3, 5, seed=2), A, B), lambda x, a, b: x + 2 * (a @ b).sum(0), alpha=2),
    *[
        case(
            "cdist",
            (draw(2, 3, 4), draw(5, 4, seed=1, high=1.83)),
            lambda a, b, p=p: _distance(a, b, p),
            p=p,
            ulps=24.0,
        )
        for p in (2.0, 1.0, 3.0, np.inf)
    ],
    case(
        "cdist",
        (draw(3, 4), draw(5, 4, seed=1)),
        lambda a, b: _distance(a, b, 2.0),
        kinks=((([[1.0, 2.0]], [[1.0, 2.0]]), ([[0, 0]], [[0, 0]])),),
        ulps=24.0,
    ),
    *[
        _exact("kron", (whole(*a), whole(*b, seed=1)), np.kron)
        for a, b in (((2, 3), (4, 2)), ((3,), (2, 2)), ((2, 1, 3), (2, 2)))
    ],
    *[
        _exact(
            "tensordot", (whole(2, 3, 4), whole(*b, seed=1)), lambda a, b, d=d: np.tensordot(a, b, d), dims=d
        )
        for b, d in (((3, 4, 5), 2), ((5, 3), ([1], [1])), ((4, 2, 3), ([0, 2], [1, 0])), ((5,), 0))
    ],
    _einsum("ij,jk->ik", (3, 4), (4, 5)),
    _einsum("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    _einsum("bhid,bhjd->bhij", (2, 3, 4, 5), (2, 3, 6, 5)),
    _einsum("ij,jk", (3, 4), (4, 2)),
    _einsum("ij->ji", (3, 4)),
    _einsum("ij->j", (3, 4)),
    _einsum("ii->i", (4, 4)),
    _einsum("ii", (4, 4)),
    _einsum("iji->j", (3, 4, 3)),
    _einsum("i,j->ij", (3,), (4,)),
    _einsum("i,i->", (5,), (5,)),
    _einsum("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
    _einsum("ij,jk,kl->lji", (2, 3), (3, 4), (4, 2)),
    _einsum("...ij,...jk->...ik", (2, 3, 4), (4, 5)),
    _einsum("...ij,...jk", (2, 1, 3, 4), (5, 4, 2)),
    _einsum("nchw,oc->nohw", (2, 3, 4, 5), (6, 3)),
    _einsum("abc,cde->abde", (2, 3, 4), (4, 2, 3)),
    _einsum("ab,cd->ca", (2, 3), (4, 2)),
    *[
        case(
            "einsum",
            (BIG, BIG[::-1]),
            lambda a, b: a @ b,
            function=lambda a, b: ops.einsum("ij,jk->ik", a, b),
            torch=False,
            differentiable=False,
        ),
        case("outer", (BIG[0], BIG[1]), np.outer, differentiable=False),
        case("dot", (BIG[0], BIG[1]), np.dot, differentiable=False),
        case("kron", (BIG, BIG), np.kron, differentiable=False),
    ],
]
