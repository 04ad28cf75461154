"""A small chain as a collector tells it, message by message."""

from __future__ import annotations

from tlv.codes import Completeness, Domain, Flag, NotPublished, Protocol, Source, Venue
from tlv.layout import Block, BlockEnd, EventOrigin, PoolState, PoolSwap, Session, Uncovered
from tlv.message import build, parse
from tlv.record import Record
from tools.coverage.account import SwapAccount

NOBODY = bytes(20)
POOL, FACTORY, STRANGER = b"\x01" * 20, b"\xfa" * 20, b"\x55" * 20
V2 = Protocol.UNISWAP_V2
MARKET_DATA = (PoolSwap, PoolState, Block)


def hash_of(number: int, branch: int = 0) -> bytes:
    """The hash of a block."""
    return bytes([branch + 1]) + number.to_bytes(31, "big")


def uncovered(
    swaps: int, reason: NotPublished, emitter: bytes = STRANGER, factory: bytes = NOBODY, protocol: int = V2
) -> Uncovered:
    """Swaps that are not published."""
    return Uncovered(emitter, factory, swaps, protocol, reason)


class Told:
    """The messages, and the account that they give."""

    def __init__(self, depth: int = 1024) -> None:
        self.account = SwapAccount(depth)
        self.payloads: list[bytes] = []

    def put(self, *records: Record, flags: int = 0) -> None:
        """One message."""
        domain = Domain.MARKET_DATA if isinstance(records[0], MARKET_DATA) else Domain.SYSTEM
        sequence = len(self.payloads) + 1
        message = build(domain, Source.POLYGON_COLLECTOR, records, sequence=sequence, timestamp_ns=0, flags=flags)
        self.payloads.append(message)
        self.account.take(parse(message))

    def session(self, ring: bytes = bytes(16), chain_id: int = 137, genesis: bytes = bytes(32)) -> None:
        """A collector begins."""
        self.put(Session(ring, 1, 1, chain_id, 0, genesis))

    def block(self, number: int, branch: int = 0) -> None:
        """It became canonical."""
        self.put(Block(number, 0, 0, 0, 0, 0, hash_of(number, branch), bytes(32)))

    def swap(self, number: int, log: int = 0, branch: int = 0, *, removed: bool = False) -> None:
        """A swap of POOL."""
        swap = PoolSwap(
            POOL, b"\2" * 20, b"\3" * 20, Venue.DFYN_POLYGON, 18, 18, V2, 1, 0, 0, 1, 0, 0, 0, NOBODY, NOBODY
        )
        origin = EventOrigin(number, 0, 0, 0, log, hash_of(number, branch), bytes(32))
        self.put(swap, origin, flags=Flag.REMOVED if removed else 0)

    def end(self, number: int, swaps: int, *uncovered: Uncovered, branch: int = 0) -> None:
        """It is closed."""
        self.put(BlockEnd(number, 9, 0, 0, swaps, hash_of(number, branch), Completeness.PUSHED), *uncovered)

    def state(self) -> None:
        """Who POOL is."""
        self.put(
            PoolState(POOL, NOBODY, NOBODY, Venue.DFYN_POLYGON, 18, 18, V2, 0, 0, 0, 0, 0, 0, 0, 0, FACTORY, "", "")
        )

    def whole(self, number: int, branch: int = 0) -> None:
        """A block with one swap."""
        self.block(number, branch)
        self.swap(number, branch=branch)
        self.end(number, 1, branch=branch)

    def closed(self) -> SwapAccount:
        """The account, added up."""
        self.account.close()
        return self.account
