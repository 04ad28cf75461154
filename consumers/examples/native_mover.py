"""A native strategy: it publishes when a V2 pool's price moves by more than a threshold in one Sync.

Lesson: a handler is a small function over memory.  What it knows is a hash table in its state, of fixed size: machine
code allocates nothing.  What it says is a record of its own, `PriceMove`; `native_mover.toml` declares the same record
to commands (`--records`) and to readers that do not import this file.

    alphapulse strategy consumers.examples.native_mover:NativeMover --ring market.polygon --set threshold_pips=2000
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from consumers.native import (
    EVENT,
    NativeDrafts,
    NativeFrame,
    NativeStrategy,
    add,
    fill,
    has,
    hash_of_pool,
    same_pool,
    signal,
    view,
)
from tlv.buffers import Bytes
from tlv.codes import Flag
from tlv.fields import I64, PoolId
from tlv.jit import kernel
from tlv.layout import EventOrigin, PoolSync
from tlv.record import Record, record
from tlv.wide import wide_to_float

POOL_BYTES = PoolSync.layout.kinds["pool"].size


@record(type=200)
class PriceMove(Record, frozen=True):
    """A pool's price has moved by `move_pips`, in hundredths of a basis point of the price before."""

    move_pips: I64
    pool: PoolId


SLOTS = 1 << 12
"""Room for twice as many pools as a busy chain moves in a day.  A full table overwrites entries; it never grows."""
PROBES = 16
STATE = np.dtype([("threshold_pips", "<i8"), ("pools", "u1", (SLOTS, POOL_BYTES)), ("prices", "<f8", (SLOTS,))])
BACKFILL = int(Flag.BACKFILL)


class MoverParams(msgspec.Struct, frozen=True):
    """What `--set` and `[strategy.params]` may say."""

    threshold_pips: int = 10_000
    """Least move that is worth a signal, in hundredths of a basis point."""


@kernel
def find_slot(state: Any, pool: Bytes) -> int:
    """The slot of a pool: its own, else a free one, else the first it could have had."""
    home = hash_of_pool(pool) & (SLOTS - 1)
    for probe in range(PROBES):
        slot = (home + probe) & (SLOTS - 1)
        if state["prices"][slot] == 0.0 or same_pool(state["pools"][slot], pool):
            return slot
    return home


class NativeMover(NativeStrategy):
    """Signals a PriceMove for each Sync that moves its pool's price by `threshold_pips` or more."""

    name = "native_mover"
    params = MoverParams
    records = (PriceMove,)
    wants = frozenset({PoolSync})
    state = STATE

    @kernel
    def handler(state: Any, frame: NativeFrame, drafts: NativeDrafts) -> None:  # noqa: N805 - a kernel has no self
        """One Sync in, at most one price move out."""
        if frame.lost != 0:
            # What moved in the frames that never came is not known: no price counts as the one before.
            for slot in range(SLOTS):
                state["prices"][slot] = 0.0
        if frame.what != EVENT or not has(frame, PoolSync) or frame.flags & BACKFILL:
            return
        sync = view(frame, PoolSync)
        reserve0 = wide_to_float(sync["reserve0"])
        if reserve0 == 0.0:
            return
        price = wide_to_float(sync["reserve1"]) / reserve0
        slot = find_slot(state, sync["pool"])
        before = state["prices"][slot]
        known = before != 0.0 and same_pool(state["pools"][slot], sync["pool"])
        fill(state["pools"][slot], sync["pool"])
        state["prices"][slot] = price
        if not known:
            return
        move = np.int64((price / before - 1.0) * 1e6)
        if abs(move) < state["threshold_pips"]:
            return
        signal(drafts, frame, view(frame, EventOrigin)["receive_time_ns"])
        moved = add(drafts, PriceMove)
        moved["move_pips"] = move
        fill(moved["pool"], sync["pool"])
