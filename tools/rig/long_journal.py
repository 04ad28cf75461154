"""A journal of any number of blocks: what a collector publishes of the bundled recording, again and again, with the
blocks numbered on, at the chain's real pace.

Owns the numbering and the times.  The messages are a real collector's, of a real chain; only numbers, hashes and times
are new in each round.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from consumers.journal import Fsync, JournalWriter
from ringbuf import Reader, unlink
from ringbuf.layout import INDEX_ROWS, LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW, TIME_ROW
from tlv.codes import Domain, GapScope
from tlv.layout import LAYOUT_DIGEST, Block, BlockEnd, EventOrigin, Gap, Session, VenueName
from tlv.message import Message, build, parse
from tlv.record import Record
from tlv.units import NS
from tools.command.supervisor import command_line

RING = "market.recorded"
BLOCK_NS = 2 * NS
"""Polygon's: 43,200 blocks a day."""
NUMBERS = (
    "number",
    "block_number",
    "since_block",
    "fork_number",
    "old_head_number",
    "new_head_number",
    "head_number",
    "safe_number",
)
"""Fields that are block numbers wherever they stand."""
HASHES = ("hash", "parent_hash", "block_hash", "fork_hash", "old_head_hash", "new_head_hash", "transaction_hash")
BATCH = 2000


def recorded_messages() -> list[bytes]:
    """What a collector publishes of the bundled recording, reorgs and gaps included; it takes some seconds.

    Raises:
        RuntimeError: it ended otherwise than it should.
    """
    ring = f"recorded.{secrets.token_hex(4)}"
    node = subprocess.Popen(command_line(["node", "--speed", "max", "--json"]), stdout=subprocess.PIPE, text=True)
    try:
        assert node.stdout is not None
        url = msgspec.json.decode(node.stdout.readline())["ws"]
        options = ["--url", url, "--ring", ring, "--until-idle", "1", "--pool-cache", "none"]
        done = subprocess.run(command_line(["collect", *options]), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the collector ended with {done.returncode}: {done.stderr}")
        with Reader.attach(ring, layout_digest=LAYOUT_DIGEST, start="oldest") as reader:
            messages: list[bytes] = []
            while len(poll := reader.poll()):
                messages += [bytes(frame.payload) for frame in poll]
            return messages
    finally:
        node.terminate()
        node.wait()
        unlink(ring)


class NumberedOn:
    """The messages of `payloads` in rounds: the first as they are, the later ones without what a ring says once."""

    def __init__(self, payloads: Sequence[bytes]) -> None:
        self._messages = [parse(payload) for payload in payloads]
        numbers = [one.number for message in self._messages for one in message.records if isinstance(one, Block)]
        self.first, self.span = min(numbers), max(numbers) - min(numbers) + 1

    def rounds(self, blocks: int) -> Iterator[tuple[int, bytes]]:
        """Messages of so many block numbers, each with its publish time in ns."""
        sequence = 0
        for turn in range(-(-blocks // self.span)):
            number = self.first
            for message in self._messages:
                if turn and isinstance(message.records[0], Session | VenueName):
                    continue
                numbers = [record.number for record in message.records if isinstance(record, Block | BlockEnd)]
                number = max([number, *numbers])
                time_ns = NS + (turn * self.span + number - self.first) * BLOCK_NS + sequence % 1000
                sequence += 1
                yield time_ns, self._again(message, turn, sequence, time_ns)

    def _again(self, message: Message, turn: int, sequence: int, time_ns: int) -> bytes:
        header = message.header
        return build(
            Domain(header.domain),
            header.source,
            [self._moved(record, turn) for record in message.records],
            sequence=sequence,
            timestamp_ns=time_ns,
            flags=header.flags,
        )

    def _moved(self, record: Record, turn: int) -> Record:
        """The record in a later round."""
        shift = turn * self.span
        names = [name for name in NUMBERS if getattr(record, name, 0) >= self.first]
        if hasattr(record, "first") and not (isinstance(record, Gap) and record.scope != GapScope.BLOCK_NUMBERS):
            names += ["first", "last"]
        changes: dict[str, Any] = {name: getattr(record, name) + shift for name in names}
        for name in HASHES:
            if any(value := getattr(record, name, b"")):
                changes[name] = turn.to_bytes(4, "big") + value[4:]
        if isinstance(record, EventOrigin):
            changes["block_timestamp"] = record.block_timestamp + shift * BLOCK_NS // NS
        return msgspec.structs.replace(record, **changes)


def write_long(directory: Path, payloads: Sequence[bytes], blocks: int, **options: Any) -> None:
    """Write a journal of so many block numbers into `directory`, which is ended in order."""
    options = {"ring_name": RING, "ring_uuid": bytes(range(16)), "fsync": Fsync.NEVER, **options}
    with JournalWriter(directory, **options) as journal:
        batch: list[tuple[int, bytes]] = []
        for one in NumberedOn(payloads).rounds(blocks):
            batch.append(one)
            if len(batch) == BATCH:
                append(journal, batch)
                batch.clear()
        append(journal, batch)


def append(journal: JournalWriter, messages: Sequence[tuple[int, bytes]]) -> None:
    """Append messages with their publish times, numbered on."""
    if not messages:
        return
    table = np.zeros((INDEX_ROWS, len(messages)), np.int64)
    table[LENGTH_ROW] = [len(payload) for _, payload in messages]
    strides = table[LENGTH_ROW] + 7 & -8
    table[OFFSET_ROW] = np.cumsum(strides) - strides
    table[SEQUENCE_ROW] = np.arange(len(messages)) + (journal.resume_at or 1)
    table[TIME_ROW] = [time_ns for time_ns, _ in messages]
    padded = b"".join(payload.ljust(len(payload) + 7 & -8, b"\0") for _, payload in messages)
    journal.append(np.frombuffer(padded, np.uint8), table, len(messages))
