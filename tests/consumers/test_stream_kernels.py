"""The kernels of relay and journal: compiled and as plain Python they do the same; hostile bytes never get through."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import numpy as np
import pytest

from consumers.journal import kernels as journal
from consumers.journal.layout import FRAME, SCAN_ROWS
from consumers.relay import kernels as relay
from consumers.relay.packing import Packing
from tests.consumers.journal_frames import layout
from tests.consumers.relay_rig import VENUES, address, market_message
from tlv.filter import EVERYTHING, MessageFilter
from tlv.layout import PoolRecord, PoolSwap, StateInvalidation
from tlv.message import parse
from tlv.status import OK

FACES: list[Callable[[Any], Any]] = [lambda kernel: kernel, lambda kernel: kernel.py_func]
MESSAGES = [market_message(sequence) for sequence in range(1, 41)]
ENDS = list(accumulate(map(len, MESSAGES[:6])))
SELECTIONS = {
    "all": EVERYTHING,
    "types": MessageFilter.of(types=[PoolSwap]),
    "rest": MessageFilter.of(venues=[VENUES[0]], pools=[address(100), address(106)], tokens=[address(200)]),
}


@pytest.mark.parametrize("selection", SELECTIONS)
def test_pack_batch_compiled_and_plain_agree(selection: str) -> None:
    buffer, table, count = layout([*MESSAGES, b"no message"], 1)
    results = []
    for face in FACES:
        out = np.zeros(1 << 16, np.uint8)
        found = face(relay.pack_batch)(out, buffer, table, 0, count, 1, 3, 77, SELECTIONS[selection].tables)
        results.append((tuple(map(int, found)), out.tobytes()))
    assert results[0] == results[1]
    column, packed, malformed, size = results[0][0]
    assert (column, malformed) == (41, 1)
    wanted = [message for message in MESSAGES if passes(message, selection)]
    assert packed == len(wanted)
    assert results[0][1][relay.BATCH_BYTES : size] == b"".join(wanted)


def passes(message: bytes, selection: str) -> bool:
    """Whether a selection lets a message of MESSAGES pass, told by its typed records."""
    record = parse(message).records[0]
    if selection == "all" or isinstance(record, StateInvalidation):
        return True
    if selection == "types":
        return isinstance(record, PoolSwap)
    if not isinstance(record, PoolRecord):
        return True
    return record.venue == VENUES[0] and record.pool in (address(100), address(106)) and record.token0 == address(200)


def test_pack_batch_stops_before_what_does_not_fit() -> None:
    buffer, table, count = layout(MESSAGES, 1)
    out = np.zeros(relay.BATCH_BYTES + sum(map(len, MESSAGES[:5])) + 1, np.uint8)
    column, packed, _, size = relay.pack_batch(out, buffer, table, 0, count, 1, 0, 0, SELECTIONS["all"].tables)
    assert (column, packed) == (5, 5)
    assert out[relay.BATCH_BYTES : size].tobytes() == b"".join(MESSAGES[:5])


@pytest.mark.parametrize("face", FACES)
def test_split_messages_finds_whole_sound_ones_and_names_the_first_broken(face: Callable[[Any], Any]) -> None:
    data = b"".join(MESSAGES[:6])
    bounds = np.full(32, -1, np.int64)
    for cut in range(0, len(data), 13):
        buf = np.frombuffer(data[:cut] + bytes(64), np.uint8).copy()
        status, found, _ = face(relay.split_messages)(buf, 0, cut, bounds)
        assert status == relay.PART
        assert found == bisect_right(ENDS, cut)
        assert list(bounds[: found + 1]) == [0, *ENDS[:found]]
    source = random.Random(11)
    for _ in range(300):
        damaged = bytearray(data)
        position = source.randrange(len(data))
        damaged[position] ^= 1 << source.randrange(8)
        buf = np.frombuffer(damaged, np.uint8)
        status, found, cause = face(relay.split_messages)(buf, 0, len(data), bounds)
        assert found == bisect_right(ENDS, position)
        assert bytes(damaged[: bounds[found]]) == data[: bounds[found]]
        assert (status == relay.BROKEN and cause != OK) or status == relay.PART
        assert found < 6


@pytest.mark.parametrize("face", FACES)
def test_message_end_is_the_end_of_the_message_that_was_begun(face: Callable[[Any], Any]) -> None:
    data = np.frombuffer(b"".join(MESSAGES[:3]), np.uint8)
    first, second = len(MESSAGES[0]), len(MESSAGES[0]) + len(MESSAGES[1])
    ends = [int(face(relay.message_end)(data, 0, sent)) for sent in (0, 1, first, first + 1, second)]
    assert ends == [0, first, first, second, second]


def test_scan_records_compiled_and_plain_agree() -> None:
    buffer, table, count = layout([*MESSAGES, b"", b"x"], 9)
    out = np.zeros(1 << 16, np.uint8)
    taken, size = journal.pack_frames(out, 0, buffer, table, 0, count)
    assert taken == count
    plain = np.zeros_like(out)
    assert tuple(map(int, journal.pack_frames.py_func(plain, 0, buffer, table, 0, count))) == (taken, size)
    assert (plain == out).all()
    scans = []
    for face in FACES:
        found = np.zeros((SCAN_ROWS, 64), np.int64)
        result = face(journal.scan_records)(out, 0, size, 9, found)
        scans.append((tuple(map(int, result)), found.tolist()))
    assert scans[0] == scans[1]
    assert scans[0][0] == (journal.SCANNED, count, size, 9 + count)
    assert set(scans[0][1][5][:count]) == {FRAME}


@pytest.mark.parametrize("seed", range(4))
def test_scan_records_any_flipped_bit_ends_the_scan_at_its_record(seed: int) -> None:
    buffer, table, count = layout(MESSAGES, 1)
    out = np.zeros(1 << 16, np.uint8)
    _, size = journal.pack_frames(out, 0, buffer, table, 0, count)
    found = np.zeros((SCAN_ROWS, 64), np.int64)
    starts = [0]
    for message in MESSAGES:
        starts.append(starts[-1] + 32 + (len(message) + 7 & -8))
    source = random.Random(seed)
    for _ in range(500):
        position = source.randrange(size)
        out[position] ^= 1 << source.randrange(8)
        status, whole, end, _ = journal.scan_records(out, 0, size, 1, found)
        assert status != journal.SCANNED
        assert end == starts[whole] <= position < starts[whole + 1]
        _, size = journal.pack_frames(out, 0, buffer, table, 0, count)


def test_packing_packs_anew_for_every_other_key() -> None:
    """A client behind another asks for earlier frames; the bytes of the call before are of no use to it."""
    buffer, table, count = layout(MESSAGES, 1)
    once, fresh = Packing(0, 1 << 16), Packing(0, 1 << 16)
    once.pack(buffer, table, (20, count), (21, 21, EVERYTHING))
    behind, chunk = once.pack(buffer, table, (0, count), (1, 1, EVERYTHING))
    wanted_behind, wanted = fresh.pack(buffer, table, (0, count), (1, 1, EVERYTHING))
    assert (behind, len(chunk)) == (wanted_behind, len(wanted)) and len(chunk) > sum(map(len, MESSAGES))
