"""Which contracts may speak: verified pools and factories, as rows that a kernel reads.

Owns the identity that an event needs besides its own words: tokens, venue, decimals, contract family, fee.  It never
verifies anything; who adds a pool vouches for it.  A row is a struct like those of the wire format and begins with the
very fields that every pool record begins with, so that the decoder copies them in one go.  Rows are only ever added:
an index stays good for the table's life.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from producers.kinds.events import Role
from tlv.codes import UNKNOWN_DECIMALS
from tlv.fields import I32, U8, U32, Address
from tlv.layout import PoolRecord
from tlv.record import record

NO_ADDRESS = bytes(20)


@record(type=0)
class VerifiedEmitter(PoolRecord, frozen=True):
    """One verified emitter.  For a factory, `pool` and `factory` are its own address, and the tokens are zero."""

    factory: Address = NO_ADDRESS
    fee_pips: U32 = 0
    """Hundredths of a basis point; 0 where it is unknown or, as with Algebra, changes all the time."""
    tick_spacing: I32 = 0
    role: U8 = Role.POOL


POOL_ROW = VerifiedEmitter.layout.dtype


def unverified(address: bytes, protocol: int, role: Role = Role.POOL, venue: int = 0) -> VerifiedEmitter:
    """The row of an emitter of which nothing is known but which contracts it is one of."""
    return VerifiedEmitter(
        address,
        NO_ADDRESS,
        NO_ADDRESS,
        venue,
        UNKNOWN_DECIMALS,
        UNKNOWN_DECIMALS,
        factory=address if role is Role.FACTORY else NO_ADDRESS,
        protocol=protocol,
        role=role,
    )


class PoolTable:
    """Verified emitters by address.  Not thread-safe: the collector's loop owns it."""

    def __init__(self, pools: Iterable[VerifiedEmitter] = ()) -> None:
        self.row_of: dict[str, int] = {}
        """Row of each address (lower-case hex, as nodes write it)."""
        self._rows = np.zeros(64, dtype=POOL_ROW)
        for pool in pools:
            self.add(pool)

    def __len__(self) -> int:
        return len(self.row_of)

    @property
    def rows(self) -> npt.NDArray[np.void]:
        """The rows in use.  Fetch it again after `add`, which may move them."""
        return self._rows[: len(self.row_of)]

    def add(self, pool: VerifiedEmitter) -> int:
        """Add `pool`, or replace what was known of its address; returns its row.

        Raises:
            UsageError: a value does not fit its field.
        """
        packed = np.frombuffer(pool.pack(), dtype=POOL_ROW)
        row = self.row_of.setdefault(f"0x{pool.pool.hex()}", len(self.row_of))
        if row == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        self._rows[row : row + 1] = packed
        return row
