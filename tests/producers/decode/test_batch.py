"""The compiled decoder: message for message what the readable one says, and nothing that one log can do to another."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest

from producers.decode.batch import MAX_MESSAGE_SIZE, BatchDecoder, Decoded, count_refusals, flatten, same_context
from producers.decode.cold import Refusal, RefusedLog, decode_log, identify, origin_of
from producers.decode.fields import negate, store, store_text_order
from producers.decode.kernels import CONTEXT, decode_logs
from producers.decode.moves import compile_events
from producers.decode.pool_table import POOL_ROW, PoolTable, VerifiedEmitter, unverified
from producers.kinds.emitter_key import coins_of, id_of, key_of
from producers.kinds.events import EVENT_OF_TOPIC, EVENTS, Role
from producers.node.rpc_types import Log
from tests.producers.decode.abi_oracle import as_log, bundled_logs, encoded_log
from tests.tlv.plain import both
from tlv.buffers import Limbs
from tlv.codes import Domain, Flag, Protocol, Source
from tlv.kernels import EXTENDED_FORM, SHORT_FORM
from tlv.layout import EventOrigin, PoolRecord
from tlv.message import Message, build, parse
from tlv.record import RECORDS

SYNC = next(event.topic0 for event in EVENTS if event.name == "sync")
GOOD = Log(
    "0x" + "11" * 20,
    (SYNC,),
    "0x" + f"{5:064x}{6:064x}",
    block_number="0x10",
    transaction_hash="0x" + "aa" * 32,
    transaction_index="0x2",
    block_hash="0x" + "bb" * 32,
    log_index="0x3",
)


@pytest.fixture(scope="module")
def real_logs() -> list[Log]:
    return [as_log(raw) for raw in bundled_logs()]


def trusting_table(logs: Sequence[Log]) -> PoolTable:
    """A table in which every emitter of one of our events is a pool or factory of the event's family."""
    table = PoolTable()
    for log in logs:
        try:
            event = identify(log)
        except RefusedLog:
            continue
        key = key_of(log)
        if key not in table.row_of:
            flipped = is_flipped(key) and event.role is Role.POOL
            row = unverified(id_of(key), event.protocols[0], event.role)
            table.add(msgspec.structs.replace(row, flipped=flipped), key)
    return table


def is_flipped(key: str) -> bool:
    """Whether coin in stands behind coin out in the order of what names them."""
    coins = coins_of(key)
    return coins is not None and coins[0] > coins[1]


def decode(logs: Sequence[Log], table: PoolTable, **context: Any) -> tuple[Decoded, list[Message]]:
    """Decode as one batch, from sequence 1, and parse what comes out with every checksum verified."""
    decoder = BatchDecoder(table, Source.POLYGON_COLLECTOR)
    filled = decoder.context(len(logs))
    filled["row"] = decoder.rows(logs)
    for name, value in context.items():
        filled[name] = value
    decoded = decoder.decode(logs, filled, first_sequence=1, timestamp_ns=77)
    return decoded, messages_of(decoded)


def messages_of(decoded: Decoded) -> list[Message]:
    return [
        parse(decoded.buffer[offset : offset + length].tobytes())
        for offset, length in zip(decoded.offsets, decoded.lengths, strict=True)
    ]


def cold(log: Log, table: PoolTable) -> tuple[Refusal, PoolRecord | None, EventOrigin | None]:
    """What the readable decoder says of `log`; without a row it is refused as the batch form refuses it."""
    try:
        identify(log)
        row = table.row_of.get(key_of(log))
        if row is None:
            return Refusal.UNKNOWN_EMITTER, None, None
        record = decode_log(log, VerifiedEmitter.unpack(table.rows[row].tobytes()))
        return Refusal.NONE, record, origin_of(log, block_timestamp=0)
    except RefusedLog as refused:
        return refused.refusal, None, None


def agrees_with_cold_form(logs: Sequence[Log], table: PoolTable) -> int:
    """Compare the two forms log for log; how many messages there are."""
    decoded, messages = decode(logs, table)
    left = iter(messages)
    for index, log in enumerate(logs):
        refusal, record, origin = cold(log, table)
        assert decoded.refusals[index] == refusal, log
        if record is not None:
            assert next(left).records == (record, origin)
    assert list(left) == []
    return len(messages)


