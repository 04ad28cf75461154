"""A collector whose node fails in ways that no message tells: it goes to the next endpoint and loses nothing."""

from __future__ import annotations

import asyncio
import http
import math
import socket
from collections.abc import Awaitable, Callable

import pytest
from websockets.asyncio.server import Request, Response, ServerConnection, serve

from producers.chains import load_chain
from producers.collector import Collector, Options
from producers.recording import RecordingNode
from tests.producers.collected import canonical_events, read_story
from tools.warm import warm_collector, warm_ring

WATCHDOG_S = 3.0
"""Far longer than a busy machine keeps a live connection waiting: one that is given up before its first block has
nothing to come back to, and the recording plays on."""

Handler = Callable[[ServerConnection], Awaitable[None]]


async def silent(connection: ServerConnection) -> None:
    """Accepts everything and says nothing: only the watchdog can tell."""
    await connection.wait_closed()


async def closing(connection: ServerConnection) -> None:
    """Accepts, then closes at once: a client that trusts handshakes reconnects 569 times a second."""


async def refusing(connection: ServerConnection) -> None:
    """Has no subscriptions."""
    async for message in connection:
        assert '"id":' in str(message)
        await connection.send('{"id":1,"error":{"code":-32000,"message":"notifications not supported"}}')


async def collect(ring: str, first: str, node: RecordingNode) -> Collector:
    warm_ring()
    warm_collector()
    options = Options(chain=load_chain("polygon"), urls=(first, node.ws_url), ring=ring, watchdog_s=WATCHDOG_S)
    collector = Collector(options)
    work = asyncio.create_task(collector.run())
    async with asyncio.timeout(60):
        while collector.statistics.safe_number < 13522298:
            await asyncio.sleep(0.05)
    collector.stop()
    await work
    return collector


@pytest.mark.parametrize("handler", [silent, closing, refusing])
def test_collector_with_a_useless_node_goes_to_the_next_and_loses_nothing(ring_name: str, handler: Handler) -> None:
    connections = 0

    async def count(connection: ServerConnection) -> None:
        nonlocal connections
        connections += 1
        await handler(connection)

    async def run() -> Collector:
        async with serve(count, "127.0.0.1", 0) as server, RecordingNode(speed=200.0) as node:
            port = next(iter(server.sockets)).getsockname()[1]
            return await collect(ring_name, f"ws://127.0.0.1:{port}", node)

    collector = asyncio.run(run())
    assert read_story(ring_name).standing == canonical_events()
    assert 1 <= connections <= 10
    assert collector.statistics.reconnects >= 1


@pytest.mark.parametrize("status", [401, 403, 429, 503])
def test_collector_refused_by_http_goes_to_the_next(ring_name: str, status: int) -> None:
    async def refuse(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(http.HTTPStatus(status), "no\n")

    async def run() -> None:
        async with serve(silent, "127.0.0.1", 0, process_request=refuse) as server, RecordingNode(speed=200.0) as node:
            port = next(iter(server.sockets)).getsockname()[1]
            await collect(ring_name, f"ws://127.0.0.1:{port}", node)

    asyncio.run(run())
    assert read_story(ring_name).standing == canonical_events()


def test_collector_that_cannot_connect_goes_to_the_next(ring_name: str) -> None:
    async def run() -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            async with RecordingNode(speed=200.0) as node:
                await collect(ring_name, f"ws://127.0.0.1:{closed.getsockname()[1]}", node)

    asyncio.run(run())
    assert read_story(ring_name).standing == canonical_events()


def test_collector_with_a_second_endpoint_says_where_it_agrees(ring_name: str) -> None:
    """Every block is asked about; the second node has the canonical ones, and knows nothing of the others."""

    async def run() -> Collector:
        warm_ring()
        warm_collector()
        async with (
            RecordingNode(speed=20.0) as first,
            RecordingNode(speed=math.inf, start="now") as second,
        ):
            options = Options(
                chain=load_chain("polygon"),
                urls=(first.ws_url,),
                ring=ring_name,
                second_url=second.ws_url,
                cross_check_share=1.0,
                until_idle_s=2.0,
            )
            collector = Collector(options)
            await collector.run()
            return collector

    statistics = asyncio.run(run()).statistics
    assert read_story(ring_name).standing == canonical_events()
    assert statistics.blocks_by_verdict["cross_checked"] > 150
    assert statistics.cross_check_finds == statistics.cross_check_shortfalls == 0
