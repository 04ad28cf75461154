"""One memcpy that kernels can call.

numba cannot express it: `out[a:b] = payload[c:d]` becomes a loop with bounds and overlap checks, 73 ns for the 232
bytes of a swap; this is 3 ns (bench `journal`).  Uncompiled, the plain function runs.
"""

from __future__ import annotations

from tlv.buffers import Bytes
from tlv.jit import compile_with


def copy_bytes(out: Bytes, at: int, source: Bytes, start: int, length: int) -> None:
    """Copy source[start : start + length] to out[at:].  Both ranges were checked by the caller and do not overlap."""
    out[at : at + length] = source[start : start + length]


compile_with("tlv.memcpy")
