"""The real contracts, seeded, against our own integer arithmetic; and what they are not asked."""

from __future__ import annotations

import random

import pytest

from consumers.arbitrage.concentrated import TickMap, swap
from consumers.arbitrage.constant_product import Hop
from consumers.arbitrage.pool_state import Price, Reserves
from consumers.arbitrage.tick_math import sqrt_price_at
from tlv.codes import Protocol
from tools.evm.errors import NoRealContract, SwapReverted
from tools.evm.seeded_pools import ALGEBRA_SPACING, Executed, SeededPools

CASES = 150
PAIR_FEES = (3000, 3000, 2000, 0, 10_000)
TIERS = ((100, 1), (500, 10), (3000, 60), (10_000, 200), (777, 7))


@pytest.fixture(scope="module")
def pools() -> SeededPools:
    return SeededPools()


@pytest.mark.parametrize("seed", [1])
def test_pair_pays_what_our_arithmetic_says(pools: SeededPools, seed: int) -> None:
    rng = random.Random(seed)
    paid = 0
    for _ in range(CASES):
        state = Reserves(rng.randint(1, 10 ** rng.randint(1, 32)), rng.randint(1, 10 ** rng.randint(1, 32)))
        amount, falls, fee_pips = rng.randint(1, 10 ** rng.randint(1, 31)), rng.random() < 0.5, rng.choice(PAIR_FEES)
        entering, leaving = state if falls else state[::-1]
        expected = Hop(entering, leaving, fee_pips).out(amount)
        if expected == 0:
            with pytest.raises(SwapReverted, match="INSUFFICIENT_OUTPUT_AMOUNT"):
                pools.swap(Protocol.UNISWAP_V2, state, fee_pips, amount, falls=falls)
            continue
        paid += 1
        after = Reserves(*(entering + amount, leaving - expected)[:: 1 if falls else -1])
        found = pools.swap(Protocol.UNISWAP_V2, state, fee_pips, amount, falls=falls)
        assert found == Executed(amount, expected, after)
    assert paid > CASES / 2


