# SPDX-License-Identifier: Apache-2.0
"""Names of arrays in files as a model has them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from ..nn.arguments import several

Rules = Sequence[tuple[str, str | None]]
"""Regular expressions and what takes the place of what they find; None leaves the array out."""

WRAPPERS = ("module.", "_orig_mod.", "backbone.")
"""Prefixes of models inside `DataParallel`, of compiled ones, and of classifiers inside larger networks."""

_COUNTERS = ("n_averaged",)
"""What `swa_utils.AveragedModel` keeps beside the model."""


def matched(names: Iterable[str], wanted: Collection[str], rename: Rules) -> dict[str, str]:
    """Return the names that a model has, or would have, by names in a file.

    Rules are applied to each name in their order. Then prefixes of wrappers are taken off where the model
    has the rest and not the whole.

    Args:
        names: in the file.
        wanted: the model's.
        rename: rules.

    Returns:
        The file's names as keys, without those that a rule leaves out.

    Raises:
        TypeError: a rule that is no pair of texts.
        ValueError: a pattern that is none, or two names of the file that become one.

    >>> matched(["module.fc.weight", "head.bias"], ["fc.weight"], [(r"^head", None)])
    {'module.fc.weight': 'fc.weight'}
    """
    rules = [_rule(rule) for rule in several("rename", rename, "pairs (pattern, replacement)")]
    found: dict[str, str] = {}
    sources: dict[str, str] = {}
    for name in names:
        renamed = _renamed(name, rules)
        if renamed is None:
            continue
        changed = _unwrapped(renamed, wanted)
        if changed in sources:
            raise ValueError(f"two names become {changed!r}: {sources[changed]!r} and {name!r}")
        sources[changed] = name
        found[name] = changed
    wrapped = any(name.startswith("module.") for name in found)
    return {name: new for name, new in found.items() if not (wrapped and new in _COUNTERS)}


def _rule(rule: tuple[str, str | None]) -> tuple[re.Pattern[str], str | None]:
    if (
        not isinstance(rule, tuple | list)
        or len(rule) != 2
        or not isinstance(rule[0], str)
        or not isinstance(rule[1], str | None)
    ):
        raise TypeError(f"expected rename as pairs (pattern, replacement or None), got {rule!r}")
    try:
        return re.compile(rule[0]), rule[1]
    except re.error as error:
        raise ValueError(
            f"expected rename's patterns as regular expressions, got {rule[0]!r}: {error}"
        ) from None


def _renamed(name: str, rules: Sequence[tuple[re.Pattern[str], str | None]]) -> str | None:
    for pattern, replacement in rules:
        if replacement is not None:
            name = _replaced(pattern, replacement, name)
        elif pattern.search(name):
            return None
    return name


def _replaced(pattern: re.Pattern[str], replacement: str, name: str) -> str:
    try:
        return pattern.sub(replacement, name)
    except (re.error, IndexError) as error:
        raise ValueError(
            f"rename's replacement {replacement!r} does not fit {pattern.pattern!r}: {error}"
        ) from None


def _unwrapped(name: str, wanted: Collection[str]) -> str:
    """Return the name without wrappers' prefixes, at its begin or inside, if the model has that one."""
    if name in wanted:
        return name
    shorter = name
    for wrapper in WRAPPERS:
        inner = shorter.replace(f".{wrapper}", ".")
        shorter = inner.removeprefix(wrapper)
        if shorter in wanted:
            return shorter
    for wrapper in WRAPPERS:
        shorter = shorter.removeprefix(wrapper)
        if shorter in wanted:
            return shorter
    return name
