# SPDX-License-Identifier: Apache-2.0
"""What reading a damaged archive raises."""

from __future__ import annotations

import errno
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_ERRORS = (
    *(ValueError, TypeError, KeyError, IndexError, OverflowError, EOFError, MemoryError, SyntaxError),
    *(NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error),
)


@contextmanager
def damage(refusal: Callable[[str], ValueError]) -> Iterator[None]:
    """Turn what zipfile, h5py and numpy raise for damaged contents within the ``with`` block into one error.

    Args:
        refusal: makes it from a text.
    """
    try:
        yield
    except OSError as error:
        # A place before the file's begin is no valid argument; h5py's own errors have no number.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise refusal(
            str(error)[:500] if error.errno is None else "it names places it does not have"
        ) from None
    except _ERRORS as error:
        text = str(error)[:500]
        plain = isinstance(error, ValueError | zipfile.BadZipFile)
        raise refusal(text if plain else f"{type(error).__name__}: {text}") from None
