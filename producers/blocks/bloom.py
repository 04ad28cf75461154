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
from functools import lru_cache

from eth_hash.auto import keccak

BLOOM_DIGITS = 512
ALL_BITS = (1 << 4 * BLOOM_DIGITS) - 1
LONGEST_ENTRY = 2 + 64
"""Characters of a topic in hex."""
REMEMBERED = 8_192
"""Entries: a block's pools and topics are mostly those of the block before.  4 MB."""


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


def share_of_bits(bloom: int) -> float:
    """How many of its bits are set, of one: cubed, the chance that an entry which is not there seems to be."""
    return bloom.bit_count() / (4 * BLOOM_DIGITS)


def bloom_of(entries: Iterable[str]) -> int:
    """The filter of these addresses and topics; what is no hex of at most 32 bytes sets no bit."""
    bloom = 0
    for entry in entries:
        if len(entry) <= LONGEST_ENTRY:
            bloom |= _bits_of_hex(entry)
    return bloom


@lru_cache(maxsize=REMEMBERED)
def _bits_of_hex(entry: str) -> int:
    try:
        return bloom_bits(bytes.fromhex(entry[2:]))
    except ValueError:
        return 0


class TopicBloom:
    """Tests blooms for a fixed set of topics; their hashes are computed once."""

    def __init__(self, topics: Iterable[str]) -> None:
        self._bits = {topic: bloom_bits(bytes.fromhex(topic[2:])) for topic in topics}

    def positives(self, bloom: int | None) -> set[str] | None:
        """The topics that the block may have; None if there is no usable bloom."""
        if bloom is None:
            return None
        return {topic for topic, bits in self._bits.items() if bloom & bits == bits}
