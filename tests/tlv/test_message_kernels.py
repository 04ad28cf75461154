"""The framing kernels, compiled and as plain Python: positions, refusals, and no byte outside their range."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.tlv.plain import both
from tests.tlv.samples import random_message, random_record
from tlv import kernels
from tlv.buffers import byte_at
from tlv.codes import MAX_MESSAGE, Domain
from tlv.layout import (
    EVENT_ORIGIN,
    GAP,
    HEADER,
    HEADER_SIZE,
    POOL_SWAP,
    SIZE_OF_TYPE,
    EventOrigin,
    Gap,
    Header,
    PoolSwap,
)
from tlv.message import build
from tlv.status import CAUSES, OK, TOO_LONG, TOO_SHORT, TRUNCATED_TLV

FAR = (1 << 63) - 16
"""A position whose sum with a header's size overflows."""


def array(data: bytes) -> np.ndarray:
    return np.frombuffer(bytearray(data), dtype=np.uint8)


def gap_message() -> bytes:
    return build(Domain.SYSTEM, 4, [Gap(1, 2, 1, 1)], sequence=1)


@pytest.mark.parametrize("read", both(byte_at))
def test_byte_at_is_a_signed_integer_that_can_be_shifted(read) -> None:
    assert read(array(b"\xff"), 0) << 24 == 0xFF000000


@pytest.mark.parametrize("check", both(kernels.check_message))
@pytest.mark.parametrize("margin", [0, 1, 7, 64])
def test_check_message_anywhere_in_a_buffer_is_ok(check, margin: int) -> None:
    for seed in range(20):
        data = random_message(random.Random(seed))
        buf = array(b"\xff" * margin + data + b"\xff" * margin)
        assert check(buf, margin, margin + len(data), True) == OK


@pytest.mark.parametrize("check", both(kernels.check_message))
def test_check_message_without_verify_does_not_look_at_the_checksum(check) -> None:
    data = array(gap_message())
    data[31] ^= 1
    assert check(data, 0, data.size, False) == OK
    assert CAUSES[check(data, 0, data.size, True)].name == "wrong_checksum"


OUTSIDE = [(-1, 57), (0, 59), (1, 59), (59, 59), (58, 0), (FAR, FAR + 58 - (1 << 64)), (-(1 << 63), 58), (0, -1)]


@pytest.mark.parametrize("check", both(kernels.check_message))
@pytest.mark.parametrize(("start", "end"), OUTSIDE)
def test_check_message_of_a_range_outside_the_buffer_is_too_short(check, start: int, end: int) -> None:
    assert check(array(gap_message()), start, end, True) == TOO_SHORT


@pytest.mark.parametrize("find", both(kernels.find_tlv))
@pytest.mark.parametrize(("start", "end"), OUTSIDE)
def test_find_tlv_in_a_range_outside_the_buffer_finds_nothing(find, start: int, end: int) -> None:
    if start != 1:
        assert find(array(gap_message()), start, end, 102) == -1


@pytest.mark.parametrize("seal", both(kernels.seal))
@pytest.mark.parametrize(("start", "end"), OUTSIDE)
def test_seal_of_a_range_outside_the_buffer_touches_nothing(seal, start: int, end: int) -> None:
    buf = array(gap_message())
    assert seal(buf, start, end) == TOO_SHORT
    assert buf.tobytes() == gap_message()


@pytest.mark.parametrize("find", both(kernels.find_tlv))
def test_find_tlv_returns_a_position_that_views_as_the_record(find) -> None:
    rng = random.Random(5)
    swap, origin = random_record(rng, PoolSwap), random_record(rng, EventOrigin)
    buf = array(build(Domain.MARKET_DATA, 4, [swap, origin]))
    at_swap, at_origin = find(buf, 0, buf.size, 11), find(buf, 0, buf.size, 19)
    view = buf[at_origin : at_origin + EVENT_ORIGIN.itemsize].view(EVENT_ORIGIN)[0]
    assert view["block_number"] == origin.block_number
    assert bytes(view["block_hash"]) == origin.block_hash
    view = buf[at_swap : at_swap + POOL_SWAP.itemsize].view(POOL_SWAP)[0]
    assert view["tick"] == swap.tick
    assert find(buf, 0, buf.size, 16) == -1


@pytest.mark.parametrize("find", both(kernels.find_tlv))
def test_find_tlv_on_unchecked_bytes_never_returns_less_than_the_record(find) -> None:
    header = Header(0xDEADBEEF, 4, 1, 4, 0, 1, 0, 0, 0).pack()
    gap = Gap(1, 2, 1, 1).pack()
    assert find(array(header + bytes([102, 3]) + gap[:3]), 0, 37, 102) == -1
    assert find(array(header + bytes([102, 24]) + gap[:23]), 0, 57, 102) == -1
    assert find(array(header + bytes([102, 1, 9]) + bytes([102, 24]) + gap), 0, 61, 102) == 37
    assert find(array(header + bytes([200, 1, 9])), 0, 35, 200) == 34


@pytest.mark.parametrize("count", both(kernels.count_unknown))
def test_count_unknown_counts_types_without_layout(count) -> None:
    payload = bytes([200, 0, 102, 24]) + bytes(24) + bytes([255, 0, 99, 1, 0, 7, 85, 0])
    buf = array(bytes(HEADER_SIZE) + payload)
    assert count(buf, 0, buf.size) == 3
    assert count(buf, 0, buf.size - 1) == 2


