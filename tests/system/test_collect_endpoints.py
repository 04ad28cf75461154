"""A collector whose node fails in ways that no message tells: it goes to the next endpoint and loses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
import logging
import math
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import Request, Response, Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from producers.kinds.events import EVENT_OF_TOPIC
from producers.node import endpoints as choice
from producers.node.backoff import Circuit
from producers.node.endpoints import Endpoints
from producers.node.errors import WrongChainError
from tests.producers.collected import canonical_events, read_story
from tlv.codes import FeedReason, FeedState
from tlv.layout import Block, Heartbeat
from tlv.message import Message
from tools.prove.feed.campaign import chain_toml
from tools.recording import RecordingNode
from tools.rig.evm.faults import KEY
from tools.rig.evm.node import Node
from tools.rig.evm.world import World
from tools.warm import warm_collector, warm_ring

WATCHDOG_S = 3.0
"""Far longer than a busy machine keeps a live connection waiting: one that is given up before its first block has
nothing to come back to, and the recording plays on."""

CHAIN = msgspec.structs.replace(load_chain("polygon"), block_time_s=0.0)
"""The bound is the watchdog's alone: eight of Polygon's block times would be 16 s of waiting for each test."""
MAX_MESSAGE = 1 << 20

Handler = Callable[[ServerConnection], Awaitable[None]]


async def silent(connection: ServerConnection) -> None:
    """Accepts everything and says nothing: only the watchdog can tell."""
    await connection.wait_closed()


async def closing(connection: ServerConnection) -> None:
    """Accepts, then closes at once: a client that trusts handshakes reconnects 569 times a second."""


async def refusing(connection: ServerConnection) -> None:
    """Says which chain it serves, and has no subscriptions."""
    async for message in connection:
        request = json.loads(message)
        error = {"code": -32000, "message": "notifications not supported"}
        said = {"result": "0x89"} if request["method"] == "eth_chainId" else {"error": error}
        await connection.send(json.dumps({"jsonrpc": "2.0", "id": request["id"]} | said))


async def garbling(connection: ServerConnection) -> None:
    """Talks, and no word of it can be read."""
    async for _ in connection:
        for _ in range(1000):
            await connection.send("garbage")


async def overflowing(connection: ServerConnection) -> None:
    """Its first answer is larger than any message may be."""
    async for _ in connection:
        await connection.send("x" * (MAX_MESSAGE + 1))


async def limiting(connection: ServerConnection) -> None:
    """Refuses every request for ever, as an account does whose quota is used up."""
    async for message in connection:
        error = {"code": 429, "message": "Too Many Requests"}
        await connection.send(json.dumps({"jsonrpc": "2.0", "id": json.loads(message)["id"], "error": error}))


async def foreign(connection: ServerConnection) -> None:
    """Serves another chain."""
    with contextlib.suppress(ConnectionClosed):
        async for message in connection:
            request = json.loads(message)
            result = {"eth_chainId": "0x1", "eth_blockNumber": "0x7fffffff"}.get(request["method"], "0xabc")
            await connection.send(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}))


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the collector logged."""
    return [record.getMessage() for record in caplog.records if record.name == "alphapulse.collector"]


