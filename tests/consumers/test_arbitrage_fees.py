"""A signal over an Algebra pool: its leg takes and pays what the pool's real contract does in the next block."""

from __future__ import annotations

import random

import pytest

from consumers.arbitrage.config import ArbitrageConfig
from consumers.arbitrage.signal import verify_signal
from consumers.arbitrage.tick_math import MAX_TICK, MIN_TICK
from producers.output.fee_program import VOLUME_SLOT, WINDOW_S, call_data, read_fee, read_volume
from tests.consumers.test_arbitrage_strategy import NATIVE, TOKEN, A, B, Market, legs_of, message_of, signal_of
from tlv.codes import Flag, Protocol, QuoteVerdict
from tlv.layout import Block, EventOrigin, FeeState, PoolSwap, PoolTicks, Reorg, TickLiquidity
from tools.evm.seeded_pools import SeededPools
from tools.evm.signals import execute_signal
from tools.evm.traded_algebra import TradedAlgebra

E18 = 10**18
BEGIN, PACE_S = 1_700_000_000, 2
RANGES = ((-60_000, 60_000, 10**23), (-600, 600, 10**24))
HEAD = (B, NATIVE, TOKEN, 0, 18, 18, Protocol.ALGEBRA)


class FeeMarket(Market):
    """A V2 pool and a real Algebra pool, of which a reader is told what the collector tells."""

    def __init__(self, seed: int) -> None:
        super().__init__(ArbitrageConfig(early=False))
        rng, self.now, self.real = random.Random(seed), BEGIN, TradedAlgebra(BEGIN)
        for position in RANGES:
            self.real.mint(*position)
        while self.now < BEGIN + 2 * WINDOW_S:
            self.now += rng.choice((2, 900, 7000, 30_000))
            self.real.begin(self.now)
            self.real.swap(rng.randrange(10**19, 10**21), falls=rng.random() < 0.5)
        self.know(A)
        self.know(B, fee=0, protocol=Protocol.ALGEBRA, spacing=60)
        self.block(0)
        ticks = [
            TickLiquidity(size, sign * size, tick)
            for *ends, size in RANGES
            for tick, sign in zip(ends, (1, -1), strict=True)
        ]
        ticks.sort(key=lambda one: one.tick)
        whole = (self.number, bytes(32), MIN_TICK, MAX_TICK, 60, len(ticks))
        self.tell(PoolTicks(*HEAD, *whole), *ticks, flags=Flag.SNAPSHOT)

    def block(self, pause_s: int) -> None:
        """The next block is announced, so many seconds later."""
        self.now += pause_s
        self.number += 1
        hashes = (self.number.to_bytes(32, "big"), bytes(32))
        self.tell(Block(self.number, self.now, 0, 0, 0, 0, *hashes))
        self.real.begin(self.now)

    def fee_state(self) -> None:
        """What the collector reads at the end of the block."""
        reading = read_fee("0x" + self.real.run(call_data(bytes.fromhex(self.real.pool[2:]), self.now)).hex())
        assert reading is not None
        volume = read_volume(hex(self.real.slot(VOLUME_SLOT)), reading.liquidity)
        assert volume is not None
        alpha1, alpha2, beta1, beta2, gamma1, gamma2, volume_beta, volume_gamma, base = reading.config
        config = (beta1, beta2, volume_beta, alpha1, alpha2, gamma1, gamma2, volume_gamma, base)
        place = (volume, self.number, self.number.to_bytes(32, "big"), reading.tick, reading.fee_pips)
        self.tell(FeeState(*HEAD, *place, *config, len(reading.points)), *reading.points, flags=Flag.SNAPSHOT)

    def swap(self, amount: int, *, falls: bool) -> None:
        """A swap in the block of the moment."""
        moved = self.real.swap(amount, falls=falls)
        state = self.real.read()
        amounts = [*(max(one, 0) for one in moved), *(max(-one, 0) for one in moved)]
        left = (state.sqrt_price_x96, state.liquidity, state.tick)
        place = (self.number.to_bytes(32, "big"), bytes(32))
        record = PoolSwap(*HEAD, *amounts, *left, bytes(20), bytes(20), 0)
        self.tell(record, EventOrigin(self.number, self.now, 77, 0, 1, *place))


@pytest.mark.parametrize("seed", range(3))
def test_leg_over_an_algebra_pool_is_what_its_contract_pays_in_the_next_block(seed: int) -> None:
    market = FeeMarket(seed)
    market.block(PACE_S)
    market.fee_state()
    market.block(PACE_S)
    market.swap(10**22, falls=True)
    state = market.real.read()
    rate = (state.sqrt_price_x96 / 2**96) ** 2
    market.sync(A, 100_000 * E18, int(100_000 * E18 * rate * 1.05))
    (draft,) = market.end_block()
    market.number -= 1
    legs = legs_of(draft)
    leg = next(leg for leg in legs if leg.pool == B)
    assert signal_of(draft)[0].verdict == QuoteVerdict.EXACT and verify_signal(message_of(draft)) == []
    market.real.begin(market.now + PACE_S)
    falls = leg.token_in == NATIVE
    moved = market.real.swap(leg.amount_in, falls=falls)
    assert (leg.amount_in, -leg.amount_out) == (moved if falls else moved[::-1])
    assert market.real.read().fee == leg.fee_pips
    assert execute_signal(message_of(draft), SeededPools()) == ([], [])


def test_algebra_pool_without_what_decides_its_fee_is_not_quoted() -> None:
    market = FeeMarket(1)
    market.block(PACE_S)
    market.swap(10**22, falls=True)
    market.sync(A, 100_000 * E18, 200_000 * E18)
    assert market.end_block() == []
    pool = market.strategy.book.get(B)
    assert pool is not None and pool.fee_pips is None
    market.number -= 1
    market.fee_state()
    assert pool.fee_pips is not None
    market.number += 1
    assert len(market.end_block()) == 1
    market.system(Reorg(100, 102, 103, 3, 0, bytes([1] * 32), bytes(32), bytes(32)))
    assert pool.fee_pips is None
