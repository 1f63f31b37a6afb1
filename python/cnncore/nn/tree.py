# SPDX-License-Identifier: Apache-2.0
"""The tree of named modules, parameters and buffers that a module is the root of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from .arguments import flag
from .parameter import Buffer, Parameter

if TYPE_CHECKING:
    from typing_extensions import Self

    from .module import Module

Entry = TypeVar("Entry")


class Tree:
    """What `Module` says of its parts, with torch's names. Paths are attribute names joined by dots."""

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Buffer | None]
    _modules: dict[str, Any]

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield (path, module) for this module and all below it, in the order in which they were added.

        Args:
            memo: modules to leave out; those yielded join it.
            prefix: path of this module.
            remove_duplicate: yield a module that stands in several places once.
        """
        seen = set() if memo is None else memo
        root: Any = self
        stack: list[tuple[str, Module]] = [(prefix, root)]
        while stack:
            path, module = stack.pop()
            if remove_duplicate and module in seen:
                continue
            seen.add(module)
            yield path, module
            below = [(join(path, name), m) for name, m in module._modules.items() if m is not None]
            stack.extend(reversed(below))

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) for the modules directly below this one, each once."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        """Yield the modules directly below this one, each once."""
        return (module for _, module in self.named_children())

    def _named_arrays(
        self, table: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        root: Any = self
        owners = self.named_modules(None, prefix, remove_duplicate) if recurse else [(prefix, root)]
        for path, module in owners:
            for name, array in module.__dict__[table].items():
                if array is None or (remove_duplicate and id(array) in seen):
                    continue
                seen.add(id(array))
                yield join(path, name), array

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield (path, parameter); a shared parameter comes once, under its first path.

        Args:
            prefix: path of this module.
            recurse: go into the modules below, too.
            remove_duplicate: yield a parameter that stands in several places once.
        """
        return self._named_arrays("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield every parameter once."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Buffer]]:
        """Yield (path, buffer). Arguments as those of `named_parameters`."""
        return self._named_arrays("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Buffer]:
        """Yield every buffer once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    # -- by path --------------------------------------------------------------------------------

    def get_submodule(self, target: str) -> Module:
        """Return the module at a dotted path such as ``"layer1.0.conv2"``; ``""`` is this one.

        Raises:
            AttributeError: nothing stands there; tells what does.
        """
        module: Any = self
        for name in _path(target).split(".") if target else ():
            module = _found(module, module._modules, name, "module")
        found: Module = module
        return found

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter at a dotted path such as ``"layer1.0.conv2.weight"``.

        Raises:
            AttributeError: nothing stands there; tells what does.
        """
        owner, name = self._owner(target)
        return _found(owner, owner._parameters, name, "parameter")

    def get_buffer(self, target: str) -> Buffer:
        """Return the buffer at a dotted path such as ``"layer1.0.bn1.running_mean"``.

        Raises:
            AttributeError: nothing stands there; tells what does.
        """
        owner, name = self._owner(target)
        return _found(owner, owner._buffers, name, "buffer")

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module at a dotted path, in place of what stands there; the next call uses it.

        Args:
            target: path; all but its last name must exist.
            module: the module to put there.
            strict: raise where nothing stands at `target` yet.

        >>> from cnncore import nn
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU()))
        >>> net.set_submodule("1.0", nn.Tanh())
        >>> net.get_submodule("1.0")
        Tanh()
        """
        if not _path(target):
            raise ValueError("expected the path of a module below this one, got ''")
        owner, name = self._owner(target)
        if strict:
            _found(owner, owner._modules, name, "module")
        owner.add_module(name, module)

    def _owner(self, target: str) -> tuple[Module, str]:
        path, _, name = _path(target).rpartition(".")
        return self.get_submodule(path), name

    # -- all of them ----------------------------------------------------------------------------

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze (False) or free (True) all parameters."""
        for parameter in self.parameters():
            parameter.requires_grad = flag("requires_grad", requires_grad)
        return self

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call `fn` on every module below, then on this one; for initialisation."""
        if not callable(fn):
            raise TypeError(f"expected a function of a module, got {fn!r}")
        for child in self.children():
            child.apply(fn)
        root: Any = self
        fn(root)
        return self


def join(path: str, name: str) -> str:
    """Return the path of what is called `name` below `path`."""
    return f"{path}.{name}" if path else name


def _path(target: Any) -> str:
    if not isinstance(target, str):
        raise TypeError(f"expected a path such as 'layer1.0.conv2', got {target!r}")
    return target


def _found(owner: Module, entries: dict[str, Entry | None], name: str, kind: str) -> Entry:
    entry = entries.get(name)
    if entry is None:
        known = ", ".join(key for key, value in entries.items() if value is not None) or "none"
        raise AttributeError(f"no {kind} {name!r} in {type(owner).__name__}; it has: {known}")
    return entry
