"""The states of all pools for a native handler, and what pools pay, to the wei.

Owns `NativeBook`, which applies in Python what `book_kernels.fold` leaves to its caller (reorgs, losses, tick maps,
fees that move),
and what a handler may ask of the `BookView` that it gets as `book`:

    row = pool_row(book, sync["pool"])              # -1: not known; of a pool of several pairs the first's
    known = reserves(book, row, first, second)      # uint64[4] each; of a V3 pool the virtual ones
    rough = price(book, row)                        # a float, to look which pool is worth a quote
    status = quote(book, row, True, amount, out)    # token0 goes in; only QUOTED and HOOKED give an amount

The book stands as of the frame being handled, that included.  Which pools can be quoted: Uniswap V2 pairs; pairs of
Solidly's type once a snapshot has named their curve; V3, V4 and Algebra pools through all their ticks if the ring has
their tick maps, else within the range of the price.  A pool that cannot be is refused with a status (`quoting`), never
approximated.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from consumers.arbitrage import book_kernels
from consumers.arbitrage.book_kernels import (
    FIRST_AT,
    FULL,
    SECOND_AT,
    WIDE,
    BookTables,
    find_pair,
    find_pool,
    grown,
    make_tables,
)
from consumers.arbitrage.constant_product import FEE_UNIT
from consumers.arbitrage.kept_fees import KeptFees
from consumers.arbitrage.kept_ticks import KeptTicks
from consumers.arbitrage.pool_book import UNKNOWN_FORK, change_of
from consumers.arbitrage.solidly import MOST_DECIMALS
from consumers.arbitrage.stable_curve import rate_at
from consumers.native.quoting import (
    AMOUNT,
    BAD_STATE,
    EMPTY_POOL,
    HOOKED,
    LIQUIDITY,
    OUT,
    PRICE,
    QUOTED,
    RESERVE_IN,
    RESERVE_OUT,
    TOO_LARGE,
    UNKNOWN_FEE,
    UNKNOWN_POOL,
    UNKNOWN_STATE,
    Work,
    divide_into,
    is_price,
    is_price_of,
    is_reserve,
    make_work,
    quote_reserves,
    quote_through_ticks,
    quote_within_range,
    ticks_up_to,
)
from consumers.native.solidly import SUPERCHAIN, VOLATILE, quote_solidly
from consumers.native.wide_math import (
    digits_used,
    multiply_digits,
    put_limbs,
    set_limbs,
    set_number,
    shift_digits_left,
)
from tlv.buffers import Bytes, Limbs, Longs
from tlv.codes import Flag, GapScope, InvalidationScope, Protocol, Reason
from tlv.filter import POOL_PREFIX
from tlv.jit import kernel
from tlv.layout import (
    Block,
    EventOrigin,
    FeeState,
    Gap,
    PoolBurn,
    PoolLiquidity,
    PoolMint,
    PoolRecord,
    PoolSwap,
    PoolTicks,
    Reorg,
    Session,
    StateInvalidation,
    TickLiquidity,
    Timepoint,
)
from tlv.message import parse
from tlv.wide import wide_to_float

POOLS, STATES, TICKS = 64, 1024, 1024
"""Room at the beginning; all grow."""
NO_MAP = -1
NET_BYTES = 16
MOST_NET = 1 << 127
"""The contract's is an int128."""
Q96 = 79228162514264337593543950336.0
"""2^96 as a float, exactly."""


class TickArrays(NamedTuple):
    """The tick maps that are known, as arrays."""

    first: Longs
    """int64[pools]: where in `ticks` a pool's begin."""
    counts: Longs
    """int64[pools]: how many it has; NO_MAP: its map is not known."""
    ticks: Longs
    """int64[room]: rising, pool by pool."""
    nets: Limbs
    """uint64[room, 2]: what each adds to the liquidity when it is crossed upwards, in two's complement."""


class BookView(NamedTuple):
    """What a handler gets as `book`."""

    tables: BookTables
    ticks: TickArrays
    work: Work


