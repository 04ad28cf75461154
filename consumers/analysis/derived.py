"""Columns that a table has beside the fields of its record: block time, tokens' symbols, the price of a swap or a Sync.

Owns how they are computed, for whole columns.  `block_time` is the block's timestamp as a time in UTC.  `price` is what
one whole token0 costs in whole token1: what a swap moved of one for the other, or the ratio of a Sync's reserves.  It
is a float, right to within some units in the last place; it is null where the decimals of a token are unknown, or where
no token0 moved.  Symbols are those that the journal says (`analysis.symbols`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from consumers.analysis.amounts import to_floats
from consumers.analysis.columns import RowBlock, columns_of
from consumers.analysis.symbols import Symbols, symbol_array, symbol_columns
from consumers.extras import need
from tlv.buffers import Floats, Longs
from tlv.layout import Block, PoolSwap, PoolSync
from tlv.record import Record

BLOCK_TIME, PRICE = "block_time", "price"
LAST_SECOND = 253_402_300_799
"""The end of the year 9999, the last that Python's datetime holds.  A later timestamp is a null."""


def time_column(cls: type[Record]) -> str | None:
    """The column of `cls` that holds a block's timestamp in seconds."""
    name = "timestamp" if cls is Block else "block_timestamp"
    return name if any(column.name == name for column in columns_of(cls)) else None


def derived_types(cls: type[Record]) -> dict[str, Any]:
    """The Arrow types of the derived columns of `cls`, by their names."""
    pa = need("pyarrow")
    found = {}
    if time_column(cls):
        found[BLOCK_TIME] = pa.timestamp("us", "UTC")
    found |= dict.fromkeys(symbol_columns(cls), pa.string())
    if cls in (PoolSwap, PoolSync):
        found[PRICE] = pa.float64()
    return found


def derived_arrays(block: RowBlock, symbols: Symbols) -> list[Any]:
    """The derived columns of a block of rows, as Arrow arrays in the order of `derived_types`."""
    pa = need("pyarrow")
    arrays = []
    tokens = symbol_columns(block.cls)
    for name, kind in derived_types(block.cls).items():
        if name in tokens:
            arrays.append(symbol_array(named(block, tokens[name]), symbols))
            continue
        values, there = block_times(block) if name == BLOCK_TIME else prices(block)
        arrays.append(pa.array(values, kind, mask=~there))
    return arrays


def block_times(block: RowBlock) -> tuple[Longs, Any]:
    """Microseconds since 1970, and which rows have a time."""
    name = time_column(block.cls)
    assert name is not None
    seconds = named(block, name).view("<u8")
    there = seconds <= LAST_SECOND
    if block.cls is not Block:
        there &= block.has_origin() != 0
    micros: Longs = np.where(there, seconds, 0).astype(np.int64) * 1_000_000
    return micros, there


def prices(block: RowBlock) -> tuple[Floats, Any]:
    """Token1 for one token0, and which rows have a price."""
    if block.cls is PoolSync:
        amount0, amount1 = whole(block, "reserve0"), whole(block, "reserve1")
    else:
        amount0 = whole(block, "amount0_in") - whole(block, "amount0_out")
        amount1 = whole(block, "amount1_out") - whole(block, "amount1_in")
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = np.abs(amount1 / amount0)
    return found, np.isfinite(found)


def whole(block: RowBlock, name: str) -> Floats:
    """An amount in whole tokens, NaN where the decimals are unknown."""
    size = next(column.size for column in block.columns if column.name == name)
    decimals = "decimals0" if "0" in name else "decimals1"
    return to_floats(named(block, name), size, False, named(block, decimals))


def named(block: RowBlock, name: str) -> Any:
    """The bytes of the column `name`."""
    return block.bytes_of([column.name for column in block.columns].index(name))