def test_batch_every_real_log_gives_the_message_of_the_cold_form(real_logs: list[Log]) -> None:
    assert agrees_with_cold_form(real_logs, trusting_table(real_logs)) == 7826 + 31 + 22


def test_batch_random_values_of_every_event_give_the_message_of_the_cold_form() -> None:
    rng = Random(4)
    logs = [as_log(encoded_log(topic0, rng)) for topic0 in EVENT_OF_TOPIC for _ in range(100)]
    assert agrees_with_cold_form(logs, trusting_table(logs)) == 100 * len(EVENT_OF_TOPIC)


def test_batch_one_log_at_a_time_gives_the_same_messages(real_logs: list[Log]) -> None:
    table = trusting_table(real_logs)
    together = decode(real_logs[:600], table)[1]
    apart = [message for log in real_logs[:600] for message in decode([log], table)[1]]
    assert [message.records for message in apart] == [message.records for message in together]


def test_batch_sequences_are_dense_over_refused_logs() -> None:
    bad = msgspec.structs.replace(GOOD, data="0x")
    decoded, messages = decode([bad, GOOD, bad, bad, GOOD, GOOD, bad], trusting_table([GOOD]))
    assert [message.header.sequence for message in messages] == [1, 2, 3]
    assert (decoded.refusals == Refusal.WRONG_DATA_SIZE).tolist() == [True, False, True, True, False, False, True]
    assert count_refusals(decoded.refusals) == {Refusal.WRONG_DATA_SIZE: 4}
    assert decoded.offsets.tolist() == np.cumsum([0, *decoded.lengths[:-1]]).tolist()


def test_batch_context_reaches_header_and_origin() -> None:
    flags = [0, Flag.REMOVED, Flag.BACKFILL | Flag.LAST_IN_BLOCK]
    _, messages = decode([GOOD] * 3, trusting_table([GOOD]), flags=flags, block_timestamp=[1, 2, 3], receive_time_ns=4)
    assert [message.header.flags for message in messages] == flags
    for message, timestamp in zip(messages, (1, 2, 3), strict=True):
        header, origin = message.header, message.first(EventOrigin)
        assert (header.domain, header.source, header.timestamp_ns) == (Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, 77)
        assert origin == EventOrigin(16, timestamp, 4, 2, 3, b"\xbb" * 32, b"\xaa" * 32)


def test_batch_events_tell_what_each_log_was() -> None:
    other = msgspec.structs.replace(GOOD, topics=("0x" + "00" * 32,))
    decoded, _ = decode([other, GOOD], trusting_table([GOOD]))
    assert decoded.events[0] == -1
    assert EVENTS[decoded.events[1]].name == "sync"


def test_context_of_one_log_is_that_of_many() -> None:
    for flags in (3, [3]):
        assert same_context([7], flags, 5, 9).tolist() == [(7, 3, 5, 9)]
    assert same_context([7, 8], [3, 0], 5, 9).tolist() == [(7, 3, 5, 9), (8, 0, 5, 9)]
    assert same_context([7, 8], 1, 5, 9).tolist() == [(7, 1, 5, 9), (8, 1, 5, 9)]
    assert same_context([7], 3, 5, 9).dtype == same_context([7, 8], 3, 5, 9).dtype == CONTEXT


def test_batch_empty_gives_no_message() -> None:
    decoded, messages = decode([], PoolTable())
    assert (messages, len(decoded.refusals)) == ([], 0)


def test_batch_larger_than_any_before_grows_the_buffers() -> None:
    table = trusting_table([GOOD])
    decoder = BatchDecoder(table, 4)
    for size in (1, 255, 256, 257, 5000, 3):
        context = decoder.context(size)
        assert len(decoder.decode([GOOD] * size, context, first_sequence=1, timestamp_ns=0).offsets) == size


def test_batch_largest_message_fits_the_room_that_is_reserved(real_logs: list[Log]) -> None:
    decoded, _ = decode(real_logs, trusting_table(real_logs))
    assert decoded.lengths.max() <= MAX_MESSAGE_SIZE


