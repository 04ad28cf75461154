"""Plain WebSocket frames in what a socket held: where their messages stand.

Owns one kernel, which must never judge a frame: it stops in front of the first that is not plain and whole, which is
left to `producers.node.connection`.
"""

from __future__ import annotations

from tlv.buffers import Bytes, Longs
from tlv.jit import kernel

FINAL_TEXT = 0x81
"""First byte of a text frame that is a whole message (RFC 6455, section 5.2)."""
LONGEST_SHORT = 125
TWO_BYTES, EIGHT_BYTES = 126, 127
"""What stands in place of a size that is written behind it, in so many bytes."""


@kernel
def cut_plain_frames(data: Bytes, largest: int, begins: Longs, ends: Longs) -> tuple[int, int]:
    """Find the messages of the whole, unmasked text frames that `data` begins with, none longer than `largest`.

    Message k is `data[begins[k] : ends[k]]`, as many as there is room for.  Returns how many there are, and where the
    next frame begins.
    """
    count, pos, end = 0, 0, data.size
    while count < begins.size and end - pos >= 2 and data[pos] == FINAL_TEXT:
        size, header = int(data[pos + 1]), 2
        if size > LONGEST_SHORT:
            header = 4 if size == TWO_BYTES else 10
            if size > EIGHT_BYTES or header > end - pos:
                break
            size = 0
            for at in range(pos + 2, pos + header):
                size = (size << 8) | int(data[at])
        if size < 0 or size > largest or size > end - pos - header:
            break
        begins[count] = pos + header
        pos += header + size
        ends[count] = pos
        count += 1
    return count, pos
