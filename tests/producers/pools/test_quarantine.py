"""Proof of pools and the quarantine in front of it, against the recording node's proven answers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from eth_abi import encode

from producers.blocks.block import Block
from producers.chains.configuration import load_chain
from producers.context import Context
from producers.kinds.proving import Standing
from producers.node.rpc_types import Head
from producers.node.timers import Clock
from producers.node.view_calls import SYMBOL_BYTES, read_address, read_decimals, read_symbol, read_word
from producers.pools.inquiry import Finding, Inquiry, Token
from producers.pools.verification import MOST_ALONE, USUAL_QUESTIONS, Gain, Verifier
from tests.producers.pools.accounts import assert_every_event_log_is_accounted_for
from tests.producers.virtual import Conversation, new_feed, recording
from tlv.codes import Flag, Protocol, Venue
from tlv.fields import Text20
from tlv.layout import PoolState, Unproven
from tools.recording.chain import VisibleChain
from tools.recording.queries import Queries
from tools.recording.rpc import answer

QUICKSWAP_POOL = "0x853ee4b2a13f8a742d64c8f088be7ba2131f670d"
V3_POOL = "0x50eaedb835021e4a108b7290636d62e9765cc6d7"
WETH = "0x7ceb23fd6bc0add59e62ac25578270cff1b9f619"
USDC = "0x2791bca1f2de4661ed88a30c99a7a9449aa84174"
V2, V3 = (Protocol.UNISWAP_V2,), (Protocol.UNISWAP_V3, Protocol.ALGEBRA)


class Node:
    """The recording's eth_call, with answers of our own in front."""

    def __init__(self, **answers: Any) -> None:
        chain = VisibleChain(recording().blocks, recording().first_head)
        self._queries = Queries(recording(), chain)
        self._answers = answers
        self.asked: list[str] = []

    def reply(self, frame: bytes) -> bytes:
        request = msgspec.json.decode(frame)
        call = request["params"][0]
        if "to" not in call:
            return msgspec.json.encode({"id": request["id"], **NO_PROGRAMS})
        self.asked.append(call["data"])
        key = f"a{call['to'][2:]}_{call['data'][2:]}"
        if key in self._answers:
            return msgspec.json.encode({"id": request["id"], **self._answers[key]})
        found = answer(frame, self._queries.answer)
        assert found is not None
        return found


def block() -> Block:
    return Block(Head(number="0x10", hash="0x" + "11" * 32, parent_hash="0x" + "22" * 32, timestamp="0x1"))


def verified(address: str, protocols: tuple[Protocol, ...], node: Node | None = None) -> Finding | Standing:
    """What the answers prove, once asking goes on without bringing anything: UNKNOWN if they prove nothing."""
    node, context = node or Node(), Context.of(load_chain("polygon"), Clock())
    verifier, inquiry = Verifier(context, {}), Inquiry(context.chain, address, protocols)
    gains: list[Gain] = []
    while not gains or gains[-1].progress:
        verifier.ask([inquiry], block(), gains.extend)
        while frames := context.rpc.outgoing():
            for frame in frames:
                context.rpc.read(node.reply(frame))
        if (against := inquiry.against()) is not None:
            return against.standing
    return inquiry.finding(verifier.tokens) if inquiry.pool is not None else Standing.UNKNOWN


def error(message: str, code: int = -32000) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def result(types: list[str], values: list[Any]) -> dict[str, Any]:
    return {"result": "0x" + encode(types, values).hex()}


TOKEN0, TOKEN1, FACTORY, DECIMALS, SYMBOL = "0dfe1681", "d21220a7", "c45a0155", "313ce567", "95d89b41"
FEE, TICK_SPACING = "ddca3f43", "d0c93a7c"


def test_verifier_proves_a_v2_pair_without_asking_for_its_factory() -> None:
    node = Node()
    finding = verified(QUICKSWAP_POOL, V2, node)
    assert isinstance(finding, Finding)
    pool = finding.pool
    assert pool is not None
    assert (pool.token0.hex(), pool.token1.hex()) == (USDC[2:], WETH[2:])
    assert (pool.venue, pool.fee_pips, pool.decimals0, pool.decimals1) == (Venue.QUICKSWAP_V2, 3000, 6, 18)
    assert (finding.token0.symbol, finding.token1.symbol) == ("USDC", "ETH")
    assert f"0x{FACTORY}" not in node.asked


