# SPDX-License-Identifier: Apache-2.0
"""A line of code knows its room; these tests read the sources of the repository."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CPP = sorted([*ROOT.glob("cpp/**/*.cpp"), *ROOT.glob("cpp/**/*.h")])
PYTHON = sorted(ROOT.glob("python/cnncore/**/*.py"))
SCRIPTS = [path for folder in ("tests", "benchmarks", "examples") for path in ROOT.glob(f"{folder}/**/*.py")]
C_HEADERS = {"cstddef", "cstdint"}
LINES_AT_MOST = 600


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def places(pattern: str, files: list[Path]) -> set[str]:
    return {relative(path) for path in files if re.search(pattern, path.read_text(), re.MULTILINE)}


def test_there_are_sources() -> None:
    assert len(CPP) > 20
    assert len(PYTHON) > 20


def test_vectors_only_in_kernels() -> None:
    found = places(r"immintrin\.h|arm_neon\.h|\b_mm\d*_\w+|\"isa/vec\.h\"", CPP)
    # parallel.cpp sets the mode for denormals, a register of the same headers.
    allowed = {"cpp/isa/vec.h", "cpp/core/parallel.cpp"}
    assert {name for name in found - allowed if not name.startswith("cpp/isa/kernels/")} == set()


def test_threads_are_started_in_one_file() -> None:
    assert places(r"#pragma omp|omp\.h|std::async|std::thread\(|pthread_create", CPP) == {"cpp/core/team.cpp"}


def test_pybind11_only_in_bindings() -> None:
    assert all(name.startswith("cpp/bind/") for name in places(r"pybind11|Python\.h", CPP))


def test_kernels_include_no_standard_library() -> None:
    """An AVX-512 copy of a std template that the linker keeps would crash an older CPU."""
    for path in [*ROOT.glob("cpp/isa/kernels/*"), ROOT / "cpp/isa/vec.h"]:
        for angle, quoted in re.findall(r"#include (?:<([^>]+)>|\"([^\"]+)\")", path.read_text()):
            if angle:
                assert angle in C_HEADERS | {"immintrin.h", "arm_neon.h"}, f"{relative(path)}: <{angle}>"
            else:
                assert quoted.startswith("isa/"), f"{relative(path)}: {quoted}"


def test_kernels_stay_in_the_namespace_of_their_instruction_set() -> None:
    for path in ROOT.glob("cpp/isa/kernels/*.cpp"):
        assert re.search(r"namespace CNNCORE_ISA \{", path.read_text()), relative(path)


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield (absolute name, whether it is imported when the module is) of every import."""
    package = ["cnncore", *path.relative_to(ROOT / "python/cnncore").parts[:-1]]
    tree = ast.parse(path.read_text())
    lazy = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) not in lazy
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{name}.{alias.name}", id(node) not in lazy


ABOVE = {
    "graph": ("ops", "compiler", "nn", "optim", "train", "data", "models", "io", "cli", "bench", "viz"),
    "ops": ("compiler", "nn", "optim", "train", "data", "models", "io", "cli", "bench", "viz"),
    "compiler": ("nn", "optim", "train", "data", "models", "io", "cli", "bench", "viz"),
    "nn": ("train", "data", "models", "cli", "bench", "viz"),
    "optim": ("train", "data", "models", "cli", "bench", "viz"),
    "data": ("graph", "ops", "compiler", "nn", "optim", "train", "models", "cli", "bench", "viz"),
    "io": ("train", "data", "models", "cli", "bench", "viz"),
    "train": ("models", "cli", "bench", "viz"),
    "models": ("train", "data", "cli", "bench", "viz"),
    "bench": ("cli", "viz"),
    "viz": ("cli", "bench", "pages"),
    "pages": ("cli", "bench"),
    "distributed": ("train", "data", "models", "cli", "bench", "viz", "pages"),
}
for _package in ("graph", "ops", "compiler", "nn", "optim", "data"):
    ABOVE[_package] += ("distributed",)