@kernel
def pool_row(book: BookView, pool: Bytes) -> int:
    """The row of a pool, given its 32 bytes; -1 if no record named it yet.  A pool of more than two coins has a row for
    each pair that a record named, and this is the first one's; none of them can be quoted."""
    return find_pool(book.tables, pool, 0)


@kernel
def load_state(book: BookView, row: int) -> int:
    """Put a pool's state into PRICE and LIQUIDITY, of a V2 pair its reserves; QUOTED, or why it has none."""
    if row < 0:
        return UNKNOWN_POOL
    entry = book.tables.pools[row]["newest"]
    if entry < 0:
        return UNKNOWN_STATE
    words = book.tables.words[entry]
    set_limbs(book.work[PRICE], words[FIRST_AT : FIRST_AT + WIDE])
    set_limbs(book.work[LIQUIDITY], words[SECOND_AT : SECOND_AT + WIDE])
    if book.tables.entries[entry]["is_price"] == 0:
        if is_solidly(book, row):
            return QUOTED
        return QUOTED if is_reserve(book.work[PRICE]) and is_reserve(book.work[LIQUIDITY]) else BAD_STATE
    if words[SECOND_AT + 2] != 0 or words[SECOND_AT + 3] != 0:  # negative, or no uint128
        return BAD_STATE
    return QUOTED if is_price(book.work) else EMPTY_POOL


@kernel
def reserves(book: BookView, row: int, reserve0: Limbs, reserve1: Limbs) -> int:
    """Write a pool's reserves, uint64[4] each; of a V3 pool the virtual ones, rounded down.  QUOTED, or why not."""
    status = load_state(book, row)
    if status != QUOTED:
        return status
    work = book.work
    if book.tables.entries[book.tables.pools[row]["newest"]]["is_price"] != 0:
        shift_digits_left(work[OUT], work[LIQUIDITY], 96)
        multiply_digits(work[AMOUNT], work[LIQUIDITY], work[PRICE])
        divide_into(work[PRICE], work[OUT], work[PRICE], False, work)
        set_number(work[LIQUIDITY], work[AMOUNT][3:])
    fits = put_limbs(reserve0, work[PRICE]) and put_limbs(reserve1, work[LIQUIDITY])
    return QUOTED if fits else TOO_LARGE


@kernel
def price(book: BookView, row: int) -> float:
    """Base units of token1 for one of token0, without fee, as a float: to choose, not to decide; 0 if not known."""
    if row < 0 or book.tables.pools[row]["newest"] < 0:
        return 0.0
    entry = book.tables.pools[row]["newest"]
    words = book.tables.words[entry]
    first, second = wide_to_float(words[FIRST_AT : FIRST_AT + WIDE]), wide_to_float(words[SECOND_AT : SECOND_AT + WIDE])
    if book.tables.entries[entry]["is_price"] != 0:
        return (first / Q96) * (first / Q96)
    if is_solidly(book, row) and book.tables.pools[row]["curve"] > VOLATILE and first != 0.0:
        name = book.tables.names[row].view(POOL_PREFIX)[0]
        scale0, scale1 = 10.0 ** float(name["decimals0"]), 10.0 ** float(name["decimals1"])
        return float(rate_at(first / scale0, second / scale1) * (scale1 / scale0))
    return second / first if first != 0.0 else 0.0


