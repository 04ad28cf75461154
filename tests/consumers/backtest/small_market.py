"""A market of two pools of one pair whose prices part and meet, block by block, from a seed: its journal is small, and
there is something to earn in it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from consumers.arbitrage.config import WMATIC
from tests.consumers.journal_frames import open_writer
from tlv.codes import Completeness, Domain, Flag, Protocol, Source, Venue
from tlv.layout import Block, BlockEnd, EventOrigin, PoolState, PoolSwap, PoolSync
from tlv.message import build
from tlv.record import Record
from tlv.units import NS
from tools.rig.long_journal import append

COIN = bytes.fromhex(WMATIC[2:])
USDC = bytes([0xEE] * 20)
"""Sorts behind the coin, so the coin is token0."""
POOLS = ((bytes([1] * 20), Venue.QUICKSWAP_V2), (bytes([2] * 20), Venue.SUSHISWAP_POLYGON))
UNIT = 10**18
BEGIN_S = 1_700_000_000
BLOCK_S = 2
Frame = tuple[int, bytes]
"""Publish time and message."""


def block_hash(number: int) -> bytes:
    """Of a block of this chain."""
    return number.to_bytes(32, "big")


class SmallMarket:
    """Numbers messages as a collector would."""

    def __init__(self, seed: int = 1) -> None:
        self.frames: list[Frame] = []
        self._dice = random.Random(seed)
        self._reserves = [[10_000 * UNIT, 10_000 * UNIT], [10_000 * UNIT, 10_000 * UNIT]]
        for number, (pool, _) in enumerate(POOLS):
            state = PoolState(
                *self._head(number), *self._reserves[number], 0, 0, 0, 3000, 0, 0, bytes(20), "COIN", "USDC"
            )
            self.put(Domain.MARKET_DATA, [state], BEGIN_S * NS, Flag.SNAPSHOT)
            assert pool == state.pool

    def _head(self, number: int) -> tuple[Any, ...]:
        pool, venue = POOLS[number]
        return (pool, COIN, USDC, venue, 18, 18, Protocol.UNISWAP_V2)

    def put(self, domain: Domain, records: Sequence[Record], time_ns: int, flags: int = 0) -> None:
        """Append one message that was built at `time_ns`."""
        sequence = len(self.frames) + 1
        source = Source.POLYGON_COLLECTOR
        data = build(domain, source, records, sequence=sequence, timestamp_ns=time_ns, flags=flags)
        self.frames.append((time_ns - BEGIN_S * NS + NS, data))

    def block(self, number: int, *, held_back: int = 0) -> None:
        """A block in which one of the two is traded."""
        now_s = BEGIN_S + number * BLOCK_S
        received = now_s * NS + 300_000_000
        header = Block(number, now_s, 0, 0, received, 30 * 10**9, block_hash(number), block_hash(number - 1))
        self.put(Domain.MARKET_DATA, [header], received + 50_000)
        pool = self._dice.randrange(2)
        self.trade(number, pool, self._dice.randrange(1, 300) * UNIT, received + 10_000_000)
        end = BlockEnd(number, 2, 2, held_back, 0, block_hash(number), Completeness.REFETCHED)
        self.put(Domain.SYSTEM, [end], received + 20_000_000)

    def trade(self, number: int, pool: int, amount_in: int, received: int) -> None:
        """A swap of one pool towards the other's price, or away from it, as its contract computes it."""
        reserves = self._reserves[pool]
        into = self._dice.randrange(2)
        paid = amount_in * 997
        out = paid * reserves[1 - into] // (reserves[into] * 1000 + paid)
        reserves[into] += amount_in
        reserves[1 - into] -= out
        sync = PoolSync(*self._head(pool), reserves[0], reserves[1])
        ins = (amount_in, 0) if into == 0 else (0, amount_in)
        outs = (0, out) if into == 0 else (out, 0)
        swap = PoolSwap(*self._head(pool), *ins, *outs, 0, 0, 0, bytes(20), bytes(20))
        for index, record in enumerate((sync, swap)):
            origin = EventOrigin(number, number * BLOCK_S + BEGIN_S, received, 0, index, block_hash(number), bytes(32))
            self.put(Domain.MARKET_DATA, [record, origin], received + 80_000 + index)

    def write(self, directory: Path, segments: int = 1, **options: Any) -> Path:
        """A journal of all of it, ended in order."""
        size = -(-len(self.frames) // segments)
        for first in range(0, len(self.frames), size):
            with open_writer(directory, **options) as journal:
                append(journal, self.frames[first : first + size])
        return directory


def small_market(blocks: int, seed: int = 1) -> SmallMarket:
    """So many blocks of it."""
    market = SmallMarket(seed)
    for number in range(1, blocks + 1):
        market.block(number)
    return market
