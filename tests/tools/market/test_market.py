"""A market on a real node: what its traders do, that it can be made again, and that it is worth looking at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from random import Random

import pytest

from tools.market.cycles import RoundTrip, best_chance, other_token, round_trips
from tools.market.market import FIRST_REORG, Market
from tools.market.place import NODE_OPTIONS, TRADERS, Depth, MarketPool
from tools.market.plan import COIN, FIRST, MOST_POOLS, TOKENS, planned_pools
from tools.market.traders import DEFAULT_RATES
from tools.rig.evm.node import Node

GENESIS = 1_700_000_000
BLOCKS = 40
QUIET = dict.fromkeys(TRADERS, 0)


@contextmanager
def market(
    seed: int = 1, pools: int = 12, rates: dict[str, int] | None = None, reorgs: bool = True
) -> Iterator[Market]:
    with Node(*NODE_OPTIONS, "--timestamp", str(GENESIS)) as node:
        node.rpc("anvil_setBlockTimestampInterval", 0)
        yield Market(node.rpc, planned_pools(pools), seed, DEFAULT_RATES if rates is None else rates, reorgs=reorgs)


def play(found: Market, blocks: int) -> str:
    for number in range(1, blocks + 1):
        found.make_block(GENESIS + 2 * number)
    return found.head()


def test_plan_has_three_decimals_triangles_and_no_pool_twice() -> None:
    assert {token.decimals for token in TOKENS} == {6, 8, 18}
    every = planned_pools(MOST_POOLS + 1)
    assert len(every) == MOST_POOLS
    assert len({(pool.venue, frozenset(pool.pair), pool.fee_pips) for pool in every}) == MOST_POOLS
    assert tuple(planned_pools(len(FIRST))) == FIRST
    assert all(COIN in pool.pair for pool in planned_pools(2)), "two pools of one pair: the least that has a round trip"


def test_market_of_a_seed_and_times_is_the_same_to_the_last_hash_and_another_seeds_is_not() -> None:
    heads = []
    for seed in (7, 7, 8):
        with market(seed) as found:
            heads.append((play(found, BLOCKS), found.trading))
    assert heads[0] == heads[1]
    assert heads[2][0] != heads[0][0]


def test_every_kind_of_trader_acts_and_no_transaction_fails() -> None:
    with market(3) as found:
        first, depths = found.height, found.place.depths(found.place.pools)
        play(found, BLOCKS)
        sent, failed = dict.fromkeys(found.place.traders.values(), 0), 0
        for number in range(first + 1, found.height + 1):
            block = found.rpc("eth_getBlockByNumber", hex(number), False)
            for receipt in found.rpc.batch("eth_getTransactionReceipt", [(one,) for one in block["transactions"]]):
                sent[receipt["from"]] += 1
                failed += receipt["status"] != "0x1"
        moved = found.place.depths(found.place.pools)
        assert found.height == first + BLOCKS
    assert failed == 0
    assert min(sent.values()) > 0
    assert found.trading.transactions.total() >= sum(sent.values()) > 2 * BLOCKS
    assert all(before != after for before, after in zip(depths, moved, strict=True)), "no pool is left alone"


def test_reorg_comes_early_and_leaves_one_traders_transactions_out() -> None:
    with market(3) as found:
        play(found, FIRST_REORG)
        hashes = {number: block_hash(found, number) for number in range(found.height - 3, found.height + 1)}
        nonces = {account: found.place.nonce(account) for account in found.place.traders.values()}
        height = found.height
        found.make_block(GENESIS + 2 * FIRST_REORG + 2)
        assert found.height == height + 1
        replaced = [number for number, seen in hashes.items() if block_hash(found, number) != seen]
        depth = found.trading.dropped_blocks
        assert replaced == list(range(height - depth + 1, height + 1))
        kept = found.rpc("eth_getBlockByNumber", hex(height), True)["transactions"]
        assert found.trading.reorgs == 1
        assert any(found.place.nonce(account) < nonces[account] for account in nonces) or not kept


def block_hash(found: Market, number: int) -> str:
    return str(found.rpc("eth_getBlockByNumber", hex(number), False)["hash"])


def test_market_without_reorgs_replaces_nothing() -> None:
    with market(3, reorgs=False) as found:
        play(found, FIRST_REORG + 5)
        assert found.trading.reorgs == found.trading.dropped_blocks == 0


def test_nobody_trades_where_nobody_may() -> None:
    with market(3, rates=QUIET) as found:
        depths = found.place.depths(found.place.pools)
        play(found, 5)
        assert found.trading.transactions.total() == 0
        assert found.place.depths(found.place.pools) == depths


def test_arbitrage_really_earns_what_it_expects() -> None:
    """The account holds that much more of the coin behind its own transactions, which nobody is before."""
    with market(5, pools=2, rates=QUIET | {"noise": 8}, reorgs=False) as found:
        place = found.place
        account, coin = place.traders["arbitrage"], place.coin
        taken = 0
        for turn in range(12):
            found.make_block(GENESIS + 4 * turn + 2)
            depths = place.depths(place.pools)
            chances = [best_chance(trip, place.pools, depths) for trip in round_trips(place.pools, coin)]
            best = max((one for one in chances if one is not None), key=lambda one: one.earned, default=None)
            if best is None:
                continue
            before, sent, held = place.holding(coin, account), [], coin
            for number, amount in zip(best.trip.pools, best.amounts, strict=False):
                sent.append(place.swap(account, place.pools[number], held, amount))
                held = other_token(place.pools[number], held)
            place.submit(sent)
            found.make_empty_block(GENESIS + 4 * turn + 4)
            earned = place.holding(coin, account) - before
            assert earned == pytest.approx(best.earned, rel=1e-4), "but for the last digits of floats"
            taken += 1
        assert taken >= 4


def test_best_amount_of_a_round_trip_is_the_best_of_all() -> None:
    """Against every whole amount that could be the best, on small pools of two and three legs."""
    with market(1, pools=12, rates=QUIET) as found:
        pools, coin = found.place.pools, found.place.coin
    rng = Random(4)
    trips = round_trips(pools, coin)
    assert {len(trip.pools) for trip in trips} == {2, 3}
    found_any = 0
    for _ in range(60):
        depths = [Depth(rng.randint(10**9, 10**10), rng.randint(10**9, 10**10)) for _ in pools]
        trip = rng.choice(trips)
        chance = best_chance(trip, pools, depths)
        amounts = [chance.amounts[0] * step // 50 for step in range(1, 100)] if chance else [10**k for k in range(9)]
        outcomes = [earned_of(trip, depths, pools, amount) for amount in amounts]
        if chance is None:
            assert max(outcomes) <= 2
        else:
            found_any += 1
            assert max(outcomes) <= chance.earned + 2
    assert found_any >= 10


def earned_of(trip: RoundTrip, depths: list[Depth], pools: list[MarketPool], amount: int) -> int:
    held, token = amount, trip.token
    for number in trip.pools:
        x, y = depths[number].facing(pools[number], token)
        share = (10**6 - (pools[number].plan.fee_pips)) * held
        held = y * share // (x * 10**6 + share)
        token = other_token(pools[number], token)
    return held - amount


def test_round_trip_through_an_empty_pool_earns_nothing() -> None:
    with market(1, pools=2, rates=QUIET) as found:
        place = found.place
        trip = RoundTrip((0, 1), place.coin)
        empty, full = Depth(0, 0), Depth(10**9, 10**9)
        for depths in ([empty, full], [full, empty], [empty, empty]):
            assert best_chance(trip, place.pools, depths) is None


def test_largest_market_trades_too() -> None:
    with market(2, pools=MOST_POOLS) as found:
        play(found, 3)
        assert found.trading.transactions.total() > 0
        assert len({pool.address for pool in found.place.pools}) == MOST_POOLS


@pytest.mark.parametrize("pools", [2, 12])
def test_prices_of_one_pair_begin_alike(pools: int) -> None:
    with market(2, pools=pools, rates=QUIET) as found:
        place = found.place
        prices: dict[tuple[str, str], list[float]] = {}
        for pool, depth in zip(place.pools, place.depths(place.pools), strict=True):
            prices.setdefault((pool.token0.address, pool.token1.address), []).append(depth.reserve0 / depth.reserve1)
    for of_pair in prices.values():
        assert all(abs(one / other - 1) < 1e-4 for one, other in pairwise(of_pair))
