# SPDX-License-Identifier: Apache-2.0
"""All that a training needs to go on, in one safetensors file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._files import check_path
from ..graph.random import rng_state, set_rng_state
from ..io import safetensors
from ..runtime import init_state, set_init_state
from .moment import go_back, moment_of

if TYPE_CHECKING:
    from ..distributed import Ranks
    from .trainer import Trainer

_KEY = "cnncore-trainer"
_DIGEST = "sha256"
_FORMAT = 1

Arrays = dict[str, NDArray[Any]]


def save(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """See `Trainer.save`."""
    check_path(path)
    arrays: Arrays = {}
    text = json.dumps(_packed(_state(trainer), "", arrays), separators=(",", ":"))
    name = os.fspath(path)
    _keep_previous(name)
    safetensors.write(name, arrays, {_KEY: text, _DIGEST: _digest(text, arrays)})


def _state(trainer: Trainer) -> dict[str, Any]:
    run = trainer._run
    if trainer.ranks is not None and any(step.is_amid for step in trainer._steps.values()):
        raise ValueError(
            "with comm, a training is saved after an update, when no process has gradients of its own: let "
            "accumulate divide the batches of an epoch"
        )
    return {
        "format": _FORMAT,
        "optimizer_kind": type(trainer.optimizer).__name__,
        **moment_of(trainer),
        "unsaved_buffers": {name: np.asarray(buffer) for name, buffer in _unsaved_buffers(trainer).items()},
        "class_names": trainer.class_names,
        "random": rng_state(),
        "init": init_state(),
        "pending": {**trainer._pending, **{key: step.pending() for key, step in trainer._steps.items()}},
        "run": trainer._resumed if run is None else run.state_dict(),
    }


def _unsaved_buffers(trainer: Trainer) -> dict[str, Any]:
    return {name: buffer for name, buffer in trainer.model.named_buffers() if not buffer.persistent}


def previous(path: str) -> str:
    """Return the name of the file that was at `path` before the last save.

    >>> previous("runs/mine.safetensors")
    'runs/mine.previous.safetensors'
    """
    stem, extension = os.path.splitext(path)
    return f"{stem}.previous{extension}"


def _keep_previous(path: str) -> None:
    """Give the file at `path` a second name; at no moment is there none of its contents."""
    if not os.path.isfile(path):
        return
    beside, kept = f"{previous(path)}.{os.getpid()}", previous(path)
    with suppress(FileNotFoundError):
        os.unlink(beside)
    try:
        os.link(path, beside)
    except OSError:  # a file system without links
        shutil.copyfile(path, beside)
    os.replace(beside, kept)


def _digest(text: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _packed(value: Any, path: str, arrays: Arrays) -> Any:
    """Return a value as JSON can hold it; arrays go into `arrays` under their path."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.ndarray):
        name = path
        while name in arrays:
            name += "'"
        arrays[name] = value
        return {"array": name}
    if isinstance(value, (list, tuple)):
        parts = [_packed(part, f"{path}/{index}", arrays) for index, part in enumerate(value)]
        return parts if isinstance(value, list) else {"tuple": parts}
    if isinstance(value, Mapping):
        return {
            "dict": [
                [_packed(key, path, arrays), _packed(part, f"{path}/{key}" if path else str(key), arrays)]
                for key, part in value.items()
            ]
        }
    raise TypeError(
        f"{path}: a state may hold numbers, texts, arrays, and dicts, lists and tuples of them, "
        f"got {type(value).__name__}"
    )


def _unpacked(value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if isinstance(value, list):
        return [_unpacked(part, arrays) for part in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        return arrays[content]
    if kind == "tuple":
        return tuple(_unpacked(part, arrays) for part in content)
    return {_unpacked(key, arrays): _unpacked(part, arrays) for key, part in content}


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the state in a file.

    Raises:
        ValueError: no such state, or a damaged one.
    """
    check_path(path)
    name = os.fspath(path)
    hint = f"; the one saved before it is {previous(name)}" if os.path.exists(previous(name)) else ""
    try:
        arrays, metadata = safetensors.read(name)
    except ValueError as error:
        raise ValueError(f"{error}{hint}") from None
    if _KEY not in metadata:
        raise ValueError(
            f"{name}: expected what Trainer.save wrote, got a file without the state of a training"
        )
    if metadata.get(_DIGEST) != _digest(metadata[_KEY], arrays):
        raise ValueError(f"{name}: damaged: its contents do not have its digest{hint}")
    state: dict[str, Any] = _unpacked(json.loads(metadata[_KEY]), arrays)
    if state["format"] != _FORMAT:
        raise ValueError(f"{name}: expected format {_FORMAT} of a training's state, got {state['format']}")
    return state


def _read_together(ranks: Ranks, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the state in a file of the first process."""
    state: Any = None
    if ranks.rank == 0:
        try:
            state = read(path)
        except (OSError, ValueError, TypeError) as error:
            state = error
    state = ranks.first(state)
    if isinstance(state, Exception):
        raise state
    found: dict[str, Any] = state
    return found


def resume(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """See `Trainer.resume`."""
    state = read(path) if trainer.ranks is None else _read_together(trainer.ranks, path)
    found = type(trainer.optimizer).__name__
    if state["optimizer_kind"] != found:
        raise ValueError(f"{os.fspath(path)}: expected the state of {found}, got {state['optimizer_kind']}'s")
    if len(state["schedulers"]) != len(trainer.schedulers):
        raise ValueError(
            f"{os.fspath(path)}: was saved with {len(state['schedulers'])} schedulers, "
            f"this Trainer has {len(trainer.schedulers)}"
        )
    if (state["averaged"] is None) != (trainer.averaged is None):
        which = "without" if state["averaged"] is None else "with"
        raise ValueError(f"{os.fspath(path)}: was saved {which} an average of the weights (ema=)")
    try:
        go_back(trainer, state)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None
    for name, buffer in _unsaved_buffers(trainer).items():
        if name in state["unsaved_buffers"]:
            buffer.assign(state["unsaved_buffers"][name])
    trainer.class_names = state["class_names"]
    trainer._steps.clear()
    trainer._pending = state["pending"]
    trainer._resumed = state["run"]
    set_rng_state(state["random"])
    set_init_state(state["init"])
