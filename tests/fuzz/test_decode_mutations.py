"""Row 25 of the faults: mutated real logs decode like eth-abi, or are refused; never anything else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from producers.decode.batch import BatchDecoder, Decoded
from producers.decode.cold import Refusal, RefusedLog, decode_log
from producers.decode.pool_table import PoolTable, unverified
from producers.kinds.emitter_key import coins_of, key_of
from producers.kinds.events import EVENT_OF_TOPIC, Role
from tests.producers.decode.abi_oracle import EVENTS, as_log, bundled_logs, encoded_log, expected, value_of
from tests.producers.decode.coin_rows import row_of_coins
from tlv.codes import Protocol
from tlv.layout import EventOrigin, PoolRecord
from tlv.message import parse

SEED = 25
CASES = 100_000
BATCH = 5_000

STRANGE = "gGxX_+- \n\t\x00.\xe9\u0660\u2028\U0001f600\ud800"
"""Characters that some hex reader or other takes for a digit, for nothing, or chokes on."""
DIGITS = "0123456789abcdefABCDEF"
HASHES = ("blockHash", "transactionHash")
QUANTITIES = {"blockNumber": 63, "transactionIndex": 32, "logIndex": 32}

Raw = dict[str, Any]


def mutate_text(text: str, rng: Random) -> str:
    """One small thing about a hex string is different."""
    at = rng.randrange(len(text) + 1)
    rest = text[at + 1 :]
    return rng.choice(
        (
            text[:at] + rng.choice(DIGITS) + rest,
            text[:at] + rng.choice(STRANGE) + rest,
            text[:at] + rng.choice(DIGITS) + text[at:],
            text[:at] + rest,
            text.upper(),
            text[:2] + text[2:].upper(),
            text[2:],
            "",
            text + "\n",
            text[:at],
        )
    )


def mutate_data(raw: Raw, rng: Random) -> None:
    raw["data"] = mutate_text(raw["data"], rng)


def mutate_digit(raw: Raw, rng: Random) -> None:
    """Still hex of the same size, but another value: the case in which a decoder may go wrong in silence."""
    at = rng.randrange(2, max(len(raw["data"]), 3))
    raw["data"] = raw["data"][:at] + rng.choice(DIGITS) + raw["data"][at + 1 :]


def mutate_size(raw: Raw, rng: Random) -> None:
    size = rng.choice((-64, -2, -1, 1, 2, 62, 64, 128))
    raw["data"] = raw["data"][:size] if size < 0 else raw["data"] + "0" * size


def mutate_word(raw: Raw, rng: Random) -> None:
    """One word becomes a value at the edge of some type."""
    edge = 1 << rng.choice((0, 23, 24, 112, 128, 159, 160, 255))
    value = rng.choice((edge, edge - 1, -edge, -edge - 1, rng.getrandbits(256))) % (1 << 256)
    places = len(raw["data"]) // 64
    place = rng.randrange(places + len(raw["topics"]))
    if place < places:
        at = 2 + 64 * place
        raw["data"] = raw["data"][:at] + f"{value:064x}" + raw["data"][at + 64 :]
    else:
        raw["topics"][place - places] = f"0x{value:064x}"


def mutate_topic(raw: Raw, rng: Random) -> None:
    at = rng.randrange(len(raw["topics"]))
    raw["topics"][at] = mutate_text(raw["topics"][at], rng)


def mutate_topics(raw: Raw, rng: Random) -> None:
    """One topic too many, one too few, a null, or another event's name."""
    topics = raw["topics"]
    rng.choice(
        (
            lambda: topics.append("0x" + "00" * 32),
            lambda: topics.append(None),
            topics.pop,
            topics.clear,
            lambda: topics.insert(rng.randrange(len(topics)), None),
            lambda: topics.__setitem__(0, rng.choice(list(EVENTS))),
            topics.reverse,
        )
    )()


def mutate_origin(raw: Raw, rng: Random) -> None:
    name = rng.choice((*HASHES, *QUANTITIES))
    raw[name] = rng.choice((None, "0x", "0x" + "f" * 16, "0x100000000", mutate_text(raw[name] or "0x1", rng)))


MUTATIONS: tuple[Callable[[Raw, Random], None], ...] = (
    mutate_data,
    mutate_digit,
    mutate_digit,
    mutate_size,
    mutate_word,
    mutate_word,
    mutate_topic,
    mutate_topics,
    mutate_origin,
)


def mutated(raw: Raw, rng: Random) -> Raw:
    raw = raw | {"topics": list(raw["topics"])}
    for _ in range(rng.choice((1, 1, 2))):
        if raw["topics"] and None not in raw["topics"]:
            rng.choice(MUTATIONS)(raw, rng)
    return raw


def expected_origin(raw: Raw) -> dict[str, Any] | None:
    """Place on the chain, read without the code under test; None if a member is unusable."""
    origin: dict[str, Any] = {}
    for name, bits in QUANTITIES.items():
        text = raw.get(name) or "0x0"
        if not re.fullmatch(r"0x[0-9a-fA-F]{0,64}", text, re.ASCII):
            return None
        origin[name] = int(text[2:] or "0", 16)
        if origin[name] >= 1 << bits:
            return None
    for name in HASHES:
        text = raw.get(name) or "0x" + "00" * 32
        if not re.fullmatch(r"0x[0-9a-fA-F]{64}", text, re.ASCII):
            return None
        origin[name] = bytes.fromhex(text[2:])
    return origin


