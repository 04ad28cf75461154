"""The processes of the pipeline, as their shared counters show them.

Owns which role counts what.  It must never change what it reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from consumers.bridge.counts import Received, Sent
from consumers.execution.counts import ExecutionCounts
from consumers.recorder import Recorded
from consumers.relay.counters import Counters
from consumers.runner import StrategyCounts
from producers.standby import StandbyCounts
from producers.statistics import Statistics
from ringbuf import Histogram, Level
from ringbuf.counters import CountersCopy, names_of
from tlv.errors import SegmentError
from tools.process_stat import copies, problem_of_process

ROLES: dict[str, type] = {
    "collector": Statistics,
    "relay": Counters,
    "recorder": Recorded,
    "strategy": StrategyCounts,
    "anomalies": StrategyCounts,
    "executor": ExecutionCounts,
    "bridge_out": Sent,
    "bridge_in": Received,
    "standby": StandbyCounts,
}
"""What a process of each role counts."""


@dataclass(frozen=True)
class ProcessStat:
    """One process at one moment."""

    process: str
    """Ring and role, and a number where several processes have the same."""
    role: str
    ring: str
    """The ring, or the domain, that it serves."""
    pid: int
    alive: bool
    """Its kernel lock is held; a dead one stays until its successor, `ringstat gc` or the ring's removal."""
    age_s: float
    beat_age_s: float
    """Since it stored its counts last."""
    counts: dict[str, int]
    """Since it began."""
    levels: dict[str, int]
    """Now."""
    problem: str


@dataclass(frozen=True)
class Processes:
    """Every process that could be read, its histograms, and those that could not."""

    stats: list[ProcessStat]
    histograms: dict[tuple[str, str], Histogram]
    """By process and hop."""
    unreadable: dict[str, str]
    """Why, by process."""


def look_at_processes() -> Processes:
    """All processes of this user."""
    found = Processes([], {}, {})
    for process, copy in copies():
        try:
            if isinstance(copy, SegmentError):
                raise copy
            record_type = ROLES.get(copy.role)
            counted = copy.as_record(record_type) if record_type is not None else None
        except SegmentError as error:
            found.unreadable[process] = str(error)
            continue
        if record_type is None:
            found.unreadable[process] = f"role {copy.role!r}: expected one of {', '.join(ROLES)}"
            continue
        found.stats.append(stat_of_process(process, copy, record_type, counted))
        for name in names_of(record_type, Histogram):
            found.histograms[process, name] = getattr(counted, name)
    return found


def stat_of_process(process: str, copy: CountersCopy, record_type: type, counted: Any) -> ProcessStat:
    """What a copy of its counters says."""
    return ProcessStat(
        process=process,
        role=copy.role,
        ring=copy.ring,
        pid=copy.pid,
        alive=copy.alive,
        age_s=round(copy.age_s, 3),
        beat_age_s=round(copy.beat_age_s, 3),
        counts={name: getattr(counted, name) for name in names_of(record_type, int)},
        levels={name: getattr(counted, name) for name in names_of(record_type, Level)},
        problem=problem_of_process(copy),
    )
