"""Row 21: of the flips of one bit, all, and of two, a hundred thousand; a reader that verifies refuses every one."""

from __future__ import annotations

import random

import numpy as np

from tests.tlv.samples import random_message
from tlv.batch import check_batch
from tlv.status import OK

SEED = 21
MESSAGES = 20
PAIRS = 100_000


def refused_of(flipped: list[bytes]) -> int:
    """How many of these messages the kernels refuse."""
    lengths = np.array([len(message) for message in flipped], dtype=np.int64)
    offsets = np.cumsum(lengths) - lengths
    statuses = np.zeros(lengths.size, dtype=np.int64)
    buf = np.frombuffer(bytearray(b"".join(flipped)), dtype=np.uint8)
    return int(check_batch(buf, offsets, lengths, True, statuses))


def with_flips(message: bytes, bits: tuple[int, ...]) -> bytes:
    """The message with these bits turned over."""
    value = int.from_bytes(message, "little")
    for bit in bits:
        value ^= 1 << bit
    return value.to_bytes(len(message), "little")


def test_every_flip_of_one_or_two_bits_is_refused() -> None:
    rng = random.Random(SEED)
    messages = [random_message(rng, most=2) for _ in range(MESSAGES)]
    assert refused_of(messages) == OK
    singles = 0
    for message in messages:
        flipped = [with_flips(message, (bit,)) for bit in range(8 * len(message))]
        assert refused_of(flipped) == len(flipped)
        singles += len(flipped)
        pairs = [with_flips(message, tuple(rng.sample(range(8 * len(message)), 2))) for _ in range(PAIRS // MESSAGES)]
        assert refused_of(pairs) == len(pairs)
    print(f"row 21: {singles} flips of one bit, {PAIRS} of two, all refused (seed {SEED})")
