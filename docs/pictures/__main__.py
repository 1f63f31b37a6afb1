# SPDX-License-Identifier: Apache-2.0
"""The pictures of the applications' pages, drawn from what their scripts find.

    python docs/pictures [NAME...] [--keep DIR]

Each example is run whole, as `python examples/NAME.py` does, with the data that CNNCORE_DATA names, and
becomes docs/images/applications/NAME.png. With --keep what it found stays in a folder, so that drawing again
does not train again; take the folder away when an example changes. Needs matplotlib and Pillow.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import images
import scenes
import sequences
import sheet
from runs import run

DRAWINGS = {
    name: draw
    for module in (images, scenes, sequences)
    for name, draw in vars(module).items()
    if getattr(draw, "__module__", "") == module.__name__ and not name.startswith("_")
}
"""By the names of the examples."""


def main() -> None:
    parser = argparse.ArgumentParser(description="The pictures of the applications' pages.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of an example; default: all of them")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where what examples found is kept")
    options = parser.parse_args()
    if unknown := set(options.names) - DRAWINGS.keys():
        parser.error(f"no picture of {', '.join(sorted(unknown))}; there are {', '.join(sorted(DRAWINGS))}")
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    folder = Path(__file__).parents[1] / "images" / "applications"
    for name in options.names or sorted(DRAWINGS):
        example, found = run(name, options.keep)
        path = folder / f"{name}.png"
        size = sheet.save(DRAWINGS[name](example, found), path)
        print(f"{path}: {size:,} bytes")


if __name__ == "__main__":
    main()
