# SPDX-License-Identifier: Apache-2.0
"""Fetching a file whose digest is known."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 60


class _TransferError(Exception):
    """The address failed, as opposed to the disk."""


def fetch(url: str, path: str | os.PathLike[str], sha256: str) -> None:
    """Fetch `url` into the file `path`, which appears only once its digest is right.

    Raises:
        OSError: the address cannot be reached or the file cannot be written; nothing is left behind.
        ValueError: what came has another digest; nothing is left behind.
    """
    from ..io.atomic import atomic_write

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    try:
        with atomic_write(path) as file:
            for chunk in _chunks(url):
                digest.update(chunk)
                file.write(chunk)
            if digest.hexdigest() != sha256:
                came = digest.hexdigest()
                raise ValueError(
                    f"{url}: expected a file with SHA-256 {sha256}, got {came}; nothing was kept"
                )
    except _TransferError as error:
        raise OSError(f"cannot fetch {url}: {error}") from None


def _chunks(url: str) -> Iterator[bytes]:
    from http.client import HTTPException
    from urllib.request import urlopen

    try:
        answer: Any
        with urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:
            while chunk := answer.read(_CHUNK):
                yield chunk
    except (OSError, HTTPException) as error:
        raise _TransferError(getattr(error, "reason", None) or error) from None
