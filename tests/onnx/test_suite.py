# SPDX-License-Identifier: Apache-2.0
"""onnx's own tests of backends; `suite_counts.json` holds how many pass, which never falls."""

from __future__ import annotations

import json
import re
import unittest
import warnings
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx.checker", reason="the tests' own folder is importable as onnx")
onnx = pytest.importorskip("onnx")

COUNTS = Path(__file__).with_name("suite_counts.json")

EXCEPTED = {
    r"test_bernoulli": "random numbers are drawn by another generator than numpy's old one",
    r"test_attention_4d_causal_fp16": "the expected values are sums in float16, further from the exact ones",
    r"test_loop16_seq_none": "the harness takes the length of an array without axes",
    r"test_inception_v1": "equal weights give sums of 1e21, whose last bits the softmax shows",
}
"""What is left out, and why."""

VISION = frozenset(Path(__file__).with_name("vision_operators.txt").read_text().split())
"""Operators of convolutional networks and of vision."""

KINDS = {"node": "Node", "simple": "Simple", "converted": "PyTorchConverted", "operator": "PyTorchOperator"}


class _Counting(unittest.TestResult):
    """Keeps what became of each test, by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.passed: list[str] = []
        self.left: dict[str, str] = {}
        self.broken: dict[str, str] = {}

    def addSuccess(self, test: Any) -> None:  # noqa: N802
        self.passed.append(_name(test))

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802
        self.left[_name(test)] = reason

    def addFailure(self, test: Any, error: Any) -> None:  # noqa: N802
        self.broken[_name(test)] = str(error[1])[-500:]

    addError = addFailure  # noqa: N815


def _name(test: Any) -> str:
    name: str = test.id().split(".")[-1]
    return name.removesuffix("_cpu")


def run_suite(part: str) -> _Counting:
    """Run the tests of a kind on CPUs."""
    import onnx.backend.test

    from cnncore.onnx.backend import CnncoreBackend

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numpy, where onnx makes its data
        tests = onnx.backend.test.BackendTest(CnncoreBackend, __name__)
        cases = [case for name, case in tests.test_cases.items() if part in name]
        result = _Counting()
        suite = unittest.TestSuite(
            test
            for case in cases
            for test in unittest.defaultTestLoader.loadTestsFromTestCase(case)
            if test.id().endswith("_cpu") and not any(re.match(p, _name(test)) for p in EXCEPTED)
        )
        suite.run(result)
    return result


def _vision_tests() -> set[str]:
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tests = load_model_tests(kind="node")
    return {
        test.name
        for test in tests
        if "_expanded" not in test.name and all(node.op_type in VISION for node in test.model.graph.node)
    }


@pytest.mark.parametrize("kind", KINDS)
def test_what_passes_never_falls(kind: str) -> None:
    result = run_suite(KINDS[kind])
    counts = json.loads(COUNTS.read_text())
    known = counts[kind]
    if onnx.__version__ == counts["onnx"]:
        assert result.broken == {}
        assert len(result.passed) >= known["passed"], sorted(result.left)
        assert len(result.left) <= known["skipped"]
    else:
        assert len(result.passed) >= known["passed"]
    assert all(reason for reason in result.left.values())
    if kind == "node":
        vision = _vision_tests()
        assert set(result.left) & vision == set()
        assert len(vision & set(result.passed)) >= counts["vision"]["passed"]


@pytest.mark.slow
def test_real_networks() -> None:
    result = run_suite("Real")
    assert result.broken == {}
    assert len(result.passed) >= 8
