# SPDX-License-Identifier: Apache-2.0
"""The base class of optimisers: parameter groups, settings, state; the update itself is a program step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph.arrays import aligned_empty, to_array
from ..nn.module import Module
from ..nn.parameter import Parameter


class Optimizer:
    """What SGD, Adam and AdamW have in common.

    Args:
        params: Parameters, or dicts with "params" and settings of their own.
        defaults: settings of groups that do not give them.

    `param_groups` is a list of dicts as in torch; changing a number in it takes effect with the next
    step. `step_count` counts the steps done.
    """

    update_op: str
    slot_names: tuple[str, ...]
    """Names of the state arrays, as in torch's state_dict."""
    slot_count: int
    """State arrays of a parameter that has any."""
    hyper_size: int

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.step_count = 0
        self._hyper: list[NDArray[Any]] = []
        self._slots: dict[Parameter, list[NDArray[Any]]] = {}
        for group in _groups(params):
            self.add_param_group(group)

    # -- groups ---------------------------------------------------------------------------------

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add a group: a dict with "params" and any settings that differ from the defaults."""
        self._refuse_unknown(group)
        known = {id(parameter) for other in self.param_groups for parameter in other["params"]}
        params = _parameters(group["params"])
        for parameter in params:
            if id(parameter) in known:
                raise ValueError(f"parameter {_label(parameter)} is given twice")
            known.add(id(parameter))
        settings = {**self.defaults, **group, "params": params}
        self.check(settings)
        self.param_groups.append(settings)
        self._hyper.append(np.zeros(self.hyper_size, np.float64))
        self._write_hyper(len(self._hyper) - 1)

    def _refuse_unknown(self, group: Mapping[str, Any]) -> None:
        unknown = set(group) - set(self.defaults) - {"params"}
        if unknown:
            raise ValueError(
                f"unknown settings {sorted(unknown)}; {type(self).__name__} has {list(self.defaults)}"
            )

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
        for group in self.param_groups:
            group["lr"] = rate

    # -- what a subclass defines ----------------------------------------------------------------

    def check(self, group: Mapping[str, Any]) -> None:
        """Raise if a setting of `group` is wrong."""
        raise NotImplementedError

    def hyper_values(self, group: Mapping[str, Any], step: int) -> tuple[float, ...]:
        """Return the numbers of update number `step` (from 1), in the order of cpp/ops/optimizer.h."""
        raise NotImplementedError

    def uses_slots(self, group: Mapping[str, Any]) -> bool:
        """Return whether the group's update keeps state arrays."""
        return True

    def update_attrs(self, group: int) -> dict[str, Any]:
        """Return settings that are fixed in the compiled step."""
        raise NotImplementedError

    # -- what a compiled step uses --------------------------------------------------------------

    def hyper(self, group: int) -> NDArray[Any]:
        """Return the group's numbers as the step reads them: always the same float64 array."""
        return self._hyper[group]

    def state_slots(self, parameter: Parameter) -> list[NDArray[Any]]:
        """Return the parameter's state arrays, zero at first: always the same arrays."""
        group = next(g for g in self.param_groups if any(p is parameter for p in g["params"]))
        if not self.uses_slots(group):
            return []
        if parameter not in self._slots:
            slots = [aligned_empty(parameter.shape) for _ in self.slot_names]
            for slot in slots:
                slot.fill(0.0)
            self._slots[parameter] = slots
        return self._slots[parameter]

    def advance(self) -> None:
        """Count a step and write its numbers where the compiled step reads them."""
        for index, group in enumerate(self.param_groups):
            self._refuse_unknown(group)
            if not 0.0 <= group["lr"] < math.inf:
                raise ValueError(f"expected a finite lr of at least 0, got {group['lr']} in group {index}")
        self.step_count += 1
        for index in range(len(self.param_groups)):
            self._write_hyper(index)

    def retreat(self) -> None:
        """Take the last `advance` back: its step was refused."""
        self.step_count -= 1

    def _write_hyper(self, index: int) -> None:
        self._hyper[index][:] = self.hyper_values(self.param_groups[index], max(self.step_count, 1))

    # -- state ----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return settings and copies of the state arrays, in the form of torch's optimisers.

        ``{"state": {index: {name: array}}, "param_groups": [{"lr": ..., "params": [index, ...]}],
        "step": steps done}``; parameters are numbered through all groups.
        """
        ordered = [parameter for group in self.param_groups for parameter in group["params"]]
        state = {
            index: {
                "step": self.step_count,
                **{
                    name: slot.copy()
                    for name, slot in zip(self.slot_names, self._slots[parameter], strict=True)
                },
            }
            for index, parameter in enumerate(ordered)
            if parameter in self._slots
        }
        groups = []
        start = 0
        for group in self.param_groups:
            end = start + len(group["params"])
            groups.append({**group, "params": list(range(start, end))})
            start = end
        return {"state": state, "param_groups": groups, "step": self.step_count}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over settings and state from `state_dict()` or from torch's of the same optimiser.

        Nothing changes when something does not fit.

        Raises:
            ValueError: the groups, parameters or shapes differ, or a torch option has no counterpart.
        """
        groups = self._checked_groups(state_dict)
        ordered = [parameter for group in self.param_groups for parameter in group["params"]]
        numbers = [number for group in groups for number in group["params"]]
        loaded: dict[Parameter, list[NDArray[Any]]] = {}
        steps = [0]
        for parameter, number in zip(ordered, numbers, strict=True):
            entry = state_dict["state"].get(number)
            if entry is None or any(entry.get(name) is None for name in self.slot_names):
                continue
            arrays = [to_array(entry[name]) for name in self.slot_names]
            for name, array in zip(self.slot_names, arrays, strict=True):
                if array.shape != parameter.shape:
                    raise ValueError(
                        f"{name} of parameter {number} {_label(parameter)}: expected shape "
                        f"{parameter.shape}, got {array.shape}"
                    )
            loaded[parameter] = arrays
            steps.append(int(entry.get("step", 1)))
        for group, source in zip(self.param_groups, groups, strict=True):
            group.update({name: source[name] for name in self.defaults if name in source})
        for parameter in ordered:
            if parameter in loaded or parameter in self._slots:
                zeros = [np.zeros(parameter.shape, np.float32)] * len(self.slot_names)
                for slot, array in zip(self._made(parameter), loaded.get(parameter, zeros), strict=True):
                    slot[...] = array
        self.step_count = int(state_dict.get("step", max(steps)))

    def _made(self, parameter: Parameter) -> list[NDArray[Any]]:
        if parameter not in self._slots:
            self._slots[parameter] = [aligned_empty(parameter.shape) for _ in self.slot_names]
        return self._slots[parameter]

    def _checked_groups(self, state_dict: Mapping[str, Any]) -> list[dict[str, Any]]:
        if "param_groups" not in state_dict or "state" not in state_dict:
            raise ValueError("expected an optimiser's state_dict with 'state' and 'param_groups'")
        groups = [dict(group) for group in state_dict["param_groups"]]
        expected = [len(group["params"]) for group in self.param_groups]
        found = [len(group["params"]) for group in groups]
        if expected != found:
            raise ValueError(f"expected groups of {expected} parameters, got groups of {found}")
        for group in groups:
            for option in ("maximize", "amsgrad"):
                if group.get(option):
                    raise ValueError(f"the state was made with {option}=True, which is not supported")
            group.update({name: tuple(v) for name, v in group.items() if name == "betas"})
            self.check({**self.defaults, **group})
        return groups

    def __repr__(self) -> str:
        lines = []
        for index, group in enumerate(self.param_groups):
            settings = ", ".join(f"{name}={group[name]}" for name in self.defaults)
            lines.append(f"  group {index}: {len(group['params'])} parameters, {settings}")
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])


def non_negative(name: str, value: Any) -> float:
    """Return `value` as a finite float of at least 0, or raise naming the setting."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"expected a number for {name}, got {value!r}")
    number = float(value)
    if not 0.0 <= number < math.inf:
        raise ValueError(f"expected a finite {name} of at least 0, got {value}")
    return number


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
