"""A collector that knows no pool, at a local node: until every event of 1,500 pools is in the ring.

Owns the row.  The node is a recording node in a process of its own, which runs no programs: every pool and every token
is asked call by call, which is the slowest way there is.  The baseline is the same node, asked the same number of calls
by a client that does nothing else.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from typing import Any

import msgspec
from websockets.asyncio.client import connect

from producers.chains.configuration import ChainConfig, load_chain
from producers.statistics import Statistics
from tlv.codes import Protocol
from tools.bench.collector.load import Blocks, Row, event_blocks, in_blocks, served
from tools.bench.collector.watching import collecting
from tools.bench.result import BenchResult

POOLS = 1_500
HUBS = 8
"""Tokens that have a pool with each of the others."""
TARGET_S = 3.0
SAMPLE_S = 0.002
IN_FLIGHT = 64


def run(seconds: float) -> list[BenchResult]:
    """The row; a bench of less than a second has fewer pools, and its row says so."""
    pools = max(min(POOLS, int(POOLS * seconds)), HUBS)
    pool_rows, token_rows = unknown_pools(load_chain("polygon"), pools)
    calls = [(row["pool"], data) for row in pool_rows for data in ("0x0dfe1681", "0xd21220a7")]
    calls += [(row["address"], data) for row in token_rows for data in ("0x313ce567", "0x95d89b41")]
    metadata = {"pools": pool_rows, "tokens": token_rows}
    with served(lambda: one_event_each(pool_rows), pools, metadata=metadata) as url:
        baseline = asyncio.run(ask_all(url, calls))
        elapsed, statistics = asyncio.run(start_cold(url, pools))
    title = f"collector, cold start with {pools} unknown pools: "
    note = f"{statistics.events_published} events, {statistics.pools} pools verified, none known before"
    asked = f"{len(calls)} eth_call of a client that does nothing else"
    return [
        BenchResult(
            title + "connected to all published", elapsed, "s", asked, baseline, baseline / elapsed, TARGET_S, note
        ),
    ]


def unknown_pools(chain: ChainConfig, count: int) -> tuple[list[Row], list[Row]]:
    """The metadata of so many pools and of their tokens, as files of a recording have it."""
    factory = next(factory for factory in chain.factories if factory.protocol_code is Protocol.UNISWAP_V2)
    pools, tokens = [], {}
    for number in range(count):
        pair = (b"hub %d" % (number % HUBS), b"token %d" % number)
        token0, token1 = sorted(hashlib.sha256(token).digest()[:20] for token in pair)
        for token in (token0, token1):
            name = f"T{token.hex()[:6]}"
            tokens[token] = {
                "chainId": 137,
                "address": f"0x{token.hex()}",
                "symbol": name,
                "name": name,
                "decimals": 18,
            }
        pools.append(
            {
                "chainId": 137,
                "pool": f"0x{factory.pool_address(token0, token1).hex()}",
                "method": "CREATE2_verified",
                "dex": "QuickSwapV2",
                "factory_or_deployer": factory.address,
                "token0": f"0x{token0.hex()}",
                "token1": f"0x{token1.hex()}",
                "fee_pips": 3000,
            }
        )
    return pools, list(tokens.values())


def one_event_each(pools: list[Row]) -> Blocks:
    """One event of each pool."""
    row = event_blocks()[0][0]
    return in_blocks([{**row, "address": pool["pool"]} for pool in pools])


async def start_cold(url: str, events: int, **options: Any) -> tuple[float, Statistics]:
    """Seconds from the connection until so many events are in the ring."""
    async with collecting(url, **options) as (collector, work):
        await until(lambda: bool(collector.statistics.connections), work)
        begin = time.perf_counter()
        await until(lambda: collector.statistics.events_published >= events, work)
        return time.perf_counter() - begin, collector.statistics


async def until(reached: Callable[[], bool], work: asyncio.Task[Statistics]) -> None:
    """Wait for a fact; raises what ended the collector before."""
    while not reached():
        await asyncio.sleep(SAMPLE_S)
        if work.done():
            await work
            return


async def ask_all(url: str, calls: list[tuple[str, str]]) -> float:
    """Seconds that a client needs for these calls, some of them under way at any time."""
    async with connect(url) as client:
        begin = time.perf_counter()
        for number, (to, data) in enumerate(calls):
            params = [{"to": to, "data": data}, "latest"]
            await client.send(msgspec.json.encode({"id": number, "method": "eth_call", "params": params}), text=True)
            if number >= IN_FLIGHT:
                msgspec.json.decode(await client.recv())
        for _ in calls[:IN_FLIGHT]:
            msgspec.json.decode(await client.recv())
        return time.perf_counter() - begin
