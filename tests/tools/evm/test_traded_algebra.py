"""The next fee and the swap of an Algebra pool against its real bytecode, in 2,000 random histories."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import pytest

from consumers.arbitrage.algebra_fee import RING, WINDOW_S, FeeClock
from consumers.arbitrage.concentrated import TickMap, swap
from producers.output.fee_program import VOLUME_SLOT, FeeReading, call_data, read_fee, read_volume
from tlv.layout import Timepoint
from tools.evm.traded_algebra import TradedAlgebra

BEGIN = 1_700_000_000
HISTORIES = 2_000
BASE_CONFIG = (2900, 12_000, 360, 60_000, 59, 8500, 0, 10, 100)
"""Of AlgebraFactory."""
PAUSES_S = (0, 1, 2, 2, 5, 60, 600, 3600, 40_000, WINDOW_S, 3 * WINDOW_S)


class Base(NamedTuple):
    """Where histories begin: a pool, and what the collector's program reads of it."""

    pool: TradedAlgebra
    now: int
    reading: FeeReading

    @classmethod
    def of(cls, pool: TradedAlgebra, now: int) -> Base:
        pool.begin(now)
        address = bytes.fromhex(pool.pool[2:])
        reading = read_fee("0x" + pool.run(call_data(address, now)).hex())
        assert reading is not None and reading.config == BASE_CONFIG
        held = pool.read()
        assert (reading.tick, reading.fee_pips, reading.liquidity) == (held.tick, held.fee, held.liquidity)
        assert all(
            pool.timepoint(p.sequence % RING) == msgspec.structs.replace(p, sequence=p.sequence % RING)
            for p in reading.points
        )
        return cls(pool, now, reading)

    def clock(self, config: Iterable[int]) -> FeeClock:
        volume = read_volume(f"0x{self.pool.slot(VOLUME_SLOT):x}", self.reading.liquidity)
        assert volume is not None
        return FeeClock(config, self.reading.points, self.reading.tick, self.reading.fee_pips, volume)


def minted(pool: TradedAlgebra) -> None:
    pool.mint(-60_000, 60_000, 10**21)
    pool.mint(-1200, 1800, 10**22)


def young() -> Base:
    """A pool that was just made."""
    pool = TradedAlgebra(BEGIN)
    minted(pool)
    return Base.of(pool, BEGIN)


def traded() -> Base:
    """A pool with two days of trades."""
    pool, rng, now = TradedAlgebra(BEGIN), random.Random(5), BEGIN
    minted(pool)
    while now < BEGIN + 2 * WINDOW_S:
        now += rng.choice((2, 300, 3600, 20_000))
        pool.begin(now)
        pool.swap(rng.randrange(10**18, 10**20), falls=rng.random() < 0.5)
    return Base.of(pool, now)


def wrapped(pace_s: int) -> Base:
    """A pool whose ring of timepoints is full: it traded every so many seconds."""
    pool, rng, now = TradedAlgebra(BEGIN), random.Random(pace_s), BEGIN
    minted(pool)
    last = RING + 20
    point = pool.timepoint(0)
    for number in range(last + 1):
        pool.put_timepoint(number % RING, point)
        now += pace_s
        tick = rng.randint(-500, 500)
        point = Timepoint(
            point.volatility + rng.randrange(10**6),
            point.volume + rng.randrange(1 << 66),
            point.tick_cumulative + tick * pace_s,
            now,
            number + 1,
            (point.average_tick * 99 + tick) // 100,
        )
    pool.put_index(last % RING)
    return Base.of(pool, now - pace_s)


@pytest.fixture(scope="module")
def bases() -> list[Base]:
    return [young(), traded(), wrapped(1), wrapped(2)]


def drawn_config(rng: random.Random) -> tuple[int, ...]:
    if rng.random() < 0.4:
        return BASE_CONFIG
    alpha1 = rng.randint(0, 40_000)
    alpha2 = rng.randint(0, 65_000 - alpha1)
    betas = (rng.randrange(10 ** rng.randint(1, 9)), rng.randrange(10 ** rng.randint(1, 9)))
    gammas = (rng.randint(1, 2 ** rng.randint(1, 15)), rng.randint(1, 65_535))
    volume = (rng.randrange(10 ** rng.randint(1, 6)), rng.randint(1, 2 ** rng.randint(1, 16) - 1))
    return (alpha1, alpha2, *betas, *gammas, *volume, rng.randint(0, 65_535 - alpha1 - alpha2))


def test_history_of_a_pool_has_the_contracts_fees_and_amounts(bases: list[Base]) -> None:
    rng = random.Random(14)
    fees: set[int] = set()
    swaps = unknown = crossed = 0
    for number in range(HISTORIES):
        base = bases[number % len(bases)]
        pool, now, config = base.pool, base.now, drawn_config(rng)
        before = pool.snapshot()
        pool.configure(config)
        pool.put_community_fees(rng.choice((0, 0, 1, 150, 250)), rng.choice((0, 0, 100, 250)))
        clock = base.clock(config)
        net = {-60_000: 10**21, -1200: 10**22, 1800: -(10**22), 60_000: -(10**21)}
        gross = Counter({tick: abs(amount) for tick, amount in net.items()})
        held: list[tuple[int, int, int]] = []
        for _ in range(rng.randint(2, 5)):
            now += rng.choice(PAUSES_S)
            pool.begin(now)
            was = pool.read()
            if rng.random() < 0.7:
                expected = clock.fee_at(now)
                amount, falls, buys = rng.randrange(1, 10 ** rng.randint(1, 22)), rng.random() < 0.5, rng.random() < 0.1
                amount0, amount1 = pool.swap(-min(amount, 10**19) if buys else amount, falls=falls)
                state = pool.read()
                if expected is None:
                    unknown += 1
                    break
                assert state.fee == expected
                if not buys:
                    ticks = TickMap(sorted(net), net, 60)
                    found = swap(was.sqrt_price_x96, was.tick, was.liquidity, expected, ticks, amount, falls=falls)
                    moved = (amount - found.left, -found.out)
                    assert (amount0, amount1) == (moved if falls else moved[::-1])
                    assert (state.sqrt_price_x96, state.liquidity) == (found.sqrt_price_x96, found.liquidity)
                    crossed += found.crossed
                assert clock.write(now)
                clock.trade(state.tick, state.liquidity, amount0, amount1)
                swaps += 1
                fees.add(expected)
            else:
                if held and rng.random() < 0.5:
                    lower, upper, amount = held.pop()
                    pool.burn(lower, upper, amount)
                    sign = -1
                else:
                    lower = was.tick // 60 * 60 + 60 * rng.randint(-20, 20)
                    upper, amount, sign = lower + 60 * rng.randint(1, 40), rng.randrange(1, 10**22), 1
                    pool.mint(lower, upper, amount)
                    held.append((lower, upper, amount))
                for tick, change in ((lower, sign * amount), (upper, -sign * amount)):
                    net[tick] = net.get(tick, 0) + change
                    gross[tick] += sign * amount
                    if not gross[tick]:
                        del net[tick]
                if lower <= was.tick < upper and not clock.write(now):
                    unknown += 1
                    break
                assert pool.read().fee == clock.fee
            state = pool.read()
            assert (state.tick, state.volume) == (clock.tick, clock.volume)
        pool.revert(before)
    assert swaps > 2 * HISTORIES and unknown < HISTORIES / 4 and crossed > 200 and len(fees) > 500
