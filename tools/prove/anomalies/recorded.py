"""The frames that a collector makes of a bundled recording, on a clock that only moves when told.

Owns the conversation of a real feed with the recording node's core, and the stretching of a recording of few blocks:
its blocks again and again, each time with numbers, hashes and times of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from hashlib import blake2b
from itertools import chain
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from producers.chains.configuration import load_chain
from producers.decode.pool_table import PoolTable
from producers.decode.segment import Segment
from producers.feed import Feed
from producers.kinds.selection import LogSelection
from producers.output.epoch import OutputRing
from tlv.codes import Domain, Source
from tlv.layout import Block, BlockEnd, EventOrigin, Heartbeat
from tlv.message import Message, build, parse
from tlv.record import Record
from tlv.units import MS, NS
from tools.recording.bundle import bundled_recording
from tools.recording.core import NodeCore
from tools.recording.recording import load_recording

RING = bytes(range(16))
TICK_NS = 250 * MS
SETTLE_NS = 2 * NS
MAX_PAUSE_S = 60.0
"""The time between two recorded sessions passes too, so that blocks are as old as they were."""
LATENCY_NS = NS
"""From the first block's own time to its arrival."""


class RecordedFrame(NamedTuple):
    """One message, when it was published, and its bytes; its sequence is its place in the stream."""

    time_ns: int
    """Wall time."""
    message: Message
    payload: bytes

    @property
    def record(self) -> Record:
        """What it says first."""
        return self.message.records[0]

    @property
    def origin(self) -> EventOrigin | None:
        """Where on the chain its event stands."""
        return self.message.first(EventOrigin)

    def with_records(self, *records: Record, flags: int | None = None) -> RecordedFrame:
        """The same frame with other records."""
        header = self.message.header
        return framed(self.time_ns, Domain(header.domain), records, header.flags if flags is None else flags)

    def later(self, by_ns: int) -> RecordedFrame:
        """The same frame, published later."""
        header = self.message.header
        return framed(self.time_ns + by_ns, Domain(header.domain), self.message.records, header.flags)


def framed(time_ns: int, domain: Domain, records: Iterable[Record], flags: int = 0) -> RecordedFrame:
    """A frame as a collector would publish it at this time."""
    payload = build(domain, Source.POLYGON_COLLECTOR, records, timestamp_ns=time_ns, flags=flags)
    return RecordedFrame(time_ns, parse(payload, verify=False), payload)


Stream = tuple[RecordedFrame, ...]


class Conversation:
    """One feed at one recorded node, and what the feed publishes."""

    def __init__(self, name: str) -> None:
        recording = load_recording(bundled_recording(name), None, MAX_PAUSE_S)
        head = msgspec.json.decode(recording.blocks[recording.first_head].head_json)
        self.wall_ns = int(head["timestamp"], 16) * NS + LATENCY_NS
        self.core = NodeCore(recording)
        self.feed = Feed(
            load_chain(name),
            OutputRing(RING, 1, 1),
            PoolTable(()),
            {},
            LogSelection(),
            now_ns=0,
            wall_ns=self.wall_ns,
        )
        self.now_ns = 0
        self.client = self.core.connect()
        self.frames: list[RecordedFrame] = []

    @property
    def clock(self) -> dict[str, int]:
        """What the feed takes with every call."""
        return {"now_ns": self.now_ns, "wall_ns": self.wall_ns + self.now_ns}

    def play(self) -> Stream:
        """The whole recording at its own pace."""
        self.feed.connected(**self.clock)
        self.exchange()
        while (due_ns := self.core.due_ns) is not None:
            self.wait_until(due_ns)
            for delivery in self.core.step():
                self.feed.receive(delivery.texts, **self.clock)
                self.exchange()
        self.feed.settle(**self.clock)
        self.exchange()
        self.wait_until(self.now_ns + SETTLE_NS)
        return tuple(self.frames)

    def wait_until(self, due_ns: int) -> None:
        """Let time pass."""
        while self.now_ns < due_ns:
            self.now_ns += TICK_NS
            self.feed.tick(**self.clock)
            self.exchange()

    def exchange(self) -> None:
        """Requests and answers, until neither side has anything to say."""
        while requests := self.feed.requests():
            answers = (self.core.receive(request, self.client) for request in requests)
            self.feed.receive([answer for answer in answers if answer is not None], **self.clock)
        for item in self.feed.messages():
            for payload in item.messages() if isinstance(item, Segment) else (item,):
                self.frames.append(RecordedFrame(self.wall_ns + self.now_ns, parse(payload, verify=False), payload))


@cache
def recorded(name: str) -> Stream:
    """A collector's frames of the bundled recording `name`."""
    return Conversation(name).play()


@cache
def stretched(name: str, rounds: int) -> Stream:
    """The recording's blocks `rounds` times over, as one chain."""
    frames = recorded(name)
    numbers = [frame.record.number for frame in frames if isinstance(frame.record, Block)]
    count = max(numbers) - min(numbers) + 1
    begin = next(at for at, frame in enumerate(frames) if isinstance(frame.record, Block))
    again = [frame for frame in frames[begin:] if comes_again(frame)]
    length_ns = (frames[-1].time_ns - frames[begin].time_ns) // (count - 1) * count
    rounds_of = (shifted(frame, n, count, length_ns) for n in range(1, rounds) for frame in again)
    return tuple(chain(frames, rounds_of))


def comes_again(frame: RecordedFrame) -> bool:
    """Blocks, their events and ends, and heartbeats come with every round."""
    return isinstance(frame.record, Block | BlockEnd | Heartbeat) or frame.origin is not None


def shifted(frame: RecordedFrame, n: int, count: int, length_ns: int) -> RecordedFrame:
    """A frame of round `n`: its block has another number, hash and time."""
    by_ns = n * length_ns

    def one(record: Record) -> Record:
        changes: dict[str, Any] = {}
        match record:
            case Block():
                changes = {
                    "number": record.number + n * count,
                    "timestamp": record.timestamp + by_ns // NS,
                    "hash": other_hash(record.hash, n),
                    "parent_hash": other_hash(record.parent_hash, n),
                }
            case BlockEnd():
                changes = {"number": record.number + n * count, "hash": other_hash(record.hash, n)}
            case EventOrigin():
                changes = {
                    "block_number": record.block_number + n * count,
                    "block_hash": other_hash(record.block_hash, n),
                }
            case Heartbeat():
                changes = {"head_number": record.head_number + n * count, "safe_number": record.safe_number + n * count}
        return replace(record, **changes)

    return frame.later(by_ns).with_records(*map(one, frame.message.records))


def other_hash(block_hash: bytes, n: int) -> bytes:
    """A hash that no other round has."""
    return blake2b(block_hash, digest_size=32, salt=n.to_bytes(16, "little")).digest()
