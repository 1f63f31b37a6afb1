# SPDX-License-Identifier: Apache-2.0
"""Products of vectors, matrices and tensors: sums of products that lower to `matmul`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import prod as product
from typing import Any

import numpy as np

from ..graph.dispatch import operator
from ..graph.dtype import is_float
from ..graph.tensor import Tensor
from ..graph.trace import as_tensor, dtype_error, shape_error
from .arithmetic import add, mul
from .build import cast, elementwise, expand_to, permute_to, reduce, reshape_to, window
from .check import as_float, float_tensor, integer, integers, one_dim, order_of_norm, real, require_rank
from .gather import take_axis
from .linear import matmul
from .statistics import length

__all__ = [
    "addbmm",
    "addmm",
    "addmv",
    "baddbmm",
    "bmm",
    "cdist",
    "dot",
    "einsum",
    "inner",
    "kron",
    "mm",
    "mv",
    "outer",
    "pdist",
    "tensordot",
]


def _ranked(op: str, **tensors: tuple[Any, int]) -> list[Tensor]:
    found = []
    for name, (value, rank) in tensors.items():
        tensor = as_tensor(value, op)
        require_rank(tensor, rank, op, name)
        found.append(tensor)
    return found


@operator("input", "vec2")
def outer(input: Any, vec2: Any) -> Tensor:
    """Return the products (n, m) of each element of a vector (n,) with each of another (m,).

    Raises:
        ValueError: something else than two vectors.

    >>> from cnncore import ops
    >>> ops.outer([1, 2], [3, 4, 5]).tolist()
    [[3, 4, 5], [6, 8, 10]]
    """
    a, b = _ranked("outer", input=(input, 1), vec2=(vec2, 1))
    products: Tensor = mul(reshape_to(a, (a.size, 1)), b)
    return products


@operator("input", "tensor")
def dot(input: Any, tensor: Any) -> Tensor:
    """Return the sum of the products of two vectors' elements.

    Raises:
        ValueError: vectors of different lengths.

    >>> from cnncore import ops
    >>> ops.dot([1, 2], [3, 4]).item()
    11
    """
    a, b = _ranked("dot", input=(input, 1), tensor=(tensor, 1))
    if a.shape != b.shape:
        raise shape_error("dot", f"expected vectors of one length, got {a.shape} and {b.shape}")
    products: Tensor = mul(a, b)
    return cast(reduce("sum", products, (0,)), products.dtype)


@operator("input", "other")
def inner(input: Any, other: Any) -> Tensor:
    """Return the sums of products over the last axes of both, for each pair of rows.

    Raises:
        ValueError: last axes of different extents.

    >>> from cnncore import ops
    >>> ops.inner([[1.0, 2.0]], [[3.0, 4.0], [5.0, 6.0]]).tolist()
    [[11.0, 17.0]]
    """
    a, b = as_tensor(input, "inner"), as_tensor(other, "inner")
    if a.ndim == 0 or b.ndim == 0:
        products: Tensor = mul(a, b)
        return products
    contracted: Tensor = tensordot(a, b, ([-1], [-1]))
    return contracted


@operator("input", "vec")
def mv(input: Any, vec: Any) -> Tensor:
    """Return the product of a matrix (n, m) and a vector (m,).

    Raises:
        ValueError: other axes than named, or shapes that cannot be multiplied.

    >>> from cnncore import ops
    >>> ops.mv([[1.0, 2.0]], [3.0, 4.0]).tolist()
    [11.0]
    """
    result: Tensor = matmul(*_ranked("mv", input=(input, 2), vec=(vec, 1)))
    return result


@operator("input", "mat2")
def mm(input: Any, mat2: Any) -> Tensor:
    """Return the product of two matrices (n, m) and (m, p).

    Raises:
        ValueError: other axes than named, or shapes that cannot be multiplied.

    >>> from cnncore import ops
    >>> ops.mm([[1.0, 2.0]], [[3.0], [4.0]]).tolist()
    [[11.0]]
    """
    result: Tensor = matmul(*_ranked("mm", input=(input, 2), mat2=(mat2, 2)))
    return result


@operator("input", "mat2")
def bmm(input: Any, mat2: Any) -> Tensor:
    """Return the products of matrices (batch, n, m) and (batch, m, p), pair by pair.

    Raises:
        ValueError: not as many matrices on both sides, or shapes that cannot be multiplied.

    >>> from cnncore import ops
    >>> ops.bmm([[[1.0, 2.0]]], [[[3.0], [4.0]]]).tolist()
    [[[11.0]]]
    """
    a, b = _ranked("bmm", input=(input, 3), mat2=(mat2, 3))
    if a.shape[0] != b.shape[0]:
        raise shape_error("bmm", f"expected as many matrices on both sides, got {a.shape} and {b.shape}")
    result: Tensor = matmul(a, b)
    return result


def _plus(op: str, input: Any, made: Tensor, beta: Any, alpha: Any) -> Tensor:
    """Return beta input + alpha made; an input with the factor 0 does not count, even NaN."""
    factor, scale = real(beta, "beta", op), real(alpha, "alpha", op)
    given = as_tensor(input, op)
    if not is_float(given.dtype) and not is_float(made.dtype):
        total: Tensor = add(mul(given, integer(beta, "beta", op)), mul(made, integer(alpha, "alpha", op)))
        return total
    x, made = as_float(given), as_float(made)
    if scale != 1:
        made = elementwise("mul_scalar", made, alpha=scale)
    if factor == 0:
        return made
    if factor != 1:
        x = elementwise("mul_scalar", x, alpha=factor)
    y = elementwise("add", x, made)
    if y.shape != made.shape:
        raise shape_error(op, f"expected input that is broadcast to {made.shape}, got {x.shape}")
    return y


@operator("input", "mat1", "mat2")
def addmm(input: Any, mat1: Any, mat2: Any, beta: float = 1, alpha: float = 1) -> Tensor:
    """Return beta input + alpha mat1 @ mat2, of matrices.

    Raises:
        ValueError: other axes than named, or shapes that cannot be multiplied.

    >>> from cnncore import ops
    >>> ops.addmm([1.0], [[1.0, 2.0]], [[3.0], [4.0]]).tolist()
    [[12.0]]
    """
    return _plus("addmm", input, mm(mat1, mat2), beta, alpha)


@operator("input", "mat", "vec")
def addmv(input: Any, mat: Any, vec: Any, beta: float = 1, alpha: float = 1) -> Tensor:
    """Return beta input + alpha mat @ vec.

    Raises:
        ValueError: other axes than named, or shapes that cannot be multiplied.

    >>> from cnncore import ops
    >>> ops.addmv([1.0], [[1.0, 2.0]], [3.0, 4.0]).tolist()
    [12.0]
    """
    return _plus("addmv", input, mv(mat, vec), beta, alpha)


@operator("input", "batch1", "batch2")
def baddbmm(input: Any, batch1: Any, batch2: Any, beta: float = 1, alpha: float = 1) -> Tensor:
    """Return beta input + alpha batch1 @ batch2, of batches of matrices.

    Raises:
        ValueError: other axes than named, or shapes that cannot be multiplied.

    >>> from cnncore import ops
    >>> ops.baddbmm([1.0], [[[1.0, 2.0]]], [[[3.0], [4.0]]]).tolist()
    [[[12.0]]]
    """
    return _plus("baddbmm", input, bmm(batch1, batch2), beta, alpha)


@operator("input", "batch1", "batch2")
def addbmm(input: Any, batch1: Any, batch2: Any, beta: float = 1, alpha: float = 1) -> Tensor:
    """Return beta input + alpha times the sum of batch1 @ batch2 over the batch.

    Raises:
        ValueError: other axes than named, or shapes that cannot be multiplied.

    >>> from cnncore import ops
    >>> ops.addbmm([1.0], [[[1.0, 2.0]]], [[[3.0], [4.0]]]).tolist()
    [[12.0]]
    """
    made: Tensor = bmm(batch1, batch2)
    return _plus("addbmm", input, cast(reduce("sum", made, (0,)), made.dtype), beta, alpha)


@operator("x1", "x2")
def cdist(
    x1: Any, x2: Any, p: float = 2.0, compute_mode: str = "use_mm_for_euclid_dist_if_necessary"
) -> Tensor:
    """Return the p-norm distance of each row of `x1` from each of `x2`.

    Args:
        x1: (..., n, features).
        x2: (..., m, features).
        p: 0 or more, or infinity.
        compute_mode: accepted; products of matrices are never used.

    Returns:
        (..., n, m). Distances are taken from differences, not from products, and lose no digits; the gradient
        of a distance 0 is 0.

    Raises:
        ValueError: rows of different lengths.

    >>> from cnncore import ops
    >>> ops.cdist([[0.0, 0.0]], [[3.0, 4.0]]).tolist()
    [[5.0]]
    """
    a, b = float_tensor(x1, "cdist"), float_tensor(x2, "cdist")
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-1]:
        raise shape_error("cdist", f"expected rows of one length, got {a.shape} and {b.shape}")
    order = order_of_norm(p, "cdist", 0)
    a = reshape_to(a, (*a.shape[:-1], 1, a.shape[-1]))
    b = reshape_to(b, (*b.shape[:-2], 1, *b.shape[-2:]))
    apart = elementwise("sub", a, b)
    return length(apart, order, (apart.ndim - 1,))


@operator("input")
def pdist(input: Any, p: float = 2.0) -> Tensor:
    """Return the p-norm distances of all pairs of rows, each pair once.

    Args:
        input: (rows, features).
        p: 0 or more, or infinity.

    Returns:
        (rows (rows - 1) / 2,): of rows 0 and 1, 0 and 2, ..., 1 and 2, ... The gradient of a distance 0 is 0.

    Raises:
        ValueError: fewer than two rows.

    >>> from cnncore import ops
    >>> ops.pdist([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]]).round(4).tolist()
    [5.0, 1.0, 4.242599964141846]
    """
    x, order = float_tensor(input, "pdist"), order_of_norm(p, "pdist", 0)
    require_rank(x, 2, "pdist")
    if x.shape[0] < 2:
        raise shape_error("pdist", f"expected at least two rows, got {x.shape}")
    firsts, seconds = (as_tensor(places) for places in np.triu_indices(x.shape[0], 1))
    return length(elementwise("sub", take_axis(x, firsts, 0), take_axis(x, seconds, 0)), order, (1,))


@operator("input", "other")
def kron(input: Any, other: Any) -> Tensor:
    """Return the Kronecker product: each element of the input times the whole of `other`, in its place.

    >>> from cnncore import ops
    >>> ops.kron([1, 2], [1, 10]).tolist()
    [1, 10, 2, 20]
    """
    a, b = as_tensor(input, "kron"), as_tensor(other, "kron")
    rank = max(a.ndim, b.ndim)
    left = (1,) * (rank - a.ndim) + a.shape
    right = (1,) * (rank - b.ndim) + b.shape
    products = mul(
        reshape_to(a, tuple(n for extent in left for n in (extent, 1))),
        reshape_to(b, tuple(n for extent in right for n in (1, extent))),
    )
    return reshape_to(products, tuple(n * m for n, m in zip(left, right, strict=True)))


@operator("a", "b")
def tensordot(a: Any, b: Any, dims: Any = 2) -> Tensor:
    """Return the sums of products over pairs of axes.

    Args:
        a: tensor.
        b: tensor.
        dims: how many of a's last and b's first axes, or (axes of a, axes of b); an axis of extent 1 is
            broadcast.

    Returns:
        The other axes of a, then those of b.

    Raises:
        ValueError: axes of different extents.

    >>> from cnncore import ops
    >>> ops.tensordot([[1.0, 2.0]], [[3.0], [4.0]], 1).tolist()
    [[11.0]]
    """
    x, y = as_tensor(a, "tensordot"), as_tensor(b, "tensordot")
    if isinstance(dims, Sequence):
        if len(dims) != 2:
            raise shape_error("tensordot", f"expected dims as a number or (axes, axes), got {dims!r}")
        of_x, of_y = (
            [one_dim(d, t.ndim, "tensordot") for d in (axes if isinstance(axes, Sequence) else [axes])]
            for axes, t in zip(dims, (x, y), strict=True)
        )
    else:
        (count,) = integers(dims, 1, "dims", "tensordot", least=0)
        if count > min(x.ndim, y.ndim):
            raise shape_error("tensordot", f"expected dims of at most the axes of {x.shape} and {y.shape}")
        of_x, of_y = list(range(x.ndim - count, x.ndim)), list(range(count))
    extents = [(x.shape[i], y.shape[j]) for i, j in zip(of_x, of_y, strict=False)]
    if len(of_x) != len(of_y) or any(n != m and 1 not in (n, m) for n, m in extents):
        raise shape_error("tensordot", f"axes {of_x} of {x.shape} do not go with {of_y} of {y.shape}")
    names = {i: ("sum", k) for k, i in enumerate(of_x)}
    left = [names.get(i, ("a", i)) for i in range(x.ndim)]
    names = {i: ("sum", k) for k, i in enumerate(of_y)}
    right = [names.get(i, ("b", i)) for i in range(y.ndim)]
    kept = [label for label in (*left, *right) if label[0] != "sum"]
    return _contract(x, left, y, right, kept)


# -- contractions: each axis has a label, equal labels are the same axis --------------------------------

Label = Any


def _sum_out(x: Tensor, labels: list[Label], kept: Collection[Label]) -> tuple[Tensor, list[Label]]:
    """Add up the axes whose labels nobody else needs."""
    axes = tuple(i for i, label in enumerate(labels) if label not in kept)
    return (reduce("sum", x, axes) if axes else x), [label for label in labels if label in kept]


def _arranged(
    x: Tensor, labels: list[Label], groups: Sequence[Sequence[Label]], extents: dict[Label, int]
) -> Tensor:
    """Return x with each group of labels as one axis; axes of extent 1 are broadcast."""
    order = [label for group in groups for label in group]
    x = permute_to(x, tuple(labels.index(label) for label in order))
    x = expand_to(x, tuple(extents[label] for label in order))
    return reshape_to(x, tuple(product(extents[label] for label in group) for group in groups))


def _contract(a: Tensor, left: list[Label], b: Tensor, right: list[Label], kept: Sequence[Label]) -> Tensor:
    """Return the sums of products over labels that are not kept, its axes in the order of `kept`."""
    a, left = _sum_out(a, left, {*right, *kept})
    b, right = _sum_out(b, right, {*left, *kept})
    extents = dict(zip(right, b.shape, strict=True))
    extents.update((label, n) for label, n in zip(left, a.shape, strict=True) if extents.get(label, 1) == 1)
    shared = [label for label in left if label in right]
    batch = [label for label in shared if label in kept]
    summed = [label for label in shared if label not in kept]
    rows = [label for label in left if label not in right]
    columns = [label for label in right if label not in left]
    order = [*batch, *rows, *columns]
    x = _arranged(a, left, (batch, rows, summed), extents)
    y = _arranged(b, right, (batch, summed, columns), extents)
    made: Tensor = matmul(x, y) if summed else mul(x, y)
    made = reshape_to(made, tuple(extents[label] for label in order))
    return permute_to(made, tuple(order.index(label) for label in kept))


def _diagonals(x: Tensor, labels: list[Label]) -> tuple[Tensor, list[Label]]:
    """Return x with axes of one label as one axis, the elements whose indices there are equal."""
    while len(set(labels)) != len(labels):
        label = next(label for label in labels if labels.count(label) > 1)
        first = labels.index(label)
        second = labels.index(label, first + 1)
        rest = [i for i in range(x.ndim) if i not in (first, second)]
        n = x.shape[first]
        x = permute_to(x, (*rest, first, second))
        x = reshape_to(x, (*x.shape[:-2], n * n))
        starts, steps = (0,) * x.ndim, (*(1,) * (x.ndim - 1), n + 1)
        x = window(x, starts, steps, (*x.shape[:-1], n))
        labels = [*(labels[i] for i in rest), label]
    return x, labels


def _labels(equation: str, tensors: Sequence[Tensor]) -> tuple[list[list[Label]], list[Label]]:
    """Return the labels of each operand's axes and of the result's."""
    text = equation.replace(" ", "")
    inputs, arrow, output = text.partition("->")
    terms = inputs.split(",")
    if len(terms) != len(tensors):
        raise shape_error("einsum", f"expected {len(terms)} operands for {equation!r}, got {len(tensors)}")
    found = [_expanded(term, tensor, equation) for term, tensor in zip(terms, tensors, strict=True)]
    dots = max((label[1] for labels in found for label in labels if isinstance(label, tuple)), default=0)
    ellipsis: list[Label] = [("...", i) for i in range(dots, 0, -1)]
    if arrow:
        head, has_dots, tail = output.partition("...")
        kept: list[Label] = [*head, *(ellipsis if has_dots else []), *tail]
    else:
        letters = [label for labels in found for label in labels if isinstance(label, str)]
        kept = [*ellipsis, *sorted(label for label in set(letters) if letters.count(label) == 1)]
    known = {label for labels in found for label in labels}
    if len(set(kept)) != len(kept) or not set(kept) <= known:
        raise shape_error("einsum", f"expected different axes of the operands in the result of {equation!r}")
    return found, kept


def _expanded(term: str, tensor: Tensor, equation: str) -> list[Label]:
    head, dots, tail = term.partition("...")
    if not (head + tail).isalpha() and head + tail:
        raise shape_error("einsum", f"expected letters for axes, got {term!r} in {equation!r}")
    hidden = tensor.ndim - len(head) - len(tail)
    if hidden < 0 or (hidden and not dots):
        raise shape_error(
            "einsum", f"{term!r} in {equation!r} does not name the axes of shape {tensor.shape}"
        )
    return [*head, *(("...", i) for i in range(hidden, 0, -1)), *tail]


def _extents_agree(found: Sequence[list[Label]], tensors: Sequence[Tensor], equation: str) -> None:
    known: dict[Label, int] = {}
    for labels, tensor in zip(found, tensors, strict=True):
        for label, extent in zip(labels, tensor.shape, strict=True):
            before = known.setdefault(label, extent)
            if 1 not in (extent, before) and extent != before:
                raise shape_error(
                    "einsum", f"axis {label!r} of {equation!r} has extents {before} and {extent}"
                )
            known[label] = max(before, extent)


def einsum(equation: str, *operands: Any) -> Any:
    """Return sums of products as the equation says: equal letters are one axis, missing ones are summed over.

    Args:
        equation: such as "bij,bjk->bik"; "..." stands for leading axes, which are broadcast. Without "->" the
            result has the letters that occur once, in alphabetical order.
        operands: tensors, contracted from left to right, each pair by `matmul`.

    Raises:
        TypeError: the equation is no str.
        ValueError: an equation that does not go with the shapes.

    >>> from cnncore import ops
    >>> ops.einsum("ij,jk->ik", [[1.0, 2.0]], [[3.0], [4.0]]).tolist()
    [[11.0]]
    """
    if not isinstance(equation, str):
        raise dtype_error("einsum", f"expected an equation such as 'ij,jk->ik', got {equation!r}")
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    return _einsum([np.asarray(x) if isinstance(x, (list, tuple)) else x for x in operands], equation)


@operator("tensors")
def _einsum(tensors: Sequence[Any], equation: str) -> Tensor:
    given = [as_tensor(tensor, "einsum") for tensor in tensors]
    found, kept = _labels(equation, given)
    _extents_agree(found, given, equation)
    pairs = [_diagonals(x, labels) for x, labels in zip(given, found, strict=True)]
    x, labels = pairs[0]
    for i, (y, right) in enumerate(pairs[1:], 2):
        later = {label for _, others in pairs[i:] for label in others}
        needed = [label for label in dict.fromkeys((*labels, *right)) if label in later or label in kept]
        if i == len(pairs):
            needed = kept
        x = _contract(x, labels, y, right, needed)
        labels = needed
    x, labels = _sum_out(x, labels, kept)
    return permute_to(x, tuple(labels.index(label) for label in kept))
