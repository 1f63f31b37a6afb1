# SPDX-License-Identifier: Apache-2.0
"""`cnncore train` in several processes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import mpi_ranks
from cnncore.cli.ranks import communicator

CNNCORE = (sys.executable, "-m", "cnncore")


def test_processes_train_together_and_one_of_them_says_so(tmp_path: Path) -> None:
    out = tmp_path / "digits.safetensors"
    options = ("--epochs", "2", "--batch-size", "16", "--mixup", "0.1", "--out", str(out), "--json")
    done = mpi_ranks.start(2, *CNNCORE, "train", "digits", *options)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["test_accuracy"] > 0.5
    assert done.stderr.count("in each of 2 processes") == done.stderr.count("epoch 2/2") == 1
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_a_process_that_fails_ends_all(tmp_path: Path) -> None:
    program = (
        "import sys; from mpi4py import MPI; from cnncore.cli import main\n"
        "out = sys.argv[1] if MPI.COMM_WORLD.Get_rank() else sys.argv[1] + '/m.safetensors'\n"
        "sys.exit(main(['train', 'digits', '--epochs', '1', '--out', out]))"
    )
    done = mpi_ranks.start(2, sys.executable, "-c", program, str(tmp_path))
    assert done.returncode != 0
    assert "expected a file to write, got a folder" in done.stderr


def test_processes_without_mpi4py(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PMI_SIZE", "PMIX_SIZE", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert communicator() is None
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "1")
    assert communicator() is None
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=r"4 processes were started together.*cnncore\[mpi\]"):
        communicator()
