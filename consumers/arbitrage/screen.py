"""Which pools may form a cycle that earns when one of them has moved: a float screen over the pools of its pair.

Owns the screening table (a row per pool) and the kernel that reads it.  It lets through every cycle that earns, and
perhaps some that do not: these the exact solution rejects.

    row    price, token1 per token0 | 1 - fee | next row of the same pair (a circular list) | usable
"""

from __future__ import annotations

import numpy as np

from tlv.buffers import Longs, Structs
from tlv.jit import kernel

ROW = np.dtype([("price", "<f8"), ("kept", "<f8"), ("next", "<i8"), ("usable", "u1"), ("_padding", "u1", (7,))])


MARGIN = 1e-9
"""A product of six doubles is off by less than 1e-15, so a billionth is safe; what it lets through too much is rare."""


@kernel
def screen(table: Structs, pool: int, found: Longs) -> int:
    """Compare one pool with the others of its pair; the number of candidate cycles written to `found`.

    table: ROW[:]; pool: row that moved; found: int64[:, 2], as long as the table, gets (buy row, sell row): token0
    is cheap in the first and dear in the second, fees included.
    """
    count = 0
    if table[pool]["usable"] == 0:
        return count
    price = table[pool]["price"]
    kept = table[pool]["kept"]
    other = table[pool]["next"]
    while other != pool:
        if table[other]["usable"] != 0:
            share = kept * table[other]["kept"] * (1.0 + MARGIN)
            if share * table[other]["price"] > price:
                found[count, 0] = pool
                found[count, 1] = other
                count += 1
            elif share * price > table[other]["price"]:
                found[count, 0] = other
                found[count, 1] = pool
                count += 1
        other = table[other]["next"]
    return count


class ScreenTable:
    """The rows of all pools, growing as pools appear."""

    def __init__(self) -> None:
        self._rows = np.zeros(64, dtype=ROW)
        self._found = np.zeros((64, 2), dtype=np.int64)
        self._size = 0

    def add(self, pool: int, neighbour: int) -> None:
        """Give `pool`, the next dense number, a row in the list of `neighbour`'s pair; a new list if that is itself."""
        if pool == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros(len(self._rows), dtype=ROW)])
            self._found = np.zeros((len(self._rows), 2), dtype=np.int64)
        self._size = pool + 1
        self._rows[pool]["next"] = pool
        if neighbour != pool:
            self._rows[pool]["next"] = self._rows[neighbour]["next"]
            self._rows[neighbour]["next"] = pool

    def set(self, pool: int, price: float, kept: float) -> None:
        """The pool is usable at this price."""
        self._rows[pool]["price"] = price
        self._rows[pool]["kept"] = kept
        self._rows[pool]["usable"] = 1

    def clear(self, pool: int) -> None:
        """The pool's state is unknown."""
        self._rows[pool]["usable"] = 0

    def candidates(self, pool: int) -> Longs:
        """Where to buy token0 and where to sell it, for each cycle with `pool` that may earn; until the next call."""
        return self._found[: screen(self._rows, pool, self._found)]
