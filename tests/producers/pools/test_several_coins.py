"""Pools of several coins through the whole feed: the Curve swaps of the recording."""

from __future__ import annotations

import msgspec
import pytest

from producers.chains.configuration import load_chain
from producers.context import Context
from producers.node.timers import Clock
from producers.pools.inquiry import Token
from producers.pools.verification import Verifier
from tests.producers.kinds.test_asked_kinds import AM_TOKENS, UNDERLYING_COINS
from tests.producers.pools.accounts import assert_every_event_log_is_accounted_for
from tests.producers.virtual import Conversation, new_feed
from tlv.codes import Protocol
from tlv.layout import EventOrigin, PoolCoin, PoolState, PoolSwap

POOL = "0x445fe580ef8d70ff569ab36e80c647af338db351"
BENEATH = UNDERLYING_COINS[POOL]


def test_curve_swaps_of_the_recording_are_published_with_the_coins_that_they_moved() -> None:
    conversation = Conversation(new_feed())
    conversation.connect()
    conversation.play()
    conversation.wait(60)
    swaps, introduced = {}, {}
    for message in conversation.story.messages:
        record, origin = message.records[0], message.first(EventOrigin)
        if getattr(record, "protocol", 0) != Protocol.CURVE:
            continue
        if isinstance(record, PoolSwap):
            assert origin is not None
            assert (record.token0, record.token1) in introduced, "its PoolState comes first"
            swaps[origin.block_number] = record
        elif isinstance(record, PoolState):
            introduced[record.token0, record.token1] = [r for r in message.records if isinstance(r, PoolCoin)]
    assert sorted(swaps) == [13522138, 13522213, 13522248]
    dai, _, usdt = (bytes.fromhex(coin[2:]) for coin in BENEATH)
    for number, paid, got in ((13522138, 0x263F786, 0x22C69C8E899ED73B7), (13522213, 0x302FB0D2, 0x2BCF31FAB12240F2E5)):
        swap = swaps[number]
        assert (swap.token0, swap.token1) == (dai, usdt) and swap.pool.hex() == POOL[2:]
        assert (swap.amount1_in, swap.amount0_out, swap.amount0_in, swap.amount1_out) == (paid, got, 0, 0)
    assert (swaps[13522248].token0.hex(), swaps[13522248].token1.hex()) == (AM_TOKENS[1][2:], AM_TOKENS[2][2:])
    told = [f"0x{coin.token.hex()}" for coin in introduced[dai, usdt]]
    assert told == list(BENEATH) and [coin.index for coin in introduced[dai, usdt]] == [0, 1, 2]
    assert [coin.symbol for coin in introduced[dai, usdt]] == ["DAI", "USDC", "USDT"]
    assert_every_event_log_is_accounted_for(conversation.feed.count())


@pytest.mark.parametrize("coin", ["00" * 20, "ee" * 20])
def test_what_stands_for_the_chains_own_coin_is_known_without_a_contract(coin: str) -> None:
    chain = msgspec.structs.replace(load_chain("polygon"), native_symbol="POL")
    tokens = Verifier(Context.of(chain, Clock()), {}).tokens
    assert tokens.questions(bytes.fromhex(coin)) == []
    assert tokens.known(bytes.fromhex(coin)) == Token(18, "POL")
