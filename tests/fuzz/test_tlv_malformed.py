"""Row 20: a million malformed messages, judged by the kernels and by the reference parser; the two never differ."""

from __future__ import annotations

import random
import zlib
from collections import Counter
from collections.abc import Callable

import numba
import numpy as np
import pytest

from tests.fuzz.tlv_reference import RECORD_SIZES, Refused, Tlv, parse_reference
from tests.tlv.samples import random_message
from tlv.batch import check_batch
from tlv.kernels import find_tlv, next_tlv
from tlv.message import parse
from tlv.record import RECORDS
from tlv.status import CAUSES, OK

SEED = 20
CASES = 20_000 if numba.config.DISABLE_JIT else 1_000_000
CHUNK = 10_000
"""Cases in one buffer: some 2 MB."""

Mutation = Callable[[random.Random, bytearray], None]


def positions(data: bytearray) -> list[int]:
    """Where the TLVs of a message begin, as far as an earlier mutation left them readable."""
    found, pos = [], 32
    while pos < len(data) - 4:
        found.append(pos)
        pos += 5 + int.from_bytes(data[pos + 3 : pos + 5], "little") if data[pos] == 255 else 2 + data[pos + 1]
    return found


def flip_a_bit(rng: random.Random, data: bytearray) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def change_a_header_byte(rng: random.Random, data: bytearray) -> None:
    data[rng.choice((0, 3, 4, 4, 5, 6, 7, 15, 24, 25, 26, 28))] = rng.randrange(256)


def change_a_head(rng: random.Random, data: bytearray) -> None:
    starts = positions(data)
    if starts:
        pos = rng.choice(starts) + rng.randrange(5)
        if pos < len(data):
            data[pos] = rng.choice((0, 1, 2, 254, 255, rng.randrange(256)))


def change_a_type(rng: random.Random, data: bytearray) -> None:
    starts = positions(data)
    if starts:
        pos = rng.choice(starts)
        data[pos + 2 if data[pos] == 255 else pos] = rng.choice((0, 11, 22, 32, 102, 120, 199, 200, 254, 255))


def cut(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(len(data)) :]


def append_noise(rng: random.Random, data: bytearray) -> None:
    data += rng.randbytes(rng.randrange(1, 12))


def append_empty_tlvs(rng: random.Random, data: bytearray) -> None:
    data += bytes([rng.choice((0, 5, 30, 90, 200, 255)), 0]) * rng.randrange(1, 20)


def append_an_extended_tlv(rng: random.Random, data: bytearray) -> None:
    length = rng.choice((0, 1, 24, 255, 256, 300))
    claimed = length if rng.random() < 0.7 else rng.choice((length + 1, 65535, max(length - 1, 0)))
    data += bytes([255, 0, rng.choice((200, 102, 16, 255, 0))]) + claimed.to_bytes(2, "little") + bytes(length)


def replace_the_payload(rng: random.Random, data: bytearray) -> None:
    data[32:] = rng.randbytes(rng.randrange(40))


def write_a_head_over_another(rng: random.Random, data: bytearray) -> None:
    if len(data) > 40:
        pos = rng.randrange(32, len(data) - 5)
        data[pos : pos + 5] = bytes([255, 0, 200, rng.randrange(256), rng.choice((0, 0, 1))])


def grow_to_the_limit(rng: random.Random, data: bytearray) -> None:
    if rng.random() < 0.01:
        room = 65536 + rng.choice((-1, 0, 1)) - 32 - 5
        data[32:] = bytes([255, 0, 200]) + room.to_bytes(2, "little") + bytes(room)


MUTATIONS: list[Mutation] = [
    flip_a_bit,
    change_a_header_byte,
    change_a_head,
    change_a_head,
    change_a_type,
    change_a_type,
    cut,
    cut,
    append_noise,
    append_noise,
    append_empty_tlvs,
    append_an_extended_tlv,
    replace_the_payload,
    write_a_head_over_another,
    grow_to_the_limit,
]


