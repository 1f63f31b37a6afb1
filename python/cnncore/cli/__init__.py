# SPDX-License-Identifier: Apache-2.0
"""The command line: `cnncore` and `python -m cnncore`."""

from .main import main

__all__ = ["main"]
