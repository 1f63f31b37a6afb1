# SPDX-License-Identifier: Apache-2.0
"""The base class of optimisers: parameter groups, settings, state; the update itself is a program step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from operator import is_
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _checks
from .._core import Storage, read_storages, write_numbers, write_storages
from ..graph.arrays import to_array
from ..graph.hints import missing
from ..graph.locks import fork_safe
from ..graph.tensor import Tensor
from ..nn.module import Module
from ..nn.parameter import Parameter

SCHEDULED = "initial_lr"
"""A group's learning rate before a scheduler changed it: the one entry beside "params" that is no setting."""


NO_EFFECT = ("foreach", "fused", "capturable")
"""Settings of torch's that say how, not what, is computed: accepted in groups and constructors."""


class Optimizer:
    """What all optimisers have in common.

    Args:
        params: Parameters, or dicts with "params" and settings of their own.
        defaults: settings of groups that do not give them.

    `param_groups` is a list of dicts as in torch; changing a number in it takes effect with the next
    step. Steps compiled with the optimiser hold `lock` from `check_settings` to the end of a run.

    Raises:
        ValueError: no parameter, one that is given twice, or a setting out of its range.
        TypeError: something else than parameters, as a module or a single one.

    >>> from cnncore import nn, optim
    >>> layer = nn.Linear(3, 2)
    >>> optimizer = optim.SGD([{"params": [layer.weight], "lr": 0.5}, {"params": [layer.bias]}], lr=0.1)
    >>> isinstance(optimizer, Optimizer), [group["lr"] for group in optimizer.param_groups]
    (True, [0.5, 0.1])
    """

    update_op: str
    slot_names: tuple[str, ...]
    """Names of the state arrays, as in torch's state_dict."""
    hyper_size: int
    """Numbers that the update reads."""

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.counter = Storage(np.zeros((), np.int64))
        self.lock: AbstractContextManager[Any] = fork_safe(self, "lock", RLock)
        self.settings_version = 0
        self._hyper: list[Storage] = []
        self._checked: list[_Checked | None] = []
        self._slots: dict[Parameter, dict[str, Storage]] = {}
        for group in _groups(params):
            self.add_param_group(group)

    # -- groups ---------------------------------------------------------------------------------

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add a group: a dict with "params" and any settings that differ from the defaults.

        Raises:
            ValueError: a parameter that the optimiser has already, or a setting out of its range.
        """
        self._refuse_unknown(group)
        known = {id(parameter) for other in self.param_groups for parameter in other["params"]}
        params = _parameters(group["params"])
        for parameter in params:
            if id(parameter) in known:
                raise ValueError(f"parameter {_label(parameter)} is given twice")
            known.add(id(parameter))
        given = {name: value for name, value in group.items() if name not in NO_EFFECT}
        settings = {**self.defaults, **given, "params": params}
        self.check(settings)
        self.param_groups.append(settings)
        self._hyper.append(Storage(np.zeros(self.hyper_size, np.int64)))
        self._checked.append(None)

    @property
    def step_count(self) -> int:
        """Steps done. It grows in the same call of the machine that changes the parameters."""
        return self.counter.item()

    @step_count.setter
    def step_count(self, value: int) -> None:
        self.counter.write(np.array(value, np.int64))

    if not TYPE_CHECKING:  # type checkers shall tell names that do not exist

        def __getattr__(self, name: str) -> Any:
            raise missing("optimizer", type(self).__name__, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "lr" and name in getattr(self, "defaults", ()):
            raise AttributeError(
                f"{name} is a setting of each group: optimizer.param_groups[0][{name!r}] = {value!r}"
            )
        super().__setattr__(name, value)

    @property
    def lr(self) -> float:
        """Learning rate of the first group; setting it sets that of all groups."""
        return float(self.param_groups[0]["lr"])

    @lr.setter
    def lr(self, value: float) -> None:
        rate = non_negative("lr", value)
        write_storages([], [], [(group, {"lr": rate}) for group in self.param_groups])

    # -- what a subclass defines ----------------------------------------------------------------

    def check(self, group: Mapping[str, Any]) -> None:
        """Raise if a setting of `group` is wrong."""
        raise NotImplementedError

    def hyper_values(self, group: Mapping[str, Any], step: int) -> tuple[float, ...]:
        """Return the numbers of update number `step` (from 1), in the order of cpp/ops/optimizer.h."""
        raise NotImplementedError

    def slots_of(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of the state arrays that the group's update takes, "" for each absent one."""
        return self.slot_names

    def slots_for(self, parameter: Parameter, group: Mapping[str, Any]) -> tuple[str, ...]:
        """Return those of one parameter, where vectors have other arrays than matrices."""
        return self.slots_of(group)

    def slot_shape(self, name: str, parameter: Parameter) -> tuple[int, ...]:
        """Return the shape of a parameter's state array."""
        return parameter.shape

    def initial(self, name: str, group: Mapping[str, Any]) -> float:
        """Return what a state array holds before the first step."""
        return 0.0

    def update_step(self, group: int) -> str:
        """Return the machine's step that updates the group."""
        return self.update_op

    def update_attrs(self, group: int) -> dict[str, Any]:
        """Return settings that are fixed in the compiled step."""
        raise NotImplementedError

    def fixed(self, group: int) -> tuple[Any, ...]:
        """Return further settings that nodes of `direction` are made with."""
        return ()

    def direction_attrs(self, group: int) -> dict[str, Any] | None:
        """Return settings of a first update, which makes directions of gradients; None: there is only one."""
        return None

    def direction(self, group: int, tensor: Tensor) -> Tensor:
        """Add nodes between the two updates, for what the first has made of one gradient."""
        return tensor

    # -- what a compiled step uses --------------------------------------------------------------

    def hyper(self, group: int) -> Storage:
        """Return the memory of the group's numbers as the step reads them: float64 bit patterns."""
        return self._hyper[group]

    def state_slots(self, parameter: Parameter) -> list[Storage | None]:
        """Return the memory of the state arrays that the parameter's update takes: always the same."""
        group = next(g for g in self.param_groups if any(p is parameter for p in g["params"]))
        return [
            self._made(parameter, name, group) if name else None for name in self.slots_for(parameter, group)
        ]

    def check_settings(self) -> None:
        """Check the settings that may have changed; `settings_version` grows when some may have.

        Raises:
            ValueError: `param_groups` became longer or shorter by itself.
        """
        if len(self.param_groups) != len(self._hyper):
            raise ValueError(
                f"expected {len(self._hyper)} param_groups, got {len(self.param_groups)}; "
                "add_param_group(group) adds one"
            )
        for index, group in enumerate(self.param_groups):
            checked = self._checked[index]
            if checked is None or not checked.still(group):
                self._check_group(index, group)
                self._checked[index] = _Checked.of(group)
                self.settings_version += 1

    def prepare(self) -> None:
        """Write the numbers of the next step where the compiled step reads them."""
        step = self.step_count + 1
        write_numbers(self._hyper, [self.hyper_values(group, step) for group in self.param_groups])

    def _check_group(self, index: int, group: Mapping[str, Any]) -> None:
        """Raise if the group has other settings than it was made with, or a wrong one."""
        try:
            self._refuse_unknown(group)
            self.check(group)
        except KeyError as error:
            raise ValueError(f"param_groups[{index}]: the setting {error} is missing") from None
        except (TypeError, ValueError) as error:
            raise type(error)(f"param_groups[{index}]: {error}") from None

    def _refuse_unknown(self, group: Mapping[str, Any]) -> None:
        unknown = sorted(map(str, set(group) - set(self.defaults) - {"params", SCHEDULED, *NO_EFFECT}))
        if unknown:
            raise ValueError(f"unknown settings {unknown}; {type(self).__name__} has {list(self.defaults)}")

    # -- state ----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return settings and copies of the state arrays of one moment, in the form of torch's optimisers.

        ``{"state": {index: {name: array}}, "param_groups": [{"lr": ..., "params": [index, ...]}],
        "step": steps done}``; parameters are numbered through all groups.
        """
        with self.lock:
            return self._state()

    def _state(self) -> dict[str, Any]:
        ordered = [parameter for group in self.param_groups for parameter in group["params"]]
        known = {index: self._slots[p] for index, p in enumerate(ordered) if p in self._slots}
        slots = [slot for slots in known.values() for slot in slots.values()]
        count, *arrays = read_storages([self.counter, *slots])
        step, values = int(count), iter(arrays)
        state = {index: {"step": step, **{n: next(values) for n in slots}} for index, slots in known.items()}
        groups = []
        start = 0
        for group in self.param_groups:
            end = start + len(group["params"])
            groups.append({**group, "params": list(range(start, end))})
            start = end
        return {"state": state, "param_groups": groups, "step": step}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over settings and state from `state_dict()` or from torch's of the same optimiser.

        Nothing changes when something does not fit. Steps in other threads happen before or after.

        Raises:
            ValueError: the groups, parameters or shapes differ, or a torch option has no counterpart.
        """
        with self.lock:
            write_storages(*self.loadable_state(state_dict))

    def loadable_state(
        self, state_dict: Mapping[str, Any]
    ) -> tuple[list[Storage], list[NDArray[Any]], list[tuple[dict[str, Any], dict[str, Any]]]]:
        """Check a state; return what `write_storages` takes to bring it about: memory and settings.

        Raises:
            ValueError: groups, parameters or shapes that are not this optimiser's.
        """
        groups = self._checked_groups(state_dict)
        ordered = [parameter for group in self.param_groups for parameter in group["params"]]
        numbers = [number for group in groups for number in group["params"]]
        loaded: dict[Parameter, dict[str, NDArray[Any]]] = {}
        steps = [0]
        for parameter, number in zip(ordered, numbers, strict=True):
            entry = state_dict["state"].get(number, {})
            loaded[parameter] = {
                name: to_array(entry[name]) for name in self.slot_names if entry.get(name) is not None
            }
            for name, array in loaded[parameter].items():
                expected = self.slot_shape(name, parameter)
                if array.shape != expected:
                    raise ValueError(
                        f"{name} of parameter {number} {_label(parameter)}: expected shape "
                        f"{expected}, got {array.shape}"
                    )
            if loaded[parameter]:
                steps.append(int(entry.get("step", 1)))
        settings = [
            (group, {name: source[name] for name in (*self.defaults, SCHEDULED) if name in source})
            for group, source in zip(self.param_groups, groups, strict=True)
        ]
        targets, arrays = [self.counter], [np.array(state_dict.get("step", max(steps)), np.int64)]
        for group in self.param_groups:
            for parameter in group["params"]:
                for name in dict.fromkeys([*loaded[parameter], *self._slots.get(parameter, ())]):
                    start = self._start(parameter, name, group)
                    targets.append(self._made(parameter, name, group))
                    arrays.append(np.asarray(loaded[parameter].get(name, start), np.float32, order="C"))
        return targets, arrays, settings

    def _made(self, parameter: Parameter, name: str, group: Mapping[str, Any]) -> Storage:
        slots = self._slots.setdefault(parameter, {})
        if name not in slots:
            slots[name] = Storage(self._start(parameter, name, group))
        return slots[name]

    def _start(self, parameter: Parameter, name: str, group: Mapping[str, Any]) -> NDArray[np.float32]:
        value = self.initial(name, group)
        start = np.zeros(self.slot_shape(name, parameter), np.float32)  # no page is written
        return start + np.float32(value) if value else start

    def _checked_groups(self, state_dict: Mapping[str, Any]) -> list[dict[str, Any]]:
        groups = [dict(group) for group in _outline(state_dict)]
        expected = [len(group["params"]) for group in self.param_groups]
        found = [len(group["params"]) for group in groups]
        if expected != found:
            raise ValueError(f"expected groups of {expected} parameters, got groups of {found}")
        for group in groups:
            for option in ("maximize", "amsgrad", "decoupled_weight_decay"):
                if group.get(option) and option not in self.defaults:
                    raise ValueError(
                        f"the state was made with {option}=True, which {type(self).__name__} lacks"
                    )
            group.update(
                {name: tuple(v) for name, v in group.items() if isinstance(v, list) and name != "params"}
            )
            self.check({**self.defaults, **group})
        return groups

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        del state["lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, lock=fork_safe(self, "lock", RLock))

    def __repr__(self) -> str:
        lines = []
        for index, group in enumerate(self.param_groups):
            settings = ", ".join(f"{name}={group[name]}" for name in self.defaults)
            lines.append(f"  group {index}: {len(group['params'])} parameters, {settings}")
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])


