# SPDX-License-Identifier: Apache-2.0
"""Saving and loading models and dicts of arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from .._files import open_regular
from ..nn.module import Module
from ..nn.state import read_state
from . import keras_file, safetensors
from .filling import LoadReport, fill_model
from .naming import Rules
from .sources import opened

__all__ = ["LoadReport", "load", "load_into", "load_keras", "load_metadata", "load_torch", "save"]

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
        ValueError: a path with a NUL character or the ending of another format, or too many arrays.
        OSError: the file cannot be written; what was there is unchanged.

    >>> import os, tempfile
    >>> from cnncore import nn
    >>> path = os.path.join(tempfile.mkdtemp(), "m.safetensors")
    >>> save(nn.Linear(3, 2), path)
    >>> {name: array.shape for name, array in sorted(load(path).items())}
    {'bias': (2,), 'weight': (2, 3)}
    """
    safetensors.check_name(path)
    _check_no_optimizer(model_or_dict)
    if isinstance(model_or_dict, Module):
        arrays: Mapping[str, Any] = read_state(model_or_dict)
    elif isinstance(model_or_dict, Mapping):
        arrays = model_or_dict
    else:
        raise TypeError(f"expected a Module or a dict of arrays, got {type(model_or_dict).__name__}")
    for name in arrays:
        if not isinstance(name, str) or name == "__metadata__":
            raise TypeError(f"expected names that are texts other than '__metadata__', got {name!r}")
    safetensors.write(path, arrays, safetensors.check_metadata(metadata))


_TRAINING = (
    "a Trainer keeps optimiser and schedulers with the model: cc.Trainer(model, loss, optimizer).save(path), "
    "and .resume(path) goes on"
)


def _check_no_optimizer(value: Any) -> None:
    """Raise where what is to be saved is a part of a training, or has one in it."""
    parts = value.values() if isinstance(value, Mapping) else ()
    if any(_is_of_training(part) for part in (value, *parts)):
        raise TypeError(f"expected a Module or a dict of arrays, got the state of a training: {_TRAINING}")


