"""Which ring or journal has a message, and its way, or the ways of the slowest ones.

Owns where is looked.  It starts and changes nothing, and must never know who asks.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from ringbuf import list_rings
from tlv.codes import Flag
from tlv.errors import SegmentError, UsageError
from tlv.layout import OrderRecord
from tlv.message import Message, parse
from tools.trace.chronicle import Chronicle, Subject, TheOne, TheSlowest
from tools.trace.frames import Frames, JournalFrames, RingFrames, SequenceMissing
from tools.trace.hops import block_number, trace_of
from tools.trace.model import Trace, TraceAnswer
from tools.trace.signals import Signals, identity_in, kind_of, speaks_of_signals
from tools.trace.unstamped import unstamped

MOST_STEPS = 2
"""From what an executor said to the signal, and from there to the event."""


class FrameName(NamedTuple):
    """What SEQUENCE means."""

    ring: str
    """The first digits of a ring's uuid; empty for the ring that has the name now, or the journal's latest."""
    sequence: int


def trace_one(
    name: FrameName, ring: str | None, journal: Path | None, signals: Signals, reach: int | None = None
) -> TraceAnswer:
    """The way of one message; `reach` bounds what is looked at, as `Frames.pieces` has it.

    Raises:
        SequenceMissing, SegmentError, JournalError, FrameError; UsageError: it is not clear which ring is meant.
    """
    frames, name, notes = at_the_event(name, ring, journal, reach)
    with closing(frames):
        piece = frames.find(name.sequence, name.ring)
        uuid, frame = piece.ring, piece.poll[0]
        found = parse(frame.payload, where=f"{frames.where}, sequence {frame.sequence}")
        subject = Subject(uuid, frame.sequence, frame.publish_time_ns, piece.offset_ns, found)
        choice = TheOne(uuid, frame.sequence)
        block = block_number(subject)
        chronicle = Chronicle(choice, block)
        origin = subject.origin
        removal = origin if origin is not None and found.header.flags & Flag.REMOVED else None
        chronicle.read(frames.pieces(uuid, block), removal)
        if choice.subject is None:
            notes.append("the ring overwrote it while it was looked at: its block and its end may be missing")
        subject = choice.subject or subject
        subject.original = max([at for at in chronicle.originals if at < subject.sequence], default=0)
        trace = trace_of(frames.name, subject, signals, notes)
        return answer_of(frames, [trace], chronicle)


def at_the_event(
    name: FrameName, ring: str | None, journal: Path | None, reach: int | None
) -> tuple[Frames, FrameName, list[str]]:
    """Where the frame is; of a signal, where the frame is that it is about; of what an executor said, that of the
    signal."""
    frames = holding(name, ring, journal, reach)
    notes: list[str] = []
    for _ in range(MOST_STEPS):
        try:
            piece = frames.find(name.sequence, name.ring)
            message = parse(piece.poll[0].payload, where=f"{frames.where}, sequence {name.sequence}")
            cause = cause_of(message)
        except BaseException:
            frames.close()
            raise
        if cause is None:
            break
        what, cause_name = cause
        notes.append(f"from {what} {name.sequence} of {frames.name}, which is about it")
        frames.close()
        frames, name = holding_trigger(cause_name, journal, reach, what), cause_name
    return frames, name, notes


def cause_of(message: Message) -> tuple[str, FrameName] | None:
    """What a message of a strategy or an executor is, and the frame that it is about; None if it is neither's."""
    about = message.records[0] if message.records else None
    if isinstance(about, OrderRecord):
        return "execution", FrameName(about.order_ring.hex(), about.order_sequence)
    identity = identity_in(message)
    if identity is None:
        return None
    return kind_of(message), FrameName(identity.trigger_ring.hex(), identity.trigger_sequence)


def holding(name: FrameName, ring: str | None, journal: Path | None, reach: int | None) -> Frames:
    """The ring if it has the frame, else the journal."""
    if ring is None and journal is not None:
        return JournalFrames(journal, reach)
    frames = RingFrames(ring or only_market_ring(), reach)
    try:
        frames.find(name.sequence, name.ring)
    except SequenceMissing:
        if journal is None:
            return frames  # whoever asks is told
    except BaseException:
        frames.close()
        raise
    else:
        return frames
    frames.close()
    return JournalFrames(journal, reach)


def holding_trigger(trigger: FrameName, journal: Path | None, reach: int | None, what: str) -> Frames:
    """The ring of this host that a signal or an executor names, else the journal."""
    for name in list_rings():
        try:
            frames = RingFrames(name)
        except SegmentError:
            continue
        if frames.uuid.hex() == trigger.ring:
            frames.close()
            return holding(trigger, name, journal, reach)
        frames.close()
    if journal is not None:
        return JournalFrames(journal, reach)
    raise SequenceMissing(
        f"the {what} is about sequence {trigger.sequence} of ring {trigger.ring}, which no ring of this host is: "
        "it was replaced, or a journal was read; look there with --journal DIR"
    )


def only_market_ring() -> str:
    """The ring that is meant where none is named.

    Raises:
        UsageError: there is none, or more than one.
    """
    names = []
    for name in list_rings():
        try:
            if not speaks_of_signals(name):
                names.append(name)
        except SegmentError:
            continue  # it cannot be traced; whoever means it names it, and is told why
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise UsageError(f"expected --ring or --journal, or one ring with market data, found {found}")
    return names[0]


def trace_slowest(most: int, ring: str | None, journal: Path | None, signals: Signals) -> TraceAnswer:
    """The ways of the slowest events.

    Raises:
        SegmentError, JournalError; UsageError: it is not clear which ring is meant.
    """
    frames: Frames = JournalFrames(journal) if journal is not None else RingFrames(ring or only_market_ring())
    with closing(frames):
        choice = TheSlowest(most, signals)
        chronicle = Chronicle(choice)
        chronicle.read(frames.pieces(b"", -1))
        traces = [trace_of(frames.name, subject, signals, []) for subject in choice.subjects()]
        return answer_of(frames, traces, chronicle, choice)


def answer_of(
    frames: Frames, traces: list[Trace], chronicle: Chronicle, slowest: TheSlowest | None = None
) -> TraceAnswer:
    """What was found, and what was looked at."""
    return TraceAnswer(
        where=frames.where,
        traces=traces,
        frames=chronicle.frames,
        lost=chronicle.lost,
        broken=chronicle.broken,
        events=slowest.events if slowest else 0,
        left_out=slowest.left_out if slowest else 0,
        unstamped=unstamped(frames.name),
    )
