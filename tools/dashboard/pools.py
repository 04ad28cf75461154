"""The states of all pools, kept up to date from frames, as the rows that a page shows: one for each pool, and for each
pair of one of several coins.

Owns the fold of a ring's frames into rows and details.  `consumers.arbitrage.pool_book` owns what a record means for a
pool's state, `book_kernels` applies it in compiled code, and here is what is rare: reorgs, losses, tick maps, names.

    take_poll   the next frames of a ring, with the loss in front of them
    lose        frames of a ring that nobody can read any more
    changed     the rows of the pools that changed since the last call
    rows        all of them, as of that call
    detail      one of them, near by

A fold can be pickled, which time travel does: it goes on where the copy was taken.
"""

from __future__ import annotations

import pickle
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import numpy as np

from consumers.arbitrage import book_kernels
from consumers.arbitrage.book_kernels import (
    CONTROL,
    FIRST_AT,
    FULL,
    LIQUIDITY,
    NAMED,
    REFUSED,
    SECOND_AT,
    TICKS,
    WIDE,
    BookTables,
    fold,
    grown,
    make_tables,
)
from consumers.arbitrage.kept_ticks import KeptTicks
from consumers.arbitrage.pool_book import UNKNOWN_FORK, change_of
from consumers.arbitrage.pool_state import SAYS_NO_PRICE
from consumers.arbitrage.tick_math import MIN_TICK, sqrt_price_at
from ringbuf import Poll, Status
from ringbuf.layout import INDEX_ROWS, LENGTH_ROW, OFFSET_ROW
from tlv.codes import Curve, Domain, Flag, GapScope, InvalidationScope, Protocol, Reason
from tlv.fields import pool_id_of
from tlv.filter import POOL_BYTES, POOL_PREFIX
from tlv.layout import (
    EventOrigin,
    Gap,
    PoolBurn,
    PoolLiquidity,
    PoolMint,
    PoolState,
    PoolSync,
    PoolTicks,
    Reorg,
    Session,
    StateInvalidation,
    TickLiquidity,
    VenueName,
)
from tlv.message import Message, build, parse
from tlv.units import MS
from tlv.venues import VENUE_NAMES
from tools.dashboard.price import price_of_reserves, price_of_root, price_on_stable_curve
from tools.dashboard.shapes import LiquidityStep, PoolDetail, PoolStateRow, PoolToken

POOLS, STATES = 64, 1024
"""Room at the beginning; both grow."""
STEPS = 64
"""Steps of liquidity that a detail has on either side of the price."""
PRICES = 200
"""Changes of its price that a detail has."""
Pair = tuple[bytes, bytes]
"""Two tokens, that of the lower address first."""
KINDS = {int(kind): kind.name.lower() for kind in Protocol}


