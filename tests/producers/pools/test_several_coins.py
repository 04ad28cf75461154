"""Pools of several coins through the whole feed: a recording's Curve swaps, once its registry answers."""

from __future__ import annotations

import msgspec

from producers.node.call_program import Question
from tests.producers.kinds.proofs import Said
from tests.producers.kinds.test_asked_kinds import AM_TOKENS, UNDERLYING_COINS, listing
from tests.producers.pools.accounts import assert_every_event_log_is_accounted_for
from tests.producers.virtual import Conversation, new_feed, recording
from tlv.codes import Protocol
from tlv.layout import EventOrigin, PoolCoin, PoolState, PoolSwap
from tools.recording.core import NodeCore

REGISTRY = "0x094d12e5b541784701fd8d65f11fc0598fbc6332"
POOL = "0x445fe580ef8d70ff569ab36e80c647af338db351"
BENEATH = UNDERLYING_COINS[POOL]


class WithRegistry(NodeCore):
    """The recording's node, which also knows what Curve's registry and its only pool say."""

    said = Said(
        {
            (REGISTRY, ("get_coins(address)", POOL)): listing("address[8]", AM_TOKENS),
            (REGISTRY, ("get_underlying_coins(address)", POOL)): listing("address[8]", BENEATH),
            **{(POOL, ("coins(uint256)", at)): (("address",), (coin,)) for at, coin in enumerate(AM_TOKENS)},
        }
    )

    def receive(self, frame: bytes | str, client: int | None = None) -> bytes | None:
        """Answer for the two contracts; the rest is the recording's."""
        request = msgspec.json.decode(frame)
        if request["method"] == "eth_call" and request["params"][0].get("to") in (REGISTRY, POOL):
            answer = self.said(Question(request["params"][0]["to"], request["params"][0]["data"]))
            if isinstance(answer, str):
                return msgspec.json.encode({"jsonrpc": "2.0", "id": request["id"], "result": answer})
        return super().receive(frame, client)


def test_curve_swaps_of_the_recording_are_published_with_the_coins_that_they_moved() -> None:
    conversation = Conversation(new_feed())
    conversation.core = WithRegistry(recording())
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
