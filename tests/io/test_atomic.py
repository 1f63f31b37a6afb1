# SPDX-License-Identifier: Apache-2.0
"""Files are replaced whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnncore import io
from cnncore.cli.model_file import keep_older
from cnncore.io.atomic import atomic_write

OLD = {"x": np.arange(3.0)}
NEW = {"x": np.arange(5.0)}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    io.save(OLD, tmp_path / "m")
    return tmp_path / "m"


def unchanged(path: Path) -> None:
    np.testing.assert_array_equal(io.load(path)["x"], OLD["x"])
    assert os.listdir(path.parent) == [path.name]


def test_replaces(target: Path) -> None:
    io.save(NEW, target)
    np.testing.assert_array_equal(io.load(target)["x"], NEW["x"])
    assert os.listdir(target.parent) == ["m"]


def test_error_while_writing_keeps_the_old_file(target: Path) -> None:
    def interrupted() -> None:
        with atomic_write(target) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    unchanged(target)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_full_disk_keeps_the_old_file(target: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere/.tmp")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match=rf"No space left on device: '{target}'"):
        io.save(NEW, target)
    monkeypatch.undo()
    unchanged(target)


def test_file_size_limit_keeps_the_old_file(target: Path) -> None:
    """The system itself refuses, in the middle of the data."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match=rf"File too large: '{target}'"):
            io.save({"x": np.zeros(1_000_000)}, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    unchanged(target)


def test_unwritable_folder(target: Path) -> None:
    folder = target.parent
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        if os.access(folder, os.W_OK):
            pytest.skip("this user may write anywhere")
        with pytest.raises(PermissionError, match=f"'{target}'"):
            io.save(NEW, target)
    finally:
        folder.chmod(stat.S_IRWXU)
    unchanged(target)


def test_missing_folder_and_folder_as_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"'{tmp_path}/none/m'"):
        io.save(NEW, tmp_path / "none" / "m")
    with pytest.raises(IsADirectoryError, match="expected a file to write, got a folder"):
        io.save(NEW, tmp_path)
    assert os.listdir(tmp_path) == []


def test_keeps_permissions_and_follows_links(target: Path) -> None:
    target.chmod(0o640)
    link = target.parent / "link"
    link.symlink_to(target)
    io.save(NEW, link)
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    np.testing.assert_array_equal(io.load(target)["x"], NEW["x"])


def test_new_files_have_the_usual_permissions(tmp_path: Path) -> None:
    io.save(NEW, tmp_path / "m")
    (tmp_path / "plain").touch()
    assert (tmp_path / "m").stat().st_mode == (tmp_path / "plain").stat().st_mode


def killed_while_writing(path: Path) -> None:
    """Leave behind what a process leaves that is killed while it writes to `path`."""
    script = (
        "import os, signal, sys\n"
        "from cnncore.io.atomic import atomic_write\n"
        "with atomic_write(sys.argv[1]) as file:\n"
        "    file.write(bytes(1000)); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)]).returncode == -signal.SIGKILL


def test_files_of_killed_writers_are_removed_by_the_next_one(target: Path) -> None:
    pytest.importorskip("fcntl")
    folder = target.parent
    for _ in range(2):
        killed_while_writing(target)
        assert len(os.listdir(folder)) == 2  # the second one removed what the first had left
    killed_while_writing(folder / "other")
    np.testing.assert_array_equal(io.load(target)["x"], OLD["x"])
    (folder / ".m.notes.tmp").touch()
    with atomic_write(target) as outer:
        outer.write(b"outer")
        io.save(NEW, target)  # while another writer lives, whose file must stay
        np.testing.assert_array_equal(io.load(target)["x"], NEW["x"])
    assert target.read_bytes() == b"outer"
    assert sorted(os.listdir(folder))[0] == ".m.notes.tmp"
    left = [name for name in os.listdir(folder) if name.endswith(".tmp") and name != ".m.notes.tmp"]
    assert len(left) == 1
    assert left[0].startswith(".other.")
    io.save(NEW, folder / "other")
    assert sorted(os.listdir(folder)) == [".m.notes.tmp", "m", "other"]


def test_long_names(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250)
    io.save(NEW, path)
    assert os.listdir(tmp_path) == [path.name]


def test_pipes_and_devices_stay_what_they_are(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    with atomic_write(pipe) as file:
        file.write(b"whole")
    reader.join()
    assert found == [b"whole"]
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)
    assert keep_older(str(pipe)) is None
    assert os.listdir(tmp_path) == ["pipe"]
