"""Eight bytes copied in reverse order, as one load, one `bswap` and one store.

numba cannot express it: a loop over bytes takes 27 ns for a 256-bit integer, four of these take 2 ns.  Uncompiled, the
plain function runs.
"""

from __future__ import annotations

from tlv.buffers import Bytes
from tlv.jit import compile_with


def flip_word(out: Bytes, at: int, source: Bytes, start: int) -> None:
    """Copy source[start : start + 8] to out[at : at + 8], last byte first.  Both ranges were checked by the caller."""
    out[at : at + 8] = source[start : start + 8][::-1]


compile_with("consumers.analysis.bswap")