class _Checked:
    """A group's settings when they were checked: a step checks them again only where an object is another.

    Only settings that nobody can change in place are kept so.
    """

    __slots__ = ("_count", "_names", "_values")

    def __init__(self, group: Mapping[str, Any]) -> None:
        self._names = tuple(group)
        self._values = tuple(group.values())
        self._count = len(group["params"])

    @classmethod
    def of(cls, group: Mapping[str, Any]) -> _Checked | None:
        """Return what to compare with, or None where a setting may change in place."""
        settings = (value for name, value in group.items() if name != "params")
        return cls(group) if all(map(_is_fixed, settings)) else None

    def still(self, group: Mapping[str, Any]) -> bool:
        """Whether the group has the very same settings, and as many parameters."""
        return (
            tuple(group) == self._names
            and all(map(is_, group.values(), self._values))
            and len(group["params"]) == self._count
        )


def _is_fixed(value: Any) -> bool:
    if type(value) is tuple:
        return all(map(_is_fixed, value))
    return type(value) in (float, int, bool, str, type(None)) or isinstance(value, np.generic)


def real(name: str, value: Any) -> float:
    """Return `value` as a float, or raise naming the setting."""
    if type(value) is float:  # as nearly always, in each step
        return value
    return _checks.real(f"a number for {name}", value, flags=False)


