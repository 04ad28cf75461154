"""Every example on the bundled recording: loaded by reference as the command does it, with its parameters, checked by
hand."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from consumers.examples.cross_venue_spread import CrossVenueSpread, VenueSpread
from consumers.examples.liquidity_watcher import LiquidityChange
from consumers.examples.native_mover import PriceMove
from consumers.examples.vwap import AveragePrice
from consumers.loading import load_strategy, make_strategy
from consumers.native import NativeDriver
from consumers.strategy import Driver, Strategy
from tests.consumers.native.market import PythonMover, recorded_table
from tests.consumers.recorded_market import RING, Publisher, canonical_events, canonical_frames
from tests.consumers.three_coins import pairs_of_three_coins, swap_of
from tlv.codes import Flag
from tlv.errors import UsageError
from tlv.layout import BlockEnd, EventOrigin, PoolBurn, PoolMint, PoolSwap, PoolSync, SignalIdentity
from tlv.message import parse
from tlv.record import Record

EXAMPLES = {
    "price_mover:PriceMover": {"threshold_pips": 2_000},
    "vwap:Vwap": {"blocks": 2},
    "cross_venue_spread:CrossVenueSpread": {"least_pips": 0},
    "liquidity_watcher:LiquidityWatcher": {"least_pips": 1},
    "native_mover:NativeMover": {"threshold_pips": 2_000},
}


def made(reference: str, **params: Any) -> Any:
    """A strategy as `alphapulse strategy` makes it."""
    return make_strategy(load_strategy(f"consumers.examples.{reference}"), params or EXAMPLES[reference], [])


def signals_of(strategy: Strategy, frames: list[tuple[int, int, bytes]]) -> Iterator[tuple[Record, ...]]:
    """What it emits, each behind its identity, without poison."""
    driver = Driver(strategy, RING)
    for frame in frames:
        for draft in driver.deliver(*frame):
            assert isinstance(draft.records[0], SignalIdentity)
            yield draft.records[1:]
    assert driver.poisoned == 0


def all_of(reference: str, frames: list[tuple[int, int, bytes]], kind: type[Record]) -> list[Any]:
    """The one record of each signal."""
    found = list(signals_of(made(reference), frames))
    assert all(len(records) == 1 and isinstance(records[0], kind) for records in found)
    return [records[0] for records in found]


def test_price_mover_says_every_move_to_the_pip() -> None:
    prices: dict[bytes, Fraction] = {}
    expected = []
    for record, _ in canonical_events():
        if isinstance(record, PoolSync):
            price = Fraction(record.reserve1, record.reserve0)
            if record.pool in prices:
                move = (price / prices[record.pool] * 1_000_000).__floor__() - 1_000_000
                if abs(move) >= 2_000:
                    expected.append(PriceMove(move, record.pool))
            prices[record.pool] = price
    assert all_of("price_mover:PriceMover", list(canonical_frames()), PriceMove) == expected and len(expected) > 20


def test_native_mover_says_what_its_twin_in_python_says() -> None:
    driver = NativeDriver(made("native_mover:NativeMover"), RING)
    buffer, table = recorded_table()
    found = [parse(bytes(message.payload)).records for message in driver.run_over(buffer, table, 0, table.shape[1])]
    twin = Driver(PythonMover(driver.strategy.settings), RING)
    expected = [draft.records for frame in canonical_frames() for draft in twin.deliver(*frame)]
    assert found == expected and len(found) > 20


def test_vwap_says_the_sums_of_each_window() -> None:
    publisher = Publisher()
    publisher.blocks(canonical_events())
    found = all_of("vwap:Vwap", publisher.frames, AveragePrice)
    assert len(found) > 10 and min(one.last_block - one.first_block for one in found) == 1
    for said in found:
        swaps = [
            record
            for record, origin in canonical_events()
            if isinstance(record, PoolSwap)
            and (record.pool, record.token0, record.token1) == (said.pool, said.token0, said.token1)
            and said.first_block <= origin.block_number <= said.last_block
        ]
        assert said.swaps == len(swaps)
        assert said.amount0 == sum(swap.amount0_in + swap.amount0_out for swap in swaps)
        assert said.amount1 == sum(swap.amount1_in + swap.amount1_out for swap in swaps)


def test_vwap_sums_each_pair_of_a_pool_of_three_coins() -> None:
    publisher, driver = Publisher(), Driver(made("vwap:Vwap", blocks=1), RING)
    for n, (head, _) in enumerate(pairs_of_three_coins()):
        publisher.event((swap_of(head, 10**n), EventOrigin(9, 0, 0, 0, n, bytes(32), bytes(32))))
    publisher.blocks([])
    end = [frame for frame in canonical_frames() if isinstance(parse(frame[2]).records[0], BlockEnd)][:1]
    drafts = [draft for frame in publisher.frames + end for draft in driver.deliver(*frame)]
    said = [record for draft in drafts for record in draft.records if isinstance(record, AveragePrice)]
    assert [(one.token0, one.token1, one.amount0, one.amount1, one.swaps) for one in said] == [
        (head[1], head[2], 10**n, 2 * 10**n, 1) for n, (head, _) in enumerate(pairs_of_three_coins())
    ]


def test_vwap_takes_removed_swaps_back() -> None:
    swaps = [event for event in canonical_events() if isinstance(event[0], PoolSwap)][:5]
    driver = Driver(made("vwap:Vwap", blocks=1), RING)
    publisher = Publisher()
    for event in swaps:
        publisher.event(event)
    for event in reversed(swaps):
        publisher.event(event, Flag.REMOVED)
    publisher.blocks([])
    end = [frame for frame in canonical_frames() if isinstance(parse(frame[2]).records[0], BlockEnd)][:1]
    assert [draft for frame in publisher.frames + end for draft in driver.deliver(*frame)] == []


def test_cross_venue_spread_says_only_what_two_fees_leave() -> None:
    strategy = made("cross_venue_spread:CrossVenueSpread")
    assert isinstance(strategy, CrossVenueSpread)
    driver, found = Driver(strategy, RING), 0
    for frame in canonical_frames():
        for draft in driver.deliver(*frame):
            (said,) = draft.records[1:]
            assert isinstance(said, VenueSpread) and said.spread_pips > 0
            cheap, dear = (strategy.book.get(pool) for pool in (said.cheap, said.dear))
            assert cheap is not None and dear is not None and cheap.current and dear.current
            (cheap0, cheap1), (dear0, dear1) = cheap.current.value[:2], dear.current.value[:2]
            kept = Fraction((10**6 - (cheap.fee_pips or 0)) * (10**6 - (dear.fee_pips or 0)), 10**12)
            exact = (Fraction(dear1, dear0) / Fraction(cheap1, cheap0) * kept - 1) * 10**6
            assert said.spread_pips == exact.__floor__()
            found += 1
    assert found > 0 and driver.poisoned == 0


def test_liquidity_watcher_says_the_share_of_each_mint_and_burn() -> None:
    reserves: dict[bytes, int] = {}
    expected = []
    for record, origin in canonical_events():
        if isinstance(record, PoolSync):
            reserves[record.pool] = record.reserve0
        elif isinstance(record, PoolMint | PoolBurn) and record.pool in reserves:
            change = record.amount0 if isinstance(record, PoolMint) else -record.amount0
            pips = record.amount0 * 10**6 // (reserves[record.pool] - change)
            if pips >= 1:
                amounts = (record.amount0, record.amount1)
                expected.append(
                    LiquidityChange(*amounts, pips if change > 0 else -pips, origin.block_number, record.pool)
                )
    found = all_of("liquidity_watcher:LiquidityWatcher", list(canonical_frames()), LiquidityChange)
    assert found == expected and len(found) > 3


@pytest.mark.parametrize("reference", EXAMPLES)
def test_example_forgets_what_it_may_not_know_and_refuses_parameters_that_it_has_not(reference: str) -> None:
    with pytest.raises(UsageError, match="threshold"):
        made(reference, threshold="x", threshold_pip=1)
    if reference.startswith("native"):
        return
    frames = list(canonical_frames())
    strategy = made(reference)
    driver = Driver(strategy, RING)
    for frame in frames[:200]:
        driver.deliver(*frame)
    driver.lose(201, 210)
    fresh = Driver(made(reference), RING)
    if reference.startswith("cross"):
        return  # fees stay known; only states are forgotten
    assert [driver.deliver(*frame) for frame in frames[210:]] == [fresh.deliver(*frame) for frame in frames[210:]]


def test_every_example_is_one_of_these() -> None:
    folder = Path(__file__).parents[3] / "consumers" / "examples"
    assert {path.stem for path in folder.glob("[a-z]*.py")} == {reference.partition(":")[0] for reference in EXAMPLES}
