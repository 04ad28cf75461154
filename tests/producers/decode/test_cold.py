"""The table of events and the readable decoder, against eth-abi and against an independent decoding."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from eth_abi import encode

from producers.decode.cold import Refusal, RefusedLog, decode_log, identify, origin_of
from producers.decode.pool_table import VerifiedEmitter, unverified
from producers.kinds.events import EVENT_OF_TOPIC, EVENTS, Role
from producers.node.rpc_types import Head, Log
from tests.producers.decode import abi_oracle
from tests.producers.decode.abi_oracle import BUNDLED, EVENTS_IN_FILE, LOG_FILES, ROOT, as_log, expected, rows, value_of
from tests.producers.decode.coin_rows import row_of_coins
from tlv.codes import Protocol, Venue
from tlv.layout import PoolCreated, PoolState, PoolSwap

V2_SWAP, V3_SWAP, SYNC = (
    "0xd78ad95fa46c994b6551d0da85fc275fe613ce37657fb8d5e3d130840159d822",
    "0xc42079f94a6350d7e6235f29174924f928cc2ac818eb64fed8004e115fbcca67",
    "0x1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1",
)
ADDRESS = "0x" + "11" * 20
POOL = VerifiedEmitter(
    b"\x11" * 20,
    b"\x22" * 20,
    b"\x33" * 20,
    Venue.QUICKSWAP_V2,
    18,
    6,
    factory=b"\x44" * 20,
    protocol=Protocol.UNISWAP_V2,
)


def word(value: int) -> str:
    return f"{value % (1 << 256):064x}"


def log_of(topic0: str, indexed: list[int], words: list[int], **members: Any) -> Log:
    topics = (topic0, *("0x" + word(value) for value in indexed))
    return Log(ADDRESS, topics, "0x" + "".join(map(word, words)), **members)


def refusal_of(log: Log, pool: VerifiedEmitter | None = None) -> Refusal:
    with pytest.raises(RefusedLog) as refused:
        decode_log(log, pool)
    return refused.value.refusal


def test_events_topics_are_those_of_the_deployed_contracts() -> None:
    assert set(EVENT_OF_TOPIC) == set(abi_oracle.EVENTS)
    for topic0, event in EVENT_OF_TOPIC.items():
        family, name, indexed, _, words, _ = abi_oracle.EVENTS[topic0]
        assert (event.protocols[0].name.lower(), event.name) == (family, name)
        assert [argument.type for argument in event.indexed] == indexed
        assert [argument.type for argument in event.words] == words


def test_events_algebra_shares_every_pool_event_of_v3_and_no_factory_event() -> None:
    for event in EVENTS:
        if Protocol.UNISWAP_V3 in event.protocols:
            assert (Protocol.ALGEBRA in event.protocols) == (event.role is Role.POOL)


@pytest.mark.parametrize(("name", "events"), list(zip(LOG_FILES, EVENTS_IN_FILE, strict=True)))
def test_decode_log_every_bundled_log_agrees_with_eth_abi(name: str, events: int) -> None:
    decoded = 0
    for raw in rows(BUNDLED / name):
        decoded += agrees_with_eth_abi(raw)
    assert decoded == events


def test_decode_log_every_edge_case_agrees_with_eth_abi() -> None:
    assert sum(agrees_with_eth_abi(row["log"]) for row in rows(ROOT / "tests/data/edge_cases.jsonl.gz")) == 22


def agrees_with_eth_abi(raw: dict[str, Any]) -> bool:
    """Compare one log; whether it is an event at all."""
    oracle, log = expected(raw), as_log(raw)
    try:
        record = decode_log(log, row_of_coins(log))
    except RefusedLog as refused:
        assert oracle is None, refused
        return False
    assert oracle is not None, record
    for field, value in oracle[2].items():
        index = field.startswith("coin") and isinstance(value, int)
        assert value_of(record, field) == (value.to_bytes(20, "big") if index else value), (field, raw)
    if "pool" not in oracle[2]:
        assert record.pool.hex() == raw["address"][2:]
    return True


def test_decode_log_v3_day_agrees_with_an_independent_decoding() -> None:
    ours = rows(BUNDLED / "ethereum/univ3_usdc_weth_500_2024-01-05_logs.jsonl.gz")
    theirs = rows(BUNDLED / "ethereum/univ3_usdc_weth_500_2024-01-05_decoded.jsonl.gz")
    by_identity = {(row["transactionHash"], row["logIndex"]): row for row in theirs}
    agreed = 0
    for raw in ours:
        row = by_identity.pop((raw["transactionHash"], raw["logIndex"]))
        log = as_log(raw)
        record: Any = decode_log(log)
        assert identify(log).name == row["type"].lower()
        assert str(value_of(record, "amount0")) == row["amount0"]
        assert str(value_of(record, "amount1")) == row["amount1"]
        if isinstance(record, PoolSwap):
            assert (str(record.sqrt_price_x96), str(record.liquidity)) == (row["sqrtPriceX96"], row["total_liquidity"])
            assert record.tick == float(row["current_tick"])
            assert ("0x" + record.sender.hex(), "0x" + record.recipient.hex()) == (row["sender"], row["receipt"])
        else:
            assert (record.tick_lower, record.tick_upper) == (float(row["tick_lower"]), float(row["tick_upper"]))
            assert row["liquidity"] in ("", str(getattr(record, "amount", "")))
            assert "0x" + record.owner.hex() == row["sender"] or row["type"] == "MINT"
        agreed += 1
    assert (agreed, by_identity) == (6234, {})
    print(f"V3 day: {agreed} of {len(theirs)} agree")


def test_decode_log_pool_identity_comes_from_the_pool_alone() -> None:
    record: Any = decode_log(log_of(V2_SWAP, [1, 2], [3, 4, 5, 6]), POOL)
    assert (record.pool, record.token0, record.token1) == (POOL.pool, POOL.token0, POOL.token1)
    assert (record.venue, record.decimals0, record.decimals1) == (Venue.QUICKSWAP_V2, 18, 6)
    assert (record.amount0_in, record.amount1_in, record.amount0_out, record.amount1_out) == (3, 4, 5, 6)
    assert (record.protocol, record.sqrt_price_x96, record.tick) == (Protocol.UNISWAP_V2, 0, 0)


@pytest.mark.parametrize("amount", [0, 1, -1, (1 << 255) - 1, -(1 << 255), 1 << 128, -(1 << 128)])
def test_decode_log_signed_amounts_are_split_without_loss(amount: int) -> None:
    record: Any = decode_log(log_of(V3_SWAP, [1, 2], [amount, -amount if amount > -(1 << 255) else 0, 1 << 96, 6, -7]))
    assert (record.amount0_in, record.amount0_out) == (max(amount, 0), max(-amount, 0))
    assert value_of(record, "amount0") == amount
    assert record.tick == -7


@pytest.mark.parametrize(("event", "abi_type"), [(V2_SWAP, "uint256"), (SYNC, "uint112")])
def test_decode_log_largest_values_come_through_whole(event: str, abi_type: str) -> None:
    top = (1 << int(abi_type[4:])) - 1
    count = len(abi_oracle.EVENTS[event][4])
    record = decode_log(log_of(event, [1, 2][: len(abi_oracle.EVENTS[event][2])], [top] * count))
    assert encode([abi_type] * count, [top] * count).hex() == word(top) * count
    assert [value_of(record, name) for name in abi_oracle.EVENTS[event][5]] == [top] * count


@pytest.mark.parametrize(
    ("index", "values"),
    [(2, [1 << 160]), (3, [1 << 128]), (4, [1 << 23, -(1 << 23) - 1, (1 << 256) - (1 << 24), 0xFFFFFF])],
)
def test_decode_log_a_word_wider_than_its_type_is_refused(index: int, values: list[int]) -> None:
    for value in values:
        words = [1, 2, 3, 4, 5]
        words[index] = value
        assert refusal_of(log_of(V3_SWAP, [1, 2], words)) is Refusal.VALUE_OUT_OF_RANGE


def test_decode_log_an_address_with_high_bytes_is_refused() -> None:
    assert refusal_of(log_of(V3_SWAP, [1 << 160, 2], [1, 2, 3, 4, 5])) is Refusal.VALUE_OUT_OF_RANGE


@pytest.mark.parametrize(
    ("log", "refusal"),
    [
        (Log(ADDRESS), Refusal.NO_TOPICS),
        (Log(ADDRESS, (None, SYNC)), Refusal.NO_TOPICS),
        (Log(ADDRESS, ("0x1234",)), Refusal.BAD_HEX),
        (Log(ADDRESS, ("0x" + "g" * 64,)), Refusal.BAD_HEX),
        (Log(ADDRESS, ("0x" + "00" * 32,)), Refusal.UNKNOWN_EVENT),
        (log_of(SYNC, [1], [1, 2]), Refusal.WRONG_TOPIC_COUNT),
        (Log(ADDRESS, (V2_SWAP, None, "0x" + "00" * 32), "0x" + "00" * 128), Refusal.BAD_HEX),
        (log_of(SYNC, [], [1]), Refusal.WRONG_DATA_SIZE),
        (log_of(SYNC, [], [1, 2, 3]), Refusal.WRONG_DATA_SIZE),
        (Log(ADDRESS, (SYNC,), "0x"), Refusal.WRONG_DATA_SIZE),
        (Log(ADDRESS, (SYNC,), "0x" + "00" * 33), Refusal.WRONG_DATA_SIZE),
        (Log(ADDRESS, (SYNC,), None), Refusal.BAD_HEX),
        (Log(ADDRESS, (SYNC,), "00" * 65), Refusal.BAD_HEX),
        (Log(ADDRESS, (SYNC,), "0x" + "0" * 127), Refusal.BAD_HEX),
        (Log(ADDRESS, (SYNC,), "0x" + "0" * 127 + "\u0660"), Refusal.BAD_HEX),
        (Log("0x11", (SYNC,), "0x" + "00" * 64), Refusal.BAD_HEX),
    ],
)
def test_decode_log_a_malformed_log_is_refused_with_its_reason(log: Log, refusal: Refusal) -> None:
    assert refusal_of(log) is refusal


def test_decode_log_null_topics_at_the_end_are_padding() -> None:
    log = log_of(SYNC, [], [1, 2])
    padded = msgspec.structs.replace(log, topics=(*log.topics, None, None, None))
    assert decode_log(padded) == decode_log(log)


def test_decode_log_upper_case_hex_is_the_same_event() -> None:
    log = log_of(SYNC, [], [0xABCDEF, 0xFEDCBA])
    upper = Log(
        ADDRESS, tuple("0x" + (topic or "")[2:].upper() for topic in log.topics), "0x" + (log.data or "")[2:].upper()
    )
    assert decode_log(upper) == decode_log(log)


@pytest.mark.parametrize(
    "pool",
    [
        unverified(b"\x11" * 20, Protocol.UNISWAP_V3),
        unverified(b"\x11" * 20, Protocol.UNISWAP_V2, Role.FACTORY),
    ],
)
def test_decode_log_an_event_that_the_emitter_cannot_have_is_refused(pool: VerifiedEmitter) -> None:
    assert refusal_of(log_of(SYNC, [], [1, 2]), pool) is Refusal.FOREIGN_EVENT


def test_decode_log_algebra_pool_speaks_with_v3_topics() -> None:
    record: Any = decode_log(
        log_of(V3_SWAP, [1, 2], [1, -2, 1 << 96, 4, 5]), unverified(b"\x11" * 20, Protocol.ALGEBRA)
    )
    assert record.protocol == Protocol.ALGEBRA


def test_decode_log_initialize_becomes_the_first_state_of_the_pool() -> None:
    topic = next(event.topic0 for event in EVENTS if event.name == "initialize")
    pool = msgspec.structs.replace(POOL, protocol=Protocol.UNISWAP_V3, fee_pips=500, tick_spacing=10)
    record = decode_log(log_of(topic, [], [1 << 96, -887272], block_number="0x10"), pool)
    assert isinstance(record, PoolState)
    assert (record.sqrt_price_x96, record.tick, record.block_number) == (1 << 96, -887272, 16)
    assert (record.fee_pips, record.tick_spacing, record.factory) == (500, 10, POOL.factory)


def test_decode_log_factory_event_names_the_pool_and_its_factory() -> None:
    topic = next(event.topic0 for event in EVENTS if event.solidity_name == "PairCreated")
    factory = msgspec.structs.replace(
        unverified(b"\x11" * 20, Protocol.UNISWAP_V2, Role.FACTORY, Venue.QUICKSWAP_V2), fee_pips=3000
    )
    record = decode_log(log_of(topic, [0xA, 0xB], [0xC, 7]), factory)
    assert isinstance(record, PoolCreated)
    assert [int.from_bytes(address, "big") for address in (record.token0, record.token1, record.pool)] == [
        0xA,
        0xB,
        0xC,
    ]
    assert (record.factory, record.venue, record.fee_pips) == (factory.pool, Venue.QUICKSWAP_V2, 3000)


def test_origin_of_a_real_log_is_its_place_on_the_chain() -> None:
    raw = rows(BUNDLED / LOG_FILES[0])[0]
    origin = origin_of(as_log(raw), receive_time_ns=7, block_timestamp=9)
    assert (origin.block_number, origin.transaction_index, origin.log_index) == (0xCE54BF, 0, 0)
    assert (origin.block_hash.hex(), origin.transaction_hash.hex()) == (
        raw["blockHash"][2:],
        raw["transactionHash"][2:],
    )
    assert (origin.receive_time_ns, origin.block_timestamp) == (7, 9)


def test_origin_of_what_the_node_left_out_is_zero() -> None:
    origin = origin_of(Log(ADDRESS, block_timestamp="0x6b03481a"))
    assert origin == type(origin).unpack(bytes(8) + (0x6B03481A).to_bytes(8, "little") + bytes(origin.layout.size - 16))


@pytest.mark.parametrize(
    ("members", "refusal"),
    [
        ({"block_number": "0x8000000000000000"}, Refusal.VALUE_OUT_OF_RANGE),
        ({"log_index": "0x100000000"}, Refusal.VALUE_OUT_OF_RANGE),
        ({"transaction_index": "-0x1"}, Refusal.BAD_HEX),
        ({"block_number": "13522111"}, Refusal.BAD_HEX),
        ({"block_hash": "0x" + "00" * 31}, Refusal.BAD_HEX),
        ({"transaction_hash": "0x" + "0g" * 32}, Refusal.BAD_HEX),
    ],
)
def test_origin_of_a_place_that_cannot_be_is_refused(members: dict[str, str], refusal: Refusal) -> None:
    with pytest.raises(RefusedLog) as refused:
        origin_of(Log(ADDRESS, **members))
    assert refused.value.refusal is refusal


@pytest.mark.parametrize(
    "text",
    [
        '{"address":"0x11","topics":["0x00",null,null,null],"data":"0x","blockHash":null,"removed":null,"extra":[1]}',
        '{"address":"0x11","blockTimestamp":"0x6b03481a"}',
    ],
)
def test_log_lenient_members_are_read(text: str) -> None:
    assert msgspec.json.decode(text, type=Log).address == "0x11"


@pytest.mark.parametrize(
    "text", ['{"topics":[]}', '{"address":1}', '{"address":"0x","topics":"0x"}', "[]", '{"address":"\\ud800"}']
)
def test_log_other_shapes_are_refused(text: str) -> None:
    with pytest.raises(msgspec.MsgspecError):
        msgspec.json.decode(text, type=Log)


def test_head_recorded_notifications_are_read() -> None:
    notified = [row["message"]["params"]["result"] for row in rows(ROOT / "tests/data/newHeads_frames.jsonl.gz")]
    heads = [msgspec.convert(raw, Head) for raw in notified]
    assert [(head.hash, head.parent_hash) for head in heads] == [(raw["hash"], raw["parentHash"]) for raw in notified]
    assert [head.base_fee_per_gas for head in heads] == ["0x1862a795", "0x19e", "0xaae54", "0x989680"]
    assert [head.logs_bloom is not None for head in heads] == [False, False, True, False]
