# SPDX-License-Identifier: Apache-2.0
"""Names of PyTorch and Keras that do not exist: the error says what to write."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn, optim
from cnncore.graph.hints import HINTS
from cnncore.graph.tensor import Tensor
from cnncore.training import LossValue

MODEL = nn.Linear(2, 2)
OPTIMIZER = optim.SGD(MODEL.parameters(), lr=0.1)
OWNERS: dict[str, Any] = {
    "module": nn.Module(),
    "tensor": Tensor((2, 3)),
    "parameter": MODEL.weight,
    "optimizer": OPTIMIZER,
    "package": cc,
    "loss": LossValue(0.5),
    "trainer": cc.Trainer(MODEL, nn.MSELoss(), OPTIMIZER),
    "nn": nn,
    "utils": nn.utils,
}
PAGE = Path(__file__).parents[2] / "docs" / "from-torch-and-keras.md"


@pytest.mark.parametrize("kind", HINTS)
def test_every_name_with_a_hint_is_missing(kind: str) -> None:
    for name, hint in HINTS[kind].items():
        with pytest.raises(AttributeError) as caught:
            getattr(OWNERS[kind], name)
        assert str(caught.value).endswith(hint)


@pytest.mark.parametrize("kind", HINTS)
def test_other_names_are_just_missing(kind: str) -> None:
    assert not hasattr(OWNERS[kind], "nonsense")
    with pytest.raises(AttributeError, match=r"has no attribute 'nonsense'$"):
        _ = OWNERS[kind].nonsense


class Lossy(nn.Module):
    def forward(self, x: Any) -> Any:
        x.sum().backward()
        return x


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: OPTIMIZER.zero_grad(),
            "SGD has no attribute 'zero_grad'; forward, backward and",
        ),
        (lambda: Lossy()(np.ones(2)), "Tensor has no attribute 'backward'; .*cc.train_step"),
        (lambda: MODEL.weight.grad, "Parameter has no attribute 'grad'; gradients exist inside a step only"),
        (lambda: MODEL.weight.zero_(), "parameter.assign.values. changes"),
        (lambda: MODEL.fit(np.ones((2, 2))), "Linear has no attribute 'fit'; cc.Trainer"),
        (lambda: MODEL.register_forward_hook(print), "cc.capture.model, names, x."),
        (lambda: cc.no_grad(), "module 'cnncore' has no attribute 'no_grad'; outside of"),
    ],
)
def test_messages(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(AttributeError, match=message):
        call()


def test_the_page_has_the_hints_and_no_others() -> None:
    """The page is the table: a section for each kind of object, a row for each hint with all its names."""
    found: dict[str, dict[str, str]] = {}
    section: dict[str, str] = {}
    for line in PAGE.read_text().splitlines():
        if line.startswith("<!-- "):
            section = found.setdefault(line.strip("<!- >"), {})
        elif line.startswith("| `"):
            names, hint = line.strip("|").replace("\\|", "\0").split(" | ")
            section.update((name.strip(" `"), hint.strip().replace("\0", "|")) for name in names.split(","))
    assert found == HINTS


def test_the_loss_of_a_step_is_a_number_that_explains_itself() -> None:
    layer = nn.Linear(2, 1)
    step = cc.train_step(lambda x: layer(x).mean(), optim.SGD(layer.parameters(), lr=0.1))
    loss = step(np.ones((3, 2)))
    assert isinstance(loss, float)
    assert repr(loss) == repr(float(loss)) == json.dumps(loss)
    assert pickle.loads(pickle.dumps(loss)) == copy.copy(loss) == loss
    assert type(loss + 1) is float
    assert np.asarray([loss]).dtype == np.float64
    with pytest.raises(
        AttributeError, match=r"the loss of a step has no attribute 'item'; .* a number already"
    ):
        loss.item()


def test_arguments_of_keras() -> None:
    trainer = cc.Trainer(MODEL, nn.MSELoss(), OPTIMIZER)
    x = np.ones((4, 2))
    for name, message in (("validation_data", "validation="), ("workers", "data.DataLoader")):
        with pytest.raises(TypeError, match=f"fit has no argument '{name}': .*{message}"):
            trainer.fit(x, x, epochs=1, **{name: None})


def test_copies_do_not_look_for_missing_names() -> None:
    for value in (MODEL.weight, MODEL, OPTIMIZER):
        assert type(copy.deepcopy(value)) is type(value)
        assert type(pickle.loads(pickle.dumps(value))) is type(value)
