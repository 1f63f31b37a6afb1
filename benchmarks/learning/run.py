# SPDX-License-Identifier: Apache-2.0
"""Trains networks on real data until they are as good as asked for, here and in PyTorch.

    CNNCORE_DATA=DIR python benchmarks/learning/run.py [mnist fsdd cifar10] [--out FILE] [--quick]

Both frameworks train with the same network, data, recipe and threads; their epochs take turns, so that what
else the machine does meets both. Times are those of training with the preparation of batches and, in the
first epoch, compiling; the test is not counted. Seconds of cores are those that all threads computed. On a
machine that does other things, too, they say more, and OMP_WAIT_POLICY=passive keeps torch's threads from
spinning while they wait for one that is not running. `--only cnncore` leaves the other out, `--quick` takes
some hundred samples.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from cnncore import get_num_threads
from cnncore.bench.machine import describe
from recipes import READERS, RECIPES, Recipe, Sets

FRAMEWORKS = {"cnncore": "", "torch": "_torch"}
"""The end of the names of a framework's scripts."""
QUICK_SAMPLES = 512


@dataclass
class Course:
    """What a framework did in each epoch: seconds, those of all cores together, test accuracy at its end."""

    seconds: list[float] = field(default_factory=list)
    core_seconds: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)

    def epochs_to(self, target: float) -> int | None:
        """Epochs until the test accuracy was at least `target`."""
        return next((i + 1 for i, accuracy in enumerate(self.accuracy) if accuracy >= target), None)


def compare(task: str, sets: Sets, recipe: Recipe, frameworks: list[str]) -> dict[str, Course]:
    """Train in each framework, epoch by epoch in turn."""
    runs = {name: importlib.import_module(task + FRAMEWORKS[name]).train(sets, recipe) for name in frameworks}
    courses = {name: Course() for name in runs}
    for epoch in range(recipe.epochs):
        for name, run in runs.items():
            course, begin, begin_of_cores = courses[name], time.perf_counter(), time.process_time()
            accuracy = next(run)
            course.seconds.append(time.perf_counter() - begin)
            course.core_seconds.append(time.process_time() - begin_of_cores)
            course.accuracy.append(accuracy())
            print(
                f"{task} {name:8} epoch {epoch + 1:2}  {sum(course.seconds):8.1f} s  "
                f"{sum(course.core_seconds):8.1f} s of cores  {course.accuracy[-1]:.2%}",
                flush=True,
            )
    return courses


def summary(recipe: Recipe, courses: Mapping[str, Course]) -> dict[str, Any]:
    """Times to the target and how many times longer torch takes, as the result file has them."""
    result: dict[str, Any] = {
        "recipe": asdict(recipe),
        "courses": {name: asdict(course) for name, course in courses.items()},
    }
    for kind in ("seconds", "core_seconds"):
        times = {}
        for name, course in courses.items():
            epochs = course.epochs_to(recipe.target)
            times[name] = None if epochs is None else sum(getattr(course, kind)[:epochs])
        result[f"{kind}_to_target"] = times
        ours, theirs = times.get("cnncore"), times.get("torch")
        result[f"torch_by_cnncore_{kind}"] = theirs / ours if ours and theirs else None
    return result


def frameworks_of(task: str, only: str | None) -> list[str]:
    """The frameworks that have a script for the task and are installed."""
    here = Path(__file__).parent
    names = [name for name, end in FRAMEWORKS.items() if (here / f"{task}{end}.py").exists()]
    if "torch" in names and importlib.util.find_spec("torch") is None:
        print("torch is not installed: left out", file=sys.stderr)
        names.remove("torch")
    return [name for name in names if only in (None, name)]


def main(arguments: list[str] | None = None) -> int:
    """Run the tasks, print each epoch, and write the result file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tasks", nargs="*", default=list(RECIPES), help=", ".join(RECIPES))
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("CNNCORE_DATA"), help="the folder of data sets"
    )
    parser.add_argument("--only", choices=FRAMEWORKS, help="one framework alone")
    parser.add_argument("--epochs", type=int, help="instead of the recipes'")
    parser.add_argument("--out", type=Path, help="the JSON file to write")
    parser.add_argument("--quick", action="store_true", help=f"two epochs of {QUICK_SAMPLES} samples")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.tasks) - RECIPES.keys())
    if unknown:
        parser.error(f"expected tasks among {', '.join(RECIPES)}, got {', '.join(unknown)}")
    if options.epochs is not None and not 1 <= options.epochs < 2**31:
        parser.error(f"expected --epochs from 1 to {2**31 - 1}, got {options.epochs}")
    if options.data is None:
        parser.error(
            "--data DIR, or CNNCORE_DATA, names the folder with mnist/, cifar10-jpeg.zip, fsdd-wav.zip"
        )
    policy = os.environ.get("OMP_WAIT_POLICY", "not set")
    results: dict[str, Any] = {
        "machine": describe() | {"threads": get_num_threads(), "OMP_WAIT_POLICY": policy}
    }
    for task in options.tasks:
        sets, recipe = READERS[task](Path(options.data)), RECIPES[task]
        epochs = options.epochs or (2 if options.quick else recipe.epochs)
        if options.quick:
            sets = sets.first(QUICK_SAMPLES)
        recipe = replace(recipe, epochs=epochs)
        names = frameworks_of(task, options.only)
        if "torch" in names:
            importlib.import_module("torch").set_num_threads(get_num_threads())
        results[task] = summary(recipe, compare(task, sets, recipe, names))
        print(_line(task, recipe, results[task]))
        if options.out is not None:
            options.out.write_text(json.dumps(results, indent=1) + "\n")
    return 0


def _line(task: str, recipe: Recipe, result: Mapping[str, Any]) -> str:
    times = [
        f"{name} {'not reached' if seconds is None else f'{seconds:.1f} s'}"
        for name, seconds in result["seconds_to_target"].items()
    ]
    line = f"{task}, seconds to {recipe.target:.0%}: {', '.join(times)}"
    ratio, of_cores = (result[f"torch_by_cnncore_{kind}"] for kind in ("seconds", "core_seconds"))
    return line + (f"; torch by cnncore {ratio:.2f}, of cores {of_cores:.2f}" if ratio else "")


if __name__ == "__main__":
    sys.exit(main())
