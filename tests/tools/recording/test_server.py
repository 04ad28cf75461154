"""The recording node over real sockets: WebSocket and HTTP clients, pace, back-pressure, cuts and endings."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.client
import json
import math
import socket
import struct
from collections.abc import Coroutine
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tlv.errors import UsageError
from tools.recording import Faults, RecordingNode, bundled_recording

CANONICAL = bundled_recording() / "recording_2021-04-20_canonical_logs.jsonl.gz"
ALL_NOTIFICATIONS = 175 + 5136 + 85 + 43
PATIENCE_S = 30.0


def run(scene: Coroutine[Any, Any, None]) -> None:
    """Run a test's scene, bounded: a hang is a failure, not a hung suite."""

    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await scene

    asyncio.run(bounded())


async def ask(socket: ClientConnection, method: str, *params: Any) -> Any:
    """The answer to one call, before which notifications may arrive (and are dropped)."""
    await socket.send(json.dumps({"jsonrpc": "2.0", "id": method, "method": method, "params": params}))
    while True:
        message = json.loads(await socket.recv())
        if message.get("id") == method:
            return message.get("result", message.get("error"))


async def listen(url: str) -> ClientConnection:
    """A client that follows heads and logs; it asks for both before it reads an answer."""
    socket = await connect(url, compression=None, max_queue=4096)
    for params in (["newHeads"], ["logs", {}]):
        await socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": params}))
    return socket


def post(port: int, body: str, connection: http.client.HTTPConnection | None = None) -> Any:
    connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    return json.loads(content) if content else None


def port_of(node: RecordingNode) -> int:
    return int(node.http_url.rpartition(":")[2])


def test_node_max_speed_pushes_the_whole_recording_to_a_client() -> None:
    async def scene() -> None:
        async with RecordingNode(speed=math.inf) as node:
            client = await listen(node.ws_url)
            results = []
            while len(results) < ALL_NOTIFICATIONS:
                message = json.loads(await client.recv())
                results += [message["params"]["result"]] if "params" in message else []
            await node.ended()
            assert node.counts.notifications == ALL_NOTIFICATIONS
            assert sum("topics" in result for result in results) == 5136 + 85 + 43
            assert await ask(client, "eth_blockNumber") == hex(13522298)

    run(scene())


def test_node_with_a_rate_pushes_one_notification_at_a_time() -> None:
    """However fast the recording is played, and however late a timer is: no faster than the rate on the average."""

    async def scene() -> None:
        async with RecordingNode(speed=math.inf, rate=400.0) as node:
            client = await listen(node.ws_url)
            loop, times = asyncio.get_running_loop(), []
            while len(times) < 300:
                if "params" in json.loads(await client.recv()):
                    times.append(loop.time())
            assert times[-1] - times[0] >= (299 - 40) / 400, "a tenth of a second may be caught up"
            assert node.counts.steps < 60, "the blocks behind it have to wait"

    run(scene())


def test_node_waits_for_heads_and_logs_before_time_begins() -> None:
    async def scene() -> None:
        async with RecordingNode(speed=math.inf) as node, connect(node.ws_url, max_queue=None) as client:
            assert await ask(client, "eth_chainId") == "0x89"
            await ask(client, "eth_subscribe", "newHeads")
            await asyncio.sleep(0.1)
            assert node.counts.steps == 0
            await ask(client, "eth_subscribe", "logs")
            await node.ended()

    run(scene())


def test_node_one_subscription_alone_starts_time_after_a_while() -> None:
    async def scene() -> None:
        async with RecordingNode(speed=math.inf) as node, connect(node.ws_url, max_queue=None) as client:
            await ask(client, "eth_subscribe", "newHeads")
            await node.ended()
            assert node.counts.notifications == 175

    run(scene())


def test_node_start_now_runs_without_anybody() -> None:
    async def scene() -> None:
        async with RecordingNode(speed=math.inf, start="now") as node:
            await node.ended()
            assert node.head_number == 13522298

    run(scene())


def test_node_speed_follows_the_recorded_clock() -> None:
    async def scene() -> None:
        async with RecordingNode(speed=100.0) as node:
            client = await listen(node.ws_url)
            loop = asyncio.get_running_loop()
            await client.recv()
            began = loop.time()
            while node.head_number < 13522169:
                await client.recv()
            assert loop.time() - began >= 1.1  # the first session lasts 119 recorded seconds

    run(scene())


def test_node_finite_speed_goes_on_while_the_client_is_away() -> None:
    async def scene() -> None:
        async with RecordingNode(speed=50.0) as node:
            client = await listen(node.ws_url)
            await client.recv()
            await client.close()
            seen = node.head_number
            while node.head_number < seen + 10:
                await asyncio.sleep(0.01)

    run(scene())


