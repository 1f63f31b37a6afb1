# SPDX-License-Identifier: Apache-2.0
"""Every operation once more in numpy and float64: naive, slow, and right by inspection.

Arrays mean (batch, channels, spatial...) with any number of spatial axes. Nothing here knows of layouts,
threads or algorithms. Gradients are written from the definition, not derived from the library's.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Indices = NDArray[Any]
Ints = Sequence[int]

EPS = float(np.finfo(np.float32).eps)


def float64(x: Any) -> Array:
    """The array in float64."""
    return np.asarray(x, np.float64)


# Convolution


def output_extents(
    size: Ints, kernel: Ints, stride: Ints, begin: Ints, end: Ints, dilation: Ints, ceil_mode: bool = False
) -> tuple[int, ...]:
    """Spatial extents of a convolution's or pooling's output; with `ceil_mode` as torch rounds them."""
    result = []
    for n, k, s, b, e, d in zip(size, kernel, stride, begin, end, dilation, strict=True):
        span = n + b + e - d * (k - 1) - 1
        extent = (-(-span // s) if ceil_mode else span // s) + 1
        if ceil_mode and (extent - 1) * s >= n + b:
            extent -= 1
        result.append(extent)
    return tuple(result)


def _pad(x: Array, begin: Ints, end: Ints, value: float = 0.0) -> Array:
    return np.pad(x, [(0, 0), (0, 0), *zip(begin, end, strict=True)], constant_values=value)


def _window(tap: Ints, extents: Ints, stride: Ints, dilation: Ints) -> tuple[slice, ...]:
    """Of a padded input: the elements that meet `tap` of the kernel, one for each output."""
    return tuple(
        slice(t * d, t * d + (n - 1) * s + 1, s)
        for t, n, s, d in zip(tap, extents, stride, dilation, strict=True)
    )


def _taps(kernel: Ints) -> Iterator[tuple[int, ...]]:
    return itertools.product(*(range(extent) for extent in kernel))


def conv(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    stride: Ints,
    begin: Ints,
    end: Ints,
    dilation: Ints,
    groups: int = 1,
) -> Array:
    """Convolution (cross-correlation) of (N, C, ...) with (O, C / groups, ...)."""
    x, weight = float64(x), float64(weight)
    kernel = weight.shape[2:]
    extents = output_extents(x.shape[2:], kernel, stride, begin, end, dilation)
    padded = _pad(x, begin, end)
    outputs = weight.shape[0] // groups
    inputs = weight.shape[1]
    result = np.zeros((x.shape[0], weight.shape[0], *extents))
    for tap in _taps(kernel):
        seen = padded[(slice(None), slice(None), *_window(tap, extents, stride, dilation))]
        for g in range(groups):
            own = slice(g * outputs, (g + 1) * outputs)
            part = seen[:, g * inputs : (g + 1) * inputs]
            product = np.tensordot(weight[(own, slice(None), *tap)], part, (1, 1))
            result[:, own] += np.moveaxis(product, 0, 1)
    return result if bias is None else result + _along_channels(bias, result.ndim)


def conv_backward_data(
    grad: Any,
    weight: Any,
    input_size: Ints,
    *,
    stride: Ints,
    begin: Ints,
    end: Ints,
    dilation: Ints,
    groups: int = 1,
) -> Array:
    """Gradient of `conv` by its input, which has spatial extents `input_size`."""
    grad, weight = float64(grad), float64(weight)
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    padded_size = [n + b + e for n, b, e in zip(input_size, begin, end, strict=True)]
    padded = np.zeros((grad.shape[0], inputs * groups, *padded_size))
    for tap in _taps(weight.shape[2:]):
        seen = padded[(slice(None), slice(None), *_window(tap, grad.shape[2:], stride, dilation))]
        for g in range(groups):
            own = slice(g * outputs, (g + 1) * outputs)
            product = np.tensordot(weight[(own, slice(None), *tap)], grad[:, own], (0, 1))
            seen[:, g * inputs : (g + 1) * inputs] += np.moveaxis(product, 0, 1)
    inner = (slice(b, b + n) for b, n in zip(begin, input_size, strict=True))
    return padded[(slice(None), slice(None), *inner)]


def conv_backward_weight(
    x: Any,
    grad: Any,
    kernel: Ints,
    *,
    stride: Ints,
    begin: Ints,
    end: Ints,
    dilation: Ints,
    groups: int = 1,
) -> Array:
    """Gradient of `conv` by its weight, which has spatial extents `kernel`."""
    x, grad = float64(x), float64(grad)
    padded = _pad(x, begin, end)
    outputs, inputs = grad.shape[1] // groups, x.shape[1] // groups
    result = np.zeros((grad.shape[1], inputs, *kernel))
    summed = [0, *range(2, x.ndim)]
    for tap in _taps(kernel):
        seen = padded[(slice(None), slice(None), *_window(tap, grad.shape[2:], stride, dilation))]
        for g in range(groups):
            own = slice(g * outputs, (g + 1) * outputs)
            part = seen[:, g * inputs : (g + 1) * inputs]
            result[(own, slice(None), *tap)] = np.tensordot(grad[:, own], part, (summed, summed))
    return result


def conv_backward_bias(grad: Any) -> Array:
    """Gradient of `conv` by its bias."""
    grad = float64(grad)
    return grad.sum(axis=tuple(i for i in range(grad.ndim) if i != 1))


def dot_bound(reduction: int, magnitude: Any) -> Array:
    """Bound on the error of float32 sums of `reduction` products whose absolute values add up to `magnitude`.

    Each of the sum's additions and the product's own rounding lose at most half an ulp of a partial sum.
    """
    return (reduction + 2) * (EPS / 2) * float64(magnitude) + float(np.finfo(np.float32).tiny)


def winograd_growth(outputs: int, taps: int, points: Sequence[float]) -> float:
    """How many times larger than its result the sums inside a 1-D Winograd transform can become.

    F(outputs, taps) evaluates both operands at `points` and infinity and interpolates the product. Each of
    its sums takes part in an output with at most this factor, however the matrices' rows are scaled.
    """
    count = outputs + taps - 1
    growth = np.zeros(outputs)
    for i, point in enumerate([*points, None]):
        others = [q for k, q in enumerate(points) if k != i]
        interpolation = np.abs(np.poly(others)).sum()
        if point is None:
            # At infinity only the highest coefficients meet, in the last output.
            growth[-1] += interpolation
            continue
        scale = abs(math.prod(point - q for q in others))
        evaluated = sum(abs(point) ** k for k in range(taps)) / scale
        growth += np.array([abs(point) ** j for j in range(outputs)]) * evaluated * interpolation
    if len(points) != count - 1:
        raise ValueError(f"F({outputs}, {taps}) needs {count - 1} points, got {len(points)}")
    return float(growth.max())


# Pooling


def max_pool(
    x: Any, kernel: Ints, stride: Ints, begin: Ints, end: Ints, dilation: Ints, ceil_mode: bool = False
) -> tuple[Array, Indices]:
    """Maximum of each window (NaN wins) and its flat position in the window, the first of equals."""
    x = float64(x)
    extents = output_extents(x.shape[2:], kernel, stride, begin, end, dilation, ceil_mode)
    padded = _pool_pad(x, extents, kernel, stride, begin, dilation, -np.inf)
    best = np.full((*x.shape[:2], *extents), -np.inf)
    index = np.full(best.shape, -1, np.int64)
    inside = _pool_pad(np.ones_like(x), extents, kernel, stride, begin, dilation, 0.0)
    for position, tap in enumerate(_taps(kernel)):
        where = (slice(None), slice(None), *_window(tap, extents, stride, dilation))
        seen = padded[where]
        better = (seen > best) | (np.isnan(seen) & ~np.isnan(best)) | (index < 0)
        better &= inside[where] > 0
        best = np.where(better, seen, best)
        index = np.where(better, position, index)
    return best, index


def max_pool_backward(
    grad: Any, index: Indices, input_size: Ints, kernel: Ints, stride: Ints, begin: Ints, dilation: Ints
) -> Array:
    """Each gradient goes to its window's maximum."""
    grad = float64(grad)
    extents = grad.shape[2:]
    shape = (*grad.shape[:2], *input_size)
    padded = _pool_pad(np.zeros(shape), extents, kernel, stride, begin, dilation, 0.0)
    for position, tap in enumerate(_taps(kernel)):
        where = (slice(None), slice(None), *_window(tap, extents, stride, dilation))
        padded[where] += np.where(index == position, grad, 0.0)
    inner = (slice(b, b + n) for b, n in zip(begin, input_size, strict=True))
    return padded[(slice(None), slice(None), *inner)]


