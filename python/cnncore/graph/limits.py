# SPDX-License-Identifier: Apache-2.0
"""What sizes a value may have, and what memory this process can get: asked before anything is tried."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from math import prod
from pathlib import Path
from typing import Any

from .. import _core
from .._checks import integer

LARGEST_SETTING = 2**31 - 1
"""Of strides, paddings, dilations and kernels: sums and products of them with extents then fit 64 bits."""

CGROUP = Path("/proc/self/cgroup")
CGROUP_MOUNT = Path("/sys/fs/cgroup")

SMALL = 64 << 20
"""Bytes that are had without asking how many there are."""

ADDRESSABLE = 2**62 - 1
_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")


def require_memory(nbytes: int, what: str | Callable[[], str]) -> None:
    """Raise a MemoryError, with an attribute `nbytes`, when this process cannot get so many more.

    Args:
        nbytes: how much is needed.
        what: begins the message, which goes on with "needs ..."; a function is called where there is one.
    """
    if nbytes <= SMALL:
        return
    there, reason = available_memory() if nbytes <= ADDRESSABLE else (ADDRESSABLE, "64-bit addresses")
    if there < nbytes <= ADDRESSABLE and _core.drop_result_memory():
        there, reason = available_memory()
    if nbytes > there:
        subject = what if isinstance(what, str) else what()
        text = (
            f"{subject} needs {size_text(nbytes)}, but this process can get {size_text(there)} ({reason}): "
        )
        error = MemoryError(text + "make the batch, the extents or the number of channels smaller")
        vars(error)["nbytes"] = nbytes
        raise error


def require_shape(shape: tuple[int, ...], item: int, place: str) -> None:
    """Raise a MemoryError for a value of which a single image does not fit the memory.

    That of a whole batch may exceed it: inference may take the batch in portions.
    """
    nbytes = prod(shape) * item
    if nbytes > SMALL:
        images = shape[0] if len(shape) > 1 and nbytes <= ADDRESSABLE else 1
        require_memory(nbytes // images, f"[{place}] a result of shape {shape}")


def size_text(nbytes: int) -> str:
    """Return a number of bytes as people write it.

    >>> size_text(160_009_600_144)
    '160.0 GB'
    """
    amount, unit = float(min(nbytes, 10**300)), 0  # no float is much larger
    while amount >= 1000 and unit + 1 < len(_UNITS):
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.1f} {_UNITS[unit]}" if unit else f"{nbytes} bytes"


def parse_size(value: Any, name: str) -> int:
    """Return a number of bytes, given as one or as text with a unit; `name` is the argument's.

    Raises:
        TypeError: neither an integer nor text.
        ValueError: no number above 0 with one of the units.

    >>> parse_size("1.5GiB", "max_memory"), parse_size("500 MB", "max_memory")
    (1610612736, 500000000)
    """
    if isinstance(value, str):
        text = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([kmgt]?)(i?)b?\s*", value.lower())
        if text is None or (text[3] and not text[2]):
            raise ValueError(
                f"expected {name} as bytes or text such as '2GB', '500MB', '1.5GiB', got {value!r}"
            )
        base = 1024 if text[3] else 1000
        value = int(float(text[1]) * base ** " kmgt".index(text[2] or " "))
    nbytes = integer(f"{name} as an integer of bytes or text such as '2GB'", value)
    if nbytes < 1:
        raise ValueError(f"expected {name} above 0 bytes, got {nbytes}")
    return nbytes


def available_memory() -> tuple[int, str]:
    """Return the bytes this process can still get, and what limits them."""
    limits = [(_machine(), "free memory of the machine"), (_address_space(), "limit of the address space")]
    limits += [(free, "limit of the container") for free in _cgroups()]
    known = [(max(0, free), reason) for free, reason in limits if free is not None]
    return min(known, default=(ADDRESSABLE, "64-bit addresses"))


def _machine() -> int | None:
    fields = _fields(Path("/proc/meminfo"), "MemAvailable", "SwapFree")
    if "MemAvailable" in fields:
        return 1024 * (fields["MemAvailable"] + fields.get("SwapFree", 0))
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _address_space() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    return limit - 1024 * _fields(Path("/proc/self/status"), "VmSize").get("VmSize", 0)


def _cgroups() -> Iterator[int]:
    """Yield what is left of each limit on the way from this process's cgroup to the root."""
    try:
        lines = CGROUP.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        controllers, _, path = line.partition(":")[2].partition(":")
        if not controllers:
            mount, names = CGROUP_MOUNT, ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            mount = CGROUP_MOUNT / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        inner = Path(path.strip("/"))
        for folder in (inner, *inner.parents):
            limit = _number(mount / folder / names[0])
            used = None if limit is None else _number(mount / folder / names[1])
            if limit is not None and used is not None:
                kept = _fields(mount / folder / "memory.stat", "inactive_file").get("inactive_file", 0)
                yield limit - used + kept


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # "max" says that there is no limit
        return None


def _fields(path: Path, *names: str) -> dict[str, int]:
    """Return the numbers of those lines "name: number" or "name number" that a file has; none without it."""
    try:
        text = path.read_text()
    except OSError:
        return {}
    found = ((name, re.search(rf"^{name}:?\s+(\d+)", text, re.MULTILINE)) for name in names)
    return {name: int(number[1]) for name, number in found if number}