class RingPools:
    """The pools of one ring."""

    def __init__(self, ring: str) -> None:
        self.ring = ring
        self._tables: BookTables = make_tables(POOLS, STATES)
        self._ticks: dict[int, KeptTicks] = {}
        """Of the pools whose liquidity beyond the price was told, or changed, by row."""
        self._symbols: dict[bytes, str] = {}
        """By token."""
        self._venues: dict[int, str] = {int(code): name for code, name in VENUE_NAMES.items()}
        self._rows: list[PoolStateRow | None] = []
        """None: to be made when it is asked for."""
        self._of_token: dict[bytes, list[int]] = {}
        self._tokens: dict[tuple[bytes, int], PoolToken] = {}

    def __len__(self) -> int:
        return int(self._tables.meta[book_kernels.POOLS_USED])

    def __getstate__(self) -> dict[str, Any]:
        """Without room that is not used."""
        tables, pools = self._tables, len(self)
        states = int(tables.meta[book_kernels.ENTRIES_USED])
        used = tables._replace(
            names=tables.names[:pools],
            pools=tables.pools[:pools],
            changed=tables.changed[:pools],
            slots=tables.slots[:0],
            entries=tables.entries[:states],
            words=tables.words[:states],
        )
        return self.__dict__ | {"_tables": used, "_rows": [None] * len(self._rows), "_tokens": {}}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__dict__.update(kept)
        used: BookTables = kept["_tables"]
        tables = make_tables(power_of_two(POOLS, len(used.pools)), power_of_two(STATES, len(used.entries)))
        for name, array in used._asdict().items():
            getattr(tables, name)[: len(array)] = array
        book_kernels.fill_slots(tables)
        self._tables = tables

    # ---- what comes in

    def take_poll(self, poll: Poll, clock_offset_ns: int) -> None:
        """The next frames, and the loss in front of them."""
        if poll.loss is not None:
            self.lose()
        table, column, count = poll.table, 0, len(poll)
        while column < count:
            column, why = fold(self._tables, poll.buffer, table, column, count, clock_offset_ns)
            if why == FULL:
                self._tables = grown(self._tables)
                continue
            if why == REFUSED:
                self.lose()
            elif why in (CONTROL, NAMED, TICKS, LIQUIDITY):
                self._take_rare(why, parse(bytes(poll[column].payload), verify=False))
            column += why != book_kernels.DONE

    def _take_rare(self, why: int, message: Message) -> None:
        for record in message.records:
            if isinstance(record, VenueName):  # alone, or behind a Session
                self._name_venue(record.code, record.name)
        match message.records[0]:
            case PoolState() as state:
                self._name(state.token0, state.symbol0)
                self._name(state.token1, state.symbol1)
            case PoolTicks() as part:
                self._take_ticks(part, [tick for tick in message.records if isinstance(tick, TickLiquidity)])
            case PoolMint() | PoolBurn() | PoolLiquidity() as record if why == LIQUIDITY:
                origin = message.first(EventOrigin)
                assert origin is not None
                ticks = self._ticks.setdefault(self._row_of(record.pool, (record.token0, record.token1)), KeptTicks())
                if message.header.flags & Flag.REMOVED:
                    ticks.take_back(origin)
                else:
                    ticks.apply(change_of(record, origin))
            case Reorg() as reorg if reorg.fork_hash == UNKNOWN_FORK:
                self._invalidate()
            case Reorg() as reorg:
                book_kernels.roll_back(self._tables, reorg.fork_number)
                for ticks in self._ticks.values():
                    ticks.roll_back(reorg.fork_number)
            case StateInvalidation() as invalidation if invalidation.reason != Reason.REORG:
                self._take_invalidation(invalidation)
            case Gap() as gap if gap.scope == GapScope.RING_SEQUENCES:
                self.lose()
            case Gap() | Session():
                self._invalidate()

    def _take_invalidation(self, invalidation: StateInvalidation) -> None:
        if invalidation.scope != InvalidationScope.ONE_POOL:
            self._invalidate(invalidation.since_block)
            return
        for row in book_kernels.rows_of(self._tables, invalidation.pool):
            book_kernels.forget(self._tables, row)
            if row in self._ticks:
                self._ticks[row].void()

    def lose(self) -> None:
        """Frames were lost: every state is unknown, and the changes of the tick maps are incomplete."""
        self._tables.meta[book_kernels.COMPLETE_FROM] = -1
        for ticks in self._ticks.values():
            ticks.lose()
        self._invalidate()

    def _invalidate(self, since_block: int = 0) -> None:
        book_kernels.forget_all(self._tables, since_block)
        for ticks in self._ticks.values():
            ticks.void()

    def _take_ticks(self, part: PoolTicks, found: list[TickLiquidity]) -> None:
        complete_from = int(self._tables.meta[book_kernels.COMPLETE_FROM])
        if complete_from < 0:
            return
        since_block = max(int(self._tables.meta[book_kernels.TRUSTED_SINCE]), complete_from - 1)
        self._ticks.setdefault(self._row_of(part.pool, (part.token0, part.token1)), KeptTicks()).take(
            part, found, since_block
        )

    def _name(self, token: bytes, symbol: str) -> None:
        if not symbol or self._symbols.get(token) == symbol:
            return
        self._symbols[token] = symbol
        self._tokens = {key: known for key, known in self._tokens.items() if key[0] != token}
        for row in self._of_token.get(token, ()):
            book_kernels.note_change(self._tables, row)

    def _name_venue(self, code: int, name: str) -> None:
        if self._venues.get(code) == name:
            return
        self._venues[code] = name
        names = self._tables.names[: len(self)].view(POOL_PREFIX)[:, 0]
        for row in np.flatnonzero(names["venue"] == code).tolist():
            book_kernels.note_change(self._tables, row)

    def _row_of(self, pool: bytes, tokens: Pair) -> int:
        head = pool.ljust(POOL_BYTES, b"\0") + b"".join(tokens)
        return int(book_kernels.find_pair(self._tables, np.frombuffer(bytearray(head), np.uint8), 0))

    # ---- what is shown

    def changed(self) -> list[PoolStateRow]:
        """The rows of the pools that changed since the last call."""
        tables = self._tables
        used = int(tables.meta[book_kernels.CHANGED_USED])
        listed = sorted(tables.changed[:used].tolist())
        tables.meta[book_kernels.CHANGED_USED] = 0
        tables.pools["changed"][listed] = 0
        found = []
        for row in listed:
            made = self._make_row(row)
            if row < len(self._rows):
                self._rows[row] = made
            else:  # new ones are listed, and by rising row
                self._rows.append(made)
                for token in (made.token0, made.token1):
                    self._of_token.setdefault(bytes.fromhex(token.address[2:]), []).append(row)
            found.append(made)
        return found

    def rows(self) -> list[PoolStateRow]:
        """All of them, as of the last call of `changed`."""
        self._rows = [self._make_row(row) if made is None else made for row, made in enumerate(self._rows)]
        return [made for made in self._rows if made is not None]

    def detail(self, pool: bytes, tokens: Pair | None = None) -> PoolDetail | None:
        """One pool as it is now, of a pair of its coins or of the first; None if it is not known."""
        row = self._row_of(pool, tokens) if tokens else next(iter(book_kernels.rows_of(self._tables, pool)), -1)
        if row < 0:
            return None
        made = self._make_row(row)
        ticks = self._ticks.get(row)
        has_map = ticks is not None and ticks.map is not None
        return PoolDetail(made, ticks.as_of if ticks and has_map else None, self._steps(made, ticks), self._prices(row))

    def _make_row(self, row: int) -> PoolStateRow:
        tables = self._tables
        name, pool = tables.names[row].view(POOL_PREFIX)[0], tables.pools[row]
        token0 = self._token(bytes(name["token0"]), int(name["decimals0"]))
        token1 = self._token(bytes(name["token1"]), int(name["decimals1"]))
        newest, fee_pips = int(pool["newest"]), int(pool["fee_pips"])
        place, reserve0, reserve1, root, liquidity, tick, price = pool, 0, 0, 0, 0, None, None
        if newest >= 0:
            place = tables.entries[newest]
            first, second = self._values(newest)
            if place["is_price"]:
                root, liquidity, tick = first, second, int(place["tick"])
            else:
                reserve0, reserve1 = first, second
            price = self._price(row, newest, token0.decimals, token1.decimals)
        return PoolStateRow(
            ring=self.ring,
            venue=self._venues.get(int(name["venue"])) or str(name["venue"]),
            pool="0x" + pool_id_of(bytes(name["pool"])).hex(),
            kind=KINDS.get(int(name["protocol"])) or str(name["protocol"]),
            token0=token0,
            token1=token1,
            fee_pips=fee_pips if fee_pips >= 0 else None,
            known=newest >= 0,
            stateless=int(name["protocol"]) in SAYS_NO_PRICE,
            block=int(place["block"]),
            sequence=int(place["sequence"]),
            price=price,
            reserve0=str(reserve0),
            reserve1=str(reserve1),
            sqrt_price_x96=str(root),
            liquidity=str(liquidity),
            tick=tick,
            events=int(pool["events"]),
        )

    def _token(self, address: bytes, decimals: int) -> PoolToken:
        found = self._tokens.get((address, decimals))
        if found is None:
            found = PoolToken("0x" + address.hex(), self._symbols.get(address, ""), decimals)
            self._tokens[address, decimals] = found
        return found

    def _values(self, entry: int) -> tuple[int, int]:
        """Reserves, or square root price and liquidity."""
        raw = self._tables.words[entry].tobytes()
        first, second = (raw[8 * at : 8 * (at + WIDE)] for at in (FIRST_AT, SECOND_AT))
        is_price = bool(self._tables.entries[entry]["is_price"])
        return int.from_bytes(first, "little"), int.from_bytes(second, "little", signed=is_price)

    def _price(self, row: int, entry: int, decimals0: int, decimals1: int) -> str | None:
        first, second = self._values(entry)
        if self._tables.entries[entry]["is_price"]:
            return price_of_root(first, decimals0, decimals1)
        if self._tables.pools[row]["curve"] > Curve.VOLATILE:
            return price_on_stable_curve(first, second, decimals0, decimals1)
        return price_of_reserves(first, second, decimals0, decimals1)

    def _prices(self, row: int) -> list[tuple[int, int, str]]:
        """The newest changes of its price that are remembered, oldest first."""
        name = self._tables.names[row].view(POOL_PREFIX)[0]
        decimals = int(name["decimals0"]), int(name["decimals1"])
        found: list[tuple[int, int, str]] = []
        for entry in self._entries(row):
            price = self._price(row, entry, *decimals)
            if price is None:
                continue
            if found and found[-1][2] == price:
                found.pop()  # it stood since an older event
            elif len(found) == PRICES:
                break
            state = self._tables.entries[entry]
            found.append((int(state["publish_ns"]) // MS, int(state["block"]), price))
        return found[::-1]

    def _entries(self, row: int) -> Iterator[int]:
        """The pool's states, newest first."""
        entry = int(self._tables.pools[row]["newest"])
        while entry >= 0:
            yield entry
            entry = int(self._tables.entries[entry]["previous"])

    def _steps(self, row: PoolStateRow, kept: KeptTicks | None) -> list[LiquidityStep]:
        if kept is None or kept.map is None or row.tick is None:
            return []
        ticks, net = kept.map.ticks, kept.map.net
        above = bisect_right(ticks, row.tick)
        # (tick, liquidity from it on): downwards from the range that the price is in, then upwards.
        down = [(ticks[above - 1] if above else MIN_TICK, int(row.liquidity))]
        for at in range(above - 1, max(above - 1 - STEPS, -1), -1):
            down.append((ticks[at - 1] if at else MIN_TICK, down[-1][1] - net[ticks[at]]))
        up, liquidity = [], int(row.liquidity)
        for tick in ticks[above : above + STEPS]:
            liquidity += net[tick]
            up.append((tick, liquidity))
        decimals = row.token0.decimals, row.token1.decimals
        return [
            LiquidityStep(tick, price_of_root(sqrt_price_at(tick), *decimals) or "", str(in_force))
            for tick, in_force in [*down[::-1], *up]
        ]


class PoolStates:
    """The pools of all rings."""

    def __init__(self) -> None:
        self._rings: dict[str, tuple[bytes, RingPools]] = {}

    def take_poll(self, ring: str, uuid: bytes, poll: Poll, clock_offset_ns: int) -> None:
        """The next frames of `ring`, with the loss in front of them; another uuid: it was made anew, and what the old
        one knew is not known any more.  The offset makes wall times of publish times."""
        before, pools = self._rings.get(ring, (uuid, None))
        if pools is None:
            pools = RingPools(ring)
        elif before != uuid:
            pools.lose()
        self._rings[ring] = uuid, pools
        pools.take_poll(poll, clock_offset_ns)

    def lose(self, ring: str) -> None:
        """Frames of a ring were lost: states are not known until the next event of each pool."""
        if ring in self._rings:
            self._rings[ring][1].lose()

    def forget(self, ring: str) -> None:
        """A ring is gone: its pools are shown no more."""
        self._rings.pop(ring, None)

    def changed(self) -> list[PoolStateRow]:
        """The rows of the pools that changed since the last call."""
        return [row for _, pools in self._rings.values() for row in pools.changed()]

    def rows(self) -> list[PoolStateRow]:
        """All pools, as of the last call of `changed`."""
        return [row for _, pools in self._rings.values() for row in pools.rows()]

    def detail(self, ring: str, pool: bytes, tokens: Pair | None = None) -> PoolDetail | None:
        """One pool as it is now, of a pair of its coins or of the first; None if it is not known."""
        return self._rings[ring][1].detail(pool, tokens) if ring in self._rings else None


def power_of_two(least: int, needed: int) -> int:
    """The smallest one that is both `least` and above `needed`."""
    return max(least, 1 << needed.bit_length())


def warm() -> None:
    """Compile, or load from the cache, every kernel that a fold may need."""
    pool = bytes(range(20))
    head = (pool, bytes(20), bytes(20), 0, 18, 18, Protocol.UNISWAP_V2)
    named = PoolState(*head, 0, 0, 0, 0, 0, 0, 0, 0, bytes(20), "A", "B")
    told = InvalidationScope.ONE_POOL, Reason.LATE_LOGS, pool
    messages = [
        build(Domain.MARKET_DATA, 0, [PoolSync(*head, 1, 1), EventOrigin(1, 0, 0, 0, 0, bytes(32), bytes(32))]),
        build(Domain.MARKET_DATA, 0, [named], flags=Flag.SNAPSHOT),
        build(Domain.SYSTEM, 0, [StateInvalidation(0, *told)]),
        build(Domain.SYSTEM, 0, [Reorg(0, 1, 1, 1, 0, pool + bytes(12), bytes(32), bytes(32))]),
        build(Domain.SYSTEM, 0, [Session(bytes(16), 1, 1, 0, 0)]),
    ]
    table = np.zeros((INDEX_ROWS, len(messages)), np.int64)
    table[LENGTH_ROW] = [len(message) for message in messages]
    table[OFFSET_ROW] = np.cumsum(table[LENGTH_ROW]) - table[LENGTH_ROW]
    buffer = np.frombuffer(bytearray(b"".join(messages)), np.uint8)
    pools = RingPools("")
    pools.take_poll(Poll(Status.OK, None, 0, buffer, buffer.data, table), 0)
    pools.changed()
    pickle.loads(pickle.dumps(pools)).detail(pool)
