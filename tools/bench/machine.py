"""What readings are taken on: a loaded machine, one core or a refused affinity explains a bad reading."""

from __future__ import annotations

import os
import platform

LIKE = ("processor", "cores", "pinned")
"""What must be the same for two runs to be compared without a word of warning."""


def machine() -> dict[str, str | int | float | bool]:
    """Processor, cores that this process may use, whether it may pin itself to one, load, Python, kernel."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "pinned": can_pin(),
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "kernel": platform.release().partition("-")[0],
    }


def processor() -> str:
    """Name of the processor, from /proc/cpuinfo."""
    with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - a file of the kernel's, read line by line
        return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def can_pin() -> bool:
    """Whether processes stand on cores of their own: there are two, and this one may choose."""
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, allowed)
    except OSError:
        return False
    return len(allowed) > 1


def warnings(found: dict[str, str | int | float | bool]) -> list[str]:
    """What makes all readings of this machine others than those of a machine of its own."""
    if found["cores"] == 1:
        return ["one core: processes take turns, nothing is pinned; times between two processes are of the scheduler"]
    if not found["pinned"]:
        return ["not pinned: this process may not choose its core; processes are moved while they are measured"]
    return []


def cores_said(count: object) -> str:
    """So many cores."""
    return f"{count} core{'' if count == 1 else 's'}"
