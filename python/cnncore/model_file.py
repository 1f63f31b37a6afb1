# SPDX-License-Identifier: Apache-2.0
"""Models with all that is needed to use them in one file: definition, weights, class names, preprocessing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from inspect import signature
from typing import Any

from . import data, io
from ._files import check_path, open_regular
from .data.preparation import ImageReader
from .io import safetensors
from .nn.arguments import several
from .nn.construction import at_home
from .nn.definition import Builder, Indescribable, describe
from .nn.module import Module
from .runtime import init_state, set_init_state

_KEY = "cnncore"
_FORMAT = 2
_DAMAGE = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    OverflowError,
    RecursionError,
    MemoryError,
    ImportError,
)

Path = str | os.PathLike[str]


def save(
    model_or_dict: Module | Mapping[str, Any],
    path: Path,
    metadata: Mapping[str, str] | None = None,
    *,
    classes: Sequence[str] | None = None,
    preprocessing: Any = None,
) -> None:
    """Write a model with what `load_model` needs, or a dict of arrays, as a safetensors file.

    The file has the weights under the names of `state_dict`, so that other programs read it, too, and in its
    metadata how the model was made: the classes of its modules and their arguments, with what was changed
    since.

    Args:
        model_or_dict: a Module, or arrays by name.
        path: the file; replaced only once the new one is complete on disk.
        metadata: texts to store beside the arrays.
        classes: the names of the classes; by default the model's `class_names`, as `Trainer.fit` and
            `load_model` leave them.
        preprocessing: what images have to go through: a `data.ImagePreprocessing`, a dict of its arguments,
            or what `models.preprocessing(name)` returns; by default that of the model from `load_model`.

    Raises:
        TypeError: something that is no array, or of a dtype the format lacks; no path.
        ValueError: a path with a NUL character or the ending of another format, or too many arrays.
        OSError: the file cannot be written; what was there is unchanged.

    >>> import os, tempfile
    >>> from cnncore import nn
    >>> path = os.path.join(tempfile.mkdtemp(), "m.safetensors")
    >>> save(nn.Linear(3, 2), path, classes=["cat", "dog"])
    >>> load_model(path).class_names
    ('cat', 'dog')
    """
    if not isinstance(model_or_dict, Module):
        if classes is not None or preprocessing is not None:
            raise TypeError(f"classes and preprocessing go with a Module, got {type(model_or_dict).__name__}")
        io.save(model_or_dict, path, metadata)
        return
    model = model_or_dict
    names = getattr(model, "class_names", None) if classes is None else classes
    prepare = _preprocessing(
        getattr(model, "preprocessing", None) if preprocessing is None else preprocessing
    )
    about: dict[str, Any] = {"format": _FORMAT, "classes": None if names is None else _names(names)}
    about["preprocessing"] = None if prepare is None else _packed(prepare)
    try:
        about["definition"] = describe(model)
    except Indescribable as reason:
        about.update(definition=None, reason=str(reason))
    texts = {_KEY: json.dumps(about, separators=(",", ":")), **safetensors.check_metadata(metadata)}
    io.save(model, path, texts)


def _names(classes: Any) -> list[str]:
    return [str(name) for name in several("classes", classes, "names")]


def _preprocessing(value: Any) -> Any:
    """Return a preprocessing that can be saved, from one or from the arguments of an ImagePreprocessing."""
    if isinstance(value, Mapping):
        unknown = value.keys() - set(signature(data.ImagePreprocessing).parameters)
        if unknown:
            raise TypeError(
                "expected preprocessing with arguments of data.ImagePreprocessing: size, mean, std and fit, "
                f"got {', '.join(map(repr, unknown))}"
            )
        return data.ImagePreprocessing(**value)
    if value is None or isinstance(value, data.ImagePreprocessing):
        return value
    if isinstance(value, tuple) and hasattr(value, "_fields") and callable(value) and at_home(type(value)):
        return value
    raise TypeError(
        "expected preprocessing as a data.ImagePreprocessing, a dict of its arguments or what "
        f"models.preprocessing(name) returns, got {type(value).__name__}"
    )


def _packed(prepare: Any) -> dict[str, Any]:
    kind = "image" if isinstance(prepare, data.ImagePreprocessing) else "network"
    return {"kind": kind, **prepare._asdict()}


def _unpacked(fields: Any) -> Any:
    if fields is None:
        return None
    settings: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in fields.items() if name != "kind"
    }
    if fields["kind"] == "image":
        return data.ImagePreprocessing(**settings)
    if fields["kind"] != "network":
        raise ValueError(f"unknown preprocessing {fields['kind']!r}")
    from .models.preprocessing import Preprocessing

    return Preprocessing(**settings)


def read_about(path: Path) -> dict[str, Any] | None:
    """Return what a file says about its model; None for weights alone.

    Raises:
        ValueError: no safetensors file, or a damaged description.
        OSError: it cannot be read.
    """
    check_path(path)
    with open_regular(path) as file:
        text = safetensors.Reader(file, path).metadata.get(_KEY)
    if text is None:
        return None
    try:
        about = json.loads(text)
        if not isinstance(about, dict):
            raise TypeError(f"expected a JSON object, got {type(about).__name__}")
    except _DAMAGE as error:
        raise _damaged(path, error) from None
    return about


def _damaged(path: Path, error: BaseException) -> ValueError:
    return ValueError(f"{os.fsdecode(path)}: damaged description: {type(error).__name__}: {error}")


def load_model(path: Path, model: Module | None = None, custom: Iterable[type[Module]] = ()) -> Module:
    """Return the model that `cc.save` or `cnncore train` wrote, in eval mode.

    Its `predict` takes arrays, names of image files and of folders, and lists of them, where the file has a
    preprocessing; `predict_classes` returns names. Nothing in the file is executed: only cnncore's own
    modules are made, and those given as `custom`.

    Args:
        path: the file.
        model: a new model to load into, where the file does not say how to make it.
        custom: classes of your own that the model has modules of.

    Returns:
        A Module with `class_names` (a tuple, or None) and `preprocessing` (what images go through, or None).

    Raises:
        ValueError: no such file's contents, a damaged file, or a model that cannot be made from it, with the
            cure.
        OSError: it cannot be read.

    >>> import os, tempfile
    >>> import numpy as np
    >>> from cnncore import nn
    >>> path = os.path.join(tempfile.mkdtemp(), "m.safetensors")
    >>> made = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2))
    >>> prepare = {"size": (4, 4), "mean": [0.5], "std": [0.5]}
    >>> save(made, path, classes=["dark", "light"], preprocessing=prepare)
    >>> model = load_model(path)
    >>> x = np.zeros((1, 1, 4, 4), np.float32)
    >>> bool((model.predict(x) == made.predict(x)).all()), model.preprocessing.size
    (True, (4, 4))
    """
    name = os.fsdecode(path)
    about = read_about(path)
    if about is not None and "model" in about and "format" not in about:
        return _from_the_command_line(name)
    if about is None or about.get("definition") is None:
        if model is None:
            reason = f": {about['reason']}" if about and about.get("reason") else ""
            raise ValueError(
                f"{name}: does not say how to make its model{reason}; make one and pass it: "
                "cc.load_model(path, model=Net())"
            )
        built = model
    else:
        built = _built(name, about["definition"], custom) if model is None else model
    io.load_into(built, path)
    try:
        classes = None if about is None or about["classes"] is None else tuple(_names(about["classes"]))
        prepare = None if about is None else _unpacked(about["preprocessing"])
    except _DAMAGE as error:
        raise _damaged(path, error) from None
    return _ready(built, classes, prepare)


def _built(name: str, definition: Any, custom: Iterable[type[Module]]) -> Module:
    drawn = init_state()
    try:
        return Builder(custom).build(definition)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    except _DAMAGE as error:
        raise _damaged(name, error) from None
    finally:
        # The weights that were drawn are replaced: numbers drawn later shall not depend on it.
        set_init_state(drawn)


def _ready(model: Module, classes: tuple[str, ...] | None, prepare: Any) -> Module:
    given: Any = model.eval()
    given.class_names = classes
    given.preprocessing = prepare
    given._reader = None if prepare is None else ImageReader(prepare)
    return model


def _from_the_command_line(path: str) -> Module:
    from .cli.model_file import load

    model, description = load(path)
    return _ready(model, description.classes, description.preprocessing)
