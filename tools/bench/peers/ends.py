"""What a transport is to the rounds: how it is made, and its two ends.

Owns the words that all peers share.  It must never know a peer.  An end is a tuple of functions, so that a turn calls
what the peer's own library offers with nothing in between where that is possible.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

THERE, BACK = "there", "back"
"""The two channels of a turn; only a ping-pong uses the second."""
READERS = 3
BATCH = 128
"""Frames of a batch, where the peer has batches; 1 KiB each fit one packet of a Unix socket's usual buffer."""
BLOCK = 1024
"""Payloads that differ; they are sent over and over."""
END = b"."
"""What ends a stream.  No payload is as short."""

Content = bytes | memoryview


class SendingEnd(NamedTuple):
    """The end that sends."""

    one: Callable[[bytes], object]
    many: Callable[[list[bytes]], object]
    """Of `BATCH` payloads, or of `END` alone; `one` after the other where the peer has no batches."""
    ready: Callable[[], object]
    """Return when every receiver is attached."""
    close: Callable[[], object]


class ReceivingEnd(NamedTuple):
    """The end that receives; both calls wait."""

    one: Callable[[], Content]
    """The next payload, valid until the next call."""
    many: Callable[[int], tuple[int, Content]]
    """How many payloads came, at most so many, and the first of them."""
    close: Callable[[], object]


class TurnSetting(NamedTuple):
    """How a turn is held."""

    channel: str
    readers: int
    spin: bool
    """Each process has a core, so that an end may poll; else it yields or sleeps between two looks."""
    quick_answer: bool
    """A ping-pong: where a peer can trade throughput for delay, it does."""


class Transport(NamedTuple):
    """A peer.  `make` runs before its processes start; what it returns goes to each of them, and to `clean` at the end.

    `clean` must remove whatever processes leave that were killed.
    """

    name: str
    library: str
    """Top package that must be importable; empty for the standard library and ourselves."""
    how: str
    three: str
    """How three readers each get all."""
    batches: str
    """What a batch is; empty where the peer has none."""
    make: Callable[[Path], Any]
    sender: Callable[[Any, TurnSetting], SendingEnd]
    receiver: Callable[[Any, TurnSetting, int], ReceivingEnd]
    clean: Callable[[Any], None]


def nothing(*_: object) -> None:
    """Where there is nothing to wait for, close or clean."""


def to_each(calls: Sequence[Callable[[Any], object]]) -> Callable[[Any], None]:
    """One call that makes all of `calls`, for peers that know no broadcast."""

    def send(what: object) -> None:
        for call in calls:
            call(what)

    return send


def one_by_one(one: Callable[[bytes], object]) -> Callable[[list[bytes]], None]:
    """`SendingEnd.many` of a peer without batches."""

    def many(payloads: list[bytes]) -> None:
        for payload in payloads:
            one(payload)

    return many


def single(one: Callable[[], Content]) -> Callable[[int], tuple[int, Content]]:
    """`ReceivingEnd.many` of a peer without batches."""
    return lambda most: (1, one())
