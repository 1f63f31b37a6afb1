# SPDX-License-Identifier: Apache-2.0
"""Plant faults in a copy of the installed package, one at a time, and see whether the tests notice.

    python tests/mutation/run.py [--count 200] [--seed 0] [--only ops/shape.py] [--jobs 1] [--with-torch]
                                 [--covering FOLDER]

Each fault is drawn from all places in `ops`, `graph`, `compiler`, `nn` and `optim` where an operator, a sign,
a number, an index, a condition or an argument could be another one. The tests that run the faulty line (as
`coverage` has seen once, without a fault) run until the first failure, by default as if torch were not
installed. Survivors are printed as differences; those that change no result are
listed with their reason in `equivalent.txt` beside this file and do not count. The exit status is 1 when less
than 95 % of the others were noticed.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import importlib.util
import json
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from covering import COLLECT, SELECT, Covering
from faults import Fault, find_faults
from forks import Server

TESTS = Path(__file__).resolve().parents[1]
PACKAGES = ("ops", "graph", "compiler", "nn", "optim")
LEFT_OUT = (
    "benchmarks",
    "cli",
    "core",
    "data",
    "distributed",
    "examples",
    "numerics",
    "onnx",
    "pages",
    "sklearn",
    "viz",
)
LEFT_OUT += ("test_documents.py", "test_packaging.py", "test_interrupts.py")
"""Of the tests: what takes long, or is about something else than these packages."""
SHARE = 0.95
SECONDS = 1200
SECONDS_A_TEST = 120
SECONDS_AGAIN = 20

CHILD = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
package, torch, *arguments = sys.argv[1:]
sys.path.insert(0, package)
if torch == "without":

    class WithoutTorch:
        def find_spec(name, path=None, target=None):
            if name == "torch":
                raise ModuleNotFoundError("torch is hidden", name=name)

    sys.meta_path.insert(0, WithoutTorch)
import cnncore
if not cnncore.__file__.startswith(package):
    sys.exit(f"{cnncore.__file__} is imported, not the copy: install the package without -e")
"""