def originals(rng: random.Random, count: int) -> list[bytes]:
    """Well-formed messages with a record or two; one in ten has none."""
    drawn = [random_message(rng, most=2) for _ in range(4 * count)]
    empty = [message for message in drawn if len(message) == 32][: count // 10]
    return [message for message in drawn if len(message) > 32][: count - len(empty)] + empty


def malformed(rng: random.Random, messages: list[bytes]) -> bytes:
    """A message after one to three mutations; size and checksum are mostly set right, so that deeper rules decide."""
    data = bytearray(rng.choice(messages))
    for _ in range(rng.choice((1, 1, 2, 3))):
        if len(data) >= 32:
            rng.choice(MUTATIONS)(rng, data)
    if len(data) >= 32:
        if rng.random() < 0.9:
            data[24:28] = (len(data) - 32).to_bytes(4, "little")
        if rng.random() < 0.9:
            data[28:32] = zlib.crc32(data[32:], zlib.crc32(data[:28])).to_bytes(4, "little")
    return bytes(data)


def verdict_of_reference(data: bytes) -> tuple[str, list[Tlv]]:
    try:
        return "ok", parse_reference(data)
    except Refused as refused:
        return str(refused), []


def walk(buf: np.ndarray, start: int, end: int) -> list[Tlv]:
    """The TLVs as the kernels see them, with positions from the start of the message."""
    found, pos = [], start + 32
    while pos < end:
        _, number, value_pos, length, pos = next_tlv(buf, pos, end)
        found.append((number, value_pos - start, length))
    return found


def assert_same_walk(buf: np.ndarray, start: int, end: int, tlvs: list[Tlv]) -> None:
    """The kernels see these TLVs, no others, and find the first of a type."""
    assert walk(buf, start, end) == tlvs
    wanted = tlvs[-1][0]
    assert find_tlv(buf, start, end, wanted) == start + next(at for number, at, _ in tlvs if number == wanted)


def test_kernels_on_malformed_messages_agree_with_the_reference() -> None:
    """P5: refused like the reference refuses, and never read beyond the end."""
    rng = random.Random(SEED)
    messages = originals(rng, 60)
    verdicts: Counter[str] = Counter()
    while verdicts.total() - verdicts["ok"] < CASES:
        cases = [malformed(rng, messages) for _ in range(CHUNK)]
        lengths = np.array([len(case) for case in cases], dtype=np.int64)
        offsets = np.cumsum(lengths) - lengths
        buf = np.frombuffer(bytearray(b"".join(cases)), dtype=np.uint8)
        statuses = np.zeros(CHUNK, dtype=np.int64)
        check_batch(buf, offsets, lengths, True, statuses)
        for case, status, start in zip(cases, statuses.tolist(), offsets.tolist(), strict=True):
            verdict, tlvs = verdict_of_reference(case)
            assert verdict == ("ok" if status == OK else CAUSES[status].name), (SEED, case.hex())
            verdicts[verdict] += 1
            if tlvs and verdicts["ok"] % 8 == 0:
                assert_same_walk(buf, start, start + len(case), tlvs)
    refused = verdicts.total() - verdicts["ok"]
    print(f"row 20: {refused} malformed of {verdicts.total()} cases, 0 differences (seed {SEED})")
    assert set(verdicts) == {"ok"} | {cause.name for cause in CAUSES.values()}
    assert min(verdicts.values()) >= CASES // 20_000


def test_parse_of_malformed_messages_raises_only_what_is_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    for vendor in [number for number in RECORDS if number not in RECORD_SIZES]:
        monkeypatch.delitem(RECORDS, vendor)
    rng = random.Random(SEED + 1)
    messages = originals(rng, 20)
    refused: Counter[str] = Counter()
    for _ in range(20_000):
        case = malformed(rng, messages)
        verdict, tlvs = verdict_of_reference(case)
        try:
            message = parse(case)
        except tuple(cause.error for cause in CAUSES.values()) as error:
            refused[verdict] += 1
            assert verdict != "ok"
            assert str(error).startswith("message: expected ")
        else:
            assert verdict == "ok"
            assert len(message.records) + message.unknown == len(tlvs)
    assert set(refused) == {cause.name for cause in CAUSES.values()}
