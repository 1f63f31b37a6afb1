# SPDX-License-Identifier: Apache-2.0
"""Choosing convolution algorithms by measuring them where they run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph.tensor import Graph
from ..profiling import Table
from .choices import Choices, Problem, build, find_problems
from .program import Executable

LEAST_TURNS = 3
RUNS_A_TURN = 3
"""The first of them brings the program's weights back into the caches, where they fit."""


@dataclass
class Measurement:
    """The sum of the least seconds of each step of a program, and of those of each node by its place."""

    total: float
    nodes: dict[int, float]

    def of(self, problem: Problem) -> float:
        """Seconds of all nodes with a problem."""
        return sum(self.nodes[place] for place in problem.places)


def measure(
    programs: Sequence[Executable], arrays: Sequence[NDArray[Any]], seconds: float
) -> list[Measurement]:
    """Time programs in turns, for about `seconds`."""
    least: list[NDArray[np.float64]] = [np.full(len(program.steps), np.inf) for program in programs]
    end = time.perf_counter() + seconds
    turns = 0
    while turns < LEAST_TURNS or time.perf_counter() < end:
        turns += 1
        for i, program in enumerate(programs):
            for _ in range(RUNS_A_TURN):
                taken = program.measure(arrays)
                least[i] = np.minimum(least[i], taken)
    return [
        Measurement(float(taken.sum()), _by_node(program, taken))
        for program, taken in zip(programs, least, strict=True)
    ]


def _by_node(program: Executable, seconds: NDArray[np.float64]) -> dict[int, float]:
    nodes: dict[int, float] = {}
    for step in program.run_steps:
        if step.node is not None:
            place = program.places[step.node]
            nodes[place] = nodes.get(place, 0.0) + float(seconds[step.index])
    return nodes


class Tuner:
    """Looks for the fastest algorithm of each problem of a graph.

    A contest in rounds: each round has every problem's best so far in one program and another candidate in
    another, so that candidates meet the caches as the steps before leave them, and few programs are held at
    once. A candidate must be faster by `margin`, and once more, when all winners run together.
    """

    def __init__(
        self,
        graph: Graph,
        program: Executable,
        arrays: Sequence[NDArray[Any]],
        seconds: float,
        margin: float,
    ) -> None:
        self._graph = graph
        self._arrays = arrays
        self._seconds = seconds
        self._margin = margin
        self._problems = {t: p for t, p in find_problems(graph).items() if _runs(program, p)}
        self._least: dict[str, dict[str, dict[int, float]]] = {text: {} for text in self._problems}
        self.before: Choices = {text: problem.algorithm for text, problem in self._problems.items()}
        self.choices = self._contest(program)
        self.program, self._ends = self._confirm(program)

    def _contest(self, program: Executable) -> Choices:
        """Return the winners."""
        best, holder = dict(self.before), program
        others = {
            text: [name for name in problem.candidates if name != self.before[text]]
            for text, problem in self._problems.items()
        }
        for place in range(max(map(len, others.values()), default=0)):
            tried = {text: names[place] for text, names in others.items() if place < len(names)}
            ours, theirs = measure(
                [holder, build(self._graph, {**best, **tried})], self._arrays, self._seconds
            )
            winners = {
                text: name for text, name in tried.items() if self._wins(text, best[text], ours, name, theirs)
            }
            if winners and place + 1 < max(map(len, others.values())):
                holder = build(self._graph, {**best, **winners})
            best.update(winners)
        return best

    def _confirm(self, program: Executable) -> tuple[Executable, tuple[Measurement, Measurement]]:
        """Take back what is not faster in the end; return the program, and the times before and after."""
        while self.choices != self.before:
            tuned = build(self._graph, self.choices)
            old, new = measure([program, tuned], self._arrays, self._seconds)
            lost = {
                text: self.before[text]
                for text, problem in self._problems.items()
                if self.choices[text] != self.before[text] and new.of(problem) >= old.of(problem)
            }
            if not lost:
                return tuned, (old, new)
            self.choices.update(lost)
        nodes = [node for problem in self._problems.values() for node in problem.nodes]
        if any(node.attrs.algorithm.declined for node in nodes):
            program = build(self._graph, self.choices)  # measured now, no longer by what is told of them
        (same,) = measure([program], self._arrays, self._seconds)
        return program, (same, same)

    def _wins(self, text: str, holder: str, ours: Measurement, challenger: str, theirs: Measurement) -> bool:
        problem = self._problems[text]
        for name, found in ((holder, ours), (challenger, theirs)):
            least = self._least[text].setdefault(name, {})
            for place in problem.places:
                least[place] = min(found.nodes[place], least.get(place, np.inf))
        return theirs.of(problem) < (1.0 - self._margin) * ours.of(problem)

    def table(self) -> Table:
        """Return a row for each convolution: its candidates, what was chosen, ms before and after."""
        rows = Table()
        found = [(place, text) for text, problem in self._problems.items() for place in problem.places]
        before, after = self._ends
        for place, text in sorted(found):
            least, node = self._least[text], self._graph.nodes[place]
            rows.append(
                {
                    "layer": node.path,
                    "step": node.op.name,
                    "before": self.before[text],
                    "chosen": self.choices[text],
                    "ms_before": before.nodes[place] * 1e3,
                    "ms": after.nodes[place] * 1e3,
                    "candidates": {name: least[name][place] * 1e3 for name in least},
                }
            )
        changed = sum(row["before"] != row["chosen"] for row in rows)
        rows.total = {"layer": "whole run", "ms_before": before.total * 1e3, "ms": after.total * 1e3}
        rows.notes = [f"{changed} of {len(rows)} convolutions changed their algorithm"]
        return rows


def _runs(program: Executable, problem: Problem) -> bool:
    """Whether the problem is solved in each run, not once at setup."""
    run = {program.places[step.node] for step in program.run_steps if step.node is not None}
    return run.issuperset(problem.places)


def tune(
    graph: Graph, program: Executable, arrays: Sequence[NDArray[Any]], seconds: float, margin: float
) -> tuple[Executable, Mapping[str, str], Table]:
    """Return the fastest program found, which may be `program`, its choices and what was measured."""
    tuner = Tuner(graph, program, arrays, seconds, margin)
    return tuner.program, tuner.choices, tuner.table()
