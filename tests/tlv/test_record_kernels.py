"""What machine code reads of a message is what Python reads of it step by step, and every reference is given back."""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

import tlv.message
from tests.tlv.plain_calls import call_plainly
from tests.tlv.samples import built_in_types, random_message, random_record
from tests.tlv.test_record import values_of
from tlv import objects, record_kernels
from tlv.codes import Domain, Flag
from tlv.errors import FrameError, TlvError
from tlv.explain import explain
from tlv.fields import U64
from tlv.layout import EventOrigin, Gap, PoolSwap, PoolSync
from tlv.message import Message, build, check, parse, parse_carefully
from tlv.objects import BUILTINS
from tlv.record import RECORDS, Record, record
from tlv.record_kernels import (
    ALONE,
    BESIDE_ORIGIN,
    frames_reader,
    message_reader,
    read_frames,
    read_message,
    read_rows,
    rows_reader,
)
from tlv.record_table import TABLE, bound_to, words
from tlv.status import OK, TOO_SHORT, WRONG_CHECKSUM
from tlv.user_records import KINDS, register_records

FIRST_FREE = 230
"""Types from here on are of no other test."""


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """The table of records belongs to the whole process."""
    before = dict(RECORDS)
    yield
    RECORDS.clear()
    RECORDS.update(before)


def read(data: bytes, unverified: bool = False) -> Any:
    """`read_message`, as the builtin that it is, or as plain Python."""
    found = message_reader(Message)
    if found is not None:
        return found(data, unverified)
    return call_plainly(read_message, bound_to(Message), data, unverified)


def read_all(make: Any, ring: bytes, frames: tuple[Any, ...]) -> Any:
    """`read_frames`, in the same way."""
    buffer, *rows = frames
    job = words(buffer.ctypes.data, buffer.size, *(row.ctypes.data for row in rows), len(rows[0]))
    found = frames_reader()
    if found is not None:
        return found(make, ring, job)
    return call_plainly(read_frames, bound_to(), make, ring, job)


def read_pairs(job: bytes) -> Any:
    """`read_rows`, in the same way."""
    found = rows_reader()
    return found(job) if found is not None else call_plainly(read_rows, bound_to(), job)


def outcome(data: bytes, verify: bool, way: Any) -> Any:
    """The message, or the error with its text."""
    try:
        return way(data, verify)
    except FrameError as error:
        return type(error), str(error)


def step_by_step(data: bytes, verify: bool) -> Message:
    """A parse as plain Python."""
    return parse_carefully(data, check(data, not verify), "here")


def short_way(data: bytes, verify: bool) -> Message:
    """A parse by machine code, where that takes it."""
    found = read(data, not verify)
    return parse_carefully(data, found, "here") if isinstance(found, int) else found


def teach_all() -> None:
    for cls in list(RECORDS.values()):
        TABLE.teach(cls)


def frames_of(messages: list[bytes]) -> tuple[Any, ...]:
    """A buffer of them, with sequences, offsets and lengths."""
    lengths = np.array([len(one) for one in messages], np.int64)
    offsets = np.cumsum(lengths) - lengths
    return np.frombuffer(bytearray(b"".join(messages)), np.uint8), np.arange(lengths.size) + 5, offsets, lengths


def made(ring: bytes, sequence: int, header: Any, records: tuple[Record, ...]) -> Any:
    return ring, sequence, header, records


@pytest.mark.parametrize("number", built_in_types())
def test_read_message_every_record_type_is_what_python_reads(number: int) -> None:
    rng = random.Random(number)
    cls = RECORDS[number]
    TABLE.teach(cls)
    for _ in range(5):
        records = [random_record(rng, cls) for _ in range(rng.randrange(1, 4))]
        assert cls.layout.domain is not None
        data = build(cls.layout.domain, 4, records, sequence=rng.getrandbits(60), timestamp_ns=-rng.getrandbits(60))
        found = read(data)
        assert isinstance(found, Message) and found == step_by_step(data, True)
        assert found.records == tuple(records)


@given(
    values=some.sampled_from(built_in_types()).flatmap(
        lambda number: some.builds(RECORDS[number], *map(values_of, RECORDS[number].layout.kinds.values()))
    )
)
def test_read_message_the_ends_of_every_range_are_what_python_reads(values: Record) -> None:
    TABLE.teach(type(values))
    assert values.layout.domain is not None
    assert read(build(values.layout.domain, 4, [values])).records == (values,)


@pytest.mark.parametrize("seed", range(40))
def test_read_message_damaged_bytes_are_refused_in_the_same_words(seed: int) -> None:
    teach_all()
    rng = random.Random(seed)
    message = bytearray(random_message(rng))
    for _ in range(25):
        damaged = bytearray(message)
        for _ in range(rng.randrange(3)):
            at = rng.choice((rng.randrange(len(damaged)), rng.randrange(min(len(damaged), 40))))
            damaged[at] = rng.choice((0, 1, 255, damaged[at] ^ 1 << rng.randrange(8), rng.randrange(256)))
        data = bytes(damaged[: rng.choice((len(damaged), len(damaged), rng.randrange(len(damaged) + 1)))])
        for verify in (True, False):
            assert outcome(data, verify, short_way) == outcome(data, verify, step_by_step)


