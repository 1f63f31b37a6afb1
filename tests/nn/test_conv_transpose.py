# SPDX-License-Identifier: Apache-2.0
"""The transposed convolution layer, beside torch's where it is installed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import cnncore as cc
from cnncore import nn

LAYERS = [
    "ConvTranspose1d(4, 8, 3, 2, 1, output_padding=1)",
    "ConvTranspose3d(4, 8, (1, 2, 2), 2, bias=False)",
    "ConvTranspose2d(4, 8, 3)",
    "ConvTranspose2d(4, 8, 2, 2)",
    "ConvTranspose2d(4, 6, (3, 2), (2, 3), (1, 0), (1, 2), 2, False, (1, 2))",
    "ConvTranspose2d(4, 8, 3, stride=2, padding=1, output_padding=1, groups=4)",
]


def made(text: str, library: Any) -> Any:
    return eval(f"nn.{text}", {"nn": library})


@pytest.mark.parametrize("text", LAYERS)
def test_repr_state_and_values_are_torchs(text: str) -> None:
    torch = pytest.importorskip("torch")
    ours, theirs = made(text, nn), made(text, torch.nn)
    assert repr(ours) == repr(theirs)
    state = {name: np.array(value) for name, value in ours.state_dict().items()}
    theirs.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 6, 3)[: 2 + ours.rank]).astype(np.float32)
    expected = theirs(torch.from_numpy(x)).detach().numpy()
    # At most 36 products of numbers below 3 and 1.
    np.testing.assert_allclose(ours(x), expected, rtol=0, atol=36 * 4 * np.finfo(np.float32).eps)


def test_initial_values_are_torchs() -> None:
    cc.manual_seed(0)
    layer = nn.ConvTranspose2d(96, 64, 3, groups=2)
    bound = 1 / math.sqrt(32 * 9)
    for values in map(np.asarray, layer.parameters()):
        assert 0.9 * bound < np.abs(values).max() <= np.float32(bound)
    assert abs(np.std(layer.weight) - bound / math.sqrt(3)) < 0.01 * bound


@pytest.mark.parametrize("size", [(9, 10), (10, 11), (1, 3, 9, 11)])
def test_output_size(size: tuple[int, ...]) -> None:
    layer = nn.ConvTranspose2d(2, 3, (3, 2), stride=2, padding=(1, 0))
    assert layer(np.zeros((1, 2, 5, 5)), output_size=size).shape == (1, 3, *size[-2:])


def test_output_size_out_of_reach() -> None:
    layer = nn.ConvTranspose2d(2, 3, 2, stride=2)
    with pytest.raises(ValueError, match=r"output_size from \(10, 10\) to \(11, 11\)"):
        layer(np.zeros((1, 2, 5, 5)), output_size=(12, 10))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.ConvTranspose2d(0, 4, 3), "in_channels of at least 1, got 0"),
        (lambda: nn.ConvTranspose2d(4, 6, 3, groups=4), "out_channels to be a multiple of groups"),
        (lambda: nn.ConvTranspose2d(4, 4, 3, padding=-1), "padding of at least 0, got -1"),
        (lambda: nn.ConvTranspose2d(4, 4, 3, padding_mode="reflect"), "padding_mode 'zeros'"),
    ],
)
def test_arguments_are_checked(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