@pytest.mark.parametrize("row", [-1, 1, 1 << 40, -(1 << 62)])
def test_batch_row_outside_the_table_is_an_unknown_emitter(row: int) -> None:
    decoded, _ = decode([GOOD], trusting_table([GOOD]), row=row)
    assert decoded.refusals[0] == Refusal.UNKNOWN_EMITTER


POISON = [
    msgspec.structs.replace(GOOD, **members)
    for members in (
        {"topics": ()},
        {"topics": (None, None)},
        {"topics": ("",)},
        {"topics": (SYNC + "0",)},
        {"topics": (SYNC, *["0x" + "00" * 32] * 200)},
        {"topics": (SYNC, None, "0x")},
        {"data": None},
        {"data": ""},
        {"data": "0"},
        {"data": "x0" + "0" * 128},
        {"data": "0x" + "0" * 127},
        {"data": "0x" + "0" * 127 + "g"},
        {"data": "0x" + "0" * 127 + "\x00"},
        {"data": "0x" + "0" * 127 + "\U0001f600"},
        {"data": "0x" + "0" * 127 + "\ud800"},
        {"data": "\xe9" * 130},
        {"data": "0x" + "00" * 61_568},
        {"data": "0x" + f"{1 << 112:064x}" + "0" * 64},
        {"data": "0x" + f"{1 << 112:064x}" + "0" * 63 + "g"},
        {"block_number": "0x" + "f" * 16},
        {"block_number": "0x7" + "f" * 15},
        {"block_number": "0x8" + "0" * 15},
        {"block_number": "0x8" + "0" * 14 + "1"},
        {"block_number": "0x" + "0" * 64},
        {"block_number": "0x" + "0" * 65},
        {"block_number": "0xg"},
        {"block_number": "12"},
        {"block_number": "1"},
        {"block_number": "0x"},
        {"transaction_index": "0x100000000"},
        {"log_index": "0xffffffff"},
        {"log_index": "-0x1"},
        {"block_hash": None, "transaction_hash": None, "block_number": None, "log_index": None},
        {"block_hash": "0x"},
        {"block_hash": "0x" + "0" * 63 + "g"},
        {"transaction_hash": "0x" + "00" * 33},
    )
]


def test_batch_malformed_logs_get_the_reason_of_the_cold_form() -> None:
    assert agrees_with_cold_form(POISON, trusting_table([GOOD])) == 5


@pytest.mark.parametrize("poison", POISON)
def test_batch_malformed_log_leaves_its_neighbours_alone(poison: Log) -> None:
    table = trusting_table([GOOD])
    alone = decode([GOOD], table)[1][0].records
    decoded, messages = decode([GOOD, poison, GOOD], table)
    assert (decoded.refusals[0], decoded.refusals[2]) == (0, 0)
    assert messages[0].records == messages[-1].records == alone


@pytest.mark.parametrize("kernel", both(decode_logs))
def test_decode_logs_kernel_and_its_source_fill_the_same_bytes(kernel: Any) -> None:
    rng = Random(5)
    events = [as_log(encoded_log(topic0, rng)) for topic0 in EVENT_OF_TOPIC for _ in range(20)]
    logs = [*events, *POISON]
    table = trusting_table([*events, GOOD])
    expected, _ = decode(logs, table)
    context = np.zeros(len(logs), dtype=CONTEXT)
    context["row"] = BatchDecoder(table, 4).rows(logs)
    out = np.zeros(len(logs) * MAX_MESSAGE_SIZE, dtype=np.uint8)
    offsets, sizes, events_found = (np.zeros(len(logs), dtype=np.int64) for _ in range(3))
    refusals = np.zeros(len(logs), dtype=np.uint8)
    pools = table.rows.view(np.uint8).reshape(-1, POOL_ROW.itemsize)
    word = np.zeros(8, dtype=np.uint64)
    text, both_lengths = flatten(logs)
    lengths, counts = both_lengths[: -len(logs)], both_lengths[-len(logs) :]
    count = kernel(
        *compile_events(EVENTS),
        text,
        lengths.cumsum() - lengths,
        lengths,
        counts,
        pools,
        context,
        4,
        1,
        77,
        word,
        out,
        offsets,
        sizes,
        refusals,
        events_found,
    )
    end = int(expected.offsets[-1] + expected.lengths[-1])
    assert count == len(expected.offsets)
    assert out[:end].tobytes() == expected.buffer[:end].tobytes()
    assert refusals.tolist() == expected.refusals.tolist()
    assert events_found.tolist() == expected.events.tolist()
    assert set(events_found.tolist()) == {-1, *range(len(EVENTS))}