def copy_package(folder: str) -> Path:
    """Copy the installed package; return where."""
    spec = importlib.util.find_spec("cnncore")
    if spec is None or spec.origin is None:
        sys.exit("cnncore is not installed")
    copy = Path(folder).resolve() / "cnncore"
    shutil.copytree(Path(spec.origin).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def suite() -> list[str]:
    """The files and folders of tests."""
    chosen = [path for path in TESTS.glob("*") if path.name.startswith("test_") or [*path.glob("test_*.py")]]
    return sorted(str(path) for path in chosen if path.name not in LEFT_OUT)


def run_tests(package: Path, torch: bool, code: str, arguments: list[str], seconds: float | None) -> bool:
    """Run the tests on a copy of the package until the first failure."""
    child = [sys.executable, "-B", "-c", CHILD + code, str(package.parent), "with" if torch else "without"]
    options = ["-q", "-x", "-p", "no:cacheprovider", "--no-header", "--tb=no"]
    try:
        done = subprocess.run(
            [*child, *arguments, *options],
            cwd=TESTS.parent,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    if b"not the copy" in done.stderr:
        sys.exit(done.stderr.decode())
    if seconds is None and done.returncode:
        sys.exit(f"the tests fail without any fault:\n{done.stdout.decode()[-2000:]}")
    return done.returncode == 0


def cover(package: Path, torch: bool, folder: Path) -> Covering:
    """See which tests run which lines, unless a folder has that from before."""
    data, durations = folder / "coverage", folder / "durations.json"
    if not durations.exists():
        folder.mkdir(parents=True, exist_ok=True)
        run_tests(package, torch, COLLECT, [str(data), str(durations), *suite()], None)
    return Covering(data, durations)


def serve(package: Path, torch: bool) -> Server:
    """Start a process that tries faults in its forks."""
    child = [sys.executable, "-B", "-c"]
    options = ["-p", "no:cacheprovider", "-p", "no:faulthandler"]
    with_torch = "with" if torch else "without"
    return Server(child, CHILD, [str(package.parent), with_torch, *suite(), *options], TESTS.parent)


def survives(
    fault: Fault, source: str, package: Path, torch: bool, covering: Covering, server: Server
) -> bool:
    """Run the tests that a fault could fail.

    What no fork notices is tried again in a process of its own, which imports the fault as well; a fault
    that forks can have, with the fastest of these tests only.
    """
    chosen, planted = covering.tests(fault.file, source, fault.line), fault.plant(source)
    if server.takes(fault.file, source, planted):
        if server.notices(fault.file, source, planted, chosen, SECONDS_A_TEST):
            return False
        chosen = covering.within(chosen, SECONDS_AGAIN)
    files = sorted({str(TESTS.parent / name.partition("::")[0]) for name in chosen})
    (package / fault.file).write_text(planted)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as selected:
        json.dump(chosen, selected)
        selected.flush()
        passed = run_tests(package, torch, SELECT, [selected.name, *files], SECONDS)
    (package / fault.file).write_text(source)
    return passed


def python_files(package: Path) -> list[str]:
    """The files that faults are drawn from."""
    return [str(path.relative_to(package)) for name in PACKAGES for path in (package / name).rglob("*.py")]


def names_of(file: str) -> dict[str, Any]:
    """What the module of a file defines and imports."""
    module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return vars(importlib.import_module(f"cnncore.{module}"))


def equivalents() -> set[tuple[str, ...]]:
    """The faults that change no result."""
    lines = (Path(__file__).parent / "equivalent.txt").read_text().splitlines()
    rows = [line.split(" | ") for line in lines if line and not line.startswith("#")]
    return {tuple(row[:4]) for row in rows}


def difference(source: str, fault: Fault) -> str:
    """The fault as a unified difference."""
    lines = difflib.unified_diff(
        source.splitlines(), fault.plant(source).splitlines(), fault.file, fault.file, lineterm="", n=1
    )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=200, help="faults to plant")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument(
        "--only", default="", help="files whose path in the package begins so, commas between"
    )
    parser.add_argument("--jobs", type=int, default=1, help="faults that are tried at a time")
    parser.add_argument("--with-torch", action="store_true", help="compare with torch as well")
    parser.add_argument(
        "--covering", type=Path, help="where to keep which tests run which lines, and seek it"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        packages = [copy_package(f"{folder}/{i}") for i in range(options.jobs)]
        covering = cover(packages[0], options.with_torch, options.covering or Path(folder) / "covering")
        sources = {
            file: (packages[0] / file).read_text()
            for file in sorted(python_files(packages[0]))
            if file.startswith(tuple(options.only.split(",")))
        }
        known = equivalents()
        found = [
            fault for file, source in sources.items() for fault in find_faults(source, file, names_of(file))
        ]
        drawn = random.Random(options.seed).sample(found, len(found))
        drawn = [fault for fault in drawn if fault.key not in known][: options.count]
        places: queue.SimpleQueue[tuple[Path, Server]] = queue.SimpleQueue()
        for package in packages:
            places.put((package, serve(package, options.with_torch)))

        def survived(fault: Fault) -> bool:
            begin, (package, server) = time.perf_counter(), places.get()
            source = sources[fault.file]
            lives = survives(fault, source, package, options.with_torch, covering, server)
            places.put((package, server))
            lines = [
                f"{fault.file}:{fault.line} {'SURVIVED' if lives else 'noticed'}"
                f" ({time.perf_counter() - begin:.0f} s)"
            ]
            if lives:
                lines += [difference(source, fault), " | ".join(fault.key), ""]
            print("\n".join(lines), flush=True)
            return lives

        with ThreadPoolExecutor(options.jobs) as pool:
            survivors = sum(pool.map(survived, drawn))
        while not places.empty():
            places.get()[1].close()
    share = 1 - survivors / max(len(drawn), 1)
    print(f"{len(drawn) - survivors} of {len(drawn)} noticed ({share:.1%}), of {len(found)} possible")
    return int(share < SHARE)


if __name__ == "__main__":
    sys.exit(main())