async def collect(ring: str, first: str, node: RecordingNode) -> Collector:
    warm_ring()
    warm_collector()
    options = CollectorOptions(
        chain=CHAIN, urls=(first, node.ws_url), ring=ring, watchdog_s=WATCHDOG_S, max_message=MAX_MESSAGE
    )
    collector = Collector(options)
    work = asyncio.create_task(collector.run())
    async with asyncio.timeout(60):
        while collector.statistics.safe_number < 13522298:
            assert not work.done() or work.result() is None
            await asyncio.sleep(0.05)
    collector.stop()
    await work
    return collector


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (silent, FeedReason.SILENT),
        (closing, FeedReason.CLOSED),
        (refusing, FeedReason.UNUSABLE),
        (garbling, FeedReason.UNUSABLE),
        (overflowing, FeedReason.TOO_LARGE),
        (limiting, FeedReason.REFUSED),
        (foreign, FeedReason.WRONG_CHAIN),
    ],
)
def test_collector_with_a_useless_node_goes_to_the_next_and_loses_nothing(
    ring_name: str, handler: Handler, reason: FeedReason, caplog: pytest.LogCaptureFixture
) -> None:
    connections = 0

    async def count(connection: ServerConnection) -> None:
        nonlocal connections
        connections += 1
        await handler(connection)

    async def run() -> Collector:
        async with serve(count, "127.0.0.1", 0) as server, RecordingNode(speed=200.0) as node:
            port = next(iter(server.sockets)).getsockname()[1]
            return await collect(ring_name, f"ws://127.0.0.1:{port}", node)

    with caplog.at_level(logging.WARNING, "alphapulse.collector"):
        statistics = asyncio.run(run()).statistics
    story = read_story(ring_name)
    assert story.standing == canonical_events()
    assert 1 <= connections <= 10
    assert statistics.reconnects >= 1
    name = reason.name.lower()
    assert statistics.endpoint_failures[f"127.0.0.1: {name}"] >= 1
    assert statistics.endpoint == 1
    told = [
        record.getMessage() for record in caplog.records if record.getMessage().startswith(("giving", "disc", "127"))
    ]
    assert told, "the reason is in the log"
    reasons = [message.records[0].reason for message in story.messages if is_heartbeat(message)]
    assert reason in reasons, "and in the heartbeats"
    assert reasons[-1] == FeedReason.OK


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


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts the connection and never shakes hands."""
    await reader.read()
    writer.close()


def test_collector_with_a_node_that_hangs_in_the_handshake_goes_to_the_next(ring_name: str) -> None:
    async def run() -> Collector:
        server = await asyncio.start_server(hang, "127.0.0.1", 0)
        async with server, RecordingNode(speed=200.0) as node:
            return await collect(ring_name, f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", node)

    statistics = asyncio.run(run()).statistics
    assert read_story(ring_name).standing == canonical_events()
    assert statistics.last_trouble == "127.0.0.1: no handshake in time"


@pytest.mark.parametrize(
    "location", ["ws://[", "ws://127.0.0.1:99999999/", "file:///etc/passwd", "//", "ws://\xff.\xff/"]
)
def test_collector_redirected_to_nonsense_goes_to_the_next(ring_name: str, location: str) -> None:
    async def redirect(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(http.HTTPStatus.FOUND, "")
        response.headers["Location"] = location
        return response

    async def run() -> Collector:
        async with (
            serve(silent, "127.0.0.1", 0, process_request=redirect) as server,
            RecordingNode(speed=200.0) as node,
        ):
            return await collect(ring_name, f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}", node)

    statistics = asyncio.run(run()).statistics
    assert statistics.endpoint_failures.total() >= 1
    assert statistics.safe_number >= 13522298


def test_collector_refused_with_a_body_says_its_first_words_once_and_cuts_the_key(
    ring_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    refused = 0

    async def refuse(connection: ServerConnection, request: Request) -> Response:
        nonlocal refused
        refused += 1
        return connection.respond(http.HTTPStatus.TOO_MANY_REQUESTS, f"<p>daily quota of {KEY} exceeded</p>\n")

    async def run() -> Collector:
        warm_ring()
        warm_collector()
        async with serve(silent, "127.0.0.1", 0, process_request=refuse) as server:
            url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/v2/{KEY}"
            collector = Collector(CollectorOptions(chain=CHAIN, urls=(url,), ring=ring_name))
            work = asyncio.create_task(collector.run())
            async with asyncio.timeout(60):
                while refused < 3:
                    await asyncio.sleep(0.05)
            collector.stop()
            await work
            return collector

    with caplog.at_level(logging.WARNING, "alphapulse.collector"):
        statistics = asyncio.run(run()).statistics
    refusal = "HTTP 429: daily quota of [hidden] exceeded"
    assert told(caplog) == [
        f"cannot connect to 127.0.0.1: {refusal} (refused)",
        f"no endpoint can be reached, and the collector goes on trying: 127.0.0.1 ({refusal})",
    ]
    assert statistics.endpoint_failures["127.0.0.1: refused"] >= 2


class Lying:
    """The recording node behind a relay that drops what its subclass says."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.methods: dict[int, str] = {}
        self.frozen = ""

    async def __call__(self, down: ServerConnection) -> None:
        async with connect(self.upstream, max_size=None) as up:
            answers = asyncio.create_task(self.pass_down(up, down))
            try:
                async for message in down:
                    request = json.loads(message)
                    self.methods[request["id"]] = request["method"]
                    await up.send(message)
            except ConnectionClosed:
                pass
            answers.cancel()

    async def pass_down(self, up: Connection, down: ServerConnection) -> None:
        async for message in up:
            said = json.loads(message)
            lie = self.lie(said, self.methods.get(said.get("id"), ""))
            if lie is not None:
                await down.send(json.dumps(lie))

    def lie(self, said: dict[str, Any], method: str) -> dict[str, Any] | None:
        raise NotImplementedError


