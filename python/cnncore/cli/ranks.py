# SPDX-License-Identifier: Apache-2.0
"""`mpiexec -n 4 cnncore train`: the processes that train together."""

from __future__ import annotations

import os
import sys
from typing import Any

_SIZES = ("PMI_SIZE", "PMIX_SIZE", "OMPI_COMM_WORLD_SIZE")
"""Variables by which those who start processes say how many there are (MPICH and Slurm, Open MPI)."""


def communicator() -> Any:
    """Return the communicator of all processes that were started together; None for a single one.

    Raises:
        ImportError: there are several, and no mpi4py.
    """
    started = [os.environ[name] for name in _SIZES if os.environ.get(name, "").isdigit()]
    if not started or int(started[0]) < 2:
        return None
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            f"{started[0]} processes were started together, which takes mpi4py and an MPI library: "
            f"pip install 'cnncore[mpi]' ({error})"
        ) from error
    return MPI.COMM_WORLD


def end_all(code: int) -> None:
    """End the processes that were started with this one, which has failed and said why."""
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is not None and mpi.COMM_WORLD.Get_size() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        mpi.COMM_WORLD.Abort(code)