def test_read_message_a_refusal_is_its_status() -> None:
    data = build(Domain.SYSTEM, 4, [Gap(1, 2, 3, 4)])
    assert read(b"") == TOO_SHORT
    assert read(data[:-1] + b"\1") == WRONG_CHECKSUM
    assert str(explain(data[:-1] + b"\1", WRONG_CHECKSUM)).startswith("message: expected checksum")


def test_read_message_of_a_class_that_was_not_met_is_left_to_python_once() -> None:
    class Fresh(Record, frozen=True):
        value: U64

    class Before(Record, frozen=True):
        value: U64

    record(type=FIRST_FREE)(Before)
    data = build(Domain.SIGNAL, 4, [Before(7)])
    del RECORDS[FIRST_FREE]
    record(type=FIRST_FREE)(Fresh)
    assert read(data) == OK
    assert parse(data).records == (Fresh(7),)
    assert read(data) == parse(data)


def test_read_message_a_users_type_follows_the_registry() -> None:
    (first,) = register_records(f'[[record]]\nname = "First"\ntype = {FIRST_FREE}\n[record.fields]\na = "u64"\n')
    TABLE.teach(first)
    data = build(Domain.SYSTEM, 4, [Gap(1, 2, 3, 4), first(7), Gap(5, 6, 7, 8)])
    TABLE.teach(Gap)
    assert read(data).records[1] == first(7)
    del RECORDS[FIRST_FREE]
    assert (read(data).records, read(data).unknown) == ((Gap(1, 2, 3, 4), Gap(5, 6, 7, 8)), 1)
    (other,) = register_records(f'[[record]]\nname = "Other"\ntype = {FIRST_FREE}\n[record.fields]\na = "i64"\n')
    assert read(data) == OK
    assert parse(data).records[1] == other(7) == read(data).records[1]


def test_read_message_a_users_record_of_another_size_is_refused_in_python() -> None:
    (cls,) = register_records(f'[[record]]\nname = "Sized"\ntype = {FIRST_FREE}\n[record.fields]\na = "u64"\n')
    TABLE.teach(cls)
    data = build(Domain.SYSTEM, 4, [cls(7)])
    cut = data[:33] + bytes([4]) + data[34:-4]
    cut = cut[:24] + (len(cut) - 32).to_bytes(4, "little") + cut[28:]
    assert read(cut, True) == OK
    with pytest.raises(TlvError, match="message: expected 8 bytes of Sized, found 4 at 34"):
        parse(cut, verify=False)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_read_message_every_kind_of_field_in_a_users_record(kind: str) -> None:
    (cls,) = register_records(f'[[record]]\nname = "Kind"\ntype = {FIRST_FREE}\n[record.fields]\nfield = "{kind}"\n')
    TABLE.teach(cls)
    rng = random.Random(kind)
    for _ in range(20):
        data = build(Domain.SYSTEM, 4, [random_record(rng, cls)])
        assert read(data) == step_by_step(data, True)
    zeros = build(Domain.SYSTEM, 4, [cls.unpack(bytes(cls.layout.size))])
    assert read(zeros) == step_by_step(zeros, True)


def test_read_message_a_record_of_more_fields_than_fit_is_left_to_python() -> None:
    fields = "".join(f'f{at} = "u8"\n' for at in range(objects.STACK_WORDS + 1))
    (cls,) = register_records(f'[[record]]\nname = "Broad"\ntype = {FIRST_FREE}\n[record.fields]\n{fields}')
    data = build(Domain.SYSTEM, 4, [cls(*range(objects.STACK_WORDS + 1))])
    for _ in range(3):
        assert read(data) == OK
        assert parse(data).records == (cls(*range(objects.STACK_WORDS + 1)),)


class Refusing(Record, frozen=True):
    """A user's record that takes no odd value."""

    value: U64

    def __post_init__(self) -> None:
        if self.value % 2:
            raise ArithmeticError(f"{self.value} is odd")


def test_read_message_what_a_class_raises_is_raised() -> None:
    record(type=FIRST_FREE)(Refusing)
    TABLE.teach(Refusing)
    even = build(Domain.SYSTEM, 4, [Gap(1, 2, 3, 4), Refusing(2)])
    odd = bytearray(even)
    odd[-8] = 3
    TABLE.teach(Gap)
    assert read(even).records == (Gap(1, 2, 3, 4), Refusing(2))
    with pytest.raises(ArithmeticError, match="3 is odd"):
        read(bytes(odd), True)
    with pytest.raises(ArithmeticError, match="3 is odd"):
        read_all(made, b"r", frames_of([even, bytes(odd), even]))