def _is_of_training(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "param_groups" in value
    return not isinstance(value, Module) and (hasattr(value, "param_groups") or hasattr(value, "optimizer"))


def load(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file by name: safetensors, an index of several such files, or .npz.

    bfloat16 and 8-bit floats become float32. `load_torch` reads torch checkpoints.

    Raises:
        ValueError: another format or a damaged file; the message says what was found.
        OSError: the file cannot be read.

    >>> import os, tempfile
    >>> import cnncore as cc
    >>> from cnncore import nn
    >>> path = os.path.join(tempfile.mkdtemp(), "layer.safetensors")
    >>> cc.save(nn.Linear(3, 2), path)
    >>> {name: array.shape for name, array in cc.load(path).items()}
    {'bias': (2,), 'weight': (2, 3)}
    """
    with opened(path, kinds="arrays") as source:
        return {name: source.array(name) for name in source.names}


def load_torch(path: Path, key: str | None = None) -> dict[str, NDArray[Any]]:
    """Return the tensors of a torch checkpoint, or of a TorchScript archive, by name; torch is not needed.

    Nothing in the file is executed: its pickle is read by an interpreter that makes plain containers and
    tensors, and refuses whatever else is asked for, by name. Views and shared storages become arrays of
    their own.

    Args:
        path: what `torch.save` of version 1.6 and later wrote, or `torch.jit.save`.
        key: the entry of a whole checkpoint that has the model, such as "ema" (dots lead into entries);
            None takes the first of "state_dict", "model_state_dict", "model", "net", ..., "ema" that has
            tensors, or all there are.

    Returns:
        Arrays; float16, bfloat16 and 8-bit floats as float32.

    Raises:
        ValueError: another or an older format, a damaged file, or one that would execute something; the
            message says what to do.
        OSError: the file cannot be read.

    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "model.pt")
    >>> with open(path, "w") as file:
    ...     _ = file.write("no checkpoint")
    >>> load_torch(path)
    Traceback (most recent call last):
    ...
    ValueError: ...
    """
    with opened(path, key, kinds="torch") as source:
        return {name: source.array(name) for name in source.names}


def load_keras(path: Path, flattened: Mapping[str, Sequence[int]] | None = None) -> dict[str, NDArray[Any]]:
    """Return the weights of a Keras 3 file, `.keras` or `.weights.h5`, in the layouts that layers here have.

    Names are those of Keras's layers with `weight`, `bias`, `running_mean` and `running_var` behind them:
    "conv2d_1.weight". Kernels (height, width, in, out) become (out, in, height, width), those of dense layers
    (out, in), depthwise ones (channels, 1, height, width). Variables of layers without a counterpart keep
    their layout and are named by number: "lstm.cell.vars.0". `load_into` takes these files, too, with rules
    for the names.

    What a file of weights does not hold is to be set by hand: Keras's batch norms have eps=0.001 and
    momentum=0.01 (its 0.99), layer norms eps=0.001, and "same" padding with a stride is one more at the end:
    `padding=((0, 1), (0, 1))` for a 3x3 kernel, stride 2 and even extents.

    The HDF5 library, which is not made for damaged files, reads the file in a process of its own, within
    bounds of time and memory that follow from the file's size.

    Args:
        path: the file.
        flattened: for dense layers behind a Flatten of maps, (channels, height, width) of the maps by the
            layer's name: Keras flattens with channels last.

    Returns:
        Arrays by name.

    Raises:
        ImportError: h5py is not installed.
        RuntimeError: no Python interpreter can be started.
        ValueError: another format, a damaged file, or one that refers to other files.
        OSError: the file cannot be read.

    >>> import os, tempfile
    >>> import h5py, numpy as np
    >>> path = os.path.join(tempfile.mkdtemp(), "model.weights.h5")
    >>> with h5py.File(path, "w") as file:
    ...     file["layers/dense/vars/0"] = np.ones((3, 2), np.float32)
    ...     file["layers/dense/vars/1"] = np.zeros(2, np.float32)
    >>> {name: array.shape for name, array in load_keras(path).items()}
    {'dense.weight': (2, 3), 'dense.bias': (2,)}
    """
    with open_regular(path) as file:
        return keras_file.read(file, path, flattened)


def load_metadata(path: Path) -> dict[str, str]:
    """Return the texts stored beside the arrays of a safetensors file.

    >>> import os, tempfile
    >>> import cnncore as cc
    >>> from cnncore import nn
    >>> path = os.path.join(tempfile.mkdtemp(), "layer.safetensors")
    >>> cc.save(nn.Linear(3, 2), path, metadata={"author": "me"})
    >>> load_metadata(path)["author"]
    'me'
    """
    return safetensors.read(path)[1]


def load_into(
    model: Module, path: Path, strict: bool = True, rename: Rules = (), key: str | None = None
) -> LoadReport:
    """Load a file of weights into a model: all of it, or nothing when something does not fit or be read.

    Safetensors files, an index of several such files, torch checkpoints (as `load_torch` reads them), .npz
    and weights of Keras 3 (as `load_keras` does) are taken. Prefixes `module.`, `_orig_mod.` and `backbone.`
    are taken off names that the model does not have.

    Other threads see the model before or after, as with `load_state_dict`, and so does who presses Ctrl-C.
    The file is read through before anything changes. Its contents are held beside the model until then,
    except for initial weights: those of the same dtype in a safetensors file are read in place, and drawn
    again if that fails.

    Args:
        model: the Module to change.
        path: the file.
        strict: raise when arrays are missing, unexpected or of another shape; otherwise these are left out
            and reported.
        rename: pairs (regular expression, replacement), applied to each of the file's names in their order;
            None as replacement leaves out what the expression finds.
        key: the entry of a whole torch checkpoint to take.

    Returns:
        (missing_keys, unexpected_keys), with the model's names of arrays of other shapes as its
        `mismatched_keys`.

    Raises:
        TypeError: no Module, no path, or no rules.
        ValueError: a bad file, or arrays that do not fit; names the file and every problem.
        OSError: the file cannot be read.

    >>> import os, tempfile
    >>> from cnncore import nn
    >>> path = os.path.join(tempfile.mkdtemp(), "m.safetensors")
    >>> save({"module.old.weight": nn.Linear(3, 2).weight}, path)
    >>> load_into(nn.Linear(3, 2), path, strict=False, rename=[(r"old\\.", "")])
    LoadReport(missing_keys=['bias'], unexpected_keys=[], mismatched_keys=[])
    """
    if not isinstance(model, Module):
        raise TypeError(f"expected model to be a Module, got {type(model).__name__}")
    with opened(path, key) as source:
        return fill_model(model, source, path, strict, rename)
