# SPDX-License-Identifier: Apache-2.0
"""Networks against peers: the same weights and data in each, answers compared, calls interleaved."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cnncore.bench.timing import interleaved
from networks import Array, Network, State, with_statistics
from peers import Runner, UnavailableError
from results import Row

TRAINING_STEPS_COMPARED = 3
OUTPUT_TOLERANCE = 2e-3
"""Of the largest output: float32 sums of a few thousand products in another order, with Winograd's share."""
FIRST_LOSS_TOLERANCE = 1e-4
DRIFT_TOLERANCE = 2e-2
"""Of the losses after an update: roundings decide single ReLUs, and training amplifies that. On resnet50 the
third losses of PyTorch's own two memory formats lie 2e-3 apart, where the first differ by 1e-7."""


class WrongAnswerError(AssertionError):
    """A runner's answer is not the others'; its time means nothing."""


def initial_state(network: Network, runners: list[Runner]) -> State:
    """Weights every runner is given, from the first that can make them."""
    reasons = ["none of the runners can initialise weights"]
    for runner in runners:
        try:
            if runner.state is not None:
                return with_statistics(runner.state(network))
        except UnavailableError as reason:
            reasons.append(str(reason))
    raise UnavailableError("; ".join(dict.fromkeys(reasons)))


def inference(network: Network, batch: int, runners: list[Runner], seconds: float) -> Row:
    """Time `predict(x)` of each runner, after checking that all give the same answer."""
    row = Row(network.name, "inference", batch)
    x, _ = network.data(batch)
    state = initial_state(network, runners)
    calls: dict[str, Callable[[], object]] = {}
    answers: dict[str, Array] = {}
    for runner in runners:
        try:
            predict = runner.predictor(network, state, batch)
        except UnavailableError as reason:
            row.notes.append(f"{runner.name}: {reason}")
            continue
        answers[runner.name] = predict(x)
        calls[runner.name] = lambda predict=predict: predict(x)
    _compare(row, answers, OUTPUT_TOLERANCE)
    row.times = interleaved(calls, seconds)
    return row


def training(network: Network, batch: int, runners: list[Runner], seconds: float) -> Row:
    """Time a training step of each runner, after checking that the first losses agree."""
    row = Row(network.name, "training", batch)
    x, y = network.data(batch)
    state = initial_state(network, runners)
    calls: dict[str, Callable[[], object]] = {}
    answers: dict[str, Array] = {}
    for runner in runners:
        if runner.trainer is None:
            continue
        try:
            step = runner.trainer(network, state)
            losses = [step(x, y) for _ in range(TRAINING_STEPS_COMPARED)]
        except UnavailableError as reason:
            row.notes.append(f"{runner.name}: {reason}")
            continue
        answers[runner.name] = np.array(losses, np.float32)
        calls[runner.name] = lambda step=step: step(x, y)
    if network.random:
        row.notes.append("losses not compared: dropout draws other numbers in each library")
    else:
        _compare(row, {name: losses[:1] for name, losses in answers.items()}, FIRST_LOSS_TOLERANCE)
        _compare(row, answers, DRIFT_TOLERANCE)
    row.times = interleaved(calls, seconds)
    return row


def _compare(row: Row, answers: dict[str, Array], tolerance: float) -> None:
    """Note each answer's distance from the first; an answer that is wrong stops the benchmark."""
    if not answers:
        return
    names = list(answers)
    reference = answers[names[0]]
    scale = float(np.abs(reference).max())
    for name in names[1:]:
        error = float(np.abs(answers[name] - reference).max()) / scale
        row.errors[name] = error
        if not error <= tolerance:
            raise WrongAnswerError(
                f"{row.network} {row.mode} batch {row.batch}: {name} and {names[0]} differ "
                f"by {error:.1e} of the largest value"
            )