def family_table() -> tuple[PoolTable, dict[str, int]]:
    """One pool or factory of each family, and its row by topic0: only a log's own bytes may decide in this test."""
    table = PoolTable()
    row_of_topic = {}
    for number, (topic0, (family, name, *_)) in enumerate(EVENTS.items(), 1):
        role = Role.FACTORY if name.endswith("_created") else Role.POOL
        row_of_topic[topic0] = table.add(unverified(number.to_bytes(20, "big"), Protocol[family.upper()], role))
    return table, row_of_topic


def row_for(raw: Raw, table: PoolTable, row_of_topic: dict[str, int]) -> int:
    """Its family's row, or one that knows the two coins that the log names; 0 if its event is none of ours."""
    family = row_of_topic.get(topic0_of(raw), 0)
    coins = row_of_coins(as_log(raw))
    return family if coins is None else table.add(coins, key_of(as_log(raw)))


def values_of(raw: Raw, values: dict[str, Any]) -> dict[str, Any]:
    """What a record says of these values.  Coins it names by what moved: not one of which nothing did, nor those of a
    log that names no two (an index that none has)."""
    named = coins_of(key_of(as_log(raw))) is not None
    said = {}
    for name, value in values.items():
        if name.startswith("coin_"):
            if named and values[name.replace("coin", "amount")]:
                said[name] = value.to_bytes(20, "big") if isinstance(value, int) else value
        else:
            said[name] = value
    return said


def padded(values: dict[str, Any]) -> dict[str, Any]:
    """An id with twelve zero bytes behind says the same as an address."""
    return values | ({"pool": values["pool"].ljust(32, b"\0")} if "pool" in values else {})


def topic0_of(raw: Raw) -> str:
    return ((raw["topics"] or [None])[0] or "").lower()


def messages_of(decoded: Decoded) -> Iterator[bytes]:
    for offset, length in zip(decoded.offsets.tolist(), decoded.lengths.tolist(), strict=True):
        yield decoded.buffer[offset : offset + length].tobytes()


def assert_message_says(message: bytes, values: dict[str, Any], place: dict[str, Any]) -> None:
    record, origin = parse(message).records
    assert isinstance(record, PoolRecord)
    assert isinstance(origin, EventOrigin)
    assert padded({name: value_of(record, name) for name in values}) == padded(values)
    assert place == {
        "blockNumber": origin.block_number,
        "transactionIndex": origin.transaction_index,
        "logIndex": origin.log_index,
        "blockHash": origin.block_hash,
        "transactionHash": origin.transaction_hash,
    }


def test_decode_mutated_real_logs_decode_like_eth_abi_or_are_refused() -> None:
    rng = Random(SEED)
    originals = [raw for raw in bundled_logs() if raw["topics"] and raw["topics"][0] in EVENTS]
    originals += [encoded_log(topic0, rng) for topic0 in EVENTS for _ in range(300)]
    table, row_of_topic = family_table()
    decoder = BatchDecoder(table, 4)
    counts: Counter[Refusal] = Counter()
    for _ in range(CASES // BATCH):
        cases = [mutated(rng.choice(originals), rng) for _ in range(BATCH)]
        context = decoder.context(BATCH)
        context["row"] = [row_for(raw, table, row_of_topic) for raw in cases]
        decoded = decoder.decode([as_log(raw) for raw in cases], context, first_sequence=1, timestamp_ns=0)
        messages = messages_of(decoded)
        for raw, refusal in zip(cases, map(Refusal, decoded.refusals.tolist()), strict=True):
            counts[refusal] += 1
            oracle, place = expected(raw), expected_origin(raw)
            if oracle is None or place is None:
                assert refusal is not Refusal.NONE, raw
            else:
                assert refusal is Refusal.NONE, raw
                assert_message_says(next(messages), values_of(raw, oracle[2]), place)
        assert next(messages, None) is None
    told = {refusal.name.lower(): count for refusal, count in counts.most_common() if refusal}
    print(f"row 25: {CASES} mutated logs, {counts[Refusal.NONE]} decoded like eth-abi, seed {SEED}, refused: {told}")
    assert counts[Refusal.NONE] > CASES // 5
    assert set(Refusal) - set(counts) == {Refusal.UNKNOWN_EMITTER, Refusal.FOREIGN_EVENT}


def test_decode_cold_form_mutated_logs_decode_like_eth_abi_or_are_refused() -> None:
    rng = Random(SEED + 1)
    originals = [encoded_log(topic0, rng) for topic0 in EVENTS for _ in range(20)]
    for _ in range(10_000):
        raw = mutated(rng.choice(originals), rng)
        oracle = expected(raw)
        try:
            record = decode_log(as_log(raw), row_of_coins(as_log(raw)))
        except RefusedLog as refused:
            # Some records carry their block's number themselves.
            assert oracle is None or "block_number" in EVENT_OF_TOPIC[topic0_of(raw)].record.__struct_fields__, refused
        else:
            assert oracle is not None
            values = values_of(raw, oracle[2])
            assert padded({name: value_of(record, name) for name in values}) == padded(values)
