# SPDX-License-Identifier: Apache-2.0
"""Writing a file so that a reader sees the old contents or all of the new, never a part."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, cast


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Yield a file to write to; when the ``with`` block ends well it takes the place of `path`.

    The new contents are on disk before they get the name. On any error, a full disk included, the
    half-written file is removed and the file at `path` is as it was.
    """
    target = os.path.realpath(os.fspath(path))
    if os.path.isdir(target):
        raise IsADirectoryError(errno.EISDIR, "expected a file to write, got a folder", target)
    try:
        mode = _mode(target)
        handle, temporary = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".", suffix=".tmp")
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
