# SPDX-License-Identifier: Apache-2.0
"""Examples in documents run, from top to bottom of each page."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import cnncore as cc

DOCS = Path(__file__).parents[1] / "docs"
NEEDS = {
    "onnx": "onnx",
    "scikit-learn": "sklearn.base",
    "from-scikit-learn": "sklearn.base",
    "seeing": "matplotlib",
    "torch-backend": "torch",
}
"""What a page's examples import beside cnncore, by the page's name."""

PAGES = {path.relative_to(DOCS).as_posix(): path.read_text() for path in sorted(DOCS.rglob("*.md"))}


@pytest.mark.parametrize("name", [name for name, text in PAGES.items() if ">>> " in text])
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = NEEDS.get(Path(name).stem)
    if needed:
        pytest.importorskip(needed)
    monkeypatch.chdir(tmp_path)
    cc.manual_seed(0)
    try:
        found = doctest.testfile(str(DOCS / name), module_relative=False, optionflags=doctest.ELLIPSIS)
    finally:
        cc.set_accuracy("fast")
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("name", list(PAGES))
def test_python_code_is_executed(name: str) -> None:
    """Code that is not executed says so: its block is marked `py`, not `python`."""
    for block in re.findall(r"```python\n(.*?)```", PAGES[name], re.DOTALL):
        assert block.startswith(">>> "), block


@pytest.mark.parametrize("name", list(PAGES))
def test_links_lead_to_files_and_headings(name: str) -> None:
    for target, heading in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", PAGES[name]):
        path = (DOCS / name).parent / target if target else DOCS / name
        assert path.is_file(), f"{name}: {target}"
        if heading:
            titles = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            assert heading in [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("applications/")])
def test_an_application_has_its_script_its_command_and_a_small_picture(name: str) -> None:
    stem, text = Path(name).stem, PAGES[name]
    scripts = (DOCS.parent / "examples").rglob(f"{stem}.py")
    script = min(scripts, key=lambda path: len(path.parts))
    assert f"python {script.relative_to(DOCS.parent).as_posix()}\n" in text
    [(words, picture)] = re.findall(r"^!\[(.*?)\]\((.*?)\)$", text, re.MULTILINE)
    assert len(words) > 30
    assert picture == f"../images/applications/{stem}.png"
    assert (DOCS / "images" / "applications" / f"{stem}.png").stat().st_size <= 40_000
    assert PAGES["applications.md"].count(f"\napplications/{stem}\n") == 2  # gallery, contents


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("applications/")])
def test_parts_of_scripts_are_there(name: str) -> None:
    """What a page shows of a script is found in it: functions and classes, first and last lines."""
    for path, options in re.findall(r"```{literalinclude} (\S+)\n((?:.*\n)*?)```", PAGES[name]):
        code = (DOCS / name).parent.joinpath(path).read_text()
        for kind, value in re.findall(r':(pyobject|start-at|end-before|end-at): "?(.*?)"?\n', options):
            if kind == "pyobject":
                parent, _, own = value.rpartition(".")
                assert re.search(rf"^ *(def|class) {own}\b", code, re.MULTILINE), value
                assert not parent or f"class {parent}" in code
            else:
                assert value in code


def test_every_application_has_a_page() -> None:
    scripts = {path.stem for path in (DOCS.parent / "examples").glob("*.py")} - {"run_all"}
    scripts |= {path.stem for path in (DOCS.parent / "examples" / "seeing").glob("*.py")}
    assert scripts - {Path(name).stem for name in PAGES if name.startswith("applications/")} == set()
