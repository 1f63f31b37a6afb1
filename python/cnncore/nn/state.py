# SPDX-License-Identifier: Apache-2.0
"""Reading a module's arrays by path, and loading them back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._core import Storage, read_storages, write_storages
from ..graph.arrays import to_array
from .arguments import flag
from .parameter import Buffer, Parameter, StoredArray
from .uninitialized import Uninitialized

if TYPE_CHECKING:
    from .module import Module


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` found: paths it had no array for, and arrays it had no path for."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def stored_arrays(module: Module) -> dict[str, StoredArray]:
    """Return parameters and persistent buffers by path, module by module, in torch's order."""
    arrays: dict[str, StoredArray] = {}
    for path, owner in module.named_modules(remove_duplicate=False):
        prefix = f"{path}." if path else ""
        for name, parameter in owner.named_parameters(recurse=False, remove_duplicate=False):
            arrays[prefix + name] = parameter
        for name, buffer in owner.named_buffers(recurse=False, remove_duplicate=False):
            if buffer.persistent:
                arrays[prefix + name] = buffer
    return arrays


def read_state(module: Module) -> dict[str, NDArray[Any]]:
    """Return copies of all saved arrays by path, of one moment: not between the halves of a training step."""
    arrays = stored_arrays(module)
    return dict(zip(arrays, read_storages([array.storage for array in arrays.values()]), strict=True))


def load_state(module: Module, state: Mapping[str, Any], strict: bool) -> IncompatibleKeys:
    """Check all of `state` against the module, then assign it at one moment."""
    storages, arrays, keys = loadable_state(module, state, strict)
    write_storages(storages, arrays)
    return keys


def loadable_state(
    module: Module, state: Mapping[str, Any], strict: bool = True
) -> tuple[list[Storage], list[NDArray[Any]], IncompatibleKeys]:
    """Check all of `state` against the module; return what `write_storages` takes to assign it."""
    targets, keys = fit_state(module, state, strict)
    arrays = [as_contents(target, state[path]) for path, target in targets.items()]
    return [target.storage for target in targets.values()], arrays, keys


def as_contents(target: StoredArray, value: Any) -> NDArray[Any]:
    """Return an array that fits as the memory of `target` has it."""
    return np.asarray(to_array(value).reshape(target.shape), target.dtype, order="C")


def fit_state(
    module: Module, state: Mapping[str, Any], strict: bool
) -> tuple[dict[str, StoredArray], IncompatibleKeys]:
    """Check all of `state` against the module; return what it is to be assigned to, by path.

    Only shapes and dtypes are looked at. An array of one element fits a scalar. Parameters of lazy layers
    take the shapes of the state.
    """
    if not hasattr(state, "items"):
        raise TypeError(f"expected a dict of arrays by path, got {type(state).__name__}")
    targets = stored_arrays(module)
    missing = [
        path
        for path, target in targets.items()
        if path not in state and not (isinstance(target, Buffer) and target.optional)
    ]
    unexpected = [path for path in state if path not in targets]
    fitting = {path: target for path, target in targets.items() if path in state}
    problems: list[str] = []
    for path, target in fitting.items():
        try:
            source = to_array(state[path])
        except TypeError as error:
            problems.append(f"{path}: {error}")
            continue
        if isinstance(target, Uninitialized):
            continue
        if not fits(target, source):
            problems.append(f"{path}: expected shape {target.shape}, got {source.shape}")
        elif target.dtype.kind == "i" and source.dtype.kind == "f":
            problems.append(f"{path}: expected integers ({target.dtype}), got {source.dtype}")
    if flag("strict", strict):
        problems = [f"missing: {path}" for path in missing] + problems
        problems += [f"unexpected: {path}" for path in unexpected]
    if problems:
        raise ValueError(_message(module, problems, missing, unexpected))
    for path, target in fitting.items():
        if isinstance(target, Uninitialized):
            kind = Parameter if isinstance(target, Parameter) else Buffer
            target.become(kind(np.zeros(to_array(state[path]).shape)))
    return fitting, IncompatibleKeys(missing, unexpected)


def fits(target: StoredArray, source: NDArray[Any]) -> bool:
    """Whether an array has a target's shape; one of one element fits a scalar, any a lazy layer's."""
    if isinstance(target, Uninitialized):
        return True
    return source.shape == target.shape or (source.shape == (1,) and target.shape == ())


def _message(module: Module, problems: list[str], missing: list[str], unexpected: list[str]) -> str:
    lines = [f"the state does not fit {type(module).__name__}:", *problems]
    prefix = unexpected[0].split(".")[0] + "." if unexpected else ""
    if missing and prefix and set(missing) <= {path.removeprefix(prefix) for path in unexpected}:
        lines.append(f"Every path carries the prefix {prefix!r}: remove it from the keys.")
    return "\n  ".join(lines)
