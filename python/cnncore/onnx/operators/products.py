# SPDX-License-Identifier: Apache-2.0
"""Products of matrices and tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import ops
from ..emitting import is_training
from ..graph import Node
from ..table import host, traced
from .one_hot import hot_places, rows_at

Array = Any


@traced("MatMul")
def matmul(node: Node, a: Any, b: Any) -> Any:
    places = hot_places(a)
    return ops.matmul(a, b) if places is None or b.ndim != 2 else rows_at(b, places)


@host("MatMul")
def host_matmul(node: Node, a: Array, b: Array) -> Array:
    return np.matmul(a, b)


@traced("Gemm")
def gemm(node: Node, a: Any, b: Any, c: Any = None) -> Any:
    alpha, beta = node.attr("alpha", 1.0), node.attr("beta", 1.0)
    if node.attr("transA", 0):
        a = ops.permute(a, (1, 0))
    plain = alpha == 1.0 and node.attr("transB", 0)
    if plain and c is not None and beta == 1.0 and tuple(c.shape) == (b.shape[0],):
        return ops.linear(a, b, c)
    if alpha == beta == 1.0 and c is not None and tuple(c.shape) == (b.shape[1],) and not is_training():
        return ops.linear(a, ops.permute(b, (1, 0)), c)
    product = ops.linear(a, b) if node.attr("transB", 0) else ops.matmul(a, b)
    if alpha != 1.0:
        product = product * alpha
    if c is None or beta == 0.0:
        return product
    return product + (c if beta == 1.0 else ops.mul(c, beta))


@host("Gemm")
def host_gemm(node: Node, a: Array, b: Array, c: Any = None) -> Array:
    a = a.T if node.attr("transA", 0) else a
    b = b.T if node.attr("transB", 0) else b
    product = (node.attr("alpha", 1.0) * (a @ b)).astype(a.dtype)
    return product if c is None else (product + node.attr("beta", 1.0) * c).astype(a.dtype)


@traced("Einsum")
def einsum(node: Node, *inputs: Any) -> Any:
    return ops.einsum(node.attr("equation"), *inputs)


@host("Einsum")
def host_einsum(node: Node, *inputs: Array) -> Array:
    return np.einsum(node.attr("equation"), *inputs)


@host("Det")
def det(node: Node, x: Array) -> Array:
    return np.linalg.det(x.astype(np.float64))
