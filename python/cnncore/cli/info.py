# SPDX-License-Identifier: Apache-2.0
"""`cnncore info`."""

from __future__ import annotations

import argparse

from .. import runtime
from .networks import names
from .output import print_result


def run(options: argparse.Namespace) -> None:
    """Print what cnncore runs on and which networks there are."""
    report = runtime.info()
    if options.peak:
        report.update(runtime.measure_peak())
    report["networks"] = names()
    print_result(options, repr(report), dict(report))
