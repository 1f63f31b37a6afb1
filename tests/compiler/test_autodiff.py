# SPDX-License-Identifier: Apache-2.0
"""Differentiation: accumulation, what is left out, second derivatives, the functions built on it."""

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, ops
from cnncore.graph.tensor import OPS
from oracle import assert_close, check_gradients

RNG = np.random.default_rng(0)


def draw(*shape):
    return RNG.uniform(0.5, 2.0, shape).astype(np.float32)


def test_gradients_of_several_uses_add_up():
    check_gradients(lambda x: x * x + ops.exp(x) * x - x, lambda x: x * x + x.exp() * x - x, [draw(3, 4)])


def test_lists_and_dicts_of_parameters():
    model = nn.Linear(3, 2)
    x = draw(4, 3)

    def loss(x):
        return model(x).sum()

    value, listed = cc.value_and_grad(loss, list(model.parameters()))(x)
    again, named = cc.value_and_grad(loss, dict(model.named_parameters()))(x)
    assert float(value) == float(again)
    assert list(named) == ["weight", "bias"]
    for a, b in zip(listed, named.values(), strict=True):
        assert np.array_equal(a, b)
    assert_close(named["bias"], [4.0, 4.0], ulps=0.0)
    assert_close(named["weight"], np.tile(x.sum(0, dtype=np.float64), (2, 1)))


def test_what_the_loss_does_not_depend_on_has_gradient_zero():
    used, unused = nn.Parameter(draw(3)), nn.Parameter(draw(2, 2))
    _, grads = cc.value_and_grad(lambda: (used * 2.0).sum(), [unused, used])()
    assert grads[0].tolist() == [[0, 0], [0, 0]]
    assert grads[1].tolist() == [2, 2, 2]


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (2, 3, 4, 5)])
def test_an_input_the_loss_does_not_depend_on_has_gradient_zero(shape):
    gradient = cc.grad(lambda a, b: a.sum(), 1)(draw(2), draw(*shape))
    assert gradient.shape == shape
    assert not gradient.any()


def test_auxiliary_results_are_returned():
    w = nn.Parameter(draw(3))
    (loss, y, extra), grads = cc.value_and_grad(lambda x: ((w * x).sum(), w * x, "kept"), [w])(np.ones(3))
    assert_close(loss, y.sum(dtype=np.float64))
    assert extra == "kept"
    assert grads[0].tolist() == [1, 1, 1]


def test_several_argnums():
    a, b = draw(3), draw(3)
    fn = cc.grad(lambda a, b: (a * b).sum(), (1, 0))
    by_b, by_a = fn(a, b)
    assert np.array_equal(by_a, b)
    assert np.array_equal(by_b, a)
    assert np.array_equal(cc.grad(lambda a, b: (a * b).sum(), -1)(a, b), a)
    with pytest.raises(ValueError, match="expected argnums below the 1 inputs"):
        cc.grad(lambda a: a.sum(), 1)(a)


def test_the_gradient_by_an_integer_input_is_that_by_its_float_values():
    assert cc.grad(lambda x: (x * x).sum())(np.array([1, 2, 3])).tolist() == [2, 4, 6]


def test_losses_must_be_scalars():
    with pytest.raises(ValueError, match=r"expected a scalar loss .* got float32 of shape \(3,\)"):
        cc.grad(lambda x: x * 2)(np.ones(3))
    with pytest.raises(TypeError, match="expected the function to return a scalar loss"):
        cc.grad(lambda x: 3.0)(np.ones(3))
    with pytest.raises(TypeError, match="expected a list or dict of Parameters"):
        cc.value_and_grad(lambda: None, nn.Parameter(np.ones(2)))
    with pytest.raises(TypeError, match="expected Parameters, got ndarray"):
        cc.value_and_grad(lambda: None, [np.ones(2)])


SECOND = {
    "conv2d": lambda x, w: ops.conv2d(x, w, padding=1, stride=2),
    "relu": lambda x, w: ops.relu(ops.conv2d(x, w)),
    "mean": lambda x, w: ops.mean(x * x, (2, 3)) * ops.sum(w),
}


