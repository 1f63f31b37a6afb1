# SPDX-License-Identifier: Apache-2.0
"""Fails where the installed package, packed as a wheel is, is larger than it may be."""

from __future__ import annotations

import io
import sys
import zipfile
from importlib.metadata import files

LIMIT_BYTES = 3_000_000


def main() -> int:
    """Pack the installed files without the bytecode that the installer added."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as wheel:
        for file in files("cnncore") or []:
            if "__pycache__" not in file.parts and ".." not in file.parts:
                wheel.write(str(file.locate()), str(file))
    size = len(packed.getvalue())
    print(f"wheel: {size:,} bytes; at most {LIMIT_BYTES:,}")
    return int(size > LIMIT_BYTES)


if __name__ == "__main__":
    sys.exit(main())
