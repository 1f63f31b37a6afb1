# SPDX-License-Identifier: Apache-2.0
"""From arguments to a command and an exit code."""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from .output import NonFiniteLossError, SomeFailedError, UsageError
from .parser import parser
from .ranks import end_all

FAILURE = 1
USAGE = 2
NONFINITE = 3
INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        argv: the arguments; by default those of the process.

    Returns:
        The exit code: 0 done, 1 failed (one line on stderr says why), 2 options that do not go together, 3
        the loss became NaN or infinite (the last finite model is saved), 130 interrupted. Other wrong usage
        ends in `SystemExit` with code 2.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files that the terminal cannot show
    options = parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        # What Pillow remarks about an image it can read.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.showwarning = _show_warning
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    try:
        if options.threads is not None:
            from .. import runtime

            runtime.set_num_threads(options.threads)
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("cnncore: interrupted", file=sys.stderr)
        return INTERRUPTED
    except NonFiniteLossError as error:
        print(f"cnncore: error: {_one_line(error)}", file=sys.stderr)
        return NONFINITE
    except (SomeFailedError, ValueError, TypeError, OSError, ImportError, MemoryError, RuntimeError) as error:
        print(f"cnncore: error: {_one_line(error)}", file=sys.stderr)
        code = USAGE if isinstance(error, UsageError) else FAILURE
        end_all(code)
        return code
    return 0


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Show a warning without the line of source that it is about."""
    print(f"cnncore: warning: {' '.join(str(message).split())}", file=sys.stderr)


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename or repr('')}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
