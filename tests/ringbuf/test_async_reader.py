"""Readers in asyncio: nothing is lost or repeated by what is cancelled, and nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest

from ringbuf import Frame, Loss, Reader, RingClosed, RingOrphaned, Status, Writer
from ringbuf.async_reader import TURN_EVERY, AsyncReader, AsyncWaiter
from ringbuf.ring import unlink_ring

SMALL = 1 << 16


@pytest.fixture
def pair(ring_name: str) -> Iterator[tuple[Writer, AsyncReader]]:
    with Writer.create(ring_name, capacity=SMALL) as writer:
        reader = AsyncReader.attach(ring_name, stale_after_s=600)
        yield writer, reader
        reader.close()


def bells() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("bell of ")]


async def numbers(reader: AsyncReader, count: int) -> list[int]:
    found = []
    async for item in reader:
        assert isinstance(item, Frame)
        found.append(int.from_bytes(item.payload, "little"))
        if len(found) == count:
            break
    return found


def test_iteration_waits_for_frames_and_ends_with_the_ring(pair: tuple[Writer, AsyncReader]) -> None:
    writer, reader = pair

    async def publish() -> None:
        for number in range(2 * TURN_EVERY):
            writer.publish(number.to_bytes(2, "little"), number)
            if number % 5 == 0:
                await asyncio.sleep(0)
        writer.close()

    async def everything() -> list[tuple[int, int, int]]:
        published = asyncio.create_task(publish())
        items = [
            (item.sequence, item.kind, int.from_bytes(item.payload, "little"))
            async for item in reader
            if isinstance(item, Frame)
        ]
        await published
        return items

    assert asyncio.run(everything()) == [(n + 1, n, n) for n in range(2 * TURN_EVERY)]


def test_iteration_cancelled_at_any_moment_loses_and_repeats_nothing(pair: tuple[Writer, AsyncReader]) -> None:
    writer, reader = pair

    async def run() -> list[int]:
        found: list[int] = []

        async def read() -> None:
            async for item in reader:
                assert isinstance(item, Frame)
                found.append(int.from_bytes(item.payload, "little"))

        for number in range(60):
            task = asyncio.create_task(read())
            for _ in range(number % 4):
                await asyncio.sleep(0)
            writer.publish(number.to_bytes(2, "little"))
            for _ in range(number % 3):
                await asyncio.sleep(0)
            if number % 7 == 0:
                await asyncio.sleep(0.002)  # the bell may ring at the moment of the cancel
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        return found + await numbers(reader, 60 - len(found)) if len(found) < 60 else found

    assert asyncio.run(run()) == list(range(60))


def test_loss_comes_where_its_frames_would_have_come(pair: tuple[Writer, AsyncReader]) -> None:
    writer, reader = pair
    for _ in range(100):
        writer.publish(bytes(1000))

    async def first_two() -> list[object]:
        return [await anext(reader), await anext(reader)]

    loss, frame = asyncio.run(first_two())
    assert isinstance(loss, Loss) and isinstance(frame, Frame)
    assert (loss.first, loss.last + 1) == (1, frame.sequence)


def test_waiter_tells_time_and_end(pair: tuple[Writer, AsyncReader]) -> None:
    writer, reader = pair

    async def run() -> list[Status]:
        found = [await reader.waiter.wait(0.001), await reader.waiter.wait(0)]
        waiting = asyncio.create_task(reader.waiter.wait())
        await asyncio.sleep(0.001)
        writer.close()
        return [*found, await waiting]

    assert asyncio.run(run()) == [Status.EMPTY, Status.EMPTY, Status.CLOSED]


def test_threads_end_with_their_readers_and_each_loop_gets_one(ring_name: str) -> None:
    assert bells() == []
    with Writer.create(ring_name, capacity=SMALL) as writer:

        async def wait(reader: AsyncReader) -> int:
            assert await reader.waiter.wait(0.001) is Status.EMPTY
            return len(bells())

        async def within() -> None:
            async with AsyncReader.attach(ring_name) as reader:
                assert await wait(reader) == 1
            assert bells() == []
            with pytest.raises(RingClosed):
                await anext(reader)

        asyncio.run(within())
        reader = AsyncReader.attach(ring_name)
        assert asyncio.run(wait(reader)) == 1
        assert asyncio.run(wait(reader)) == 1  # another loop
        writer.publish(b"1")
        assert asyncio.run(numbers(reader, 1)) == [ord("1")]
        reader.close()
        assert bells() == []


def test_forked_child_waits_with_a_thread_of_its_own(pair: tuple[Writer, AsyncReader]) -> None:
    writer, reader = pair
    assert asyncio.run(reader.waiter.wait(0.001)) is Status.EMPTY

    pid = os.fork()
    if pid == 0:
        fine = asyncio.run(reader.waiter.wait(0.001)) is Status.EMPTY and len(bells()) == 1
        os._exit(0 if fine else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    writer.publish(b"2")
    assert asyncio.run(numbers(reader, 1)) == [ord("2")]


def test_bell_of_another_process_is_left_to_it(pair: tuple[Writer, AsyncReader]) -> None:
    _, reader = pair
    assert asyncio.run(reader.waiter.wait(0.001)) is Status.EMPTY
    bell = reader.waiter._bell
    assert bell is not None
    (thread,) = bells()
    bell.pid = 0  # as a forked child finds it
    reader.waiter.close()
    bell.want()
    thread.join()


def test_ring_that_lost_its_name_ends_the_iteration(ring_name: str) -> None:
    writer = Writer.create(ring_name, capacity=SMALL)
    with Reader.attach(ring_name) as reader:
        unlink_ring(ring_name)
        reader._next_check = 0.0  # the look at the name comes twice a second
        with pytest.raises(RingOrphaned):
            asyncio.run(anext_of(AsyncReader(reader)))
    writer.close()


async def anext_of(reader: AsyncReader) -> object:
    return await anext(reader)


class NoDescriptors(asyncio.SelectorEventLoop):
    """A loop like a simulated one, which watches nothing but its own wake-ups."""

    add_reader = asyncio.AbstractEventLoop.add_reader


def test_loop_that_watches_no_descriptors_waits_in_a_thread_of_its_pool(pair: tuple[Writer, AsyncReader]) -> None:
    _, reader = pair
    with asyncio.Runner(loop_factory=NoDescriptors) as runner:
        assert runner.run(AsyncWaiter(reader.reader).wait(0.001)) is Status.EMPTY
    assert bells() == []
