# SPDX-License-Identifier: Apache-2.0
"""cnncore: training and running convolutional networks on CPUs, with numpy as the only dependency.

>>> import numpy as np
>>> import cnncore as cc
>>> from cnncore import nn, optim
>>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 2))
>>> model(np.zeros((1, 1, 8, 8), np.float32)).shape
(1, 2)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._importing import importing
from ._version import __version__
from .graph import runner

if TYPE_CHECKING:
    from . import bench, data, io, models, nn, ops, optim, train, viz
    from . import onnx as onnx
    from . import sklearn as sklearn
    from .checkpointing import checkpoint, checkpoint_sequential
    from .gradient_check import grad_check
    from .intermediate import capture
    from .io import load, load_into, load_torch
    from .model_file import load_model, save
    from .model_summary import summary
    from .nonfinite import NonFinite, find_nonfinite
    from .predictor import Predictor, compile
    from .runtime import (
        get_accuracy,
        get_num_threads,
        info,
        manual_seed,
        measure_peak,
        set_accuracy,
        set_num_threads,
        threads,
    )
    from .tiling import tiled
    from .train import Callback, History, Trainer
    from .training import train_step
    from .transfer import freeze, parameter_groups, replace_head, unfreeze
    from .transforms import grad, value_and_grad

_MODULES = (
    "bench",
    "data",
    "io",
    "models",
    "nn",
    "onnx",
    "ops",
    "optim",
    "sklearn",
    "torch_backend",
    "train",
    "viz",
)

_NAMES = {
    "capture": "intermediate",
    "checkpoint": "checkpointing",
    "checkpoint_sequential": "checkpointing",
    "find_nonfinite": "nonfinite",
    "freeze": "transfer",
    "parameter_groups": "transfer",
    "replace_head": "transfer",
    "unfreeze": "transfer",
    "from_torch": "torch_backend",
    "grad_check": "gradient_check",
    "compile": "predictor",
    "NonFinite": "nonfinite",
    "Predictor": "predictor",
    "grad": "transforms",
    "train_step": "training",
    "value_and_grad": "transforms",
    "Callback": "train",
    "History": "train",
    "Trainer": "train",
    "load": "io",
    "load_into": "io",
    "load_keras": "io",
    "load_torch": "io",
    "load_model": "model_file",
    "save": "model_file",
    "summary": "model_summary",
    "tiled": "tiling",
    **dict.fromkeys(
        (
            "get_accuracy",
            "get_num_threads",
            "info",
            "manual_seed",
            "measure_peak",
            "set_accuracy",
            "set_num_threads",
            "threads",
        ),
        "runtime",
    ),
}

__all__ = [
    "Callback",
    "History",
    "NonFinite",
    "Predictor",
    "Trainer",
    "__version__",
    "bench",
    "capture",
    "checkpoint",
    "checkpoint_sequential",
    "compile",
    "data",
    "find_nonfinite",
    "freeze",
    "get_accuracy",
    "get_num_threads",
    "grad",
    "grad_check",
    "info",
    "io",
    "load",
    "load_into",
    "load_keras",
    "load_model",
    "load_torch",
    "manual_seed",
    "measure_peak",
    "models",
    "nn",
    "ops",
    "optim",
    "parameter_groups",
    "replace_head",
    "save",
    "set_accuracy",
    "set_num_threads",
    "summary",
    "threads",
    "tiled",
    "train",
    "train_step",
    "unfreeze",
    "value_and_grad",
    "viz",
]


def _compile_function(*args: Any) -> runner.Program:
    """Load the compiler once an operation is called on arrays."""
    with importing:
        from .compiler.pipeline import compile_function

    runner.use(compile_function)
    return compile_function(*args)


runner.use(_compile_function)


def _missing(name: str) -> AttributeError:
    from .graph.hints import missing

    return missing("package", f"module {__name__!r}", name)


def __getattr__(name: str) -> Any:
    """Load a submodule, or the submodule that a name comes from, on first use."""
    if name in _MODULES:
        with importing:
            return import_module(f"{__name__}.{name}")
    home = _NAMES.get(name)
    if home is None:
        raise _missing(name)
    with importing:
        value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
