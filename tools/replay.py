"""`alphapulse replay`: the replay of a journal into a ring.

Owns the command line, the range of the journal, and the progress bar.  `producers.output.replay` marks the messages as
replayed, `ringbuf.playback` paces them.
"""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

import click

from consumers.analysis.selection import nanoseconds
from consumers.journal import JournalReader
from consumers.journal.indexing import index_of
from consumers.journal.part import JournalPlace, check_order, polls_of
from consumers.journal.scan import Scanner
from consumers.journal.segment import list_segments
from producers.output.replay import Replay, RingClock
from ringbuf import DEFAULT_CAPACITY, Writer
from ringbuf.layout import SLOTS
from ringbuf.playback import LONGEST_PAUSE_S
from tlv.errors import UsageError
from tlv.layout import LAYOUT_DIGEST
from tools.command.given import refuse_without_effect
from tools.command.interrupt import Interrupt
from tools.command.progress import progress, progress_option
from tools.command.say import say

MIB = 1 << 20
MOST_PATIENCE_S = 3600.0
READERS_SLICE_S = 0.02


def parse_place(context: click.Context, parameter: click.Parameter, text: str | None) -> JournalPlace | None:
    """`SEQ`, `block:N` or `time:ISO` as click hands it over."""
    edge = "oldest" if parameter.name == "begin" else "latest"
    if text is None or text == edge:
        return None
    kind, colon, value = text.partition(":")
    try:
        if not colon:
            return JournalPlace("sequence", int(text))
        if kind == "block":
            return JournalPlace(kind, int(value))
        if kind == "time":
            return JournalPlace(kind, nanoseconds(datetime.fromisoformat(value)) or 0)
    except (ValueError, UsageError) as error:
        raise click.BadParameter(f"{text!r}: {error}") from None
    raise click.BadParameter(f"{text!r}: expected a sequence, block:N, time:ISO or {edge}")


def parse_speed(context: click.Context, parameter: click.Parameter, text: str) -> float | None:
    """A factor, or None for `max`."""
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise click.BadParameter(f"{text!r}: expected a number above 0, or max")
    return speed


@click.command("replay", epilog="Example:  alphapulse replay journal/ --ring market.replay --speed 10 --from block:N")
@click.argument("journal", type=click.Path(path_type=Path))
@click.option("--ring", required=True, help="Ring to publish into; made if it is not there.")
@click.option(
    "--speed", default="1", show_default=True, callback=parse_speed, help="1 = as recorded, N times as fast, or max."
)
@click.option(
    "--from", "begin", callback=parse_place, metavar="PLACE", help="Sequence, block:N or time:ISO.  [default: oldest]"
)
@click.option(
    "--to", "end", callback=parse_place, metavar="PLACE", help="As --from, or latest; included.  [default: latest]"
)
@click.option(
    "--longest-pause",
    default=LONGEST_PAUSE_S,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Seconds of the recording; a longer pause, as while nobody recorded, is played as this long.",
)
@click.option(
    "--capacity-mib", default=DEFAULT_CAPACITY // MIB, show_default=True, type=click.IntRange(1), help="Of a new ring."
)
@click.option(
    "--readers",
    default=0,
    show_default=True,
    type=click.IntRange(0, SLOTS),
    help="Begin when so many reliable readers have joined.",
)
@click.option(
    "--patience",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0, MOST_PATIENCE_S),
    help="Seconds to wait for a reliable reader while the ring is full, before it is evicted.",
)
@progress_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def command(
    journal: Path,
    ring: str,
    speed: float | None,
    begin: JournalPlace | None,
    end: JournalPlace | None,
    longest_pause: float,
    capacity_mib: int,
    readers: int,
    patience: float,
    as_json: bool,
) -> None:
    """Publish the messages of JOURNAL into a ring, flagged REPLAY, with their sequences in the header.

    At recorded speed the pauses between messages are those of the recording.  At max speed only reliable readers are
    waited for; others may be lapped.  These report their loss, as always; at the end the command says how many reliable
    readers it evicted.

    A PLACE includes all that is of it.  Blocks overlap in a feed: block:N is every message of block N wherever it
    stands, its REMOVED copies and late back-fills too, none of a higher block with --to, none of a lower one with
    --from; messages of no block come from the first to the last message of the blocks asked for.
    """
    check_order(begin, end)
    if speed is None:
        refuse_without_effect("with --speed max", "--longest-pause")
    with Interrupt() as asked, JournalReader(journal) as reader:
        with Writer.open_or_create(
            ring, capacity=capacity_mib * MIB, layout_digest=LAYOUT_DIGEST, full_timeout_s=patience
        ) as writer:
            before = writer.evictions
            replay = Replay(writer, speed, longest_pause)
            say({"ready": True, "ring": ring, "journal": str(journal)}, f"replaying {journal} into {ring}", as_json)
            while writer.reliable_readers < readers and not asked():
                writer.heartbeat()
                time.sleep(READERS_SLICE_S)
            began = time.monotonic()
            whole = begin is None and end is None
            with progress("replay", count_frames(journal) if whole else None, "frames") as bar:
                done = replay.play(
                    polls_of(reader, begin, end),
                    asked,
                    bar.advance,
                    lambda: RingClock(reader.uuid, reader.clock_offset_ns),
                )
            evicted = writer.evictions - before
        seconds = time.monotonic() - began
        line = done._asdict() | {"evicted": evicted, "seconds": round(seconds, 6), "interrupted": asked()}
        text = f"replayed {done.frames} messages in {seconds:.1f} s; the journal lacks {done.lost}"
        if done.unmarked:
            text += f"; {done.unmarked} frames are no message"
        if evicted:
            text += f"; evicted {evicted} reliable readers that made no room in {patience:g} s: they lost frames"
        say(line, text, as_json)


def count_frames(journal: Path) -> int:
    """How many frames the journal holds, by its indexes."""
    total = 0
    for segment in list_segments(journal):
        scanner = Scanner(segment)
        total += index_of(scanner).header.frames
        scanner.close()
    return total


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "replay")
