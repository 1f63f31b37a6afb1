# SPDX-License-Identifier: Apache-2.0
"""Small faults that can be planted in a Python file: what a slip of the hand would make of it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

OPERATORS: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


@dataclass(frozen=True)
class Fault:
    """A piece of a file, from character `start` to `end`, and what stands there instead."""

    file: str
    function: str
    line: int
    start: int
    end: int
    old: str
    new: str

    def plant(self, source: str) -> str:
        """The file with the fault."""
        return source[: self.start] + self.new + source[self.end :]

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What tells faults apart, also when lines have moved."""
        return self.file, self.function, " ".join(self.old.split()), " ".join(self.new.split())


def find_faults(source: str, file: str, names: Mapping[str, Any]) -> list[Fault]:
    """Return every fault this module knows of, except in annotations, docstrings and errors' messages.

    Args:
        source: the file's text.
        file: what to call it.
        names: what the file's module defines and imports: an argument that a call's function takes anyway
            without it is not left out.
    """
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line.encode()))
    data = source.encode()

    def place(line: int, column: int) -> int:
        return len(data[: starts[line - 1] + column].decode())

    found = []
    for function, node in _walk(ast.parse(source), ""):
        begin = place(node.lineno, node.col_offset)
        end = place(node.end_lineno or node.lineno, node.end_col_offset or 0)
        for new in _changes(node, names):
            found.append(Fault(file, function, node.lineno, begin, end, source[begin:end], f"({new})"))
        if isinstance(node, ast.Expr):
            found.append(Fault(file, function, node.lineno, begin, end, source[begin:end], "pass"))
    return found


def _walk(node: ast.AST, function: str) -> Iterator[tuple[str, Any]]:
    """Yield what may be changed, with the name of the function it is in."""
    if isinstance(node, (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Assert)):
        return
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        if node.name in ("__repr__", "__str__"):
            return
        function = f"{function}.{node.name}".lstrip(".")
    if isinstance(node, ast.expr) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield function, node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_comment"):
            continue
        if name == "keywords" and isinstance(node, ast.Call) and _is_zip(node):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_slots(child) and not _is_type_checking(child):
                yield from _walk(child, function)


def _is_slots(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and any(
        isinstance(t, ast.Name) and t.id == "__slots__" for t in node.targets
    )


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _changes(node: Any, names: Mapping[str, Any]) -> Iterator[str]:
    """Yield other expressions for one."""
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS and not _has_text(node):
        yield ast.unparse(ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right))
    elif isinstance(node, ast.Compare):
        for i, operator in enumerate(node.ops):
            changed = [*node.ops[:i], OPERATORS[type(operator)](), *node.ops[i + 1 :]]
            yield ast.unparse(ast.Compare(node.left, changed, node.comparators))
    elif isinstance(node, ast.BoolOp):
        yield ast.unparse(ast.BoolOp(OPERATORS[type(node.op)](), node.values))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not)):
        yield ast.unparse(node.operand)
    elif isinstance(node, ast.IfExp):
        yield ast.unparse(ast.IfExp(node.test, node.orelse, node.body))
    elif isinstance(node, ast.Constant) and type(node.value) in (bool, int, float):
        yield repr(not node.value if isinstance(node.value, bool) else node.value + 1)
    elif isinstance(node, ast.Call) and not _is_zip(node):
        usual = _defaults(node.func, names)
        if len(node.args) > 1 and not _is_usual(node.args[-1], usual[len(node.args) - 1 :][:1]):
            yield ast.unparse(ast.Call(node.func, node.args[:-1], node.keywords))
        for i, keyword in enumerate(node.keywords):
            if _is_usual(keyword.value, [p for p in usual if p.name == keyword.arg]):
                continue
            yield ast.unparse(ast.Call(node.func, node.args, node.keywords[:i] + node.keywords[i + 1 :]))


def _defaults(function: ast.expr, names: Mapping[str, Any]) -> list[inspect.Parameter]:
    """The parameters of what an expression calls, none if that is not known before the program runs."""
    path = []
    while isinstance(function, ast.Attribute):
        path.append(function.attr)
        function = function.value
    found: Any = names.get(function.id) if isinstance(function, ast.Name) else None
    for name in reversed(path):
        found = getattr(found, name, None)
    try:
        return [*inspect.signature(found).parameters.values()]
    except (TypeError, ValueError):
        return []


def _is_usual(argument: ast.expr, parameters: list[inspect.Parameter]) -> bool:
    """Whether an argument is a literal that its parameter has by default."""
    try:
        value = ast.literal_eval(argument)
    except ValueError:
        return False
    return any((type(p.default), p.default) == (type(value), value) for p in parameters)


def _is_zip(node: ast.Call) -> bool:
    """Whether this is `zip(..., strict=True)`, which only says what is known."""
    return isinstance(node.func, ast.Name) and node.func.id == "zip"


def _has_text(node: ast.BinOp) -> bool:
    parts = (node.left, node.right)
    return any(
        isinstance(p, ast.JoinedStr) or (isinstance(p, ast.Constant) and isinstance(p.value, str))
        for p in parts
    )
