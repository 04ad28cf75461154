"""Which contracts may speak: verified pools and factories, as rows that a kernel reads.

Owns the identity that an event needs besides its own words: tokens, venue, decimals, contract family, fee.  It never
verifies anything; who adds a pool vouches for it.  A row is a struct like those of the wire format and begins with the
very fields that every pool record begins with, so that the decoder copies them in one go.  The row of a proven emitter
is its own for the table's life; one of an emitter that is not proven goes to another when it is not needed any more.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from producers.kinds.emitter_key import address_of, is_plain
from producers.kinds.events import Role
from tlv.codes import UNKNOWN_DECIMALS
from tlv.fields import I32, U8, U32, Address, pool_id_of
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
    flipped: U8 = 0
    """Of a pool of several coins: the coin that goes in is token1."""
    hooks: Address = NO_ADDRESS
    """The contract that a Uniswap V4 pool calls at swaps."""
    curve: U8 = 0
    """How a pair of Solidly's type swaps (`tlv.codes.Curve`)."""


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
        """Row of each proven pool, by its name (`producers.kinds.emitter_key`)."""
        self.coins: dict[int, tuple[bytes, ...]] = {}
        """By row, all coins of the proven pools of more than two, as these count them."""
        self.named: set[str] = set()
        """Emitters of which a log names its pool."""
        self._unproven: dict[str, dict[int, int]] = {}
        """Rows of emitters whose events are published although nothing is proven, by address and protocol."""
        self._free: list[int] = []
        self._used = 0
        self._rows = np.zeros(64, dtype=POOL_ROW)
        for pool in pools:
            self.add(pool)

    def __len__(self) -> int:
        return len(self.row_of)

    @property
    def rows(self) -> npt.NDArray[np.void]:
        """The rows in use.  Fetch it again after `add`, which may move them."""
        return self._rows[: self._used]

    def add(self, pool: VerifiedEmitter, key: str | None = None) -> int:
        """Add `pool`, or replace what was known of it; returns its row.  It is named by its address unless by `key`.

        Raises:
            UsageError: a value does not fit its field.
        """
        key = f"0x{pool.pool.hex()}" if key is None else key
        row = self._put(_packed(pool), self.row_of.get(key))
        self.row_of[key] = row
        if not is_plain(key):
            self.named.add(address_of(key))
        return row

    def replace(self, row: int, pool: VerifiedEmitter) -> None:
        """Another identity of the emitter in a row, whatever that is named by.

        Raises:
            UsageError: a value does not fit its field.
        """
        self._rows[row] = _packed(pool)

    def add_unknown(self, pools: npt.NDArray[np.void]) -> None:
        """Add the pools (packed rows) whose address is not known yet."""
        for packed in pools:
            address = f"0x{pool_id_of(packed['pool'].tobytes()).hex()}"
            if address not in self.row_of:
                self.row_of[address] = self._put(packed, None)

    def add_unproven(self, address: str, protocol: int) -> int:
        """The row of an emitter of which nothing is known but which contracts it speaks like; it is in no `row_of`."""
        rows = self._unproven.setdefault(address, {})
        if protocol not in rows:
            rows[protocol] = self._put(_packed(unverified(bytes.fromhex(address[2:]), protocol)), None)
        return rows[protocol]

    def drop_unproven(self, address: str) -> None:
        """Its events are not published unproven any more: its rows may be another's."""
        self._free += self._unproven.pop(address, {}).values()

    def _put(self, packed: np.void, row: int | None) -> int:
        """Write one row, a new one if it is None."""
        if row is None and self._free:
            row = self._free.pop()
        elif row is None:
            row = self._used
            self._used += 1
        if row == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        self._rows[row] = packed
        return row


def _packed(pool: VerifiedEmitter) -> np.void:
    """One row.

    Raises:
        UsageError: a value does not fit its field.
    """
    row: np.void = np.frombuffer(pool.pack(), dtype=POOL_ROW)[0]
    return row