def avg_pool(
    x: Any,
    kernel: Ints,
    stride: Ints,
    begin: Ints,
    end: Ints,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: int = 0,
) -> Array:
    """Mean of each window; windows that reach past the padding are clipped there, as torch does."""
    x = float64(x)
    ones = (1,) * len(kernel)
    extents = output_extents(x.shape[2:], kernel, stride, begin, end, ones, ceil_mode)
    padded = _pool_pad(x, extents, kernel, stride, begin, ones, 0.0)
    total = np.zeros((*x.shape[:2], *extents))
    for tap in _taps(kernel):
        total += padded[(slice(None), slice(None), *_window(tap, extents, stride, ones))]
    return total / _avg_counts(x.shape[2:], extents, kernel, stride, begin, end, count_include_pad, divisor)


def avg_pool_backward(
    grad: Any,
    input_size: Ints,
    kernel: Ints,
    stride: Ints,
    begin: Ints,
    end: Ints,
    count_include_pad: bool = True,
    divisor: int = 0,
) -> Array:
    """Each gradient is shared out over its window."""
    grad = float64(grad)
    extents = grad.shape[2:]
    ones = (1,) * len(kernel)
    counts = _avg_counts(input_size, extents, kernel, stride, begin, end, count_include_pad, divisor)
    shared = grad / counts
    padded = _pool_pad(np.zeros((*grad.shape[:2], *input_size)), extents, kernel, stride, begin, ones, 0.0)
    for tap in _taps(kernel):
        padded[(slice(None), slice(None), *_window(tap, extents, stride, ones))] += shared
    inner = (slice(b, b + n) for b, n in zip(begin, input_size, strict=True))
    return padded[(slice(None), slice(None), *inner)]


