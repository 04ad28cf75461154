"""256-bit integers as Python ints, as exact decimals in whole tokens, and as floats.

Owns which field holds the decimals of an amount.  "decimal" and "float" are in whole tokens: base units divided by
10^decimals, and null where the decimals are unknown.  Numbers that count no token (liquidity, a square-root price) and
amounts in wei without decimals beside them stay as they are.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tlv.buffers import Bytes, Floats
from tlv.codes import UNKNOWN_DECIMALS
from tlv.errors import UsageError
from tlv.record import Record
from tlv.wide import column_to_floats

Amounts = Literal["int", "decimal", "float"]
AMOUNTS: tuple[Amounts, ...] = ("int", "decimal", "float")

POWERS = np.array([np.nan if places == UNKNOWN_DECIMALS else 10.0**places for places in range(256)])
"""Of ten, by the decimals that a byte says."""
DECIMALS_OF: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("amount0", "amount0_in", "amount0_out", "reserve0"), ("decimals0",)),
    **dict.fromkeys(("amount1", "amount1_in", "amount1_out", "reserve1"), ("decimals1",)),
    **dict.fromkeys(("gross", "gas_cost", "net", "expected_net", "rate_profit"), ("profit_decimals", "decimals")),
    **dict.fromkeys(("amount_in", "reserve_in"), ("decimals_in",)),
    **dict.fromkeys(("amount_out", "expected_out", "reserve_out"), ("decimals_out", "decimals_in", "decimals")),
}
"""The fields that may hold the decimals of an amount: of those that a record has, the first."""


def check_amounts(amounts: str) -> None:
    """Raise UsageError unless `amounts` is one of the three."""
    if amounts not in AMOUNTS:
        raise UsageError(f"amounts {amounts!r}: expected one of {', '.join(AMOUNTS)}")


def decimals_field(cls: type[Record], name: str) -> str | None:
    """The field of `cls` that scales its field `name`; None if nothing does."""
    return next((field for field in DECIMALS_OF.get(name, ()) if field in cls.layout.kinds), None)


def to_ints(raw: bytes | memoryview, size: int, signed: bool) -> list[int]:
    """Big-endian integers of `size` bytes, end to end."""
    return [int.from_bytes(raw[i : i + size], "big", signed=signed) for i in range(0, len(raw), size)]


def to_decimals(values: list[int], decimals: list[int] | None) -> list[Decimal | None]:
    """Exact whole tokens.  Made from text, because arithmetic would round to the context's 28 digits."""
    if decimals is None:
        return [Decimal(value) for value in values]
    return [
        None if places == UNKNOWN_DECIMALS else Decimal(f"{value}E-{places}")
        for value, places in zip(values, decimals, strict=True)
    ]


def to_floats(raw: Bytes, size: int, signed: bool, decimals: Bytes | None) -> Floats:
    """Whole tokens to within some units in the last place; NaN where the decimals are unknown."""
    big: NDArray[Any] = raw.view(">u8").reshape(-1, size // 8)
    limbs = np.ascontiguousarray(big[:, ::-1]).astype("<u8")
    floats = np.empty(limbs.shape[0], np.float64)
    column_to_floats(limbs, signed, floats)
    if decimals is None:
        return floats
    whole: Floats = floats / POWERS[decimals]
    return whole
