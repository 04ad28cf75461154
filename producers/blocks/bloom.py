"""What a header's bloom filter says about the logs of its block.

Owns the reading of `logsBloom` (Ethereum yellow paper, section 4.3.1: three bits of 2,048 for each address and topic).
A negative is proof, a positive may be chance: 0.2 / 4 / 21 % of the time at 300 / 600 / 1,000 entries in a block.
"""

from __future__ import annotations

from collections.abc import Iterable

from eth_hash.auto import keccak

BLOOM_DIGITS = 512


def bloom_bits(value: bytes) -> int:
    """The three bits that an address or topic sets, as a number of 2,048 bits."""
    digest = keccak(value)
    bits = 0
    for at in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") & 2047)
    return bits


class TopicBloom:
    """Tests blooms for a fixed set of topics; their hashes are computed once."""

    def __init__(self, topics: Iterable[str]) -> None:
        self._bits = {topic: bloom_bits(bytes.fromhex(topic[2:])) for topic in topics}

    def positives(self, bloom: str | None) -> set[str] | None:
        """The topics that the block may have; None if the node sent no usable bloom."""
        if bloom is None or len(bloom) != 2 + BLOOM_DIGITS:
            return None
        try:
            value = int(bloom, 16)
        except ValueError:
            return None
        return {topic for topic, bits in self._bits.items() if value & bits == bits}
