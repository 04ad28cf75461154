"""The steps of a recording: which head or logs the recorded node had when, on a clock that starts at zero.

Owns order and pace.  It must never know who is subscribed, nor what time it is now.

A recorded session is a program that polled a node: `eth_getBlockByNumber` until the answer was a block, then
`eth_getLogs` of each block it had not seen.  A node that pushes would have pushed at those moments, in that order:
the first non-null answer to a poll is a new head, an answer to `eth_getLogs` is the moment of that block's logs.
The parent that a reorg replaces as well is never announced as a head: only its logs come, before those of the head.

HTTP dates have a resolution of one second, so calls within one second are spread evenly over it.  The time between two
sessions was not recorded: the clock skips it, but for `max_pause_ns`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tlv.units import NS


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment: the head moves, a head is announced, the logs of a block are pushed (each a block hash)."""

    due_ns: int
    adopts: str | None = None
    announces: str | None = None
    logs_of: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What one recorded answer showed: a new head or the logs of a block, at a full second of HTTP time."""

    second: int
    head: str | None = None
    logs_of: str | None = None


def spread(seconds: Sequence[int]) -> list[int]:
    """Nanoseconds for calls stamped with full seconds: those of the same second share it evenly."""
    in_second = Counter(seconds)
    done: Counter[int] = Counter()
    times = []
    for second in seconds:
        times.append(second * NS + done[second] * NS // in_second[second])
        done[second] += 1
    return times


def steps_of_sessions(sessions: Iterable[Sequence[Seen]], max_pause_ns: int) -> list[Moment]:
    """The steps of recorded sessions, one after the other; the first is due at 0."""
    steps: list[Moment] = []
    skipped = end = None
    for session in sessions:
        times = spread([seen.second for seen in session])
        if skipped is None or end is None:
            skipped = times[0]
        else:
            skipped += max(0, times[0] - end - max_pause_ns)
        end = times[-1]
        steps += [
            Moment(at - skipped, adopts=seen.head, announces=seen.head, logs_of=seen.logs_of)
            for at, seen in zip(times, session, strict=True)
            if seen.head or seen.logs_of
        ]
    return steps


def steps_of_headers(headers: Iterable[tuple[int, str]]) -> list[Moment]:
    """The steps of blocks without a session: each at its own timestamp (s), the head first, then its logs."""
    steps: list[Moment] = []
    start = None
    for timestamp, block in headers:
        start = timestamp if start is None else start
        due = (timestamp - start) * NS
        steps += [Moment(due, adopts=block, announces=block), Moment(due, logs_of=block)]
    return steps
