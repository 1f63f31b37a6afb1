# SPDX-License-Identifier: Apache-2.0
"""Results for people or for machines."""

from __future__ import annotations

import argparse
import json
from typing import Any


class UsageError(ValueError):
    """Options that cannot go together, which shows only once the command runs."""


class NonFiniteLossError(Exception):
    """The loss of a training became NaN or infinite; what was finite is saved."""


class SomeFailedError(Exception):
    """Some of the files of a command could not be read; stderr names them, and all else is done."""


def print_result(options: argparse.Namespace, text: str, result: Any) -> None:
    """Print the text, or with `--json` the result."""
    print(json.dumps(result) if options.json else text)
