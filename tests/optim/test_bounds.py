# SPDX-License-Identifier: Apache-2.0
"""The numbers that settings of optimisers and schedules take are those of `bounds.txt`.

`python -m optim.test_bounds` in `tests` writes the file anew; its difference is what they take that
they did not, or the other way round.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bounds import taken
from cnncore import optim
from cnncore.optim import lr_scheduler, swa_utils
from optim.test_refusals import NEEDED, OPTIMIZERS, SCHEDULERS, parameters

FILE = Path(__file__).with_name("bounds.txt")
AVERAGES = [swa_utils.get_ema_avg_fn, swa_utils.get_ema_multi_avg_fn, swa_utils.SWALR]
KINDS = [*OPTIMIZERS, *SCHEDULERS, *AVERAGES]
KINDS.remove(lr_scheduler.LRScheduler)


def lines(kind: Any) -> list[str]:
    if kind in OPTIMIZERS:
        return taken(kind, {"params": parameters()})
    if kind in AVERAGES[:2]:
        return taken(kind, {})
    optimizer = optim.SGD(parameters(), lr=0.1, momentum=0.9)
    for group in optimizer.param_groups:
        group["initial_lr"] = 0.1
    given = NEEDED.get(kind.__name__, {})
    if kind is swa_utils.SWALR:
        given = {"swa_lr": 0.05}
    if kind is not lr_scheduler.OneCycleLR:
        return taken(kind, {"optimizer": optimizer, **given})
    counted = taken(kind, {"optimizer": optimizer, "max_lr": 0.2, "epochs": 2, "steps_per_epoch": 5})
    whole = taken(kind, {"optimizer": optimizer, "max_lr": 0.2, "total_steps": 10})
    return [line for line in counted if ".epoch" in line or ".steps_per" in line] + whole


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_that_are_taken(kind: Any) -> None:
    recorded = [line for line in FILE.read_text().splitlines() if line.startswith(f"{kind.__name__}.")]
    assert lines(kind) == recorded


if __name__ == "__main__":
    FILE.write_text("\n".join(line for kind in KINDS for line in lines(kind)) + "\n")
