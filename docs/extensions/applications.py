# SPDX-License-Identifier: Apache-2.0
"""Directives for the examples.

`{applications} ../examples` shows the scripts of a folder, a section each: the title is the first line of the
script's docstring, the rest of it the text, followed by the code. `{gallery}` shows the pages that its lines
name by their pictures and titles.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FIRST = re.compile(r"\A# (.*?)\n.*?^!\[(.*?)\]\((.*?)\)$", re.DOTALL | re.MULTILINE)
"""A page's title, and the words and path of its first picture."""


class Applications(SphinxDirective):
    """The scripts of a folder."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        folder = (Path(self.env.srcdir) / self.arguments[0]).resolve()
        sections: list[nodes.Node] = []
        for path in sorted(folder.glob("*.py")):
            self.env.note_dependency(str(path))
            code = path.read_text()
            if "def main" not in code or path.stem.endswith("_torch"):
                continue
            title, _, text = (ast.get_docstring(ast.parse(code)) or path.stem).partition("\n\n")
            section = nodes.section(ids=[nodes.make_id(f"{folder.name}-{path.stem}")])
            section += nodes.title(title, " ".join(title.split()).removesuffix("."))
            if text:
                section += nodes.paragraph(text, " ".join(text.split()))
            command = f"python {path.relative_to(Path(self.env.srcdir).resolve().parent)}"
            section += nodes.paragraph("", "", nodes.literal(command, command))
            section += nodes.literal_block(code, code, language="python")
            sections.append(section)
        return sections


class Gallery(SphinxDirective):
    """The pages that are named, without their ending: a card each, with the first picture and the title."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        cards = nodes.container(classes=["gallery"])
        for name in self.content:
            page = Path(self.env.srcdir) / f"{name}.md"
            self.env.note_dependency(str(page))
            title, words, picture = FIRST.search(page.read_text()).groups()
            text = f"[![{words}](/{page.parent.name}/{picture})](/{name}.md)\n\n[{title}](/{name}.md)"
            card = nodes.container(classes=["card"])
            self.state.nested_parse(
                StringList(text.splitlines(), source=str(page)), self.content_offset, card
            )
            cards += card
        return [cards]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("applications", Applications)
    app.add_directive("gallery", Gallery)
    return {"parallel_read_safe": True}
