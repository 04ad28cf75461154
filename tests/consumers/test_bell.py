"""The relay's waits: a bell rings once for each time it is armed; sockets are served beside a busy ring."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterator

import pytest

from consumers.relay.bell import Bell
from ringbuf import Reader, Writer
from tests.consumers.relay_rig import make_ring, publish, sequences, serving, take

PATIENCE_MS = 10_000


@pytest.fixture
def eventfd() -> Iterator[int]:
    fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    yield fd
    os.close(fd)


@pytest.fixture
def ring(ring_name: str) -> Iterator[tuple[Writer, Reader]]:
    with make_ring(ring_name) as writer, Reader.attach(ring_name) as reader:
        yield writer, reader


def rings(eventfd: int, patience_ms: int) -> bool:
    """Whether the bell rings within that time."""
    poll = select.poll()
    poll.register(eventfd, select.POLLIN)
    return bool(poll.poll(patience_ms))


def test_bell_armed_rings_once_and_unarmed_never(ring: tuple[Writer, Reader], eventfd: int) -> None:
    writer, reader = ring
    bell = Bell(reader, eventfd)
    publish(writer, 1)
    assert not rings(eventfd, 20)
    bell.arm(reader.position)
    assert rings(eventfd, PATIENCE_MS)
    assert os.eventfd_read(eventfd) == 1
    publish(writer, 1)
    assert not rings(eventfd, 20)
    bell.close()


def test_relay_serves_sockets_while_its_ring_never_falls_silent(ring_name: str) -> None:
    stop = threading.Event()
    with make_ring(ring_name) as writer, serving(ring_name) as rig:

        def speak() -> None:
            while not stop.wait(0.001):
                publish(writer, 1)

        speaker = threading.Thread(target=speak)
        speaker.start()
        try:
            with rig.client() as first:
                take(first, 1)
                for number in range(5):
                    with rig.client(name=f"late-{number}", start="oldest") as late:
                        assert sequences(take(late, 20)) == list(range(1, 21))
        finally:
            stop.set()
            speaker.join()
