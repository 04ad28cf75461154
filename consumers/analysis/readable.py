"""Tables for people: amounts as numbers, addresses and hashes as 0x-hex.

Owns the conversion of Arrow batches to Python values, for pandas, CSV and JSON lines.  It converts the exact Arrow
columns, so nothing is rounded unless floats are asked for.
"""

from __future__ import annotations

from decimal import Decimal
from math import isnan
from typing import Any

import numpy as np

from consumers.analysis.amounts import Amounts, decimals_field, to_decimals, to_floats, to_ints
from consumers.analysis.arrow import RING
from consumers.analysis.columns import Column, columns_of
from consumers.analysis.derived import derived_types
from consumers.extras import need
from tlv.buffers import Bytes
from tlv.record import Record
from tlv.text import LARGEST_JSON_INTEGER

RING_BYTES = 16


ADDRESS_DIGITS, NO_ID = 42, "0" * 24
"""Of a pool that is named by its address: the length of the address as 0x-hex, and the zeros that fill the 32 bytes."""


def fixed_bytes(array: Any, size: int) -> Bytes:
    """The bytes of a fixed-size binary array, end to end."""
    if len(array) == 0:
        return np.zeros(0, np.uint8)
    raw = np.frombuffer(array.buffers()[1], np.uint8)
    return raw[array.offset * size : (array.offset + len(array)) * size]


def hex_strings(array: Any, size: int) -> list[str | None]:
    """0x-hex of each value of a fixed-size binary array."""
    digits = fixed_bytes(array, size).tobytes().hex()
    step = 2 * size
    strings = ["0x" + digits[i : i + step] for i in range(0, len(digits), step)]
    if not array.null_count:
        return [*strings]
    return [text if there else None for text, there in zip(strings, array.is_valid().to_pylist(), strict=True)]


def pool_strings(array: Any, size: int) -> list[str | None]:
    """0x-hex of pools: 40 digits for an address, 64 for an id."""
    return [
        text[:ADDRESS_DIGITS] if text is not None and text.endswith(NO_ID) else text
        for text in hex_strings(array, size)
    ]


def amount_values(cls: type[Record], column: Column, batch: Any, amounts: Amounts) -> list[Any]:
    """A wide column of a record batch as ints, decimals or floats; None or NaN where the decimals are unknown."""
    raw = fixed_bytes(batch.column(column.name), column.size)
    signed = column.kind.name.startswith("i")
    field = decimals_field(cls, column.name)
    places = None if field is None else batch.column(field).to_numpy()
    if amounts == "float":
        floats: list[float] = to_floats(raw, column.size, signed, places).tolist()
        return floats
    values = to_ints(raw.tobytes(), column.size, signed)
    return values if amounts == "int" else to_decimals(values, None if places is None else places.tolist())


def readable_columns(cls: type[Record], batch: Any, amounts: Amounts) -> dict[str, list[Any]]:
    """Every column of a record batch of `cls` as Python values."""
    found: dict[str, list[Any]] = {}
    for column in columns_of(cls):
        array = batch.column(column.name)
        if column.is_wide:
            found[column.name] = amount_values(cls, column, batch, amounts)
        elif column.kind.name == "pool_id":
            found[column.name] = pool_strings(array, column.size)
        elif column.kind.length and not column.kind.name.startswith("text"):
            found[column.name] = hex_strings(array, column.size)
        else:
            found[column.name] = array.to_pylist()
    for name in derived_types(cls):
        found[name] = batch.column(name).to_pylist()
    found[RING] = hex_strings(batch.column(RING), RING_BYTES)
    return found


def pandas_part(cls: type[Record], batch: Any, amounts: Amounts) -> Any:
    """A record batch of `cls` as a pandas DataFrame, exact ints and decimals as objects.

    Types never depend on the data: a nullable integer is pandas' Int64 or UInt64 in every part.
    """
    pandas = need("pandas")
    series: dict[str, Any] = {}
    columns = {column.name: column for column in columns_of(cls)}
    derived = derived_types(cls)
    for name, values in readable_columns(cls, batch, amounts).items():
        column = columns.get(name)
        if name in derived:
            series[name] = batch.column(name).to_pandas()
        elif column is None or (column.kind.length and not column.is_wide):
            series[name] = pandas.Series(values, dtype="str")
        elif column.is_wide:
            series[name] = pandas.Series(values, dtype="float64" if amounts == "float" else "object")
        elif batch.schema.field(name).nullable:
            series[name] = pandas.array(values, dtype="UInt64" if column.kind.name == "u64" else "Int64")
        else:
            series[name] = batch.column(name).to_numpy()
    return pandas.DataFrame(series)


def text(value: Any) -> str | None:
    """A number as plain decimal digits, exact unless it is a float."""
    if value is None or (isinstance(value, float) and isnan(value)):
        return None
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def text_columns(cls: type[Record], batch: Any, amounts: Amounts) -> dict[str, list[str | None]]:
    """Every column as text, for CSV."""
    return {name: [*map(text, values)] for name, values in readable_columns(cls, batch, amounts).items()}


def json_columns(cls: type[Record], batch: Any, amounts: Amounts) -> dict[str, list[Any]]:
    """Every column as JSON values: exact amounts, and integers beyond 2^53, as decimal strings as in `tlv.text`."""
    wide = {column.name for column in columns_of(cls) if column.is_wide}
    found: dict[str, list[Any]] = {}
    for name, values in readable_columns(cls, batch, amounts).items():
        if name in wide and amounts != "float":
            found[name] = [*map(text, values)]
        elif name in wide:
            found[name] = [None if isnan(value) else value for value in values]
        else:
            found[name] = [
                str(value) if isinstance(value, int) and abs(value) > LARGEST_JSON_INTEGER else value
                for value in values
            ]
    return found
