# SPDX-License-Identifier: Apache-2.0
"""PyTorch's own samples of its functions (OpInfo) on the functions of the same names.

Values by float32, integer and boolean samples, gradients by torch's float64 autograd. `COVERED` is what has a
counterpart; `ABSENT` says of every other entry why it has none, `EXCEPTIONS` of single samples why they raise
or are not compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import ops
from cnncore.ops.methods import Methods

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest", reason="torch's samples need it")

from torch_samples import (  # noqa: E402
    assert_agrees,
    copied,
    evenly,
    factors,
    flat,
    for_us,
    is_tensor,
    leaves,
    mapped,
    seed,
    torch_gradients,
    value_of,
    wide,
)

op_db = pytest.importorskip("torch.testing._internal.common_methods_invocations").op_db

INTEGERS = (torch.int64, torch.int32, torch.uint8, torch.bool)

FLOATS, OTHERS = 6, 2
"""Samples of an entry that are taken: of float32, and of each of the other dtypes."""

PAGE = Path(__file__).parent.parent / "docs" / "differences-from-torch.md"

CALLS: dict[str, Callable[..., Any]] = {
    # torch's gradient holds behind log_softmax (docs/differences-from-torch.md)
    "nn.functional.ctc_loss": lambda x, *args, **rest: ops.ctc_loss(ops.log_softmax(x, 2), *args, **rest),
    # samples are (operands, equation)
    "einsum": lambda operands, equation: ops.einsum(equation, *operands),
    # samples are (input, condition, other)
    "where": lambda x, condition, other: ops.where(condition, x, other),
    # the method; `ops.unfold` is nn.functional's
    "unfold": Methods.unfold,
    "nn.functional.unfold": ops.unfold,
    # samples are (weight, index)
    "nn.functional.embedding": lambda weight, index, **rest: ops.embedding(index, weight, **rest),
    "nn.functional.embedding_bag": lambda weight, index, **rest: ops.embedding_bag(index, weight, **rest),
    # torch's own distance functions come as arguments
    "nn.functional.triplet_margin_with_distance_loss": lambda *args, distance_function=None, **rest: (
        ops.triplet_margin_with_distance_loss(
            *args, distance_function=distance_function and ops.pairwise_distance, **rest
        )
    ),
}

NOT_THE_SAME = ("equal", "slice", "masked_select")
"""Entries that share a name with something else (`ABSENT` says with what)."""


def counterpart(name: str) -> Callable[..., Any] | None:
    """Return our function for an entry."""
    if name in NOT_THE_SAME:
        return None
    if name in CALLS:
        return CALLS[name]
    last = name.removeprefix("nn.functional.")
    return getattr(ops, last) if last in ops.__all__ else None


ABSENT = {
    "complex numbers": r"angle|conj.*|resolve_.*|imag|real|isreal|view_as_.*|complex|polar|H|mH|cfloat|"
    r"cdouble|chalf|sgn|vdot",
    "Fourier transforms": r"fft\..*|stft|istft",
    "decompositions, inverses and solvers of matrices": r"linalg\..*|cholesky.*|lu|lu_.*|qr|geqrf|ormqr|"
    r"svd.*|pca_lowrank|triangular_solve|pinverse|matrix_exp|logdet",
    "special functions and windows": r"special\..*|signal\..*|i0|igammac?|mvlgamma|polygamma|digamma|lgamma|"
    r"erfinv",
    "masked and sparse tensors": r"masked\..*|sparse\..*|to_sparse|masked_scatter",
    "torch's own operators, not functions of its users": r"_.*|torch\..*|native_.*|jiterator_.*|.*_copy|"
    r"unsafe_.*|as_strided.*|constant_pad_nd|max_pool2d_with_indices_backward|hash_tensor|new_.*|empty.*|"
    r"resize_.*|grid_sampler_.d|slice|nonzero_static",
    "functions without tensors, or of one of torch's number types": r"broadcast_shapes|item|bfloat16|bool|"
    r"byte|char|double|float|half|int|long|short|to|scalar_tensor|nextafter|frexp|ldexp",
    "random numbers": r"cauchy|exponential|geometric|log_normal|normal|uniform|randn?|randn_like|rand_like|"
    r"randint.*|multinomial|bernoulli",
    "writing in place": r"fill|zero_|put|index_put",
    "shapes do not depend on values: refused or not there (docs/differences-from-torch.md)": r"masked_select|"
    r"nonzero|argwhere|unique.*|combinations|histogram.*|nn\.functional\.upsample_.*",
    "`ops.equal` compares elements, as numpy's, and not whole tensors": r"equal|allclose",
    "methods and operators of tensors, which are the functions compared here": r"__.*__|T|mT|t|view|view_as|"
    r"reshape_as|contiguous|clone|rsub|true_divide|positive|ravel|select|float_power",
    "not part of convolutional networks; numpy has it": r"acosh|asinh|atanh|clamp_max|clamp_min|addr|"
    r"broadcast_tensors|block_diag|bitwise_.*_shift|cartesian_prod|sum_to_size|copysign|corrcoef|cov|cross|"
    r"deg2rad|rad2deg|diag|diag_embed|diagflat|.*_scatter|fmax|fmin|fmod|gradient|isin|logspace|logaddexp2?|"
    r"nanmedian|meshgrid|n?a?n?quantile|heaviside|lcm|gcd|dist|sinc|split_with_sizes|signbit|[hvd]split|"
    r"tensor_split|is(?:pos|neg)inf|unravel_index|atleast_.d|[hvd]stack|column_stack|"
    r"index_(?:fill|copy|reduce)|take|histc|bucketize|searchsorted|msort|renorm|trapz|cumulative_trapezoid|xlogy|trace|"
    r"tri[ul]_indices|logcumsumexp|logit|nanmean|nansum|scatter_reduce|nn\.functional\.multi_head.*",
}
"""Why an entry has no counterpart."""

COVERED = [op for op in op_db if counterpart(op.name) is not None]


def _id(op: Any) -> str:
    return op.name.removeprefix("nn.functional.") + (
        f".{op.variant_test_name}" if op.variant_test_name else ""
    )


# -- what is other -------------------------------------------------------------------------------------

REFUSED, EITHER, APART = "refused", "either", "apart"
"""A sample raises; raises or is right; is not compared."""


def tensors(sample: Any) -> list[Any]:
    return [v for v in flat([sample.input, list(sample.args), sample.kwargs]) if is_tensor(v)]


def option(sample: Any, name: str, place: int | None = None, default: Any = None) -> Any:
    """Return an argument of a sample, the `place`-th behind the input."""
    if place is not None and place < len(sample.args):
        return sample.args[place]
    return sample.kwargs.get(name, default)


def without_batch(name: str, sample: Any) -> bool:
    """Whether an image, signal or volume comes without its batch axis."""
    rank = re.search(r"(?:conv|pool|conv_transpose|unpool|dropout)(\d)d$", name)
    return rank is not None and sample.input.ndim < int(rank[1]) + 2


def random(sample: Any) -> bool:
    """Whether random numbers decide: a dropout that drops neither nothing nor everything."""
    return bool(option(sample, "training", default=True)) and option(sample, "p", default=0.5) not in (0, 1)


def of(sample: Any, *dtypes: Any) -> bool:
    return sample.input.dtype in dtypes


Rule = Callable[[Any], bool]

EXCEPTIONS: tuple[tuple[str, str, str, Rule], ...] = (
    (
        REFUSED,
        "shapes do not depend on values: the number of classes or bins is given",
        r"one_hot",
        lambda s: option(s, "num_classes", 0, -1) == -1,
    ),
    (
        REFUSED,
        "shapes do not depend on values: the number of classes or bins is given",
        r"bincount",
        lambda s: s.input.numel() == 0 or s.input.max() >= option(s, "minlength", default=0),
    ),
    (
        REFUSED,
        "values are computed in float32",
        r"(?:log_)?soft(?:max|min)|(?:zeros|ones|full)_like|zeros|ones|full|eye",
        lambda s: option(s, "dtype") in (torch.float64, torch.float16, torch.bfloat16, torch.complex64),
    ),
    (
        REFUSED,
        "a negative eps, momentum or order of a norm",
        r"(?:group|layer|rms|instance|batch)_norm|normalize|pairwise_distance",
        lambda s: (
            any(isinstance(v, (int, float)) and v < 0 for k, v in s.kwargs.items() if k != "dim")
            or any(isinstance(v, float) and v < 0 for v in s.args)
        ),
    ),
    (
        REFUSED,
        "a loss does not broadcast its target",
        r"gaussian_nll_loss",
        lambda s: s.input.shape != s.args[0].shape,
    ),
    (
        REFUSED,
        "the logits are made at once",
        r"linear_cross_entropy",
        lambda s: option(s, "options") is not None,
    ),
    (
        REFUSED,
        "a sample of one class, or whose label has an axis",
        r"multi_margin_loss|multilabel_margin_loss",
        lambda s: s.input.ndim == 0 or (s.input.ndim == 1 and s.args[0].shape == (1,)),
    ),
    (
        REFUSED,
        "nothing is left of an axis before it is padded",
        r"pad",
        lambda s: any(-n >= min(s.input.shape[-2:]) for n in s.args[0] if n < 0),
    ),
    (
        REFUSED,
        "the table is not changed, its gradient is dense and not scaled",
        r"embedding|embedding_bag",
        lambda s: any(option(s, name) for name in ("max_norm", "scale_grad_by_freq", "sparse")),
    ),
    (REFUSED, "it needs singular values", r"norm", lambda s: option(s, "p", 0) == "nuc"),
    (REFUSED, "products at indices", r"scatter", lambda s: option(s, "reduce") == "multiply"),
    (
        REFUSED,
        "products of integers take whole factors",
        r"addmm|addmv|addbmm|baddbmm",
        lambda s: not of(s, torch.float32) and any(isinstance(v, float) for v in s.kwargs.values()),
    ),
    (
        APART,
        "random numbers are other ones",
        r"dropout|dropout.d|alpha_dropout|feature_alpha_dropout",
        random,
    ),
    (APART, "random numbers are other ones", r"fractional_max_pool.d", lambda s: True),
    (APART, "random numbers are other ones", r"rrelu", lambda s: option(s, "training", default=False)),
    (
        APART,
        "random numbers are other ones",
        r"scaled_dot_product_attention",
        lambda s: option(s, "dropout_p", default=0.0) > 0,
    ),
    (
        APART,
        "uint8 wraps around in torch's differences and sums; here they are float32",
        r"margin_ranking_loss|triplet_margin_.*|pairwise_distance|trapezoid",
        lambda s: of(s, torch.uint8),
    ),
    (
        APART,
        "bytes are interpolated in float32 and not rounded back",
        r"interpolate",
        lambda s: of(s, torch.uint8),
    ),
    (
        APART,
        "torch divides integers without a remainder, or cuts limits to integers",
        r"avg_pool.d|local_response_norm|hardtanh",
        lambda s: not s.input.is_floating_point(),
    ),
    (
        APART,
        "torch cuts fractional limits to integers, in each type in its own way",
        r"arange|linspace",
        lambda s: (
            s.kwargs.get("dtype") in INTEGERS
            and any(isinstance(v, float) or is_tensor(v) for v in (s.input, *s.args, *s.kwargs.values()))
        ),
    ),
    (APART, "torch keeps uint8 for `any` and `all`", r"any|all", lambda s: of(s, torch.uint8)),
    (
        APART,
        "sums at indices are made of float32",
        r"index_add|scatter|scatter_add",
        lambda s: not s.input.is_floating_point(),
    ),
    (
        EITHER,
        "an axis of 0 elements is refused but for an empty batch",
        r".*",
        lambda s: any(t.numel() == 0 for t in tensors(s)),
    ),
)
"""(what happens, why, names, which samples)."""


def exception(name: str, sample: Any) -> str | None:
    """Return what is other about a sample."""
    last = name.removeprefix("nn.functional.")
    if without_batch(last, sample):
        return REFUSED
    found = (kind for kind, _, known, holds in EXCEPTIONS if re.fullmatch(known, last) and holds(sample))
    return next(found, None)


def on_page(name: str) -> bool:
    return f"`{name.removeprefix('nn.functional.')}`" in PAGE.read_text()


def test_every_entry_is_covered_or_said_to_be_absent() -> None:
    covered = {op.name for op in COVERED}
    assert len(covered) >= 238
    unknown = {
        op.name
        for op in op_db
        if op.name not in covered
        and not on_page(op.name)
        and not any(re.fullmatch(pattern, op.name) for pattern in ABSENT.values())
    }
    assert sorted(unknown) == []


# -- the comparison ------------------------------------------------------------------------------------


def samples(op: Any, dtype: Any) -> list[Any]:
    seed()
    differentiable = dtype is torch.float32 and op.supports_autograd
    found = list(op.sample_inputs("cpu", dtype, requires_grad=differentiable))
    return evenly(found, FLOATS if dtype is torch.float32 else OTHERS)


def run(op: Any, sample: Any, convert: Callable[[Any], Any]) -> tuple[list[Any], list[Any]]:
    """Return torch's results, and the leaves that they are differentiated by."""
    arguments, options = mapped(convert, [sample.input, *sample.args]), mapped(convert, sample.kwargs)
    return flat(op.op(*arguments, **options)), leaves([arguments, options])


