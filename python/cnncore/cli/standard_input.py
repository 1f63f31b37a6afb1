# SPDX-License-Identifier: Apache-2.0
"""What `-` stands for: an image, or a list of files."""

from __future__ import annotations

import os
import sys

STDIN = "-"

_IMAGE_STARTS = (
    *(b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*", b"\x93NUMPY"),
    *(b"P2", b"P3", b"P5", b"P6"),
)


def read_stdin() -> tuple[list[str], bytes | None]:
    """Return the names of files on standard input, one a line or ended by NUL, or the image that it is."""
    content = sys.stdin.buffer.read()
    if is_image(content):
        return [], content
    separator = b"\0" if b"\0" in content else b"\n"
    names = [os.fsdecode(line.rstrip(b"\r")) for line in content.split(separator)]
    return [name for name in names if name], None


def is_image(content: bytes) -> bool:
    """Whether bytes begin as an image does, and not with the name of a file.

    >>> is_image(b"GIF89a..."), is_image(b"photos/a.jpg"), is_image(b"")
    (True, False, False)
    """
    if not content.startswith(_IMAGE_STARTS) and content[4:8] != b"ftyp":
        return False
    first = content.split(b"\n")[0].split(b"\0")[0].rstrip(b"\r")
    return not first or not os.path.exists(first)
