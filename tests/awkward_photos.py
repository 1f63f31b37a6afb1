# SPDX-License-Identifier: Apache-2.0
"""A folder of photos as people have them, drawn with Pillow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = ("Quadrat gr\u00fcn", "red circle", "\u4e09\u89d2")
"""A square, a circle and a triangle, with a space and letters of other scripts in their names."""

UNREADABLE = ("empty.png", "text.jpg", "truncated.jpg")

KINDS = (
    *("RGB.jpg", "RGB.png", "RGB.bmp", "RGB.tif", "RGB.webp", "RGB.gif", "L.jpg", "L.png", "LA.png"),
    *("RGBA.png", "P.png", "P.gif", "CMYK.jpg", "CMYK.tif", "1.png", "I;16.png", "I;16.tif", "YCbCr.jpg"),
    *("UPPER.JPG", "UPPER.PNG", "exif3.jpg", "exif6.jpg", "exif8.jpg", "progressive.jpg", "moving.gif"),
    *(
        "transparent P.png",
        "wide.jpg",
        "tall.png",
        "tiny.png",
        "large.jpg",
        "-dash.jpg",
        "\u00e9t\u00e9 1.jpeg",
    ),
    *("deeper/still/nested.jpg", "netpbm.ppm", "netpbm.pgm", "lossless.jfif"),
)
"""Files of a class by their form; the rest are plain JPEGs."""

Image = Any


def draw(number: int, rng: np.random.Generator, size: tuple[int, int]) -> Image:
    """Return a shape of its class' colour on a light ground, (width, height)."""
    import PIL.Image
    from PIL import ImageDraw

    width, height = size
    picture = PIL.Image.new("RGB", size, tuple(int(v) for v in rng.integers(180, 256, 3)))
    brush = ImageDraw.Draw(picture)
    side, x, y = 0.4 * min(size), width / 2, height / 2
    colour = [(20, 140, 20), (200, 20, 20), (20, 20, 160)][number]
    if number == 0:
        brush.rectangle((x - side, y - side, x + side, y + side), fill=colour)
    elif number == 1:
        brush.ellipse((x - side, y - side, x + side, y + side), fill=colour)
    else:
        brush.polygon([(x, y - side), (x - side, y + side), (x + side, y + side)], fill=colour)
    return picture


def _size(kind: str, rng: np.random.Generator) -> tuple[int, int]:
    known = {"wide.jpg": (600, 12), "tall.png": (9, 700), "tiny.png": (2, 3), "large.jpg": (2400, 1600)}
    return known.get(kind, (int(rng.integers(40, 160)), int(rng.integers(40, 160))))


def _write(picture: Image, kind: str, path: Path) -> None:
    import PIL.Image

    mode = kind.split(".")[0]
    if mode in ("L", "LA", "P", "RGBA", "CMYK", "1", "YCbCr"):
        picture = picture.convert(mode)
    elif mode == "I;16":
        grey = np.asarray(picture.convert("L")).astype(np.uint16) * 257
        picture = PIL.Image.fromarray(grey)
    settings: dict[str, Any] = {}
    if mode.startswith("exif"):
        exif = PIL.Image.Exif()
        exif[0x0112] = int(mode[-1])
        settings["exif"] = exif
    settings.update(
        {
            "progressive": {"progressive": True},
            "moving": {"save_all": True, "append_images": [picture.rotate(90)]},
            "transparent P": {"transparency": 0},
        }.get(mode, {})
    )
    if mode == "transparent P":
        picture = picture.convert("P")
    if kind == "netpbm.pgm":
        picture = picture.convert("L")
    picture.save(path, format="JPEG" if path.suffix == ".jfif" else None, **settings)


def photos(root: Path, count: int = 20, seed: int = 0) -> Path:
    """Draw so many images of each class, and what else lies about; return the folder."""
    rng = np.random.default_rng(seed)
    for number, name in enumerate(CLASSES):
        folder = root / name
        folder.mkdir(parents=True)
        for index in range(count):
            place = number * count + index
            kind = KINDS[place] if place < len(KINDS) else f"plain {index}.jpg"
            path = folder / kind
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(draw(number, rng, _size(kind, rng)), kind, path)
    whole = (root / CLASSES[0] / "RGB.jpg").read_bytes()
    broken: dict[str, Callable[[Path], Any]] = {
        "empty.png": lambda path: path.write_bytes(b""),
        "text.jpg": lambda path: path.write_text("I am text"),
        "truncated.jpg": lambda path: path.write_bytes(whole[: len(whole) // 2]),
        ".hidden.jpg": lambda path: path.write_bytes(whole),
        "notes.txt": lambda path: path.write_text("to do"),
        "Thumbs.db": lambda path: path.write_bytes(b"\xd0\xcf"),
    }
    for index, (name, write) in enumerate(broken.items()):
        write(root / CLASSES[index % 3] / name)
    (root / "nothing here").mkdir()
    (root / ".git" / "cat").mkdir(parents=True)
    (root / ".git" / "cat" / "1.jpg").write_bytes(whole)
    return root
