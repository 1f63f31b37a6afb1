# SPDX-License-Identifier: Apache-2.0
"""PyTorch's own samples of its layers (`module_db`) on the layers of the same names.

Each is made with the same arguments, given torch's state, and run in both modes: results, gradients by
parameters and inputs, and what training leaves in buffers agree with torch's float64.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest", reason="torch's samples need it")

from torch_samples import (  # noqa: E402
    assert_agrees,
    evenly,
    factors,
    flat,
    for_us,
    is_tensor,
    mapped,
    seed,
    torch_gradients,
    value_of,
)

module_db = pytest.importorskip("torch.testing._internal.common_modules").module_db

MOST = 10
"""Samples of a layer that are taken, in each mode."""

LEAST = 1 / 16
"""Gradients are sums, whose terms may cancel: errors are relative to no less than this."""


def _name(info: Any) -> str:
    return str(info.module_cls.__name__)


COVERED = [info for info in module_db if hasattr(nn, _name(info))]


def of_ours(value: Any) -> Any:
    """Return a constructor's argument for us: torch's layers as ours, of the same settings."""
    if isinstance(value, torch.nn.TransformerEncoderLayer):
        attention = value.self_attn
        return nn.TransformerEncoderLayer(
            attention.embed_dim,
            attention.num_heads,
            value.linear1.out_features,
            value.dropout.p,
            value.activation.__name__,
            value.norm1.eps,
            attention.batch_first,
            value.norm_first,
            value.linear1.bias is not None,
        )
    return for_us(value)


Rule = Callable[[Any], bool]


def without_batch(name: str, inputs: Any) -> bool:
    """Whether an image, signal or volume comes without its batch axis, which is not left out here."""
    rank = re.search(r"(?:Conv|Pool|ConvTranspose|Unpool|InstanceNorm|Softmax)(\d)d$", name)
    return rank is not None and inputs.args[0].ndim < int(rank[1]) + 2


def check(info: Any, sample: Any, training: bool) -> None:
    arguments, options = sample.constructor_input.args, sample.constructor_input.kwargs
    theirs = info.module_cls(*arguments, **options).train(training)
    inputs, settings = list(sample.forward_input.args), sample.forward_input.kwargs
    if isinstance(theirs, torch.nn.modules.lazy.LazyModuleMixin):
        theirs(*inputs, **settings)
    ours = getattr(nn, _name(info))(*mapped(of_ours, list(arguments)), **mapped(of_ours, options))
    ours.train(training)
    if any(isinstance(module, nn.lazy.Lazy) for module in ours.modules()):
        ours(*mapped(for_us, inputs), **mapped(for_us, settings))
    ours.load_state_dict({name: value.detach().numpy() for name, value in theirs.state_dict().items()})
    compare(theirs, ours, inputs, settings, _name(info))


def compare(theirs: Any, ours: Any, inputs: list[Any], settings: dict[str, Any], name: str) -> None:
    runs = []
    for dtype in (torch.float64, torch.float32):
        module = copy.deepcopy(theirs).to(dtype)
        given = mapped(lambda v, d=dtype: _leaf(v, d), [inputs, settings])
        if name in INPUT_ALONE:
            for target in flat([given[0][1:], given[1]]):
                if is_tensor(target):
                    target.requires_grad_(False)
        results = flat(module(*given[0], **given[1]))
        by = [v for v in flat(given) if is_tensor(v) and v.requires_grad]
        by += [p for p in module.parameters() if p.requires_grad]
        runs.append((module, [v for v in results if v is not None], by))
    (wide, expected, by), (_, narrow, narrow_by) = runs
    own = [
        nn.Parameter(for_us(v)) for v in flat([inputs, settings]) if is_tensor(v) and v.is_floating_point()
    ]
    left = iter([])

    def forward() -> list[Any]:
        nonlocal left
        left = iter(own)
        given = mapped(lambda v: next(left) if _is_float(v) else for_us(v), [inputs, settings])
        return [v for v in flat(ours(*given[0], **given[1])) if v is not None]

    differentiable = [i for i, v in enumerate(expected) if v.requires_grad and name not in BEHIND_LOG_SOFTMAX]

    def loss() -> tuple[Any, list[Any]]:
        results = forward()
        total: Any = 0.0
        for i, factor in zip(differentiable, factors([expected[i] for i in differentiable]), strict=True):
            total = (results[i] * factor).sum() + total
        return total, results

    if differentiable:
        parameters = [*(own[:1] if name in INPUT_ALONE else own), *ours.parameters()]
        (_, results), gradients = cc.value_and_grad(loss, parameters)()
        wanted = torch_gradients([expected[i] for i in differentiable], by)
        others = torch_gradients([narrow[i] for i in differentiable], narrow_by)
        assert len(gradients) == len(wanted)
        for i, (our, their, other) in enumerate(zip(gradients, wanted, others, strict=True)):
            if their is None:
                assert not our.any()
            elif np.isfinite(their).all():
                assert_agrees(our, their, other, f"gradient {i}", least=LEAST)
    else:
        results = forward()
    for i, (our, their, other) in enumerate(zip(results, expected, narrow, strict=True)):
        assert_agrees(np.asarray(our), value_of(their), value_of(other), f"result {i}")
    buffers = dict(wide.named_buffers())
    for name, buffer in ours.named_buffers():
        if name in buffers:
            assert_agrees(np.asarray(buffer), value_of(buffers[name]), value_of(buffers[name]), name)


def _is_float(value: Any) -> bool:
    return is_tensor(value) and value.is_floating_point()


def _leaf(value: Any, dtype: Any) -> Any:
    if not is_tensor(value):
        return value
    return value.detach().to(dtype).clone().requires_grad_(True) if _is_float(value) else value


REFUSED: tuple[tuple[str, str, Rule], ...] = (
    ("statistics of no rows", r"BatchNorm\dd", lambda s: s.forward_input.args[0].shape[0] == 0),
    (
        "the logits are made at once",
        r"LinearCrossEntropyLoss",
        lambda s: s.constructor_input.kwargs.get("options") is not None,
    ),
)
"""(why, names, which samples): they raise, in training for batch norms."""

APART: tuple[tuple[str, str, Rule], ...] = (
    (
        "targets that are no probabilities",
        r"KLDivLoss",
        lambda s: not bool((s.forward_input.args[1] >= 0).all()),
    ),
)
"""(why, names, which samples): not compared."""

INPUT_ALONE = ("SoftMarginLoss", "CTCLoss")
"""Losses that torch differentiates by their input alone."""

BEHIND_LOG_SOFTMAX = ("CTCLoss",)
"""Losses whose gradient torch gives as that behind log_softmax: `test_torch_opinfo.py` compares it."""


def applies(rules: tuple[tuple[str, str, Rule], ...], name: str, sample: Any) -> bool:
    return any(re.fullmatch(known, name) and holds(sample) for _, known, holds in rules)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize("info", COVERED, ids=_name)
def test_layer(info: Any, training: bool) -> None:
    seed()
    found = info.module_inputs_func(
        info, device="cpu", dtype=torch.float32, requires_grad=False, training=training
    )
    with_input = [s for s in found if s.forward_input is not None]
    for sample in evenly(with_input, MOST):
        name = _name(info)
        if without_batch(name, sample.forward_input) or applies(REFUSED, name, sample):
            with pytest.raises((ValueError, TypeError)):
                check(info, sample, True)
        elif not applies(APART, name, sample):
            check(info, sample, training)


ABSENT: dict[str, str] = {}
"""Why a layer has no counterpart."""


def test_every_layer_is_covered_or_said_to_be_absent() -> None:
    assert {_name(info) for info in module_db} - {_name(info) for info in COVERED} == set(ABSENT)
