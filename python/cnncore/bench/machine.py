# SPDX-License-Identifier: Apache-2.0
"""What a result must be read together with: the machine and the process it was measured in."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path


def describe() -> dict[str, str | int]:
    """Processor, cores this process may use, Python, and the settings that change speed.

    Example:
        >>> describe()["cores"] >= 1
        True
    """
    facts: dict[str, str | int] = {
        "processor": _processor(),
        "cores": available_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    for name in ("CNNCORE_ISA", "OMP_NUM_THREADS", "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY"):
        if name in os.environ:
            facts[name] = os.environ[name]
    return facts


def available_cores() -> int:
    """Cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def resident_bytes() -> tuple[int, int]:
    """Memory of this process: resident now, and the peak since it began."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        # Not ru_maxrss: Linux lets that begin with the peak of the process that called exec.
        return tuple(int(lines[key].split()[0]) * 1024 for key in ("VmRSS", "VmHWM"))  # type: ignore[return-value]
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return peak, peak


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                family = _field(info, "cpu family")
                return f"{line.split(':', 1)[1].strip()} (family {family}, model {_field(info, 'model')})"
    return platform.processor() or platform.machine()


def _field(info: Path, name: str) -> str:
    for line in info.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "?"
