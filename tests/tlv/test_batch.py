"""Many messages in one buffer: each answer is that of the single call, and bad arrays are refused whole."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.tlv.plain import both
from tests.tlv.samples import random_message
from tlv.batch import add_flags, build_batch, check_batch, read_headers
from tlv.codes import MAX_MESSAGE, Domain, Flag
from tlv.errors import FrameError
from tlv.kernels import check_message
from tlv.layout import HEADER, Gap, Header
from tlv.message import build, parse
from tlv.status import OK, TOO_SHORT, WRONG_CHECKSUM


def packed(messages: list[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    lengths = np.array([len(message) for message in messages], dtype=np.int64)
    offsets = np.cumsum(lengths) - lengths
    return np.frombuffer(bytearray(b"".join(messages)), dtype=np.uint8), offsets, lengths


def messages_with_damage() -> list[bytes]:
    rng = random.Random(7)
    messages = []
    for i in range(200):
        data = bytearray(random_message(rng))
        if i % 3 == 0:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        messages.append(bytes(data))
    return messages


@pytest.mark.parametrize("check", both(check_batch))
@pytest.mark.parametrize("verify", [False, True])
def test_check_batch_answers_as_check_message_does(check, verify: bool) -> None:
    buf, offsets, lengths = packed(messages_with_damage())
    statuses = np.full(offsets.size, 99, dtype=np.int64)
    refused = check(buf, offsets, lengths, verify, statuses)
    wanted = [check_message(buf, o, o + n, verify) for o, n in zip(offsets, lengths, strict=True)]
    assert statuses.tolist() == wanted
    assert refused == sum(status != OK for status in wanted) > 0


@pytest.mark.parametrize("read", both(read_headers))
@pytest.mark.parametrize("verify", [False, True])
def test_read_headers_copies_the_headers_that_are_right(read, verify: bool) -> None:
    messages = messages_with_damage()
    buf, offsets, lengths = packed(messages)
    statuses = np.full(offsets.size, 99, dtype=np.int64)
    headers = np.zeros(offsets.size, dtype=HEADER)
    refused = read(buf, offsets, lengths, verify, headers, statuses)
    assert refused == np.count_nonzero(statuses) > 0
    for message, header, status in zip(messages, headers, statuses, strict=True):
        wanted = message[: HEADER.itemsize] if status == OK else bytes(HEADER.itemsize)
        assert header.tobytes() == wanted
    assert (WRONG_CHECKSUM in statuses) is verify


def miss_checksum(buf: np.ndarray, delta: int) -> None:
    """Let the message at the start of `buf` state a checksum that is off by `delta`."""
    header = buf[: HEADER.itemsize].view(HEADER)[0]
    header["checksum"] = (int(header["checksum"]) + delta) % (1 << 32)


@pytest.mark.parametrize("read", both(read_headers))
@pytest.mark.parametrize(
    ("verify", "right", "status", "copied"),
    [(True, True, OK, True), (True, False, WRONG_CHECKSUM, False), (False, True, OK, True), (False, False, OK, True)],
)
@pytest.mark.parametrize("delta", [1, -1])
def test_read_headers_of_a_checksum_copies_it_unless_it_is_verified_and_wrong(
    read, verify: bool, right: bool, status: int, copied: bool, delta: int
) -> None:
    buf, offsets, lengths = packed([build(Domain.SYSTEM, 4, [Gap(1, 2, 1, 1)])])
    if not right:
        miss_checksum(buf, delta)
    statuses, headers = np.full(1, 99, dtype=np.int64), np.zeros(1, dtype=HEADER)
    assert read(buf, offsets, lengths, verify, headers, statuses) == (status != OK)
    assert statuses[0] == status
    assert (headers.tobytes() == buf[: HEADER.itemsize].tobytes()) is copied


@pytest.mark.parametrize("add", both(add_flags))
@pytest.mark.parametrize("delta", [1, -1])
def test_add_flags_to_a_wrong_checksum_refuses_and_changes_nothing(add, delta: int) -> None:
    buf, offsets, lengths = packed([build(Domain.SYSTEM, 4, [Gap(1, 2, 1, 1)])])
    miss_checksum(buf, delta)
    before = buf.tobytes()
    assert add(buf, offsets, lengths, int(Flag.REPLAY)) == 1
    assert buf.tobytes() == before


@pytest.mark.parametrize("check", both(check_batch))
@pytest.mark.parametrize("read", both(read_headers))
@pytest.mark.parametrize(("start", "length"), [(-1, 58), (0, 59), (59, 0), (0, -1), (0, 1 << 62)])
def test_batch_of_a_range_outside_the_buffer_is_too_short(check, read, start: int, length: int) -> None:
    buf, offsets, lengths = packed([build(Domain.SYSTEM, 4, [Gap(1, 2, 1, 1)])])
    offsets[0], lengths[0] = start, length
    statuses, headers = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=HEADER)
    assert (check(buf, offsets, lengths, True, statuses), statuses[0]) == (1, TOO_SHORT)
    assert (read(buf, offsets, lengths, True, headers, statuses), statuses[0]) == (1, TOO_SHORT)


@pytest.mark.parametrize(("start", "length"), [((1 << 63) - 1, 58), (1, (1 << 63) - 1), (1 << 62, 1 << 62)])
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_batch_of_a_range_whose_end_wraps_around_is_too_short(start: int, length: int) -> None:
    buf, _, _ = packed([build(Domain.SYSTEM, 4, [Gap(1, 2, 1, 1)])])
    offsets, lengths, statuses = np.full(1, start), np.full(1, length), np.zeros(1, dtype=np.int64)
    for check in both(check_batch):
        assert (check(buf, offsets, lengths, True, statuses), statuses[0]) == (1, TOO_SHORT)


def two_of(dtype: str = "i8", *, short: bool = False) -> np.ndarray:
    return np.zeros(1 if short else 2, dtype=dtype)


@pytest.mark.parametrize("odd", range(3))
def test_batch_arrays_of_different_sizes_are_refused(odd: int) -> None:
    buf = np.zeros(128, dtype=np.uint8)
    headers = np.zeros(1 if odd == 2 else 2, dtype=HEADER)
    lengths, statuses = two_of(short=odd == 0), two_of(short=odd == 1)
    for read in both(read_headers):
        assert read(buf, two_of(), lengths, True, headers, statuses) == -1
    for check in both(check_batch):
        assert check(buf, two_of(), lengths, True, statuses) == (2 if odd == 2 else -1)
    values = np.zeros((2, 24), dtype=np.uint8)
    for make in both(build_batch):
        assert make(buf, two_of(short=odd == 0), two_of(short=odd != 0), 4, 4, 0, 1, 0, 102, values, True) == -1


@pytest.mark.parametrize("make", both(build_batch))
def test_build_batch_writes_what_build_writes(make) -> None:
    records = [Gap(i, i + 1, 1, 1) for i in range(50)]
    values = np.frombuffer(b"".join(record.pack() for record in records), dtype=np.uint8).reshape(50, 24).copy()
    buf, offsets, lengths = np.zeros(50 * 58, dtype=np.uint8), np.zeros(50, dtype="i8"), np.zeros(50, dtype="i8")
    assert make(buf, offsets, lengths, 4, 60, 1, 1000, 5, 102, values, True) == 50 * 58
    for i, record in enumerate(records):
        wanted = build(Domain.SYSTEM, 60, [record], sequence=1000 + i, timestamp_ns=5, flags=1)
        assert buf[offsets[i] : offsets[i] + lengths[i]].tobytes() == wanted


@pytest.mark.parametrize("make", both(build_batch))
def test_build_batch_unsealed_is_accepted_only_without_verify(make) -> None:
    values = np.zeros((1, 24), dtype=np.uint8)
    buf, offsets, lengths = np.zeros(58, dtype=np.uint8), np.zeros(1, dtype="i8"), np.zeros(1, dtype="i8")
    assert make(buf, offsets, lengths, 4, 60, 0, 1, 0, 102, values, False) == 58
    assert parse(buf.tobytes(), verify=False).records == (Gap(0, 0, 0, 0),)
    assert check_message(buf, 0, 58, True) == WRONG_CHECKSUM
    assert Header.unpack(buf.tobytes()).checksum == 0


@pytest.mark.parametrize("make", both(build_batch))
@pytest.mark.parametrize("room", [0, 31, 33, 57, 115])
def test_build_batch_without_room_is_refused(make, room: int) -> None:
    buf, offsets, lengths = np.zeros(room, dtype=np.uint8), np.zeros(2, dtype="i8"), np.zeros(2, dtype="i8")
    assert make(buf, offsets, lengths, 4, 60, 0, 1, 0, 102, np.zeros((2, 24), dtype=np.uint8), True) == -1


@pytest.mark.parametrize("make", both(build_batch))
def test_build_batch_of_messages_beyond_64_kib_is_refused(make) -> None:
    buf, offsets, lengths = np.zeros(1 << 17, dtype=np.uint8), np.zeros(1, dtype="i8"), np.zeros(1, dtype="i8")
    largest = MAX_MESSAGE - 32 - 5
    for size, wanted in ((largest, MAX_MESSAGE), (largest + 1, -1)):
        assert make(buf, offsets, lengths, 4, 60, 0, 1, 0, 102, np.zeros((1, size), dtype=np.uint8), True) == wanted


@pytest.mark.parametrize("add", both(add_flags))
def test_add_flags_seals_what_was_right_and_leaves_the_rest(add) -> None:
    messages = messages_with_damage()
    buf, offsets, lengths = packed(messages)
    refused = add(buf, offsets, lengths, int(Flag.REPLAY))
    right = 0
    for message, start, length in zip(messages, offsets, lengths, strict=True):
        found = buf[start : start + length].tobytes()
        try:
            before = parse(message)
        except FrameError:
            assert found == message
            continue
        right += 1
        after = parse(found)
        assert after.header.flags == before.header.flags | Flag.REPLAY
        assert (after.header.sequence, after.records) == (before.header.sequence, before.records)
    assert refused == len(messages) - right > 0


@pytest.mark.parametrize("add", both(add_flags))
def test_add_flags_to_arrays_of_different_sizes_is_refused(add) -> None:
    assert add(np.zeros(64, dtype=np.uint8), two_of(), two_of(short=True), 64) == -1
