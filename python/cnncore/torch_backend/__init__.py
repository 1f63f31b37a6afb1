# SPDX-License-Identifier: Apache-2.0
"""cnncore below PyTorch (extra `torch`): a backend of `torch.compile`, and modules made from torch's.

compiled = torch.compile(model, backend="cnncore")
module = cnncore.from_torch(model, example)

Modules that `from_torch` made are unpickled and run without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .module import TorchModel

if TYPE_CHECKING:
    from .capturing import from_torch
    from .compiling import backend

__all__ = ["TorchModel", "backend", "from_torch"]

_HOMES = {"backend": "compiling", "from_torch": "capturing"}


def __getattr__(name: str) -> Any:
    """Load what needs torch on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ModuleNotFoundError(
            f"cnncore.torch_backend.{name} needs PyTorch: pip install 'cnncore[torch]'", name="torch"
        ) from None
    globals()[name] = value
    return value
