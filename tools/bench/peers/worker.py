"""A process of a peer: obeys orders until it is told that there are no more.

Owns the timed loops, the same for every peer, and the check of what arrives.  `BLOCK` payloads that differ are sent
over and over; before a stretch is timed one block is compared payload by payload, and while it is timed every
`STRIDE`th payload is: whatever was lost, doubled or overwritten before it would have moved it.

    process 0    opens its sender    for each size: a block to warm up    blocks until the time is up, END
    the others   open their ends                    compare all of it     receive until END

Times are CLOCK_MONOTONIC, which all processes share: a rate counts from the sender's first timed frame to the moment at
which a receiver has the last.
"""

from __future__ import annotations

import importlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from itertools import repeat
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from tlv.units import NS
from tools.bench.peers.ends import (
    BACK,
    BATCH,
    BLOCK,
    END,
    THERE,
    Content,
    ReceivingEnd,
    SendingEnd,
    Transport,
    TurnSetting,
)
from tools.command.parent import request_death_signal

STRIDE = 64
PING, STREAM, BATCHES = "ping", "stream", "batches"
clock = time.monotonic_ns


class TurnOrder(NamedTuple):
    """One turn: a topology, all payload sizes one after the other."""

    kind: str
    sizes: tuple[int, ...]
    readers: int
    seconds: float
    """Of each size."""
    spin: bool


class PeerFailure(NamedTuple):
    """What a process says before it ends."""

    reason: str


class WrongContent(Exception):
    """A payload that is not the one that was sent in its place."""