@pytest.mark.parametrize("step", both(kernels.next_tlv))
def test_next_tlv_walks_both_forms(step) -> None:
    buf = array(bytes([200, 2, 7, 8]) + bytes([255, 0, 201, 3, 0, 7, 8, 9]) + bytes([202, 0]))
    assert step(buf, 0, 14) == (OK, 200, 2, 2, 4)
    assert step(buf, 4, 14) == (OK, 201, 9, 3, 12)
    assert step(buf, 12, 14) == (OK, 202, 14, 0, 14)
    assert step(buf, 14, 14)[0] == TRUNCATED_TLV


@pytest.mark.parametrize("step", both(kernels.next_tlv))
def test_next_tlv_cut_anywhere_tells_what_of_its_head_is_whole(step) -> None:
    buf = array(bytes([255, 0, 201, 3, 1]) + bytes(259))
    assert step(buf, 0, 264) == (OK, 201, 5, 259, 264)
    for end in range(5, 264):
        assert step(buf, 0, end) == (TRUNCATED_TLV, 201, 5, 259, end)
    for end in range(5):
        assert step(buf, 0, end)[0] == TRUNCATED_TLV
        assert step(buf, 0, end)[4] == end


@pytest.mark.parametrize("start_message", both(kernels.put_header))
@pytest.mark.parametrize("start_tlv", both(kernels.put_tlv))
@pytest.mark.parametrize("finish", both(kernels.seal))
@pytest.mark.parametrize("start", [0, 3, 64])
def test_put_and_seal_write_what_build_writes(start_message, start_tlv, finish, start: int) -> None:
    swap = random_record(random.Random(6), PoolSwap)
    wanted = build(Domain.MARKET_DATA, 4, [swap, swap], sequence=77, timestamp_ns=88, flags=1)
    buf = array(b"\xaa" * (start + len(wanted) + 8))
    pos = start_message(buf, start, 1, 4, 1, 77, 88)
    for _ in range(2):
        pos = start_tlv(buf, pos, 11, PoolSwap.layout.size)
        buf[pos : pos + PoolSwap.layout.size] = array(swap.pack())
        pos += PoolSwap.layout.size
    assert finish(buf, start, pos) == OK
    assert buf.tobytes() == b"\xaa" * start + wanted + b"\xaa" * 8


@pytest.mark.parametrize("start_message", both(kernels.put_header))
@pytest.mark.parametrize("start", [-1, 1, 32, FAR])
def test_put_header_without_room_touches_nothing(start_message, start: int) -> None:
    buf = array(bytes(32))
    assert start_message(buf, start, 1, 4, 0, 1, 1) == -1
    assert not buf.any()


@pytest.mark.parametrize("start_tlv", both(kernels.put_tlv))
@pytest.mark.parametrize(
    ("size", "pos", "length"),
    [
        (10, 0, 9),
        (10, 9, 0),
        (10, -1, 1),
        (10, FAR, 1),
        (10, 0, -1),
        (260, 0, 256),
        (4, 0, 256),
        (10, 0, MAX_MESSAGE + 1),
    ],
)
def test_put_tlv_without_room_touches_nothing(start_tlv, size: int, pos: int, length: int) -> None:
    buf = array(bytes(size))
    assert start_tlv(buf, pos, 200, length) == -1
    assert not buf.any()


@pytest.mark.parametrize("start_tlv", both(kernels.put_tlv))
@pytest.mark.parametrize("step", both(kernels.next_tlv))
@pytest.mark.parametrize("length", [0, 1, 255, 256, 257, 65_535])
def test_put_tlv_is_read_back_by_next_tlv(start_tlv, step, length: int) -> None:
    buf = array(bytes(length + 5))
    value_pos = start_tlv(buf, 0, 203, length)
    assert value_pos == (2 if length <= 255 else 5)
    assert step(buf, 0, buf.size) == (OK, 203, value_pos, length, value_pos + length)


@pytest.mark.parametrize("finish", both(kernels.seal))
def test_seal_refuses_more_than_64_kib(finish) -> None:
    buf = array(bytes(MAX_MESSAGE + 1))
    assert finish(buf, 0, MAX_MESSAGE + 1) == TOO_LONG
    assert finish(buf, 1, MAX_MESSAGE + 1) == OK
    assert buf[1 : 1 + HEADER_SIZE].view(HEADER)[0]["payload_size"] == MAX_MESSAGE - HEADER_SIZE


@pytest.mark.parametrize("check", both(kernels.check_tlv))
def test_check_tlv_follows_the_table_of_types(check) -> None:
    ranges = {1: range(1, 20), 2: range(20, 40), 3: range(40, 80), 4: range(80, 120)}
    for tlv_type in range(256):
        for domain, types in ranges.items():
            cause = check(domain, tlv_type, 24)
            if tlv_type == 0 or 120 <= tlv_type < 200 or tlv_type == 255:
                assert CAUSES[cause].name == "invalid_type"
            elif tlv_type < 200 and tlv_type not in types:
                assert CAUSES[cause].name == "foreign_type"
            elif SIZE_OF_TYPE[tlv_type] in (-1, 24):
                assert cause == OK
            else:
                assert CAUSES[cause].name == "wrong_tlv_size"


def test_gap_is_a_record_of_24_bytes_as_the_benchmark_needs() -> None:
    assert GAP.itemsize == 24
