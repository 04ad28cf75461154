"""What readers are told of a pool before its first event."""

from __future__ import annotations

from producers.decode.pool_table import PoolTable
from producers.node.timers import Clock
from producers.output.introductions import Introductions
from producers.output.outbox import Outbox
from producers.pools.inquiry import Token
from tests.producers.collected import proven_pools
from tlv.codes import Source
from tlv.layout import PoolCoin, PoolState
from tlv.message import parse


def test_pool_is_introduced_once_with_zeros_for_what_it_holds_until_all_are_forgotten() -> None:
    table = PoolTable(list(proven_pools().values())[:1])
    outbox = Outbox(Source.POLYGON_COLLECTOR, Clock(), table, 1)
    introductions = Introductions(outbox, table, {})
    assert (introductions.introduce([0]), introductions.introduce([0])) == ([0], [])
    (message,) = outbox.take()
    assert isinstance(message, bytes)
    state = parse(message).first(PoolState)
    assert state is not None and state.pool == introductions.pool(0).pool
    held = (state.reserve0, state.reserve1, state.sqrt_price_x96, state.liquidity, state.tick, state.block_number)
    assert held == (0, 0, 0, 0, 0, 0)
    introductions.forget()
    assert introductions.introduce([0]) == [], "known before"
    assert len(outbox.take()) == 1


def test_pool_of_several_coins_is_followed_by_all_of_them_as_it_counts_them() -> None:
    table = PoolTable(list(proven_pools().values())[:1])
    outbox = Outbox(Source.POLYGON_COLLECTOR, Clock(), table, 1)
    coins = tuple(bytes([number]) * 20 for number in (7, 5, 6))
    table.coins[0] = coins
    Introductions(outbox, table, {coins[1]: Token(6, "SIX")}).introduce([0])
    (message,) = outbox.take()
    assert isinstance(message, bytes)
    first, *others = parse(message).records
    assert isinstance(first, PoolState)
    assert others == [
        PoolCoin(coins[0], "", 0, 255),
        PoolCoin(coins[1], "SIX", 1, 6),
        PoolCoin(coins[2], "", 2, 255),
    ]


def test_fee_is_that_of_a_row_whatever_names_its_pool() -> None:
    table, pool = PoolTable(), next(iter(proven_pools().values()))
    rows = [table.add(pool, f"0x{pool.pool.hex()}{coins}") for coins in ("1" * 80, "2" * 80)]
    introductions = Introductions(Outbox(Source.POLYGON_COLLECTOR, Clock(), table, 1), table, {})
    introductions.set_fee(rows[1], 777)
    assert [introductions.pool(row).fee_pips for row in rows] == [pool.fee_pips, 777] and pool.fee_pips != 777
    assert len(table) == len(table.rows) == 2
