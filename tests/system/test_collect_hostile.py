"""Row 25 of the fault table over a real socket: a node that sends what no node should, to a collector that goes on.

The first endpoint does its worst, the second is the recording node: all events must be there in the end, the bad
messages counted, and the memory flat.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator

import pytest
from websockets.asyncio.server import ServerConnection, serve

from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from tests.producers.collected import canonical_events, read_story
from tools.recording import RecordingNode
from tools.rig.processes import resident_bytes
from tools.warm import warm_collector, warm_ring

MIB = 1 << 20
GROWTH_LIMIT = 32 * MIB


def frame(payload: bytes, first_byte: int = 0x81) -> bytes:
    """A server's WebSocket frame; the library would refuse to send some of these."""
    return bytes([first_byte, 127]) + len(payload).to_bytes(8, "big") + payload


def deflate_bomb() -> Iterator[bytes]:
    """A compressed frame (RSV1) though no compression was agreed on: 64 MiB of zeros in 64 kB."""
    yield frame(zlib.compress(bytes(64 * MIB)), 0xC1)


def giant() -> Iterator[bytes]:
    """One message of 64 MiB, announced honestly and sent as far as anybody takes it."""
    yield bytes([0x81, 127]) + (64 * MIB).to_bytes(8, "big")
    for _ in range(64):
        yield b"[" * MIB


def fragments() -> Iterator[bytes]:
    """The same as fragments that never end."""
    yield frame(b"[" * MIB, 0x01)
    for _ in range(63):
        yield frame(b"[" * MIB, 0x00)


def unusable() -> Iterator[bytes]:
    """Frames that are whole, small, and no JSON-RPC: more of them than the error budget allows."""
    texts = (
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"jsonrpc":"2.0","id":NaN,"result":"0x1"}',
        b'{"jsonrpc":"2.0","id":1e999,"result":Infinity}',
        b'{"id":998,"id":999,"result":"0x1","result":null}',
        b'{"method":"eth_subscription","params":{"subscription":"\\ud800","result":{"address":"\\udfff"}}}',
        b'{"method":"eth_subscription","params":{"subscription":7,"result":[]}}',
        b"\xff\xfe\x00{}",
        b"",
    )
    for _ in range(60):
        for text in texts:
            yield frame(text)


@pytest.mark.parametrize("attack", [deflate_bomb, giant, fragments, unusable])
def test_collector_attacked_by_its_node_stays_small_and_goes_on(ring_name, attack) -> None:  # type: ignore[no-untyped-def]
    asyncio.run(survive(ring_name, attack))
    assert read_story(ring_name).standing == canonical_events()


async def survive(ring: str, attack) -> None:  # type: ignore[no-untyped-def]
    warm_ring()
    warm_collector()
    payloads = list(attack())
    attacked = asyncio.Event()

    async def hostile(connection: ServerConnection) -> None:
        attacked.set()
        for payload in payloads:
            if connection.transport.is_closing():
                return
            connection.transport.write(payload)
            await asyncio.sleep(0)
            while connection.transport.get_write_buffer_size() > MIB and not connection.transport.is_closing():
                await asyncio.sleep(0.001)
        await connection.wait_closed()

    async with (
        serve(hostile, "127.0.0.1", 0, compression=None) as server,
        RecordingNode(speed=100.0) as node,
    ):
        port = next(iter(server.sockets)).getsockname()[1]
        chain = load_chain("polygon")
        collector = Collector(
            CollectorOptions(chain=chain, urls=(f"ws://127.0.0.1:{port}", node.ws_url), ring=ring, watchdog_s=1.0)
        )
        before, most = resident_bytes(), 0
        work = asyncio.create_task(collector.run())
        async with asyncio.timeout(60):
            while collector.statistics.connections < 2 and not work.done():
                most = max(most, resident_bytes())
                await asyncio.sleep(0.005)
            assert attacked.is_set()
            assert most - before < GROWTH_LIMIT
            if attack is unusable:
                assert sum(collector.statistics.rejected.values()) > 256
            while collector.statistics.safe_number < 13522298 and not work.done():
                await asyncio.sleep(0.05)
        collector.stop()
        await work
