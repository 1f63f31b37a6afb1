# SPDX-License-Identifier: Apache-2.0
"""Whole runs of examples, with what their `main` has found."""

from __future__ import annotations

import ast
import pickle
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDERS = (EXAMPLES, *(EXAMPLES / name for name in ("seeing", "ported", "steps")))


def load(name: str) -> tuple[ModuleType, dict[str, Any]]:
    """Return an example as a module, and a dictionary that its `main` puts its variables into at its end."""
    path = next(folder / f"{name}.py" for folder in FOLDERS if (folder / f"{name}.py").exists())
    for folder in FOLDERS:
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    tree = ast.parse(path.read_text())
    main = next(part for part in tree.body if isinstance(part, ast.FunctionDef) and part.name == "main")
    if not isinstance(main.body[-1], ast.Return):
        raise ValueError(f"{path}: main does not end with what it returns")
    main.body[-1:-1] = ast.parse("KEPT.update(locals())").body
    module = sys.modules[name] = ModuleType(name, tree.body and ast.get_docstring(tree))
    kept: dict[str, Any] = {}
    vars(module).update(KEPT=kept, __file__=str(path))
    exec(compile(ast.fix_missing_locations(tree), str(path), "exec"), vars(module))
    return module, kept


def run(name: str, folder: Path | None) -> tuple[ModuleType, SimpleNamespace]:
    """Return an example as a module, and the variables of its `main` when it was done.

    Args:
        name: of the script, without its ending.
        folder: where variables of earlier runs lie and new ones go; None runs it in any case.
    """
    module, kept = load(name)
    path = None if folder is None else folder / f"{name}.pickle"
    if path is not None and path.exists():
        kept.update(pickle.loads(path.read_bytes()))
        return module, SimpleNamespace(**kept)
    arguments, sys.argv = sys.argv, [str(module.__file__)]
    try:
        module.main()
    finally:
        sys.argv = arguments
    if path is not None:
        path.write_bytes(pickle.dumps({key: value for key, value in kept.items() if _can_be_kept(value)}))
    return module, SimpleNamespace(**kept)


def _can_be_kept(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # whatever a class says that has no pickle
        return False
    return True
