"""What the panels must show, folded from the frames of a ring or a journal by the parts that strategies use: one pass
over the records, without anything of the dashboard.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from consumers.arbitrage.pool_book import PoolBook
from consumers.arbitrage.pool_state import Price, Reserves
from consumers.journal import JournalReader
from ringbuf import Reader
from tlv.codes import UNKNOWN_DECIMALS, Completeness, Flag, QuoteVerdict
from tlv.layout import (
    ArbitrageSignal,
    BackfillBegin,
    BackfillEnd,
    Block,
    BlockEnd,
    CycleLeg,
    Economics,
    EventOrigin,
    Gap,
    PoolRecord,
    PoolState,
    PoolSwap,
    Reorg,
    Session,
    StateInvalidation,
    Unproven,
    VenueName,
)
from tlv.message import Message, parse
from tlv.venues import VENUE_NAMES

Row = dict[str, Any]
DIGITS = 15
"""Significant ones of a price."""
HAPPENINGS = {
    Reorg: "reorg",
    Gap: "gap",
    BackfillBegin: "backfill_begin",
    BackfillEnd: "backfill_end",
    StateInvalidation: "invalidation",
    Unproven: "unproven",
    Session: "session",
}


class FrameRead(NamedTuple):
    """A frame of a ring."""

    sequence: int
    payload: bytes


def ring_frames(name: str) -> list[FrameRead]:
    """All that a ring holds."""
    found: list[FrameRead] = []
    with Reader.attach(name, start="oldest") as reader:
        while poll := reader.poll():
            found += [FrameRead(frame.sequence, bytes(frame.payload)) for frame in poll]
    return found


def journal_frames(directory: Path) -> list[FrameRead]:
    """All that a journal holds."""
    found: list[FrameRead] = []
    with closing(JournalReader(directory)) as reader:
        while poll := reader.poll():
            found += [FrameRead(frame.sequence, bytes(frame.payload)) for frame in poll]
    return found


def until_end_of(frames: list[FrameRead], number: int) -> list[FrameRead]:
    """The frames up to the last BlockEnd of a block, that included."""
    ends = [
        at for at, (_, payload) in enumerate(frames) if (end := parse(payload).first(BlockEnd)) and end.number == number
    ]
    return frames[: ends[-1] + 1]


def amount(units: int, decimals: int, token: bytes) -> Row:
    """As a cell has it: exact, as digits and as text."""
    return {"units": str(units), "decimals": decimals, "token": f"0x{token.hex()}", "text": exact(units, decimals)}


def exact(units: int, decimals: int) -> str:
    """All digits: 1,234.5; of a token without decimals, base units."""
    places = decimals if decimals < 78 else 0
    whole, rest = divmod(abs(units), 10**places)
    fraction = f"{rest:0{places}d}".rstrip("0") if places else ""
    return f"{'-' if units < 0 else ''}{whole:,}{'.' if fraction else ''}{fraction}"


def cut_off(value: Fraction) -> str:
    """A decimal of 15 significant digits, cut off."""
    places = DIGITS - 1
    while value * Fraction(10) ** places >= 10**DIGITS:
        places -= 1
    while value * Fraction(10) ** places < 10 ** (DIGITS - 1):
        places += 1
    digits = int(value * Fraction(10) ** places)
    shown = f"{digits * 10**-places:d}" if places <= 0 else exact(digits, places).replace(",", "")
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def price(value: Reserves | Price, decimals0: int, decimals1: int) -> str | None:
    """Whole token1 for one whole token0; None if that is not known."""
    if UNKNOWN_DECIMALS in (decimals0, decimals1):
        return None
    if isinstance(value, Reserves):
        if not value.reserve0 or not value.reserve1:
            return None
        raw = Fraction(value.reserve1, value.reserve0)
    else:
        raw = Fraction(value.sqrt_price_x96**2, 1 << 192)
    return cut_off(raw * Fraction(10) ** (decimals0 - decimals1))


class Expected:
    """The rows of the panels, by what names them."""

    def __init__(self, frames: Iterable[FrameRead], named: Iterable[FrameRead] = ()) -> None:
        """`named`: the frames of the ring that names the venues, if another than these."""
        self.market: dict[str, Row] = {}
        self.opportunities: dict[str, Row] = {}
        self.blocks: dict[str, Row] = {}
        self.happenings: list[tuple[str, str]] = []
        self.symbols: dict[bytes, str] = {}
        self._venues = venue_names(named)
        self._book = PoolBook()
        self._named: dict[bytes, PoolRecord] = {}
        for sequence, payload in frames:
            self._take(str(sequence), payload)

    def _take(self, sequence: str, payload: bytes) -> None:
        message = parse(payload)
        self._venues |= names_in(message)
        flags, record, origin = message.header.flags, message.records[0], message.first(EventOrigin)
        if isinstance(record, PoolSwap) and origin is not None:
            self.market[sequence] = self._swap(record, origin, removed=bool(flags & Flag.REMOVED))
        if isinstance(record, PoolState):
            self.symbols |= {record.token0: record.symbol0, record.token1: record.symbol1}
        if isinstance(record, PoolRecord):
            self._named[record.pool] = record
        if isinstance(record, PoolRecord) and origin is not None:
            (self._book.take_back if flags & Flag.REMOVED else self._book.apply)(record, origin)
        elif isinstance(record, PoolState):
            self._book.take_snapshot(record)
        elif isinstance(record, StateInvalidation):
            self._book.apply_invalidation(record)
        elif isinstance(record, Gap):
            self._book.invalidate()
        elif isinstance(record, Reorg):
            self._book.reorganise(record)
            for row in self.blocks.values():
                if row["number"] > record.fork_number:
                    row["verdict"] = "removed"
        elif isinstance(record, Block):
            self.blocks[f"0x{record.hash.hex()}"] = {"number": record.number, "verdict": "open"}
        elif isinstance(record, BlockEnd):
            self.blocks[f"0x{record.hash.hex()}"] = {
                "number": record.number,
                "verdict": Completeness(record.verdict).name.lower(),
            }
        if (kind := HAPPENINGS.get(type(record))) is not None:
            self.happenings.append((sequence, kind))
        signal, worth = message.first(ArbitrageSignal), message.first(Economics)
        if signal is not None and worth is not None:
            legs = [record for record in message.records if isinstance(record, CycleLeg)]
            self.opportunities[sequence] = self._signal(signal, worth, legs)

    def _swap(self, record: PoolSwap, origin: EventOrigin, *, removed: bool) -> Row:
        decimals = {0: record.decimals0, 1: record.decimals1}
        tokens = {0: record.token0, 1: record.token1}
        sold, bought = (record.amount0_in, record.amount1_in), (record.amount0_out, record.amount1_out)
        return {
            "sold": [amount(units, decimals[at], tokens[at]) for at, units in enumerate(sold) if units],
            "bought": [amount(units, decimals[at], tokens[at]) for at, units in enumerate(bought) if units],
            "block": f"{origin.block_number:,}",
            "venue": self._venue(record.venue),
            "removed": removed,
        }

    def _signal(self, signal: ArbitrageSignal, worth: Economics, legs: list[CycleLeg]) -> Row:
        profit = worth.profit_decimals, worth.profit_token
        return {
            "amount_in": amount(signal.amount_in, signal.decimals_in, signal.token_in),
            "gross": amount(worth.gross, *profit),
            "gas": amount(worth.gas_cost, *profit),
            "net": amount(worth.net, *profit),
            "verdict": QuoteVerdict(signal.verdict).name.lower().replace("_", " "),
            "route": " → ".join(self._venue(leg.venue) for leg in legs),
        }

    @property
    def pools(self) -> dict[str, Row]:
        """By address and pair, as the book has them now."""
        found = {}
        for pool in self._book:
            state, zero = pool.current, Reserves(0, 0)
            value = state.value if state is not None else zero
            found[f"0x{pool.address.hex()} 0x{pool.token0.hex()}/0x{pool.token1.hex()}"] = {
                "known": state is not None,
                "price": price(value, pool.decimals0, pool.decimals1) if state is not None else None,
                "reserves": [value.reserve0, value.reserve1] if isinstance(value, Reserves) else [0, 0],
                "liquidity": value.liquidity if isinstance(value, Price) else 0,
                "venue": self._venues.get(pool.venue),
            }
        return found

    def _venue(self, code: int) -> str:
        """As people read it: without its chain."""
        return self._venues.get(code, str(code)).rpartition(".")[2].replace("_", " ")


def names_in(message: Message) -> dict[int, str]:
    """The venues that a message names."""
    return {record.code: record.name for record in message.records if isinstance(record, VenueName)}


def venue_names(frames: Iterable[FrameRead]) -> dict[int, str]:
    """The project's venues, and those that frames name."""
    found = {int(code): name for code, name in VENUE_NAMES.items()}
    for _, payload in frames:
        found |= names_in(parse(payload))
    return found
