# SPDX-License-Identifier: Apache-2.0
"""The examples run, and learn what they are about in their quick form."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDERS = ("ported", "steps", "seeing")
LEARNED: dict[str, Callable[[Any], bool]] = {
    "mlp_against_cnn": lambda found: found["cnn"][2] > 0.95 > 0.3 > found["mlp"][2],
    "edges": lambda share: share < 0.15,
    "mnist_loop": lambda accuracy: accuracy > 0.8,
    "cifar_schedule": lambda accuracy: accuracy > 0.4,
    "transfer_learning": lambda accuracy: accuracy > 0.8,
    "blocks_with_branches": lambda accuracy: accuracy > 0.8,
    "custom_losses": lambda accuracy: accuracy > 0.8,
    "siamese": lambda accuracy: accuracy > 0.9,
    "surgery": lambda accuracy: accuracy > 0.6,
    "features_grad_cam": lambda share: share > 0.75,
    "dcgan": lambda brightness: abs(brightness[0] - brightness[1]) < 0.2,
    "autoencoder": lambda errors: errors[1] < 0.5 * errors[0],
    "ctc": lambda wrong: wrong < 0.1,
    "detection": lambda precision: precision > 0.5,
    "onnx_fine_tuning": lambda shares: shares[0] < 0.6 < 0.8 < shares[1] and shares[2] == shares[1],
}
"""What the result of an example's `main` has to be."""


@pytest.fixture
def main_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Callable[..., Any]]]:
    """The `main` of an example by its name."""
    for folder in FOLDERS:
        monkeypatch.syspath_prepend(str(EXAMPLES / folder))
    before = set(sys.modules)
    yield lambda name: importlib.import_module(name).main
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(EXAMPLES)):
            del sys.modules[name]


@pytest.mark.parametrize("name", LEARNED)
def test_an_example_learns(main_of: Any, name: str) -> None:
    assert LEARNED[name](main_of(name)(quick=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("ported/*_torch.py")))
def test_the_version_of_torch_learns(main_of: Any, name: str) -> None:
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert LEARNED[name.removesuffix("_torch")](main_of(name)(quick=True))
    finally:
        torch.set_num_threads(threads)


def test_every_example_is_listed_and_tested() -> None:
    scripts = {path.stem for folder in FOLDERS for path in (EXAMPLES / folder).glob("*.py")} - {
        "example_data"
    }
    listed = re.findall(r"\]\((?:ported|steps|seeing)/(\w+)\.py\)", (EXAMPLES / "README.md").read_text())
    assert set(listed) == scripts
    assert {name.removesuffix("_torch") for name in scripts} == LEARNED.keys()


@pytest.mark.parametrize("script", ["ported/mnist_loop.py", "steps/autoencoder.py"])
def test_from_the_command_line(script: str) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / script), "--quick"], capture_output=True, text=True, check=True
    )
    assert "epoch 1" in done.stdout
