"""The way of one log from its socket frame to its ring message: how many calls, and how often they change the file.

A move is a call of a function in another file than that of the call before it; returns are none.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median_low
from types import FrameType
from typing import Any, NamedTuple

from websockets.client import ClientProtocol
from websockets.uri import parse_uri

import ringbuf
from producers.assembly import Assembly
from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from producers.node.connection import MAX_MESSAGE, NodeConnection
from producers.node.frames import FINAL_TEXT
from tests.producers.virtual import Conversation, new_feed
from tools.warm import warm_collector, warm_ring

PRODUCERS = str(Path(__file__).parents[2] / "producers") + "/"
RING_WRITER = str(Path(ringbuf.__file__).parent / "writer.py")
URL = "ws://127.0.0.1:1"
MOST_MOVES = 20
WARM_STEPS = 30
"""Of the recording: by then most pools are verified, and blocks are open when their logs come."""


class Way(NamedTuple):
    """The functions of `producers` that were called, as (file, name), in order."""

    calls: list[tuple[str, str]]

    @property
    def moves(self) -> int:
        """Calls of a function in another file than that of the call before."""
        return sum(before[0] != after[0] for before, after in pairwise(self.calls))

    @property
    def files(self) -> int:
        return len({file for file, _ in self.calls})


def traced(work: Callable[[], Any]) -> Way:
    """What `work` calls, up to its first call of the ring's writer."""
    calls: list[tuple[str, str]] = []

    def trace(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        in_writer = event == "call" and code.co_filename == RING_WRITER
        if in_writer or (event == "c_call" and getattr(argument, "__name__", "") == "publish"):
            sys.setprofile(None)  # the message is in the ring
        if event == "call" and code.co_filename.startswith(PRODUCERS) and not code.co_name.startswith("<"):
            calls.append((code.co_filename.removeprefix(PRODUCERS), code.co_name))

    sys.setprofile(trace)
    try:
        work()
    finally:
        sys.setprofile(None)
    return Way(calls)


def as_socket_data(text: bytes) -> bytes:
    """A text frame as a server sends it (RFC 6455, section 5.2)."""
    size = len(text)
    assert 126 <= size < 1 << 16
    return bytes([FINAL_TEXT, 126]) + size.to_bytes(2, "big") + text


async def ways_of_published_logs(ring: str) -> list[Way]:
    """Of each log that came alone, was an event of a pool that readers know, and went into the ring at once."""
    collector = Collector(CollectorOptions(chain=load_chain("polygon"), urls=(URL,), ring=ring))
    connection = NodeConnection(collector._receive, MAX_MESSAGE, ClientProtocol(parse_uri(URL)))
    connection._framed = True  # the handshake is over
    conversation = Conversation(collector._feed)
    conversation.now_ns = time.monotonic_ns()
    conversation.connect()
    for _ in range(WARM_STEPS):
        conversation.step()
    stats, ways = collector._feed.stats, []
    while conversation.core.due_ns is not None and len(ways) < 50:
        for delivery in conversation.core.step():
            for text in delivery.texts if delivery.client == conversation.client else ():
                data, before, sequence = as_socket_data(text), stats.events_published, collector._writer.next_sequence
                way = traced(lambda data=data: connection.data_received(data))  # type: ignore[misc]
                if stats.events_published == before + 1 and collector._writer.next_sequence == sequence + 1:
                    ways.append(way)
                conversation.exchange()
    collector._writer.close()
    return ways


def test_log_from_socket_frame_to_ring_message_moves_between_few_files(
    ring_name: str, tell: Callable[[str], None]
) -> None:
    warm_ring()
    warm_collector()
    ways = asyncio.run(ways_of_published_logs(ring_name))
    assert len(ways) >= 20
    usual = median_low(way.moves for way in ways)
    way = next(way for way in ways if way.moves == usual)
    tell(f"one log, socket to ring: {len(way.calls)} calls, {way.moves} moves between {way.files} files of producers")
    assert way.calls[0] == ("node/connection.py", "data_received")
    assert ("decode/batch.py", "decode") in way.calls
    assert way.moves <= MOST_MOVES, "\n".join(f"{file} {name}" for file, name in way.calls)


def test_advance_of_a_feed_with_nothing_to_do_calls_nothing() -> None:
    conversation = Conversation(new_feed())
    conversation.connect()
    conversation.play()
    conversation.wait(30)
    assert conversation.feed.settled
    assembly = conversation.feed._assembly
    assert isinstance(assembly, Assembly)
    # the agenda of emitters that stay unproven is looked at, and holds nothing that is due
    assert traced(assembly.advance).calls == [("assembly.py", name) for name in ("advance", "publish", "end", "_judge")]
