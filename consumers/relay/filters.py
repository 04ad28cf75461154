"""What a client wants of a ring, in the form in which a kernel can ask.

Owns the way from Filter records to tables.  Values of one kind add up, kinds restrict each other; see `kernels.wants`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from consumers.relay.kernels import POOL_BYTES
from tlv.codes import FilterKind
from tlv.layout import Filter

TYPES = 256
VENUES = 1 << 16


class Wanted(NamedTuple):
    """The four tables of `kernels.wants`, and a key that equal filters share."""

    types: NDArray[np.uint8]
    venues: NDArray[np.uint8]
    pools: NDArray[np.uint8]
    tokens: NDArray[np.uint8]
    key: bytes

    @property
    def tables(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """What the kernel takes."""
        return self.types, self.venues, self.pools, self.tokens


def tabulate(types: int, filters: Iterable[Filter]) -> Wanted:
    """The tables for a set of type bits (0: every type) and any number of Filter records.

    Raises:
        ValueError: a Filter of no known kind.
    """
    found = sorted({(FilterKind(item.kind), item.venue, item.address) for item in filters})
    venues = np.zeros(VENUES if any(kind is FilterKind.VENUE for kind, _, _ in found) else 0, np.uint8)
    for kind, venue, _ in found:
        if kind is FilterKind.VENUE:
            venues[venue] = 1
    by_type = np.array([types >> number & 1 for number in range(TYPES)], np.uint8) if types else np.zeros(0, np.uint8)
    key = b"".join(bytes([kind]) + venue.to_bytes(2, "little") + address for kind, venue, address in found)
    return Wanted(
        by_type,
        venues,
        sorted_pools(address for kind, _, address in found if kind is FilterKind.POOL),
        sorted_addresses(address for kind, _, address in found if kind is FilterKind.TOKEN),
        key + (types.to_bytes(32, "little") if types else b""),
    )


def sorted_pools(pools: Iterable[bytes]) -> NDArray[np.uint8]:
    """Pools (20 or 32 bytes each) end to end as records hold them, in order."""
    return sorted_addresses(pool.ljust(POOL_BYTES, b"\0") for pool in pools)


def sorted_addresses(addresses: Iterable[bytes]) -> NDArray[np.uint8]:
    """Addresses end to end, in order."""
    return np.frombuffer(b"".join(sorted(addresses)), np.uint8)
