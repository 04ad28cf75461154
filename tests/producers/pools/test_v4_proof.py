"""Proof of Uniswap V4 pools: a key that hashes to the id, from the stream, the position manager, or a search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from eth_abi import encode
from eth_hash.auto import keccak

from producers.chains.configuration import Factory, load_chain
from producers.context import Context
from producers.kinds.kind import StateAnswer
from producers.kinds.proving import LogSearch, Standing
from producers.kinds.uniswap_v4 import INITIALIZE, PoolKey, charged, key_in, read_key, read_state, slot_of
from producers.node.rpc_types import Log
from producers.node.timers import Clock
from producers.pools.creations import MOST_QUESTIONS, Creations
from producers.pools.inquiry import Finding, Inquiry
from producers.pools.verification import Gain, Verifier
from tests.producers.pools.test_quarantine import block
from tlv.codes import Protocol

MANAGER, POSITIONS, HOOK = "0x" + "44" * 20, "0x" + "55" * 20, "0x" + "66" * 20
USDC = bytes.fromhex("a0b86991c6218b36c1d19d4a2e9eb0ce3606eb48")
NATIVE = bytes(20)
KEY = PoolKey(NATIVE, USDC, 500, 10, NATIVE)
ZERO_WORDS = "0x" + bytes(160).hex()
Answer = dict[str, Any]


def initialize_log(key: PoolKey, pool: bytes | None = None, address: str = MANAGER) -> Log:
    """As the manager logs the creation of a pool, under its id unless under another."""
    words = ["uint24", "int24", "address", "uint160", "int24"]
    topics = (INITIALIZE.topic0, *("0x" + word.rjust(32, b"\0").hex() for word in (pool or key.id, *key[:2])))
    data = encode(words, [key.fee, key.spacing, "0x" + key.hooks.hex(), 1 << 96, 0])
    return Log(address, topics, "0x" + data.hex(), block_number="0x5", log_index="0x0", block_hash="0x" + "11" * 32)


class Manager:
    """A node that knows a pool manager's logs and a position manager's keys."""

    def __init__(self, logs: Callable[[int, int], Answer], keys: Answer | None = None) -> None:
        self.logs, self.keys = logs, keys or {"result": ZERO_WORDS}
        self.ranges: list[tuple[int, int]] = []
        self.asked: list[str] = []

    def reply(self, frame: bytes) -> bytes:
        request = msgspec.json.decode(frame)
        what = request["params"][0]
        if request["method"] == "eth_getLogs":
            assert what["address"] == MANAGER and what["topics"] == [INITIALIZE.topic0, "0x" + KEY.id.hex()]
            first, last = int(what["fromBlock"], 16), int(what["toBlock"], 16)
            self.ranges.append((first, last))
            found = self.logs(first, last)
        elif what.get("to") == POSITIONS:
            self.asked.append(what["data"])
            found = self.keys
        elif what.get("to") == f"0x{USDC.hex()}":
            found = {"result": "0x" + (6).to_bytes(32, "big").hex()}
        else:
            self.asked.append(str(what))
            found = {"error": {"code": -32000, "message": "unsupported"}}
        return msgspec.json.encode({"jsonrpc": "2.0", "id": request["id"], **found})


def verified(
    node: Manager, *heard: Log, positions: str | None = POSITIONS, address: str = MANAGER, rounds: int = 9
) -> Finding | Standing:
    chain = load_chain("polygon")
    manager = Factory("UNISWAP_V3_POLYGON", "UNISWAP_V4", MANAGER, positions=positions)
    chain = msgspec.structs.replace(chain, factories=(*chain.factories, manager), native_symbol="POL")
    context = Context.of(chain, Clock())
    verifier = Verifier(context, {})
    inquiry = Inquiry(chain, address + KEY.id.hex(), (Protocol.UNISWAP_V4,))
    for log in heard:
        inquiry.hear(log)
    for _ in range(rounds):
        gains: list[Gain] = []
        verifier.ask([inquiry], block(), gains.extend)
        while frames := context.rpc.outgoing():
            for frame in frames:
                context.rpc.read(node.reply(frame))
        if inquiry.against() is not None or (inquiry.pool is not None and not gains[-1].progress):
            break
    if (against := inquiry.against()) is not None:
        return against.standing
    return inquiry.finding(verifier.tokens) if inquiry.pool is not None else Standing.UNKNOWN


def nothing(_first: int, _last: int) -> Answer:
    return {"result": []}


def created(first: int, last: int) -> Answer:
    return {"result": [_raw(initialize_log(KEY))] if first <= 5 <= last else []}


def _raw(log: Log) -> dict[str, Any]:
    return {
        "address": log.address,
        "topics": list(log.topics),
        "data": log.data,
        "blockNumber": log.block_number,
        "logIndex": log.log_index,
        "blockHash": log.block_hash,
        "transactionHash": "0x" + "22" * 32,
        "transactionIndex": "0x0",
    }


def assert_proven(found: Finding | Standing) -> None:
    assert isinstance(found, Finding) and found.pool is not None
    pool = found.pool
    assert (pool.pool, pool.token0, pool.token1) == (KEY.id, NATIVE, USDC)
    assert (pool.fee_pips, pool.tick_spacing, pool.hooks, pool.protocol) == (500, 10, NATIVE, Protocol.UNISWAP_V4)
    assert (found.token0.symbol, pool.decimals0, pool.decimals1) == ("POL", 18, 6)


def test_id_of_a_real_pool_is_the_hash_of_its_key() -> None:
    """ETH and USDC at 0.05 % on Ethereum."""
    assert KEY.id.hex() == "21c67e77068de97969ba93d4aab21826d33ca12bb9f565d8496e8fda8a82ca27"


def test_initialize_in_the_stream_proves_without_asking_the_manager() -> None:
    node = Manager(nothing)
    assert_proven(verified(node, initialize_log(KEY)))
    assert node.ranges == [] and node.asked == []


def test_key_of_the_position_manager_proves() -> None:
    node = Manager(nothing, {"result": "0x" + b"".join(_words(KEY)).hex()})
    assert_proven(verified(node))
    assert node.ranges == [] and node.asked == ["0x86b6be7d" + KEY.id[:25].hex() + "00" * 7]


def _words(key: PoolKey) -> list[bytes]:
    return [value.rjust(32, b"\0") for value in (*key[:2], *(n.to_bytes(32, "big") for n in key[2:4]), key.hooks)]


@pytest.mark.parametrize("positions", [None, POSITIONS])
def test_a_search_for_the_creation_proves(positions: str | None) -> None:
    node = Manager(created)
    assert_proven(verified(node, positions=positions))
    assert node.ranges == [(0, 16)]


def test_a_node_that_refuses_long_ranges_is_searched_downwards_in_short_ones() -> None:
    def refusing(first: int, last: int) -> Answer:
        if last - first >= 100:
            return {"error": {"code": -32005, "message": "query exceeds max block range 100"}}
        return created(first, last)

    node = Manager(refusing)
    assert_proven(verified(node))
    assert node.ranges == [(0, 16)]
    assert len(searched(Manager(refusing), 1_150)) == 2 + 12  # of all, of 1,000; then 1,150 down to 5


def searched(node: Manager, newest: int) -> list[tuple[int, int]]:
    """The ranges of a search from a block on, repeated until the log came up."""
    context = Context.of(load_chain("polygon"), Clock())
    creations, search = Creations(context), LogSearch(MANAGER, (INITIALIZE.topic0, "0x" + KEY.id.hex()))
    found: list[Log | None] = []
    while not any(found):
        before = len(node.ranges)
        creations.find(search, newest, found.append)
        while frames := context.rpc.outgoing():
            for frame in frames:
                context.rpc.read(node.reply(frame))
        assert len(node.ranges) - before <= MOST_QUESTIONS
    assert found[-1] is not None and found[-1].topics == initialize_log(KEY).topics
    return node.ranges


@pytest.mark.parametrize(
    "wrong",
    [
        KEY._replace(fee=501),
        KEY._replace(spacing=60),
        KEY._replace(hooks=bytes.fromhex(HOOK[2:])),
        KEY._replace(token1=bytes([9]) * 20),
    ],
)
def test_a_key_that_hashes_to_another_id_proves_nothing_and_does_not_stand_in_the_way(wrong: PoolKey) -> None:
    lie = initialize_log(wrong, KEY.id)
    keys = {"result": "0x" + b"".join(_words(wrong)).hex()}
    assert verified(Manager(nothing, keys), lie) is Standing.UNKNOWN
    assert verified(Manager(lambda *_: {"result": [_raw(lie)]}, keys), lie) is Standing.UNKNOWN
    assert_proven(verified(Manager(created, keys), lie))


def test_a_pool_of_unsorted_coins_is_none() -> None:
    unsorted = PoolKey(USDC, bytes([1]) * 20, 500, 10, NATIVE)
    inquiry = Inquiry(load_chain("polygon"), MANAGER + unsorted.id.hex(), (Protocol.UNISWAP_V4,))
    inquiry.hear(initialize_log(unsorted))
    inquiry.open_questions()
    assert inquiry.pool is None


def test_an_emitter_that_is_not_configured_is_asked_nothing() -> None:
    node = Manager(created)
    assert verified(node, initialize_log(KEY, address=HOOK), address=HOOK) is Standing.UNSUPPORTED
    assert node.ranges == [] and node.asked == []


@pytest.mark.parametrize(
    "log",
    [
        Log(MANAGER, (INITIALIZE.topic0,), "0x"),
        Log(MANAGER, (INITIALIZE.topic0, "0x" + KEY.id.hex(), "0x12", "0xzz"), "0x"),
        Log(MANAGER, (INITIALIZE.topic0,), None),
        Log(MANAGER, (INITIALIZE.topic0, *["0x" + "ff" * 32] * 3), "0x" + "ff" * 160),
    ],
)
def test_garbage_has_no_key(log: Log) -> None:
    assert key_in(log) is None


def test_words_that_no_key_has() -> None:
    good = [0, 5, 500, 10, 0]
    assert read_key(good) is not None
    for at, value in ((0, 1 << 160), (1, 1 << 160), (2, 1 << 24), (3, 1 << 15), (3, (1 << 256) - 1), (4, 1 << 160)):
        assert read_key([*good[:at], value, *good[at + 1 :]]) is None
    assert read_key(good[:4]) is None


def test_state_is_read_from_the_slots_with_the_fees_of_both_ways() -> None:
    first = 3000 << 208 | (1000 | 500 << 12) << 184 | ((1 << 24) - 7) << 160 | 1 << 96
    words = [32, 4, first, 1, 2, 8]
    assert read_state([words]) == StateAnswer(sqrt_price_x96=1 << 96, tick=-7, liquidity=8, fees=(3997, 3499))
    assert charged(1_000_000, 1000) == (1_000_000, 1_000_000) and charged(0, 7 << 12) == (0, 7)
    for wrong in (
        words[:-1],
        [64, *words[1:]],
        [32, 5, *words[2:]],
        [32, 4, first, 1, 2, 1 << 128],
        [32, 4, first | 1 << 232, 1, 2, 8],
        [32, 4, first | 0xFFFFFF << 208, 1, 2, 8],
        [],
    ):
        assert read_state([wrong]) is None


def test_slot_of_a_pool_is_that_of_the_managers_mapping() -> None:
    assert slot_of(KEY.id) == int.from_bytes(keccak(encode(["bytes32", "uint256"], [KEY.id, 6])), "big")
