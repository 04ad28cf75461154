"""What a journal says about blocks: one row for each message that stands on a block, and for each Reorg and Session.

Owns the identity of an event, (block hash, transaction hash, log index) and the type of its record; a vendor's record
counts with its bytes, since several may stand on one log.  Hashes and identities are kept as 64 bits, mixed from all
their bytes: two of one block are taken for each other once in 10^11 journals of a million events a block.

An event without a transaction hash has no identity.  It is never judged, and no row is made of it.
"""

from __future__ import annotations

import numpy as np

from ringbuf.layout import LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW
from tlv.buffers import Bytes, Longs, byte_at
from tlv.codes import VENDOR_TYPES, Flag
from tlv.jit import kernel
from tlv.kernels import next_tlv
from tlv.layout import (
    BLOCK,
    BLOCK_END,
    EVENT_ORIGIN,
    HEADER,
    HEADER_SIZE,
    Block,
    BlockEnd,
    EventOrigin,
    PoolTicks,
    Reorg,
    Session,
)

SEQUENCE, NUMBER, HASH, IDENTITY, KIND, PARENT, RANK = range(7)
"""Rows of the table of statements.  RANK is 1 for what was recorded first-hand, 0 for a copy with the flag REPLAY.
A REORG has the first number that left the chain as NUMBER and its new head as PARENT; a SESSION has the chain's id as
NUMBER and its genesis as HASH, 0 for none."""
STATEMENT_ROWS = 7

EVENT, REMOVED, HEADER_OF, END_OF, TICKS, REORG, SESSION = range(7)
"""Values of KIND.  The first five stand on a block."""

MOST_NUMBER = 1 << 40
"""A message that names a block beyond is not judged; the bits above say which chain of a journal it is."""

BLOCK_TYPE, BLOCK_END_TYPE, ORIGIN_TYPE = Block.layout.type, BlockEnd.layout.type, EventOrigin.layout.type
TICKS_TYPE, REORG_TYPE, SESSION_TYPE = PoolTicks.layout.type, Reorg.layout.type, Session.layout.type
BLOCK_SIZE, BLOCK_END_SIZE, ORIGIN_SIZE = Block.layout.size, BlockEnd.layout.size, EventOrigin.layout.size
TICKS_SIZE, REORG_SIZE, SESSION_SIZE = PoolTicks.layout.size, Reorg.layout.size, Session.layout.size
POOL_TICKS, REORG_RECORD, SESSION_RECORD = PoolTicks.layout.dtype, Reorg.layout.dtype, Session.layout.dtype
BLOCK_HASH_AT, BLOCK_PARENT_AT = Block.layout.offsets["hash"], Block.layout.offsets["parent_hash"]
END_HASH_AT, TICKS_HASH_AT = BlockEnd.layout.offsets["hash"], PoolTicks.layout.offsets["block_hash"]
ORIGIN_HASH_AT, TRANSACTION_AT = (
    EventOrigin.layout.offsets["block_hash"],
    EventOrigin.layout.offsets["transaction_hash"],
)
GENESIS_AT = Session.layout.offsets["genesis"]
HASH_BYTES = 32
NO_PARENT = int.from_bytes(bytes.fromhex("56e81f171bcc55a6"), "little", signed=True)
"""How the hash of an empty trie begins, which lazily mined blocks of development nodes name as their parent."""
FIRST_VENDOR = VENDOR_TYPES.start
REMOVED_FLAG, REPLAY_FLAG = np.uint8(Flag.REMOVED), np.uint8(Flag.REPLAY)

SEED = 0x1E3779B97F4A7C15
FACTOR, SHIFT = np.uint64(0xFF51AFD7ED558CCD), np.uint64(32)


@kernel
def mix(value: int, word: int) -> int:
    """`value` with a 64-bit word mixed in."""
    mixed = (np.uint64(value) ^ np.uint64(word)) * FACTOR
    return int(np.int64(mixed ^ (mixed >> SHIFT)))


