# SPDX-License-Identifier: Apache-2.0
"""PyTorch networks by `torch.compile(backend="cnncore")`, beside cnncore's own networks and torch's inductor.

The same weights and data in each, answers compared, calls interleaved in one process:
`python benchmarks/torch_backend.py --threads 1`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import torch

import arguments
from cnncore.torch_backend import backend
from measure import inference, training
from networks import NETWORKS, Network, State
from peers import Predict, Runner, Step, pytorch, runners
from results import Row

NAMES = ("resnet50", "mobilenet_v2", "unet")
OURS, NATIVE = "torch compile cnncore", "cnncore"
UNGUARDED = f"{OURS}, modules unguarded"


def _compiled(function: Any, **options: Any) -> Any:
    return torch.compile(
        function, backend=backend, fullgraph=True, dynamic=False, isolate_recompiles=True, **options
    )


def _predictor(network: Network, state: State, batch: int) -> Predict:
    model = pytorch.module(network, state).eval()
    return pytorch.predict_with(_compiled(model), torch.contiguous_format)


def _unguarded(network: Network, state: State, batch: int) -> Predict:
    model = pytorch.module(network, state).eval()
    options = {"guard_filter_fn": torch.compiler.skip_guard_on_all_nn_modules_unsafe}
    return pytorch.predict_with(_compiled(model, options=options), torch.contiguous_format)


def _trainer(network: Network, state: State | None) -> Step:
    model = pytorch.module(network, state).train()
    return pytorch.train_with(model, _compiled(pytorch.loss_of(model)), torch.contiguous_format)


def line(row: Row) -> str:
    """Milliseconds of each runner, and how many times the backend's time the others take."""
    times = {name: timing.minimum for name, timing in row.times.items()}
    inductor = min(t for name, t in times.items() if name.startswith("torch compile") and OURS not in name)
    columns = [f"{row.network} {row.mode} batch {row.batch}"]
    columns += [f"{name} {1e3 * seconds:.2f} ms" for name, seconds in times.items()]
    columns.append(f"backend / native {times[OURS] / times[NATIVE]:.3f}")
    columns.append(f"inductor / backend {inductor / times[OURS]:.2f}")
    return " | ".join(columns)


def main(given: Sequence[str] | None = None) -> None:
    """Print a line for each network and batch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--networks", type=arguments.names(NETWORKS), default=list(NAMES), help="comma-separated"
    )
    parser.add_argument("--batches", type=arguments.counts, default=[1, 32], help="comma-separated")
    parser.add_argument("--threads", type=arguments.threads, default=1)
    parser.add_argument("--seconds", type=arguments.seconds, default=2.0, help="for each runner")
    parser.add_argument("--training", action="store_true", help="steps of training instead of inference")
    options = parser.parse_args(given)
    taking_part = [
        *runners("cnncore", options.threads)[:1],
        *runners("torch_compile", options.threads),
        Runner(OURS, _predictor, _trainer, pytorch.initial_state),
        *([] if options.training else [Runner(UNGUARDED, _unguarded, _trainer, pytorch.initial_state)]),
    ]
    measured = training if options.training else inference
    for name in options.networks:
        for batch in options.batches:
            row = measured(NETWORKS[name], batch, taking_part, options.seconds)
            print(line(row), *row.notes, sep="\n", flush=True)


if __name__ == "__main__":
    main()
