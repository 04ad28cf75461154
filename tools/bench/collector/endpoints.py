"""What a collector makes of its endpoints: a cold start at a real node, and the way from a silent one to the next.

Owns both rows.  The cold start is that of `tools.bench.collector.cold` at anvil with real contracts: 1,500 Uniswap V2
pairs, of which the collector knows none, have spoken while it was away.  The fallback is the same recording node
without the relay between, which has fallen silent and stays connected.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from pathlib import Path

import msgspec

from producers.blocks import state_file
from producers.blocks.block import Block
from producers.chains.configuration import ChainConfig, load_chain
from producers.node.jsonrpc import HEAD
from tools.bench.collector.cold import POOLS, SAMPLE_S, TARGET_S, ask_all, start_cold, until
from tools.bench.collector.load import event_blocks, served
from tools.bench.collector.watching import collecting
from tools.bench.result import BenchResult
from tools.prove.feed.campaign import chain_toml
from tools.rig.evm.faults import WsRelay
from tools.rig.evm.kinds import GAS_LIMIT
from tools.rig.evm.node import Node
from tools.rig.evm.world import World, call_data

PAIR_GAS, SYNC_GAS = 3_000_000, 200_000
BOUND_S = 10.0
LEAST_BOUND_S = 2.0
"""A block comes each 0.2 s, and eight of them are borne."""
RATE = 1_000
LIVE_BLOCKS = 10
"""The collector follows its first endpoint for so long."""
LOADED_LOGS = 60_000


def run(seconds: float) -> list[BenchResult]:
    """Both rows; a bench of less than a second has fewer pools and a shorter bound, and its rows say so."""
    pools, bound_s = int(POOLS * min(seconds, 1.0)), BOUND_S * min(seconds, 1.0)
    return [cold_start(max(pools, 3)), failover(max(bound_s, LEAST_BOUND_S))]


def cold_start(pools: int) -> BenchResult:
    """From the connection until one event of each pair is published."""
    with Node() as node, tempfile.TemporaryDirectory() as folder:
        world = World.build(node.rpc)
        toml = Path(folder) / "chain.toml"
        toml.write_text(chain_toml(world))
        chain = load_chain(str(toml))
        pairs = create_pairs(world, chain, pools)
        state = Path(folder) / "state"
        before = HEAD.decode(msgspec.json.encode(node.rpc("eth_getBlockByNumber", "latest", False)))
        state_file.save(state, state_file.Position.of(chain.chain_id, Block(before)))
        transact(world, [(pair, call_data("sync()")) for pair in pairs], SYNC_GAS)
        calls = [(pair, data) for pair in pairs for data in (call_data("token0()"), call_data("token1()"))]
        baseline = asyncio.run(ask_all(node.url, calls))
        elapsed, statistics = asyncio.run(start_cold(node.url, pools, chain=chain, state_file=state))
    return BenchResult(
        f"collector, cold start with {pools} unknown pools of a real node: connected to all published",
        elapsed,
        "s",
        f"{len(calls)} eth_call of a client that does nothing else",
        baseline,
        baseline / elapsed,
        TARGET_S,
        f"{statistics.events_published} events, {statistics.pools} pools verified, none known before",
    )


def create_pairs(world: World, chain: ChainConfig, count: int) -> list[str]:
    """So many pairs of real tokens."""
    factory = chain.factories[0]
    tokens: list[str] = []
    while len(tokens) * (len(tokens) - 1) // 2 < count:
        tokens.append(world.token(f"Token {len(tokens)}", f"T{len(tokens)}", 18))
    chosen = list(itertools.islice(itertools.combinations(sorted(tokens), 2), count))
    transact(world, [(factory.address, call_data("createPair(address,address)", *pair)) for pair in chosen], PAIR_GAS)
    found = [(bytes.fromhex(token0[2:]), bytes.fromhex(token1[2:])) for token0, token1 in chosen]
    return [f"0x{factory.pool_address(token0, token1).hex()}" for token0, token1 in found]


def transact(world: World, calls: list[tuple[str, str]], gas: int) -> None:
    """Send these calls, as many to a block as fit.

    They bear their nonces: the node counts from what it has not mined, and for a moment also what it just has.
    """
    world.hold_mining(True)
    first = int(world.rpc("eth_getTransactionCount", world.account, "latest"), 16)
    sent = [
        {"from": world.account, "to": to, "data": data, "gas": hex(gas), "nonce": hex(nonce)}
        for nonce, (to, data) in enumerate(calls, first)
    ]
    at_once = GAS_LIMIT // gas
    for at in range(0, len(sent), at_once):
        hashes = world.rpc.batch("eth_sendTransaction", [[one] for one in sent[at : at + at_once]])
        world.mine()
        world.receipt(hashes[-1])


def failover(bound_s: float) -> BenchResult:
    """From the last block that an endpoint brought until the next endpoint has brought one."""
    with served(event_blocks, LOADED_LOGS, "--rate", str(RATE)) as url:
        elapsed = asyncio.run(fall_back(url, bound_s))
    return BenchResult(
        "collector, endpoint falls silent: last block of it to the first of the fallback",
        elapsed,
        "s",
        "the bound of an endpoint without progress",
        bound_s,
        bound_s / elapsed,
        bound_s,
        "the connection to the silent one stays open",
    )


async def fall_back(url: str, bound_s: float) -> float:
    """Seconds without a block, where the first endpoint falls silent and the second is there."""
    chain = msgspec.structs.replace(load_chain("polygon"), block_time_s=0.0)
    async with WsRelay(url) as relay, collecting(relay.url, url, chain=chain, watchdog_s=bound_s) as (collector, work):
        stats = collector.statistics
        await until(lambda: stats.safe_number >= LIVE_BLOCKS, work)
        relay.stall(True)
        safe, last = stats.safe_number, time.perf_counter()
        while stats.connections < 2 or stats.safe_number == safe:
            if stats.safe_number > safe:
                safe, last = stats.safe_number, time.perf_counter()
            await asyncio.sleep(SAMPLE_S)
            if work.done():
                await work
        return time.perf_counter() - last
