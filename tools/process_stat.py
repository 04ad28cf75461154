"""Which processes of the pipeline there are, and whether each does something.

Owns the names of processes and the judgement on one, for `status` and `obs`.  What a process counts is in
`tools.obs.processes`: reading that imports every part of the pipeline.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tlv.errors import SegmentError

if TYPE_CHECKING:
    from ringbuf.counters import CountersCopy

SILENT_S = 5.0
"""A process stores its counts every second; one that has not for so long hangs, or is stopped."""


@dataclass(frozen=True)
class ProcessState:
    """One process at one moment."""

    process: str
    """Ring and role, and a number where several processes have the same."""
    role: str
    """Empty if its counters cannot be read."""
    ring: str
    pid: int
    problem: str
    """Empty if it lives and counts."""
    detail: str = ""
    """What else a person should see: of an executor what became of orders, and its circuit breaker."""

    @property
    def sentence(self) -> str:
        """What it does, or what is wrong with it, for people."""
        text = self.problem or work_of(self.role, self.ring, self.pid)
        return f"{text}: {self.detail}" if self.detail else text


def copies() -> Iterator[tuple[str, CountersCopy | SegmentError]]:
    """Name and counters of each process of this user, or why they cannot be read."""
    from ringbuf.counters import read_counters
    from ringbuf.names import COUNTERS_SUFFIX, list_counters, object_prefix

    for object_name in list_counters():
        process = object_name.removeprefix(f"/{object_prefix()}").removesuffix(COUNTERS_SUFFIX)
        try:
            yield process, read_counters(object_name)
        except SegmentError as error:
            yield process, error


def process_states() -> list[ProcessState]:
    """All processes of this user."""
    return [
        ProcessState(process, "", "", 0, str(found))
        if isinstance(found, SegmentError)
        else ProcessState(process, found.role, found.ring, found.pid, problem_of_process(found), detail_of(found))
        for process, found in copies()
    ]


def detail_of(copy: CountersCopy) -> str:
    """What an executor counts, in words; of any other process nothing."""
    if copy.role != "executor":
        return ""
    from consumers.execution.counts import ExecutionCounts
    from tlv.codes import BreakerState
    from tools.code_names import code_name

    try:
        counts = copy.as_record(ExecutionCounts)
    except SegmentError as error:  # of another version
        return str(error)
    breaker = code_name(BreakerState, counts.breaker)
    ended = f"{counts.filled:,} orders filled, {counts.failed:,} failed, {counts.refused:,} not attempted"
    return f"{ended}, {counts.undone:,} undone, circuit breaker {breaker}"


def work_of(role: str, ring: str, pid: int) -> str:
    """What a process without a problem does."""
    return f"standby for ring {ring} (pid {pid})" if role == "standby" else f"runs (pid {pid})"


def problem_of_process(copy: CountersCopy) -> str:
    """What a person should look at; empty if nothing."""
    if not copy.alive:
        return f"pid {copy.pid} has ended without leaving"
    if copy.beat_age_s > SILENT_S:
        return f"pid {copy.pid} lives and has done nothing for {copy.beat_age_s:.0f} s"
    return ""
