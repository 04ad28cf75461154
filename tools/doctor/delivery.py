"""Whether what the delivery side finds on this machine can be used: rings, processes, relay sockets, cursors, journals.

Owns the list of checks.  Each reads, changes nothing, and costs no more than the header of each file; what a journal's
records hold is `alphapulse journal verify`'s.  It must never open a ring for writing nor take a lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from tools.command.places import where
from tools.doctor.bounded import Named
from tools.doctor.finding import CheckResult, Verdict, unreadable
from tools.doctor.machine import name_of
from tools.doctor.storage import check_directory

MOST_OF_A_KIND = 100
"""Findings of one check; a directory of leftovers would hide what else is wrong."""


def checks_of_delivery(journals: Iterable[Path]) -> Iterator[Named]:
    """Every check, and one for each journal."""
    many: tuple[tuple[str, Callable[[], list[str]], str], ...] = (
        ("rings", foreign_rings, "start its producer again with this version; `ringstat` shows it"),
        ("writers", dead_writers, "start its producer again, which goes on in it; or ringstat gc --closed"),
        ("processes", silent_processes, "ringstat gc removes the counts of dead ones; kill -CONT one that is stopped"),
        ("relay sockets", silent_sockets, "left behind: the next relay takes its place"),
        ("cursors", broken_cursors, "its client gets everything again that ring and journal have"),
        ("alphapulse up", unwell_ups, "alphapulse status shows why, alphapulse up -c FILE starts it again"),
    )
    for name, look, advice in many:
        yield name, partial(of_many, name, look, advice)
    for directory in journals:
        yield f"journal {directory}", partial(check_journal, directory)


def of_many(name: str, look: Callable[[], list[str]], advice: str) -> list[CheckResult]:
    """A finding for each thing that `look` says something is wrong with, up to some."""
    wrong = look()
    found = [CheckResult(name, Verdict.WARN, one, advice) for one in wrong[:MOST_OF_A_KIND]]
    if len(wrong) > MOST_OF_A_KIND:
        found.append(CheckResult(name, Verdict.WARN, f"and {len(wrong) - MOST_OF_A_KIND} more", advice))
    return found or [CheckResult(name, Verdict.OK, "all well")]


def first_of(wrong: list[str]) -> str:
    """The first, and how many more there are."""
    return wrong[0] + (f", and {len(wrong) - 1} more" if len(wrong) > 1 else "")


def foreign_rings() -> list[str]:
    """Rings that this version cannot read, and why."""
    from ringbuf import RingInfo, list_rings
    from tlv.errors import SegmentError
    from tlv.layout import LAYOUT_DIGEST

    wrong = []
    for name in list_rings():
        try:
            found = RingInfo.read(name).identity.layout_digest
        except SegmentError as error:
            wrong.append(str(error))
        else:
            if found not in (0, LAYOUT_DIGEST):
                wrong.append(f"ring {name} has layout {found:#x}, this version {LAYOUT_DIGEST:#x}")
    return wrong


def dead_writers() -> list[str]:
    """Rings whose writer was killed, or lives and does nothing."""
    from ringbuf import RingInfo, list_rings
    from tlv.errors import SegmentError
    from tools.ringstat import writer_state

    wrong = []
    for name in list_rings():
        try:
            info = RingInfo.read(name)
        except SegmentError:
            continue  # `foreign_rings` says so
        state = writer_state(info)
        if state == "dead":
            wrong.append(f"ring {name}: its writer (pid {info.writer_pid}) died without closing it")
        elif state == "silent":
            wrong.append(f"ring {name}: its writer (pid {info.writer_pid}) lives and says nothing")
    return wrong


def silent_processes() -> list[str]:
    """Processes that were killed, or live and do nothing."""
    from tools.process_stat import process_states

    return [f"{one.process}: {one.problem}" for one in process_states() if one.problem]


def unwell_ups() -> list[str]:
    """Each `alphapulse up` of this user whose supervisor was killed, or a process of which does not run."""
    from tools.up.overview import ups

    wrong = []
    for one in ups(None) if where().is_dir() else []:
        wrong += [f"{one.config}: {one.problem}"] if one.problem else []
        wrong += [
            f"{one.config}: {process.name} is {process.sentence}" for process in one.processes if not process.healthy
        ]
    return wrong


def silent_sockets() -> list[str]:
    """Relay sockets at which nobody listens."""
    from tools.status import relays

    return [f"{relay.path} does not answer" for relay in relays(where().rglob("*.sock")) if not relay.answers]


def broken_cursors() -> list[str]:
    """Files of acknowledged sequences that are damaged, were set aside, or cannot be read."""
    from consumers.relay.cursors import decode, default_directory, read_regular

    directory = default_directory()
    if not directory.is_dir():
        return []
    wrong = [f"{path} was damaged and set aside" for path in sorted(directory.glob("*.damaged"))]
    for path in sorted(directory.glob("*.json")):
        try:
            if decode(read_regular(path)) is None:
                wrong.append(f"{path} is damaged, or of another version")
        except OSError as error:
            wrong.append(f"{path}: {error.strerror}")
    return wrong


def check_journal(directory: Path, ring: str = "", need_mib: int = 0) -> CheckResult:
    """Each segment's header and, of a packed one, its trailer; with `ring` that it is of that one, with `need_mib` that
    a recorder has room."""
    from consumers.journal import ForeignFileError, JournalError
    from consumers.journal.mending import packed_faults
    from consumers.journal.segment import list_segments, parse_header, read_head
    from tlv.errors import UsageError
    from tlv.layout import LAYOUT_DIGEST

    name, at = f"journal {directory}", str(directory)
    wrong: list[str] = []
    rings: set[str] = set()
    try:
        segments = list_segments(directory)
        for segment in segments:
            try:
                rings.add(parse_header(segment.path, read_head(segment), LAYOUT_DIGEST).ring_name)
                wrong += map(str, packed_faults(segment) if segment.packed else [])
            except ForeignFileError as error:
                return CheckResult(name, Verdict.FAIL, str(error), "record into a new directory", where=at)
            except JournalError as error:
                wrong.append(str(error))
    except UsageError as error:
        if need_mib:
            return check_directory(name, directory, need_mib)
        return CheckResult(name, Verdict.WARN, str(error), "`alphapulse record` writes one", where=at)
    except OSError as error:
        return unreadable(name, error)
    if ring and rings and rings != {ring}:
        found, remedy = f"it is of {', '.join(sorted(rings))}", "give each ring a directory of its own"
        return CheckResult(name, Verdict.FAIL, found, remedy, expected=ring, where=at)
    if not os.access(directory, os.W_OK | os.X_OK) or need_mib:
        room = check_directory(name, directory, need_mib)
        if room.verdict is not Verdict.OK:
            found = f"a recorder could not write there: {room.found}"
            verdict = Verdict.FAIL if need_mib else Verdict.WARN
            return CheckResult(name, verdict, found, room.advice, expected=room.expected, where=at)
    if (owner := directory.stat().st_uid) != os.getuid():
        wrong.append(f"it is {name_of(owner)}'s: one of its users will meet files that it cannot write")
    if not segments:
        empty = Verdict.OK if need_mib else Verdict.WARN
        return CheckResult(name, empty, "no segment", "`alphapulse record` writes them", where=at)
    if wrong:
        return CheckResult(name, Verdict.WARN, first_of(wrong), "alphapulse journal verify, then journal cut", where=at)
    return CheckResult(name, Verdict.OK, f"{len(segments)} segments of {', '.join(sorted(rings))}", where=at)
