"""From bytes to messages, however the network cuts them."""

from __future__ import annotations

import asyncio
import re
import socket
from itertools import combinations

from websockets.client import ClientProtocol
from websockets.uri import parse_uri
from websockets.utils import accept_key

from producers.node.connection import FINAL_TEXT, MAX_MESSAGE, NodeConnection

MESSAGES = [b"first" * 20, b"second" * 20]
FRAMES = b"".join(bytes([FINAL_TEXT, len(text)]) + text for text in MESSAGES)


async def received_cut_at(*cuts: int) -> tuple[list[bytes], int]:
    """What goes to the sink of a response to the handshake and two messages, cut at these places; the bytes sent."""
    received: list[bytes] = []
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, connection = await loop.create_connection(
        lambda: NodeConnection(received.extend, MAX_MESSAGE, ClientProtocol(parse_uri("ws://127.0.0.1/"))), sock=ours
    )
    shaking = loop.create_task(connection.handshake())
    request = await loop.sock_recv(theirs, 4096)
    key = re.search(rb"Sec-WebSocket-Key: (\S+)", request)
    assert key is not None
    answer = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key[1].decode())}\r\n\r\n"
    )
    sent = answer.encode() + FRAMES
    for begin, end in zip((0, *cuts), (*cuts, len(sent)), strict=True):
        connection.data_received(sent[begin:end])
    await shaking
    transport.abort()
    theirs.close()
    return received, len(sent)


def test_messages_behind_the_handshakes_response_come_wherever_the_two_are_cut() -> None:
    async def run() -> None:
        received, size = await received_cut_at()
        assert received == MESSAGES, "all in one piece"
        end = size - len(FRAMES)
        for cuts in combinations(range(end - 4, end + 5), 2):
            assert (await received_cut_at(*cuts))[0] == MESSAGES, f"cut at {cuts}, the response ends at {end}"
        assert (await received_cut_at(*range(1, size)))[0] == MESSAGES, "byte for byte"

    asyncio.run(run())