def non_negative(name: str, value: Any) -> float:
    """Return `value` as a finite float of at least 0, or raise naming the setting."""
    found = real(name, value)
    if not 0.0 <= found < math.inf:
        raise ValueError(f"expected a finite {name} of at least 0, got {value}")
    return found


def _outline(state_dict: Any) -> list[Mapping[str, Any]]:
    """Return the groups of an optimiser's state after checking that it has the form of one."""
    what = "expected an optimiser's state_dict, a dict with 'state' and 'param_groups'"
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"{what}, got {type(state_dict).__name__}")
    if "param_groups" not in state_dict or "state" not in state_dict:
        raise ValueError(f"{what}, got keys {list(state_dict)}")
    groups, state = state_dict["param_groups"], state_dict["state"]
    if not isinstance(groups, (list, tuple)):
        raise TypeError(f"expected param_groups as a list of dicts, got {type(groups).__name__}")
    for index, group in enumerate(groups):
        if not isinstance(group, Mapping):
            raise TypeError(
                f"expected param_groups[{index}] as a dict with 'params', got {type(group).__name__}"
            )
        if "params" not in group:
            raise ValueError(f"param_groups[{index}] has no 'params' (the numbers of its parameters)")
    if not isinstance(state, Mapping):
        raise TypeError(f"expected state as a dict of dicts by parameter number, got {type(state).__name__}")
    for number, entry in state.items():
        if not isinstance(entry, Mapping):
            raise TypeError(f"expected state[{number!r}] as a dict, got {type(entry).__name__}")
    return list(groups)


def _label(parameter: Parameter) -> str:
    return f"{parameter.name or '(unnamed)'} {parameter.shape}"


def _groups(params: Any) -> list[Mapping[str, Any]]:
    if isinstance(params, Module):
        raise TypeError(f"expected parameters, got a {type(params).__name__}; pass model.parameters()")
    if isinstance(params, Parameter):
        raise TypeError("expected several parameters, got one; pass [parameter]")
    if isinstance(params, Mapping) or not isinstance(params, Iterable):
        raise TypeError(f"expected Parameters or a list of dicts with 'params', got {type(params).__name__}")
    entries = list(params)
    if not entries:
        raise ValueError("expected at least one parameter, got none")
    if not isinstance(entries[0], Mapping):
        return [{"params": entries}]
    for entry in entries:
        if not isinstance(entry, Mapping) or "params" not in entry:
            raise TypeError("expected every group to be a dict with 'params'")
    return entries


def _parameters(params: Any) -> list[Parameter]:
    found = [params] if isinstance(params, Parameter) else list(params)
    for parameter in found:
        if not isinstance(parameter, Parameter):
            raise TypeError(f"expected Parameters, got {type(parameter).__name__}")
    return found
