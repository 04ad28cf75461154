"""`alphapulse trace`: the way of an event with its times, and the slowest hop named.

Owns the command line, and which ring or journal is meant.  It starts and changes nothing.
"""

from __future__ import annotations

import logging
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import click
import msgspec

from ringbuf import list_rings
from tlv.codes import Flag
from tlv.errors import SegmentError, UsageError
from tlv.layout import SignalIdentity
from tlv.message import parse
from tools.command.given import refuse_without_effect
from tools.command.needs import needs
from tools.command.printable import printable
from tools.command.progress import progress_option
from tools.command.stderr_log import complain, tell_operator
from tools.trace import chrome, otlp, text
from tools.trace.chronicle import Chronicle, Subject, TheOne, TheSlowest
from tools.trace.frames import Frames, JournalFrames, RingFrames, SequenceMissing
from tools.trace.hops import block_number, trace_of
from tools.trace.model import Trace, TraceAnswer
from tools.trace.signals import Signals, speaks_of_signals
from tools.trace.unstamped import unstamped

MOST_SLOWEST = 10_000
UUID_DIGITS = 32


class FrameName(NamedTuple):
    """What SEQUENCE means."""

    ring: str
    """The first digits of a ring's uuid; empty for the ring that has the name now, or the journal's latest."""
    sequence: int


def parse_sequence(context: click.Context, parameter: click.Parameter, value: str | None) -> FrameName | None:
    """`N` or `UUID:N` as click hands it over."""
    if value is None:
        return None
    ring, _, number = value.rpartition(":")
    ring = ring.lower().removeprefix("0x")
    if not (number.isascii() and number.isdigit() and 0 < int(number) < 1 << 63):
        raise click.BadParameter(f"{value!r}: expected a sequence from 1 on, or RING_UUID:SEQUENCE")
    if len(ring) > UUID_DIGITS or set(ring) - set("0123456789abcdef") or (":" in value and not ring):
        raise click.BadParameter(
            f"{value!r}: expected up to {UUID_DIGITS} hex digits of a ring's uuid before the colon"
        )
    return FrameName(ring, int(number))


@click.command("trace", epilog="Example:  alphapulse trace --slowest 5 --ring market.polygon --chrome slow.json")
@click.argument("sequence", required=False, callback=parse_sequence, metavar="[SEQUENCE]")
@click.option(
    "--slowest", type=click.IntRange(1, MOST_SLOWEST), metavar="N", help="The N events that took longest here."
)
@click.option(
    "--ring",
    metavar="NAME",
    help="Where to look.  [default: the one ring with market data]",
)
@click.option(
    "--journal",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where to look; with --ring: for what the ring does not have any more.",
)
@click.option(
    "--chrome",
    "chrome_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a file for ui.perfetto.dev or chrome://tracing.",
)
@click.option("--otlp", "otlp_url", metavar="URL", help="Send spans by OTLP over HTTP: http://127.0.0.1:4318")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@progress_option
@needs("opentelemetry", option="--otlp")
def command(
    sequence: FrameName | None,
    slowest: int | None,
    ring: str | None,
    journal: Path | None,
    chrome_file: Path | None,
    otlp_url: str | None,
    as_json: bool,
) -> None:
    """Show the way of the message SEQUENCE, or of the slowest events, from the stamps that are there.

    SEQUENCE is that of a ring's frame, as `dump` prints it, or of a signal, which leads to its event.
    RING_UUID:SEQUENCE means another ring of that name than the present one.  What no stamp tells is listed, with the
    histograms of running processes.
    """
    if (sequence is None) == (slowest is None):
        raise UsageError("expected either SEQUENCE or --slowest N")
    if slowest is not None and journal is not None:
        refuse_without_effect("beside --journal with --slowest", "--ring")
    if chrome_file is not None:
        chrome.check_target(chrome_file)
    if otlp_url is not None:
        otlp_url = otlp.checked_url(otlp_url)
    answer = trace_one(sequence, ring, journal) if sequence is not None else trace_slowest(slowest or 0, ring, journal)
    # Before anything is printed: whoever reads the output may leave, and that must not cost the file or the spans.
    failure = None
    if chrome_file is not None:
        chrome.write(chrome_file, answer)
    if otlp_url is not None:
        try:
            sent = f"{otlp.send(otlp_url, answer.traces)} spans sent"
            tell_operator(f"trace: {sent}", sent, logging.INFO)
        except otlp.ExportFailed as error:
            failure = error
    if as_json:
        click.echo(msgspec.json.encode(answer))
    else:
        for line in text.lines(answer):
            click.echo(printable(line))
    if failure is not None:
        raise failure


def trace_one(name: FrameName, ring: str | None, journal: Path | None) -> TraceAnswer:
    """The way of one message.

    Raises:
        SequenceMissing, SegmentError, JournalError, FrameError; UsageError: it is not clear which ring is meant.
    """
    frames, name, notes = at_the_event(name, ring, journal)
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
        signals = read_signals()
        trace = trace_of(frames.name, subject, signals, notes)
        return answer_of(frames, [trace], chronicle)


def at_the_event(name: FrameName, ring: str | None, journal: Path | None) -> tuple[Frames, FrameName, list[str]]:
    """Where the frame is; of a signal, where the frame is that it is about."""
    frames = holding(name, ring, journal)
    try:
        piece = frames.find(name.sequence, name.ring)
        message = parse(piece.poll[0].payload, where=f"{frames.where}, sequence {name.sequence}")
        identity = message.first(SignalIdentity)
        if identity is None:
            return frames, name, []
        trigger = FrameName(identity.trigger_ring.hex(), identity.trigger_sequence)
        note = f"from signal {name.sequence} of {frames.name}, which is about it"
    except BaseException:
        frames.close()
        raise
    frames.close()
    return holding_trigger(trigger, journal), trigger, [note]


def holding(name: FrameName, ring: str | None, journal: Path | None) -> Frames:
    """The ring if it has the frame, else the journal."""
    if ring is None and journal is not None:
        return JournalFrames(journal)
    frames = RingFrames(ring or only_market_ring())
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
    return JournalFrames(journal)


def holding_trigger(trigger: FrameName, journal: Path | None) -> Frames:
    """The ring of this host that a signal names, else the journal."""
    for name in list_rings():
        try:
            frames = RingFrames(name)
        except SegmentError:
            continue
        if frames.uuid.hex() == trigger.ring:
            frames.close()
            return holding(trigger, name, journal)
        frames.close()
    if journal is not None:
        return JournalFrames(journal)
    raise SequenceMissing(
        f"the signal is about sequence {trigger.sequence} of ring {trigger.ring}, which no ring of this host is: "
        "it was replaced, or the strategy read a journal; look there with --journal DIR"
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


def trace_slowest(most: int, ring: str | None, journal: Path | None) -> TraceAnswer:
    """The ways of the slowest events.

    Raises:
        SegmentError, JournalError; UsageError: it is not clear which ring is meant.
    """
    signals = read_signals()
    frames: Frames = JournalFrames(journal) if journal is not None else RingFrames(ring or only_market_ring())
    with closing(frames):
        choice = TheSlowest(most, signals)
        chronicle = Chronicle(choice)
        chronicle.read(frames.pieces(b"", -1))
        traces = [trace_of(frames.name, subject, signals, []) for subject in choice.subjects()]
        return answer_of(frames, traces, chronicle, choice)


def read_signals() -> Signals:
    """All signals of this host; rings that cannot be read are named on stderr."""
    signals = Signals.of_this_host()
    for why in signals.unreadable.values():
        complain("trace", why)
    return signals


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
