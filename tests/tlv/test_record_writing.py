"""What machine code builds is what building step by step gives; what it does not take is left to that."""

from __future__ import annotations

import errno
import gc
import os
import random
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from msgspec.structs import replace

import tlv.message
from tests.tlv.plain_calls import call_plainly
from tests.tlv.samples import built_in_types, random_record
from tests.tlv.test_record import values_of
from tlv import record_writing
from tlv.codes import MAX_MESSAGE, Domain, Flag, Protocol, Source, Venue
from tlv.errors import UsageError
from tlv.fields import U64
from tlv.kernels import put_tlv
from tlv.layout import CycleLeg, EventOrigin, Gap, Header, PoolSwap, PoolSync, SignalIdentity
from tlv.message import BUILT_PLAINLY, build, build_carefully, head_of, parse
from tlv.objects import BUILTINS
from tlv.record import RECORDS, Record, record
from tlv.record_table import TABLE, bound_to
from tlv.record_writing import message_writer, write_message
from tlv.user_records import KINDS, register_records

FREE = 229
"""A type of no other test."""


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The table of records belongs to the whole process, and machine code builds from the first message on."""
    before = dict(RECORDS)
    monkeypatch.setattr(tlv.message, "write", write)
    for cls in before.values():
        TABLE.teach(cls)
    yield
    RECORDS.clear()
    RECORDS.update(before)


def write(*arguments: Any) -> bytes | None:
    """`write_message`, as the builtin that it is, or as plain Python."""
    if BUILTINS:
        return message_writer()(*arguments)
    made: bytes | None = call_plainly(write_message, bound_to(), *arguments)
    return made


def assert_same(records: list[Record]) -> None:
    domain = Domain(records[0].layout.domain or Domain.SIGNAL)
    found = write(records, domain, Source.RELAY, 5, 9, -7)
    assert found is not None
    assert found == build_carefully(domain, Source.RELAY, records, 9, -7, 5)
    assert found == write(tuple(records), domain, 80, 5, 9, -7)


@pytest.mark.parametrize("number", built_in_types())
def test_write_message_of_every_record_type_is_what_the_careful_way_builds(number: int) -> None:
    rng = random.Random(number)
    cls = RECORDS[number]
    alike = [other for other in built_in_types() if RECORDS[other].layout.domain is cls.layout.domain]
    assert_same([random_record(rng, cls)])
    assert_same([random_record(rng, cls), *(random_record(rng, RECORDS[rng.choice(alike)]) for _ in range(3))])


@given(
    values=some.sampled_from(built_in_types()).flatmap(
        lambda number: some.builds(RECORDS[number], *map(values_of, RECORDS[number].layout.kinds.values()))
    )
)
def test_write_message_of_the_ends_of_every_range_is_what_the_careful_way_builds(values: Record) -> None:
    assert_same([values])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_write_message_of_every_kind_in_a_users_record(kind: str) -> None:
    rng = random.Random(kind)
    text = f'[[record]]\nname = "Kinds"\ntype = {FREE}\n[record.fields]\npack_from = "{kind}"\n"ﬁeld" = "{kind}"\n'
    (cls,) = register_records(text)
    sample = random_record(rng, cls)
    first = build(Domain.SIGNAL, 4, [sample])
    assert write([sample], Domain.SIGNAL, 4, 0, 0, 0) == first
    for _ in range(5):
        assert_same([random_record(rng, cls)])
    for domain in Domain:
        assert parse(build(domain, 4, [sample])).records == (sample,)


def test_write_message_takes_enums_and_no_records() -> None:
    sync = random_record(random.Random(1), PoolSync)
    assert_same(
        [replace(sync, venue=Venue.QUICKSWAP_V2, protocol=Protocol.UNISWAP_V2, decimals0=True, reserve0=Flag.REPLAY)]
    )
    assert write([], Domain.SYSTEM, 4, 0, 0, 0) == build_carefully(Domain.SYSTEM, 4, [], 0, 0, 0)


def test_the_first_messages_of_a_process_are_built_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tlv.message, "write", tlv.message.first_write)
    monkeypatch.setattr(tlv.message, "built", [])
    gap = [Gap(1, 2, 3, 4)]
    messages = []
    for _ in range(BUILT_PLAINLY):
        assert tlv.message.write is tlv.message.first_write
        messages.append(build(Domain.SYSTEM, 4, gap))
    assert tlv.message.write is message_writer()
    assert {*messages, build(Domain.SYSTEM, 4, gap)} == {messages[0]}
    assert record_writing.write_nothing(gap) is None


def refuse_descriptors(*_arguments: object) -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_messages_are_built_and_read_in_python_while_no_descriptor_is_left_to_load_machine_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gap = [Gap(1, 2, 3, 4)]
    data = build(Domain.SYSTEM, 4, gap)
    for name in ("read", "write"):
        monkeypatch.setattr(tlv.message, name, getattr(tlv.message, f"first_{name}"))
    monkeypatch.setattr(tlv.message, "built", [None] * BUILT_PLAINLY)
    with monkeypatch.context() as shortage:
        shortage.setattr(tlv.message, "message_writer", refuse_descriptors)
        shortage.setattr(tlv.message, "message_reader", refuse_descriptors)
        assert build(Domain.SYSTEM, 4, gap) == data
        assert parse(data).records == (*gap,)
        assert tlv.message.write is tlv.message.first_write and tlv.message.read is tlv.message.first_read
    assert build(Domain.SYSTEM, 4, gap) == data and parse(data).records == (*gap,)
    assert tlv.message.write is message_writer() and tlv.message.read is not tlv.message.first_read


WRONG: list[tuple[type[Record], str, list[Any]]] = [
    (Gap, "first", [1 << 63, -(1 << 63) - 1, 1.0, "1", None]),
    (Gap, "scope", [-1, 256, b"1"]),
    (PoolSync, "venue", [-1, 1 << 16]),
    (PoolSync, "protocol", [-1, 1 << 32, 1 << 70]),
    (PoolSync, "reserve0", [-1, 1 << 256, 1.5, "1", None]),
    (PoolSync, "token0", [b"", bytes(19), bytes(21), "x" * 20, list(range(20)), 20, None]),
    (PoolSync, "pool", [b"", bytes(19), bytes(21), bytes(31), bytes(33), "x" * 20, "x" * 32, 32, None]),
    (PoolSwap, "tick", [1 << 31, -(1 << 31) - 1]),
    (EventOrigin, "block_timestamp", [-1, 1 << 64]),
    (SignalIdentity, "strategy", ["x" * 21, "a\0b", "\ud800", b"x", None]),
]


@pytest.mark.parametrize(("cls", "name", "values"), WRONG)
def test_build_refuses_in_the_same_words(cls: type[Record], name: str, values: list[Any]) -> None:
    sound = random_record(random.Random(3), cls)
    domain = Domain(cls.layout.domain or 0)
    for value in values:
        wrong = [sound, replace(sound, **{name: value})]
        assert write(wrong, domain, 4, 0, 0, 0) is None
        with pytest.raises(UsageError) as careful:
            build_carefully(domain, 4, wrong, 0, 0, 0)
        with pytest.raises(UsageError) as found:
            build(domain, 4, wrong)
        assert str(found.value) == str(careful.value)
        assert str(found.value).startswith(f"{cls.__name__}.{name} is no ")


def test_build_takes_what_machine_code_leaves_to_python() -> None:
    sync = random_record(random.Random(4), PoolSync)
    for name, value in (("venue", np.uint16(7)), ("reserve1", np.int64(9)), ("token0", bytearray(20))):
        other = [replace(sync, **{name: value})]
        assert write(other, Domain.MARKET_DATA, 4, 0, 0, 0) is None
        assert build(Domain.MARKET_DATA, 4, other) == build_carefully(Domain.MARKET_DATA, 4, other, 0, 0, 0)
    flagged = build(Domain.MARKET_DATA, np.uint8(4), [sync], flags=Flag.REPLAY, sequence=np.int64(5))  # type: ignore[arg-type]
    assert parse(flagged).header.flags == Flag.REPLAY
    assert build(1, 4, iter([sync])) == build(Domain.MARKET_DATA, 4, [sync])  # type: ignore[arg-type]

    class Derived(Gap, frozen=True):
        """A record of the same layout and type, which is not the one of its type."""

    for _ in range(2):
        assert write([Derived(1, 2, 3, 4)], Domain.SYSTEM, 4, 0, 0, 0) is None
        assert parse(build(Domain.SYSTEM, 4, [Derived(1, 2, 3, 4)])).records == (Gap(1, 2, 3, 4),)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"domain": Domain.SYSTEM}, r"PoolSync \(type 16\) does not belong to domain SYSTEM"),
        ({"domain": 0}, "domain: expected one of"),
        ({"domain": True}, "domain: expected one of"),
        ({"source": 256}, "source: expected an integer from 0 to 255, found 256"),
        ({"source": -1}, "source: expected"),
        ({"source": 1 << 70}, "source: expected"),
        ({"source": True}, "source: expected"),
        ({"flags": 128}, "flags: expected some of 0x7f, found 0x80"),
        ({"flags": -1}, "flags: expected"),
        ({"flags": False}, "flags: expected"),
        ({"sequence": -1}, "sequence: expected"),
        ({"sequence": 1 << 63}, "sequence: expected"),
        ({"sequence": True}, "sequence: expected"),
        ({"timestamp_ns": 1 << 63}, "timestamp_ns: expected"),
        ({"timestamp_ns": 0.0}, "timestamp_ns: expected"),
        ({"records": [Header(1, 2, 3, 4, 5, 6, 7, 8, 9)]}, r"Header \(type 0\) does not belong"),
        ({"records": [7]}, "records: expected records, found 7"),
        ({"records": 7}, "records: expected records, found 7"),
    ],
)
def test_build_refuses_what_is_no_header_or_no_record(changes: dict[str, Any], text: str) -> None:
    arguments: dict[str, Any] = {"domain": Domain.MARKET_DATA, "source": 4}
    with pytest.raises(UsageError, match=text):
        build(**(arguments | {"records": [random_record(random.Random(5), PoolSync)]} | changes))


def test_build_up_to_64_kib_and_not_a_byte_more_in_machine_code() -> None:
    leg = random_record(random.Random(6), CycleLeg)
    most = (MAX_MESSAGE - 32) // (CycleLeg.layout.size + 5)
    assert_same([leg] * most)
    assert write([leg] * (most + 1), Domain.SIGNAL, 4, 0, 0, 0) is None


@pytest.mark.parametrize("length", [0, 1, 255, 256, 40_000])
def test_head_of_is_what_the_kernel_puts(length: int) -> None:
    buf = np.zeros(5 + length, np.uint8)
    assert head_of(16, length) == buf[: put_tlv(buf, 0, 16, length)].tobytes()


def test_writing_gives_every_reference_back() -> None:
    rng = random.Random(7)
    swap, origin = random_record(rng, PoolSwap), random_record(rng, EventOrigin)
    identity = replace(random_record(rng, SignalIdentity), strategy="something")
    wrong = replace(swap, recipient=b"short")
    jobs = [([swap, origin], Domain.MARKET_DATA), ([identity], Domain.SIGNAL), ([swap, wrong], Domain.MARKET_DATA)]

    def work() -> None:
        for records, domain in jobs:
            write(records, domain, Source.RELAY, 0, 1 << 40, 1 << 50)
            write(records, domain, Source.RELAY, 0, 1 << 70, 0)

    work()
    gc.collect()
    watched = (None, swap, origin, identity, jobs[0][0], swap.pool, swap.amount0_in, identity.strategy, Domain.SIGNAL)
    before, blocks = [sys.getrefcount(one) for one in watched], sys.getallocatedblocks()
    for _ in range(500):
        work()
    gc.collect()
    # A few are the interpreter's own, as its caches fill.
    assert all(abs(sys.getrefcount(one) - count) < 20 for one, count in zip(watched, before, strict=True))
    assert sys.getallocatedblocks() - blocks < 400


@pytest.mark.skipif(BUILTINS, reason="machine code calls no function that a test puts in the place of CPython's")
def test_write_message_without_memory_is_left_to_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_writing, "bytes_object", lambda _start, _size: 0)
    assert write([Gap(1, 2, 3, 4)], Domain.SYSTEM, 4, 0, 0, 0) is None


def test_write_message_of_a_class_that_lost_its_row_is_left_to_python() -> None:
    class Older(Record, frozen=True):
        value: U64

    class Newer(Record, frozen=True):
        value: U64

    for cls in (Older, Newer):
        RECORDS.pop(FREE, None)
        record(type=FREE)(cls)
        build(Domain.SYSTEM, 4, [cls(7)])  # type: ignore[call-arg]
        assert write([cls(7)], Domain.SYSTEM, 4, 0, 0, 0) is not None  # type: ignore[call-arg]
    assert write([Older(7)], Domain.SYSTEM, 4, 0, 0, 0) is None
    assert build(Domain.SYSTEM, 4, [Older(7)]) == build(Domain.SYSTEM, 4, [Newer(7)])


def test_a_written_function_shows_its_text_where_it_fails() -> None:
    wrong = replace(random_record(random.Random(7), PoolSwap), tick=None)
    try:
        PoolSwap._write(wrong)
    except Exception:  # noqa: BLE001 - whatever it is
        shown = traceback.format_exc()
    assert 'File "<write of PoolSwap>"' in shown
    assert "return pack(" in shown
