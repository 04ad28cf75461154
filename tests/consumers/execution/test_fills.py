"""What a swap pays and leaves: our arithmetic against the contracts' bytecode, one swap upon the other."""

from __future__ import annotations

import random

import pytest

from consumers.arbitrage.concentrated import TickMap
from consumers.arbitrage.pool_state import Price, Reserves
from consumers.arbitrage.tick_math import MAX_SQRT_PRICE, MAX_TICK, MIN_SQRT_PRICE, MIN_TICK, sqrt_price_at, tick_at
from consumers.execution.fills import PoolPlace, Shortage, SolidlyPair, Swapped, fill_order, quotable, swap_through
from tests.consumers.test_solidly import Machine, random_amount, random_pair
from tlv.codes import Curve, OrderReason, Protocol
from tools.evm.seeded_pools import ALGEBRA_SPACING, SeededPools

CASES = 150
SWAPS = 4
TIERS = ((100, 1), (500, 10), (3000, 60), (10_000, 200))


@pytest.fixture(scope="module")
def contracts() -> SeededPools:
    """The contracts, once for all tests."""
    return SeededPools()


def test_swaps_upon_our_own_states_pay_what_the_pair_pays(contracts: SeededPools) -> None:
    draw = random.Random(4)
    for _ in range(CASES):
        place = PoolPlace(Reserves(draw.randint(10**6, 10**30), draw.randint(10**6, 10**30)), 3000)
        for _ in range(SWAPS):
            amount, falls = draw.randint(1, 10 ** draw.randint(1, 30)), draw.random() < 0.5
            swapped = swap_through(place, amount, falls=falls)
            if isinstance(swapped, Shortage):
                assert swapped == Shortage(OrderReason.TOO_LITTLE_OUT, certain=True)
                continue
            assert isinstance(place.value, Reserves)
            real = contracts.swap(Protocol.UNISWAP_V2, place.value, 3000, amount, falls=falls)
            assert (swapped.amount_in, swapped.amount_out, swapped.after) == tuple(real)
            place = place._replace(value=swapped.after)