def test_node_max_speed_stands_still_while_nobody_listens() -> None:
    async def scene() -> None:
        async with RecordingNode(speed=math.inf, faults=Faults(disconnects=1, seed=4)) as node:
            client = await listen(node.ws_url)
            with pytest.raises(ConnectionClosed):
                while True:
                    await client.recv()
            await asyncio.sleep(0.1)
            steps = node.counts.steps
            await asyncio.sleep(0.1)
            assert node.counts.steps == steps < len(node.recording.steps)
            again = await listen(node.ws_url)
            await node.ended()
            again.transport.abort()

    run(scene())


def test_node_max_speed_waits_for_a_client_that_does_not_read() -> None:
    async def scene() -> None:
        async with RecordingNode(speed=math.inf, at_end="loop") as node:
            client = await connect(node.ws_url, compression=None, max_queue=4)
            await client.send('{"id":1,"method":"eth_subscribe","params":["newHeads"]}')
            await client.send('{"id":2,"method":"eth_subscribe","params":["logs"]}')
            before, steps = -1, 0
            while before != steps or not steps:
                before = steps
                await asyncio.sleep(0.3)
                steps = node.counts.steps
            for _ in range(2 * ALL_NOTIFICATIONS):
                await client.recv()
            assert node.counts.steps > steps
            client.transport.abort()

    run(scene())


def test_node_max_speed_plays_on_when_a_client_that_does_not_read_is_gone() -> None:
    async def scene() -> None:
        async with RecordingNode(speed=math.inf, at_end="loop") as node:
            client = await listen(node.ws_url)
            client.transport.pause_reading()
            before, steps = -1, 0
            while before != steps or not steps:  # until it waits for the client
                before = steps
                await asyncio.sleep(0.2)
                steps = node.counts.steps
            reset = struct.pack("ii", 1, 0)  # SO_LINGER for no time: what is unsent is dropped
            client.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            client.transport.abort()
            other = await listen(node.ws_url)
            while "params" not in json.loads(await other.recv()):
                pass
            other.transport.abort()

    run(scene())


def test_node_finite_speed_drops_a_client_that_does_not_read() -> None:
    async def scene() -> None:
        async with RecordingNode(speed=1e6, at_end="loop") as node:
            client = await connect(node.ws_url, compression=None, max_queue=4)
            for kind in ("newHeads", "logs"):
                await client.send(json.dumps({"id": 1, "method": "eth_subscribe", "params": [kind]}))
            told = -1
            while told != node.counts.notifications or not told:
                told = node.counts.notifications
                await asyncio.sleep(0.2)
            steps = node.counts.steps
            with pytest.raises(ConnectionClosed):
                while True:
                    await client.recv()
            assert node.counts.steps > steps

    run(scene())


def test_node_cut_clients_can_rebuild_the_canonical_set() -> None:
    async def scene() -> None:
        wanted = [json.loads(line) for line in gzip.decompress(CANONICAL.read_bytes()).splitlines()]
        faults = Faults(disconnects=30, duplicate=0.1, reorder=0.2, seed=11)
        codes = set()
        async with RecordingNode(speed=math.inf, faults=faults) as node:
            ended = asyncio.ensure_future(node.ended())
            while not ended.done():
                client = await listen(node.ws_url)
                reading = asyncio.ensure_future(read_to_the_close(client))
                await asyncio.wait((ended, reading), return_when=asyncio.FIRST_COMPLETED)
                if reading.done():
                    codes.add(reading.result())
                else:
                    await client.close()
                    await reading
            assert node.counts.disconnects == 30
            async with connect(node.ws_url, max_size=None) as client:
                assert await ask(client, "eth_getLogs", {"fromBlock": "0x0"}) == wanted
        assert {1000, 1001, 1006} <= codes

    async def read_to_the_close(client: ClientConnection) -> int:
        try:
            while True:
                await client.recv()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006

    run(scene())


def test_node_two_clients_get_the_same_notifications() -> None:
    async def scene() -> None:
        async with RecordingNode(speed=math.inf) as node:
            first = await connect(node.ws_url, max_queue=4096)
            await ask(first, "eth_subscribe", "newHeads")
            second = await listen(node.ws_url)
            heads = [json.loads(await first.recv())["params"]["result"] for _ in range(175)]
            told = [json.loads(await second.recv()) for _ in range(2 + ALL_NOTIFICATIONS)]
            results = [message["params"]["result"] for message in told if "params" in message]
            assert heads == [result for result in results if "parentHash" in result]

    run(scene())


def test_node_at_end_close_closes_connections_and_port() -> None:
    async def scene() -> None:
        async with RecordingNode(speed=math.inf, at_end="close") as node:
            client = await listen(node.ws_url)
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    await client.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
            with pytest.raises(OSError, match="onnect"):
                await connect(node.ws_url)

    run(scene())


def test_node_at_end_loop_begins_again() -> None:
    async def scene() -> None:
        async with RecordingNode(speed=math.inf, at_end="loop") as node:
            client = await listen(node.ws_url)
            for _ in range(2 * ALL_NOTIFICATIONS):
                await client.recv()
            assert node.counts.steps > len(node.recording.steps)
            client.transport.abort()

    run(scene())