ROOT_MODULES = {
    "graph": {"_checks"},
    "ops": {"runtime", "_checks"},
    "compiler": {"runtime", "profiling"},
}
"""Modules of the package itself that these may import: settings of the process, tables of measurements."""


def within(name: str, package: str) -> bool:
    """Whether an absolute name is a package of cnncore or lies in it."""
    return name == f"cnncore.{package}" or name.startswith(f"cnncore.{package}.")


def package_of(path: Path) -> str:
    return path.relative_to(ROOT / "python/cnncore").parts[0]


@pytest.mark.parametrize("package", ABOVE)
def test_packages_do_not_import_those_above_them(package: str) -> None:
    for path in PYTHON:
        if package_of(path) == package:
            for name, _ in imports(path):
                assert not any(within(name, above) for above in ABOVE[package]), (
                    f"{relative(path)} imports {name}"
                )


@pytest.mark.parametrize("package", ROOT_MODULES)
def test_the_lower_packages_import_few_modules_of_the_root(package: str) -> None:
    roots = {path.stem for path in PYTHON if path.parent.name == "cnncore"} - {"__init__"}
    for path in PYTHON:
        if package_of(path) == package:
            for name, _ in imports(path):
                if name.split(".")[0] == "cnncore" and name.split(".")[1] in roots:
                    assert name.split(".")[1] in ROOT_MODULES[package], f"{relative(path)} imports {name}"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT / "python").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_graph_operations_and_compiler_hold_no_circle() -> None:
    """Also not by what is imported late, in functions or for types only."""
    modules = {module_name(path): path for path in PYTHON if package_of(path) in ("graph", "ops", "compiler")}
    wanted: dict[str, set[str]] = {}
    for module, path in modules.items():
        names = {name if name in modules else name.rpartition(".")[0] for name, _ in imports(path)}
        wanted[module] = {name for name in names if name in modules and name != module}
    while wanted:
        free = {module for module, names in wanted.items() if not names & wanted.keys()}
        assert free, "a circle among " + ", ".join(sorted(wanted))
        wanted = {module: names for module, names in wanted.items() if module not in free}


EXTRAS = {"torch_backend": {"torch"}, "onnx": {"onnx", "google"}, "sklearn": {"sklearn"}}
"""What packages of an extra may need besides numpy; nothing else of cnncore imports them, nor them,
but the command line, late, where a command needs one, and the package itself, for type checkers."""


def test_numpy_is_the_only_dependency() -> None:
    import sys

    for path in PYTHON:
        known = {
            "cnncore",
            "numpy",
            "__future__",
            *EXTRAS.get(package_of(path), ()),
        } | sys.stdlib_module_names
        for name, at_once in imports(path):
            if at_once:
                assert name.partition(".")[0] in known, f"{relative(path)}: {name}"
            for extra in EXTRAS:
                late = package_of(path) in ("cli", "__init__.py") and not at_once
                assert late or package_of(path) == extra or not within(name, extra), (
                    f"{relative(path)}: {name}"
                )


def test_every_source_names_its_licence() -> None:
    for path in [*CPP, *PYTHON, *SCRIPTS]:
        assert "SPDX-License-Identifier: Apache-2.0" in path.read_text()[:200], relative(path)


def test_files_stay_readable() -> None:
    for path in [*CPP, *PYTHON, *SCRIPTS]:
        lines = len(path.read_text().splitlines())
        assert lines <= LINES_AT_MOST, f"{relative(path)} has {lines} lines"


def test_no_path_of_one_machine() -> None:
    pattern = re.compile(r"/(?:home|root|Users|work)/\w")
    for path in [
        *CPP,
        *PYTHON,
        *SCRIPTS,
        *ROOT.glob("*.md"),
        *ROOT.glob("*.toml"),
        ROOT / "CMakeLists.txt",
    ]:
        assert not pattern.search(path.read_text()), relative(path)