@kernel
def mix_bytes(value: int, buf: Bytes, start: int, size: int) -> int:
    """`value` with `size` bytes mixed in, eight at a time."""
    end = start + size // 8 * 8
    for at in range(start, end, 8):
        value = mix(value, int(buf[at : at + 8].view(np.int64)[0]))
    for at in range(end, start + size):
        value = mix(value, byte_at(buf, at))
    return value


@kernel
def mix_hash(buf: Bytes, start: int) -> int:
    """A 32-byte hash as 64 bits, never 0; 0 if it is all zeros."""
    words: Longs = buf[start : start + HASH_BYTES].view(np.int64)
    if words[0] | words[1] | words[2] | words[3] == 0:
        return 0
    value = mix(mix(mix(mix(SEED, words[0]), words[1]), words[2]), words[3])
    return value if value != 0 else 1


@kernel
def list_statements(buf: Bytes, table: Longs, chosen: Longs, count: int, out: Longs) -> int:
    """Write the statements of the first `count` chosen messages, which are well-formed, to `out`; returns how many."""
    found = 0
    for k in range(count):
        column = chosen[k]
        start = table[OFFSET_ROW, column]
        end = start + table[LENGTH_ROW, column]
        flags = buf[start : start + HEADER_SIZE].view(HEADER)[0]["flags"]
        pos = start + HEADER_SIZE
        lead = value = size = 0
        origin = -1
        while pos < end:
            leads = pos == start + HEADER_SIZE
            _, tlv_type, at, length, pos = next_tlv(buf, pos, end)
            if leads:
                lead, value, size = tlv_type, at, length
            if tlv_type == ORIGIN_TYPE:
                origin = at
        number, block_hash, identity, kind, parent = -1, 0, lead, -1, 0
        if origin >= 0:
            record = buf[origin : origin + ORIGIN_SIZE].view(EVENT_ORIGIN)[0]
            transaction = mix_hash(buf, origin + TRANSACTION_AT)
            if transaction == 0:
                continue
            number, block_hash = record["block_number"], mix_hash(buf, origin + ORIGIN_HASH_AT)
            identity = mix(mix(mix(SEED, lead), transaction), int(np.int64(record["log_index"])))
            if lead >= FIRST_VENDOR:
                identity = mix_bytes(identity, buf, value, size)
            kind = REMOVED if flags & REMOVED_FLAG else EVENT
        elif lead == BLOCK_TYPE:
            number = buf[value : value + BLOCK_SIZE].view(BLOCK)[0]["number"]
            block_hash, kind = mix_hash(buf, value + BLOCK_HASH_AT), HEADER_OF
            at = value + BLOCK_PARENT_AT
            if buf[at : at + 8].view(np.int64)[0] != NO_PARENT:
                parent = mix_hash(buf, at)
        elif lead == BLOCK_END_TYPE:
            number = buf[value : value + BLOCK_END_SIZE].view(BLOCK_END)[0]["number"]
            block_hash, kind = mix_hash(buf, value + END_HASH_AT), END_OF
        elif lead == TICKS_TYPE:
            number = buf[value : value + TICKS_SIZE].view(POOL_TICKS)[0]["block_number"]
            block_hash, kind = mix_hash(buf, value + TICKS_HASH_AT), TICKS
        elif lead == REORG_TYPE:
            reorg = buf[value : value + REORG_SIZE].view(REORG_RECORD)[0]
            number, parent, kind = reorg["fork_number"] + 1, reorg["new_head_number"], REORG
        elif lead == SESSION_TYPE:
            number = int(np.int64(buf[value : value + SESSION_SIZE].view(SESSION_RECORD)[0]["chain_id"]))
            block_hash, kind = mix_hash(buf, value + GENESIS_AT), SESSION
        if kind < 0 or (kind != SESSION and (number < 0 or number >= MOST_NUMBER)):
            continue
        if kind in (HEADER_OF, END_OF) and block_hash == 0:
            continue
        out[SEQUENCE, found] = table[SEQUENCE_ROW, column]
        out[NUMBER, found] = number
        out[HASH, found] = block_hash
        out[IDENTITY, found] = identity
        out[KIND, found] = kind
        out[PARENT, found] = parent
        out[RANK, found] = 0 if flags & REPLAY_FLAG else 1
        found += 1
    return found
