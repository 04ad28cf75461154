"""What tokens are called, for the symbol columns of pool events: PoolState alone says it, once for each pool.

Owns the names of a journal's tokens.  They come from the whole journal, whatever is selected: the PoolState of a pool
may stand before the range that is read.  A token that is never named is a null.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from consumers.analysis.columns import RowBlock
from consumers.analysis.scan import scan_segments
from consumers.analysis.selection import Selection
from consumers.extras import need
from consumers.journal.segment import SegmentFile
from tlv.buffers import Bytes
from tlv.filter import MessageFilter
from tlv.layout import PoolRecord, PoolState
from tlv.record import Record

SYMBOLS = {"symbol0": "token0", "symbol1": "token1"}
"""The columns, and the token that each names."""

ADDRESS_BYTES = PoolState.layout.kinds["token0"].size

Symbols = dict[bytes, str]
NAMES = Selection(MessageFilter.of(types=[PoolState]), canonical=False)


def symbol_columns(cls: type[Record]) -> dict[str, str]:
    """The symbol columns beside the fields of `cls`, as in SYMBOLS; PoolState has its own."""
    return SYMBOLS if issubclass(cls, PoolRecord) and cls is not PoolState else {}


def read_symbols(segments: list[SegmentFile]) -> tuple[Symbols, bool]:
    """The symbol of each token that the segments name, the last one said, and whether no frame will be added to them.

    Raises:
        JournalError: a segment is damaged, foreign or gone.
    """
    found: Symbols = {}
    is_final = False
    for scanned in scan_segments(segments, segments[-1].ordinal, NAMES):
        is_final = scanned.is_complete
        for block in scanned.blocks:
            for symbol, token in SYMBOLS.items():
                found.update(_pairs(block, token, symbol))
    return found, is_final


def _pairs(block: RowBlock, token: str, symbol: str) -> Symbols:
    """Token and symbol of each row that has one."""
    names = [column.name for column in block.columns]
    decode = block.columns[names.index(symbol)].kind.decode
    assert decode is not None
    tokens, texts = (block.bytes_of(names.index(name)).reshape(block.rows, -1) for name in (token, symbol))
    said = zip(map(bytes, tokens), (decode(bytes(text)) for text in texts), strict=True)
    return {address: str(text) for address, text in said if text}


def symbol_array(tokens: Bytes, symbols: Symbols) -> Any:
    """The symbols of a column of token addresses, as an Arrow array of strings."""
    pa = need("pyarrow")
    raw = np.ascontiguousarray(tokens).reshape(-1)
    kind = pa.binary(ADDRESS_BYTES)
    addresses = pa.Array.from_buffers(kind, raw.size // ADDRESS_BYTES, [None, pa.py_buffer(raw)]).dictionary_encode()
    names = pa.array([symbols.get(address) for address in addresses.dictionary.to_pylist()], pa.string())
    return names.take(addresses.indices)
