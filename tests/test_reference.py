# SPDX-License-Identifier: Apache-2.0
"""The references against torch where it is installed, and their gradients against differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import reference as ref

CONVOLUTIONS = [
    # channels in, out, groups, size, kernel, stride, begin, end, dilation
    (4, 6, 1, (7, 6), (3, 3), (1, 1), (1, 1), (1, 1), (1, 1)),
    (4, 6, 2, (8, 5), (2, 3), (2, 1), (1, 0), (0, 2), (1, 2)),
    (3, 3, 3, (5, 5), (3, 3), (2, 2), (2, 0), (1, 1), (1, 1)),
    (2, 4, 1, (9,), (4,), (3,), (1,), (2,), (2,)),
    (2, 3, 1, (3, 4, 5), (2, 2, 2), (1, 2, 1), (0, 1, 1), (1, 0, 0), (1, 1, 2)),
]


def settings(case: Any) -> dict[str, Any]:
    return {"stride": case[5], "begin": case[6], "end": case[7], "dilation": case[8], "groups": case[2]}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolution_gradients_are_its_differences(case: Any) -> None:
    rng = np.random.default_rng(0)
    inputs, outputs, groups, size, kernel = case[:5]
    x = rng.standard_normal((2, inputs, *size))
    weight = rng.standard_normal((outputs, inputs // groups, *kernel))
    out = ref.conv(x, weight, **settings(case))
    grad = rng.standard_normal(out.shape)
    by_input = ref.numerical_gradient(lambda v: ref.conv(v, weight, **settings(case)) * grad, x)
    by_weight = ref.numerical_gradient(lambda v: ref.conv(x, v, **settings(case)) * grad, weight)
    np.testing.assert_allclose(
        ref.conv_backward_data(grad, weight, size, **settings(case)), by_input, atol=1e-7
    )
    np.testing.assert_allclose(
        ref.conv_backward_weight(x, grad, kernel, **settings(case)), by_weight, atol=1e-7
    )


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolution_is_torchs(case: Any) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    inputs, outputs, groups, size, kernel, stride, begin, end, dilation = case
    x = rng.standard_normal((2, inputs, *size))
    weight = rng.standard_normal((outputs, inputs // groups, *kernel))
    bias = rng.standard_normal(outputs)
    sides = [side for pair in zip(reversed(begin), reversed(end), strict=True) for side in pair]
    padded = torch.nn.functional.pad(torch.from_numpy(x), sides)
    conv = getattr(torch.nn.functional, f"conv{len(size)}d")
    expected = conv(
        padded,
        torch.from_numpy(weight),
        torch.from_numpy(bias),
        stride=stride,
        dilation=dilation,
        groups=groups,
    )
    np.testing.assert_allclose(ref.conv(x, weight, bias, **settings(case)), expected.numpy(), atol=1e-12)


def test_winograds_growth_is_that_of_its_matrices() -> None:
    # F(2, 3) at 0, 1, -1: A = [1 1 1 0; 0 1 -1 -1], absolute rows of G: 1, 1.5, 1.5, 1, of B: 2, 2, 2, 2.
    assert ref.winograd_growth(2, 3, (0.0, 1.0, -1.0)) == pytest.approx(max(2 + 3 + 3, 3 + 3 + 2))
    with pytest.raises(ValueError, match="needs 5 points"):
        ref.winograd_growth(4, 3, (0.0, 1.0))


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "pad"),
    [((2, 2), (2, 2), (0, 0)), ((3, 2), (2, 1), (1, 1)), ((3, 3), (3, 2), (1, 0))],
)
def test_pooling_is_torchs(kernel: Any, stride: Any, pad: Any, ceil_mode: bool) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    rng = np.random.default_rng(2)
    x = rng.standard_normal((2, 3, 8, 7))
    variable = torch.from_numpy(x).requires_grad_()
    expected = functional.max_pool2d(variable, kernel, stride, pad, ceil_mode=ceil_mode)
    found, index = ref.max_pool(x, kernel, stride, pad, pad, (1, 1), ceil_mode)
    np.testing.assert_array_equal(found, expected.detach().numpy())
    grad = rng.standard_normal(found.shape)
    expected.backward(torch.from_numpy(grad))
    back = ref.max_pool_backward(grad, index, (8, 7), kernel, stride, pad, (1, 1))
    np.testing.assert_allclose(back, variable.grad.numpy(), atol=1e-12)
    for count_pad, divisor in ((True, 0), (False, 0), (True, 3)):
        variable.grad = None
        expected = functional.avg_pool2d(
            variable, kernel, stride, pad, ceil_mode, count_pad, divisor_override=divisor or None
        )
        found = ref.avg_pool(x, kernel, stride, pad, pad, ceil_mode, count_pad, divisor)
        np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-12)
        expected.backward(torch.from_numpy(grad))
        back = ref.avg_pool_backward(grad, (8, 7), kernel, stride, pad, pad, count_pad, divisor)
        np.testing.assert_allclose(back, variable.grad.numpy(), atol=1e-12)


def test_adaptive_pooling_is_torchs() -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2, 3, 8, 7))
    variable = torch.from_numpy(x).requires_grad_()
    grad = rng.standard_normal((2, 3, 3, 4))
    expected = functional.adaptive_avg_pool2d(variable, (3, 4))
    np.testing.assert_allclose(ref.adaptive_avg_pool(x, (3, 4)), expected.detach().numpy(), atol=1e-12)
    expected.backward(torch.from_numpy(grad))
    np.testing.assert_allclose(
        ref.adaptive_avg_pool_backward(grad, (8, 7)), variable.grad.numpy(), atol=1e-12
    )
    variable.grad = None
    expected = functional.adaptive_max_pool2d(variable, (3, 4))
    found, index = ref.adaptive_max_pool(x, (3, 4))
    np.testing.assert_array_equal(found, expected.detach().numpy())
    expected.backward(torch.from_numpy(grad))
    back = ref.adaptive_max_pool_backward(grad, index, (8, 7))
    np.testing.assert_allclose(back, variable.grad.numpy(), atol=1e-12)


def test_batch_norm_gradient_is_its_difference() -> None:
    rng = np.random.default_rng(4)
    x, grad = rng.standard_normal((2, 3, 4, 3, 2))
    weight, bias = rng.standard_normal((2, 4))
    expected = ref.numerical_gradient(lambda v: ref.batch_norm(v, weight, bias)[0] * grad, x)
    by_input, by_weight, by_bias = ref.batch_norm_backward(grad, x, weight)
    np.testing.assert_allclose(by_input, expected, atol=1e-7)
    expected = ref.numerical_gradient(lambda v: ref.batch_norm(x, v, bias)[0] * grad, weight)
    np.testing.assert_allclose(by_weight, expected, atol=1e-7)
    expected = ref.numerical_gradient(lambda v: ref.batch_norm(x, weight, v)[0] * grad, bias)
    np.testing.assert_allclose(by_bias, expected, atol=1e-7)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_torchs(reduction: str, smoothing: float) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    logits, weight = rng.standard_normal((4, 5, 3)), rng.uniform(0.5, 2, 5)
    target = rng.integers(0, 5, (4, 3))
    target[0, 1] = 2
    variable = torch.from_numpy(logits).requires_grad_()
    expected = torch.nn.functional.cross_entropy(
        variable,
        torch.from_numpy(target),
        torch.from_numpy(weight),
        ignore_index=2,
        reduction=reduction,
        label_smoothing=smoothing,
    )
    loss, grad = ref.cross_entropy(logits, target, weight, reduction, 2, smoothing)
    np.testing.assert_allclose(loss, expected.detach().numpy(), atol=1e-12)
    expected.sum().backward()
    np.testing.assert_allclose(grad, variable.grad.numpy(), atol=1e-12)


def test_softmax_and_losses_gradients_are_their_differences() -> None:
    rng = np.random.default_rng(6)
    x, grad = rng.standard_normal((2, 3, 4))
    target = rng.uniform(0, 1, (3, 4))
    for forward, backward in (
        (ref.softmax, ref.softmax_backward),
        (ref.log_softmax, ref.log_softmax_backward),
    ):
        expected = ref.numerical_gradient(lambda v, forward=forward: forward(v) * grad, x)
        np.testing.assert_allclose(backward(grad, forward(x)), expected, atol=1e-8)
    for loss in (ref.mse_loss, ref.binary_cross_entropy_with_logits):
        expected = ref.numerical_gradient(lambda v, loss=loss: loss(v, target)[0], x)
        np.testing.assert_allclose(loss(x, target)[1], expected, atol=1e-8)


OPTIMISERS = [
    ("SGD", ref.sgd, {"lr": 0.1}),
    ("SGD", ref.sgd, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "dampening": 0.2}),
    ("SGD", ref.sgd, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True}),
    ("Adam", ref.adam, {"lr": 0.1, "weight_decay": 0.01}),
    ("AdamW", ref.adam, {"lr": 0.1, "weight_decay": 0.01}),
]


@pytest.mark.parametrize(("name", "update", "options"), OPTIMISERS)
def test_optimisers_are_torchs(name: str, update: Any, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(7)
    value = rng.standard_normal(6)
    parameter = torch.nn.Parameter(torch.from_numpy(value.copy()))
    optimizer = getattr(torch.optim, name)([parameter], **options)
    state: dict[str, Any] = {}
    extra = {"decoupled": True} if name == "AdamW" else {}
    for _ in range(4):
        grad = rng.standard_normal(6)
        parameter.grad = torch.from_numpy(grad)
        optimizer.step()
        value = update(value, grad, state, **options, **extra)
    np.testing.assert_allclose(value, parameter.detach().numpy(), atol=1e-12)
