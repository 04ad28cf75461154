"""What the machine did beside a reading: time taken by its host, by other programs, and gaps of a clock that is read.

Owns how a disturbed reading is told from a quiet one.  It must never run beside a reading: the clock is read before and
after one, for a moment on each core, since a third spinning process would be the disturbance on a machine of two cores.
The rest are counters of the kernel, of which differences are taken.

    steal_share         of our cores' time, that the host gave to another guest (/proc/stat)
    others_share        of our cores' time, in which they were busy, and not with us or our children
    longest_gap_us      the longest time in which a loop that only reads its clock got none
    preempted_per_s     involuntary context switches, of this process and of children that have ended; only shown, for
                        where there are more processes than cores they take each other's
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ringbuf.atomics import monotonic_ns
from tlv.jit import kernel
from tlv.units import MS, NS

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PROBE_NS = 5 * MS
PROBED_CORES = 4
"""At most: a probe of 64 cores would take longer than the reading."""
BUSY, STEAL = (0, 1, 2, 5, 6), 7
"""Columns of /proc/stat: user, nice, system, irq and softirq; a guest's time is in user already."""
PARENT, OWN_TIMES = 1, slice(11, 15)
"""Columns of /proc/PID/stat behind the name: its parent; user, system, and both of children that ended."""
MOST_STEAL, MOST_OTHERS, MOST_GAP_US = 0.01, 0.05, 1000.0
"""A timer interrupt takes 2 to 30 us, another program's slice of time 3,000 and more."""
GRAIN_TICKS = 2
"""/proc/stat counts in ticks of 10 ms: so many of them are no sign of anybody."""


@dataclass(frozen=True)
class Disturbance:
    """What happened beside one reading; this file's docstring has the fields."""

    steal_share: float
    others_share: float
    longest_gap_us: float
    preempted_per_s: float

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why a reading taken meanwhile is disturbed; empty if it is not."""
        found = (
            (self.steal_share > MOST_STEAL, f"{self.steal_share:.0%} stolen by the host"),
            (self.others_share > MOST_OTHERS, f"{self.others_share:.0%} used by others"),
            (self.longest_gap_us > MOST_GAP_US, f"a gap of {self.longest_gap_us:,.0f} us"),
        )
        return tuple(reason for is_so, reason in found if is_so)


@dataclass(frozen=True)
class MachineMoment:
    """The kernel's counters at one time, in ticks but for `ns` and `switches`."""

    ns: int
    busy: int
    steal: int
    ours: int
    switches: int


@kernel
def longest_gap(for_ns: int) -> int:
    """Read the clock for so long; the longest time between two readings, in ns."""
    begin = before = monotonic_ns()
    longest = 0
    while before - begin < for_ns:
        now = monotonic_ns()
        longest = max(longest, now - before)
        before = now
    return int(longest)


def probe(cores: Collection[int]) -> float:
    """The longest gap on the first of the cores, in us; without pinning, wherever this process stands."""
    longest_gap(1)
    allowed = os.sched_getaffinity(0)
    found = 0
    try:
        for core in sorted(cores)[:PROBED_CORES]:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, {core})
            found = max(found, longest_gap(PROBE_NS))
    finally:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, allowed)
    return found / 1e3


def moment(pid: int, cores: Collection[int]) -> MachineMoment:
    """The counters now, of these cores; `ours` are `pid` and its children."""
    allowed = {f"cpu{core}" for core in cores}
    rows = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    columns = [list(map(int, row[1:])) for row in rows if row[0] in allowed]
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return MachineMoment(
        ns=time.monotonic_ns(),
        busy=sum(row[column] for row in columns for column in BUSY),
        steal=sum(row[STEAL] for row in columns),
        ours=ticks_of_tree(pid),
        switches=sum(usage.ru_nivcsw for usage in usages),
    )


def ticks_of_tree(pid: int) -> int:
    """User and system time of a process and of all below it, those included that ended and were waited for."""
    columns = columns_of_all()
    return sum(sum(map(int, columns[number][OWN_TIMES])) for number in tree_of(pid, columns))


def columns_of_all() -> dict[int, list[str]]:
    """/proc/PID/stat of each process, what stands behind its name."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            found[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
    return found


def tree_of(pid: int, columns: dict[int, list[str]] | None = None) -> list[int]:
    """A process, if there is one, and all below it, parents first."""
    columns = columns_of_all() if columns is None else columns
    below: dict[int, list[int]] = {}
    for number, found in columns.items():
        below.setdefault(int(found[PARENT]), []).append(number)
    tree = [pid] if pid in columns else []
    for number in tree:
        tree += below.get(number, [])
    return tree


def between(before: MachineMoment, after: MachineMoment, cores: int, gap_us: float) -> Disturbance:
    """What happened from one moment to another on so many cores."""
    seconds = max(after.ns - before.ns, 1) / NS
    whole = seconds * TICKS_PER_S * cores

    def share(ticks: int) -> float:
        return max(ticks - GRAIN_TICKS * cores, 0) / max(whole, 1)

    return Disturbance(
        steal_share=round(share(after.steal - before.steal), 4),
        others_share=round(share(after.busy - before.busy - (after.ours - before.ours)), 4),
        longest_gap_us=round(gap_us, 1),
        preempted_per_s=round((after.switches - before.switches) / seconds, 1),
    )


class MachineWatch:
    """Says what happened since it was last asked, or since it began."""

    def __init__(self) -> None:
        self._pid, self._cores = os.getpid(), os.sched_getaffinity(0)
        self._begin(probe(self._cores))

    def _begin(self, gap_us: float) -> None:
        self._gap_us, self._before = gap_us, moment(self._pid, self._cores)

    def take(self) -> Disturbance:
        """What happened, on the cores that there were at the beginning; from here on it looks anew."""
        after, gap_us = moment(self._pid, self._cores), probe(self._cores)
        found = between(self._before, after, len(self._cores), max(self._gap_us, gap_us))
        self._begin(gap_us)
        return found
