"""Messages in which everything follows from the sequence, so that a receiver can check whether one is genuine.

A digest of the sequence fills a 256-bit amount and the transaction hash: swapped, stale or invented content is
detected.  Owns making and checking; knows neither rings nor sockets.
"""

from __future__ import annotations

from hashlib import blake2b

from tlv.codes import Domain, Protocol, Source, Venue
from tlv.kernels import EXTENDED_FORM
from tlv.layout import HEADER_SIZE, EventOrigin, Header, PoolSwap
from tlv.message import build

EVENTS_PER_BLOCK = 50
POOL, TOKEN0, TOKEN1, TRADER = (bytes([number]) * 20 for number in (1, 2, 3, 4))
SEQUENCE_AT = Header.layout.offsets["sequence"]
AMOUNT_AT = HEADER_SIZE + EXTENDED_FORM + PoolSwap.layout.offsets["amount0_in"]
"""A swap has more than 255 bytes, so its TLV takes the extended form."""


def digest(sequence: int) -> bytes:
    """32 bytes that belong to `sequence` alone."""
    return blake2b(sequence.to_bytes(8, "little"), digest_size=32).digest()


def numbered_message(sequence: int) -> bytes:
    """The swap with this sequence."""
    mark = digest(sequence)
    amount = int.from_bytes(mark, "little")
    prefix = (POOL, TOKEN0, TOKEN1, Venue.UNISWAP_V3_POLYGON, 18, 6, Protocol.UNISWAP_V3)
    swap = PoolSwap(*prefix, amount, 0, 0, sequence, 1 << 96, 10**18, 0, TRADER, TRADER)
    block, index = divmod(sequence, EVENTS_PER_BLOCK)
    origin = EventOrigin(block, 0, 0, index, index, digest(block), mark)
    return build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, [swap, origin], sequence=sequence)


SIZE = len(numbered_message(1))


def is_genuine(sequence: int, message: bytes | memoryview) -> bool:
    """Whether `message` is the one with `sequence`.  Its checksum is for the part under test to verify."""
    return (
        len(message) == SIZE
        and int.from_bytes(message[SEQUENCE_AT : SEQUENCE_AT + 8], "little") == sequence
        and message[AMOUNT_AT : AMOUNT_AT + 32] == digest(sequence)
    )
