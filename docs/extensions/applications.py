# SPDX-License-Identifier: Apache-2.0
"""A directive that shows the scripts of a folder: `{applications} ../examples`, a section each.

The title is the first line of the script's docstring, the rest of it the text, followed by the code.
"""

from __future__ import annotations

import ast
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Applications(SphinxDirective):
    """The directive."""

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


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("applications", Applications)
    return {"parallel_read_safe": True}
