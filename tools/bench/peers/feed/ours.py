"""Ours: a whole collector, socket to ring; the pools are verified, blocks are checked, messages are sealed."""

from __future__ import annotations

import asyncio
import os
import time

from tools.bench.peers.feed.client import KEPT, SILENCE_S, Amounts, FeedClient, FeedOutcome, LogPlace, Task

RING_BYTES = 1 << 25
LOOK_S = 0.001
WATCHDOG_S = 60


def ring_of(pid: int) -> str:
    """The ring of a process that follows: whoever kills it removes that."""
    return f"bench.{pid}.feed"


async def follow(task: Task) -> FeedOutcome:
    """Collect until every event is in the ring; the clock begins with the last look that saw no log.

    Pools that were verified once are known from then on.
    """
    from producers.chains.configuration import load_chain
    from producers.collector import CollectorOptions
    from ringbuf import unlink
    from tools.collect import ready_collector

    ring = ring_of(os.getpid())
    options = CollectorOptions(
        urls=(task.url,),
        ring=ring,
        chain=load_chain("polygon"),
        capacity=RING_BYTES,
        pool_cache=task.folder / "pools",
        watchdog_s=WATCHDOG_S,
    )
    collector = ready_collector(options)
    statistics = collector.statistics
    work = asyncio.create_task(collector.run())
    done = 0
    begin = end = time.perf_counter()
    try:
        while not work.done() and done < task.events:
            await asyncio.sleep(LOOK_S)
            now = time.perf_counter()
            if statistics.logs_received == 0:
                begin = end = now
            if statistics.events_published > done:
                done, end = statistics.events_published, now
            if now - end > SILENCE_S:
                break
        collector.stop()
        await work
        return FeedOutcome(task.logs if done >= task.events else 0, end - begin, published(ring))
    finally:
        collector.stop()
        await asyncio.wait([work])
        unlink(ring)


def published(ring: str) -> dict[LogPlace, Amounts]:
    """The first events in a ring, by the place of their log."""
    from ringbuf import Reader, Status
    from tlv.layout import LAYOUT_DIGEST, EventOrigin, PoolBurn, PoolMint, PoolSwap, PoolSync
    from tlv.message import parse

    found: dict[LogPlace, Amounts] = {}
    with Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
        while len(found) < KEPT and (poll := reader.poll()).status is Status.OK:
            for frame in poll:
                records = parse(frame.payload, verify=True).records
                origin = next((record for record in records if isinstance(record, EventOrigin)), None)
                match records[0] if records else None:
                    case PoolSwap() as swap:
                        amounts = swap.amount0_in, swap.amount1_in, swap.amount0_out, swap.amount1_out
                        event: Amounts = "Swap", amounts
                    case PoolSync() as sync:
                        event = "Sync", (sync.reserve0, sync.reserve1)
                    case PoolMint() as mint:
                        event = "Mint", (mint.amount0, mint.amount1)
                    case PoolBurn() as burn:
                        event = "Burn", (burn.amount0, burn.amount1)
                    case _:
                        continue
                if origin is not None:
                    found[f"0x{origin.block_hash.hex()}", origin.log_index] = event
    return found


CLIENT = FeedClient("AlphaPulse", "", "the collector, socket to ring", 80_000, follow)
