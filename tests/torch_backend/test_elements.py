# SPDX-License-Identifier: Apache-2.0
"""The backend's results of single elements against eager torch: NaN, infinities, and integers of any size."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch", "2.6")

from cnncore.torch_backend import backend  # noqa: E402

VALUES = [
    0.0,
    1.0,
    -1.0,
    0.5,
    -1.5,
    2.5,
    7.3,
    -7.3,
    100.0,
    16777217.0,
    2.0**31,
    -1e38,
    math.inf,
    -math.inf,
    math.nan,
]
INTEGERS = {
    "int64": [2**24 + 1, 2**53 + 1, -(2**53) - 1, 2**62, -(2**62), 2**31 - 1, 5, 0, -1, 7, -(2**31), 3],
    "int32": [2**24 + 1, -(2**24) - 3, 2**31 - 1, -(2**31), 5, 0, -1, 7, 2**30 + 1, 3, -3, 123456789],
    "uint8": list(range(244, 256)),
    "int8": list(range(-120, 120, 20)),
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def assert_equal(function: Callable[..., Any], *inputs: Any) -> None:
    with torch.no_grad():
        found, wanted = torch.compile(function, backend=backend)(*inputs), function(*inputs)
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    if wanted.is_floating_point():
        assert torch.allclose(found, wanted, rtol=1e-6, atol=1e-37, equal_nan=True), (found, wanted)
    else:
        assert torch.equal(found, wanted), (found, wanted)


FLOATS: dict[str, Callable[[Any], Any]] = {
    "sign": torch.sign,
    "sgn": torch.sgn,
    "relu": torch.relu,
    "threshold": lambda x: torch.nn.functional.threshold(x, 0.1, 7.0),
    "hardtanh": torch.nn.functional.hardtanh,
    "clamp": lambda x: x.clamp(-1, 2),
    "clamp to nothing": lambda x: x.clamp(math.nan, 2),
    "fill": lambda x: torch.zeros(3).fill_(x[1]) + x[:3],
    "maximum": lambda x: torch.maximum(x[:, None], x),
    "fmod": lambda x: torch.fmod(x[:, None], x),
    "fmod by 3": lambda x: torch.fmod(x, 3),
    "fmod by infinity": lambda x: torch.fmod(x, math.inf),
    "remainder": lambda x: torch.remainder(x[:, None], x),
    "logaddexp": lambda x: torch.logaddexp(x[:, None], x),
}


@pytest.mark.parametrize("name", FLOATS)
def test_floats(name: str) -> None:
    assert_equal(FLOATS[name], torch.tensor(VALUES))


PLACES = [[0, 1], [3, 2], [1, 0]]
WHOLE: dict[str, Callable[[Any], Any]] = {
    "relu": torch.relu,
    "threshold": lambda x: torch.nn.functional.threshold(x, 5, 3),
    "fmod": lambda x: torch.fmod(x, -3),
    "fmod of both": lambda x: torch.fmod(x, torch.where(x == 0, 1, x.flip(1) | 1)),
    "remainder": lambda x: torch.remainder(x, -3),
    "floor division": lambda x: x // -3,
    "division cut": lambda x: torch.div(x, -3, rounding_mode="trunc"),
    "division": lambda x: x / -3,
    "equal": lambda x: x == -1,
    "less": lambda x: x < -1,
    "scatter": lambda x: x.scatter(1, torch.tensor(PLACES), x[:, :2]),
    "scatter_add": lambda x: x.scatter_add(1, torch.tensor(PLACES), x[:, :2]),
    "index_add": lambda x: x.index_add(0, torch.tensor([0, 0]), x[:2]),
    "places of a list": lambda x: x[:, [3, 1]],
    "a constant": lambda x: x + torch.tensor([1, 2, 3, 4], dtype=x.dtype),
}


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", WHOLE)
def test_integers(name: str, dtype: str) -> None:
    assert_equal(WHOLE[name], torch.tensor(INTEGERS[dtype], dtype=getattr(torch, dtype)).reshape(3, 4))


def test_constants_of_any_type() -> None:
    """Those of types that programs do not have stay with torch."""
    x = torch.randn(2, 3)
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.complex64, torch.bool):
        constant = [1.0, 0.0, 1.0]
        assert_equal(lambda x, c=constant, t=dtype: x * torch.tensor(c, dtype=t).real.float(), x)
