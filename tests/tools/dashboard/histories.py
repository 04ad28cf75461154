"""Random histories of a ring's market: every record that matters to a pool's state, in orders that a chain allows and
in some that only damage makes."""

from __future__ import annotations

import random

from msgspec.structs import replace

from consumers.arbitrage.tick_math import MAX_TICK, MIN_TICK
from tests.tools.dashboard.polls import Published
from tlv.codes import Completeness, Domain, Flag, GapScope, InvalidationScope, Protocol, Reason, Venue
from tlv.layout import (
    Block,
    BlockEnd,
    EventOrigin,
    FeeState,
    Gap,
    PoolBurn,
    PoolCreated,
    PoolFee,
    PoolLiquidity,
    PoolMint,
    PoolRecord,
    PoolState,
    PoolSwap,
    PoolSync,
    PoolTicks,
    Reorg,
    Session,
    StateInvalidation,
    TickLiquidity,
    Timepoint,
)

TOKENS = [bytes([0x40 + number]) * 20 for number in range(5)]
NOBODY = bytes(20)
FEES = [0, 500, 1 << 23]
"""A V4 pool's key may name the last: its hook says the fee."""
BEGIN_S = 1_000_000
SOLIDLY_PAIRS = {7: Protocol.SOLIDLY, 9: Protocol.VELODROME}
Told = tuple[PoolRecord, EventOrigin]
Head = tuple[bytes, bytes, bytes, int, int, int, int]
"""What a pool's records begin with."""