@pytest.mark.parametrize(
    "protocol", [Protocol.UNISWAP_V3, Protocol.PANCAKESWAP_V3, Protocol.ALGEBRA, Protocol.UNISWAP_V4]
)
@pytest.mark.parametrize("seed", [1])
def test_pool_with_ticks_pays_what_our_arithmetic_says(pools: SeededPools, protocol: Protocol, seed: int) -> None:
    rng = random.Random(seed)
    crossed, unfinished = 0, 0
    for _ in range(CASES):
        algebra = protocol == Protocol.ALGEBRA
        fee_pips, spacing = (rng.randint(1, 65_535), ALGEBRA_SPACING) if algebra else rng.choice(TIERS)
        tick = rng.randint(-60_000, 60_000)
        price = rng.randint(sqrt_price_at(tick), sqrt_price_at(tick + 1) - 1)
        net: dict[int, int] = {}
        liquidity = 0
        for _ in range(rng.randint(1, 5)):
            width, added = rng.choice((1, 3, 20, 400, 1500)), rng.choice((10**9, 10**15, 10**21)) * rng.randint(1, 999)
            below = (tick // spacing - rng.randint(0, width)) * spacing
            above = (tick // spacing + 1 + rng.randint(0, width)) * spacing
            net[below] = net.get(below, 0) + added
            net[above] = net.get(above, 0) - added
            liquidity += added
        amount, falls = rng.randint(1, 10 ** rng.randint(3, 26)), rng.random() < 0.5
        walk = swap(price, tick, liquidity, fee_pips, TickMap(sorted(net), net, spacing), amount, falls=falls)
        state = Price(price, liquidity, tick)
        found = pools.swap(protocol, state, fee_pips, amount, falls=falls, net=net, spacing=spacing)
        assert (found.amount_in, found.amount_out) == (amount - walk.left, walk.out)
        assert isinstance(found.after, Price)
        assert (found.after.sqrt_price_x96, found.after.liquidity) == (walk.sqrt_price_x96, walk.liquidity)
        crossed += walk.crossed > 0
        unfinished += walk.left > 0
    assert min(crossed, unfinished) > CASES / 10


def test_a_swap_leaves_nothing_behind(pools: SeededPools) -> None:
    """Neither one that pays nor one that is refused changes what the next one finds."""
    state, seen = Reserves(10**20, 10**21), set()
    ticks = {-600: 10**18, 600: -(10**18)}
    for _ in range(3):
        with pytest.raises(SwapReverted):
            pools.swap(Protocol.UNISWAP_V2, Reserves(10**6, 1), 3000, 1, falls=True)
        seen.add(pools.swap(Protocol.UNISWAP_V2, state, 3000, 10**18, falls=True))
        for protocol in (Protocol.UNISWAP_V3, Protocol.ALGEBRA, Protocol.UNISWAP_V4):
            price = Price(1 << 96, 10**18, 0)
            seen.add(pools.swap(protocol, price, 3000, 10**15, falls=True, net=ticks, spacing=60))
            pools.swap(protocol, Price(1 << 96, 10**20, 0), 3000, 10**30, falls=False, net={60: 10**20}, spacing=60)
    assert len(seen) == 2  # one of V2; V3, Algebra and V4 of the same fee, ticks and price pay the same


@pytest.mark.parametrize(
    ("protocol", "state", "fee_pips", "amount", "spacing"),
    [
        (Protocol.UNISWAP_V2, Reserves(10**6, 10**6), 2500, 10, 0),
        (Protocol.UNISWAP_V2, Reserves(10**6, 10**6), 256_000, 10, 0),
        (Protocol.UNISWAP_V2, Reserves(1 << 112, 10**6), 3000, 10, 0),
        (Protocol.UNISWAP_V2, Reserves(0, 10**6), 3000, 10, 0),
        (Protocol.UNISWAP_V2, Reserves(10**6, 10**6), 3000, 0, 0),
        (Protocol.UNISWAP_V2, Reserves(10**6, 10**6), 3000, 1 << 256, 0),
        (Protocol.UNISWAP_V2, Price(1 << 96, 1, 0), 3000, 10, 0),
        (Protocol.UNISWAP_V3, Reserves(10**6, 10**6), 3000, 10, 60),
        (Protocol.UNISWAP_V3, Price(1 << 96, 10**18, 0), 1_000_000, 10, 60),
        (Protocol.UNISWAP_V3, Price(1 << 96, 10**18, 0), 3000, 10, 1 << 14),
        (Protocol.UNISWAP_V3, Price(1 << 160, 10**18, 0), 3000, 10, 60),
        (Protocol.UNISWAP_V3, Price(1 << 96, -1, 0), 3000, 10, 60),
        (Protocol.ALGEBRA, Price(1 << 96, 10**18, 0), 65_536, 10, 60),
        (Protocol.ALGEBRA, Price(1 << 96, 10**18, 0), 3000, 10, 10),
        (Protocol.UNISWAP_V4, Price(1 << 96, 10**18, 0), 1_000_001, 10, 60),
        (Protocol.UNISWAP_V4, Price(1 << 96, 10**18, 0), 3000, 10, 1 << 15),
        (Protocol.UNISWAP_V4, Price(1 << 96, 10**18, 0), 3000, 1 << 127, 60),
        (Protocol.UNISWAP_V4, Price(0, 10**18, 0), 3000, 10, 60),
        (9, Reserves(10**6, 10**6), 3000, 10, 0),
    ],
)
def test_what_no_contract_can_be_is_refused(
    pools: SeededPools, protocol: int, state: Reserves | Price, fee_pips: int, amount: int, spacing: int
) -> None:
    with pytest.raises(NoRealContract):
        pools.swap(protocol, state, fee_pips, amount, falls=True, spacing=spacing)


def test_tick_between_the_spacing_is_refused(pools: SeededPools) -> None:
    for protocol in (Protocol.UNISWAP_V3, Protocol.UNISWAP_V4):
        with pytest.raises(NoRealContract, match="61 is no multiple"):
            pools.swap(protocol, Price(1 << 96, 1, 0), 3000, 10, falls=True, net={61: 1}, spacing=60)


def test_more_than_a_pair_can_hold_is_refused_by_the_contract_itself(pools: SeededPools) -> None:
    with pytest.raises(SwapReverted, match="OVERFLOW"):
        pools.swap(Protocol.UNISWAP_V2, Reserves((1 << 112) - 1, 10**30), 3000, 10**20, falls=True)
    with pytest.raises(SwapReverted):
        pools.swap(Protocol.UNISWAP_V2, Reserves(10**20, 10**20), 3000, 1 << 255, falls=True)
