"""A chain with reorgs as a recorder sees it, under a seed, and what of it is canonical at every moment.

Owns the truth: it is kept beside the messages, and never read back from them.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.consumers.journal_frames import append, open_writer
from tlv.batch import add_flags
from tlv.codes import Completeness, Domain, Flag, Source
from tlv.layout import Block, BlockEnd, EventOrigin, PoolSync, Reorg, Session
from tlv.message import build
from tlv.record import Record

Identity = tuple[bytes, bytes, int]
HEAD = (b"p" * 20, b"0" * 20, b"1" * 20, 400, 18, 6, 2)


class ChainBlock(NamedTuple):
    """A block with the events of one pool."""

    number: int
    hash: bytes
    parent: bytes
    events: tuple[tuple[PoolSync, EventOrigin], ...]

    @property
    def identities(self) -> list[Identity]:
        """The identities of its events."""
        return [(origin.block_hash, origin.transaction_hash, origin.log_index) for _, origin in self.events]


class History:
    """Publishes blocks; `headers`: with Block and BlockEnd records; `reorgs`: with Reorg records."""

    def __init__(self, seed: int, *, headers: bool = True, reorgs: bool = True, removals: bool = True) -> None:
        self.source = random.Random(seed)
        self.headers, self.reorgs, self.removals = headers, reorgs, removals
        self.incarnations: list[list[bytes]] = [[]]
        self.chain: list[ChainBlock] = []
        self.orphans: list[ChainBlock] = []
        self.known_at: dict[int, list[Identity]] = {}
        """The canonical events as of each block number."""
        self._highest = 99

    def put(self, domain: Domain, *records: Record, flags: int = 0) -> None:
        """The next message."""
        messages = self.incarnations[-1]
        stamp = 10**9 + sum(map(len, self.incarnations))
        messages.append(
            build(
                domain,
                Source.POLYGON_COLLECTOR,
                records,
                sequence=len(messages) + 1,
                timestamp_ns=stamp,
                flags=flags,
            )
        )

    def canonical(self) -> list[Identity]:
        """The identities of the events of the chain, sorted."""
        return sorted(identity for block in self.chain for identity in block.identities)

    def reach(self, number: int) -> None:
        """A block of this number is about to be known."""
        for passed in range(self._highest, number):
            self.known_at[passed] = self.canonical()
        self._highest = max(self._highest, number)

    def mine(self) -> ChainBlock:
        """A block on top of the chain."""
        parent = self.chain[-1].hash if self.chain else self.source.randbytes(32)
        number = self.chain[-1].number + 1 if self.chain else 100
        block_hash = self.source.randbytes(32)
        events = tuple(
            (
                PoolSync(*HEAD, self.source.getrandbits(256), self.source.getrandbits(100)),
                EventOrigin(number, 1_600_000_000 + 2 * number, 7, 1, index, block_hash, self.source.randbytes(32)),
            )
            for index in range(self.source.randrange(5))
        )
        return ChainBlock(number, block_hash, parent, events)

    def publish(self, block: ChainBlock, flags: int = 0) -> None:
        """The block is the new head."""
        self.reach(block.number)
        self.tell(block, flags)
        self.chain.append(block)

    def tell(self, block: ChainBlock, flags: int = 0) -> None:
        """Header, events and end of a block."""
        number = block.number
        if self.headers:
            self.put(Domain.MARKET_DATA, Block(number, 0, 0, 0, 0, 0, block.hash, block.parent), flags=flags)
        for event in block.events:
            self.put(Domain.MARKET_DATA, *event, flags=flags)
        if self.headers:
            end = BlockEnd(number, 9, len(block.events), 0, 0, block.hash, Completeness.PUSHED)
            self.put(Domain.SYSTEM, end, flags=flags | Flag.LAST_IN_BLOCK)

    def reorg(self, depth: int, branch: list[ChainBlock] | None = None) -> None:
        """The last `depth` blocks leave the chain, for a new branch that is as long or longer, or for a given one."""
        dropped = self.chain[-depth:]
        fork = self.chain[-depth - 1]
        length = len(branch) if branch else depth + self.source.randrange(2)
        new_head = fork.number + length
        if self.reorgs:
            self.reach(new_head)
            old = dropped[-1]
            record = Reorg(fork.number, old.number, new_head, depth, 0, fork.hash, old.hash, bytes(32))
            self.put(Domain.SYSTEM, record)
        del self.chain[-depth:]
        if self.removals:
            for block in reversed(dropped):
                for event in reversed(block.events):
                    self.put(Domain.MARKET_DATA, *event, flags=Flag.REMOVED)
        self.orphans = dropped
        for index in range(length):
            self.publish(branch[index] if branch else self.mine())

    def come_back(self) -> None:
        """The branch that left last returns, and one block more."""
        if not self.orphans or self.orphans[0].number > self.chain[-1].number:
            return
        first = self.orphans[0].number
        depth = self.chain[-1].number - first + 1
        if depth >= len(self.chain) or self.chain[-depth - 1].hash != self.orphans[0].parent:
            return
        self.reorg(depth, list(self.orphans))

    def restart(self, known: int, *, lost: int = 0) -> None:
        """A new ring, whose collector tells the last `known` blocks again; the last `lost` left the chain meanwhile."""
        self.incarnations.append([])
        if self.headers:
            self.put(Domain.SYSTEM, Session(self.source.randbytes(16), 1, 1, 137, 1, b"g" * 32))
        if lost:
            del self.chain[-lost:]
        for block in self.chain[-known:]:
            self.tell(block, Flag.BACKFILL)
        for _ in range(lost):
            self.publish(self.mine())

    def replay(self, first: float, last: float) -> None:
        """A part of what the first ring brought, played into the newest one."""
        messages = self.incarnations[0]
        for message in messages[int(first * len(messages)) : int(last * len(messages))]:
            self.incarnations[-1].append(marked(message))

    def tell_again(self, count: int) -> None:
        """Some blocks of the chain anew, as a back-fill long after does."""
        for block in self.source.sample(self.chain, count):
            self.tell(block, Flag.BACKFILL)

    def write(self, directory: Path, *, messages_a_segment: int = 1 << 30) -> None:
        """A journal of everything, with segments of about so many messages."""
        for incarnation in self.incarnations:
            uuid = self.source.randbytes(16)
            for first in range(0, max(len(incarnation), 1), messages_a_segment):
                part = incarnation[first : first + messages_a_segment]
                # A writer that is opened anew begins another segment.
                with open_writer(directory, ring_uuid=uuid) as writer:
                    for begin in range(0, len(part), 1000):
                        append(writer, part[begin : begin + 1000], first + begin + 1)

    def run(self, steps: int) -> History:
        """So many things that happen to a chain."""
        for _ in range(10):
            self.publish(self.mine())
        for _ in range(steps):
            if self.source.random() < 0.85 or len(self.chain) < 12:
                self.publish(self.mine())
            elif self.source.random() < 0.6:
                self.reorg(self.source.randrange(1, 6))
            else:
                self.come_back()
        return self


def marked(message: bytes) -> bytes:
    """The message as a replay publishes it."""
    buffer = np.frombuffer(bytearray(message), np.uint8)
    add_flags(buffer, np.zeros(1, np.int64), np.full(1, len(message), np.int64), int(Flag.REPLAY))
    return buffer.tobytes()
