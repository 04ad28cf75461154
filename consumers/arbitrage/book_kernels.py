"""The states of pools in compiled code: what `pool_book.PoolBook` keeps, as tables that a kernel fills.

Owns the tables and the walk over messages.  `pool_book` owns what each record means for a pool's state; a test holds
both to the same states after every frame.  What is rare (a reorg, a loss, a tick map) is left to the caller, to whom
`fold` returns with the column: `roll_back`, `forget` and `forget_all` apply it.

    B1  the states of a pool are a list through `entries`: `oldest` .. `newest`, linked both ways; -1 is no entry
    B2  an entry is in exactly one list: that of its pool, or the free one, linked by `next`
    B3  a slot holds the first row of a pool + 1; at least half of the slots are 0, so every probe ends.  The rows of
        the pool's other pairs follow from it through `other_pair`, by rising row
    B4  room for one pool and one entry is there before a message is looked at; else `fold` returns FULL
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from consumers.arbitrage.constant_product import FEE_UNIT
from consumers.arbitrage.kept_ticks import KEPT_BLOCKS
from consumers.arbitrage.pool_state import SNAPSHOT_LOG_INDEX
from consumers.arbitrage.shown_fees import UNKNOWN, shown_pips
from ringbuf.layout import LENGTH_ROW, OFFSET_ROW, SEQUENCE_ROW, TIME_ROW
from tlv.buffers import Bytes, Limbs, Longs, Structs
from tlv.codes import UNKNOWN_DECIMALS, Flag, Protocol
from tlv.copying import copy_bytes
from tlv.filter import IS_POOL, POOL_BYTES, POOL_PREFIX, PREFIX_SIZE
from tlv.jit import inline_kernel, kernel
from tlv.kernels import check_message, find_tlv, next_tlv
from tlv.layout import (
    EVENT_ORIGIN,
    HEADER,
    HEADER_SIZE,
    SIZE_OF_TYPE,
    Block,
    EventOrigin,
    FeeState,
    Gap,
    PoolBurn,
    PoolCreated,
    PoolFee,
    PoolLiquidity,
    PoolMint,
    PoolState,
    PoolSwap,
    PoolSync,
    PoolTicks,
    Reorg,
    Session,
    StateInvalidation,
    VenueName,
)
from tlv.status import OK

KNOWN_POOL = np.dtype(
    [
        ("fee_pips", "<i8"),  # of token0 that goes in; -1: not known
        ("fee_pips_back", "<i8"),  # of token1
        ("fee_changed", "<i8"),  # the block whose PoolFee said that a V4 pool's are others now
        ("hooked", "<i8"),  # whether a V4 pool calls a contract that may change what a swap pays
        ("followed", "<i8"),  # whether the caller says the fee
        ("tick_spacing", "<i8"),
        ("curve", "<i8"),  # of tlv.codes.Curve
        ("last_event_block", "<i8"),  # the newest of any event, also of one whose state was dropped since
        ("newest", "<i8"),
        ("oldest", "<i8"),
        ("events", "<i8"),
        ("block", "<i8"),  # of the newest event or snapshot that came
        ("sequence", "<i8"),
        ("changed", "<i8"),  # whether it is listed in `changed`
        ("other_pair", "<i8"),  # the next row of the pool, of another pair of its coins, + 1; 0: there is none
    ]
)
KNOWN_STATE = np.dtype(
    [
        ("block", "<i8"),
        ("log_index", "<i8"),
        ("sequence", "<i8"),
        ("publish_ns", "<i8"),
        ("previous", "<i8"),
        ("next", "<i8"),
        ("is_price", "<i8"),  # whether the two values are square root price and liquidity, else reserves
        ("tick", "<i8"),
    ]
)
HASH_AT, FIRST_AT, SECOND_AT, WORDS = 0, 4, 8, 12
"""Where in a row of `words` the block's hash and the state's two values stand."""
POOLS_USED, ENTRIES_USED, FREE_ENTRY, TRUSTED_SINCE, COMPLETE_FROM, CHANGED_USED, FOLLOWED, NEWEST, NEWEST_S, PACE_S = (
    range(10)
)
META = 10

DONE, FULL, REFUSED, CONTROL, NAMED, TICKS, LIQUIDITY, FEES = range(8)
"""Why `fold` returns.  REFUSED: no message, or a pool's without its origin; NAMED: a PoolState or VenueName, whose
texts are the caller's; LIQUIDITY: a Mint, Burn or PoolLiquidity that moves a tick map; FEES: a FeeState, what moves the
fee that follows from one (Block, Algebra's Swap).  But for FULL and REFUSED the state is taken in."""

BLOCK_TYPE, REORG_TYPE, INVALIDATION_TYPE = Block.layout.type, Reorg.layout.type, StateInvalidation.layout.type
GAP_TYPE, SESSION_TYPE, VENUE_TYPE = Gap.layout.type, Session.layout.type, VenueName.layout.type
ORIGIN_TYPE, ORIGIN_SIZE = EventOrigin.layout.type, EventOrigin.layout.size
SWAP_TYPE, SYNC_TYPE, STATE_TYPE = PoolSwap.layout.type, PoolSync.layout.type, PoolState.layout.type
MINT_TYPE, BURN_TYPE, CREATED_TYPE = PoolMint.layout.type, PoolBurn.layout.type, PoolCreated.layout.type
TICKS_TYPE, FEE_TYPE, FEES_TYPE = PoolTicks.layout.type, PoolFee.layout.type, FeeState.layout.type
MOVE_TYPE = PoolLiquidity.layout.type
BLOCK_RECORD, SWAP_RECORD = Block.layout.dtype, PoolSwap.layout.dtype
STATE_RECORD, CREATED_RECORD, FEE_RECORD = PoolState.layout.dtype, PoolCreated.layout.dtype, PoolFee.layout.dtype
MINT_RECORD, BURN_RECORD, MOVE_RECORD = PoolMint.layout.dtype, PoolBurn.layout.dtype, PoolLiquidity.layout.dtype
SWAP_PRICE, SWAP_LIQUIDITY = (PoolSwap.layout.offsets[name] for name in ("sqrt_price_x96", "liquidity"))
SWAP_IN0, SWAP_IN1 = (PoolSwap.layout.offsets[name] for name in ("amount0_in", "amount1_in"))
SWAP_OUT0, SWAP_OUT1 = (PoolSwap.layout.offsets[name] for name in ("amount0_out", "amount1_out"))
SYNC_RESERVE0, SYNC_RESERVE1 = (PoolSync.layout.offsets[name] for name in ("reserve0", "reserve1"))
STATE_RESERVE0, STATE_RESERVE1 = (PoolState.layout.offsets[name] for name in ("reserve0", "reserve1"))
STATE_PRICE, STATE_LIQUIDITY = (PoolState.layout.offsets[name] for name in ("sqrt_price_x96", "liquidity"))
STATE_HOOKS, HOOKS_SIZE = PoolState.layout.offsets["hooks"], PoolState.layout.kinds["hooks"].size
MINT_AMOUNT, BURN_AMOUNT = PoolMint.layout.offsets["amount"], PoolBurn.layout.offsets["amount"]
MOVE_AMOUNT = PoolLiquidity.layout.offsets["liquidity_delta"]
STATE_SIZE, CREATED_SIZE, SWAP_SIZE = PoolState.layout.size, PoolCreated.layout.size, PoolSwap.layout.size
MINT_SIZE, BURN_SIZE, BLOCK_SIZE, FEE_SIZE = (cls.layout.size for cls in (PoolMint, PoolBurn, Block, PoolFee))
ORIGIN_HASH = EventOrigin.layout.offsets["block_hash"]
MOVE_SIZE = PoolLiquidity.layout.size
TOKENS_AT = PoolState.layout.offsets["token0"]
TOKENS_END = PoolState.layout.offsets["token1"] + PoolState.layout.kinds["token1"].size
TOKENS_SIZE = TOKENS_END - TOKENS_AT
assert TOKENS_AT % 8 == TOKENS_SIZE % 8 == 0
BALANCER, CURVE = int(Protocol.BALANCER_V2), int(Protocol.CURVE)
DODO, WOOFI = int(Protocol.DODO), int(Protocol.WOOFI)
UNISWAP_V4, ALGEBRA = int(Protocol.UNISWAP_V4), int(Protocol.ALGEBRA)
UNISWAP_V2, SOLIDLY, VELODROME = int(Protocol.UNISWAP_V2), int(Protocol.SOLIDLY), int(Protocol.VELODROME)
REMOVED, SNAPSHOT, UNPROVEN = int(Flag.REMOVED), int(Flag.SNAPSHOT), int(Flag.UNPROVEN)
WIDE, HALF = 4, 2
"""Limbs of 256 and 128 bits."""


class BookTables(NamedTuple):
    """All that is known of pools, as arrays."""

    names: Bytes
    """uint8[pools, 80]: what every pool record begins with (`tlv.layout.PoolRecord`)."""
    pools: Structs
    """KNOWN_POOL[pools]: a row is a pool and a pair of its coins."""
    slots: Longs
    """Hash table from pool to its first row + 1; its size is a power of two."""
    entries: Structs
    """KNOWN_STATE[entries]."""
    words: Limbs
    """uint64[entries, WORDS]: a liquidity is 256 bits in two's complement."""
    changed: Longs
    """int64[pools]: rows of pools that changed since the caller looked."""
    scratch: Limbs
    """uint64[WIDE]: a number on its way."""
    meta: Longs
    """int64[META]; a COMPLETE_FROM of -1 is not known; FOLLOWED: how many pools the caller says the fee
    of; NEWEST, NEWEST_S and PACE_S: the newest block, its timestamp, and how long after its parent that is."""


def make_tables(pools: int, entries: int) -> BookTables:
    """Empty ones; both sizes are powers of two."""
    meta = np.zeros(META, np.int64)
    meta[FREE_ENTRY] = meta[COMPLETE_FROM] = -1
    return BookTables(
        np.zeros((pools, PREFIX_SIZE), np.uint8),
        np.zeros(pools, KNOWN_POOL),
        np.zeros(2 * pools, np.int64),
        np.zeros(entries, KNOWN_STATE),
        np.zeros((entries, WORDS), np.uint64),
        np.zeros(pools, np.int64),
        np.zeros(WIDE, np.uint64),
        meta,
    )


def grown(tables: BookTables) -> BookTables:
    """The same with twice the room for what is full."""

    def twice(array: Any) -> Any:
        return np.concatenate([array, np.zeros_like(array)])

    if tables.meta[POOLS_USED] == len(tables.pools):
        names, pools, changed = map(twice, (tables.names, tables.pools, tables.changed))
        tables = tables._replace(names=names, pools=pools, changed=changed, slots=np.zeros(2 * len(pools), np.int64))
        fill_slots(tables)
    if tables.meta[FREE_ENTRY] < 0 and tables.meta[ENTRIES_USED] == len(tables.entries):
        tables = tables._replace(entries=twice(tables.entries), words=twice(tables.words))
    return tables


@inline_kernel
def probe(tables: BookTables, buf: Bytes, at: int) -> int:
    """The slot of the pool whose 32 bytes are at buf[at:], or the empty one where it would stand."""
    id_words = buf[at : at + 32].view(np.uint64)
    mixed = id_words[0] ^ id_words[1] * np.uint64(0x9E3779B97F4A7C15) ^ id_words[2] ^ id_words[3]
    mixed = (mixed ^ mixed >> np.uint64(29)) * np.uint64(0xBF58476D1CE4E5B9)
    mask = tables.slots.size - 1
    slot = np.int64(mixed >> np.uint64(32)) & mask
    while tables.slots[slot] != 0:
        name = tables.names[tables.slots[slot] - 1]
        same = True
        for i in range(32):
            same &= name[i] == buf[at + i]
        if same:
            break
        slot = (slot + 1) & mask
    return int(slot)


@kernel
def fill_slots(tables: BookTables) -> None:
    """Enter every pool into slots that are empty, by its first row."""
    for row in range(tables.meta[POOLS_USED]):
        slot = probe(tables, tables.names[row], 0)
        if tables.slots[slot] == 0:
            tables.slots[slot] = row + 1


@kernel
def find_pool(tables: BookTables, buf: Bytes, at: int) -> int:
    """The first row of the pool whose 32 bytes are at buf[at:]; -1 if it is not known."""
    return int(tables.slots[probe(tables, buf, at)]) - 1


@kernel
def find_pair(tables: BookTables, buf: Bytes, at: int) -> int:
    """The row of the pool and pair whose record is at buf[at:]; -1 if it is not known."""
    row = find_pool(tables, buf, at)
    while row >= 0 and not is_pair(tables.names[row], buf, at):
        row = int(tables.pools[row]["other_pair"]) - 1
    return row


@inline_kernel
def is_pair(name: Bytes, buf: Bytes, at: int) -> bool:
    """Whether the names of a row are of the two tokens of the record at buf[at:]."""
    ours = name[TOKENS_AT:TOKENS_END].view(np.uint64)
    theirs = buf[at + TOKENS_AT : at + TOKENS_END].view(np.uint64)
    same = True
    for i in range(TOKENS_SIZE // 8):
        same &= ours[i] == theirs[i]
    return bool(same)


def rows_of(tables: BookTables, pool: bytes) -> list[int]:
    """The rows of a pool, one for each pair; none if it is not known."""
    found, row = [], find_pool(tables, np.frombuffer(bytearray(pool.ljust(POOL_BYTES, b"\0")), np.uint8), 0)
    while row >= 0:
        found.append(row)
        row = int(tables.pools[row]["other_pair"]) - 1
    return found


@kernel
def note_change(tables: BookTables, row: int) -> None:
    """List the pool as changed."""
    if tables.pools[row]["changed"] == 0:
        tables.pools[row]["changed"] = 1
        tables.changed[tables.meta[CHANGED_USED]] = row
        tables.meta[CHANGED_USED] += 1


@inline_kernel
def learn_pool(tables: BookTables, buf: Bytes, at: int) -> int:
    """The row of the pool and pair whose record is at buf[at:], a new one if it is not known; decimals, once known,
    stay (`Pool.learn`)."""
    row = int(tables.slots[probe(tables, buf, at)]) - 1
    if row < 0 or not is_pair(tables.names[row], buf, at):
        row = learn_pair(tables, buf, at)
    told, known = buf[at : at + PREFIX_SIZE].view(POOL_PREFIX)[0], tables.names[row].view(POOL_PREFIX)[0]
    if told["decimals0"] != UNKNOWN_DECIMALS:
        known["decimals0"] = told["decimals0"]
    if told["decimals1"] != UNKNOWN_DECIMALS:
        known["decimals1"] = told["decimals1"]
    return row


@kernel
def learn_pair(tables: BookTables, buf: Bytes, at: int) -> int:
    """The row of a pair that is not its pool's first, a new one if it is not known."""
    slot = probe(tables, buf, at)
    row, before = int(tables.slots[slot]) - 1, -1
    while row >= 0 and not is_pair(tables.names[row], buf, at):
        before, row = row, int(tables.pools[row]["other_pair"]) - 1
    if row >= 0:
        return row
    row = int(tables.meta[POOLS_USED])
    tables.meta[POOLS_USED] = row + 1
    if before < 0:
        tables.slots[slot] = row + 1
    else:
        tables.pools[before]["other_pair"] = row + 1
    copy_bytes(tables.names[row], 0, buf, at, PREFIX_SIZE)
    pool = tables.pools[row]
    pool["fee_pips"] = pool["fee_pips_back"] = pool["newest"] = pool["oldest"] = -1
    note_change(tables, row)
    return row


@kernel
def free(tables: BookTables, row: int, entry: int) -> None:
    """Take an entry out of its pool's list."""
    pool, gone = tables.pools[row], tables.entries[entry]
    if gone["previous"] >= 0:
        tables.entries[gone["previous"]]["next"] = gone["next"]
    else:
        pool["oldest"] = gone["next"]
    if gone["next"] >= 0:
        tables.entries[gone["next"]]["previous"] = gone["previous"]
    else:
        pool["newest"] = gone["previous"]
    gone["next"] = tables.meta[FREE_ENTRY]
    tables.meta[FREE_ENTRY] = entry


@kernel
def forget(tables: BookTables, row: int) -> bool:
    """Empty the pool's list (`PoolBook`: unknown); whether it held anything."""
    known = bool(tables.pools[row]["newest"] >= 0)
    if tables.names[row].view(POOL_PREFIX)[0]["protocol"] == UNISWAP_V4:
        learn_fees(tables, row, -1, -1)
    while tables.pools[row]["newest"] >= 0:
        free(tables, row, tables.pools[row]["newest"])
    if known:
        note_change(tables, row)
    return known


@kernel
def begin_entry(tables: BookTables, block: int, log_index: int, sequence: int, publish_ns: int) -> int:
    """A zeroed entry that is in no list."""
    entry = int(tables.meta[FREE_ENTRY])
    if entry >= 0:
        tables.meta[FREE_ENTRY] = tables.entries[entry]["next"]
    else:
        entry = int(tables.meta[ENTRIES_USED])
        tables.meta[ENTRIES_USED] = entry + 1
    made = tables.entries[entry]
    made["block"], made["log_index"] = block, log_index
    made["sequence"], made["publish_ns"] = sequence, publish_ns
    made["is_price"] = made["tick"] = 0
    for i in range(WORDS):
        tables.words[entry, i] = 0
    return entry


@kernel
def copy_words(tables: BookTables, entry: int, at: int, buf: Bytes, start: int, limbs: int) -> None:
    """Copy so many limbs of buf[start:] into the entry's words."""
    found = buf[start : start + 8 * limbs].view(np.uint64)
    for i in range(limbs):
        tables.words[entry, at + i] = found[i]


@kernel
def put(tables: BookTables, row: int, entry: int) -> None:
    """Enter a state into its pool's list, as `Pool.put`."""
    pool, made = tables.pools[row], tables.entries[entry]
    before = int(pool["newest"])
    while before >= 0:
        other = tables.entries[before]
        if other["block"] < made["block"] or (
            other["block"] == made["block"] and other["log_index"] <= made["log_index"]
        ):
            break
        before = int(other["previous"])
    late = before != pool["newest"]
    behind = int(pool["oldest"]) if before < 0 else int(tables.entries[before]["next"])
    made["previous"], made["next"] = before, behind
    if before < 0:
        pool["oldest"] = entry
    else:
        tables.entries[before]["next"] = entry
    if behind < 0:
        pool["newest"] = entry
    else:
        tables.entries[behind]["previous"] = entry
    if late and made["is_price"]:
        forget(tables, row)
        return
    oldest = made["block"] - KEPT_BLOCKS
    while True:
        first = int(pool["oldest"])
        second = int(tables.entries[first]["next"])
        if second < 0 or tables.entries[second]["block"] >= oldest:
            break
        free(tables, row, first)
    note_change(tables, row)


@kernel
def take_back(tables: BookTables, row: int, hash_words: Limbs, log_index: int) -> None:
    """Remove the state that one event set, as `Pool.remove`."""
    entry = int(tables.pools[row]["newest"])
    while entry >= 0:
        found = tables.entries[entry]
        if found["log_index"] == log_index:
            same = True
            for i in range(WIDE):
                same &= tables.words[entry, HASH_AT + i] == hash_words[i]
            if same:
                free(tables, row, entry)
                note_change(tables, row)
                return
        entry = int(found["previous"])


@kernel
def roll_back(tables: BookTables, fork: int) -> None:
    """Forget every state of a block above the fork, of all pools."""
    for row in range(tables.meta[POOLS_USED]):
        pool = tables.pools[row]
        pool["last_event_block"] = min(pool["last_event_block"], fork)
        if pool["fee_changed"] > fork:
            pool["fee_changed"] = fork
            learn_fees(tables, row, -1, -1)
        while pool["newest"] >= 0 and tables.entries[pool["newest"]]["block"] > fork:
            free(tables, row, pool["newest"])
            note_change(tables, row)


@kernel
def forget_all(tables: BookTables, since_block: int) -> None:
    """Every state is unknown from now on; snapshots older than `since_block` do not help."""
    tables.meta[TRUSTED_SINCE] = max(tables.meta[TRUSTED_SINCE], since_block)
    for row in range(tables.meta[POOLS_USED]):
        forget(tables, row)


@kernel
def move_liquidity(tables: BookTables, row: int, entry: int, buf: Bytes, amount: int, size: int, adds: bool) -> None:
    """Make of `entry` the pool's newest state with so many limbs at buf[amount:] more or less liquidity."""
    newest = tables.pools[row]["newest"]
    for i in range(WIDE):
        tables.words[entry, FIRST_AT + i] = tables.words[newest, FIRST_AT + i]
    tables.entries[entry]["is_price"] = 1
    tables.entries[entry]["tick"] = tables.entries[newest]["tick"]
    limbs = buf[amount : amount + 8 * size].view(np.uint64)
    carry = np.uint64(0) if adds else np.uint64(1)
    for i in range(WIDE):
        limb = limbs[i] if i < size else np.uint64(0)
        added = limb if adds else ~limb
        held = tables.words[newest, SECOND_AT + i]
        part = held + added
        total = part + carry
        carry = np.uint64(1) if part < held or total < part else np.uint64(0)
        tables.words[entry, SECOND_AT + i] = total


@kernel
def learn_fees(tables: BookTables, row: int, of_token0: int, of_token1: int) -> None:
    """Take over the fees."""
    pool = tables.pools[row]
    if pool["fee_pips"] != of_token0 or pool["fee_pips_back"] != of_token1:
        pool["fee_pips"], pool["fee_pips_back"] = of_token0, of_token1
        note_change(tables, row)


@kernel
def holds_reserves(protocol: int) -> bool:
    """Whether the state of a protocol's pools is two reserves, as `pool_state.HOLDS_RESERVES`."""
    return bool(protocol in (UNISWAP_V2, SOLIDLY, VELODROME))


@kernel
def says_no_price(protocol: int) -> bool:
    """Whether a protocol's swaps say no price, as `pool_state.SAYS_NO_PRICE`."""
    return bool(protocol in (BALANCER, CURVE, DODO, WOOFI))


@kernel
def identify(
    tables: BookTables, row: int, fee_pips: int, tick_spacing: int, protocol: int, hooked: bool, curve: int
) -> None:
    """Take over what is fixed about a pool, as `pool_book`; a fee of 0 on the wire is not known, but for V4."""
    pool, name = tables.pools[row], tables.names[row].view(POOL_PREFIX)[0]
    same = pool["tick_spacing"] == tick_spacing and pool["curve"] == curve and pool["hooked"] == hooked
    if not same or name["protocol"] != protocol:
        pool["tick_spacing"], name["protocol"], pool["hooked"], pool["curve"] = tick_spacing, protocol, hooked, curve
        note_change(tables, row)
    if protocol != UNISWAP_V4 and not pool["followed"]:
        fee = fee_pips if fee_pips > 0 else -1
        learn_fees(tables, row, fee, fee)


@kernel
def put_state_record(
    tables: BookTables, row: int, buf: Bytes, value: int, block: int, log_index: int, sequence: int, publish_ns: int
) -> int:
    """An entry of what a PoolState at buf[value:] says; -1 if it says no state."""
    state = buf[value : value + STATE_SIZE].view(STATE_RECORD)[0]
    is_price = not holds_reserves(state["protocol"])
    first, second, limbs = (STATE_PRICE, STATE_LIQUIDITY, HALF) if is_price else (STATE_RESERVE0, STATE_RESERVE1, WIDE)
    if is_blank(buf, value + first, 8 * WIDE) or (not is_price and is_blank(buf, value + second, 8 * WIDE)):
        return -1
    entry = begin_entry(tables, block, log_index, sequence, publish_ns)
    copy_words(tables, entry, FIRST_AT, buf, value + first, WIDE)
    copy_words(tables, entry, SECOND_AT, buf, value + second, limbs)
    if is_price:
        tables.entries[entry]["is_price"] = 1
        tables.entries[entry]["tick"] = state["tick"]
    return entry


@kernel
def is_blank(buf: Bytes, start: int, size: int) -> bool:
    """Whether buf[start:] begins with so many zeros."""
    blank = True
    for i in range(size):
        blank &= buf[start + i] == 0
    return blank


@kernel
def take_snapshot(tables: BookTables, buf: Bytes, value: int, sequence: int, publish_ns: int) -> None:
    """A PoolState with SNAPSHOT, as `PoolBook.take_snapshot`."""
    row = learn_pool(tables, buf, value)
    state = buf[value : value + STATE_SIZE].view(STATE_RECORD)[0]
    hooked = not is_blank(buf, value + STATE_HOOKS, HOOKS_SIZE)
    spacing, protocol, curve = int(state["tick_spacing"]), int(state["protocol"]), int(state["curve"])
    identify(tables, row, int(state["fee_pips"]), spacing, protocol, hooked, curve)
    pool, block = tables.pools[row], int(state["block_number"])
    says_fees = state["protocol"] == UNISWAP_V4 and not is_blank(buf, value + STATE_PRICE, 8 * WIDE)
    if says_fees and block >= max(pool["fee_changed"], tables.meta[TRUSTED_SINCE]):
        learn_fees(tables, row, int(state["fee_pips"]), int(state["fee_pips_back"]))
    newest = int(pool["newest"])
    known = int(tables.entries[newest]["block"]) if newest >= 0 else int(tables.meta[TRUSTED_SINCE]) - 1
    if block > known and block >= pool["last_event_block"]:
        entry = put_state_record(tables, row, buf, value, block, SNAPSHOT_LOG_INDEX, sequence, publish_ns)
        if entry >= 0:
            pool["block"], pool["sequence"] = block, sequence
            put(tables, row, entry)


@inline_kernel
def take_event(tables: BookTables, buf: Bytes, tlv_type: int, value: int, at: int, sequence: int, ns: int) -> int:
    """A pool event with its origin at buf[at:], as `PoolBook.apply`; LIQUIDITY if it moves a tick map, FEES if it moves
    a fee only, else DONE."""
    row = learn_pool(tables, buf, value)
    pool = tables.pools[row]
    if tlv_type == CREATED_TYPE:
        made = buf[value : value + CREATED_SIZE].view(CREATED_RECORD)[0]
        spacing, protocol, curve = int(made["tick_spacing"]), int(made["protocol"]), int(pool["curve"])
        identify(tables, row, int(made["fee_pips"]), spacing, protocol, bool(pool["hooked"] != 0), curve)
        return DONE
    origin = buf[at : at + ORIGIN_SIZE].view(EVENT_ORIGIN)[0]
    block, log_index = int(origin["block_number"]), int(origin["log_index"])
    pool["last_event_block"] = max(pool["last_event_block"], block)
    pool["events"] += 1
    pool["block"], pool["sequence"] = block, sequence
    note_change(tables, row)
    protocol = buf[value : value + PREFIX_SIZE].view(POOL_PREFIX)[0]["protocol"]
    is_v2 = holds_reserves(protocol)
    entry, what = -1, DONE
    if tlv_type == SWAP_TYPE and protocol in (SOLIDLY, VELODROME):
        take_shown_fee(tables, row, buf, value, at)
    if protocol == UNISWAP_V4:
        take_v4_fee(tables, row, buf, tlv_type, value, block)
    if tlv_type == SYNC_TYPE:
        entry = begin_entry(tables, block, log_index, sequence, ns)
        copy_words(tables, entry, FIRST_AT, buf, value + SYNC_RESERVE0, WIDE)
        copy_words(tables, entry, SECOND_AT, buf, value + SYNC_RESERVE1, WIDE)
    elif tlv_type == SWAP_TYPE and not is_v2 and not says_no_price(protocol):
        entry = begin_entry(tables, block, log_index, sequence, ns)
        copy_words(tables, entry, FIRST_AT, buf, value + SWAP_PRICE, WIDE)
        copy_words(tables, entry, SECOND_AT, buf, value + SWAP_LIQUIDITY, HALF)
        tables.entries[entry]["is_price"] = 1
        tables.entries[entry]["tick"] = buf[value : value + SWAP_SIZE].view(SWAP_RECORD)[0]["tick"]
    elif tlv_type in (MINT_TYPE, BURN_TYPE, MOVE_TYPE):
        adds, size = tlv_type != BURN_TYPE, HALF
        amount = value + (MINT_AMOUNT if adds else BURN_AMOUNT)
        if tlv_type == MOVE_TYPE:
            size, amount = WIDE, value + MOVE_AMOUNT
        if not is_blank(buf, amount, 8 * size):
            what = LIQUIDITY
        lower, upper = ticks_of(buf, value, tlv_type)
        newest = int(pool["newest"])
        is_priced = not is_v2 and newest >= 0 and tables.entries[newest]["is_price"] != 0
        if is_priced and lower <= tables.entries[newest]["tick"] < upper:
            entry = begin_entry(tables, block, log_index, sequence, ns)
            move_liquidity(tables, row, entry, buf, amount, size, adds)
    elif tlv_type == STATE_TYPE:
        entry = put_state_record(tables, row, buf, value, block, log_index, sequence, ns)
        what = NAMED
    if tlv_type == SWAP_TYPE and protocol == ALGEBRA:
        what = FEES
    if entry >= 0:
        copy_words(tables, entry, HASH_AT, buf, at + ORIGIN_HASH, WIDE)
        put(tables, row, entry)
    return what


@kernel
def take_v4_fee(tables: BookTables, row: int, buf: Bytes, tlv_type: int, value: int, block: int) -> None:
    """What an event says of a V4 pool's fees, as `pool_book`."""
    pool = tables.pools[row]
    if tlv_type == FEE_TYPE:
        pool["fee_changed"] = block
        learn_fees(tables, row, -1, -1)
    elif tlv_type == SWAP_TYPE:
        fee = int(buf[value : value + SWAP_SIZE].view(SWAP_RECORD)[0]["swap_fee_pips"])
        if not is_blank(buf, value + SWAP_IN0, 8 * WIDE):
            learn_fees(tables, row, fee, int(pool["fee_pips_back"]))
        elif not is_blank(buf, value + SWAP_IN1, 8 * WIDE):
            learn_fees(tables, row, int(pool["fee_pips"]), fee)
    elif tlv_type == STATE_TYPE:
        state = buf[value : value + STATE_SIZE].view(STATE_RECORD)[0]
        hooked = not is_blank(buf, value + STATE_HOOKS, HOOKS_SIZE)
        identify(tables, row, 0, int(state["tick_spacing"]), UNISWAP_V4, hooked, int(pool["curve"]))
        fee = int(state["fee_pips"]) if state["fee_pips"] <= FEE_UNIT else -1
        learn_fees(tables, row, fee, fee)


@kernel
def take_shown_fee(tables: BookTables, row: int, buf: Bytes, value: int, at: int) -> None:
    """The fee that a swap of a pair of Solidly's type shows, whose origin is at buf[at:], as `pool_book`."""
    pool = tables.pools[row]
    newest = int(pool["newest"])
    before = int(tables.entries[newest]["previous"]) if newest >= 0 else -1
    if before < 0 or pool["fee_pips"] < 0 or not is_right_behind(tables, newest, buf, at):
        return
    if tables.entries[newest]["is_price"] != 0 or tables.entries[before]["is_price"] != 0:
        return
    paid = tables.scratch
    for side in range(2):
        came, went = (SWAP_IN1, SWAP_OUT1) if side else (SWAP_IN0, SWAP_OUT0)
        if is_blank(buf, value + came, 8 * WIDE) or not is_blank(buf, value + went, 8 * WIDE):
            continue
        amount, word = buf[value + came : value + came + 8 * WIDE].view(np.uint64), SECOND_AT if side else FIRST_AT
        after, held = tables.words[newest, word : word + WIDE], tables.words[before, word : word + WIDE]
        if subtract_limbs(paid, after, held) and subtract_limbs(paid, amount, paid):  # less what the reserve gained
            fee = shown_pips(amount, paid, int(pool["fee_pips"]))
            if fee != UNKNOWN:
                learn_fees(tables, row, fee, fee)
                return


@kernel
def is_right_behind(tables: BookTables, entry: int, buf: Bytes, at: int) -> bool:
    """Whether the event whose origin is at buf[at:] is the one behind that which set the entry."""
    log_index = buf[at : at + ORIGIN_SIZE].view(EVENT_ORIGIN)[0]["log_index"]
    same = bool(tables.entries[entry]["log_index"] + 1 == log_index)
    block_hash = buf[at + ORIGIN_HASH : at + ORIGIN_HASH + 8 * WIDE].view(np.uint64)
    for i in range(WIDE):
        same &= tables.words[entry, HASH_AT + i] == block_hash[i]
    return bool(same)


@kernel
def subtract_limbs(out: Limbs, left: Limbs, right: Limbs) -> bool:
    """left - right, whether it is not negative; `out` may be one of them."""
    borrow = np.uint64(0)
    for i in range(out.size):
        ours, theirs = left[i], right[i]
        rest = ours - theirs
        out[i] = rest - borrow
        borrow = np.uint64(1) if ours < theirs or rest < borrow else np.uint64(0)
    return bool(borrow == 0)


@kernel
def ticks_of(buf: Bytes, value: int, tlv_type: int) -> tuple[int, int]:
    """The range of a Mint, Burn or PoolLiquidity."""
    if tlv_type == MOVE_TYPE:
        move = buf[value : value + MOVE_SIZE].view(MOVE_RECORD)[0]
        return int(move["tick_lower"]), int(move["tick_upper"])
    if tlv_type == MINT_TYPE:
        mint = buf[value : value + MINT_SIZE].view(MINT_RECORD)[0]
        return int(mint["tick_lower"]), int(mint["tick_upper"])
    burn = buf[value : value + BURN_SIZE].view(BURN_RECORD)[0]
    return int(burn["tick_lower"]), int(burn["tick_upper"])


@kernel
def take_fee(tables: BookTables, buf: Bytes, value: int) -> None:
    """A PoolFee; what the last swap paid in an Algebra pool says nothing of the next."""
    row = learn_pool(tables, buf, value)
    fee = int(buf[value : value + FEE_SIZE].view(FEE_RECORD)[0]["fee_pips"])
    if buf[value : value + PREFIX_SIZE].view(POOL_PREFIX)[0]["protocol"] != ALGEBRA:
        learn_fees(tables, row, fee, fee)


@kernel
def note_block(tables: BookTables, buf: Bytes, value: int) -> None:
    """A Block, as `PoolBook.see_block`."""
    block, meta = buf[value : value + BLOCK_SIZE].view(BLOCK_RECORD)[0], tables.meta
    number, timestamp = int(block["number"]), int(block["timestamp"])
    if meta[COMPLETE_FROM] < 0:
        meta[COMPLETE_FROM] = number
    if meta[NEWEST_S] > 0 and number == meta[NEWEST] + 1:
        meta[PACE_S] = max(timestamp - meta[NEWEST_S], 1)
    meta[NEWEST], meta[NEWEST_S] = number, timestamp


@kernel
def first_record(buf: Bytes, start: int, end: int) -> tuple[int, int]:
    """(type, position) of the first record of a checked message that has a layout; (0, end) if none has."""
    pos = start + HEADER_SIZE
    while pos < end:
        _, tlv_type, value, _, pos = next_tlv(buf, pos, end)
        if SIZE_OF_TYPE[tlv_type] >= 0:
            return tlv_type, value
    return 0, end


@kernel
def fold(tables: BookTables, buf: Bytes, table: Longs, column: int, last: int, clock_offset_ns: int) -> tuple[int, int]:
    """Take in the frames in columns `column` to `last` - 1 of a poll's table.

    Returns (the column, why) at the first that is the caller's to see, whose states are taken in unless it is FULL;
    (`last`, DONE) behind the last.
    """
    for i in range(column, last):
        meta = tables.meta
        full = meta[POOLS_USED] == tables.pools.size
        if full or (meta[FREE_ENTRY] < 0 and meta[ENTRIES_USED] == tables.entries.size):
            return i, FULL
        start = table[OFFSET_ROW, i]
        end = start + table[LENGTH_ROW, i]
        if check_message(buf, start, end, False) != OK:
            return i, REFUSED
        tlv_type, value = first_record(buf, start, end)
        if tlv_type == BLOCK_TYPE:
            note_block(tables, buf, value)
            if meta[FOLLOWED] > 0:
                return i, FEES
        elif tlv_type in (REORG_TYPE, INVALIDATION_TYPE, GAP_TYPE, SESSION_TYPE):
            return i, CONTROL
        elif tlv_type == VENUE_TYPE:
            return i, NAMED
        elif tlv_type != 0 and IS_POOL[tlv_type]:
            what = take_pool_record(
                tables, buf, start, end, tlv_type, value, table[SEQUENCE_ROW, i], table[TIME_ROW, i] + clock_offset_ns
            )
            if what != DONE:
                return i, what
    return last, DONE


@kernel
def take_pool_record(
    tables: BookTables, buf: Bytes, start: int, end: int, tlv_type: int, value: int, sequence: int, ns: int
) -> int:
    """Take in a message that begins with a pool's record, as `consumers.strategy.dispatch`; DONE, or why not."""
    flags = int(buf[start : start + HEADER_SIZE].view(HEADER)[0]["flags"])
    if flags & UNPROVEN:
        return DONE
    if flags & SNAPSHOT and tlv_type == STATE_TYPE:
        take_snapshot(tables, buf, value, sequence, ns)
        return NAMED
    if tlv_type in (TICKS_TYPE, FEES_TYPE):
        learn_pool(tables, buf, value)
        return TICKS if tlv_type == TICKS_TYPE else FEES
    is_v4 = buf[value : value + PREFIX_SIZE].view(POOL_PREFIX)[0]["protocol"] == UNISWAP_V4
    if tlv_type == FEE_TYPE and not is_v4:
        take_fee(tables, buf, value)
        return DONE
    at = find_tlv(buf, start, end, ORIGIN_TYPE)
    if at < 0:
        return REFUSED
    if not flags & REMOVED:
        return take_event(tables, buf, tlv_type, value, at, sequence, ns)
    row = find_pair(tables, buf, value)
    if row >= 0 and tlv_type == FEE_TYPE:
        learn_fees(tables, row, -1, -1)
    elif row >= 0:
        log_index = int(buf[at : at + ORIGIN_SIZE].view(EVENT_ORIGIN)[0]["log_index"])
        take_back(tables, row, buf[at + ORIGIN_HASH : at + ORIGIN_HASH + 32].view(np.uint64), log_index)
        if tlv_type in (MINT_TYPE, BURN_TYPE, MOVE_TYPE):
            return LIQUIDITY
        if buf[value : value + PREFIX_SIZE].view(POOL_PREFIX)[0]["protocol"] == ALGEBRA:
            return FEES
    return DONE
