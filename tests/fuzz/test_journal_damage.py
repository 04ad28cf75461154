"""Damage of any kind in a segment: no frame is ever wrong, and every sequence is a frame or told as lost, once."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from consumers.journal.layout import HEADER_BYTES
from consumers.journal.segment import list_segments
from ringbuf import Loss
from tests.consumers.journal_frames import append, open_writer, random_payloads, read_all

PAYLOADS = random_payloads(1500, seed=33, longest=2500)
CASES = 60


def damage(data: bytearray, rng: random.Random, begin: int) -> str:
    """Change bytes from `begin` on, in one of the ways in which disks and copies do."""
    at = rng.randrange(begin, len(data) - 16)
    kind = rng.choice(["flip", "flips", "zeros", "noise", "moved", "removed"])
    size = min(rng.choice([1, 8, 100, 512, 4096, 30_000]), len(data) - at)
    if kind == "flip":
        data[at] ^= 1 << rng.randrange(8)
    elif kind == "flips":
        for _ in range(rng.randrange(2, 9)):
            data[rng.randrange(begin, len(data))] ^= 1 << rng.randrange(8)
    elif kind == "zeros":
        data[at : at + size] = bytes(size)
    elif kind == "noise":
        data[at : at + size] = rng.randbytes(size)
    elif kind == "moved":
        other = rng.randrange(begin, len(data) - size)
        data[at : at + size] = data[other : other + size]
    else:
        del data[at : at + 8 * rng.randrange(1, 9)]
    return kind


@pytest.mark.parametrize("pack", [True, False])
def test_damaged_segment_gives_no_wrong_frame_and_accounts_for_every_sequence(tmp_path: Path, pack: bool) -> None:
    for payloads, first in ((PAYLOADS, 1), ([b"after"], len(PAYLOADS) + 1)):
        with open_writer(tmp_path, pack=pack) as writer:
            append(writer, payloads, first)
    path = list_segments(tmp_path)[0].path
    whole = path.read_bytes()
    rng = random.Random(44)
    lost = hurt = 0
    for case in range(CASES):
        data = bytearray(whole)
        kind = damage(data, rng, 1200 if pack else HEADER_BYTES)
        path.write_bytes(data)
        expected = 1
        for item in read_all(tmp_path):
            if isinstance(item, Loss):
                assert item.first == expected and item.last >= item.first, (case, kind)
                expected = item.last + 1
                lost += item.count
                hurt += 1
            else:
                sequence, payload = item
                assert sequence == expected, (case, kind)
                assert payload == (PAYLOADS[sequence - 1] if sequence <= len(PAYLOADS) else b"after"), (case, kind)
                expected += 1
        assert expected == len(PAYLOADS) + 2, (case, kind)
    assert hurt > CASES // 2
    form = "packed" if pack else "raw"
    print(f"row 32, {form} segment: damaged {CASES} times, {lost} frames told as lost, 0 wrong, 0 silent")
