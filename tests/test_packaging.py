# SPDX-License-Identifier: Apache-2.0
"""The package as it is installed, and what README promises of it."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cnncore

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def run(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def metadata() -> importlib.metadata.PackageMetadata:
    try:
        return importlib.metadata.metadata("cnncore")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("cnncore runs from its sources, not installed")


def test_version_and_licence(metadata: importlib.metadata.PackageMetadata) -> None:
    assert metadata["Version"] == cnncore.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert set(metadata.get_all("License-File") or []) == {"LICENSE", "LICENSES/digits.txt"}


def test_numpy_is_the_only_requirement(metadata: importlib.metadata.PackageMetadata) -> None:
    needed = [text for text in metadata.get_all("Requires-Dist") or [] if "extra ==" not in text]
    assert [re.split(r"[<>=!~]", text)[0].strip() for text in needed] == ["numpy"]


def test_the_changelog_has_this_version() -> None:
    assert f"## {cnncore.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_types_and_digits_are_in_the_package() -> None:
    package = Path(cnncore.__file__).parent
    for name in ("py.typed", "_core.pyi", "data/digits.npz"):
        assert (package / name).is_file(), name


def test_importing_loads_nothing_heavy(tmp_path: Path) -> None:
    loaded = run("-c", "import sys, cnncore; print(*sys.modules)", folder=tmp_path).split()
    # graph.runner is the place at which the compiler is handed to the operations once one is called.
    light = {"cnncore", "cnncore._importing", "cnncore._version", "cnncore.graph", "cnncore.graph.runner"}
    assert {name for name in loaded if name.partition(".")[0] == "cnncore"} == light
    assert not {"tqdm", "PIL", "torch", "argparse", "urllib.request", "matplotlib"} & set(loaded)


def test_compiling_loads_no_file_formats(tmp_path: Path) -> None:
    # Reading and writing files is a quarter of the package: the first compilation would wait for it.
    code = "import sys, cnncore as cc; cc.compile(cc.nn.ReLU(), (1, 2)); print(*sys.modules)"
    loaded = run("-c", code, folder=tmp_path).split()
    assert "cnncore.predictor" in loaded
    assert not {"cnncore.io", "cnncore.choices_file", "json", "tempfile", "difflib", "zipfile"} & set(loaded)


def test_readme_has_the_two_commands() -> None:
    commands = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert len(commands) == 2
    assert commands[0].endswith(".venv/bin/cnncore train digits")
    assert commands[1].endswith(".venv/bin/python -m pytest")


def test_the_example_of_readme_runs(tmp_path: Path) -> None:
    example, *_ = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert re.fullmatch(r"(\d) is read, \1 was written\n", run("-c", example, folder=tmp_path))
    assert (tmp_path / "digits.safetensors").is_file()


def test_documents_link_to_files_that_exist() -> None:
    for document in ROOT.glob("*.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text()):
            assert (ROOT / target).exists(), f"{document.name}: {target}"
