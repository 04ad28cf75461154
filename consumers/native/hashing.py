"""`consumers.order_hash` in compiled code: the same number, taken in message by message as the loop publishes.

Owns the memory of a hash that has not ended.  Python's, fed from a log of what was published, stopped the loop for
0.15 ms of every 10 ms at 100,000 signals a second, which one frame in sixty met.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from consumers.native.blake2b import BLOCK_BYTES, BLOCK_WORDS, CHAIN_WORDS, begin_hash, take_block
from tlv.buffers import Bytes
from tlv.copying import copy_bytes
from tlv.jit import kernel
from tlv.layout import HEADER_SIZE

DIGEST_BYTES = 16
LENGTH_BYTES = 4
ORDERS = np.dtype(
    [
        ("chain", "<u8", (CHAIN_WORDS,)),
        ("block", "<u8", (BLOCK_WORDS,)),
        ("filled", "<i8"),  # bytes of the block
        ("total", "<i8"),  # bytes taken in, those in the block among them
        ("messages", "<i8"),
        ("length", "u1", (LENGTH_BYTES,)),
    ],
    align=True,
)


@kernel
def take_bytes(orders: Any, source: Bytes, start: int, length: int) -> None:
    """Take in `length` bytes; a full block waits for what follows it, since the last one counts as such."""
    block = orders["block"].view(np.uint8)
    while length > 0:
        if orders["filled"] == BLOCK_BYTES:
            take_block(orders["chain"], orders["block"], orders["total"], False)
            orders["filled"] = 0
        count = min(BLOCK_BYTES - orders["filled"], length)
        copy_bytes(block, orders["filled"], source, start, count)
        orders["filled"] += count
        orders["total"] += count
        start += count
        length -= count


@kernel
def take_message(orders: Any, message: Bytes, start: int, end: int) -> None:
    """Take in a message: u32 length of its payload, then the payload."""
    length = end - start - HEADER_SIZE
    for i in range(LENGTH_BYTES):
        orders["length"][i] = length >> 8 * i & 255
    take_bytes(orders, orders["length"], 0, LENGTH_BYTES)
    take_bytes(orders, message, start + HEADER_SIZE, length)
    orders["messages"] += 1


@kernel
def end_hash(orders: Any) -> None:
    """Take in the last block: the digest is at the beginning of `chain`."""
    block = orders["block"].view(np.uint8)
    for i in range(orders["filled"], BLOCK_BYTES):
        block[i] = 0
    take_block(orders["chain"], orders["block"], orders["total"], True)


class NativeOrderHash:
    """What `OrderHash` is; `orders` is its memory, for `take_message`."""

    def __init__(self) -> None:
        self.orders = np.zeros(1, ORDERS)
        begin_hash(self.orders[0]["chain"], DIGEST_BYTES)

    @property
    def messages(self) -> int:
        """How many were taken in."""
        return int(self.orders[0]["messages"])

    def add(self, message: Bytes) -> None:
        """Take in one message."""
        take_message(self.orders[0], message, 0, message.size)

    def hexdigest(self) -> str:
        """The 16 bytes so far, as 32 hexadecimal digits."""
        ended = self.orders.copy()
        end_hash(ended[0])
        return bytes(ended[0]["chain"])[:DIGEST_BYTES].hex()