class Honest(Lying):
    """Says all of it."""

    def lie(self, said: dict[str, Any], method: str) -> dict[str, Any] | None:
        return said


class Mute(Lying):
    """Pushes, and answers nothing but subscriptions."""

    def lie(self, said: dict[str, Any], method: str) -> dict[str, Any] | None:
        return said if method in ("", "eth_subscribe") else None


class Frozen(Lying):
    """Stays at the block that it had when it was told to freeze, and answers everything."""

    heads = 0

    def lie(self, said: dict[str, Any], method: str) -> dict[str, Any] | None:
        if method:
            return said | {"result": self.frozen} if method == "eth_blockNumber" and self.frozen else said
        result = said["params"]["result"]
        if "parentHash" in result and not self.frozen:
            self.heads += 1
            self.frozen = result["number"] if self.heads > 20 else ""
            return said
        return said if not self.frozen else None


async def trade(ring: str, folder: Path, liar: type[Lying]) -> tuple[Collector, set[tuple[str, int]]]:
    """Collect from a real chain through a liar, with an honest fallback; returns every event since the first block."""
    warm_ring()
    warm_collector()
    with Node() as node:
        world = await asyncio.to_thread(World.build, node.rpc)
        toml = folder / "chain.toml"
        toml.write_text(chain_toml(world))
        async with serve(liar(node.url), "127.0.0.1", 0) as server:
            urls = (f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}", node.url)
            options = CollectorOptions(chain=load_chain(str(toml)), urls=urls, ring=ring, watchdog_s=WATCHDOG_S)
            collector = Collector(options)
            work = asyncio.create_task(collector.run())
            left = 10
            async with asyncio.timeout(60):
                while left or collector.statistics.safe_number < collector.statistics.head_number:
                    if left:
                        follows = collector.statistics.endpoint == 1 and collector.statistics.safe_number > 0
                        await asyncio.to_thread(world.v2_swap, 0, world.weth, 10**15)
                        left -= follows
                    await asyncio.sleep(0.1)
            collector.stop()
            await work
        first = min(block.number for message in read_story(ring).messages if (block := message.first(Block)))
        logs = node.rpc("eth_getLogs", {"fromBlock": hex(first), "topics": [sorted(EVENT_OF_TOPIC)]})
        return collector, {(log["transactionHash"], int(log["logIndex"], 16)) for log in logs}


