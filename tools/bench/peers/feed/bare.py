"""Frames received through the library and thrown away: what the socket and the node allow."""

from __future__ import annotations

import asyncio

from tools.bench.peers.feed.client import OPTIONS, SILENCE_S, FeedClient, FeedOutcome, Stint, Task, subscriptions


async def follow(task: Task) -> FeedOutcome:
    """Receive; a notification of a log is told by its length alone, which no answer has."""
    from websockets.asyncio.client import connect

    stint = Stint(task)
    async with connect(task.url, **OPTIONS) as socket:
        for request in subscriptions():
            await socket.send(request)
        try:
            while True:
                async with asyncio.timeout(SILENCE_S):
                    text = await socket.recv(decode=False)
                if b'"topics"' in text and stint.one_more():
                    break
        except TimeoutError:
            pass
    return stint.followed({})


CLIENT = FeedClient("bare recv()", "", "websockets, nothing parsed", 150_000, follow)