@kernel
def quote(book: BookView, row: int, token0_in: bool, amount: Limbs, out: Limbs) -> int:
    """Write into `out` what the pool pays for `amount`, uint64[4] each: QUOTED, or HOOKED; else why not, and then `out`
    is 0.

    `out` may be a field of the record that you write, such as an order's `min_amount_out`.
    """
    for i in range(out.shape[0]):
        out[i] = np.uint64(0)
    status = load_state(book, row)
    if status != QUOTED:
        return status
    pool, work = book.tables.pools[row], book.work
    fee = int(pool["fee_pips"] if token0_in else pool["fee_pips_back"])
    if not 0 <= fee < FEE_UNIT:
        return UNKNOWN_FEE
    set_limbs(work[AMOUNT], amount)
    entry = book.tables.entries[pool["newest"]]
    if entry["is_price"] == 0:
        if not token0_in:
            set_number(work[OUT], work[RESERVE_IN])
            set_number(work[RESERVE_IN], work[RESERVE_OUT])
            set_number(work[RESERVE_OUT], work[OUT])
        status = quote_pair(book, row, fee, token0_in) if is_solidly(book, row) else quote_reserves(work, fee)
    else:
        status = quote_price(book, row, int(entry["tick"]), int(pool["tick_spacing"]), fee, token0_in)
    if status == QUOTED and not put_limbs(out, work[OUT]):
        return TOO_LARGE
    return HOOKED if status == QUOTED and pool["hooked"] != 0 else status


@kernel
def is_solidly(book: BookView, row: int) -> bool:
    """Whether the pool is a pair of Solidly's type, which swaps on its curve."""
    protocol = book.tables.names[row].view(POOL_PREFIX)[0]["protocol"]
    return bool(protocol in (book_kernels.SOLIDLY, book_kernels.VELODROME))


@kernel
def quote_pair(book: BookView, row: int, fee: int, token0_in: bool) -> int:
    """`quote` of a pair of Solidly's type, whose reserves are in their rows."""
    name, curve = book.tables.names[row].view(POOL_PREFIX)[0], int(book.tables.pools[row]["curve"])
    decimals0, decimals1 = int(name["decimals0"]), int(name["decimals1"])
    if not VOLATILE <= curve <= SUPERCHAIN or (curve != VOLATILE and max(decimals0, decimals1) > MOST_DECIMALS):
        return UNKNOWN_STATE
    decimals_in, decimals_out = (decimals0, decimals1) if token0_in else (decimals1, decimals0)
    return quote_solidly(book.work, fee, curve, decimals_in, decimals_out, token0_in)  # a constant would be compiled in


@kernel
def is_active(book: BookView, first: int, count: int, tick: int) -> bool:
    """Whether what the ticks up to the price add is its liquidity.  Map and price come by different messages; where
    they disagree only the current range is used, as by `legs.usable_map`."""
    low, high = np.uint64(0), np.uint64(0)
    for i in range(ticks_up_to(book.ticks.ticks, first, count, tick)):
        net = book.ticks.nets[first + i]
        low += net[0]
        high += net[1] + (np.uint64(1) if low < net[0] else np.uint64(0))
    held = book.work[LIQUIDITY].view(np.uint64)
    return bool(held[0] == low and held[1] == high)


@kernel
def quote_price(book: BookView, row: int, tick: int, spacing: int, fee: int, token0_in: bool) -> int:
    """`quote` of a pool with a price."""
    if spacing <= 0 or digits_used(book.work[LIQUIDITY]) == 0:
        return EMPTY_POOL
    if not is_price_of(book.work, tick):
        return BAD_STATE
    if row >= book.ticks.counts.size or book.ticks.counts[row] == NO_MAP:
        return quote_within_range(book.work, tick, spacing, fee, token0_in)
    first, count = int(book.ticks.first[row]), int(book.ticks.counts[row])
    if not is_active(book, first, count, tick):
        return quote_within_range(book.work, tick, spacing, fee, token0_in)
    return quote_through_ticks(
        book.work, tick, spacing, fee, token0_in, book.ticks.ticks, book.ticks.nets, first, count
    )