def payloads_of(size: int) -> list[bytes]:
    """`BLOCK` payloads of `size` bytes, no two alike: the number of each, and again, up to its size."""
    return [(number.to_bytes(8, "little") * (size // 8 + 1))[:size] for number in range(BLOCK)]


def serve(connection: Connection, module: str, made: Any, index: int, core: int) -> None:
    """The life of process `index` of a peer."""
    leave_signals_to_parent()
    try:
        connection.send(pinned_to(core))
        transport: Transport = importlib.import_module(module).TRANSPORT
        while (order := connection.recv()) is not None:
            act(transport, made, index, order, connection)
    except Exception as error:  # noqa: BLE001 - foreign libraries: whatever it is becomes the peer's reason
        connection.send(PeerFailure(f"{type(error).__name__}: {error}"))


def leave_signals_to_parent() -> None:
    """From here on this process ends when its parent does, and ignores Ctrl-C, which is its parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    request_death_signal()


def pinned_to(core: int) -> bool:
    """Keep this process and its threads to come on one core; false if that is not permitted, or `core` is -1."""
    try:
        os.sched_setaffinity(0, {core})
    except (OSError, ValueError):
        return False
    return True


def act(transport: Transport, made: Any, index: int, order: TurnOrder, connection: Connection) -> None:
    """One turn."""
    there = TurnSetting(THERE, order.readers, order.spin, order.kind == PING)
    back = there._replace(channel=BACK)
    sending: SendingEnd | None = None
    receiving: ReceivingEnd | None = None
    if index == 0:
        sending = transport.sender(made, there)
    else:
        receiving = transport.receiver(made, there, index - 1)
        if order.kind == PING:
            sending = transport.sender(made, back)
    connection.send("open")
    connection.recv()
    if index == 0 and order.kind == PING:
        receiving = transport.receiver(made, back, 0)
    if sending is not None:
        sending.ready()
    for size in order.sizes:
        connection.recv()
        payloads = payloads_of(size)
        if sending is not None and receiving is not None:
            play = ping if index == 0 else answer
            play(sending.one, receiving.one, payloads, order.seconds, connection)
        elif sending is not None and order.kind == BATCHES:
            batches = [payloads[at : at + BATCH] for at in range(0, BLOCK, BATCH)]
            send_stream(sending.many, batches, [END], order.seconds, connection)
        elif sending is not None:
            send_stream(sending.one, payloads, END, order.seconds, connection)
        elif receiving is not None and order.kind == BATCHES:
            receive_batches(receiving.many, payloads, connection)
        elif receiving is not None:
            receive_stream(receiving.one, payloads, connection)
    for end in (receiving, sending):
        if end is not None:
            end.close()
    connection.send("closed")


# ---- ping-pong


def ping(
    send: Callable[[bytes], object],
    receive: Callable[[], Content],
    payloads: list[bytes],
    seconds: float,
    connection: Connection,
) -> None:
    """Send, wait for the answer, and so on; sends ns of the round trips.  The first stretch is not timed."""
    stretches = [payloads[at : at + STRIDE] for at in range(0, BLOCK, STRIDE)]
    for payload in stretches[0]:
        send(payload)
        check(receive(), payload)
    connection.send("warm")
    connection.recv()
    took: list[int] = []
    note = took.append
    deadline = clock() + int(seconds * NS)
    turn = 0
    while clock() < deadline:
        turn = (turn + 1) % len(stretches)
        before = clock()
        for payload in stretches[turn]:
            send(payload)
            answered = receive()
            now = clock()
            note(now - before)
            before = now
        check(answered, payload)
    send(END)
    connection.send(took)


def answer(
    send: Callable[[bytes], object],
    receive: Callable[[], Content],
    payloads: list[bytes],
    seconds: float,
    connection: Connection,
) -> None:
    """The other process of `ping`: for each payload its own copy of the same."""
    stretches = [payloads[at : at + STRIDE] for at in range(0, BLOCK, STRIDE)]
    for payload in stretches[0]:
        check(receive(), payload)
        send(payload)
    connection.send("warm")
    turn = 0
    while len(received := receive()) != len(END):
        turn = (turn + 1) % len(stretches)
        check(received, stretches[turn][0])
        send(stretches[turn][0])
        for payload in stretches[turn][1:]:
            receive()
            send(payload)
    connection.send(None)


# ---- one call per frame


def send_stream(
    send: Callable[[Any], object], parts: Sequence[Any], end: Any, seconds: float, connection: Connection
) -> None:
    """Send blocks for `seconds`, each as these parts, payloads or batches of them, and then `end`; sends (frames, when
    the first was sent)."""
    for part in parts:
        send(part)
    connection.send("warm")
    connection.recv()
    frames = 0
    begin = clock()
    deadline = begin + int(seconds * NS)
    while clock() < deadline:
        for part in parts:
            send(part)
        frames += BLOCK
    send(end)
    connection.send((frames, begin))


def receive_stream(receive: Callable[[], Content], payloads: list[bytes], connection: Connection) -> None:
    """Receive blocks until the end; sends (frames, when it came)."""
    for payload in payloads:
        check(receive(), payload)
    connection.send("warm")
    heads = payloads[::STRIDE]
    frames = 0
    while True:
        for head in heads:
            received = receive()
            if received != head:
                if head is payloads[0] and len(received) == len(END):
                    connection.send((frames, clock()))
                    return
                check(received, head)
            for _ in repeat(None, STRIDE - 1):
                receive()
        frames += BLOCK


# ---- batches


def receive_batches(
    receive: Callable[[int], tuple[int, Content]], payloads: list[bytes], connection: Connection
) -> None:
    """`receive_stream` with as many frames a call as there are; compares the first of each."""
    block(receive, payloads)
    connection.send("warm")
    frames = 0
    while block(receive, payloads):
        frames += BLOCK
    connection.send((frames, clock()))


def block(receive: Callable[[int], tuple[int, Content]], payloads: list[bytes]) -> bool:
    """Receive one block, or `END`, which returns false."""
    at = 0
    while at < BLOCK:
        count, first = receive(BLOCK - at)
        if at == 0 and len(first) == len(END):
            return False
        check(first, payloads[at])
        at += count
    return True


def check(received: Content, sent: bytes) -> None:
    """Compare in full.

    Raises:
        WrongContent: another length or other bytes.
    """
    if received == sent:
        return
    if not isinstance(received, bytes | memoryview):
        raise WrongContent(f"expected {len(sent)} B, found {received!r}")
    expected, found = (int.from_bytes(bytes(content[:8]), "little") for content in (sent, received))
    raise WrongContent(f"expected payload {expected} of {len(sent)} B, found {found} of {len(received)} B")