def test_verifier_of_a_node_without_programs_has_room_for_what_half_of_its_requests_carry() -> None:
    context = Context.of(load_chain("polygon"), Clock())
    verifier = Verifier(context, {})
    assert verifier.room(1) == MOST_ALONE // USUAL_QUESTIONS
    verifier.ask([Inquiry(context.chain, V3_POOL, V3)], block(), lambda gains: None)
    under_way = len(context.rpc.outgoing())
    assert 1 < under_way < MOST_ALONE
    assert verifier.room(1) == (MOST_ALONE - under_way) // USUAL_QUESTIONS


def test_verifier_proves_a_v3_pool_with_its_fee() -> None:
    finding = verified(V3_POOL, V3)
    assert isinstance(finding, Finding) and finding.pool is not None
    assert (finding.pool.venue, finding.pool.fee_pips, finding.pool.tick_spacing) == (Venue.UNISWAP_V3_POLYGON, 500, 10)


def test_verifier_told_other_tokens_does_not_believe_the_emitter() -> None:
    """A contract that names tokens of a real pair computes to that pair's address, not to its own."""
    imposter = "0x" + "ab" * 20
    answers = {
        f"a{imposter[2:]}_{TOKEN0}": result(["address"], [USDC]),
        f"a{imposter[2:]}_{TOKEN1}": result(["address"], [WETH]),
        f"a{imposter[2:]}_{FACTORY}": result(["address"], [load_chain("polygon").factories[0].address]),
    }
    assert verified(imposter, V2, Node(**answers)) is Standing.FALSE
    elsewhere = {**answers, f"a{imposter[2:]}_{FACTORY}": result(["address"], ["0x" + "cd" * 20])}
    assert verified(imposter, V2, Node(**elsewhere)) is Standing.UNSUPPORTED


REVERT, PRUNED = error("execution reverted", 3), error("missing trie node 00 (path )")
OUT_OF_RANGE = error("BlockOutOfRangeError: block height is 152 but requested was 154", -32602)
NO_PROGRAMS = {"error": {"code": -32602, "message": "missing value for required argument 0"}}
NOTHING, ZERO, NO_ADDRESS = {"result": "0x"}, {"result": "0x" + "00" * 32}, {"result": "0x" + "ff" * 32}
FALSE, UNKNOWN = Standing.FALSE, Standing.UNKNOWN


@pytest.mark.parametrize(
    ("said", "standing"),
    [
        (REVERT, FALSE),
        (NO_ADDRESS, FALSE),
        (PRUNED, UNKNOWN),
        (error("execution aborted (timeout = 5s)"), UNKNOWN),
        (NOTHING, UNKNOWN),
        (ZERO, UNKNOWN),
        ({"result": "0xzz"}, UNKNOWN),
        (OUT_OF_RANGE, UNKNOWN),
        (error("header not found"), UNKNOWN),
        (error("internal error", -32603), UNKNOWN),
        ({"result": 7}, UNKNOWN),
        ({"result": None}, UNKNOWN),
    ],
)
@pytest.mark.parametrize("call", [TOKEN0, TOKEN1])
def test_verifier_with_a_token_it_cannot_use_judges_by_words_and_reverts_only(
    call: str, said: dict[str, Any], standing: Standing
) -> None:
    assert verified(QUICKSWAP_POOL, V2, Node(**{f"a{QUICKSWAP_POOL[2:]}_{call}": said})) is standing


@pytest.mark.parametrize("said", [NOTHING, OUT_OF_RANGE, PRUNED])
def test_verifier_without_a_fee_does_not_judge_a_v3_pool_false(said: dict[str, Any]) -> None:
    assert verified(V3_POOL, V3, Node(**{f"a{V3_POOL[2:]}_{FEE}": said})) is UNKNOWN


@pytest.mark.parametrize("said", [NOTHING, ZERO, OUT_OF_RANGE])
def test_verifier_without_a_factory_does_not_judge_false(said: dict[str, Any]) -> None:
    imposter = "ab" * 20
    answers = {
        f"a{imposter}_{TOKEN0}": result(["address"], [USDC]),
        f"a{imposter}_{TOKEN1}": result(["address"], [WETH]),
    }
    assert verified("0x" + imposter, V2, Node(**answers, **{f"a{imposter}_{FACTORY}": said})) is UNKNOWN