def test_read_frames_are_made_up_to_the_one_that_python_has_to_read() -> None:
    teach_all()
    rng = random.Random(5)
    messages = [random_message(rng) for _ in range(20)]
    found = read_all(made, b"ring", frames_of(messages))
    assert [one[:2] for one in found] == [(b"ring", sequence) for sequence in range(5, 25)]
    assert [Message(one[2], one[3], 0) for one in found] == [step_by_step(one, False) for one in messages]
    broken = [*messages[:7], messages[7][:-1], *messages[8:]]
    assert len(read_all(made, b"ring", frames_of(broken))) == 7
    assert read_all(made, b"ring", frames_of(broken[7:])) == []
    assert read_all(made, b"ring", (np.zeros(0, np.uint8), *np.zeros((3, 0), np.int64))) == []


def test_read_frames_what_make_raises_is_raised() -> None:
    teach_all()
    message = build(Domain.SYSTEM, 4, [Gap(1, 2, 3, 4)])

    def picky(ring: bytes, sequence: int, header: Any, records: tuple[Record, ...]) -> int:
        return 1 // (sequence - 6)

    with pytest.raises(ZeroDivisionError):
        read_all(picky, b"ring", frames_of([message] * 3))


def test_read_rows_makes_what_is_wanted() -> None:
    teach_all()
    rng = random.Random(6)
    sync, origin, gap = random_record(rng, PoolSync), random_record(rng, EventOrigin), Gap(1, 2, 3, 4)
    data = np.frombuffer(bytearray(sync.pack() + origin.pack() + gap.pack()), np.uint8)
    behind, last = sync.layout.size, sync.layout.size + origin.layout.size
    number, other = PoolSync.layout.type, Gap.layout.type
    rows = np.array(
        [[0, number, 0, behind], [0, number, 0, 0], [0, -1, 0, 0], [0, other, last, 0], [0, FIRST_FREE, 0, 0]], np.int64
    )
    wanted = np.zeros(256, np.uint8)
    wanted[number], wanted[other] = BESIDE_ORIGIN, ALONE
    job = words(data.ctypes.data, rows.ctypes.data, rows.strides[0], len(rows), wanted.ctypes.data)
    assert read_pairs(job) == [sync, origin, None, None, None, None, gap, None, None, None]


def test_reading_gives_every_reference_back() -> None:
    teach_all()
    rng = random.Random(7)
    record(type=FIRST_FREE)(Refusing)
    TABLE.teach(Refusing)
    messages = [random_message(rng) for _ in range(50)] + [build(Domain.SYSTEM, 4, [Refusing(2)])]
    odd = bytearray(messages[-1])
    odd[-8] = 3
    ring, frames = b"ring", frames_of([*messages, messages[0][:-1]])

    def work() -> None:
        for message in messages:
            read(message)
            read(message[:-1])
        read_all(made, ring, frames)
        with pytest.raises(ArithmeticError):
            read(bytes(odd), True)

    work()
    gc.collect()
    watched = (None, True, ring, Message, Gap, PoolSwap, RECORDS, made, messages[0])
    before, blocks = [sys.getrefcount(one) for one in watched], sys.getallocatedblocks()
    for _ in range(20):
        work()
    gc.collect()
    # A few are the interpreter's own, as its caches fill; 20 rounds of 100 messages would leave thousands.
    assert all(abs(sys.getrefcount(one) - count) < 20 for one, count in zip(watched, before, strict=True))
    assert sys.getallocatedblocks() - blocks < 400


@pytest.mark.skipif(BUILTINS, reason="machine code calls no function that a test puts in the place of CPython's")
@pytest.mark.parametrize("name", ["tuple_object", "list_object", "call_object", "bytes_object", "signed_object"])
def test_reading_without_memory_raises(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    teach_all()
    rng = random.Random(8)
    sync, origin = random_record(rng, PoolSync), random_record(rng, EventOrigin)
    message = build(Domain.MARKET_DATA, 4, [sync, origin])
    rows = np.array([[0, PoolSync.layout.type, 34, 34 + sync.layout.size + 2]] * 2, np.int64)
    wanted = np.full(256, BESIDE_ORIGIN, np.uint8)
    frames = frames_of([message])
    data = frames[0]
    job = words(data.ctypes.data, rows.ctypes.data, rows.strides[0], len(rows), wanted.ctypes.data)
    real = getattr(record_kernels, name)
    for spared in range(60):
        calls = 0

        def fails(*arguments: int, spared: int = spared) -> int:
            nonlocal calls
            calls += 1
            if calls <= spared:
                return int(real(*arguments))
            objects.raised.append(MemoryError())
            return 0

        monkeypatch.setattr(record_kernels, name, fails)
        works = (
            lambda: read(message),
            lambda: read_all(made, b"", frames_of([message])),
            lambda: read_pairs(job),
        )
        for work in works:
            calls = 0
            try:
                work()
            except MemoryError:
                assert calls > spared
            else:
                assert calls <= spared


def test_first_read_is_replaced_by_what_it_made() -> None:
    data = build(Domain.SYSTEM, 4, [Gap(1, 2, 3, 4)], flags=Flag.REPLAY)
    assert parse(data) == parse(data)
    assert tlv.message.read is not tlv.message.first_read
    assert tuple(parse(data)) == (parse(data).header, (Gap(1, 2, 3, 4),), 0)
