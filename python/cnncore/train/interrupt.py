# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C that waits for the step at work."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class StopOnInterrupt:
    """Inside the ``with`` block Ctrl-C only sets `requested`; a second one raises KeyboardInterrupt.

    Training thus ends between steps, with the epoch's callbacks done. Only Python's own handler is replaced,
    and only on the main thread: where Ctrl-C is ignored, as under `nohup`, or handled by the program, it
    does what it did before.
    """

    def __init__(self) -> None:
        self.requested = False
        self._installed = False

    def __enter__(self) -> StopOnInterrupt:
        on_main_thread = threading.current_thread() is threading.main_thread()
        if on_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
            self._installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _handle(self, number: int, frame: FrameType | None) -> Any:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
