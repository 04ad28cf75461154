"""What a collector left in a ring, and what it should be: shared by the tests of the whole collector."""

from __future__ import annotations

import gzip
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import permutations
from pathlib import Path
from types import MappingProxyType

import msgspec

from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from producers.decode.cold import RefusedLog, decode_log
from producers.decode.pool_table import VerifiedEmitter
from producers.kinds.emitter_key import key_of
from producers.kinds.events import UNDERLYING
from producers.node.rpc_types import Log
from producers.statistics import Statistics
from ringbuf import Loss, Reader
from tlv.codes import Flag, Protocol, Venue
from tlv.layout import LAYOUT_DIGEST, EventOrigin, PoolRecord, PoolState
from tlv.message import Message, parse
from tools.recording import Faults, RecordingNode
from tools.recording.bundle import bundled_recording

VENUE_OF_DEX = {
    "QuickSwapV2": Venue.QUICKSWAP_V2,
    "SushiSwap": Venue.SUSHISWAP_POLYGON,
    "Dfyn": Venue.DFYN_POLYGON,
    "ApeSwap": Venue.APESWAP_POLYGON,
    "UniswapV2": Venue.UNISWAP_V2_POLYGON,
    "ComethSwap": 60000,
    "Elk": 60001,
}
Identity = tuple[bytes, bytes, int]


@dataclass
class Story:
    """The messages of a ring, and the events among them that still stand."""

    messages: list[Message] = field(default_factory=list)
    standing: dict[Identity, PoolRecord] = field(default_factory=dict)
    twice: Counter[Identity] = field(default_factory=Counter)

    def add(self, message: Message) -> None:
        """Take the next message, in the order of its sequence."""
        self.messages.append(message)
        origin = message.first(EventOrigin)
        if origin is None:
            return
        identity = (origin.block_hash, origin.transaction_hash, origin.log_index)
        record = message.records[0]
        assert isinstance(record, PoolRecord)
        if message.header.flags & Flag.REMOVED:
            assert self.standing.pop(identity) == record, "a REMOVED copy must be a copy"
        else:
            self.twice[identity] += identity in self.standing
            self.standing[identity] = record


def read_story(ring: str) -> Story:
    """Everything in a ring, from its first frame on; checks sequences and checksums on the way."""
    story = Story()
    expected = 1
    with Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
        for item in reader:
            assert not isinstance(item, Loss)
            message = parse(item.payload)
            assert message.header.sequence == item.sequence == expected
            expected += 1
            story.add(message)
    return story


def recorded_rows(name: str) -> Iterable[bytes]:
    """The lines of a file of the bundled Polygon recording."""
    with gzip.open(bundled_recording() / f"{name}.jsonl.gz") as lines:
        yield from lines


def proven_pools() -> dict[str, VerifiedEmitter]:
    """The pools whose address was recomputed, with what their tokens are known to say."""
    pools = {}
    for line in recorded_rows("pools"):
        row = msgspec.json.decode(line)
        if row["chainId"] != 137 or row["method"] != "CREATE2_verified" or row["dex"] not in VENUE_OF_DEX:
            continue
        pools[row["pool"]] = VerifiedEmitter(
            pool=bytes.fromhex(row["pool"][2:]),
            token0=bytes.fromhex(row["token0"][2:]),
            token1=bytes.fromhex(row["token1"][2:]),
            venue=VENUE_OF_DEX[row["dex"]],
            decimals0=255 if row["decimals0"] is None else row["decimals0"],
            decimals1=255 if row["decimals1"] is None else row["decimals1"],
            protocol=Protocol.UNISWAP_V2,
        )
    return pools


def exchanged_pairs() -> dict[str, VerifiedEmitter]:
    """The ordered pairs of the recording's pool of several coins, by name."""
    decimals = {row["address"]: row["decimals"] for row in map(msgspec.json.decode, recorded_rows("tokens"))}
    (row,) = (row for row in map(msgspec.json.decode, recorded_rows("pools")) if row["dex"] == "Curve")
    pairs = {}
    for coins, mark in ((row["coins"], 0), (row["underlying_coins"], UNDERLYING)):
        for sold, bought in permutations(range(len(coins)), 2):
            token0, token1 = sorted((coins[sold], coins[bought]))
            pairs[f"{row['pool']}{mark + sold:040x}{mark + bought:040x}"] = VerifiedEmitter(
                pool=bytes.fromhex(row["pool"][2:]),
                token0=bytes.fromhex(token0[2:]),
                token1=bytes.fromhex(token1[2:]),
                venue=Venue.CURVE_POLYGON,
                decimals0=decimals.get(token0, 255),
                decimals1=decimals.get(token1, 255),
                protocol=Protocol.CURVE,
                flipped=coins[sold] == token1,
            )
    return pairs


@cache
def canonical_events() -> Mapping[Identity, PoolRecord]:
    """Every event of a proven pool in the canonical blocks of the recording, by the cold decoder."""
    pools, events = proven_pools() | exchanged_pairs(), dict[Identity, PoolRecord]()
    for line in recorded_rows("recording_2021-04-20_canonical_logs"):
        log = msgspec.json.decode(line, type=Log)
        pool = pools.get(key_of(log))
        if pool is None:
            continue
        try:
            record = decode_log(log, pool)
        except RefusedLog:
            continue
        assert log.block_hash and log.transaction_hash and log.log_index
        identity = (bytes.fromhex(log.block_hash[2:]), bytes.fromhex(log.transaction_hash[2:]), int(log.log_index, 16))
        events[identity] = record
    return MappingProxyType(events)


async def collect_recording(
    ring: str,
    *,
    faults: Faults | None = None,
    speed: float = math.inf,
    pool_cache: Path | None = None,
    until_idle_s: float = 0.8,
) -> Statistics:
    """Serve the bundled sessions over a real socket, and collect them into `ring`."""
    async with RecordingNode(speed=speed, faults=faults) as node:
        options = CollectorOptions(
            chain=load_chain("polygon"),
            urls=(node.ws_url,),
            ring=ring,
            until_idle_s=until_idle_s,
            pool_cache=pool_cache,
        )
        return await Collector(options).run()


def states_before_events(story: Story) -> set[bytes]:
    """Pools with an event before their first PoolState; there should be none."""
    introduced, early = set(), set()
    for message in story.messages:
        record = message.records[0]
        if isinstance(record, PoolState) and message.header.flags & Flag.SNAPSHOT:
            introduced.add(record.pool)
        elif isinstance(record, PoolRecord) and record.pool not in introduced:
            early.add(record.pool)
    return early
