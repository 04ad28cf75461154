"""Blocks of rows as Arrow tables, without a copy: a column's bytes in a block are the Arrow array's buffer.

Owns the schema.  Wide integers are fixed_size_binary(32) or (16), big-endian; addresses and hashes fixed_size_binary;
text is a string; columns of an origin are null where there is none.  A second column may give an amount in whole
tokens: `amount0_in_float`, or `amount0_in_decimal` as text, since Arrow's widest decimal has 76 digits and an amount up
to 78.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from consumers.analysis.amounts import Amounts, decimals_field, to_decimals, to_floats, to_ints
from consumers.analysis.columns import Column, RowBlock, columns_of
from consumers.analysis.derived import derived_arrays, derived_types
from consumers.analysis.kernels import ORIGIN
from consumers.analysis.symbols import Symbols
from consumers.extras import need
from tlv.buffers import Bytes
from tlv.record import Record

RING = "ring"
INTEGERS = {"u8": "uint8", "u16": "uint16", "u32": "uint32", "u64": "uint64", "i32": "int32", "i64": "int64"}


def arrow_type(column: Column) -> Any:
    """The Arrow type of a column."""
    pa = need("pyarrow")
    if column.kind.name in INTEGERS:
        return getattr(pa, INTEGERS[column.kind.name])()
    return pa.string() if column.kind.name.startswith("text") else pa.binary(column.size)


@cache
def schema_of(cls: type[Record], amounts: Amounts) -> Any:
    """The schema of the table of `cls`; its metadata names the record and its TLV type."""
    pa = need("pyarrow")
    fields = []
    for column in columns_of(cls):
        fields.append(pa.field(column.name, arrow_type(column), nullable=column.part == ORIGIN))
        if column.is_wide and amounts != "int":
            kind = pa.float64() if amounts == "float" else pa.string()
            fields.append(pa.field(f"{column.name}_{amounts}", kind))
    fields += [pa.field(name, kind) for name, kind in derived_types(cls).items()]
    fields.append(pa.field(RING, pa.binary(16), nullable=False))
    return pa.schema(fields, metadata={"record": cls.layout.name, "type": str(cls.layout.type)})


def batch_of(block: RowBlock, schema: Any, amounts: Amounts, symbols: Symbols) -> Any:
    """One block as a record batch."""
    pa = need("pyarrow")
    validity = validity_of(block.has_origin())
    arrays = []
    for index, column in enumerate(block.columns):
        raw = block.bytes_of(index)
        arrays.append(array_of(column, raw, block.rows, validity if column.part == ORIGIN else None))
        if column.is_wide and amounts != "int":
            arrays.append(whole_tokens(block, column, raw, amounts))
    arrays += derived_arrays(block, symbols)
    ring = np.tile(np.frombuffer(block.ring, np.uint8), block.rows)
    arrays.append(pa.Array.from_buffers(pa.binary(16), block.rows, [None, pa.py_buffer(ring)]))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def validity_of(present: Bytes) -> Bytes | None:
    """Arrow's bitmap of the rows that are not null; None if none is."""
    return None if present.all() else np.packbits(present, bitorder="little")


def array_of(column: Column, raw: Bytes, rows: int, validity: Bytes | None) -> Any:
    """A column's bytes as an Arrow array."""
    pa = need("pyarrow")
    kind = arrow_type(column)
    if kind == pa.string():
        assert column.kind.decode is not None
        size = column.size
        text = raw.tobytes()
        return pa.array([column.kind.decode(text[i : i + size]) for i in range(0, len(text), size)], kind)
    bitmap = None if validity is None else pa.py_buffer(validity)
    return pa.Array.from_buffers(kind, rows, [bitmap, pa.py_buffer(raw)])


def whole_tokens(block: RowBlock, column: Column, raw: Bytes, amounts: Amounts) -> Any:
    """The amounts of an exact column in whole tokens, as floats or as text."""
    pa = need("pyarrow")
    signed = column.kind.name.startswith("i")
    field = decimals_field(block.cls, column.name)
    places = None
    if field is not None:
        places = block.bytes_of([other.name for other in block.columns].index(field))
    if amounts == "float":
        return pa.array(to_floats(raw, column.size, signed, places), from_pandas=True)
    values = to_ints(raw.tobytes(), column.size, signed)
    exact = to_decimals(values, None if places is None else places.tolist())
    return pa.array([None if value is None else f"{value:f}" for value in exact], pa.string())
