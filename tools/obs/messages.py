"""Notices as text for people: one message for all that wait, however many.

Owns the words.  URLs are cut to their hosts here too, though no condition should hold one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tools.command.stderr_log import without_urls
from tools.obs.noticing import ConditionNotice, NoticeKind

FIRST, LAST = 12, 6
"""Lines of a message that has more to tell: what fell first, and how it is now."""
LONGEST_LINE = 240


@dataclass(frozen=True)
class ToldLine:
    """One notice in words."""

    kind: NoticeKind
    text: str


@dataclass(frozen=True)
class NoticeMessage:
    """One message."""

    title: str
    body: str
    good: bool
    """Whether it tells of nothing but ends."""


def line_of(notice: ConditionNotice, utc_offset_s: float) -> ToldLine:
    """A notice in words; the offset is what UTC is ahead of the clock of its times."""
    at, since = (utc(moment + utc_offset_s) for moment in (notice.at_s, notice.since_s))
    subject = f" of {notice.subject}" if notice.subject else ""
    told = "found unmet as obs began" if notice.kind is NoticeKind.FOUND else notice.kind.value
    when = "" if notice.kind in {NoticeKind.BEGUN, NoticeKind.FOUND} else f", unmet since {since}"
    text = without_urls(" ".join(notice.text.split()))
    line = f"{at} {notice.name}{subject} {told}{when}: {text}"
    return ToldLine(notice.kind, line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 3]}...")


def message_of(lines: Sequence[ToldLine], host: str, dropped: int = 0) -> NoticeMessage:
    """One message of all lines; `dropped` notices before them were given up."""
    title = f"AlphaPulse on {host}: {summary(lines)}"
    body = [line.text for line in lines]
    if len(lines) > FIRST + LAST:
        between = lines[FIRST:-LAST]
        body[FIRST:-LAST] = [f"... {len(between)} more: {summary(between)} ..."]
    if dropped:
        body.insert(0, f"{dropped} notices before these could not be delivered and were dropped")
    return NoticeMessage(title, "\n".join(body), all(line.kind is NoticeKind.ENDED for line in lines))


def summary(lines: Sequence[ToldLine]) -> str:
    """How many of each kind."""
    counted = Counter(line.kind for line in lines)
    return ", ".join(f"{counted[kind]} {kind}" for kind in NoticeKind if counted[kind])


def utc(moment_s: float) -> str:
    """A moment, to the second."""
    return datetime.fromtimestamp(moment_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
