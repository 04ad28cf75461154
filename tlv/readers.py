"""A kernel per record that views the bytes of a TLV's value as that record: `pool_swap_at(buf, pos)["tick"]`.

For native code, after `find_tlv` or `next_tlv` said where the value is: nothing is checked here and nothing copied, the
result is a window into `buf` (called from Python, a copy).  It compiles to the loads that are used, 1.3 ns for two
fields, as if written out by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tlv.buffers import Bytes
from tlv.jit import kernel
from tlv.layout import (
    ARBITRAGE_SIGNAL,
    BLOCK,
    BLOCK_END,
    ECONOMICS,
    EVENT_ORIGIN,
    GAP,
    HEADER,
    POOL_BURN,
    POOL_COLLECT,
    POOL_CREATED,
    POOL_MINT,
    POOL_STATE,
    POOL_SWAP,
    POOL_SYNC,
    REORG,
    SIGNAL_IDENTITY,
)

Reader = Callable[[Bytes, int], Any]


def reader(dtype: np.dtype[np.void]) -> Reader:
    """A kernel that views `buf` at a position as one `dtype`, for instance a vendor record's `layout.dtype`."""
    size = dtype.itemsize

    @kernel
    def view_at(buf: Bytes, pos: int) -> Any:
        return buf[pos : pos + size].view(dtype)[0]

    return view_at


header_at = reader(HEADER)
pool_swap_at = reader(POOL_SWAP)
pool_mint_at = reader(POOL_MINT)
pool_burn_at = reader(POOL_BURN)
pool_collect_at = reader(POOL_COLLECT)
pool_state_at = reader(POOL_STATE)
pool_sync_at = reader(POOL_SYNC)
pool_created_at = reader(POOL_CREATED)
block_at = reader(BLOCK)
event_origin_at = reader(EVENT_ORIGIN)
signal_identity_at = reader(SIGNAL_IDENTITY)
economics_at = reader(ECONOMICS)
arbitrage_signal_at = reader(ARBITRAGE_SIGNAL)
block_end_at = reader(BLOCK_END)
reorg_at = reader(REORG)
gap_at = reader(GAP)
