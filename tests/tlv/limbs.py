"""Columns of limbs from Python integers and back, exactly: what the kernels of `tlv.wide` are held against."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tlv.buffers import Limbs


def ints_of_column(column: Limbs, *, signed: bool = False) -> list[int]:
    """Every row of `column` as an exact Python int."""
    width = 8 * column.shape[1]
    raw = np.ascontiguousarray(column, dtype="<u8").tobytes()
    return [int.from_bytes(raw[i : i + width], "little", signed=signed) for i in range(0, len(raw), width)]


def column_of_ints(values: Iterable[int], *, limbs: int = 4, signed: bool = False) -> Limbs:
    """A column that holds `values`, each of which fits."""
    raw = b"".join(value.to_bytes(8 * limbs, "little", signed=signed) for value in values)
    return np.frombuffer(bytearray(raw), dtype="<u8").reshape(-1, limbs)
