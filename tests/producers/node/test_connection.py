"""From bytes to messages, however the network cuts them."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from itertools import combinations
from random import Random

import numpy as np
import pytest
from websockets.client import ClientProtocol
from websockets.uri import parse_uri
from websockets.utils import accept_key

from producers.node.connection import BURST, MAX_MESSAGE, MOST_PLAIN, NodeConnection
from producers.node.frames import FINAL_TEXT, cut_plain_frames

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


def framed(text: bytes, first: int = FINAL_TEXT) -> bytes:
    """A frame as a server sends it."""
    if len(text) < 126:
        return bytes([first, len(text)]) + text
    size = len(text).to_bytes(2, "big") if len(text) < 1 << 16 else len(text).to_bytes(8, "big")
    return bytes([first, 126 if len(size) == 2 else 127]) + size + text


async def split_in_pieces(data: bytes, piece: int) -> list[bytes]:
    received: list[bytes] = []
    connection = NodeConnection(received.extend, MAX_MESSAGE, ClientProtocol(parse_uri("ws://127.0.0.1/")))
    connection._framed = True  # the handshake is over
    for at in range(0, len(data), piece):
        connection.data_received(data[at : at + piece])
    return received


def test_messages_of_a_burst_are_those_of_the_same_bytes_in_small_pieces() -> None:
    rng = Random(1)
    sizes = (0, 1, 125, 126, 800, 800, 800, 65_535, 65_536, 70_000)
    texts = [bytes([97 + rng.randrange(26)]) * rng.choice(sizes) for _ in range(150)]
    texts += [b"%d" % number for number in range(MOST_PLAIN + BURST)]
    data = b"".join(map(framed, texts))
    for piece in (1 << 12, BURST + 1, 1 << 18, len(data)):
        assert asyncio.run(split_in_pieces(data, piece)) == texts


@pytest.mark.parametrize("form", [cut_plain_frames, getattr(cut_plain_frames, "py_func", cut_plain_frames)])
def test_kernel_stops_in_front_of_a_frame_that_is_not_plain_and_whole(form: Callable[..., tuple[int, int]]) -> None:
    begins, ends = np.empty((2, 4), dtype=np.int64)
    plain = framed(b"a") + framed(b"b" * 300)
    huge = bytes([FINAL_TEXT, 127]) + (1 << 63).to_bytes(8, "big")
    others = (framed(b"ping", 0x89), framed(b"part", 0x01), bytes([FINAL_TEXT, 0x84]) + b"maskmore", huge)
    cut = [framed(b"c" * size)[:short] for size in (20, 300, 70_000) for short in (0, 1, 2, 3, 5, 9)]
    for rest in (*others, framed(b"c" * 301), *cut):
        found = form(np.frombuffer(plain + rest, dtype=np.uint8), 300, begins, ends)
        assert found == (2, len(plain)), rest[:12]
        assert (begins[:2].tolist(), ends[:2].tolist()) == ([2, 7], [3, 307])
    assert form(np.frombuffer(framed(b"a") * 9, dtype=np.uint8), 300, begins, ends) == (4, 12), "as many as have room"
