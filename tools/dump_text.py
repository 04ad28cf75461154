"""A message as one line for a person: what happened, in which pool, how much, in which block.

Owns the wording and the scaling of amounts.  Symbols come from the PoolState messages of the stream; nothing is looked
up elsewhere.  Of a tick map a line has range and count: its hundreds of ticks are for `--json` and `--hex`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from tlv.codes import UNKNOWN_DECIMALS, Domain, Flag, Source
from tlv.instrument import pool_text
from tlv.layout import EventOrigin, PoolRecord, PoolState, PoolSwap, TickLiquidity, VenueName
from tlv.message import Message
from tlv.record import Record
from tlv.text import record_to_dict
from tlv.units import NS
from tlv.venues import VENUES

POOL_FIELDS = frozenset(PoolRecord.__struct_fields__)
AMOUNTS = {
    "amount0": 0,
    "amount1": 1,
    "amount0_in": 0,
    "amount1_in": 1,
    "amount0_out": 0,
    "amount1_out": 1,
    "reserve0": 0,
    "reserve1": 1,
}
"""Fields that count a token's base units, and which of the pool's two tokens it is."""
SHORT = 8


def scale(amount: int, decimals: int) -> str:
    """An amount of base units in whole tokens, exactly; as it is if the decimals are unknown."""
    if decimals in (0, UNKNOWN_DECIMALS):
        return str(amount)
    digits = str(abs(amount)).rjust(decimals + 1, "0")
    whole, fraction = digits[:-decimals], digits[-decimals:].rstrip("0")
    return ("-" if amount < 0 else "") + whole + ("." + fraction if fraction else "")


class Describer:
    """Describes messages of one stream; keeps the symbols of their tokens."""

    def __init__(self) -> None:
        self._symbols: dict[bytes, str] = {}

    def line(self, sequence: int, message: Message) -> str:
        """The whole line."""
        header = message.header
        parts = [str(sequence), clock(header.timestamp_ns)]
        origin = message.first(EventOrigin)
        for record in message.records:
            if record is not origin and not isinstance(record, TickLiquidity):
                parts.append(self._record(record))
        if origin:
            parts.append(f"block {origin.block_number} log {origin.log_index}")
        if message.unknown:
            parts.append(f"{message.unknown} unknown TLVs")
        if header.flags:
            parts.append(f"[{'|'.join(flag.name or '' for flag in Flag(header.flags))}]")
        if not message.records:
            parts.append(f"empty {Domain(header.domain).name} message of source {source_name(header.source)}")
        return "  ".join(parts)

    def _record(self, record: Record) -> str:
        if isinstance(record, PoolState):
            self._symbols[record.token0] = record.symbol0
            self._symbols[record.token1] = record.symbol1
        if isinstance(record, VenueName):
            VENUES.learn(record.code, record.name)
        if isinstance(record, PoolRecord):
            return self._pool_record(record)
        fields = record_to_dict(record)
        return " ".join([fields.pop("type"), *(f"{name}={value}" for name, value in fields.items())])

    def _pool_record(self, record: PoolRecord) -> str:
        name = type(record).__name__
        parts = [name, pool_text(record.venue, record.pool)]
        if isinstance(record, PoolSwap):
            paid, got = self._sides(record, "in"), self._sides(record, "out")
            parts.append(f"{paid} -> {got}")
            left = {"sqrt_price_x96", "liquidity", "tick"} if record.sqrt_price_x96 else set()
        else:
            left = set(record.__struct_fields__) - POOL_FIELDS - {"protocol"}
        for field in record.__struct_fields__:
            if field in left:
                parts.append(f"{field}={self._value(record, field)}")
        return " ".join(parts)

    def _sides(self, swap: PoolSwap, side: str) -> str:
        amounts = [field for field in (f"amount0_{side}", f"amount1_{side}") if getattr(swap, field)]
        return " + ".join(self._value(swap, field) for field in amounts) or "nothing"

    def _value(self, record: PoolRecord, field: str) -> str:
        value = getattr(record, field)
        if field not in AMOUNTS:
            return "0x" + value.hex() if isinstance(value, bytes) else str(value)
        token, decimals = (record.token1, record.decimals1) if AMOUNTS[field] else (record.token0, record.decimals0)
        unit = self._symbols.get(token) or "0x" + token.hex()[:SHORT]
        # Without decimals the number counts base units, and the line must not look like whole tokens.
        unknown = " base units of" if decimals == UNKNOWN_DECIMALS else ""
        return f"{scale(value, decimals)}{unknown} {unit}"


def clock(timestamp_ns: int) -> str:
    """Wall-clock time of day, UTC."""
    seconds, ns = divmod(timestamp_ns, NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S}.{ns // 1000:06d}"


def source_name(source: int) -> str:
    """A source's name, or its number."""
    try:
        return Source(source).name.lower()
    except ValueError:
        return str(source)
