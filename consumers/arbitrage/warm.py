"""Compiling what the strategy needs before its first frame: it finds one made-up cycle between two made-up pools."""

from __future__ import annotations

import numpy as np

from consumers.arbitrage.algebra_fee import FeeClock
from consumers.arbitrage.config import ArbitrageConfig
from consumers.arbitrage.flash_arbitrage import FlashArbitrage
from consumers.select_frames import COLUMNS, index_frames
from consumers.strategy import Driver, filter_of
from tlv.codes import Domain, Flag, Protocol, Source, Venue
from tlv.layout import EventOrigin, PoolState, PoolSync, Timepoint
from tlv.message import build

POOLS, TOKEN0, TOKEN1 = (bytes([1] * 20), bytes([2] * 20)), bytes([3] * 20), bytes([4] * 20)
RESERVES = ((10**21, 10**21), (10**21, 2 * 10**21))


def warm() -> None:
    """Compile, or load from the cache, every kernel between a frame of market data and a signal."""
    strategy = FlashArbitrage(ArbitrageConfig(gross=True))
    driver = Driver(strategy, bytes(16))
    for sequence, (pool, reserves) in enumerate(zip(POOLS, RESERVES, strict=True), start=1):
        head = (pool, TOKEN0, TOKEN1, Venue.POLYGON, 18, 18, Protocol.UNISWAP_V2)
        state = PoolState(*head, 0, 0, 0, 0, 0, 3000, 0, 0, bytes(20), "", "")
        origin = EventOrigin(1, 0, 0, 0, sequence, bytes(32), bytes(32))
        for records, flags in (([state], Flag.SNAPSHOT), ([PoolSync(*head, *reserves), origin], Flag(0))):
            data = build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, records, sequence=sequence, flags=flags)
            drafts = driver.deliver(sequence, 0, data)
    FeeClock([1] * 9, [Timepoint(0, 0, 0, 1, 0, 0)], tick=0, fee=0, volume=0).fee_at(2)
    for draft in drafts:
        build(Domain.SIGNAL, draft.source, draft.records, sequence=1)
    buffer, one = np.frombuffer(bytearray(data), dtype=np.uint8), np.zeros(1, dtype=np.int64)
    table = np.zeros((1, COLUMNS), dtype=np.int64)
    index_frames(buffer, one, one + len(data), filter_of(strategy).tables, table)
