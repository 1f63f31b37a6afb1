# SPDX-License-Identifier: Apache-2.0
"""Parts of pages, with everything that comes from files escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from ..viz.colours import Array
from ..viz.png import data_uri


def resource(name: str) -> str:
    """Return the text of a file of this package."""
    return files(__package__).joinpath(name).read_text("utf-8")


def text(value: Any) -> str:
    """Return a value as text of a page: numbers of many digits with commas."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return escape(str(value))
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], caption: str) -> str:
    """Return a table; numbers stand at the right."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    lines = []
    for row in rows:
        first, *rest = row
        cells = "".join(
            f'<td class="n">{text(cell)}</td>' if isinstance(cell, (int, float)) else f"<td>{text(cell)}</td>"
            for cell in rest
        )
        lines.append(f'<tr><th scope="row">{text(first)}</th>{cells}</tr>')
    return (
        f'<div class="wide" tabindex="0"><table><caption>{escape(caption)}</caption><thead><tr>{head}</tr>'
        f"</thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def image(pixels: Array, alt: str, width: int | None = None) -> str:
    """Return a picture whose pixels are in the page.

    Args:
        pixels: uint8, (height, width) or (height, width, 3).
        alt: what it shows, for those who do not see it.
        width: in pixels of the screen; None is that of the image.
    """
    size = "" if width is None else f' width="{width}"'
    return f'<img src="{data_uri(pixels)}" alt="{escape(alt)}"{size}>'


def figure(picture: str, caption: str) -> str:
    """Return a picture with its caption."""
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"


def chart(picture: str, caption: str) -> str:
    """Return an SVG picture, which keeps its size on narrow screens, with its caption."""
    return figure(f'<div class="wide chart" tabindex="0">{picture}</div>', caption)


def section(identifier: str, title: str, *parts: str) -> str:
    """Return a part of the page with its heading."""
    return (
        f'<section aria-labelledby="{identifier}"><h2 id="{identifier}">{escape(title)}</h2>'
        f"{''.join(parts)}</section>"
    )


def paragraph(words: str) -> str:
    """Return a paragraph of text, escaped."""
    return f"<p>{escape(words)}</p>"


def folded(title: str, content: str) -> str:
    """Return content that a click on its title shows."""
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def page(title: str, sections: Sequence[tuple[str, str]], content: str) -> str:
    """Return a whole page that needs nothing from outside.

    Args:
        title: of the page.
        sections: identifier and title of each, for the list of contents.
        content: what follows it.
    """
    links = "".join(f'<li><a href="#{name}">{escape(words)}</a></li>' for name, words in sections)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{resource('report.css')}</style></head><body><header>"
        f'<h1>{escape(title)}</h1><nav aria-label="Contents"><ul>{links}</ul></nav></header>'
        f"<main>{content}</main></body></html>\n"
    )
