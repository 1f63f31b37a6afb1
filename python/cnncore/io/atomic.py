# SPDX-License-Identifier: Apache-2.0
"""Writing a file so that a reader sees the old contents or all of the new, never a part."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import BinaryIO, cast

from .._files import check_path

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows, where files that were left behind stay
    fcntl = None

_SUFFIX = ".tmp"
_DRAWN = 8
"""Characters that tempfile puts between prefix and suffix."""


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a file to write to; when the ``with`` block ends well it takes the place of `path`.

    The new contents are on disk before they get the name. On any error, a full disk included, the
    half-written file is removed and the file at `path` is as it was. One that a killed process has left
    behind is removed by the next that writes to `path`. Pipes and devices, such as /dev/stdout, are written
    to as they are: nothing takes their place.
    """
    path = check_path(path)
    target = os.path.realpath(path)
    if os.path.isdir(target):
        raise IsADirectoryError(errno.EISDIR, "expected a file to write, got a folder", target)
    if os.path.exists(path) and not os.path.isfile(path):
        with _open_device(path) as file:
            yield file
        return
    try:
        mode = _mode(target)
        _remove_stale(target)
        handle, temporary = _make_temporary(target)
    except OSError as error:
        raise _naming(target, error) from None
    try:
        with os.fdopen(handle, "wb") as file:
            yield cast(BinaryIO, file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, target)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise _naming(target, error) from None
        raise
    _sync_folder(os.path.dirname(target))


@contextmanager
def _open_device(target: str) -> Iterator[BinaryIO]:
    try:
        with open(target, "wb") as file:
            yield file
    except OSError as error:
        raise _naming(target, error) from None


def _prefix(target: str) -> str:
    # Names have 255 bytes at most; an end of the target's is enough.
    return f".{os.path.basename(target)[-50:]}."


def _make_temporary(target: str) -> tuple[int, str]:
    """Return handle and path of a new file beside the target, locked for as long as its writer lives."""
    while True:
        handle, path = tempfile.mkstemp(dir=os.path.dirname(target), prefix=_prefix(target), suffix=_SUFFIX)
        try:
            if fcntl:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.exists(path):
                return handle, path
        except BlockingIOError:
            pass
        except OSError:  # a file system without locks, where nothing is taken for left behind
            return handle, path
        # Before it was locked another process took it for one left behind.
        os.close(handle)


def _remove_stale(target: str) -> None:
    """Remove temporary files of the target whose writers were killed: nobody holds their locks."""
    folder, prefix = os.path.dirname(target), _prefix(target)
    if fcntl is None:
        return
    for name in os.listdir(folder):
        drawn = name[len(prefix) : -len(_SUFFIX)]
        if not (name.startswith(prefix) and name.endswith(_SUFFIX) and len(drawn) == _DRAWN):
            continue
        path = os.path.join(folder, name)
        with suppress(OSError):
            handle = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)
            finally:
                os.close(handle)


def _naming(target: str, error: OSError) -> OSError:
    """Return the error with the file the user asked for in place of the temporary one."""
    return type(error)(error.errno, error.strerror, target)


def _mode(target: str) -> int:
    """Return the permissions of the file to be replaced, or those a new file would get."""
    try:
        return os.stat(target).st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _sync_folder(folder: str) -> None:
    """Make the new name itself durable, where the system lets folders be synchronised."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
