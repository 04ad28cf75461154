"""`alphapulse replay`: the replay of a journal into a ring.

Owns the command line, the range of the journal, and the progress bar.  `producers.output.replay` marks the messages as
replayed, `ringbuf.playback` paces them.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from consumers.analysis.selection import nanoseconds
from consumers.journal import JournalReader, kernels
from consumers.journal.index import index_of
from consumers.journal.scan import Scanner
from consumers.journal.segment import list_segments
from producers.output.replay import Replay
from ringbuf import DEFAULT_CAPACITY, Poll, Status, Writer
from tlv.errors import UsageError
from tlv.layout import LAYOUT_DIGEST
from tools.command.interrupt import Interrupt
from tools.command.say import say

MIB = 1 << 20


class JournalPlace(NamedTuple):
    """A place in a journal: the first message with this sequence, block or time (ns since 1970), or a higher one."""

    kind: str
    value: int


def parse_place(context: click.Context, parameter: click.Parameter, text: str | None) -> JournalPlace | None:
    """`SEQ`, `block:N` or `time:ISO` as click hands it over."""
    if text is None:
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
    raise click.BadParameter(f"{text!r}: expected a sequence, block:N or time:ISO")


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
@click.option("--from", "begin", callback=parse_place, metavar="PLACE", help="Sequence, block:N or time:ISO.")
@click.option("--to", "end", callback=parse_place, metavar="PLACE", help="The same; it is included.")
@click.option(
    "--capacity-mib", default=DEFAULT_CAPACITY // MIB, show_default=True, type=click.IntRange(1), help="Of a new ring."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def command(
    journal: Path,
    ring: str,
    speed: float | None,
    begin: JournalPlace | None,
    end: JournalPlace | None,
    capacity_mib: int,
    as_json: bool,
) -> None:
    """Publish the messages of JOURNAL into a ring, flagged REPLAY, with their sequences in the header.

    At recorded speed the pauses between messages are those of the recording.  At max speed readers that are not
    reliable may be lapped; they report the loss, as always.
    """
    with Interrupt() as asked, JournalReader(journal) as reader:
        seek(reader, begin)
        with Writer.open_or_create(ring, capacity=capacity_mib * MIB, layout_digest=LAYOUT_DIGEST) as writer:
            replay = Replay(writer, speed)
            say({"ready": True, "ring": ring, "journal": str(journal)}, f"replaying {journal} into {ring}", as_json)
            began = time.monotonic()
            with bar(journal, whole=begin is None and end is None, hidden=as_json) as advance:
                done = replay.play(polls_to(reader, end), asked, advance)
        seconds = time.monotonic() - began
        line = done._asdict() | {"seconds": round(seconds, 6), "interrupted": asked()}
        text = f"replayed {done.frames} messages in {seconds:.1f} s; the journal lacks {done.lost}"
        if done.unmarked:
            text += f"; {done.unmarked} frames are no message"
        say(line, text, as_json)


def seek(reader: JournalReader, place: JournalPlace | None) -> None:
    """Go where the replay begins."""
    if place is None:
        return
    go: dict[str, Callable[[int], None]] = {
        "sequence": reader.seek_sequence,
        "block": reader.seek_block,
        "time": reader.seek_time,
    }
    go[place.kind](place.value)


def polls_to(reader: JournalReader, end: JournalPlace | None) -> Iterator[Poll]:
    """The rest of a journal up to and including `end`, or to its present end."""
    while True:
        poll = reader.poll()
        behind = len(poll) if end is None else frames_up_to(reader, poll, end)
        yield poll if behind == len(poll) else poll.part(0, behind)
        if behind < len(poll) or poll.status in {Status.EMPTY, Status.CLOSED}:
            return


def frames_up_to(reader: JournalReader, poll: Poll, end: JournalPlace) -> int:
    """How many frames of `poll` come before the first one behind `end`."""
    if end.kind == "sequence":
        return int(np.searchsorted(poll.sequences, end.value, side="right"))
    if end.kind == "time":
        return int(np.searchsorted(poll.timestamps + reader.clock_offset_ns, end.value, side="right"))
    first, behind = reader.columns
    table = np.ascontiguousarray(reader.index[:, first:behind])
    return kernels.find_block(poll.buffer, table, len(poll), end.value + 1)


def count_frames(journal: Path) -> int:
    """How many frames the journal holds, by its indexes."""
    total = 0
    for segment in list_segments(journal):
        scanner = Scanner(segment)
        total += index_of(scanner).header.frames
        scanner.close()
    return total


def ignore(_frames: int) -> None:
    """The progress of a replay without a bar."""


@contextlib.contextmanager
def bar(journal: Path, *, whole: bool, hidden: bool) -> Iterator[Callable[[int], object]]:
    """A progress bar on stderr if that is a terminal; yields the function that advances it by a number of frames."""
    if hidden or not sys.stderr.isatty():
        yield ignore
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("replay"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("replay", total=count_frames(journal) if whole else None)
        yield lambda frames: progress.advance(task, frames)


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "replay")