def limbs_of(value: int) -> Limbs:
    return np.array([value >> shift & (1 << 64) - 1 for shift in (0, 64, 128, 192)], dtype=np.uint64)


@pytest.mark.parametrize("size", [4, 16, 20, 32])
def test_store_both_orders_write_the_low_bytes_and_no_other(size: int) -> None:
    value = int.from_bytes(range(1, 33), "big")
    low = value % (1 << 8 * size)
    for put, order in ((store, "little"), (store_text_order, "big")):
        for form in both(put):
            out = np.full(40, 0xEE, dtype=np.uint8)
            form(out, 3, limbs_of(value), size)
            assert out[3 : 3 + size].tobytes() == low.to_bytes(size, order)  # type: ignore[arg-type]
            assert set(out[:3].tolist() + out[3 + size :].tolist()) == {0xEE}


@pytest.mark.parametrize("magnitude", [1, (1 << 64) - 1, 1 << 64, 1 << 128, (1 << 192) + 5, (1 << 255) - 1, 1 << 255])
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_negate_any_negative_value_gives_its_magnitude(magnitude: int) -> None:
    for form in both(negate):
        word = limbs_of((1 << 256) - magnitude)
        form(word)
        assert sum(int(limb) << 64 * place for place, limb in enumerate(word)) == magnitude


PRINT_DIGEST = """
import hashlib
from tests.producers.decode.test_batch import GOOD, POISON, decode, trusting_table
from tests.producers.decode.abi_oracle import as_log, bundled_logs, encoded_log
logs = [as_log(raw) for raw in bundled_logs()[:700]] + POISON
decoded, messages = decode(logs, trusting_table([*logs, GOOD]))
end = int(decoded.offsets[-1] + decoded.lengths[-1])
print(len(messages), hashlib.sha256(decoded.buffer[:end].tobytes() + decoded.refusals.tobytes()).hexdigest())
"""


def test_batch_without_the_compiler_gives_the_same_bytes() -> None:
    answers = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PRINT_DIGEST],
            cwd=Path(__file__).parents[3],
            env=os.environ | {"NUMBA_DISABLE_JIT": disabled},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for disabled in ("0", "1")
    }
    assert len(answers) == 1
    assert int(answers.pop().split()[0]) > 50


def test_pool_table_rows_survive_growth_and_replacement() -> None:
    table = PoolTable()
    for number in range(500):
        assert table.add(unverified(number.to_bytes(20, "big"), Protocol.UNISWAP_V2)) == number
    assert table.add(unverified((7).to_bytes(20, "big"), Protocol.ALGEBRA, Role.FACTORY, venue=406)) == 7
    assert (len(table), len(table.rows)) == (500, 500)
    assert VerifiedEmitter.unpack(table.rows[7].tobytes()).protocol == Protocol.ALGEBRA
    assert VerifiedEmitter.unpack(table.rows[499].tobytes()).pool == (499).to_bytes(20, "big")
    assert table.row_of["0x" + (499).to_bytes(20, "big").hex()] == 499


def test_room_for_a_message_is_what_the_longest_takes_in_either_form() -> None:
    records = [record for record in RECORDS.values() if issubclass(record, PoolRecord)]
    origin = EventOrigin.unpack(bytes(EventOrigin.layout.size))
    longest = max(
        len(build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [record.unpack(bytes(record.layout.size)), origin]))
        for record in records
    )
    assert longest <= MAX_MESSAGE_SIZE <= longest + 2 * (EXTENDED_FORM - SHORT_FORM)
