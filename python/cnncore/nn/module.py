# SPDX-License-Identifier: Apache-2.0
"""The base class of layers and networks: a tree of named parameters, buffers and modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike, NDArray

from ..compiler.call import call_module
from ..graph.changes import changes
from ..graph.mode import in_inference
from .parameter import Buffer, Parameter, StoredArray
from .predict import predict
from .state import IncompatibleKeys, load_state, read_state

if TYPE_CHECKING:
    from typing_extensions import Self


class Module:
    """A layer or a network. Subclasses make their parts in `__init__` and use them in `forward`.

    Parameters, buffers and modules assigned as attributes are registered under the attribute's
    name, as in ``torch.nn.Module``. Calling the module on numpy arrays runs it at once in its
    current mode (`train()` or `eval()`); inside a traced function it adds to the graph.

    >>> import numpy as np
    >>> from cnncore import nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.conv = nn.Conv2d(1, 4, 3)
    ...         self.relu = nn.ReLU()
    ...     def forward(self, x):
    ...         return self.relu(self.conv(x))
    >>> net = Net()
    >>> [name for name, parameter in net.named_parameters()]
    ['conv.weight', 'conv.bias']
    >>> net(np.zeros((1, 1, 8, 8), np.float32)).shape
    (1, 4, 6, 6)
    """

    structure_version: int
    forward: Callable[..., Any]

    def __init__(self) -> None:
        self.__dict__.update(
            training=True, structure_version=0, _parameters={}, _buffers={}, _modules={}, _programs=None
        )

    # -- registration ---------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_programs":
            self.__dict__[name] = value
            return
        tables = self._tables()
        with self._changing():
            for table, kind in tables:
                if isinstance(value, kind):
                    self._register(table, name, value)
                    return
            for table, kind in tables:
                if name in table:
                    if value is not None:
                        raise TypeError(
                            f"cannot assign {type(value).__name__} to {name!r}, a {kind.__name__} of "
                            f"{type(self).__name__}; expected a {kind.__name__} or None"
                            + (" (to change its values, use .assign)" if kind is not Module else "")
                        )
                    table[name] = None
                    return
            object.__setattr__(self, name, value)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Tell compiled programs that this module is no longer what they were traced from."""
        own = self.__dict__
        with changes.of_structure():
            own["structure_version"] += 1
            try:
                yield
            finally:
                own["structure_version"] += 1

    def _tables(self) -> tuple[tuple[dict[str, Any], type], ...]:
        own = self.__dict__
        if "_modules" not in own:
            raise AttributeError(f"{type(self).__name__}.__init__ must call super().__init__() first")
        return (own["_parameters"], Parameter), (own["_buffers"], Buffer), (own["_modules"], Module)

    def _register(self, table: dict[str, Any], name: str, value: Any) -> None:
        if not name or "." in name:
            raise ValueError(f"expected a name without dots, got {name!r}")
        with self._changing():
            for other, _ in self._tables():
                if other is not table:
                    other.pop(name, None)
            self.__dict__.pop(name, None)
            if isinstance(value, StoredArray) and not value.name:
                value.name = name
            table[name] = value

    def __getattr__(self, name: str) -> Any:
        for table in ("_parameters", "_buffers", "_modules"):
            entries = self.__dict__.get(table, {})
            if name in entries:
                return entries[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        with self._changing():
            for table, _ in self._tables():
                if name in table:
                    del table[name]
                    return
            object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        """Add a parameter under `name`; None reserves the name (a layer without bias)."""
        if parameter is not None and not isinstance(parameter, Parameter):
            raise TypeError(f"expected a Parameter or None for {name!r}, got {type(parameter).__name__}")
        self._register(self._parameters, name, parameter)

    def register_buffer(self, name: str, value: ArrayLike | Buffer | None, persistent: bool = True) -> None:
        """Add an array that is saved with the module but not trained; None reserves the name."""
        if value is not None and not isinstance(value, Buffer):
            value = Buffer(value, persistent)
        self._register(self._buffers, name, value)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a module under `name`."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"expected a Module or None for {name!r}, got {type(module).__name__}")
        self._register(self._modules, name, module)

    # -- the tree -------------------------------------------------------------------------------

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """Yield (path, module) for this module (path `prefix`) and all below it."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            path, module = stack.pop()
            if remove_duplicate and id(module) in seen:
                continue
            seen.add(id(module))
            yield path, module
            below = [(f"{path}.{name}" if path else name, m) for name, m in module.named_children()]
            stack.extend(reversed(below))

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) for the modules directly below this one."""
        return ((name, module) for name, module in self._modules.items() if module is not None)

    def children(self) -> Iterator[Module]:
        """Yield the modules directly below this one."""
        return (module for _, module in self.named_children())

    def _named_arrays(
        self, table: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        owners = self.named_modules(prefix, remove_duplicate) if recurse else [(prefix, self)]
        for path, module in owners:
            for name, array in module.__dict__[table].items():
                if array is None or (remove_duplicate and id(array) in seen):
                    continue
                seen.add(id(array))
                yield (f"{path}.{name}" if path else name), array

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield (path, parameter); a shared parameter comes once, under its first path."""
        return self._named_arrays("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield every parameter once."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Buffer]]:
        """Yield (path, buffer)."""
        return self._named_arrays("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Buffer]:
        """Yield every buffer once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, path: str) -> Module:
        """Return the module at a dotted path such as ``"layer1.0.conv2"``."""
        module = self
        for name in path.split(".") if path else ():
            if module._modules.get(name) is None:
                known = ", ".join(name for name, _ in module.named_children()) or "none"
                raise AttributeError(f"no module {name!r} in {type(module).__name__}; it has: {known}")
            module = module._modules[name]
        return module

    # -- modes and state ------------------------------------------------------------------------

    @property
    def training(self) -> bool:
        """Whether a call is one of training; set by `train()` and `eval()`, and always False for the calls
        that `predict`, `Trainer.evaluate` and `compile` make."""
        mode: bool = self.__dict__["training"]
        return mode and not in_inference(self)

    @training.setter
    def training(self, mode: bool) -> None:
        with self._changing():
            self.__dict__["training"] = mode

    def train(self, mode: bool = True) -> Self:
        """Switch to training mode (dropout active, batch norm uses batch statistics)."""
        if not isinstance(mode, bool):
            raise TypeError(f"expected mode True or False, got {mode!r}")
        with changes.of_structure():
            for module in self.modules():
                module.__dict__["training"] = mode
        return self

    def eval(self) -> Self:
        """Switch to inference mode."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze (False) or free (True) all parameters."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` on every module below, then on this one; for initialisation."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Return copies of all parameters and persistent buffers by path.

        Unlike torch's, the arrays are a snapshot: later training does not change them.
        """
        return read_state(self)

    def load_state_dict(self, state: dict[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy arrays by path into parameters and buffers: all of them, or none on an error.

        Args:
            state: arrays by path, as from `state_dict()`, `cc.load` or torch.
            strict: raise when a path is missing or unexpected; otherwise only report it.

        Returns:
            (missing_keys, unexpected_keys).

        Raises:
            ValueError: naming every missing or unexpected path (strict) and every wrong shape.
        """
        return load_state(self, state, strict)

    # -- running --------------------------------------------------------------------------------

    def __call__(self, *inputs: Any, **kwargs: Any) -> Any:
        return call_module(self, inputs, kwargs)

    def predict(self, x: Any, batch_size: int = 32) -> Any:
        """Run the module in inference mode on any number of rows.

        Args:
            x: array (rows, ...); taken `batch_size` rows at a time.
            batch_size: rows for one run; bounds the memory used, does not change results.

        Returns:
            What `forward` returns for all rows at once: an array (rows, ...) or a tuple of such.
        """
        return predict(self, x, batch_size)

    # -- text and pickling ----------------------------------------------------------------------

    def extra_repr(self) -> str:
        """Return the text between the parentheses of `repr`; layers override it."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = [f"({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.named_children()]
        if not lines:
            return f"{type(self).__name__}({extra})"
        if extra:
            lines.insert(0, extra)
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__, _programs=None)
