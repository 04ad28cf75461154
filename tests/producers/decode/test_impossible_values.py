"""Values of their ABI types that no contract says: refused by both decoders, and told by argument."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec
import pytest

from producers.decode.cold import Refusal, RefusedLog, decode_log
from producers.decode.pool_table import PoolTable, unverified
from producers.kinds.emitter_key import id_of, key_of
from producers.node.rpc_types import Log
from tests.producers.decode.abi_oracle import DYNAMIC, EVENTS, LIMITS, RISING, as_log, encoded_log
from tests.producers.decode.test_batch import agrees_with_cold_form, decode, trusting_table

COINS = ("coin_in", "coin_out")
V4_INITIALIZE = "0xdd466e674ea557f56295e2d0218a125ea4b4f0f6f3307b95f85e6110838d6438"
COLLECT = "0x70935338e69775456a85ddef226c395fb668b63fa0115f5f20610b388e6ca9c0"
ZERO = bytes(20)

Raw = dict[str, Any]


def word_of(raw: Raw, topic0: str, name: str) -> int:
    """An argument as an unsigned word."""
    _, _, _, topic_names, _, word_names = EVENTS[topic0]
    if name in topic_names:
        return int(raw["topics"][1 + topic_names.index(name)], 16)
    at = 2 + 64 * word_names.index(name)
    return int(raw["data"][at : at + 64], 16)


def changed(raw: Raw, topic0: str, name: str, value: int) -> Raw:
    """The same log with another value of an argument."""
    _, _, _, topic_names, _, word_names = EVENTS[topic0]
    word = f"{value % (1 << 256):064x}"
    if name in topic_names:
        topics = list(raw["topics"])
        topics[1 + topic_names.index(name)] = f"0x{word}"
        return raw | {"topics": topics}
    at = 2 + 64 * word_names.index(name)
    return raw | {"data": raw["data"][:at] + word + raw["data"][at + 64 :]}


def impossible(topic0: str) -> Iterator[tuple[str, Raw]]:
    """Every way in which one value of an event cannot be, as its type allows it, and which argument says it."""
    rng = Random(topic0)
    _, event, topic_types, topic_names, word_types, word_names = EVENTS[topic0]
    types = dict(zip((*topic_names, *word_names), (*topic_types, *word_types), strict=True))
    types.pop("_", None)
    raw = encoded_log(topic0, rng)
    for name, (least, most) in LIMITS.items():
        if name in types and event != "collect":
            bits = int(types[name].lstrip("uint"))
            low, high = (0, (1 << bits) - 1) if types[name][0] == "u" else (-(1 << bits - 1), (1 << bits - 1) - 1)
            for value in (least - 1, low, most + 1, high):
                if low <= value <= high and not least <= value <= most:
                    yield name, changed(raw, topic0, name, value)
    for lower, upper in RISING if event != "collect" else ():
        if {lower, upper} <= types.keys():
            below, above = (word_of(raw, topic0, name) for name in (lower, upper))
            yield upper, changed(raw, topic0, upper, below)
            yield upper, changed(changed(raw, topic0, upper, below), topic0, lower, above)
    if COINS[0] in types:
        yield "coin", changed(raw, topic0, COINS[1], word_of(raw, topic0, COINS[0]))
        if "int" in types[COINS[0]]:
            wide = (1 << int(types[COINS[0]].lstrip("uint")) - 1) - 1
            for value in (16, wide, *((-1, ~wide) if types[COINS[0]][0] == "i" else (1 << 64,))):
                yield "coin", changed(raw, topic0, rng.choice(COINS), value)


CASES = [(topic0, name, raw) for topic0 in EVENTS for name, raw in impossible(topic0)]


def test_impossible_values_are_of_every_kind_that_can_have_them() -> None:
    named = {(EVENTS[topic0][0], name) for topic0, name, _ in CASES}
    assert {"tick", "sqrt_price_x96", "fee_pips", "swap_fee_pips", "token1", "tick_upper", "coin"} <= {
        n for _, n in named
    }
    assert {kind for kind, name in named if name == "coin"} == {"curve", "dodo", "woofi", "balancer_v2"}
    assert len(CASES) > 100


@pytest.mark.parametrize("topic0", EVENTS)
def test_value_that_no_contract_says_is_refused_by_both_decoders_with_its_argument(topic0: str) -> None:
    for name, raw in impossible(topic0):
        log, good = as_log(raw), as_log(encoded_log(topic0, Random(7)))
        with pytest.raises(RefusedLog, match=rf"\): (coin|underlying|{name})\w*: expected .+, found ") as refused:
            decode_log(log)
        assert refused.value.refusal is Refusal.IMPOSSIBLE_VALUE
        assert agrees_with_cold_form([good, log, good], trusting_table([good, log])) == 2


def test_value_out_of_its_type_comes_before_one_that_no_contract_says() -> None:
    raw = encoded_log(V4_INITIALIZE, Random(1))
    raw = changed(changed(raw, V4_INITIALIZE, "fee_pips", 1_000_001), V4_INITIALIZE, "tick", 1 << 30)
    log = as_log(raw)
    with pytest.raises(RefusedLog) as refused:
        decode_log(log)
    assert refused.value.refusal is Refusal.VALUE_OUT_OF_RANGE
    assert agrees_with_cold_form([log], trusting_table([log])) == 0


def test_fee_that_a_hook_says_is_one_and_a_collect_of_any_ticks_is_an_event() -> None:
    dynamic = changed(encoded_log(V4_INITIALIZE, Random(2)), V4_INITIALIZE, "fee_pips", DYNAMIC)
    collect = encoded_log(COLLECT, Random(3))
    ticks = changed(changed(collect, COLLECT, "tick_lower", (1 << 23) - 1), COLLECT, "tick_upper", -(1 << 23))
    logs = [as_log(dynamic), as_log(ticks)]
    record: Any = decode_log(logs[1])
    assert (record.tick_lower, record.tick_upper) == ((1 << 23) - 1, -(1 << 23))
    assert agrees_with_cold_form(logs, trusting_table(logs)) == 2


def test_tokens_of_a_pools_event_are_those_that_it_is_proven_to_have() -> None:
    raw = encoded_log(V4_INITIALIZE, Random(4))
    log = as_log(raw)
    token0, token1 = (word_of(raw, V4_INITIALIZE, name).to_bytes(20, "big") for name in ("token0", "token1"))
    for known, refusal in (
        ((token0, token1), Refusal.NONE),
        ((ZERO, ZERO), Refusal.NONE),
        ((ZERO, token1), Refusal.IMPOSSIBLE_VALUE),
        ((token0, b"\xff" * 20), Refusal.IMPOSSIBLE_VALUE),
    ):
        assert outcome(log, *known) is refusal
    native = as_log(changed(raw, V4_INITIALIZE, "token0", 0))
    assert outcome(native, ZERO, token1) is Refusal.NONE


def outcome(log: Log, token0: bytes, token1: bytes) -> Refusal:
    """What both decoders make of a log of a pool with these tokens."""
    family = unverified(id_of(key_of(log)), 4)
    row = msgspec.structs.replace(family, protocol=protocol_of(log), token0=token0, token1=token1)
    table = PoolTable()
    table.add(row, key_of(log))
    batch = Refusal(int(decode([log], table)[0].refusals[0]))
    try:
        decode_log(log, row)
    except RefusedLog as refused:
        assert refused.refusal is batch
        assert "expected the pool's own, 0x" in str(refused)
    else:
        assert batch is Refusal.NONE
    return batch


def protocol_of(log: Log) -> int:
    record: Any = decode_log(log)
    code: int = record.protocol
    return code