@pytest.mark.parametrize(("liar", "reasons"), [(Mute, {"not_answering"}), (Frozen, {"stale", "no_block_ends"})])
def test_collector_with_a_node_that_lies_goes_to_the_next_and_loses_nothing(
    ring_name: str, tmp_path: Path, liar: type[Lying], reasons: set[str]
) -> None:
    collector, expected = asyncio.run(trade(ring_name, tmp_path, liar))
    story = read_story(ring_name)
    assert {("0x" + transaction.hex(), index) for _, transaction, index in story.standing} == expected
    assert len(expected) >= 20
    failures = collector.statistics.endpoint_failures
    assert {key.removeprefix("127.0.0.1: ") for key in failures} & reasons, failures


class Misrouted(Honest):
    """Is connected with a node of another chain for a while, as by a balancer that is set up wrongly."""

    astray = True

    async def __call__(self, down: ServerConnection) -> None:
        await (foreign(down) if self.astray else super().__call__(down))


@pytest.mark.parametrize("fallback_serves", [True, False])
def test_collector_uses_an_endpoint_again_that_named_another_chain_for_a_while(
    ring_name: str, fallback_serves: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is taken back while the fallback serves, and is there when the fallback goes; or while none can be reached."""
    monkeypatch.setattr(choice, "FIRST_EXCLUSION_S", 0.5)

    async def run() -> None:
        warm_ring()
        warm_collector()
        async with RecordingNode(speed=200.0) as node:
            misrouted = Misrouted(node.ws_url)
            async with serve(misrouted, "127.0.0.1", 0) as first, serve(Honest(node.ws_url), "127.0.0.1", 0) as second:
                urls = tuple(f"ws://127.0.0.1:{next(iter(one.sockets)).getsockname()[1]}" for one in (first, second))
                collector = Collector(CollectorOptions(chain=CHAIN, urls=urls, ring=ring_name, watchdog_s=WATCHDOG_S))
                await follow(collector, misrouted, second)

    async def follow(collector: Collector, misrouted: Misrouted, second: Server) -> None:
        work = asyncio.create_task(collector.run())
        async with asyncio.timeout(60):
            while collector.statistics.excluded_endpoints == 0 or collector.statistics.safe_number < 13522298:
                await asyncio.sleep(0.05)
            before = collector.statistics.connections
            if not fallback_serves:
                second.close()
                while collector.statistics.feed_reason != "unreachable":
                    await asyncio.sleep(0.05)
            misrouted.astray = False
            while collector.statistics.excluded_endpoints:
                await asyncio.sleep(0.05)
            assert collector.statistics.connections == before, "it is asked beside the other's connection"
            second.close()
            while collector.statistics.connections == before or collector.statistics.endpoint:
                await asyncio.sleep(0.05)
        collector.stop()
        await work

    with caplog.at_level(logging.WARNING, "alphapulse.collector"):
        asyncio.run(run())
    assert read_story(ring_name).standing == canonical_events()
    lines = [line for line in told(caplog) if line.startswith("127.0.0.1 is ")]
    assert lines == [
        "127.0.0.1 is not used: expected chain 137 (polygon), found 1",
        "127.0.0.1 is used again: it serves the right chain",
    ]


def test_collector_of_which_all_endpoints_serve_another_chain_ends_and_says_so_of_each(
    ring_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        warm_ring()
        warm_collector()
        async with serve(foreign, "127.0.0.1", 0) as first, serve(foreign, "127.0.0.1", 0) as second:
            urls = tuple(f"ws://127.0.0.1:{next(iter(one.sockets)).getsockname()[1]}" for one in (first, second))
            async with asyncio.timeout(60):
                await Collector(CollectorOptions(chain=CHAIN, urls=urls, ring=ring_name)).run()

    with caplog.at_level(logging.WARNING, "alphapulse.collector"), pytest.raises(WrongChainError, match="found 1"):
        asyncio.run(run())
    assert told(caplog) == ["127.0.0.1 is not used: expected chain 137 (polygon), found 1"] * 2


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
                endpoints = Endpoints(options.urls, threshold=3, open_s=1.5)
                collector._endpoints = collector._said._endpoints = collector._others._endpoints = endpoints
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
