# SPDX-License-Identifier: Apache-2.0
"""All applications, one after the other: the figure of each, its time, and whether it reaches what it should.

    CNNCORE_DATA=DIR python examples/run_all.py [NAME...] [--quick]

Without MNIST, FSDD and CIFAR-10 some run on the digits of the package; what they should reach is of the real
data, and their figures are then shown without a judgement, as with --quick. Ends with 1 if one falls short.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ported.example_data import located

FOLDER = Path(__file__).parent


class Demand(NamedTuple):
    """What the figure, or figures, that an example's `main` returns should be."""

    words: str
    holds: Callable[[Any], bool]
    data: str = ""  # without this file or folder it runs on other data


def least(bound: float, data: str = "") -> Demand:
    return Demand(f"at least {bound:g}", lambda figure: figure >= bound, data)


def most(bound: float) -> Demand:
    return Demand(f"at most {bound:g}", lambda figure: figure <= bound)


def above(name: str, other: str) -> Demand:
    return Demand(f"{name} above {other}", lambda figures: figures[name] > figures[other])


def _raised(figures: dict[str, float]) -> bool:
    before, after, table, joined, _ = figures.values()
    return after > before and joined > table


DEMANDS = {
    "seeing/edges": most(0.01),
    "seeing/mlp_against_cnn": Demand(
        "shifted by 2, the CNN above the MLP", lambda found: found["cnn"][2] > found["mlp"][2]
    ),
    "mnist_digits": least(0.995, "mnist"),
    "cifar10_resnet20": least(0.8, "cifar10-jpeg.zip"),
    "cifar10_speedrun": least(0.84, "cifar10-jpeg.zip"),
    "transfer_learning": least(0.1, "resnet20-cifar10.safetensors"),
    "similar_images": above("embeddings", "pixels"),
    "faces": least(0.9),
    "autoencoder": least(10, "mnist"),
    "ported/dcgan": Demand(
        "as bright as real ones; look at --picture", lambda pair: abs(pair[0] - pair[1]) < 0.03, "mnist"
    ),
    "unet_cells": least(0.9),
    "semantic_segmentation": least(0.85),
    "detector": least(0.8),
    "faster_rcnn": least(0.8),
    "tracking": least(0.6),
    "line_reading": most(0.03),
    "satellite_tiles": Demand(
        "the bits of the whole image", lambda f: f["same bits as the whole image"] == 1
    ),
    "volume_segmentation": least(0.9),
    "video_classification": least(0.95),
    "spoken_digits": least(0.97, "fsdd-wav.zip"),
    "keyword_spotting": least(0.9),
    "time_series": above("CNN", "nearest neighbour"),
    "lstm_head": most(1),
    "text_cnn": above("text CNN", "bag of words"),
    "text_features": Demand("both raised by the columns", _raised),
    "dna_motifs": above("CNN", "linear"),
    "graph_convolution": least(0.9),
}
"""By the names of the scripts; the pages in docs/applications/ say what the figures are."""

CALL = """
import inspect, json, runpy, sys
main = runpy.run_path(sys.argv[0], run_name="example")["main"]
quick = {"quick": True} if "--quick" in sys.argv and "quick" in inspect.signature(main).parameters else {}
print(json.dumps(main(**quick), default=float))
"""


def run(name: str, quick: bool) -> Any:
    """Run a script in a process of its own and return what its `main` does."""
    path = FOLDER / f"{name}.py"
    code = (
        f"import sys; sys.argv[0] = {str(path)!r}; sys.path[:0] = {[str(path.parent), str(FOLDER)]}\n{CALL}"
    )
    command = [sys.executable, "-c", code, *(["--quick"] if quick else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def shown(figure: Any) -> str:
    if isinstance(figure, dict):
        return ", ".join(f"{name} {shown(value)}" for name, value in figure.items())
    return " ".join(f"{value:.4g}" for value in (figure if isinstance(figure, list) else [figure]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(DEMANDS)}")
    parser.add_argument("--quick", action="store_true", help="some seconds each, figures without judgement")
    options = parser.parse_args()
    if unknown := set(options.names) - DEMANDS.keys():
        parser.error(f"no application {', '.join(sorted(unknown))}; there are {', '.join(DEMANDS)}")
    begin, short = time.perf_counter(), []
    for name in options.names or DEMANDS:
        demand, start = DEMANDS[name], time.perf_counter()
        figure = run(name, options.quick)
        judged = not options.quick and (not demand.data or located(demand.data) is not None)
        verdict = ("met" if demand.holds(figure) else "SHORT") if judged else "not judged"
        short += [name] if verdict == "SHORT" else []
        print(
            f"{name}: {shown(figure)}; {demand.words}: {verdict}; {time.perf_counter() - start:.0f} s",
            flush=True,
        )
    minutes = (time.perf_counter() - begin) / 60
    print(f"{minutes:.1f} minutes; short of what they should reach: {', '.join(short) or 'none'}")
    return int(bool(short))


if __name__ == "__main__":
    sys.exit(main())
