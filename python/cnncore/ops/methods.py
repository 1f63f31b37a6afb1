# SPDX-License-Identifier: Apache-2.0
"""Operators and methods of symbolic tensors and of parameters, one definition for both."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from math import prod
from typing import TYPE_CHECKING, Any

from ..graph.dispatch import operator as dispatch_operator
from ..graph.hints import missing
from ..graph.tensor import Tensor
from ..graph.trace import as_tensor, is_stored, is_tracing, map_tree
from . import (
    activation,
    arithmetic,
    arrange,
    blend,
    comparison,
    cumulative,
    elementary,
    indexing,
    linalg,
    parts,
    rearrange,
    reduce,
    rounding,
    shape,
    sort,
    statistics,
)
from .conversions import Conversions
from .linear import matmul
from .numpy_names import apply_function, apply_ufunc
from .softmax import log_softmax, softmax

Binary = Callable[[Any, Any], Any]


def _operator(function: Binary, plain: Binary) -> tuple[Binary, Binary]:
    """Return an operator and its reflection: an operation on tensors and in a traced function, numpy's on a
    parameter's values otherwise."""

    def apply(self: Any, other: Any) -> Any:
        if other is None or isinstance(other, str):
            return NotImplemented
        return function(self, other) if _symbolic(self) else plain(self.numpy(), _plain(other))

    def reflected(self: Any, other: Any) -> Any:
        if other is None or isinstance(other, str):
            return NotImplemented
        return function(other, self) if _symbolic(self) else plain(_plain(other), self.numpy())

    return apply, reflected


def _symbolic(value: Any) -> bool:
    return is_tracing() or isinstance(value, Tensor)


def _plain(value: Any) -> Any:
    return value.numpy() if is_stored(value) else value


def _reduction(name: str, dim: Any, keepdim: bool, given: dict[str, Any]) -> tuple[Any, bool]:
    """Return axes and keepdim of a reduction from torch's names or from those that `numpy.sum` passes on."""
    rest = {
        key: value for key, value in given.items() if key not in ("axis", "keepdims") and value is not None
    }
    if rest:
        raise TypeError(f"[{name}] expected dim (or axis) and keepdim (or keepdims), got {', '.join(rest)}")
    if given.get("axis") is not None and dim is not None:
        raise TypeError(f"[{name}] expected dim or axis, got both")
    return given.get("axis") if dim is None else dim, bool(keepdim or given.get("keepdims", False))


@dispatch_operator("input")
def _windows(input: Any, dimension: int, size: int, step: int) -> Tensor:
    return rearrange.unfold(input, dimension, size, step)


