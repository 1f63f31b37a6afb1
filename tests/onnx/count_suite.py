# SPDX-License-Identifier: Apache-2.0
"""Write `suite_counts.json`: what passes of onnx's own tests, for `test_suite.py` to compare with."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import onnx


def main() -> None:
    """Run the tests of all kinds, and write how many pass and are skipped."""
    path = Path(__file__).with_name("test_suite.py")
    spec = importlib.util.spec_from_file_location("test_suite", path)
    assert spec is not None
    assert spec.loader is not None
    suite = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(suite)
    counts: dict[str, object] = {"onnx": onnx.__version__}
    for kind, part in suite.KINDS.items():
        result = suite.run_suite(part)
        counts[kind] = {"passed": len(result.passed), "skipped": len(result.left)}
        for name, reason in {**result.broken, **result.left}.items():
            print(name, reason)
        if kind == "node":
            vision = suite._vision_tests()
            counts["vision"] = {"passed": len(vision & set(result.passed)), "all": len(vision)}
    suite.COUNTS.write_text(json.dumps(counts, indent=1) + "\n")


if __name__ == "__main__":
    main()