class RandomMarket:
    """Publishes what `rng` decides: two of the pools trade several pairs, two are pairs of Solidly's type; with
    `algebra`, every fourth is one of Algebra's, with FeeStates."""

    def __init__(self, rng: random.Random, pools: int = 12, *, algebra: bool = False) -> None:
        self.rng, self.algebra = rng, algebra
        self.ring = Published()
        self.number = 1000
        self.branch = 0
        self._reserves: dict[bytes, list[int]] = {}
        self.told: list[Told] = []
        """Events that stand, oldest first."""
        self.heads = [self._head(number) for number in range(pools)]
        self.heads += [self._other_pair(number) for number in (0, 1, 1) if number < pools]

    def _other_pair(self, number: int) -> Head:
        """That of a pool with more coins than two."""
        pool, token0, token1, *rest = self.heads[number]
        token0, token1 = sorted([token0, self.rng.choice([token for token in TOKENS if token not in (token0, token1)])])
        return pool, token0, token1, Venue.QUICKSWAP_V2, 18, self.rng.choice([8, 255]), rest[-1]

    def _head(self, number: int) -> Head:
        token0, token1 = sorted(self.rng.sample(TOKENS, 2))
        pool = bytes([1 + number]) * (32 if number == 3 else 20)
        protocol = Protocol.UNISWAP_V2 if number % 2 else Protocol.UNISWAP_V3
        if number % 5 == 3:
            protocol = Protocol.UNISWAP_V4
        if self.algebra and number % 4 == 0:
            protocol = Protocol.ALGEBRA
        protocol = SOLIDLY_PAIRS.get(number, protocol)
        return pool, token0, token1, Venue.QUICKSWAP_V2, self.rng.choice([18, 255]), 6, protocol

    def run(self, blocks: int) -> None:
        """So many blocks, with what comes between them."""
        for _ in range(blocks):
            self.block()
            self.rng.choices(
                [self.nothing, self.reorg, self.invalidate, self.gap, self.session, self.late, self.tick_map],
                [60, 8, 4, 2, 1, 4, 12],
            )[0]()
            if self.algebra:
                self.fee_state()

    def nothing(self) -> None:
        """A quiet moment."""

    def block(self) -> None:
        """A block and its events."""
        self.number += self.rng.choice([1] * 30 + [300])
        block_hash = self._hash(self.number)
        self.ring.put(
            Domain.MARKET_DATA, [Block(self.number, BEGIN_S + 2 * self.number, 0, 0, 0, 0, block_hash, bytes(32))]
        )
        for log_index in range(0, 2 * self.rng.randrange(6), 2):
            self._event(self.number, log_index)
        if self.rng.random() < 0.3:
            self.snapshot(self.number)
        end = BlockEnd(self.number, 0, 0, 0, 0, block_hash, Completeness.REFETCHED)
        self.ring.put(Domain.SYSTEM, [end])

    def _hash(self, number: int) -> bytes:
        return f"{self.branch}.{number}".encode().ljust(32, b".")

    def _event(self, number: int, log_index: int, flags: int = 0) -> None:
        rng, head = self.rng, self.rng.choice(self.heads)
        origin = EventOrigin(number, BEGIN_S + 2 * number, 0, 0, log_index, self._hash(number), bytes(32))
        lower = rng.randrange(-50, 50) * 10
        amount = rng.choice([0, 1, rng.getrandbits(60), rng.getrandbits(128)])
        span = (lower, lower + 10 * rng.randrange(1, 20), NOBODY, NOBODY)
        price = (rng.choice([rng.getrandbits(160), 1 << 96]), rng.getrandbits(128), rng.randrange(-500, 500))
        record: PoolRecord = rng.choice(
            [
                PoolSync(*head, rng.getrandbits(112), rng.getrandbits(112)),
                PoolSwap(*head, 1, 0, 0, 1, *price, NOBODY, NOBODY, rng.choice([0, 3000, 3100])),
                PoolSwap(*head, 0, 1, 1, 0, *price, NOBODY, NOBODY, rng.choice([0, 3000, 3200])),
                PoolMint(*head, 1, 1, amount, *span),
                PoolBurn(*head, 1, 1, amount, *span),
                PoolCreated(*head, rng.choice([0, 500]), 10, NOBODY),
                PoolState(*head, 0, 0, price[0], 0, number, rng.choice(FEES), price[2], 10, NOBODY, "", ""),
            ]
        )
        if head[-1] in SOLIDLY_PAIRS.values() and rng.random() < 0.8:
            record = self._trade(head, origin, flags)
            origin = replace(origin, log_index=log_index + 1)
        if head[-1] == Protocol.UNISWAP_V4 and not isinstance(record, PoolSwap | PoolState):
            delta = rng.choice([0, -5, rng.getrandbits(90), -rng.getrandbits(90)])
            moved = PoolLiquidity(*head, delta, span[0], span[1], NOBODY, bytes(32))
            record = rng.choice([moved, moved, moved, PoolFee(*head, 0, 0, 0, 0, 0)])
        if rng.random() < 0.03:
            flags |= Flag.UNPROVEN
        self._tell(record, origin, flags)

    def _tell(self, record: PoolRecord, origin: EventOrigin, flags: int) -> None:
        self.ring.put(Domain.MARKET_DATA, [record, origin], flags)
        if not flags & Flag.UNPROVEN:
            self.told.append((record, origin))

    def _trade(self, head: Head, origin: EventOrigin, flags: int) -> PoolSwap:
        """A swap of a pair whose fee leaves it, behind the Sync of it: most show the fee that they took."""
        rng, came, went = self.rng, [0, 0], [0, 0]
        side = rng.randrange(2)
        held = self._reserves.setdefault(head[0], [rng.getrandbits(rng.choice([30, 90, 200])) for _ in range(2)])
        came[side], went[1 - side] = rng.getrandbits(rng.choice([8, 60, 110])), held[1 - side] // 1000
        if rng.random() < 0.2:
            came[1 - side], went[1 - side] = rng.getrandbits(60), 0
        for at in range(2):
            held[at] += came[at] - went[at] - came[at] * rng.choice([5, 5, 5, 30, 7]) // rng.choice([10_000] * 9 + [9])
            held[at] = max(held[at], 0)
        self._tell(PoolSync(*head, *held), origin, flags)
        return PoolSwap(*head, *came, *went, 0, 0, 0, NOBODY, NOBODY)

    def snapshot(self, number: int) -> None:
        """A pool's state as of a block."""
        rng, head = self.rng, self.rng.choice(self.heads)
        at = number - rng.choice([0, 1, 5])
        state = rng.choice([(0, 0, 0, 0), (5, 7, 1 << 97, 9), (rng.getrandbits(100), 1, rng.getrandbits(150), 3)])
        names = rng.choice([("A", "B"), ("<b>x</b>", "\u202eC"), ("", "")])
        more = (
            (rng.choice([0, 3200]), rng.choice([NOBODY, NOBODY, TOKENS[0]])) if head[-1] == Protocol.UNISWAP_V4 else ()
        )
        record = PoolState(*head, *state, at, rng.choice([0, 3000]), 4, 10, NOBODY, *names, *more)
        if head[-1] in SOLIDLY_PAIRS.values():
            record = replace(record, curve=rng.randrange(5), fee_pips=rng.choice([0, 500, 3000, 3050]))
        self.ring.put(Domain.MARKET_DATA, [record], Flag.SNAPSHOT)

    def late(self) -> None:
        """A back-fill of an old block, or an event that comes again."""
        self._event(self.number - self.rng.randrange(1, 4), self.rng.randrange(8), Flag.BACKFILL)

    def tick_map(self) -> None:
        """A pool's tick map in one or two parts, sometimes without the last."""
        rng, head = self.rng, self.rng.choice(self.heads[::2])
        at, block_hash = self.number - rng.choice([0, 0, 2]), self._hash(self.number)
        ticks = [
            TickLiquidity(1 << 100, rng.getrandbits(90), tick) for tick in sorted(rng.sample(range(-600, 600, 10), 8))
        ]
        middle = rng.choice([0, MAX_TICK])
        parts = [(MIN_TICK, middle)] + ([(middle + 1, MAX_TICK)] if middle < MAX_TICK else [])
        for first, last in parts[: rng.choice([1, 2, 2, 2])]:
            found = [tick for tick in ticks if first <= tick.tick <= last]
            part = PoolTicks(*head, at, block_hash, first, last, 10, len(found))
            self.ring.put(Domain.MARKET_DATA, [part, *found])

    def fee_state(self) -> None:
        """What an Algebra pool's fee follows from, as of a block."""
        rng, head, at = self.rng, self.rng.choice(self.heads[::4]), self.number - self.rng.choice([0, 0, 1])
        first = rng.choice([0, 9])
        begun = BEGIN_S + 2 * at - rng.choice([600, 80_000, 90_000])
        points = [
            Timepoint(number * 10**6, number << 60, number * 1000, begun + 200 * number, first + number, number)
            for number in range(rng.randrange(1, 4))
        ]
        config = (360, 60_000, 0, 2900, 12_000, 59, 8500, rng.choice([0, 10, 10]), 100)
        state = FeeState(*head, rng.getrandbits(60), at, self._hash(at), 5, 100, *config, len(points))
        self.ring.put(Domain.MARKET_DATA, [state, *points], Flag.SNAPSHOT)

    def reorg(self) -> None:
        """Blocks leave the chain; sometimes nobody knows down to which."""
        depth, unknown = self.rng.randrange(1, 5), self.rng.random() < 0.1
        fork, head = self.number - depth, self.number
        fork_hash = bytes(32) if unknown else self._hash(fork)
        left = [told for told in self.told if told[1].block_number > fork]
        self.ring.put(Domain.SYSTEM, [Reorg(fork, head, head, depth, len(left), fork_hash, bytes(32), bytes(32))])
        for told in reversed(left):
            self.ring.put(Domain.MARKET_DATA, told, Flag.REMOVED)
        self.told = [told for told in self.told if told[1].block_number <= fork]
        self.number = fork
        self.branch += 1

    def invalidate(self) -> None:
        """The collector takes back what it said, of all or of one."""
        reason = self.rng.choice([Reason.REORG, Reason.DISCONNECTED])
        scope = self.rng.choice(list(InvalidationScope))
        pool = self.rng.choice(self.heads)[0]
        self.ring.put(Domain.SYSTEM, [StateInvalidation(self.rng.choice([0, self.number]), scope, reason, pool)])
        if self.told and self.rng.random() < 0.5:
            # As an emitter that is proven to be none: its events are taken back outside of any reorg.
            told = self.told.pop(self.rng.randrange(len(self.told)))
            self.ring.put(Domain.MARKET_DATA, told, Flag.REMOVED)

    def gap(self) -> None:
        """Blocks, or frames of the ring before this one, are missing."""
        self.ring.put(Domain.SYSTEM, [Gap(1, 2, self.rng.choice(list(GapScope)), Reason.DISCONNECTED)])

    def session(self) -> None:
        """The collector begins anew."""
        self.ring.put(Domain.SYSTEM, [Session(bytes(16), 2, 1, 137, 1)])
