# SPDX-License-Identifier: Apache-2.0
"""The comparison of trainings to an accuracy: its recipes run in both frameworks, its figures are right."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

LEARNING = Path(__file__).parents[2] / "benchmarks" / "learning"


@pytest.fixture
def learning(module_of: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The modules of the learning benchmarks, by name."""
    monkeypatch.syspath_prepend(str(LEARNING))
    yield module_of
    for path in LEARNING.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.fixture
def colours(learning: Any) -> Any:
    """Images whose class is their hue, as CIFAR-10 has them."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, 300)
    base = rng.integers(0, 256, (10, 3, 1, 1))
    x = (base[y] + rng.integers(-20, 21, (300, 3, 32, 32))).clip(0, 255).astype(np.uint8)
    return learning("recipes").Sets(x[:200], y[:200], x[200:], y[200:])


def test_times_to_the_target(learning: Any) -> None:
    run, recipes = learning("run"), learning("recipes")
    ours = run.Course([2.0, 1.0, 1.0], [4.0, 2.0, 2.0], [0.5, 0.9, 0.8])
    theirs = run.Course([5.0, 4.0, 3.0], [8.0, 8.0, 8.0], [0.5, 0.6, 0.9])
    recipe = recipes.Recipe(0.9, epochs=3, batch_size=1, lr=1, weight_decay=0)
    result = run.summary(recipe, {"cnncore": ours, "torch": theirs})
    assert result["seconds_to_target"] == {"cnncore": 3.0, "torch": 12.0}
    assert result["torch_by_cnncore_seconds"] == 4.0
    assert result["torch_by_cnncore_core_seconds"] == 4.0
    alone = run.summary(recipe, {"cnncore": run.Course([1.0], [1.0], [0.1])})
    assert alone["seconds_to_target"] == {"cnncore": None}
    assert alone["torch_by_cnncore_seconds"] is None


def test_the_recipe_of_colour_images_learns(learning: Any, colours: Any) -> None:
    recipes = learning("recipes")
    recipe = recipes.Recipe(0.9, epochs=4, batch_size=20, lr=0.05, weight_decay=1e-5, label_smoothing=0.1)
    courses = learning("run").compare("cifar10", colours, recipe, ["cnncore"])
    assert len(courses["cnncore"].seconds) == 4
    assert max(courses["cnncore"].accuracy) > 0.5


def test_the_same_network_in_torch(learning: Any) -> None:
    torch = pytest.importorskip("torch")
    from cnncore import models

    ours, theirs = models.resnet20(), learning("cifar10_torch").resnet20()
    values = [value for value in theirs.state_dict().values() if value.ndim or value.dtype.is_floating_point]
    state = ours.state_dict()
    assert [tuple(value.shape) for value in values] == [
        np.shape(value) for value in state.values() if np.ndim(value)
    ]
    ours.load_state_dict(dict(zip(state, (v.numpy() for v in theirs.state_dict().values()), strict=True)))
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(np.float32)
    with torch.no_grad():
        expected = theirs.eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ours.eval()(x), expected, rtol=1e-3, atol=1e-4)


def test_torch_crops_as_we_do(learning: Any) -> None:
    torch = pytest.importorskip("torch")
    module = learning("cifar10_torch")
    padded = torch.arange(40 * 40 * 3).reshape(1, 40, 40, 3) % 251
    rows = torch.zeros(50, dtype=torch.int64)
    done = module.augmented(padded.to(torch.uint8), rows)
    windows = (
        module.normalized(padded.to(torch.uint8).permute(0, 3, 1, 2)).unfold(2, 32, 1).unfold(3, 32, 1)[0]
    )
    parts = windows.permute(1, 2, 0, 3, 4).reshape(-1, 3, 32, 32)
    both = torch.cat([parts, parts.flip(3)])
    for image in done:
        assert (both == image).all((1, 2, 3)).any()


@pytest.mark.data
def test_a_quick_run_writes_its_results(learning: Any, data_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "learning.json"
    arguments = ["fsdd", "--quick", "--only", "cnncore", "--data", str(data_root), "--out", str(out)]
    assert learning("run").main(arguments) == 0
    written = json.loads(out.read_text())
    assert len(written["fsdd"]["courses"]["cnncore"]["accuracy"]) == 2
    assert written["machine"]["threads"] >= 1
