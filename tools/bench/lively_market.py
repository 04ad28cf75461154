"""A made-up market of 1,000 pools of 200 tokens and some 10,000 cycles, in which traders move prices apart.

Three quarters of the pools are pairs of reserves, the others concentrated, half of these with their tick maps.  Most
swaps move a price within what fees take.  One in ten moves it so far that cycles earn; the next one moves it back, as
somebody does on a chain.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from math import isqrt, log

from consumers.arbitrage.tick_math import MAX_TICK, MIN_TICK, sqrt_price_at
from tlv.codes import Completeness, Domain, Flag, Protocol, Source, Venue
from tlv.layout import Block, BlockEnd, EventOrigin, PoolState, PoolSwap, PoolSync, PoolTicks, TickLiquidity
from tlv.message import build
from tlv.record import Record

POOLS, TOKENS, HUBS = 1_000, 200, 6
"""Every pool has one of the first tokens, the hubs, so that most make triangles."""
UNIT = 10**18
EVENTS_OF_A_BLOCK = 40
SPACING = 60
NOISE, SHOCK = 0.0005, 0.015
"""A price moves by so much, and by a shock: more than three fees of 0.3 %."""
SHOCKED = 0.1
"""How many of the swaps are shocks."""

Head = tuple[bytes, bytes, bytes, Venue, int, int, Protocol]


def address(number: int) -> bytes:
    """A made-up address."""
    return number.to_bytes(20, "big")


NATIVE = address(1)


class LivelyMarket:
    """Pools, their prices, and the frames of what happens to them; the same for the same seed."""

    def __init__(self, seed: int, pools: int = POOLS, tokens: int = TOKENS) -> None:
        self._rng = rng = random.Random(seed)
        self._value = [1.0] + [10 ** rng.uniform(-2, 2) for _ in range(tokens - 1)]
        self.heads: list[Head] = []
        self._moved: list[float] = [1.0] * pools
        self._depth = [10 ** rng.uniform(3.5, 5.5) for _ in range(pools)]
        for number in range(pools):
            hub = int(rng.random() ** 2 * HUBS)
            other = rng.choice([token for token in range(tokens if rng.random() < 0.95 else HUBS) if token != hub])
            first, second = sorted((hub, other))
            kind = Protocol.UNISWAP_V2 if number % 4 else Protocol.UNISWAP_V3
            venue = Venue.QUICKSWAP_V2 if kind == Protocol.UNISWAP_V2 else Venue.UNISWAP_V3_POLYGON
            self.heads.append((address(10_000 + number), address(1 + first), address(1 + second), venue, 18, 18, kind))
        self._sequence = 0
        self._block, self._log = 1, 0

    def message(self, *records: Record, flags: int = 0, domain: Domain = Domain.MARKET_DATA) -> tuple[int, int, bytes]:
        """The next frame: sequence, publish time, payload."""
        self._sequence += 1
        data = build(domain, Source.POLYGON_COLLECTOR, records, sequence=self._sequence, flags=flags)
        return self._sequence, self._sequence, data

    def opening(self) -> Iterator[tuple[int, int, bytes]]:
        """The first block, every pool's identity, its first state, and the tick maps."""
        yield self.message(Block(1, 0, 0, 0, 0, 10**9, address(1) + bytes(12), bytes(32)))
        for number, head in enumerate(self.heads):
            fee, spacing = (3000, 0) if head[6] == Protocol.UNISWAP_V2 else (500, SPACING)
            state = PoolState(*head, 0, 0, 0, 0, 0, fee, 0, spacing, bytes(20), "", "")
            yield self.message(state, flags=Flag.SNAPSHOT)
            if head[6] != Protocol.UNISWAP_V2 and number % 8 == 0:
                liquidity = self._liquidity(number)
                lowest = MIN_TICK // SPACING * SPACING + SPACING
                ends = TickLiquidity(liquidity, liquidity, lowest), TickLiquidity(liquidity, -liquidity, -lowest)
                part = PoolTicks(*head, 1, bytes(32), MIN_TICK, MAX_TICK, SPACING, 2)
                yield self.message(part, *ends, flags=Flag.SNAPSHOT)
            yield self._event(number)
        yield self._end_block()

    def events(self, count: int) -> Iterator[tuple[int, int, bytes]]:
        """So many swaps, with the ends of their blocks between them."""
        rng, shocked = self._rng, -1
        for at in range(1, count + 1):
            if shocked >= 0:
                number, shocked = shocked, -1
                self._moved[number] = 1.0
            else:
                number = rng.randrange(len(self.heads))
                shocked = number if rng.random() < SHOCKED else -1
                self._moved[number] = 1 + (rng.choice((-SHOCK, SHOCK)) if shocked >= 0 else rng.uniform(-NOISE, NOISE))
            yield self._event(number)
            if at % EVENTS_OF_A_BLOCK == 0:
                yield self._end_block()

    def _end_block(self) -> tuple[int, int, bytes]:
        number, self._block, self._log = self._block, self._block + 1, 0
        ended = BlockEnd(number, 1, 1, 0, 0, number.to_bytes(32, "big"), Completeness.REFETCHED)
        return self.message(ended, domain=Domain.SYSTEM)

    def _liquidity(self, number: int) -> int:
        return int(self._depth[number] * 10) * UNIT

    def _event(self, number: int) -> tuple[int, int, bytes]:
        head = self.heads[number]
        first, second = (int.from_bytes(token, "big") - 1 for token in head[1:3])
        price = self._value[first] / self._value[second] * self._moved[number]
        self._log += 1
        block_hash = self._block.to_bytes(32, "big")
        origin = EventOrigin(self._block, 0, 0, 0, self._log, block_hash, bytes(32))
        if head[6] == Protocol.UNISWAP_V2:
            depth = self._depth[number]
            reserves = int(depth / self._value[first] * UNIT), int(depth / self._value[first] * price * UNIT)
            return self.message(PoolSync(*head, *reserves), origin)
        root = isqrt(int(price * UNIT) * (1 << 192) // UNIT)
        tick = int(log(price) / log(1.0001) // 1)
        tick += (sqrt_price_at(tick + 1) <= root) - (sqrt_price_at(tick) > root)
        parties = (bytes(20), bytes(20))
        return self.message(PoolSwap(*head, 1, 0, 0, 1, root, self._liquidity(number), tick, *parties), origin)
