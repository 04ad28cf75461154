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