class Methods(Conversions):
    """What `Tensor` gets below and `nn.parameter.StoredArray` inherits.

    Comparisons are operations, too; as keys of dictionaries and sets, objects are told apart by identity.
    """

    ndim: int
    shape: tuple[int, ...]

    def numpy(self) -> Any:
        """Return the values; tensors have none."""
        raise NotImplementedError

    __add__, __radd__ = _operator(arithmetic.add, operator.add)
    __sub__, __rsub__ = _operator(arithmetic.sub, operator.sub)
    __mul__, __rmul__ = _operator(arithmetic.mul, operator.mul)
    __truediv__, __rtruediv__ = _operator(arithmetic.div, operator.truediv)
    __floordiv__, __rfloordiv__ = _operator(arithmetic.floor_divide, operator.floordiv)
    __mod__, __rmod__ = _operator(arithmetic.remainder, operator.mod)
    __pow__, __rpow__ = _operator(arithmetic.pow, operator.pow)
    __matmul__, __rmatmul__ = _operator(matmul, operator.matmul)
    __gt__ = _operator(comparison.greater, operator.gt)[0]
    __ge__ = _operator(comparison.greater_equal, operator.ge)[0]
    __lt__ = _operator(comparison.less, operator.lt)[0]
    __le__ = _operator(comparison.less_equal, operator.le)[0]
    __eq__ = _operator(comparison.equal, operator.eq)[0]
    __ne__ = _operator(comparison.not_equal, operator.ne)[0]
    __and__, __rand__ = _operator(comparison.bitwise_and, operator.and_)
    __or__, __ror__ = _operator(comparison.bitwise_or, operator.or_)
    __xor__, __rxor__ = _operator(comparison.bitwise_xor, operator.xor)
    __hash__ = object.__hash__

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """Apply numpy's exp, add, maximum, ... as operations; outside traced code on a parameter's values."""
        if is_tracing():
            return apply_ufunc(ufunc, method, inputs, options)
        if any(is_stored(array) for array in options.get("out", ())):
            raise TypeError("a parameter is not written in place: parameter.assign(parameter + x)")
        return getattr(ufunc, method)(*map(_plain, inputs), **options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        """Apply numpy's sum, concatenate, where, ... likewise."""
        if is_tracing():
            return apply_function(function, args, options)
        return function(*map_tree(_plain, args), **map_tree(_plain, options))

    if not TYPE_CHECKING:  # type checkers shall tell names that do not exist

        def __getattr__(self, name: str) -> Any:
            kind = "tensor" if isinstance(self, Tensor) else "parameter"
            raise missing(kind, type(self).__name__, name)

    def __neg__(self) -> Any:
        return arithmetic.neg(self) if _symbolic(self) else -self.numpy()

    def __abs__(self) -> Any:
        return arithmetic.abs(self) if _symbolic(self) else abs(self.numpy())

    def __invert__(self) -> Any:
        return comparison.bitwise_not(self) if _symbolic(self) else ~self.numpy()

    def __getitem__(self, index: Any) -> Any:
        if not _symbolic(self):
            return self.numpy()[index]
        if indexing.is_advanced(index):
            return indexing.advanced_index(as_tensor(self, "slice"), index)
        return parts.slice(self, index)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a tensor without axes has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    # -- methods --------------------------------------------------------------------------------

    def dim(self) -> int:
        """Return the number of axes."""
        return self.ndim

    def numel(self) -> int:
        """Return the number of elements."""
        return prod(self.shape)

    @property
    def T(self) -> Any:  # noqa: N802  (numpy's name)
        return shape.permute(self, tuple(range(self.ndim))[::-1])

    def reshape(self, *sizes: Any) -> Any:
        return shape.reshape(self, sizes[0] if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes)

    view = reshape

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Any:
        return shape.flatten(self, start_dim, end_dim)

    def unflatten(self, dim: int, sizes: Any) -> Any:
        return shape.unflatten(self, dim, sizes)

    def permute(self, *dims: Any) -> Any:
        return shape.permute(self, dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims)

    def transpose(self, dim0: int, dim1: int) -> Any:
        return shape.transpose(self, dim0, dim1)

    def sum(self, dim: Any = None, keepdim: bool = False, **numpy: Any) -> Any:
        return reduce.sum(self, *_reduction("sum", dim, keepdim, numpy))

    def mean(self, dim: Any = None, keepdim: bool = False, **numpy: Any) -> Any:
        return reduce.mean(self, *_reduction("mean", dim, keepdim, numpy))

    def max(self, dim: Any = None, keepdim: bool = False, **numpy: Any) -> Any:
        if numpy:  # numpy.max gives values alone, torch's max along `dim` (values, indices)
            return sort.amax(self, *_reduction("max", dim, keepdim, numpy))
        return sort.max(self, dim, keepdim)

    def min(self, dim: Any = None, keepdim: bool = False, **numpy: Any) -> Any:
        if numpy:  # numpy.min gives values alone, torch's min along `dim` (values, indices)
            return sort.amin(self, *_reduction("min", dim, keepdim, numpy))
        return sort.min(self, dim, keepdim)

    def amax(self, dim: Any = None, keepdim: bool = False) -> Any:
        return sort.amax(self, dim, keepdim)

    def amin(self, dim: Any = None, keepdim: bool = False) -> Any:
        return sort.amin(self, dim, keepdim)

    def argmin(self, dim: Any = None, keepdim: bool = False, **numpy: Any) -> Any:
        return sort.argmin(self, *_reduction("argmin", dim, keepdim, numpy))

    def median(self, dim: Any = None, keepdim: bool = False) -> Any:
        return sort.median(self, dim, keepdim)

    def mode(self, dim: int = -1, keepdim: bool = False) -> Any:
        return sort.mode(self, dim, keepdim)

    def sort(self, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
        return sort.sort(self, dim, descending, stable)

    def argsort(self, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
        return sort.argsort(self, dim, descending, stable)

    def topk(self, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
        return sort.topk(self, k, dim, largest, sorted)

    def kthvalue(self, k: int, dim: int = -1, keepdim: bool = False) -> Any:
        return sort.kthvalue(self, k, dim, keepdim)

    def cummax(self, dim: int) -> Any:
        return sort.cummax(self, dim)

    def cummin(self, dim: int) -> Any:
        return sort.cummin(self, dim)

    def argmax(self, dim: Any = None, keepdim: bool = False, **numpy: Any) -> Any:
        return sort.argmax(self, *_reduction("argmax", dim, keepdim, numpy))

    def split(self, split_size: Any, dim: int = 0) -> Any:
        return arrange.split(self, split_size, dim)

    def chunk(self, chunks: int, dim: int = 0) -> Any:
        return arrange.chunk(self, chunks, dim)

    def unbind(self, dim: int = 0) -> Any:
        return arrange.unbind(self, dim)

    def squeeze(self, dim: Any = None) -> Any:
        return arrange.squeeze(self, dim)

    def unsqueeze(self, dim: int) -> Any:
        return arrange.unsqueeze(self, dim)

    def movedim(self, source: Any, destination: Any) -> Any:
        return arrange.movedim(self, source, destination)

    def swapaxes(self, axis0: int, axis1: int) -> Any:
        return arrange.swapaxes(self, axis0, axis1)

    def expand(self, *sizes: Any) -> Any:
        return arrange.expand(self, sizes if not sizes or isinstance(sizes[0], int) else sizes[0])

    def repeat(self, *repeats: Any) -> Any:
        return arrange.repeat(self, repeats if not repeats or isinstance(repeats[0], int) else repeats[0])

    def tile(self, *dims: Any) -> Any:
        return arrange.tile(self, dims if not dims or isinstance(dims[0], int) else dims[0])

    def flip(self, *dims: Any) -> Any:
        return arrange.flip(self, dims if not dims or isinstance(dims[0], int) else dims[0])

    def roll(self, shifts: Any, dims: Any = None) -> Any:
        return arrange.roll(self, shifts, dims)

    def prod(self, dim: Any = None, keepdim: bool = False, **numpy: Any) -> Any:
        return reduce.prod(self, *_reduction("prod", dim, keepdim, numpy))

    def any(self, dim: Any = None, keepdim: bool = False, **numpy: Any) -> Any:
        return reduce.any(self, *_reduction("any", dim, keepdim, numpy))

    def all(self, dim: Any = None, keepdim: bool = False, **numpy: Any) -> Any:
        return reduce.all(self, *_reduction("all", dim, keepdim, numpy))

    def relu(self) -> Any:
        return activation.relu(self)

    def sigmoid(self) -> Any:
        return activation.sigmoid(self)

    def tanh(self) -> Any:
        return activation.tanh(self)

    def t(self) -> Any:
        """Return the transposed matrix; vectors stay as they are."""
        return shape.permute(self, tuple(range(self.ndim))[::-1])

    @property
    def mT(self) -> Any:  # noqa: N802  (torch's name)
        return shape.transpose(self, -2, -1)

    def view_as(self, other: Any) -> Any:
        return shape.reshape(self, other.shape)

    reshape_as = view_as

    def broadcast_to(self, *size: Any) -> Any:
        return rearrange.broadcast_to(self, size if not size or isinstance(size[0], int) else size[0])

    def unfold(self, dimension: int, size: int, step: int) -> Any:
        return _windows(self, dimension, size, step)

    def softmax(self, dim: int = -1, dtype: Any = None) -> Any:
        return softmax(self, dim, dtype)

    def log_softmax(self, dim: int = -1, dtype: Any = None) -> Any:
        return log_softmax(self, dim, dtype)

    def matmul(self, other: Any) -> Any:
        return matmul(self, other)

    def ravel(self) -> Any:
        """Return the elements in C order."""
        return shape.reshape(self, (-1,))

    # Functions whose first argument is the tensor, under their own names.
    abs = arithmetic.abs
    add = arithmetic.add
    div = arithmetic.div
    exp = arithmetic.exp
    floor_divide = arithmetic.floor_divide
    log = arithmetic.log
    maximum = arithmetic.maximum
    minimum = arithmetic.minimum
    mul = arithmetic.mul
    neg = arithmetic.neg
    pow = arithmetic.pow
    remainder = arithmetic.remainder
    sqrt = arithmetic.sqrt
    square = arithmetic.square
    sub = arithmetic.sub
    addcdiv = blend.addcdiv
    addcmul = blend.addcmul
    lerp = blend.lerp
    bitwise_and = comparison.bitwise_and
    bitwise_not = comparison.bitwise_not
    bitwise_or = comparison.bitwise_or
    bitwise_xor = comparison.bitwise_xor
    greater = comparison.greater
    greater_equal = comparison.greater_equal
    isclose = comparison.isclose
    isfinite = comparison.isfinite
    isinf = comparison.isinf
    isnan = comparison.isnan
    less = comparison.less
    less_equal = comparison.less_equal
    logical_and = comparison.logical_and
    logical_not = comparison.logical_not
    logical_or = comparison.logical_or
    logical_xor = comparison.logical_xor
    not_equal = comparison.not_equal
    cumprod = cumulative.cumprod
    cumsum = cumulative.cumsum
    diff = cumulative.diff
    acos = elementary.acos
    asin = elementary.asin
    atan = elementary.atan
    atan2 = elementary.atan2
    cos = elementary.cos
    cosh = elementary.cosh
    erf = elementary.erf
    erfc = elementary.erfc
    exp2 = elementary.exp2
    expm1 = elementary.expm1
    hypot = elementary.hypot
    log10 = elementary.log10
    log1p = elementary.log1p
    log2 = elementary.log2
    reciprocal = elementary.reciprocal
    rsqrt = elementary.rsqrt
    sin = elementary.sin
    sinh = elementary.sinh
    tan = elementary.tan
    bincount = indexing.bincount
    gather = indexing.gather
    index_add = indexing.index_add
    index_select = indexing.index_select
    masked_fill = indexing.masked_fill
    masked_select = indexing.masked_select
    scatter = indexing.scatter
    scatter_add = indexing.scatter_add
    take_along_dim = indexing.take_along_dim
    addbmm = linalg.addbmm
    addmm = linalg.addmm
    addmv = linalg.addmv
    baddbmm = linalg.baddbmm
    bmm = linalg.bmm
    dot = linalg.dot
    inner = linalg.inner
    kron = linalg.kron
    mm = linalg.mm
    mv = linalg.mv
    outer = linalg.outer
    diagonal = rearrange.diagonal
    expand_as = rearrange.expand_as
    fliplr = rearrange.fliplr
    flipud = rearrange.flipud
    narrow = rearrange.narrow
    repeat_interleave = rearrange.repeat_interleave
    rot90 = rearrange.rot90
    swapdims = rearrange.swapdims
    tril = rearrange.tril
    triu = rearrange.triu
    ceil = rounding.ceil
    clamp = rounding.clamp
    clip = rounding.clip
    floor = rounding.floor
    frac = rounding.frac
    nan_to_num = rounding.nan_to_num
    round = rounding.round
    sign = rounding.sign
    trunc = rounding.trunc
    aminmax = statistics.aminmax
    logsumexp = statistics.logsumexp
    norm = statistics.norm
    std = statistics.std
    var = statistics.var
    count_nonzero = reduce.count_nonzero
    gt = comparison.greater
    ge = comparison.greater_equal
    lt = comparison.less
    le = comparison.less_equal
    eq = comparison.equal
    ne = comparison.not_equal


for _name, _method in (*vars(Conversions).items(), *vars(Methods).items()):
    if (callable(_method) or isinstance(_method, property)) and _name != "numpy":
        setattr(Tensor, _name, _method)
