# SPDX-License-Identifier: Apache-2.0
"""Pickles read as plain values: nothing is imported, called or made but what is listed here.

An interpreter of the opcodes that torch writes. Names of functions and classes become `Name` records; where a
pickle calls one, the call is handed to the reader's own function, which knows the few that it allows.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from io import BytesIO
from typing import Any, NamedTuple

MAX_OPCODES = 4_000_000
"""More are refused; a checkpoint of a thousand tensors has forty thousand."""

MAX_BYTES = 1 << 26
"""Larger pickles are refused."""


class Name(NamedTuple):
    """A function or class that a pickle names."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class Record:
    """An object of a class that a pickle names: its attributes, and nothing else of it."""

    def __init__(self, kind: Name) -> None:
        self.kind = kind
        self.attributes: dict[str, Any] = {}


Call = Callable[[Name, tuple[Any, ...]], Any]
"""Returns what a call of a name with arguments stands for, or raises ValueError."""

_MARK = object()
_CONSTANTS = {
    "NONE": None,
    "NEWTRUE": True,
    "NEWFALSE": False,
    "EMPTY_TUPLE": (),
}
_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
_IGNORED = {"PROTO", "FRAME"}
_KEYS = (str, int, float, bool, bytes, type(None))
"""Keys and members of sets: values whose hash needs no recursion."""


def read(data: bytes, call: Call, storage: Callable[[Any], Any]) -> Any:
    """Return the value that a pickle holds.

    Args:
        data: the pickle.
        call: answers calls of names, and their objects' construction.
        storage: answers persistent ids.

    Raises:
        ValueError: a damaged pickle, an opcode that plain values do not need, or what `call` refuses.
    """
    if len(data) > MAX_BYTES:
        raise ValueError(f"expected a pickle of at most {MAX_BYTES} bytes, got {len(data)}")
    machine = _Machine(call, storage)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(BytesIO(data))):
            if count >= MAX_OPCODES:
                raise ValueError(f"expected a pickle of at most {MAX_OPCODES} opcodes")
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
    except (IndexError, KeyError, TypeError, AttributeError, UnicodeError, OverflowError) as error:
        raise ValueError(f"the pickle is damaged: {type(error).__name__}: {str(error)[:200]}") from None
    raise ValueError("the pickle is damaged: it has no end")


class _Machine:
    """The stack and the memo of a pickle that is being read."""

    def __init__(self, call: Call, storage: Callable[[Any], Any]) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._call, self._storage = call, storage

    def pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError("the pickle is damaged: a mark in place of a value")
        return value

    def step(self, name: str, argument: Any) -> None:
        """Carry out one opcode."""
        if name in _VALUES:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self._stack.append(_EMPTY[name]())
        elif name not in _IGNORED:
            action = getattr(self, f"_{name.lower()}", None)
            if action is None:
                raise ValueError(f"it holds the pickle opcode {name}, which tensors do not need; refused")
            action(argument)

    def _marked(self) -> list[Any]:
        """Take everything above the last mark off the stack, and the mark."""
        for place in range(len(self._stack) - 1, -1, -1):
            if self._stack[place] is _MARK:
                values = self._stack[place + 1 :]
                del self._stack[place:]
                return values
        raise ValueError("the pickle is damaged: a mark is missing")

    def _top(self, kind: type) -> Any:
        value = self._stack[-1]
        if type(value) is not kind:
            raise ValueError(
                f"the pickle is damaged: expected a {kind.__name__} to fill, got {type(value).__name__}"
            )
        return value

    # -- stack and memo -------------------------------------------------------------------------

    def _mark(self, _: Any) -> None:
        self._stack.append(_MARK)

    def _pop(self, _: Any) -> None:
        self._stack.pop()

    def _pop_mark(self, _: Any) -> None:
        self._marked()

    def _dup(self, _: Any) -> None:
        self._stack.append(self._stack[-1])

    def _put(self, place: int) -> None:
        self._memo[place] = self._stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _get(self, place: int) -> None:
        self._stack.append(self._memo[place])

    _binget = _long_binget = _get

    # -- containers -----------------------------------------------------------------------------

    def _tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._marked()))

    def _tuple1(self, _: Any) -> None:
        self._stack.append((self.pop(),))

    def _tuple2(self, _: Any) -> None:
        second = self.pop()
        self._stack.append((self.pop(), second))

    def _tuple3(self, _: Any) -> None:
        third, second = self.pop(), self.pop()
        self._stack.append((self.pop(), second, third))

    def _list(self, _: Any) -> None:
        self._stack.append(self._marked())

    def _append(self, _: Any) -> None:
        value = self.pop()
        self._top(list).append(value)

    def _appends(self, _: Any) -> None:
        values = self._marked()
        self._top(list).extend(values)

    def _dict(self, _: Any) -> None:
        values = self._marked()
        self._stack.append({})
        self._fill(values)

    def _setitem(self, _: Any) -> None:
        value = self.pop()
        self._fill([self.pop(), value])

    def _setitems(self, _: Any) -> None:
        self._fill(self._marked())

    def _fill(self, values: list[Any]) -> None:
        target = self._top(dict)
        if len(values) % 2:
            raise ValueError("the pickle is damaged: a key without a value")
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[_checked(key)] = value

    def _additems(self, _: Any) -> None:
        values = [_checked(value) for value in self._marked()]
        self._top(set).update(values)

    def _frozenset(self, _: Any) -> None:
        self._stack.append(frozenset(_checked(value) for value in self._marked()))

    # -- names, which are not looked up, and calls, which are not made --------------------------

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._stack.append(Name(module, name))

    def _stack_global(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("the pickle is damaged: a name that is no text")
        self._stack.append(Name(module, name))

    def _reduce(self, _: Any) -> None:
        arguments, name = self.pop(), self.pop()
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            raise ValueError("the pickle is damaged: a call of what is no name")
        self._stack.append(self._call(name, arguments))

    _newobj = _reduce

    def _build(self, _: Any) -> None:
        state, target = self.pop(), self._stack[-1]
        if isinstance(target, Record) and isinstance(state, dict):
            target.attributes.update(state)
        elif not isinstance(target, dict):
            raise ValueError(f"it sets the state of a {type(target).__name__}; refused")

    def _binpersid(self, _: Any) -> None:
        self._stack.append(self._storage(self.pop()))


def _checked(key: Any) -> Any:
    if not isinstance(key, _KEYS):
        raise ValueError(f"expected keys that are texts or numbers, got a {type(key).__name__}")
    return key
