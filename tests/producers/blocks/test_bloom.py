"""Bloom filters: the compiled Keccak against the library's, and the recorded headers against their own logs."""

from __future__ import annotations

import random

import msgspec
import pytest

from producers.blocks.bloom import ALL_BITS, TopicBloom, bloom_bits, bloom_of, read_bloom
from producers.kinds.events import EVENT_OF_TOPIC
from tests.producers.virtual import recording


def test_bloom_of_entries_is_the_or_of_their_bits() -> None:
    chance = random.Random(1)
    for count in (0, 1, 7, 300):
        values = [chance.randbytes(chance.choice([0, 1, 20, 31, 32])) for _ in range(count)]
        expected = 0
        for value in values:
            expected |= bloom_bits(value)
        assert bloom_of("0x" + value.hex() for value in values) == expected


@pytest.mark.parametrize("entry", ["0xzz", "0x1", "0x" + "11" * 33, "latest"])
def test_bloom_of_what_is_no_entry_is_empty(entry: str) -> None:
    assert bloom_of([entry]) == 0


@pytest.mark.parametrize("text", [None, "0x", "0x" + "0" * 511, "0x" + "g" * 512, "11" + "0" * 512, f"0x{ALL_BITS:x}"])
def test_bloom_that_says_nothing_is_none(text: str | None) -> None:
    assert read_bloom(text) is None
    assert TopicBloom(EVENT_OF_TOPIC).positives(read_bloom(text)) is None


def test_recorded_logs_set_all_bits_of_their_headers_and_no_others_but_in_sprint_ends() -> None:
    """One orphaned block was recorded without its logs; state-sync logs stand outside the blooms of each 64th."""
    served, uncovered, beyond = recording(), [], []
    for block in served.blocks.values():
        bloom = read_bloom(msgspec.json.decode(block.head_json)["logsBloom"])
        logs = served.logs_of(block.hash)
        assert bloom is not None
        ours = bloom_of({log.address for log in logs} | {topic for log in logs for topic in log.topics})
        if bloom & ~ours:
            uncovered.append(len(logs))
        if ours & ~bloom:
            beyond.append(block.number % 64)
    assert len(served.blocks) == 178
    assert uncovered == [0]
    assert beyond == [0, 0, 0]