@pytest.mark.parametrize("name", SECOND)
def test_gradients_of_gradients(name):
    """The gradient penalty of a critic: the gradient by weights of the norm of the gradient by inputs."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    theirs = {
        "conv2d": lambda x, w: functional.conv2d(x, w, padding=1, stride=2),
        "relu": lambda x, w: functional.relu(functional.conv2d(x, w)),
        "mean": lambda x, w: torch.mean(x * x, (2, 3)) * torch.sum(w),
    }[name]
    x, w = RNG.normal(size=(2, 3, 6, 6)).astype(np.float32), RNG.normal(size=(4, 3, 3, 3)).astype(np.float32)
    xt = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    wt = torch.tensor(w, dtype=torch.float64, requires_grad=True)
    (inner,) = torch.autograd.grad((theirs(xt, wt) ** 2).sum(), xt, create_graph=True)
    expected = torch.autograd.grad((inner**2).sum(), wt)[0].numpy()

    from cnncore.compiler.autodiff import add_gradients
    from cnncore.graph.trace import current_graph

    def penalty(x, w):
        loss = (SECOND[name](x, w) ** 2).sum()
        (by_input,) = add_gradients(current_graph(), loss, [x])
        return (by_input**2).sum()

    actual = cc.grad(penalty, 1)(x, w)
    assert_close(actual, expected, ulps=256.0, magnitude=np.abs(expected).max())


def test_frozen_parameters_cost_nothing():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3))
    function = cc.value_and_grad(lambda x: model(x).sum(), list(model[1].parameters()))
    function(draw(1, 3, 8, 8))
    (program,) = function._programs.values()
    found = [step.op for step in program.executable.run_steps]
    assert found.count("conv_backward_weight") == 1
    assert "conv_backward_data" not in found


DIFFERENTIABLE_BY_OTHERS = {
    "ctc_loss_backward",
    "deform_columns_backward_offset",
    "grid_sample_backward_grid",
    "recurrent_backward",
    "roi_pool_backward",
}
"""Gradients without a gradient of their own: second derivatives through them raise NotImplementedError."""


def test_every_operation_has_a_gradient_or_says_that_it_has_none():
    from cnncore.graph.tensor import Op

    without = {name for name, op in OPS.items() if op.differentiable and type(op).gradient is Op.gradient}
    # Activations join other steps only in a graph that is differentiated next, and once.
    assert without == DIFFERENTIABLE_BY_OTHERS | {"activation_backward"}


def test_indices_add_nothing_to_a_gradient():
    x = np.array([[1.0, 3.0], [4.0, 2.0]], np.float32)
    grad = cc.grad(lambda a: ops.sum(a * ops.argmax(a, 1)[:, None]))(x)
    np.testing.assert_array_equal(grad, [[1, 1], [0, 0]])


def test_a_loss_of_indices_alone_has_no_gradient():
    weight, other = nn.Parameter(draw(3, 4)), nn.Parameter(draw(3, 4))
    step = cc.train_step(lambda x: ops.mean(ops.argmax(weight * x, 1)), cc.optim.SGD([weight, other], lr=0.1))
    with pytest.raises(ValueError, match="through argmax alone, which has no gradient"):
        step(draw(3, 4))
    with pytest.raises(ValueError, match="through argmax alone"):
        cc.value_and_grad(lambda x: ops.mean(ops.argmax(weight * x, 1)), [weight])(draw(3, 4))
    assert not cc.grad(lambda x, y: ops.mean(ops.argmax(x, 1)), argnums=1)(draw(3, 4), draw(2)).any()


def test_grad_check_finds_a_wrong_gradient(monkeypatch):
    from cnncore.ops import elementwise
    from cnncore.ops.build import elementwise as add_elementwise

    x = draw(3, 4)
    assert cc.grad_check(lambda a: ops.exp(a), [x]) < 1e-2
    wrong = (lambda g, n: add_elementwise("mul_scalar", g, alpha=3.0),)
    monkeypatch.setitem(elementwise.GRADIENTS, "sqrt", wrong)
    with pytest.raises(AssertionError, match=r"relative error .* input 0 at \(\d, \d\)"):
        cc.grad_check(lambda a: ops.sqrt(a), [x])


def test_grad_check_takes_labels_and_several_inputs():
    logits, labels = RNG.normal(size=(4, 5)), np.array([0, 4, 2, 1])
    # Truncation is below step**2 / 6 times the largest third derivative, rounding eps * loss / step: 4e-5.
    assert cc.grad_check(lambda a, t: ops.cross_entropy(a, t), [logits, labels]) < 1e-4
    with pytest.raises(TypeError, match="at least one floating-point input"):
        cc.grad_check(lambda t: t, [labels])
