"""The bundled Polygon recording as the messages a collector would publish: made by the decoder, without a collector."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import msgspec

from producers.decode.cold import RefusedLog, decode_log, origin_of
from producers.decode.pool_table import VerifiedEmitter
from producers.node.rpc_types import Log
from tlv.codes import UNKNOWN_DECIMALS, Completeness, Domain, Flag, GapScope, Protocol, Reason, Source, Venue
from tlv.layout import Block, BlockEnd, EventOrigin, Gap, PoolRecord, PoolState, Reorg
from tlv.message import build
from tlv.record import Record
from tools.recording import bundled_recording

RING = bytes(range(16))
VENUES = {
    "QuickSwapV2": (Venue.QUICKSWAP_V2, 3000),
    "Dfyn": (Venue.DFYN_POLYGON, 3000),
    "SushiSwap": (Venue.SUSHISWAP_POLYGON, 3000),
    "ApeSwap": (Venue.APESWAP_POLYGON, 2000),
    "UniswapV2": (Venue.UNISWAP_V2_POLYGON, 3000),
}

V2 = Protocol.UNISWAP_V2
NO_STATE = (0, 0, 0, 0, 0)
"""Reserves, price, liquidity and block of a snapshot that tells identity and fee only."""

Frame = tuple[int, int, bytes]


def rows(name: str) -> Iterator[dict[str, Any]]:
    """The rows of one file of the recording."""
    with gzip.open(Path(bundled_recording()) / name, "rt") as lines:
        for line in lines:
            yield json.loads(line)


@cache
def pool_states() -> tuple[PoolState, ...]:
    """Identity and fee, without a state, of every V2 pool whose address is proven."""
    states = []
    for row in rows("pools.jsonl.gz"):
        if row["dex"] not in VENUES or row["method"] != "CREATE2_verified":
            continue
        venue, fee_pips = VENUES[row["dex"]]
        decimals = [UNKNOWN_DECIMALS if row[name] is None else row[name] for name in ("decimals0", "decimals1")]
        addresses = [bytes.fromhex(row[name][2:]) for name in ("pool", "token0", "token1", "factory_or_deployer")]
        pool, token0, token1, factory = addresses
        states.append(PoolState(pool, token0, token1, venue, *decimals, V2, *NO_STATE, fee_pips, 0, 0, factory, "", ""))
    return tuple(states)


Event = tuple[PoolRecord, EventOrigin]


def decode_events(name: str) -> list[Event]:
    """Events of proven V2 pools in a file of logs, in chain order."""
    pools = {
        "0x" + state.pool.hex(): VerifiedEmitter(
            state.pool,
            state.token0,
            state.token1,
            state.venue,
            state.decimals0,
            state.decimals1,
            factory=state.factory,
            fee_pips=state.fee_pips,
            protocol=state.protocol,
        )
        for state in pool_states()
    }
    events = []
    for row in rows(name):
        log = msgspec.convert(row, Log)
        pool = pools.get(log.address)
        if pool is None:
            continue
        try:
            events.append((decode_log(log, pool), origin_of(log, receive_time_ns=1_618_949_000_000_000_000)))
        except RefusedLog:
            continue
    return sorted(events, key=lambda event: (event[1].block_number, event[1].log_index))


@cache
def canonical_events() -> tuple[Event, ...]:
    """Events of the canonical chain, all three sessions."""
    return tuple(decode_events("recording_2021-04-20_canonical_logs.jsonl.gz"))


@cache
def orphaned_events() -> tuple[Event, ...]:
    """Events of blocks that were reorged out."""
    return tuple(decode_events("recording_2021-04-20_orphaned_logs.jsonl.gz"))


class Publisher:
    """Numbers messages as a ring would."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def put(self, domain: Domain, records: Iterable[Record], flags: int = 0) -> None:
        """Append one message."""
        sequence = len(self.frames) + 1
        data = build(domain, Source.POLYGON_COLLECTOR, records, sequence=sequence, flags=flags)
        self.frames.append((sequence, sequence * 1_000, data))

    def event(self, event: Event, flags: int = 0) -> None:
        """A pool event behind which its origin stands."""
        self.put(Domain.MARKET_DATA, event, flags)

    def snapshots(self) -> None:
        """Identity of every pool."""
        for state in pool_states():
            self.put(Domain.MARKET_DATA, [state], Flag.SNAPSHOT)

    def block(self, number: int, block_hash: bytes, base_fee: int = 0) -> None:
        """A head."""
        self.put(Domain.MARKET_DATA, [Block(number, 0, 0, 0, 0, base_fee, block_hash, bytes(32))])

    def block_end(self, number: int, block_hash: bytes, events: int = 0) -> None:
        """The word that a block is complete."""
        self.put(Domain.SYSTEM, [BlockEnd(number, events, events, 0, 0, block_hash, Completeness.REFETCHED)])

    def gap(self, first: int, last: int) -> None:
        """Blocks that are missing."""
        self.put(Domain.SYSTEM, [Gap(first, last, GapScope.BLOCK_NUMBERS, Reason.NODE_HAS_NO_BLOCK)])

    def reorg(self, fork_number: int, fork_hash: bytes, removed: list[Event]) -> None:
        """Blocks above the fork leave the chain, their events newest first."""
        head = max(origin.block_number for _, origin in removed)
        depth = head - fork_number
        self.put(
            Domain.SYSTEM,
            [Reorg(fork_number, head, head, depth, len(removed), fork_hash, bytes(32), bytes(32))],
        )
        for event in reversed(removed):
            self.event(event, Flag.REMOVED)

    def blocks(self, events: Iterable[Event], flags: int = 0) -> None:
        """Events block by block, each block announced before and closed after them; a hole becomes a Gap."""
        last = None
        for (number, block_hash), group in groupby(events, lambda event: (event[1].block_number, event[1].block_hash)):
            if last is not None and (last, number) in HOLES:
                self.gap(last + 1, number - 1)
            self.block(number, block_hash)
            here = list(group)
            for event in here:
                self.event(event, flags)
            self.block_end(number, block_hash, len(here))
            last = number


def _session_holes() -> frozenset[tuple[int, int]]:
    """(last event block before, first after) of the blocks that nobody recorded, between the sessions."""
    numbers = sorted({origin.block_number for _, origin in canonical_events()})
    missing = (range(13522170, 13522175), range(13522231, 13522239))
    return frozenset(
        (before, after)
        for before, after in pairwise(numbers)
        if any(before < hole.start and hole.stop <= after for hole in missing)
    )


HOLES = _session_holes()


@cache
def canonical_frames() -> tuple[Frame, ...]:
    """The canonical chain of the recording, smoothly served."""
    publisher = Publisher()
    publisher.snapshots()
    publisher.blocks(canonical_events())
    return tuple(publisher.frames)
