"""A journal with amounts of every magnitude in a PoolSync, an Economics and a TickLiquidity each."""

from __future__ import annotations

import random
from pathlib import Path

from tests.consumers.journal_frames import append, open_writer
from tlv.codes import Domain, Source
from tlv.layout import Economics, EventOrigin, PoolSync, SignalIdentity, TickLiquidity
from tlv.message import build

MOST = (1 << 256) - 1
ROWS = 2000


def amounts() -> list[int]:
    """Every magnitude, the largest, and zero."""
    source = random.Random(10)
    return [MOST, MOST, 0, *(source.getrandbits(source.randrange(1, 257)) for _ in range(ROWS - 3))]


def signed() -> list[int]:
    """Every magnitude with either sign, the smallest and the largest."""
    source = random.Random(11)
    drawn = [source.getrandbits(source.randrange(1, 256)) * source.choice([1, -1]) for _ in range(ROWS - 3)]
    return [-(1 << 255), (1 << 255) - 1, 0, *drawn]


def write_amounts(directory: Path) -> None:
    """Record them: `reserve0`, what is left to the largest as `reserve1`, `net`, and the upper halves as liquidity."""
    payloads = []
    for index, (amount, net) in enumerate(zip(amounts(), signed(), strict=True)):
        sync = PoolSync(b"p" * 20, b"0" * 20, b"1" * 20, 400, 18, 255, 2, amount, MOST - amount)
        origin = EventOrigin(7, 8, 9, 0, index, b"b" * 32, b"t" * 32)
        payloads.append(build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [sync, origin]))
        tick = TickLiquidity(amount >> 128, net >> 128, index)
        payloads.append(build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [tick]))
        signal = [
            SignalIdentity(1, 1, 1, bytes(16), "flash", 1),
            Economics(1, 1, net, 5, 7, 9, 1, b"t" * 20, b"p" * 20, 18),
        ]
        payloads.append(build(Domain.SIGNAL, Source.ARBITRAGE_STRATEGY, signal))
    with open_writer(directory) as writer:
        append(writer, payloads, 1)