def adaptive_windows(size: Ints, extents: Ints) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Output position and the input it covers: from floor(i * n / o) to ceil((i + 1) * n / o)."""
    for position in _taps(extents):
        cover = tuple(
            slice(i * n // o, -(-(i + 1) * n // o)) for i, n, o in zip(position, size, extents, strict=True)
        )
        yield position, cover


def adaptive_avg_pool(x: Any, extents: Ints) -> Array:
    """Mean over windows that divide the input into `extents`."""
    x = float64(x)
    result = np.empty((*x.shape[:2], *extents))
    for position, cover in adaptive_windows(x.shape[2:], extents):
        seen = x[(slice(None), slice(None), *cover)]
        result[(slice(None), slice(None), *position)] = seen.reshape(*x.shape[:2], -1).mean(-1)
    return result


def adaptive_avg_pool_backward(grad: Any, input_size: Ints) -> Array:
    """Each gradient is shared out over its window."""
    grad = float64(grad)
    result = np.zeros((*grad.shape[:2], *input_size))
    trailing = (None,) * len(input_size)
    for position, cover in adaptive_windows(input_size, grad.shape[2:]):
        count = math.prod(part.stop - part.start for part in cover)
        share = grad[(slice(None), slice(None), *position)] / count
        result[(slice(None), slice(None), *cover)] += share[(slice(None), slice(None), *trailing)]
    return result


def adaptive_max_pool(x: Any, extents: Ints) -> tuple[Array, Indices]:
    """Maximum over windows that divide the input, and its flat position in the input plane."""
    x = float64(x)
    flat = np.arange(math.prod(x.shape[2:])).reshape(x.shape[2:])
    best = np.empty((*x.shape[:2], *extents))
    index = np.empty(best.shape, np.int64)
    for position, cover in adaptive_windows(x.shape[2:], extents):
        seen = x[(slice(None), slice(None), *cover)].reshape(*x.shape[:2], -1)
        chosen = seen.argmax(-1)
        where = (slice(None), slice(None), *position)
        best[where] = np.take_along_axis(seen, chosen[..., None], -1)[..., 0]
        index[where] = flat[cover].ravel()[chosen]
    return best, index


def adaptive_max_pool_backward(grad: Any, index: Indices, input_size: Ints) -> Array:
    """Each gradient goes to the maximum's position."""
    grad = float64(grad)
    result = np.zeros((*grad.shape[:2], math.prod(input_size)))
    for n, c in itertools.product(*map(range, grad.shape[:2])):
        np.add.at(result[n, c], index[n, c].ravel(), grad[n, c].ravel())
    return result.reshape(*grad.shape[:2], *input_size)


