# SPDX-License-Identifier: Apache-2.0
"""A directive that documents all public names of a module: `{public-names} cnncore.nn`.

Names stand under the first line of the docstring of the file that defines them, files in the order of their
first name, so that the reference follows the sources and none can be forgotten.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def public_names(module: ModuleType) -> dict[str, list[str]]:
    """The names in `__all__` (or the module's own) that are no modules, by the heading of their files."""
    own = [
        name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__
    ]
    headings: dict[str, list[str]] = {}
    for name in getattr(module, "__all__", own):
        value = getattr(module, name)
        if isinstance(value, (ModuleType, TypeVar)) or name.startswith("_"):
            continue
        file = inspect.getmodule(value) if callable(value) else None
        title = heading(file if file and file.__name__.startswith("cnncore") else module)
        headings.setdefault(title, []).append(name)
    return headings


def heading(module: ModuleType) -> str:
    """The first sentence of a module's docstring."""
    text = " ".join((module.__doc__ or module.__name__).strip().split("\n\n")[0].split())
    return text.partition(". ")[0].removesuffix(".").replace("`", "")


def said_of(module: str, name: str) -> str:
    """The text below the line that gives a constant its value, in the module's file or one of its package."""
    file = Path(import_module(module).__file__ or "")
    for path in (file, *sorted(file.parent.glob("*.py"))):
        body = ast.parse(path.read_text()).body
        for line, below in pairwise(body):
            targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
            if name in [getattr(target, "id", "") for target in targets] and isinstance(below, ast.Expr):
                return str(ast.literal_eval(below.value))
    return ""


def directives(module: str, name: str, value: Any, elsewhere: bool) -> Iterator[str]:
    """The lines that document one name; `elsewhere` says that another page has the class, too."""
    if inspect.isclass(value):
        yield f".. autoclass:: {module}.{name}"
        yield "   :members:"
        hidden = "count, index" if issubclass(value, tuple) else "extra_repr, forward"
        # Methods that scikit-learn makes, whose texts refer to its own pages.
        hidden += "".join(f", {each}" for each in dir(value) if re.fullmatch(r"set_\w+_request", each))
        yield f"   :exclude-members: {hidden}"
        if elsewhere:
            yield "   :no-index:"
    elif callable(value):
        yield f".. autofunction:: {module}.{name}"
    else:
        yield f".. py:data:: {module}.{name}"
        if isinstance(value, (str, int, float)):
            yield f"   :value: {value!r}"
        yield ""
        yield from (f"   {line}" for line in escape(said_of(module, name)).splitlines())
    yield ""


class PublicNames(SphinxDirective):
    """The directive."""

    required_arguments = 1
    optional_arguments = 1  # a module that has a page of its own and shares names with this one
    final_argument_whitespace = False

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        module = import_module(name)
        others = import_module(self.arguments[1]).__all__ if len(self.arguments) > 1 else ()
        found: list[nodes.Node] = []
        for title, names in public_names(module).items():
            lines = [
                line
                for each in names
                for line in directives(name, each, getattr(module, each), each in others)
            ]
            section = nodes.section(ids=[nodes.make_id(f"{name}-{title}")])
            section += nodes.title(title, title)
            content = StringList(lines, source=module.__file__ or name)
            self.state.nested_parse(content, self.content_offset, section, match_titles=True)
            found.append(section)
        return found


def escape(line: str, inside: bool = False) -> str:
    """A line of prose with what reStructuredText takes for markup outside of `code` escaped.

    Letters that follow `code` at once, as in a plural, are kept apart from it by a space that does not show.
    `inside` says that the line begins within `code`.
    """
    parts = re.split("(`+)", line)  # text at even places, which is code at every other of them
    for i in range(2 * int(inside), len(parts), 4):
        bullet, rest = re.match(r"(\s*(?:\* )?)(.*)", parts[i]).groups() if i == 0 else ("", parts[i])
        plural = "\\ " if i and rest[:1].isalpha() else ""
        parts[i] = bullet + plural + re.sub(r"[*|\\]|_\b(?!\w)", r"\\\g<0>", rest)
    return "".join(parts)


def keep_colons(what: str, lines: list[str]) -> None:
    """Break lines whose words before a colon Napoleon would take for a type; the break does not show."""
    places = [i + 1 for i, line in enumerate(lines) if line.strip() in ("Returns:", "Yields:")]
    if what in ("attribute", "data", "property"):
        places.insert(0, 0)
    for place in reversed([place for place in places if place < len(lines)]):
        if found := re.match(r"(\s*)((?:[^`:]|`[^`]*`)+):( .*|)$", lines[place]):
            indent, before, after = found.groups()
            lines[place : place + 1] = [f"{indent}{before}\\", f"{indent}:{after}"]


def escape_prose(_app: Sphinx, what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Docstrings are written to be read as they stand: formulas such as |x| and a * b are no markup."""
    example = inside = False
    for i, line in enumerate(lines):
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if not example:
            lines[i] = escape(line, inside)
            inside = bool(line.strip()) and inside != bool(len(re.findall("`+", line)) % 2)
    keep_colons(what, lines)


def skip_aliases(_app: Sphinx, _what: str, _name: str, member: Any, skip: bool, _options: Any) -> bool | None:
    """Fields without a text of their own, which the docstring of the class describes."""
    named = str(getattr(member, "__doc__", "")).startswith("Alias for field number")
    return True if named or isinstance(member, np.ndarray) else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("public-names", PublicNames)
    app.connect("autodoc-process-docstring", escape_prose, priority=400)  # before napoleon's 500
    app.connect("autodoc-skip-member", skip_aliases)
    return {"parallel_read_safe": True}
