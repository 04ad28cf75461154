"""Frames for journal tests: payloads as a poll of a ring lays them out, and what a journal should give back."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from consumers.journal import Fsync, JournalReader, JournalWriter
from ringbuf import Loss
from tlv.codes import Domain, FeedReason, Source
from tlv.layout import EventOrigin, Heartbeat
from tlv.message import build

RING = "market.test"
UUID = bytes(range(16))


def layout(payloads: Sequence[bytes], first: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], int]:
    """(buffer, table, count) of a poll that brought `payloads` with sequences from `first` on."""
    table = np.zeros((5, max(len(payloads), 1)), np.int64)
    chunks = []
    at = 0
    for i, payload in enumerate(payloads):
        table[:, i] = first + i, at, len(payload), 1_000_000 + first + i, (first + i) % 7
        chunks.append(payload + bytes(-len(payload) % 8))
        at += len(chunks[-1])
    return np.frombuffer(b"".join(chunks) or b"\0", np.uint8), table, len(payloads)


def open_writer(directory: Path, **options: Any) -> JournalWriter:
    """A writer with the tests' ring; nothing is forced to the disk unless the test asks for it."""
    return JournalWriter(directory, **{"ring_name": RING, "ring_uuid": UUID, "fsync": Fsync.NEVER, **options})


def random_payloads(count: int, seed: int, longest: int = 600) -> list[bytes]:
    """Payloads of every kind of length, from an honest seed."""
    source = random.Random(seed)
    return [source.randbytes(source.choice([0, 1, 7, 8, 9, source.randrange(longest)])) for _ in range(count)]


def block_message(number: int, sequence: int) -> bytes:
    """A message that stands on block `number`."""
    origin = EventOrigin(number, 0, 0, 0, 0, bytes(32), bytes(32))
    return build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [origin], sequence=sequence)


def heartbeat_message(sequence: int) -> bytes:
    """A message that stands on no block."""
    return build(
        Domain.SYSTEM,
        Source.POLYGON_COLLECTOR,
        [Heartbeat(1, 1, sequence, 0, 0, 0, 3, 0, FeedReason.OK)],
        sequence=sequence,
    )


def append(writer: JournalWriter, payloads: Sequence[bytes], first: int) -> None:
    """Append `payloads` as one batch."""
    writer.append(*layout(payloads, first))


def read_all(directory: Path) -> list[Loss | tuple[int, bytes]]:
    """Every loss, and every frame as (sequence, payload)."""
    with JournalReader(directory) as reader:
        return [item if isinstance(item, Loss) else (item.sequence, bytes(item.payload)) for item in reader]


def numbered(payloads: Iterable[bytes], first: int = 1) -> list[tuple[int, bytes]]:
    """What `read_all` gives for `payloads`."""
    return list(enumerate(payloads, first))