def made_up(protocol: Protocol, fee: int) -> tuple[str, dict[str, Any]]:
    """The pool that a configured factory makes for USDC and WETH at this fee, and what it says of itself."""
    factory = next(factory for factory in load_chain("polygon").factories if factory.protocol_code is protocol)
    address = factory.pool_address(bytes.fromhex(USDC[2:]), bytes.fromhex(WETH[2:]), fee)
    said = {TOKEN0: result(["address"], [USDC]), TOKEN1: result(["address"], [WETH]), FEE: result(["uint256"], [fee])}
    return "0x" + address.hex(), {f"a{address.hex()}_{call}": answer for call, answer in said.items()}


@pytest.mark.parametrize(
    ("protocol", "fee", "spacing"),
    [
        (Protocol.UNISWAP_V3, 100, 1),
        (Protocol.UNISWAP_V3, 500, 10),
        (Protocol.UNISWAP_V3, 3000, 60),
        (Protocol.UNISWAP_V3, 10_000, 200),
        (Protocol.UNISWAP_V2, 0, 0),
    ],
)
def test_verifier_does_not_ask_for_a_tick_spacing_that_the_fee_tells(
    protocol: Protocol, fee: int, spacing: int
) -> None:
    address, answers = made_up(protocol, fee)
    node = Node(**answers)
    finding = verified(address, (protocol,), node)
    assert isinstance(finding, Finding) and finding.pool is not None and finding.pool.tick_spacing == spacing
    assert f"0x{TICK_SPACING}" not in node.asked


@pytest.mark.parametrize("protocol", [Protocol.UNISWAP_V3, Protocol.ALGEBRA])
@pytest.mark.parametrize(
    ("said", "spacing"),
    [
        (result(["int24"], [50]), 50),
        (result(["int24"], [(1 << 15) - 1]), (1 << 15) - 1),
        (result(["int24"], [1 << 15]), 0),
        (result(["int24"], [-1]), 0),
        (REVERT, 0),
    ],
)
def test_verifier_asks_for_another_tick_spacing_and_believes_what_is_one(
    protocol: Protocol, said: dict[str, Any], spacing: int
) -> None:
    address, answers = made_up(protocol, 2500)
    finding = verified(address, V3, Node(**answers, **{f"a{address[2:]}_{TICK_SPACING}": said}))
    assert isinstance(finding, Finding) and finding.pool is not None
    assert (finding.pool.protocol, finding.pool.tick_spacing) == (protocol, spacing)


@pytest.mark.parametrize("said", [NOTHING, OUT_OF_RANGE, PRUNED])
def test_verifier_without_a_tick_spacing_does_not_publish_the_pool(said: dict[str, Any]) -> None:
    address, answers = made_up(Protocol.UNISWAP_V3, 2500)
    assert verified(address, V3, Node(**answers, **{f"a{address[2:]}_{TICK_SPACING}": said})) is UNKNOWN


def test_verifier_with_a_token_that_says_nothing_leaves_it_open() -> None:
    finding = verified(QUICKSWAP_POOL, V2, Node(**{f"a{USDC[2:]}_{DECIMALS}": NOTHING}))
    assert isinstance(finding, Finding) and not finding.settled
    assert finding.token0 == Token(255, "USDC", settled=False)


def test_verifier_with_a_token_that_reverts_takes_that_for_an_answer() -> None:
    finding = verified(QUICKSWAP_POOL, V2, Node(**{f"a{USDC[2:]}_{DECIMALS}": error("execution reverted", 3)}))
    assert isinstance(finding, Finding) and finding.settled
    assert finding.token0 == Token(255, "USDC")
    assert finding.pool is not None and finding.pool.decimals0 == 255


