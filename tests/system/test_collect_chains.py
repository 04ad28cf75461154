"""A second chain is configuration only: two collectors at once, each with its chain, its node and its ring."""

from __future__ import annotations

import asyncio
import gzip
import math
from collections.abc import Callable, Iterator

import msgspec

from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from producers.decode.cold import RefusedLog, decode_log
from producers.decode.pool_table import VerifiedEmitter
from producers.node.rpc_types import Log
from tests.producers.collected import Identity, canonical_events, read_story
from tlv.codes import Protocol, Source, Venue
from tlv.layout import PoolCreated, PoolRecord
from tools.recording import RecordingNode
from tools.recording.bundle import bundled_recording
from tools.warm import warm_collector, warm_ring

FAMILIES: dict[str, tuple[int, Protocol]] = {
    "UniswapV2": (Venue.UNISWAP_V2, Protocol.UNISWAP_V2),
    "SushiSwap": (Venue.SUSHISWAP, Protocol.UNISWAP_V2),
    "UniswapV3": (Venue.UNISWAP_V3, Protocol.UNISWAP_V3),
    "ShibaSwap": (60100, Protocol.UNISWAP_V2),
    "PancakeSwapV2": (60101, Protocol.UNISWAP_V2),
    "DefiSwap": (60102, Protocol.UNISWAP_V2),
    "SushiSwapV3": (60109, Protocol.UNISWAP_V3),
}
"""A family of the recording: its venue, numbers of the chain file among them, and its protocol."""


def rows(name: str) -> Iterator[bytes]:
    with gzip.open(bundled_recording("ethereum") / f"{name}.jsonl.gz") as lines:
        yield from lines


def ethereum_events() -> dict[Identity, PoolRecord]:
    """Every event of a pool with a proven address in the twelve bundled blocks, by the cold decoder."""
    pools = {}
    for row in map(msgspec.json.decode, rows("pools")):
        if row["method"] == "CREATE2_verified":
            venue, protocol = FAMILIES[row["dex"]]
            token0, token1 = bytes.fromhex(row["token0"][2:]), bytes.fromhex(row["token1"][2:])
            decimals0, decimals1 = (255 if row[name] is None else row[name] for name in ("decimals0", "decimals1"))
            pools[row["pool"]] = VerifiedEmitter(
                bytes.fromhex(row["pool"][2:]), token0, token1, venue, decimals0, decimals1, protocol=protocol
            )
    events = {}
    for line in rows("full_blocks_17686110-17686121_logs"):
        log = msgspec.json.decode(line, type=Log)
        assert log.block_hash and log.transaction_hash and log.log_index
        if log.address not in pools:
            continue
        try:
            record = decode_log(log, pools[log.address])
        except RefusedLog:
            continue
        places = bytes.fromhex(log.block_hash[2:]), bytes.fromhex(log.transaction_hash[2:])
        events[(*places, int(log.log_index, 16))] = record
    return events


async def collect_both(rings: dict[str, str]) -> None:
    async def collect(chain: str) -> None:
        async with RecordingNode(bundled_recording(chain), speed=math.inf) as node:
            options = CollectorOptions(
                chain=load_chain(chain), urls=(node.ws_url,), ring=rings[chain], until_idle_s=1.0
            )
            await Collector(options).run()

    await asyncio.gather(*map(collect, rings))


def test_collectors_of_two_chains_at_once_publish_each_its_own(new_ring_name: Callable[[], str]) -> None:
    warm_ring()
    warm_collector()
    rings = {"polygon": new_ring_name(), "ethereum": new_ring_name()}
    asyncio.run(collect_both(rings))
    assert read_story(rings["polygon"]).standing == canonical_events()
    story = read_story(rings["ethereum"])
    expected = ethereum_events()
    published = {key: record for key, record in story.standing.items() if not isinstance(record, PoolCreated)}
    assert len(expected) > 500
    assert published == expected
    assert {message.header.source for message in story.messages} == {Source.ETHEREUM_COLLECTOR}