class NativeBook:
    """The pools of one ring, in arrays that handlers read, and their tick maps as `KeptTicks` keeps them."""

    def __init__(self) -> None:
        arrays = TickArrays(
            np.zeros(POOLS, np.int64),
            np.full(POOLS, NO_MAP, np.int64),
            np.zeros(TICKS, np.int64),
            np.zeros((TICKS, 2), np.uint64),
        )
        self.view = BookView(make_tables(POOLS, STATES), arrays, make_work())
        self._ticks: dict[int, KeptTicks] = {}
        """Of the pools whose liquidity beyond the price was told, or changed, by row."""
        self._fees: dict[int, KeptFees] = {}
        """Of Algebra's pools, by row."""
        self._used = 0
        """Of the room in `TickArrays.ticks`."""

    def attend(self, why: int, payload: bytes) -> None:
        """Apply the frame at which `fold` returned `why`."""
        if why == FULL:
            self._grow()
            return
        message = parse(payload, verify=False)
        match message.records[0]:
            case PoolTicks() as part:
                self._take_ticks(part, [tick for tick in message.records if isinstance(tick, TickLiquidity)])
            case FeeState() as state:
                self._take_fees(state, [point for point in message.records if isinstance(point, Timepoint)])
            case Block():
                for row in self._fees:
                    self._charge(row)
            case PoolSwap() | PoolMint() | PoolBurn() | PoolLiquidity() as record:
                origin = message.first(EventOrigin)
                assert origin is not None
                self._take_event(record, origin, removed=bool(message.header.flags & Flag.REMOVED))
            case Reorg() as reorg if reorg.fork_hash == UNKNOWN_FORK:
                self._invalidate()
            case Reorg() as reorg:
                book_kernels.roll_back(self.view.tables, reorg.fork_number)
                for row, ticks in self._ticks.items():
                    ticks.roll_back(reorg.fork_number)
                    self._show(row)
                for row, fees in self._fees.items():
                    fees.roll_back(reorg.fork_number)
                    self._charge(row)
            case StateInvalidation() as invalidation if invalidation.reason != Reason.REORG:
                self._take_invalidation(invalidation)
            case Gap() as gap if gap.scope == GapScope.RING_SEQUENCES:
                self.lose()
            case Gap() | Session():
                self._invalidate()

    def lose(self) -> None:
        """Frames were lost: every state is unknown, and the changes of the tick maps are incomplete."""
        self.view.tables.meta[book_kernels.COMPLETE_FROM] = -1
        for ticks in self._ticks.values():
            ticks.lose()
        for fees in self._fees.values():
            fees.lose()
        self._invalidate()

    def _row_of(self, record: PoolRecord) -> int:
        return find_pair(self.view.tables, np.frombuffer(bytearray(record.pack()), np.uint8), 0)

    def _grow(self) -> None:
        tables, arrays = grown(self.view.tables), self.view.ticks
        more = len(tables.pools) - len(arrays.first)
        if more > 0:
            first = np.concatenate([arrays.first, np.zeros(more, np.int64)])
            counts = np.concatenate([arrays.counts, np.full(more, NO_MAP, np.int64)])
            arrays = arrays._replace(first=first, counts=counts)
        self.view = self.view._replace(tables=tables, ticks=arrays)

    def _take_invalidation(self, invalidation: StateInvalidation) -> None:
        if invalidation.scope != InvalidationScope.ONE_POOL:
            self._invalidate(invalidation.since_block)
            return
        for row in book_kernels.rows_of(self.view.tables, invalidation.pool):
            book_kernels.forget(self.view.tables, row)
            if row in self._ticks:
                self._ticks[row].void()
                self._show(row)
            if row in self._fees:
                self._fees[row].void()
                self._charge(row)

    def _invalidate(self, since_block: int = 0) -> None:
        book_kernels.forget_all(self.view.tables, since_block)
        for ticks in self._ticks.values():
            ticks.void()
        for row, fees in self._fees.items():
            fees.void()
            self._charge(row)
        self.view.ticks.counts[:] = NO_MAP
        self._used = 0

    def _take_event(
        self, record: PoolSwap | PoolMint | PoolBurn | PoolLiquidity, origin: EventOrigin, *, removed: bool
    ) -> None:
        row = self._row_of(record)
        if record.protocol == Protocol.ALGEBRA and not isinstance(record, PoolLiquidity):
            fees = self._fees.setdefault(row, KeptFees())
            if removed:
                fees.take_back(origin)
            else:
                fees.apply(record, origin)
            self._charge(row)
        if not isinstance(record, PoolSwap):
            ticks = self._ticks.setdefault(row, KeptTicks())
            if removed:
                ticks.take_back(origin)
            else:
                ticks.apply(change_of(record, origin))
            self._show(row)

    def _take_fees(self, state: FeeState, points: list[Timepoint]) -> None:
        since_block = self._complete_since()
        if since_block is None:
            return
        row = self._row_of(state)
        if self._fees.setdefault(row, KeptFees()).take(state, points, since_block):
            pool = self.view.tables.pools[row]
            self.view.tables.meta[book_kernels.FOLLOWED] += 1 - pool["followed"]
            pool["followed"] = 1
            self._charge(row)

    def _charge(self, row: int) -> None:
        """Say what a pool takes in the block after the newest; -1 if it is not known."""
        tables, fees = self.view.tables, self._fees[row]
        if fees.followed:
            meta = tables.meta
            pace_s, newest_s = int(meta[book_kernels.PACE_S]), int(meta[book_kernels.NEWEST_S])
            fee = fees.fee_at(newest_s + pace_s) if pace_s else None
            tables.pools[row]["fee_pips"] = tables.pools[row]["fee_pips_back"] = -1 if fee is None else fee

    def _complete_since(self) -> int | None:
        """The block as of which a map or FeeState has to be, or later; None while none can be taken."""
        meta = self.view.tables.meta
        complete_from = int(meta[book_kernels.COMPLETE_FROM])
        return None if complete_from < 0 else max(int(meta[book_kernels.TRUSTED_SINCE]), complete_from - 1)

    def _take_ticks(self, part: PoolTicks, found: list[TickLiquidity]) -> None:
        since_block = self._complete_since()
        if since_block is None:
            return
        row = self._row_of(part)
        if self._ticks.setdefault(row, KeptTicks()).take(part, found, since_block):
            self._show(row)

    def _show(self, row: int) -> None:
        """Write a pool's tick map, as it is now, where handlers read it."""
        arrays, known = self.view.ticks, self._ticks[row].map
        fits = known is not None and all(-MOST_NET <= known.net[tick] < MOST_NET for tick in known.ticks)
        if known is None or not fits or known.spacing != self.view.tables.pools[row]["tick_spacing"]:
            arrays.counts[row] = NO_MAP
            return
        size = len(known.ticks)
        if size > arrays.counts[row]:
            if self._used + size > len(arrays.ticks):
                self._repack(row, size)
                arrays = self.view.ticks
            arrays.first[row] = self._used
            self._used += size
        first = int(arrays.first[row])
        arrays.counts[row] = size
        arrays.ticks[first : first + size] = known.ticks
        nets = b"".join(known.net[tick].to_bytes(NET_BYTES, "little", signed=True) for tick in known.ticks)
        arrays.nets[first : first + size] = np.frombuffer(nets, np.uint64).reshape(-1, 2)

    def _repack(self, row: int, size: int) -> None:
        """Bring all maps but that of `row` together, in room for twice of them and `size` more."""
        arrays = self.view.ticks
        arrays.counts[row] = NO_MAP
        rows = np.flatnonzero(arrays.counts > 0)
        room = 2 * (int(arrays.counts[rows].sum()) + size)
        ticks, nets, used = np.zeros(room, np.int64), np.zeros((room, 2), np.uint64), 0
        for one in rows.tolist():
            first, count = int(arrays.first[one]), int(arrays.counts[one])
            ticks[used : used + count] = arrays.ticks[first : first + count]
            nets[used : used + count] = arrays.nets[first : first + count]
            arrays.first[one] = used
            used += count
        self.view = self.view._replace(ticks=arrays._replace(ticks=ticks, nets=nets))
        self._used = used
