"""The end of an `up`: who writes ends first, then who reads, so that a journal has what was published.

Owns the order.  A ring's writer closes it; reliable readers (recorders, bridges) get a moment to read the rest; then
the others end at once, and supervisord last.  A process that outlives its grace is killed by supervisord.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tlv.errors import SegmentError
from tools.up.control import Control, NoAnswer
from tools.up.run_directory import RunDirectory

POLL_S = 0.02
DRAIN_S = 0.3
"""For reliable readers to read what is left in rings that were closed."""
STAGES = (("node", "collector", "bridge_in"), ("strategy", "anomalies"), ("execute",))
"""Sections whose processes write what others read, in the order in which they end."""
ENDED = {"STOPPED", "EXITED", "FATAL"}
LAST_S = 5.0
"""For supervisord itself, when nothing runs any more."""
TERMINATED_S = 15.0
"""For supervisord to end its processes all at once, when nobody else can; then it is killed, and they with it."""


def end_all(place: RunDirectory) -> None:
    """End every process of a place, then its supervisord; one that does not answer is killed, and all end with it.

    Raises:
        NoAnswer: supervisord is still there.
    """
    importlib.import_module("ringbuf")  # now: it takes longer than the end of a process
    try:
        with Control(place) as control:
            _end_in_stages(control)
            control.shut_down()
    except NoAnswer:
        kill(place)
    wait_until(lambda: not place.is_held(), LAST_S)
    if place.is_held():
        raise NoAnswer(f"{place.directory}: supervisord does not end")
    place.forget()


def end_of_ours(place: RunDirectory, supervisord: subprocess.Popen[bytes]) -> int:
    """The same of a supervisord that is our child, also where its directory was removed; returns its exit code."""
    with contextlib.suppress(NoAnswer):
        end_all(place)
    for ask, wait_s in ((supervisord.poll, LAST_S), (supervisord.terminate, TERMINATED_S)):
        ask()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return supervisord.wait(wait_s)
    supervisord.kill()
    return supervisord.wait()


def _end_in_stages(control: Control) -> None:
    pids = {one.pid for one in control.processes() if one.pid}
    for stage in STAGES:
        if end(control, lambda name, stage=stage: name.partition(".")[0] in stage):  # type: ignore[misc]
            wait_until(lambda: not lagging(pids), DRAIN_S)
    end(control, lambda name: True)


def end(control: Control, chosen: Callable[[str], bool]) -> list[str]:
    """End the processes whose names are chosen, all at once, and wait for it; returns the names of those that ran."""
    names = [one.name for one in control.processes() if chosen(one.name) and one.state not in ENDED]
    for name in names:
        control.stop(name)
    while any(one.name in names and one.state not in ENDED for one in control.processes()):
        time.sleep(POLL_S)
    return names


def lagging(pids: set[int]) -> bool:
    """Whether one of these processes still has something to read, reliably, of a ring without a writer."""
    from ringbuf import RingInfo, list_rings

    for name in list_rings():
        with contextlib.suppress(SegmentError):
            ring = RingInfo.read(name)
            if not ring.writer_alive and any(one.alive and one.lag_bytes and one.pid in pids for one in ring.slots):
                return True
    return False


def kill(place: RunDirectory) -> None:
    """Kill a supervisord that does not answer; the kernel then ends its processes."""
    who = place.who()
    if who is None or not place.is_held():
        return
    with contextlib.suppress(OSError):
        if str(place.directory).encode() in Path(f"/proc/{who.pid}/cmdline").read_bytes():
            os.kill(who.pid, signal.SIGKILL)


def wait_until(so: Callable[[], bool], limit_s: float) -> None:
    """Wait until it is so, at most so long."""
    deadline = time.monotonic() + limit_s
    while not so() and time.monotonic() < deadline:
        time.sleep(POLL_S)
