"""`json` and `eth-abi` over websockets: what one writes by hand."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tools.bench.peers.feed.client import (
    EVENTS,
    KEPT,
    OPTIONS,
    SILENCE_S,
    TOPICS,
    Amounts,
    FeedClient,
    FeedOutcome,
    LogPlace,
    Stint,
    Task,
    subscriptions,
)

PLAIN = {name: [kind for _, kind, is_topic in fields if not is_topic] for name, fields in EVENTS.items()}
INDEXED = {name: [kind for _, kind, is_topic in fields if is_topic] for name, fields in EVENTS.items()}


def decoded(log: dict[str, Any]) -> Amounts | None:
    """The event of a log, its indexed arguments decoded as well; None if it is none that we know."""
    from eth_abi.abi import decode

    topics = log["topics"]
    name = TOPICS.get(topics[0]) if topics else None
    if name is None or len(topics) - 1 != len(INDEXED[name]):
        return None
    for kind, topic in zip(INDEXED[name], topics[1:], strict=True):
        decode([kind], bytes.fromhex(topic[2:]))
    return name, decode(PLAIN[name], bytes.fromhex(log["data"][2:]))


async def follow(task: Task) -> FeedOutcome:
    """Receive, parse, decode."""
    from websockets.asyncio.client import connect

    stint = Stint(task)
    found: dict[LogPlace, Amounts] = {}
    async with connect(task.url, **OPTIONS) as socket:
        for request in subscriptions():
            await socket.send(request)
        try:
            while True:
                async with asyncio.timeout(SILENCE_S):
                    message = json.loads(await socket.recv())
                log = message["params"]["result"] if "params" in message else {}
                if "topics" not in log:
                    continue
                event = decoded(log)
                if event is not None and len(found) < KEPT:
                    found[log["blockHash"], int(log["logIndex"], 16)] = event
                if stint.one_more():
                    break
        except TimeoutError:
            pass
    return stint.followed(found)


CLIENT = FeedClient("json and eth-abi", "", "websockets, json.loads, eth_abi.decode of every argument", 30_000, follow)
