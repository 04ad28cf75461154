"""`alphapulse dump`: print the messages of a ring, a relay or a journal.

Owns the decision which of the three TARGET is, following it, and the three forms of output.
"""

from __future__ import annotations

import stat
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import click
import msgspec

from consumers.client import Loss, RelayClient
from consumers.follower import RingFollower, replaced_message
from consumers.journal import JournalReader
from ringbuf import CorruptRing, Reader, Status
from tlv.errors import FrameError, UsageError
from tlv.filter import MessageFilter
from tlv.layout import LAYOUT_DIGEST
from tlv.message import Message, parse
from tlv.text import hex_dump, message_to_dict
from tools.command.completing import complete_target
from tools.command.given import refuse_without_effect
from tools.command.interrupt import Interrupt
from tools.command.printable import printable
from tools.command.records import records_option
from tools.command.waiting import when_there
from tools.dump_text import Describer

QUIET_S = 1.0
PAUSE_S = 0.05
Stop = Callable[[], bool]


class DumpedMessage(NamedTuple):
    """One message, as bytes."""

    ring: str
    sequence: int
    data: bytes


class DumpedLoss(NamedTuple):
    """Messages that the target does not have: `first` to `last`."""

    ring: str
    first: int
    last: int


@click.command("dump", epilog="Example:  alphapulse dump market.polygon --types PoolSwap --limit 5")
@click.argument("target", shell_complete=complete_target)
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C or the target's end.")
@click.option(
    "--latest", is_flag=True, help="Begin with what comes next instead of the oldest message; implies --follow."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines, amounts as decimal strings.")
@click.option("--hex", "as_hex", is_flag=True, help="Print every byte with the name of its field.")
@click.option("--types", metavar="NAMES", help="Only these records, such as PoolSwap,PoolSync, and losses.")
@click.option("--limit", type=click.IntRange(1), help="End after so many messages.")
@records_option
def command(
    target: str, follow: bool, latest: bool, as_json: bool, as_hex: bool, types: str | None, limit: int | None
) -> None:
    """Print the messages of TARGET: the name of a ring, the path of a relay's socket, or a journal's directory.

    Times are UTC.
    """
    wanted = MessageFilter.of(types=types.split(",") if types else ())
    if as_json:
        refuse_without_effect("with --json", "--hex")
    show = Printer(as_json, as_hex)
    shown = 0
    with Interrupt() as asked:
        for found in entries(target, follow or latest, latest, asked):
            if isinstance(found, DumpedLoss):
                show.loss(found)
                continue
            try:
                message = parse(found.data, where=f"ring {found.ring}, sequence {found.sequence}")
            except FrameError as error:
                show.broken(found, error)
                continue
            if not wanted.passes(found.data):
                continue
            show.message(found, message)
            shown += 1
            if shown == limit:
                return


def entries(target: str, follow: bool, latest: bool, stop: Stop) -> Iterator[DumpedMessage | DumpedLoss]:
    """What `target` holds, and with `follow` what comes."""
    path = Path(target)
    if path.is_dir():
        return journal_entries(path, follow, latest, stop)
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        return relay_entries(path, follow, latest, stop)
    if "/" in target:
        raise UsageError(f"{target}: expected a ring's name, a relay's socket or a journal's directory, found neither")
    return ring_entries(target, follow, latest, stop)


def ring_entries(name: str, follow: bool, latest: bool, stop: Stop) -> Iterator[DumpedMessage | DumpedLoss]:
    """From a ring, and with `follow` from those that follow it under its name."""
    start: Literal["latest", "oldest"] = "latest" if latest else "oldest"
    attach = partial(Reader.attach, name, start=start, layout_digest=LAYOUT_DIGEST)
    reader = when_there("dump", name, None if follow else 0.0, stop, attach)
    if reader is None:
        return
    follower = RingFollower(reader)
    try:
        while not stop():
            poll = follower.poll()
            if poll.loss is not None:
                yield DumpedLoss(name, poll.loss.first, poll.loss.last)
            for frame in poll:
                yield DumpedMessage(name, frame.sequence, bytes(frame.payload))
            if len(poll) or poll.status not in (Status.EMPTY, Status.CLOSED):
                if poll.status is Status.CORRUPT:
                    raise CorruptRing(f"ring {name}: no frame at sequence {follower.reader.sequence}")
                continue
            if not follow:
                return
            step = follower.next_ring()
            if step is None:
                follower.rest(poll.status, PAUSE_S)
                continue
            if step.loss is not None:
                yield DumpedLoss(name, step.loss.first, step.loss.last)
            yield DumpedMessage(name, 0, replaced_message(step))
    finally:
        follower.close()


def journal_entries(directory: Path, follow: bool, latest: bool, stop: Stop) -> Iterator[DumpedMessage | DumpedLoss]:
    """From a journal."""
    with JournalReader(directory, start="latest" if latest else "oldest") as reader:
        while not stop():
            poll = reader.poll()
            if poll.loss is not None:
                yield DumpedLoss(reader.name, poll.loss.first, poll.loss.last)
            for frame in poll:
                yield DumpedMessage(reader.name, frame.sequence, bytes(frame.payload))
            if poll.status in (Status.EMPTY, Status.CLOSED):
                if not follow:
                    return
                time.sleep(PAUSE_S)


def relay_entries(path: Path, follow: bool, latest: bool, stop: Stop) -> Iterator[DumpedMessage | DumpedLoss]:
    """From a relay.  Without `follow` it ends at the first second in which no message comes (heartbeats always do)."""
    with RelayClient(path, start="latest" if latest else "oldest", reconnect=False) as client:
        last_message = time.monotonic()
        while not stop() and (items := client.receive()) is not None:
            if items:
                last_message = time.monotonic()
            elif not follow and time.monotonic() - last_message >= QUIET_S:
                return
            for item in items:
                if isinstance(item, Loss):
                    yield DumpedLoss(client.rings[item.ring].name, item.first, item.last)
                else:
                    yield DumpedMessage(item.ring.name, item.sequence, item.data)


class Printer:
    """Prints in one of the three forms."""

    def __init__(self, as_json: bool, as_hex: bool) -> None:
        self._json = as_json
        self._hex = as_hex
        self._describer = Describer()

    def message(self, entry: DumpedMessage, message: Message) -> None:
        """A sound message."""
        if self._json:
            self._say({"ring": entry.ring, "sequence": entry.sequence} | message_to_dict(message))
        elif self._hex:
            print(f"{entry.ring} {entry.sequence}\n{hex_dump(entry.data)}", flush=True)
        else:
            print(self._describer.line(entry.sequence, message), flush=True)

    def broken(self, entry: DumpedMessage, error: FrameError) -> None:
        """A frame that is no message: its error, and with `--hex` its bytes; the dump goes on."""
        if self._json:
            self._say({"ring": entry.ring, "sequence": entry.sequence, "error": str(error)})
        else:
            print(printable(f"{entry.sequence}  {error}"), flush=True)
            if self._hex:
                print(hex_dump(entry.data), flush=True)

    def loss(self, loss: DumpedLoss) -> None:
        """Messages that are missing."""
        if self._json:
            self._say({"ring": loss.ring, "gap": {"first": loss.first, "last": loss.last}})
        else:
            print(f"{loss.first} to {loss.last}  lost ({loss.last - loss.first + 1} messages)", flush=True)

    def _say(self, line: dict[str, Any]) -> None:
        sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "dump")