def _pool_pad(
    x: Array, extents: Ints, kernel: Ints, stride: Ints, begin: Ints, dilation: Ints, value: float
) -> Array:
    """Padding as wide as the windows reach, which with ceil_mode may be past the padding asked for."""
    reach = [
        (n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(extents, stride, dilation, kernel, strict=True)
    ]
    end = [max(0, r - n - b) for r, n, b in zip(reach, x.shape[2:], begin, strict=True)]
    return _pad(x, begin, end, value)


def _avg_counts(
    size: Ints,
    extents: Ints,
    kernel: Ints,
    stride: Ints,
    begin: Ints,
    end: Ints,
    count_pad: bool,
    divisor: int,
) -> Array:
    if divisor:
        return np.full(tuple(extents), float(divisor))
    counts = np.empty(tuple(extents))
    for position in _taps(extents):
        count = 1
        for i, n, k, s, b, e in zip(position, size, kernel, stride, begin, end, strict=True):
            first = i * s - b
            last = min(first + k, n + e)
            count *= (last - first) if count_pad else min(last, n) - max(first, 0)
        counts[position] = count
    return counts


# Normalisation


def _along_channels(value: Any, rank: int) -> Array:
    return float64(value).reshape(1, -1, *(1,) * (rank - 2))


def _all_but_channels(rank: int) -> tuple[int, ...]:
    return tuple(axis for axis in range(rank) if axis != 1)


def batch_norm(
    x: Any, weight: Any, bias: Any, mean: Any = None, variance: Any = None, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    """Normalised output, and the mean and biased variance it took: the batch's unless given others."""
    x = float64(x)
    axes = _all_but_channels(x.ndim)
    mean = x.mean(axes) if mean is None else float64(mean)
    variance = x.var(axes) if variance is None else float64(variance)
    normalised = (x - _along_channels(mean, x.ndim)) / np.sqrt(_along_channels(variance, x.ndim) + eps)
    return normalised * _along_channels(weight, x.ndim) + _along_channels(bias, x.ndim), mean, variance


def batch_norm_running(
    running_mean: Any, running_variance: Any, mean: Any, variance: Any, count: int, momentum: float = 0.1
) -> tuple[Array, Array]:
    """Running statistics after a batch of `count` values a channel, its variance unbiased as in torch."""
    unbiased = float64(variance) * count / max(count - 1, 1)
    new_mean = (1 - momentum) * float64(running_mean) + momentum * float64(mean)
    return new_mean, (1 - momentum) * float64(running_variance) + momentum * unbiased


def batch_norm_backward(
    grad: Any, x: Any, weight: Any, eps: float = 1e-5, mean: Any = None, variance: Any = None
) -> tuple[Array, Array, Array]:
    """Gradients by input, weight and bias; with given statistics these are constants (evaluation mode)."""
    grad, x = float64(grad), float64(x)
    axes = _all_but_channels(x.ndim)
    training = mean is None
    mean = x.mean(axes) if training else float64(mean)
    variance = x.var(axes) if training else float64(variance)
    inverse = 1 / np.sqrt(_along_channels(variance, x.ndim) + eps)
    normalised = (x - _along_channels(mean, x.ndim)) * inverse
    grad_weight = (grad * normalised).sum(axes)
    grad_bias = grad.sum(axes)
    scaled = grad * _along_channels(weight, x.ndim)
    if training:
        scaled = scaled - scaled.mean(axes, keepdims=True)
        scaled = scaled - normalised * (scaled * normalised).mean(axes, keepdims=True)
    return scaled * inverse, grad_weight, grad_bias


# Activations, softmax, losses


def softmax(x: Any, axis: int = -1) -> Array:
    """exp(x) over its sum along `axis`."""
    x = float64(x)
    powers = np.exp(x - x.max(axis, keepdims=True))
    result: Array = powers / powers.sum(axis, keepdims=True)
    return result


def log_softmax(x: Any, axis: int = -1) -> Array:
    """Logarithm of `softmax`."""
    x = float64(x)
    shifted = x - x.max(axis, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))
    return result


def softmax_backward(grad: Any, y: Any, axis: int = -1) -> Array:
    """Gradient by the input, from the output `y`."""
    grad, y = float64(grad), float64(y)
    return y * (grad - (grad * y).sum(axis, keepdims=True))


def log_softmax_backward(grad: Any, y: Any, axis: int = -1) -> Array:
    """Gradient by the input, from the output `y`."""
    grad, y = float64(grad), float64(y)
    return grad - np.exp(y) * grad.sum(axis, keepdims=True)


def cross_entropy(
    logits: Any,
    target: Any,
    class_weight: Any = None,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> tuple[Array, Array]:
    """Loss and its gradient by the logits (of the sum for reduction "none"), with torch's definitions.

    Logits are (N, C, ...), targets (N, ...).
    """
    logits, target = float64(logits), np.asarray(target)
    classes = logits.shape[1]
    weight = np.ones(classes) if class_weight is None else float64(class_weight)
    rows = np.moveaxis(logits, 1, -1).reshape(-1, classes)
    labels = target.reshape(-1)
    kept = labels != ignore_index
    one_hot = np.zeros_like(rows)
    one_hot[np.flatnonzero(kept), labels[kept]] = 1.0
    spread = (1 - label_smoothing) * one_hot * weight + label_smoothing / classes * weight * kept[:, None]
    losses = -(spread * log_softmax(rows)).sum(-1)
    grads = softmax(rows) * spread.sum(-1, keepdims=True) - spread
    if reduction == "mean":
        total = weight[labels[kept]].sum()
        losses, grads = losses.sum() / total, grads / total
    elif reduction == "sum":
        losses = losses.sum()
    else:
        losses = losses.reshape(target.shape)
    spatial = logits.shape[2:]
    return float64(losses), np.moveaxis(grads.reshape(logits.shape[0], *spatial, classes), -1, 1)


def mse_loss(prediction: Any, target: Any, reduction: str = "mean") -> tuple[Array, Array]:
    """Squared error and its gradient by the prediction (of the sum for reduction "none")."""
    difference = float64(prediction) - float64(target)
    if reduction == "mean":
        return (difference**2).mean(), 2 * difference / difference.size
    squared = difference**2
    return (squared.sum() if reduction == "sum" else squared), 2 * difference


def binary_cross_entropy_with_logits(
    logits: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: str = "mean"
) -> tuple[Array, Array]:
    """Loss and its gradient by the logits (of the sum for reduction "none")."""
    logits, target = float64(logits), float64(target)
    weight = 1.0 if weight is None else float64(weight)
    positive = 1.0 if pos_weight is None else float64(pos_weight)
    log_yes, log_no = -np.logaddexp(0, -logits), -np.logaddexp(0, logits)
    losses = -weight * (positive * target * log_yes + (1 - target) * log_no)
    probability = np.exp(log_yes)
    grads = weight * (probability * (positive * target + 1 - target) - positive * target)
    if reduction == "mean":
        return losses.mean(), grads / losses.size
    return (losses.sum() if reduction == "sum" else losses), grads


# Optimisers: one step of one parameter; `state` is a dict the caller keeps


def sgd(
    parameter: Any,
    grad: Any,
    state: dict[str, Any],
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> Array:
    """The parameter after a step of SGD as torch defines it."""
    parameter = float64(parameter)
    step = float64(grad) + weight_decay * parameter
    if momentum:
        previous = state.get("momentum")
        buffer = step if previous is None else momentum * previous + (1 - dampening) * step
        state["momentum"] = buffer
        step = step + momentum * buffer if nesterov else buffer
    return parameter - lr * step


def adam(
    parameter: Any,
    grad: Any,
    state: dict[str, Any],
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
) -> Array:
    """The parameter after a step of Adam, or of AdamW when `decoupled`."""
    parameter, grad = float64(parameter), float64(grad)
    if decoupled:
        parameter = parameter * (1 - lr * weight_decay)
    else:
        grad = grad + weight_decay * parameter
    count = state["step"] = state.get("step", 0) + 1
    first = state["first"] = betas[0] * state.get("first", 0.0) + (1 - betas[0]) * grad
    second = state["second"] = betas[1] * state.get("second", 0.0) + (1 - betas[1]) * grad**2
    corrected = np.sqrt(second / (1 - betas[1] ** count)) + eps
    return parameter - lr / (1 - betas[0] ** count) * first / corrected


# Gradients by differences


def numerical_gradient(function: Callable[[Array], Any], x: Any, step: float = 1e-5) -> Array:
    """Central differences of the sum of `function`, which must compute in float64."""
    x = float64(x).copy()
    result = np.empty_like(x)
    for index in np.ndindex(x.shape):
        kept = x[index]
        x[index] = kept + step
        above = np.sum(function(x))
        x[index] = kept - step
        result[index] = (above - np.sum(function(x))) / (2 * step)
        x[index] = kept
    return result
