"""web3.py: an AsyncWeb3 WebSocket subscription, each log decoded by the contract's ABI."""

from __future__ import annotations

import asyncio
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
)

QUEUED = 10_000


def abi() -> list[dict[str, Any]]:
    """The events as JSON ABI."""
    return [
        {
            "type": "event",
            "name": name,
            "anonymous": False,
            "inputs": [{"name": field, "type": kind, "indexed": is_topic} for field, kind, is_topic in fields],
        }
        for name, fields in EVENTS.items()
    ]


async def follow(task: Task) -> FeedOutcome:
    """Subscribe, and decode what the library gives."""
    from web3 import AsyncWeb3, WebSocketProvider

    stint = Stint(task)
    found: dict[LogPlace, Amounts] = {}
    provider = WebSocketProvider(
        task.url, websocket_kwargs=OPTIONS, subscription_response_queue_size=QUEUED, request_timeout=SILENCE_S
    )
    async with AsyncWeb3(provider) as web3:
        contract = web3.eth.contract(abi=abi())
        events = {bytes.fromhex(topic[2:]): (name, contract.events[name]()) for topic, name in TOPICS.items()}
        plain = {name: [field for field, _, is_topic in fields if not is_topic] for name, fields in EVENTS.items()}
        await web3.eth.subscribe("logs", {})
        await web3.eth.subscribe("newHeads")
        arriving = web3.socket.process_subscriptions()
        try:
            while True:
                async with asyncio.timeout(SILENCE_S):
                    log = (await anext(arriving))["result"]
                if "topics" not in log:
                    continue
                known = events.get(bytes(log["topics"][0])) if log["topics"] else None
                if known is not None and len(log["topics"]) - 1 == len(EVENTS[known[0]]) - len(plain[known[0]]):
                    name, event = known
                    arguments = event.process_log(log)["args"]
                    if len(found) < KEPT:
                        amounts = tuple(arguments[field] for field in plain[name])
                        found["0x" + bytes(log["blockHash"]).hex(), log["logIndex"]] = name, amounts
                if stint.one_more():
                    break
        except TimeoutError:
            pass
    return stint.followed(found)


CLIENT = FeedClient("web3.py", "web3", "AsyncWeb3 subscription, process_log() by the ABI", 15_000, follow)
