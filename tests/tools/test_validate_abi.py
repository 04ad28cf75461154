"""The validation's second opinion on events, held against real logs and the collector's own decoder."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from producers.decode.cold import RefusedLog, decode_log
from producers.kinds.events import EVENT_OF_TOPIC
from producers.node.rpc_types import Log
from tests.producers.decode.abi_oracle import BUNDLED, LOG_FILES, as_log, expected, rows
from tests.producers.decode.coin_rows import row_of_coins
from tlv.layout import PoolSwap
from tools.validate.abi import EVENTS, decode_event, differences
from tools.validate.witness import read_event

MOST = 1500
"""Logs of each file; eth-abi takes some 30 us for each."""


def decoded_rows() -> list[tuple[dict[str, Any], Log]]:
    return [(row, as_log(row)) for name in LOG_FILES for row in rows(BUNDLED / name)[:MOST]]


def test_abi_declares_every_event_that_the_collector_knows() -> None:
    assert EVENTS.keys() == EVENT_OF_TOPIC.keys()
    for topic, declaration in EVENTS.items():
        assert declaration.record is EVENT_OF_TOPIC[topic].record
        assert declaration.families == frozenset(EVENT_OF_TOPIC[topic].protocols)


def test_abi_and_collector_agree_on_real_logs() -> None:
    accepted = 0
    for row, log in decoded_rows():
        decoded, oracle = decode_event(log), expected(row)
        assert (decoded is None) == (oracle is None)
        if decoded is None or oracle is None:
            with pytest.raises(RefusedLog):
                decode_log(log)
            continue
        accepted += 1
        assert (decoded.event.name, decoded.values) == oracle[1:]
        assert differences(decode_log(log, row_of_coins(log)), decoded) == []
    assert accepted > 1000


def test_event_is_of_the_pool_that_it_names_and_a_new_pool_of_its_factory() -> None:
    placed = {"block_hash": "0x" + "01" * 32, "transaction_hash": "0x" + "02" * 32, "log_index": "0x3"}
    contract, pool, word = "0x" + "11" * 20, "0x" + "77" * 32, "0x" + "00" * 12 + "22" * 20
    for topic, topics, data in (
        ("0xe9c42593e71f84403b84352cd168d693e2c9fcd1fdbcc3feb21d92b43e6696f9", (pool,), "00" * 32),
        ("0x0d3648bd0f6ba80134a33ba9275ac585d9d315f0ad8355cddefde31afa28d0e9", (word, word), word[2:] + "00" * 32),
    ):
        log = Log(contract, (topic, *topics), "0x" + data, block_number="0x1", transaction_index="0x2", **placed)
        decoded = decode_event(log)
        assert decoded is not None
        read = read_event(log, decoded)
        assert read is not None
        named = contract if decoded.event.by_factory else pool
        assert (read[1].emitter.hex(), read[1].contract.hex()) == (named[2:], contract[2:])


def test_abi_names_the_field_that_differs() -> None:
    log = next(log for _, log in decoded_rows() if (found := decode_event(log)) and found.event.record is PoolSwap)
    decoded, record = decode_event(log), decode_log(log)
    assert decoded is not None
    assert isinstance(record, PoolSwap)
    wrong = msgspec.structs.replace(record, amount0_in=record.amount0_in + 1)
    (text,) = differences(wrong, decoded)
    assert text.startswith("amount0")
    assert str(record.amount0_in + 1) in text


@pytest.mark.parametrize(
    "change",
    [
        {"data": "0x"},
        {"data": "0x0"},
        {"data": None},
        {"topics": ()},
        {"topics": (None,)},
        {"data": "0x" + "ff" * 64},
        {"data": "0x" + "00" * 65},
        {"topics": ("0x1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1", "0x" + "00" * 32)},
    ],
)
def test_abi_of_a_malformed_sync_is_none(change: dict[str, Any]) -> None:
    sync = Log(
        "0x" + "11" * 20,
        ("0x1c411e9a96e071241c2f21f7726b17ae89e3cab4c78be50e062b03a9fffbbad1",),
        "0x" + "00" * 64,
    )
    assert decode_event(sync) is not None
    assert decode_event(msgspec.structs.replace(sync, **change)) is None
