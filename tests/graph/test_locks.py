# SPDX-License-Identifier: Apache-2.0
"""Locks that a forked child finds free."""

from __future__ import annotations

import os
import threading
import warnings
from types import SimpleNamespace

import pytest

from cnncore.graph.locks import fork_safe


class Owner(SimpleNamespace):
    """What a lock belongs to."""

    __hash__ = object.__hash__


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_lock_that_another_thread_held_is_free_in_the_child() -> None:
    owner = Owner()
    owner.lock = fork_safe(owner, "lock", threading.Lock)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with owner.lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads, which this is about
        child = os.fork()
    if child == 0:
        os._exit(int(not owner.lock.acquire(blocking=False)))
    status = os.waitpid(child, 0)[1]
    assert not owner.lock.acquire(blocking=False)  # the parent's is as it was
    done.set()
    thread.join()
    assert status == 0
