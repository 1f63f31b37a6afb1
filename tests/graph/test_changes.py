# SPDX-License-Identifier: Apache-2.0
"""Changes of what programs are made from are counted."""

from __future__ import annotations

import pytest

from cnncore.graph.changes import Changes, changes


def test_a_change_is_counted_before_and_after() -> None:
    """Who looks while it is made, and who looks when it failed, sees another number than before."""
    before = changes.structure
    with changes.of_structure():
        within = changes.structure
        assert within > before
    assert changes.structure > within
    with pytest.raises(KeyError), changes.of_structure():
        raise KeyError
    assert changes.structure > within + 1


def test_numbers_begin_after_that_of_no_change() -> None:
    counted = Changes()
    assert counted.structure == 0
    counted.note()
    assert counted.structure == 1
