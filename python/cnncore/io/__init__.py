# SPDX-License-Identifier: Apache-2.0
"""Saving and loading models and dicts of arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from .._core import write_storages
from .._files import check_path, open_regular
from ..nn.module import Module
from ..nn.state import IncompatibleKeys, as_contents, fit_state, read_state
from . import safetensors

__all__ = ["load", "load_into", "load_metadata", "save"]

Path = str | os.PathLike[str]


def save(
    model_or_dict: Module | Mapping[str, Any], path: Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a model's parameters and buffers, or a dict of arrays, as a safetensors file.

    Args:
        model_or_dict: a Module, or arrays by name.
        path: the file; replaced only once the new one is complete on disk.
        metadata: texts to store beside the arrays.

    Raises:
        TypeError: something that is no array, or of a dtype the format lacks; no path.
        ValueError: a path with a NUL character, or too many arrays.
        OSError: the file cannot be written; what was there is unchanged.

    >>> import os, tempfile
    >>> from cnncore import nn
    >>> path = os.path.join(tempfile.mkdtemp(), "m.safetensors")
    >>> save(nn.Linear(3, 2), path)
    >>> {name: array.shape for name, array in sorted(load(path).items())}
    {'bias': (2,), 'weight': (2, 3)}
    """
    check_path(path)
    if isinstance(model_or_dict, Module):
        arrays: Mapping[str, Any] = read_state(model_or_dict)
    elif isinstance(model_or_dict, Mapping):
        arrays = model_or_dict
    else:
        raise TypeError(f"expected a Module or a dict of arrays, got {type(model_or_dict).__name__}")
    for name in arrays:
        if not isinstance(name, str) or name == "__metadata__":
            raise TypeError(f"expected names that are texts other than '__metadata__', got {name!r}")
    for name, text in (metadata or {}).items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise TypeError(f"expected metadata texts by name, got {name!r}: {text!r}")
    safetensors.write(path, arrays, metadata or {})


def load(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a safetensors file by name. bfloat16 becomes float32.

    Raises:
        ValueError: another format or a damaged file; the message says what was found.
        OSError: the file cannot be read.
    """
    return safetensors.read(path)[0]


def load_metadata(path: Path) -> dict[str, str]:
    """Return the texts stored beside the arrays of a safetensors file."""
    return safetensors.read(path)[1]


def load_into(model: Module, path: Path, strict: bool = True) -> IncompatibleKeys:
    """Load a safetensors file into a model: all of it, or nothing when something does not fit or be read.

    Other threads see the model before or after, as with `load_state_dict`, and so does who presses Ctrl-C.
    The file is read through before anything changes. Its contents are held beside the model until then,
    except for initial weights: those of the same dtype are read in place, and drawn again if that fails.

    Args:
        model: the Module to change.
        path: the file.
        strict: raise when arrays are missing or unexpected; otherwise only report them.

    Returns:
        (missing_keys, unexpected_keys).

    Raises:
        TypeError: no Module, or no path.
        ValueError: a bad file, or arrays that do not fit; names the file and every problem.
        OSError: the file cannot be read.
    """
    if not isinstance(model, Module):
        raise TypeError(f"expected model to be a Module, got {type(model).__name__}")
    with open_regular(path) as file:
        reader = safetensors.Reader(file, path)
        try:
            targets, keys = fit_state(model, {name: reader.outline(name) for name in reader.entries}, strict)
        except ValueError as error:
            raise ValueError(f"{os.fsdecode(path)}: {error}") from None
        contents: list[Any] = []
        drawn: list[Callable[[], None]] = []
        for name, target in targets.items():
            again = target.again() if reader.has_memory_of(name, target.dtype) else None
            if again is None:
                contents.append(as_contents(target, reader.array(name)))
            else:
                reader.check(name)
                contents.append(reader.place(name))
                drawn.append(again)
        try:
            write_storages([target.storage for target in targets.values()], contents)
        except OSError:
            for again in drawn:
                again()
            raise
    return keys
