# SPDX-License-Identifier: Apache-2.0
"""Arrays of a file as the contents of a model."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from .._core import write_storages
from ..nn.arguments import flag
from ..nn.module import Module
from ..nn.parameter import StoredArray
from ..nn.state import IncompatibleKeys, as_contents, fit_state, fits, stored_arrays
from . import safetensors
from .naming import Rules, matched
from .sources import Source


class LoadReport(IncompatibleKeys):
    """What `load_into` found: `IncompatibleKeys`, and arrays that have other shapes in the file.

    >>> import os, tempfile
    >>> import numpy as np
    >>> import cnncore as cc
    >>> from cnncore import nn
    >>> path = os.path.join(tempfile.mkdtemp(), "weight.npz")
    >>> np.savez(path, weight=np.zeros((2, 3)))
    >>> report = cc.load_into(nn.Linear(3, 2), path, strict=False)
    >>> report.missing_keys, report.unexpected_keys
    (['bias'], [])
    """

    mismatched_keys: list[str]

    def __repr__(self) -> str:
        if not (self.missing_keys or self.unexpected_keys or self.mismatched_keys):
            return "<All keys matched successfully>"
        return (
            f"LoadReport(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys}, "
            f"mismatched_keys={self.mismatched_keys})"
        )


def fill_model(
    model: Module, source: Source, path: str | os.PathLike[str], strict: bool, rename: Rules
) -> LoadReport:
    """Check all of a source against a model, then write it at one moment; `load_into` says the rest."""
    wanted, strict = stored_arrays(model), flag("strict", strict)
    mismatched: list[str] = []
    try:
        names = {new: name for name, new in matched(source.names, wanted, rename).items()}
        outlines = {new: source.outline(name) for new, name in names.items()}
        if not strict:
            mismatched = [
                new for new, target in wanted.items() if new in outlines and not fits(target, outlines[new])
            ]
        state = {new: outline for new, outline in outlines.items() if new not in mismatched}
        targets, keys = fit_state(model, state, strict)
    except ValueError as error:
        raise ValueError(f"{os.fsdecode(path)}: {error}") from None
    _write(targets, names, source)
    report = LoadReport([name for name in keys.missing_keys if name not in mismatched], keys.unexpected_keys)
    report.mismatched_keys = mismatched
    return report


def _write(targets: dict[str, StoredArray], names: dict[str, str], source: Source) -> None:
    """Write arrays to a model's storages; initial weights are read from the file into place."""
    contents: list[Any] = []
    drawn: list[Callable[[], None]] = []
    for new, target in targets.items():
        name = names[new]
        again = None
        if isinstance(source, safetensors.Reader) and source.has_memory_of(name, target.dtype):
            again = target.again()
        if again is None:
            contents.append(as_contents(target, source.array(name)))
        else:
            assert isinstance(source, safetensors.Reader)
            source.check(name)
            contents.append(source.place(name))
            drawn.append(again)
    try:
        write_storages([target.storage for target in targets.values()], contents)
    except OSError:
        for again in drawn:
            again()
        raise
