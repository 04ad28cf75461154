"""An example of a native strategy: it publishes when a V2 pool's price moves by more than a threshold in one Sync.

Owns its state (a hash table of the last price of each pool) and its handler.  It publishes a `PriceMove`, a record of a
user's own; `price_moves.toml` declares it to commands (`--records`) and to readers that do not import this file.

    state = new_state(threshold_pips=10_000)
    NativeRunner(note_price_move, state, reader, writer).run(stop)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tlv.buffers import Bytes, Structs, byte_at
from tlv.codes import Flag
from tlv.copying import copy_bytes
from tlv.fields import I64, PoolId
from tlv.filter import compare
from tlv.jit import kernel
from tlv.kernels import find_tlv, put_tlv
from tlv.layout import HEADER, HEADER_SIZE, POOL_SYNC, PoolSync
from tlv.record import Record, record
from tlv.wide import wide_to_float

POOL_BYTES = PoolSync.layout.kinds["pool"].size


@record(type=200)
class PriceMove(Record, frozen=True):
    """A pool's price has moved by `move_pips`, in hundredths of a basis point of the price before."""

    move_pips: I64
    pool: PoolId


PRICE_MOVE = PriceMove.layout.dtype
PRICE_MOVE_TYPE = PriceMove.layout.type
PRICE_MOVE_SIZE = PriceMove.layout.size

SLOTS = 1 << 12
"""Room for twice as many pools as a busy chain moves in a day.  A full table overwrites entries; it never grows."""
PROBES = 16
STATE = np.dtype([("threshold_pips", "<i8"), ("pools", "u1", (SLOTS, POOL_BYTES)), ("prices", "<f8", (SLOTS,))])

SYNC = PoolSync.layout.type
SYNC_SIZE = PoolSync.layout.size
UNSAFE_FLAGS = int(Flag.REMOVED | Flag.BACKFILL | Flag.UNPROVEN)


def new_state(threshold_pips: int) -> Structs:
    """The handler's memory, empty."""
    memory = np.zeros(1, dtype=STATE)
    memory[0]["threshold_pips"] = threshold_pips
    return memory


@kernel
def is_same(left: Bytes, right: Bytes) -> bool:
    """Whether two pools are the same."""
    return compare(left, 0, right, 0, POOL_BYTES) == 0


@kernel
def find_slot(state: Any, pool: Bytes) -> int:
    """The slot of a pool: its own, else a free one, else the first it could have had."""
    home = 0
    for i in range(POOL_BYTES):
        home = (home * 31 + byte_at(pool, i)) & (SLOTS - 1)
    for probe in range(PROBES):
        slot = (home + probe) & (SLOTS - 1)
        if state["prices"][slot] == 0.0:
            return slot
        if is_same(state["pools"][slot], pool):
            return slot
    return home


@kernel
def note_price_move(memory: Bytes, payload: Bytes, start: int, end: int, lost: int, message: Bytes) -> int:
    """Handler: one Sync in, at most one price move out."""
    state = memory.view(STATE)[0]
    if lost != 0:
        for slot in range(SLOTS):
            state["prices"][slot] = 0.0
    at = find_tlv(payload, start, end, SYNC)
    if at < 0 or end - at < SYNC_SIZE:
        return 0
    if payload[start : start + HEADER_SIZE].view(HEADER)[0]["flags"] & UNSAFE_FLAGS:
        return 0
    sync = payload[at : at + SYNC_SIZE].view(POOL_SYNC)[0]
    reserve0 = wide_to_float(sync["reserve0"])
    if reserve0 == 0.0:
        return 0
    price = wide_to_float(sync["reserve1"]) / reserve0
    slot = find_slot(state, sync["pool"])
    before = state["prices"][slot]
    known = before != 0.0 and is_same(state["pools"][slot], sync["pool"])
    copy_bytes(state["pools"][slot], 0, sync["pool"], 0, POOL_BYTES)
    state["prices"][slot] = price
    if not known:
        return 0
    move = np.int64((price / before - 1.0) * 1e6)
    if abs(move) < state["threshold_pips"]:
        return 0
    value = put_tlv(message, HEADER_SIZE, PRICE_MOVE_TYPE, PRICE_MOVE_SIZE)
    price_move = message[value : value + PRICE_MOVE_SIZE].view(PRICE_MOVE)[0]
    price_move["move_pips"] = move
    copy_bytes(price_move["pool"], 0, sync["pool"], 0, POOL_BYTES)
    return value + PRICE_MOVE_SIZE