@pytest.mark.parametrize("protocol", [Protocol.UNISWAP_V3, Protocol.ALGEBRA])
def test_swaps_upon_our_own_states_pay_what_the_pool_with_ticks_pays(
    contracts: SeededPools, protocol: Protocol
) -> None:
    draw = random.Random(5)
    crossed = within = 0
    for _ in range(CASES):
        algebra = protocol is Protocol.ALGEBRA
        fee_pips, spacing = (draw.randint(1, 65_535), ALGEBRA_SPACING) if algebra else draw.choice(TIERS)
        tick = draw.randint(-60_000, 60_000)
        price = draw.randint(sqrt_price_at(tick), sqrt_price_at(tick + 1) - 1)
        net: dict[int, int] = {}
        liquidity = 0
        for _ in range(draw.randint(1, 5)):
            width, added = draw.choice((1, 3, 20, 400)), 10 ** draw.randint(12, 22)
            below = (tick // spacing - draw.randint(0, width)) * spacing
            above = (tick // spacing + 1 + draw.randint(0, width)) * spacing
            net[below], net[above] = net.get(below, 0) + added, net.get(above, 0) - added
            liquidity += added
        ticks = TickMap(sorted(net), net, spacing)
        place = PoolPlace(Price(price, liquidity, tick), fee_pips, ticks, spacing)
        for _ in range(SWAPS):
            amount, falls = draw.randint(1, 10 ** draw.randint(6, 24)), draw.random() < 0.5
            swapped = swap_through(place, amount, falls=falls)
            narrow = swap_through(place._replace(ticks=None), amount, falls=falls)
            if isinstance(swapped, Shortage):
                assert swapped == Shortage(OrderReason.LIQUIDITY, certain=True)
                assert narrow == Shortage(OrderReason.LIQUIDITY, certain=False)
                continue
            value = place.value
            assert isinstance(value, Price)
            real = contracts.swap(protocol, value, fee_pips, amount, falls=falls, net=net, spacing=spacing)
            assert (swapped.amount_in, swapped.amount_out, swapped.after) == tuple(real)
            if isinstance(narrow, Swapped):
                assert narrow == swapped
                within += 1
            crossed += swapped.crossed > 0
            if isinstance(swapped.after, Price) and swapped.after.liquidity == 0:
                break
            place = place._replace(value=swapped.after)
    assert min(crossed, within) > 10


def test_swaps_upon_our_own_states_pay_what_a_pair_of_solidlys_type_pays() -> None:
    draw, paid, refused = random.Random(7), dict.fromkeys(Curve, 0), 0
    for _ in range(CASES):
        reserves, decimals, bips, curve = random_pair(draw)
        place = PoolPlace(Reserves(*reserves), 100 * bips, pair=SolidlyPair(curve, *decimals))
        for _ in range(SWAPS):
            falls = draw.random() < 0.5
            assert isinstance(place.value, Reserves) and quotable(place)
            amount = random_amount(draw, place.value[not falls]) or 1
            swapped = swap_through(place, amount, falls=falls)
            out = Machine(place.value, decimals, bips, curve).swap(amount, 0 if falls else 1)
            if isinstance(swapped, Shortage):
                assert (swapped.reason is OrderReason.TOO_LITTLE_OUT, swapped.certain) == (out == 0, True)
                assert not out
                refused += 1
                continue
            moves = amount - amount * bips // 10_000, -swapped.amount_out
            after = [held + moved for held, moved in zip(place.value, moves if falls else moves[::-1], strict=True)]
            assert (swapped.amount_in, swapped.amount_out, swapped.after) == (amount, out, Reserves(*after))
            paid[curve] += 1
            place = place._replace(value=swapped.after)
    assert min(*paid.values(), refused) > 10


def test_tick_of_every_price_is_the_contracts() -> None:
    draw = random.Random(6)
    for _ in range(500):
        price = draw.randint(MIN_SQRT_PRICE, MIN_SQRT_PRICE << draw.randint(1, 127))
        tick = tick_at(price)
        assert sqrt_price_at(tick) <= price < sqrt_price_at(tick + 1)
    assert (tick_at(MIN_SQRT_PRICE), tick_at(MAX_SQRT_PRICE - 1)) == (MIN_TICK, MAX_TICK - 1)


def test_amounts_that_no_contract_takes() -> None:
    deep = PoolPlace(Reserves(10**20, 10**20), 3000)
    assert swap_through(deep, (1 << 112) - 10**20, falls=True) == Shortage(OrderReason.LIQUIDITY, certain=True)
    assert swap_through(deep, 1 << 255, falls=True) == Shortage(OrderReason.LIQUIDITY, certain=True)
    assert swap_through(deep, 0, falls=True) == Shortage(OrderReason.TOO_LITTLE_OUT, certain=True)
    ranged = PoolPlace(Price(1 << 96, 10**18, 0), 3000, None, 60)
    assert swap_through(ranged, 1 << 255, falls=True) == Shortage(OrderReason.LIQUIDITY, certain=True)
    small = PoolPlace(Reserves(10**20, 10), 3000)
    assert fill_order([(small, True), (deep, False)], 1) == Shortage(OrderReason.TOO_LITTLE_OUT, certain=True)


@pytest.mark.parametrize(
    "place",
    [
        PoolPlace(Reserves(0, 1), 3000),
        PoolPlace(Reserves(1 << 112, 1), 3000),
        PoolPlace(Reserves(1, 1), 1_000_000),
        PoolPlace(Reserves(1, 1), -1),
        PoolPlace(Reserves(1, 0), 500, pair=SolidlyPair(Curve.VOLATILE, 18, 18)),
        PoolPlace(Reserves(1, 1), 500, pair=SolidlyPair(0, 18, 18)),
        PoolPlace(Reserves(1, 1), 500, pair=SolidlyPair(9, 18, 18)),
        PoolPlace(Reserves(1, 1), 500, pair=SolidlyPair(Curve.SOLIDLY, 18, 255)),
        PoolPlace(Price(0, 1, 0), 3000, None, 60),
        PoolPlace(Price(MAX_SQRT_PRICE, 1, 0), 3000, None, 60),
        PoolPlace(Price(1 << 96, 0, 0), 3000, None, 60),
        PoolPlace(Price(1 << 96, 1, 0), 3000, None, 0),
        PoolPlace(Price(1 << 96, 1, MAX_TICK), 3000, None, 60),
    ],
)
def test_states_that_no_pool_can_have_are_not_quoted(place: PoolPlace) -> None:
    assert not quotable(place)