@pytest.mark.parametrize(
    ("answer", "symbol"),
    [
        ("0x" + encode(["string"], ["USDC"]).hex(), "USDC"),
        ("0x" + b"MKR".ljust(32, b"\0").hex(), "MKR"),
        ("0x" + encode(["string"], ["A" * 4100]).hex(), ""),
        ("0x" + encode(["string"], ["A" * 500]).hex(), "A" * SYMBOL_BYTES),
        ("0x" + encode(["string"], ["\x1b[31mred\x07\n\u202e"]).hex(), "[31mred"),
        ("0x" + encode(["string"], ["ééééééééééé"]).hex(), "é" * 10),
        ("0x" + encode(["string"], ["aéééééééééé"]).hex(), "a" + "é" * 9),
        ("0x" + encode(["bytes"], [b"\xff\xfeX"]).hex(), "X"),
        ("0x" + encode(["string"], ["\u05d0USD\u0661C"]).hex(), "USDC"),
        ("0x" + encode(["string"], ["U\u200bS\u3164D\ufe0fC"]).hex(), "USDC"),
        ("0x" + encode(["string"], ["Z" + "\u0301" * 30]).hex(), "Z\u0301\u0301"),
        ("0x" + encode(["string"], ["\u0301\u0301"]).hex(), ""),
        ("0x" + encode(["string"], ["A" * 19 + " B"]).hex(), "A" * 19),
        ("0x" + encode(["string"], ["A" * 10_000]).hex(), ""),
        ("0x" + b"\x1b[2J\xe2\x80\xaeMKR".ljust(32, b"\0").hex(), "[2JMKR"),
        ("0x" + f"{32:064x}{1 << 255:064x}" + b"USDC".hex().ljust(64, "0"), "USDC"),
        ("0x" + f"{1 << 255:064x}{4:064x}" + b"USDC".hex().ljust(64, "0"), ""),
        ("0x" + "ff" * 64, ""),
        ("0x" + "00" * 31 + "20" + "ff" * 32, ""),
        ("0x", ""),
        ("0xzz", ""),
        (None, ""),
    ],
)
def test_symbol_is_printable_and_short_whatever_the_token_says(answer: str | None, symbol: str) -> None:
    found = read_symbol(answer)
    assert found == symbol
    text = Text20.__metadata__[0]  # type: ignore[attr-defined]
    assert text.decode(text.encode(found)) == found


def test_numbers_of_contracts_are_read_strictly() -> None:
    assert read_word("0x" + "00" * 31 + "07") == 7
    assert read_word("0x07") is None
    assert read_decimals("0x" + f"{18:064x}") == 18
    assert read_decimals("0x" + f"{300:064x}") == read_decimals("0x" + f"{18:064x}" * 2) == read_decimals("0x12") == 255
    assert read_decimals("0x" + f"{254:064x}") == 254
    assert read_decimals("0x" + f"{255:064x}") == read_decimals("0x" + "ff" * 32) == read_decimals(None) == 255
    assert read_address("0x" + "00" * 12 + "ab" * 20) == bytes.fromhex("ab" * 20)
    assert read_address("0x" + "01" + "00" * 11 + "ab" * 20) is None


def test_feed_introduces_every_pool_before_its_first_event() -> None:
    conversation = Conversation(new_feed())
    conversation.connect()
    conversation.play()
    states = [
        message.records[0]
        for message in conversation.story.messages
        if isinstance(message.records[0], PoolState) and message.header.flags & Flag.SNAPSHOT
    ]
    known = {(state.pool, state.token0, state.token1): state for state in states if isinstance(state, PoolState)}
    # 40 of QuickSwap, nine of Dfyn, seven of Cometh, five of Elk, and two pairs of coins of the one Curve pool.
    assert len(known) == conversation.feed.count().pools == 63
    usdc_eth = next(state for (pool, *_), state in known.items() if pool.hex() == QUICKSWAP_POOL[2:])
    assert (usdc_eth.symbol0, usdc_eth.symbol1, usdc_eth.fee_pips) == ("USDC", "ETH", 3000)
    assert usdc_eth.block_number == 0  # identity only: no reserves are claimed


def test_feed_publishes_nothing_of_unproven_emitters_and_declares_and_counts_them() -> None:
    conversation = Conversation(new_feed())
    conversation.connect()
    conversation.play()
    statistics = conversation.feed.count()
    # 111 logs with an event's topic are of unproven emitters in canonical blocks, 2 in orphaned ones.
    # 14 of the lookalikes are Aave's Burn, which has the topic of Velodrome's.
    assert statistics.lookalikes == 95
    # 18 are of pools of which nobody knows the factory, or the tokens: 3 swaps, 2 mints, 13 syncs.
    assert statistics.quarantined_logs == 18
    # None is of a pool whose factory is known, and not configured.
    assert statistics.unsupported_logs == 111 + 2 - 95 - 18 == 0
    assert_every_event_log_is_accounted_for(statistics)
    declared = {record.emitter: record.held_back for record in conversation.records(Unproven)}
    assert declared and all(declared.values())
    assert conversation.feed.settled
