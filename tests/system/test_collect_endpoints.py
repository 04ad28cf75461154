"""A collector whose node fails in ways that no message tells: it goes to the next endpoint and loses nothing."""

from __future__ import annotations

import asyncio
import http
import logging
import math
import socket
from collections.abc import Awaitable, Callable

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from producers.node.backoff import Circuit, Reconnect
from tests.producers.collected import canonical_events, read_story
from tlv.codes import FeedState
from tlv.layout import Heartbeat
from tlv.message import Message
from tools.recording import RecordingNode
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
    options = CollectorOptions(chain=load_chain("polygon"), urls=(first, node.ws_url), ring=ring, watchdog_s=WATCHDOG_S)
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


def test_collector_shows_its_circuit_in_counters_log_and_heartbeats(
    ring_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Every endpoint refuses until the circuit opens; while it is open the node comes back, and one trial closes it."""
    refusing, seen = True, []

    async def run() -> None:
        warm_ring()
        warm_collector()
        async with RecordingNode(speed=200.0) as node:

            async def refuse(connection: ServerConnection, request: Request) -> Response | None:
                return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "no\n") if refusing else None

            async def relay(connection: ServerConnection) -> None:
                async with connect(node.ws_url) as upstream:
                    answers = asyncio.create_task(pump(upstream, connection))
                    await pump(connection, upstream)
                    await answers

            async with serve(relay, "127.0.0.1", 0, process_request=refuse) as server:
                port = next(iter(server.sockets)).getsockname()[1]
                options = CollectorOptions(
                    chain=load_chain("polygon"), urls=(f"ws://127.0.0.1:{port}",), ring=ring_name
                )
                collector = Collector(options)
                collector._reconnect = Reconnect(options.urls, base_s=0.01, threshold=3, open_s=1.5)
                await follow(collector)

    async def follow(collector: Collector) -> None:
        nonlocal refusing
        work = asyncio.create_task(collector.run())
        async with asyncio.timeout(60):
            while collector.statistics.blocks < 5:
                seen.append(collector.statistics.circuit)
                refusing = refusing and collector.statistics.circuit is not Circuit.OPEN
                await asyncio.sleep(0.005)
        collector.stop()
        statistics = await work
        assert statistics.circuit is Circuit.CLOSED
        assert statistics.circuit_openings == 1
        assert statistics.to_dict()["circuit"] == "closed"

    with caplog.at_level(logging.WARNING, "alphapulse.collector"):
        asyncio.run(run())
    assert seen[0] is Circuit.CLOSED
    assert Circuit.OPEN in seen
    said = [record.getMessage() for record in caplog.records if "circuit" in record.getMessage()]
    assert [line.split(";")[0] for line in said] == [
        "the circuit is open",
        "the circuit is half-open",
        "the circuit is closed",
    ]
    states = [message.records[0].feed_state for message in read_story(ring_name).messages if is_heartbeat(message)]
    assert FeedState.CIRCUIT_OPEN in states
    assert states[-1] is not FeedState.CIRCUIT_OPEN


async def pump(source: Connection, sink: Connection) -> None:
    """Every message of one connection into another, until either ends."""
    try:
        async for message in source:
            await sink.send(message)
    except ConnectionClosed:
        pass
    await sink.close()


def is_heartbeat(message: Message) -> bool:
    return isinstance(message.records[0], Heartbeat)


def test_collector_refused_with_retry_after_leaves_the_node_alone(ring_name: str) -> None:
    """The first endpoint asks for a minute of peace; its fallback breaks off again and again, and is tried alone."""
    refused = connections = 0

    async def refuse(connection: ServerConnection, request: Request) -> Response:
        nonlocal refused
        refused += 1
        response = connection.respond(http.HTTPStatus.TOO_MANY_REQUESTS, "no\n")
        response.headers["Retry-After"] = "60"
        return response

    async def count(connection: ServerConnection) -> None:
        nonlocal connections
        connections += 1

    async def run() -> None:
        warm_ring()
        warm_collector()
        async with (
            serve(silent, "127.0.0.1", 0, process_request=refuse) as first,
            serve(count, "127.0.0.1", 0) as second,
        ):
            ports = [next(iter(server.sockets)).getsockname()[1] for server in (first, second)]
            urls = tuple(f"ws://127.0.0.1:{port}" for port in ports)
            collector = Collector(CollectorOptions(chain=load_chain("polygon"), urls=urls, ring=ring_name))
            work = asyncio.create_task(collector.run())
            async with asyncio.timeout(60):
                while connections < 3:
                    await asyncio.sleep(0.05)
            collector.stop()
            await work

    asyncio.run(run())
    assert refused == 1


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
            options = CollectorOptions(
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