def test_node_http_answers_on_the_same_port_and_keeps_the_connection() -> None:
    async def scene() -> None:
        async with RecordingNode() as node:
            connection = http.client.HTTPConnection("127.0.0.1", port_of(node), timeout=60)
            for _ in range(2):
                answer = await asyncio.to_thread(
                    post, port_of(node), '{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber"}', connection
                )
                assert answer == {"jsonrpc": "2.0", "id": 1, "result": hex(13522111)}
            batch = '[{"id":1,"method":"eth_chainId"},{"id":2,"method":"eth_subscribe","params":["newHeads"]}]'
            answers = await asyncio.to_thread(post, port_of(node), batch, connection)
            assert answers[0]["result"] == "0x89"
            assert answers[1]["error"]["message"] == "notifications not supported"
            connection.close()

    run(scene())


def test_node_http_large_and_split_bodies_are_read_whole() -> None:
    async def scene() -> None:
        async with RecordingNode() as node:
            body = json.dumps(
                [{"id": n, "method": "eth_chainId", "params": ["x" * 1000]} for n in range(1000)]
            ).encode()
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(node))
            writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\ncontent-length: %d\r\n" % len(body))
            await asyncio.sleep(0.05)
            writer.write(b"\r\n" + body[:1000])
            await asyncio.sleep(0.05)
            writer.write(body[1000:])
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            assert head.startswith("HTTP/1.1 200 OK")
            length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
            assert len(json.loads(await reader.readexactly(length))) == 1000
            writer.close()

    run(scene())


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", b"411"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"426"),
        (b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n", b"405"),
    ],
)
def test_node_http_request_that_cannot_be_served_is_refused(request_head: bytes, status: bytes) -> None:
    async def scene() -> None:
        async with RecordingNode() as node:
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(node))
            writer.write(request_head)
            assert (await reader.readline()).split()[1] == status
            writer.close()

    run(scene())


@pytest.mark.parametrize("sent", [b"", b"POST / HTTP/1.1\r\nContent-Length: 50\r\n\r\n{", b"POST /" + b"x" * 40_000])
def test_node_client_that_leaves_in_the_middle_harms_nobody(sent: bytes) -> None:
    async def scene() -> None:
        async with RecordingNode() as node:
            with socket.create_connection(("127.0.0.1", port_of(node))) as rude:
                await asyncio.to_thread(rude.sendall, sent)
                await asyncio.sleep(0.05)
            async with connect(node.ws_url) as client:
                assert await ask(client, "net_version") == "137"

    run(scene())


def test_node_closes_with_silent_and_half_sent_connections_open() -> None:
    async def scene() -> None:
        node = RecordingNode()
        await node.open()
        silent = [await asyncio.open_connection("127.0.0.1", port_of(node)) for _ in range(2)]
        silent[1][1].write(b"POST / HTTP/1.1\r\nContent-Length: 50\r\n\r\n{")
        await asyncio.sleep(0.05)
        async with asyncio.timeout(2):
            await node.close()
        for reader, writer in silent:
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read(1) == b""
            writer.close()

    run(scene())


def test_node_closes_while_a_client_does_not_read() -> None:
    async def scene() -> None:
        node = RecordingNode(speed=math.inf, at_end="loop")
        await node.open()
        client = await connect(node.ws_url, compression=None, max_queue=4)
        for kind in ("newHeads", "logs"):
            await client.send(json.dumps({"id": 1, "method": "eth_subscribe", "params": [kind]}))
        while not node.counts.steps:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        async with asyncio.timeout(5):
            await node.close()
        client.transport.abort()

    run(scene())


def test_node_path_and_query_of_the_url_do_not_matter() -> None:
    async def scene() -> None:
        async with RecordingNode() as node, connect(f"{node.ws_url}/v2/key?x=1") as client:
            assert await ask(client, "eth_chainId") == "0x89"

    run(scene())


def test_node_serves_ethereum_blocks_as_a_second_chain() -> None:
    async def scene() -> None:
        async with RecordingNode(bundled_recording("ethereum"), speed=math.inf) as node:
            client = await listen(node.ws_url)
            told = [json.loads(await client.recv()) for _ in range(2 + 12 + 5116)]
            heads = [m["params"]["result"] for m in told if "parentHash" in m.get("params", {}).get("result", {})]
            assert [int(head["number"], 16) for head in heads] == list(range(17686110, 17686122))
            assert await ask(client, "eth_chainId") == "0x1"

    run(scene())


@pytest.mark.parametrize("speed", [0.0, -1.0, math.nan])
def test_node_speed_that_is_none_is_refused(speed: float) -> None:
    with pytest.raises(UsageError, match="speed: expected more than 0"):
        RecordingNode(speed=speed)
