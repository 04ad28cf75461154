"""What a header's bloom filter says about the logs of its block.

Owns the reading of `logsBloom` (Ethereum yellow paper, section 4.3.1: three bits of 2,048 for each address and topic),
and the same filter computed from logs that came.

    a topic whose bits are not set      no log has it: proof
    a topic whose bits are set          chance in 0.2 / 4 / 21 % of blocks with 300 / 600 / 1,000 entries
    a bit that no log that came sets    a log is missing: proof, if all logs are subscribed to
    a log whose bits are not set        the header or the log is wrong, unless the chain has logs outside its blooms
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from eth_hash.auto import keccak

from producers.blocks.keccak import BLOOM_SIZE, ENTRY_SIZE, add_entries

BLOOM_DIGITS = 2 * BLOOM_SIZE
ALL_BITS = (1 << 8 * BLOOM_SIZE) - 1


def bloom_bits(value: bytes) -> int:
    """The three bits that an address or topic sets, as a number of 2,048 bits."""
    digest = keccak(value)
    bits = 0
    for at in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") & 2047)
    return bits


def read_bloom(text: str | None) -> int | None:
    """The filter of a header; None if the node sent none that says anything (some chains set every bit)."""
    if text is None or len(text) != 2 + BLOOM_DIGITS or not text.startswith("0x"):
        return None
    try:
        bloom = int.from_bytes(bytes.fromhex(text[2:]), "big")
    except ValueError:
        return None
    return bloom if bloom != ALL_BITS else None


def bloom_of(entries: Iterable[str]) -> int:
    """The filter of these addresses and topics; what is no hex of at most 32 bytes sets no bit."""
    values = []
    for entry in entries:
        try:
            values.append(bytes.fromhex(entry[2:]))
        except ValueError:
            continue
    rows = b"".join(value.ljust(ENTRY_SIZE, b"\0") for value in values if len(value) <= ENTRY_SIZE)
    sizes = np.array([len(value) for value in values if len(value) <= ENTRY_SIZE], dtype=np.int64)
    bloom, lanes, columns = np.zeros(BLOOM_SIZE, np.uint8), np.zeros(25, np.uint64), np.zeros(5, np.uint64)
    add_entries(np.frombuffer(rows, np.uint8), sizes, bloom, lanes, columns)
    return int.from_bytes(bloom.tobytes(), "big")


class TopicBloom:
    """Tests blooms for a fixed set of topics; their hashes are computed once."""

    def __init__(self, topics: Iterable[str]) -> None:
        self._bits = {topic: bloom_bits(bytes.fromhex(topic[2:])) for topic in topics}

    def positives(self, bloom: int | None) -> set[str] | None:
        """The topics that the block may have; None if there is no usable bloom."""
        if bloom is None:
            return None
        return {topic for topic, bits in self._bits.items() if bloom & bits == bits}
