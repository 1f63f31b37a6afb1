# SPDX-License-Identifier: Apache-2.0
"""The base class of layers and networks: a tree of named parameters, buffers and modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from ..compiler.call import call_module
from ..graph.changes import changes
from ..graph.hints import missing
from ..graph.mode import in_inference
from .construction import InitSignature, remember
from .parameter import Buffer, Parameter, StoredArray
from .placement import check_move
from .predict import predict, predict_classes
from .state import IncompatibleKeys, load_state, read_state, stored_arrays
from .tree import Tree

if TYPE_CHECKING:
    from typing_extensions import Self


class Module(Tree):
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
    __signature__ = InitSignature()

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        module = super().__new__(cls)
        module.__dict__["_construction"] = remember(cls, args, kwargs)
        return module

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
        raise missing("module", type(self).__name__, name)

    def __delattr__(self, name: str) -> None:
        with self._changing():
            for table, _ in self._tables():
                if name in table:
                    del table[name]
                    return
            object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under `name`; None reserves the name (a layer without bias).

        Raises:
            TypeError: `param` is neither a Parameter nor None.
        """
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"expected a Parameter or None for {name!r}, got {type(param).__name__}")
        self._register_new(self._parameters, name, param)

    def register_buffer(self, name: str, tensor: ArrayLike | Buffer | None, persistent: bool = True) -> None:
        """Add an array that is saved with the module but not trained; None reserves the name.

        Args:
            name: attribute under which it is found.
            tensor: the array; floats become float32, integers int64.
            persistent: whether it is part of `state_dict()`.

        Raises:
            ValueError: a name that is empty, has a dot or is taken.
            TypeError: something that is neither an array nor None.
        """
        if tensor is not None and not isinstance(tensor, Buffer):
            tensor = Buffer(tensor, persistent)
        self._register_new(self._buffers, name, tensor)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a module under `name`; None reserves the name.

        Raises:
            TypeError: `module` is neither a Module nor None.
        """
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"expected a Module or None for {name!r}, got {type(module).__name__}")
        self._register_new(self._modules, name, module)

    register_module = add_module

    def _register_new(self, table: dict[str, Any], name: str, value: Any) -> None:
        """Register under a name that no other kind of attribute has."""
        if not isinstance(name, str):
            raise TypeError(f"expected a name, got {name!r}")
        if name not in table and hasattr(self, name):
            raise ValueError(f"{type(self).__name__} has an attribute {name!r} already: choose another name")
        self._register(table, name, value)

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
        """Switch to training mode (dropout active, batch norm uses batch statistics).

        Raises:
            TypeError: `mode` is neither True nor False.
        """
        if not isinstance(mode, bool):
            raise TypeError(f"expected mode True or False, got {mode!r}")
        with changes.of_structure():
            for module in self.modules():
                module.__dict__["training"] = mode
        return self

    def eval(self) -> Self:
        """Switch to inference mode."""
        return self.train(False)

    def state_dict(
        self, *, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Return copies of all parameters and persistent buffers by path.

        Unlike torch's, the arrays are a snapshot: later training does not change them.

        Args:
            destination: a dict that they are added to, and that is returned.
            prefix: what every path begins with, such as "encoder.".
            keep_vars: return the Parameters and Buffers themselves instead of copies.

        >>> from cnncore import nn
        >>> {name: array.shape for name, array in nn.Linear(3, 2).state_dict(prefix="head.").items()}
        {'head.weight': (2, 3), 'head.bias': (2,)}
        """
        state: Mapping[str, Any] = stored_arrays(self) if keep_vars else read_state(self)
        found = {} if destination is None else destination
        found.update((prefix + path, array) for path, array in state.items())
        return found

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy arrays by path into parameters and buffers: all of them, or none on an error.

        Args:
            state_dict: arrays by path, as from `state_dict()`, `cc.load` or torch.
            strict: raise when a path is missing or unexpected; otherwise only report it.
            assign: accepted; values are copied either way, and parameters stay the objects they are.

        Returns:
            A named pair (missing_keys, unexpected_keys).

        Raises:
            ValueError: naming every missing or unexpected path (strict) and every wrong shape.
        """
        return load_state(self, state_dict, strict)

    def to(self, *args: Any, **options: Any) -> Self:
        """Return the module itself, where torch's `to("cpu")`, `to(float32)` or `to(device, dtype)` would.

        Raises:
            ValueError: another device or dtype: networks are computed on CPUs in float32.
        """
        check_move(args, options)
        return self

    def cpu(self) -> Self:
        """Return the module itself: it is on the CPU."""
        return self

    def float(self) -> Self:
        """Return the module itself: it is float32."""
        return self

    # -- running --------------------------------------------------------------------------------

    def __call__(self, *inputs: Any, **kwargs: Any) -> Any:
        return call_module(self, inputs, kwargs)

    def predict(self, x: Any, batch_size: int = 32) -> Any:
        """Run the module in inference mode on any number of rows.

        Args:
            x: array (rows, ...); taken `batch_size` rows at a time. A dict of arrays goes to `forward` by the
                names of its arguments, a tuple by their order. A dataset, a loader or another iterable gives
                batches x, (x, y) or (x, y, weights). A model from `cc.load_model` takes the name of an image
                file or of a folder, or a list of such; `data.image_files` gives the files of a folder in
                order.
            batch_size: rows for one run; bounds the memory used, does not change results.

        Returns:
            What `forward` returns for all rows at once: an array (rows, ...) or a tuple of such.

        Raises:
            ValueError: a batch size below 1, or an input that the layers do not take.
        """
        return predict(self, x, batch_size)

    def predict_classes(self, x: Any, batch_size: int = 32) -> Any:
        """Return the class of the highest output of each row: its name where the model has `class_names`.

        Args:
            x: as for `predict`.
            batch_size: likewise.

        Raises:
            ValueError: the output is not (rows, classes, ...) of at least two classes.

        >>> import numpy as np
        >>> from cnncore import nn
        >>> model = nn.Identity()
        >>> model.predict_classes(np.array([[0.1, 0.9], [0.8, 0.2]])).tolist()
        [1, 0]
        """
        return predict_classes(self, x, batch_size)

    # -- text and pickling ----------------------------------------------------------------------

    def extra_repr(self) -> str:
        """Return the text between the parentheses of `repr`; layers override it."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = [
            f"({name}): " + repr(child).replace("\n", "\n  ")
            for name, child in self._modules.items()
            if child is not None
        ]
        if not lines:
            return f"{type(self).__name__}({extra})"
        if extra:
            lines.insert(0, extra)
        return f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__, _programs=None)
