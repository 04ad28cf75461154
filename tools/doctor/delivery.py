"""Whether what the delivery side finds on this machine can be used: rings, relay sockets, cursors, journals.

Owns the list of checks.  Each reads, changes nothing, and costs no more than the header of each file; what a journal's
records hold is `alphapulse journal verify`'s.  It must never open a ring for writing nor take a lock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tools.doctor.finding import CheckResult, Verdict, unreadable


def checks_of_delivery(journals: Iterable[Path]) -> Iterator[CheckResult]:
    """Every check, and one for each journal."""
    yield of_many("rings", foreign_rings, "start its producer again with this version; `alphapulse ringstat` shows it")
    yield of_many("relay sockets", silent_sockets, "left behind: the next relay takes its place")
    yield of_many("cursors", broken_cursors, "its client gets everything again that ring and journal have")
    for directory in journals:
        yield check_journal(directory)


def of_many(name: str, look: Callable[[], list[str]], advice: str) -> CheckResult:
    """One finding for many things: what `look` says is wrong with them."""
    try:
        wrong = look()
    except OSError as error:
        return unreadable(name, error)
    return (
        CheckResult(name, Verdict.WARN, first_of(wrong), advice) if wrong else CheckResult(name, Verdict.OK, "all well")
    )


def first_of(wrong: list[str]) -> str:
    """The first, and how many more there are."""
    return wrong[0] + (f", and {len(wrong) - 1} more" if len(wrong) > 1 else "")


def foreign_rings() -> list[str]:
    """Rings that this version cannot read, and why."""
    os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # loading machine code takes longer than the look
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


def silent_sockets() -> list[str]:
    """Relay sockets at which nobody listens."""
    from tools.status import relays

    return [f"{relay.path} does not answer" for relay in relays() if not relay.answers]


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


def check_journal(directory: Path) -> CheckResult:
    """Each segment's header and, of a packed one, its trailer."""
    from consumers.journal import ForeignFileError, JournalError
    from consumers.journal.mending import packed_faults
    from consumers.journal.segment import list_segments, parse_header, read_head
    from tlv.errors import UsageError
    from tlv.layout import LAYOUT_DIGEST

    name = f"journal {directory}"
    wrong: list[str] = []
    rings: set[str] = set()
    try:
        segments = list_segments(directory)
        for segment in segments:
            try:
                rings.add(parse_header(segment.path, read_head(segment), LAYOUT_DIGEST).ring_name)
                wrong += map(str, packed_faults(segment) if segment.packed else [])
            except ForeignFileError as error:
                return CheckResult(name, Verdict.FAIL, str(error))
            except JournalError as error:
                wrong.append(str(error))
        if not os.access(directory, os.W_OK | os.X_OK):
            wrong.append("a recorder could not write there")
    except UsageError as error:
        return CheckResult(name, Verdict.WARN, str(error))
    except OSError as error:
        return unreadable(name, error)
    if not segments:
        return CheckResult(name, Verdict.WARN, "no segment", "`alphapulse record` writes them")
    if wrong:
        return CheckResult(name, Verdict.WARN, first_of(wrong), "alphapulse journal verify, then journal cut")
    return CheckResult(name, Verdict.OK, f"{len(segments)} segments of {', '.join(sorted(rings))}")
