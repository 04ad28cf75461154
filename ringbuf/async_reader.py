"""A reader in an asyncio program.

Owns one thread and one eventfd a reader: the thread sleeps on the ring's futex while somebody waits, and rings; the
loop watches the descriptor.  The thread must never read a frame: whatever is cancelled has taken nothing, so nothing is
lost or repeated.  It is started by the first wait that finds nothing to read.

`asyncio.to_thread(reader.wait, ...)` takes a thread of the loop's pool for each wait, and a wait that is cancelled
keeps it until its time is over.
"""

from __future__ import annotations

import asyncio
import os
import threading
from types import TracebackType
from typing import Any, Self

from ringbuf import kernels
from ringbuf.atomics import futex_wake
from ringbuf.errors import RingOrphaned
from ringbuf.layout import CLOSED as CLOSED_STATE
from ringbuf.layout import EPOCH, STATE, TAIL, WAKE
from ringbuf.poll import Frame, Loss
from ringbuf.reader import CHECK_EVERY_S, SLEEP_SLICE_NS, Reader
from ringbuf.status import Status, Wait
from tlv.arguments import check_seconds

TURN_EVERY = 64
"""Frames after which a loop that has more to do gets its turn, at 20 us or less."""


class ReaderBell:
    """The thread of one reader and the descriptor that it rings, of one process."""

    def __init__(self, reader: Reader) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.pid = os.getpid()
        self._reader = reader
        self._wanted = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=f"bell of {reader.name}", daemon=True)
        self._thread.start()

    def want(self) -> None:
        """Ring once there is something to read."""
        self._wanted.set()

    def end(self) -> None:
        """End the thread, in a moment; in a forked child, which has none, only close the descriptor."""
        self._ended = True
        if self.pid == os.getpid():
            self._wanted.set()
            futex_wake(self._reader.words, WAKE)
            self._thread.join()
        os.close(self.fd)

    def _run(self) -> None:
        reader = self._reader
        while not self._ended:
            self._wanted.wait()
            self._wanted.clear()
            while not self._ended and not something_new(reader):
                kernels.sleep_on(reader.words, reader.control, reader.state, SLEEP_SLICE_NS)
            if not self._ended:
                os.eventfd_write(self.fd, 1)


def something_new(reader: Reader) -> bool:
    """Whether the ring moved: frames, another writer, or its end."""
    words = reader.words
    return (
        kernels.get_word(words, TAIL) != reader.position
        or kernels.get_word(words, EPOCH) != reader.epoch
        or kernels.get_word(words, STATE) == CLOSED_STATE
    )


class AsyncWaiter:
    """Waits for one reader without blocking the loop.  The reader stays its owner's; `close` ends the thread.

    One waits at a time.  A loop that watches no descriptors gets a thread of its pool instead.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._bell: ReaderBell | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rung: asyncio.Future[None] | None = None

    async def wait(self, timeout_s: float | None = None) -> Status:
        """As `Reader.wait`; cancelled, it has changed nothing."""
        loop = asyncio.get_running_loop()
        if not watches_descriptors(loop):
            return await asyncio.to_thread(self.reader.wait, timeout_s, Wait.FUTEX)
        until = None if timeout_s is None else loop.time() + check_seconds("timeout_s", timeout_s)
        while (status := self.reader.look()) is Status.EMPTY:
            left = CHECK_EVERY_S if until is None else min(until - loop.time(), CHECK_EVERY_S)
            if left <= 0:
                break
            await self._ring(loop, left)
        return status

    def close(self) -> None:
        """End the thread.  Whoever waits finds the reader as it is, within `CHECK_EVERY_S`."""
        if self._bell is not None:
            if self._loop is not None and not self._loop.is_closed() and self._bell.pid == os.getpid():
                self._loop.remove_reader(self._bell.fd)
            self._bell.end()
        self._bell = self._loop = None

    async def _ring(self, loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        """Until the bell rings, or for `timeout_s`."""
        if self._bell is None or self._bell.pid != os.getpid() or self._loop is not loop:
            self.close()  # the first wait, one in a forked child, or one of another loop
            self._bell, self._loop = ReaderBell(self.reader), loop
            loop.add_reader(self._bell.fd, self._on_ring, self._bell.fd)
        rung = self._rung = loop.create_future()
        timer = loop.call_later(timeout_s, set_done, rung)
        self._bell.want()
        try:
            await rung
        finally:
            timer.cancel()

    def _on_ring(self, fd: int) -> None:
        os.eventfd_read(fd)
        assert self._rung is not None, "it rings for who waits"
        set_done(self._rung)


def watches_descriptors(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the loop has `add_reader`, which a simulated one has not."""
    return type(loop).add_reader is not asyncio.AbstractEventLoop.add_reader


def set_done(future: asyncio.Future[None]) -> None:
    """End a wait, unless it ended already."""
    if not future.done():
        future.set_result(None)


class AsyncReader:
    """`async for item in AsyncReader.attach(name)`: each Frame, and each Loss where its frames would have come, until
    the ring is closed.

    An iteration that is cancelled, between two frames or within a wait, has taken nothing: the next one goes on where
    it stood.  A payload is valid until the next item.  A dead or stale writer is waited for: another may take over.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.waiter = AsyncWaiter(reader)
        self._since_turn = 0

    @classmethod
    def attach(cls, name: str, **options: Any) -> Self:
        """What `Reader.attach` does, with its options."""
        return cls(Reader.attach(name, **options))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Frame | Loss:
        """Raises RingOrphaned, CorruptRing, RingClosed."""
        reader = self.reader
        self._since_turn += 1
        if self._since_turn >= TURN_EVERY:
            self._since_turn = 0
            await asyncio.sleep(0)
        while True:
            item = reader.take()
            if isinstance(item, memoryview):
                return Frame(reader.frame_sequence, reader.frame_time_ns, reader.frame_kind, item)
            if item is not None:
                return item
            if reader.taken is Status.CLOSED:
                raise StopAsyncIteration
            if await self.waiter.wait() is Status.ORPHANED:
                raise RingOrphaned(f"ring {reader.name}: its name is gone or means another ring; attach again")

    def close(self) -> None:
        """End the thread, and leave the ring."""
        self.waiter.close()
        self.reader.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