FLOAT32 = re.compile(
    r"nn\.functional\.(?:relu6?|threshold|hardtanh|linear|bilinear|(?:avg|max)_pool.d|conv.*|unfold|"
    r"(?:alpha_|feature_alpha_)?dropout.?d?)"
)
"""Layers: they compute in float32 where torch keeps integers."""

TIES = re.compile("argsort|sort|topk|kthvalue|mode|median|min|max")
"""Where elements are equal torch may take any of them."""


def elements_at(name: str, sample: Any, results: list[Any]) -> list[Any]:
    """Return the elements that indices name in place of the indices."""
    if not TIES.fullmatch(name) or not sample.input.ndim:
        return results
    x = for_us(sample.input)
    place = {"topk": 1, "kthvalue": 1}.get(name, 0)
    axis = option(sample, "dim", place, -1)
    found = []
    for result in results:
        if result.dtype == np.int64 and (name == "argsort" or (len(results) == 2 and result is results[1])):
            whole = result if result.ndim == x.ndim else np.expand_dims(result, axis)
            found.append(np.take_along_axis(x, whole, axis))
        else:
            found.append(result)
    return found


@contextmanager
def float64_by_default() -> Iterator[None]:
    """Also what torch computes from integers is float64."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def compare(op: Any, function: Callable[..., Any], sample: Any) -> None:
    with float64_by_default():
        expected, by = run(op, sample, wide)
    narrow, narrow_by = run(op, sample, copied)
    arguments, options = mapped(for_us, [sample.input, *sample.args]), mapped(for_us, sample.kwargs)
    ours = [np.asarray(v) for v in flat(function(*arguments, **options))]
    assert len(ours) == len(expected)
    places = elements_at(op.name, sample, ours)
    theirs = elements_at(op.name, sample, [value_of(v) for v in expected])
    others = elements_at(op.name, sample, [value_of(v) for v in narrow])
    for i, (our, their, other) in enumerate(zip(places, theirs, others, strict=True)):
        floats = FLOAT32.fullmatch(op.name) is not None and our.dtype == np.float32
        assert_agrees(our, their, other, f"result {i}", floats)
    by_results = [v for v in expected if is_tensor(v) and v.requires_grad]
    if by and by_results:
        places_of = [i for i, v in enumerate(expected) if is_tensor(v) and v.requires_grad]
        compare_gradients(function, sample, places_of, by_results, by, narrow, narrow_by)


def compare_gradients(
    function: Callable[..., Any],
    sample: Any,
    places: list[int],
    results: list[Any],
    by: list[Any],
    narrow: list[Any],
    narrow_by: list[Any],
) -> None:
    def loss(*given: Any) -> Any:
        left = iter(given)
        arguments, options = mapped(
            lambda v: next(left) if is_tensor(v) and v.requires_grad else for_us(v),
            [[sample.input, *sample.args], sample.kwargs],
        )
        found = flat(function(*arguments, **options))
        total: Any = 0.0
        for place, factor in zip(places, factors(results), strict=True):
            total = (found[place] * factor).sum() + total
        return total

    ours = cc.grad(loss, list(range(len(by))))(*(for_us(v).astype(np.float32) for v in by))
    expected = torch_gradients(results, by)
    own = torch_gradients([narrow[i] for i in places], narrow_by)
    for i, (our, their, other) in enumerate(zip(ours, expected, own, strict=True)):
        if their is None:
            assert not our.any(), f"gradient {i}: expected zeros"
        elif np.isfinite(their).all():
            assert_agrees(our, their, other, f"gradient {i}", least=LEAST)


def check(op: Any, dtype: Any) -> None:
    function = counterpart(op.name)
    assert function is not None
    for sample in samples(op, dtype):
        kind = exception(op.name, sample)
        if kind == APART:
            continue
        if kind == REFUSED:
            with pytest.raises((ValueError, TypeError), match=r"^\["):
                compare(op, function, sample)
            continue
        try:
            compare(op, function, sample)
        except (ValueError, TypeError) as error:
            empty = kind == EITHER or any(v.numel() == 0 for v in run(op, sample, copied)[0] if is_tensor(v))
            if not empty or not str(error).startswith("["):
                raise


LEAST = 1 / 16
"""Gradients are sums, whose terms may cancel: errors are relative to no less than this."""

WARNED = pytest.mark.filterwarnings("ignore::UserWarning")
"""torch advises on some samples."""


@WARNED
@pytest.mark.parametrize("op", [op for op in COVERED if torch.float32 in op.supported_dtypes("cpu")], ids=_id)
def test_float32(op: Any) -> None:
    check(op, torch.float32)


@WARNED
@pytest.mark.parametrize("op", [op for op in COVERED if op.supported_dtypes("cpu") & set(INTEGERS)], ids=_id)
def test_integers_and_booleans(op: Any) -> None:
    for dtype in INTEGERS:
        if dtype in op.supported_dtypes("cpu"):
            check(op, dtype)
