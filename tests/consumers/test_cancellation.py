"""Iterations over a relay's client and over Live that are left, anyhow: nothing is lost, and nothing is acknowledged
that was not delivered (row 50)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from consumers.client import Item, RelayClient
from consumers.delivery import NO_DESCRIPTOR, Waiter
from consumers.event import Event
from consumers.live import Live
from ringbuf import Loss, Writer
from tests.consumers.relay_rig import Rig, make_ring, publish, serving
from tlv.errors import UsageError

SEED = 50
CANCELLATIONS = 2500
INTERRUPTS = 400
PATIENCE_S = 60.0
CAPACITY = 1 << 24
"""Holds all that a test publishes: none of these losses is a lap."""

Source = RelayClient | Live
Open = Callable[[Rig, str], Source]

SOURCES: dict[str, Open] = {
    "Live of a ring": lambda rig, ring: Live(ring, start="oldest"),
    "Live of a relay": lambda rig, ring: Live(rig.path, start="oldest", name="live", at_least_once=True),
    "client": lambda rig, ring: rig.client(start="oldest"),
    "named client": lambda rig, ring: rig.client(name="n", start="acknowledged", at_least_once=True),
}
every_source = pytest.mark.parametrize("source", SOURCES)


@contextlib.contextmanager
def opened(ring: str, source: str) -> Iterator[tuple[Writer, Source, Rig]]:
    """A ring of some messages, a relay of it, and a source that begins with the first."""
    with make_ring(ring, CAPACITY) as writer, serving(ring) as rig:
        publish(writer, 10)
        with SOURCES[source](rig, ring) as opened_source:
            yield writer, opened_source, rig


def acknowledged(source: Source, ring: bytes) -> int:
    """The last sequence that the source has acknowledged of the ring."""
    client = source if isinstance(source, RelayClient) else getattr(source._source, "_client", None)
    return client.rings[ring].acknowledged if client and ring in client.rings else 0


def sequence_of(item: Item | Event | Loss) -> int:
    assert not isinstance(item, Loss), item
    return item.sequence


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def rest(source: Source, got: list[int], last: int) -> None:
    """Read on to sequence `last`."""
    async for item in source:
        got.append(sequence_of(item))
        if got[-1] == last:
            return


async def cancel_again_and_again(writer: Writer, source: Source, got: list[int], times: int) -> None:
    """Ask for the next message `times` times and cancel that at a random moment, in four ways; then read the rest."""
    rng = random.Random(SEED)
    stream: AsyncIterator[Any] = aiter(source)

    async def ask() -> None:
        item = await anext(stream)
        got.append(sequence_of(item))

    for _ in range(times):
        if rng.random() < 0.3:
            publish(writer, rng.randrange(4))
        if rng.random() < 0.2:
            stream = aiter(source)
        way = rng.randrange(4)
        if way == 0:
            task = asyncio.create_task(ask())
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        elif way == 1:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ask(), rng.choice([0, 0.0001, 0.0005]))
        elif way == 2:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rng.choice([0, 0.0001, 0.0005])):
                    while True:
                        await ask()
        else:
            # Left behind, not awaited: what is asked next must not wait for it, or fail because of it.
            asyncio.create_task(ask()).cancel()
        assert acknowledged(source, writer.uuid) <= (got[-1] if got else 0)
    publish(writer, 1)
    await asyncio.wait_for(rest(source, got, writer.next_sequence - 1), PATIENCE_S)


@every_source
def test_iteration_cancelled_thousands_of_times_loses_nothing_and_leaves_nothing(
    ring_name: str, source: str, tell: Callable[[str], None]
) -> None:
    with opened(ring_name, source) as (writer, stream, _):
        got: list[int] = []
        asyncio.run(cancel_again_and_again(writer, stream, got, 10))
        before, threads = descriptors(), threading.active_count()
        asyncio.run(cancel_again_and_again(writer, stream, got, CANCELLATIONS))
        assert got == list(range(1, writer.next_sequence))
        # Fewer: maps of earlier tests may have been freed meanwhile.
        assert descriptors() <= before and threading.active_count() <= threads
    tell(f"row 50: {source}: {CANCELLATIONS} cancellations, {len(got)} messages, 0 missing, 0 twice")


@every_source
def test_iteration_begun_anew_for_each_message_loses_nothing(ring_name: str, source: str) -> None:
    async def read(stream: Source, count: int) -> list[int]:
        got = []
        while len(got) < count:
            with contextlib.suppress(TimeoutError):
                got.append(sequence_of(await asyncio.wait_for(anext(aiter(stream)), 0.02)))
        return got

    with opened(ring_name, source) as (writer, stream, _):
        publisher = threading.Thread(target=lambda: [publish(writer, 1) or time.sleep(0.002) for _ in range(300)])
        publisher.start()
        assert asyncio.run(asyncio.wait_for(read(stream, 310), PATIENCE_S)) == list(range(1, 311))
        publisher.join()


@every_source
def test_iteration_left_behind_blocks_no_later_call_of_another_kind(ring_name: str, source: str) -> None:
    async def give_up(stream: Source) -> list[int]:
        got = [sequence_of(await anext(aiter(stream))) for _ in range(10)]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(aiter(stream)), 0.01)
        return got

    with opened(ring_name, source) as (writer, stream, _):
        assert asyncio.run(give_up(stream)) == list(range(1, 11))
        publish(writer, 5)
        assert [sequence_of(item) for item in itertools.islice(stream, 5)] == list(range(11, 16))
        publish(writer, 5)
        assert asyncio.run(asyncio.wait_for(anext(aiter(stream)), PATIENCE_S)).sequence == 16


@every_source
def test_iteration_whose_source_is_closed_while_a_task_waits_ends(ring_name: str, source: str) -> None:
    async def read(stream: Source, close: Callable[[], object]) -> int:
        asyncio.get_running_loop().call_later(0.05, close)
        return len([item async for item in stream])

    with opened(ring_name, source) as (_, stream, _):
        assert asyncio.run(asyncio.wait_for(read(stream, stream.close), PATIENCE_S)) == 10
    with opened(ring_name + "2", source) as (writer, stream, _):
        closer = threading.Thread(target=stream.close)
        assert asyncio.run(asyncio.wait_for(read(stream, closer.start), PATIENCE_S)) == 10
        closer.join()
        writer.close(unlink=True)


@every_source
def test_iterations_of_two_tasks_at_once_are_told_so(ring_name: str, source: str) -> None:
    async def both(stream: Source) -> list[BaseException | list[int]]:
        first: list[int] = []

        async def read(got: list[int]) -> list[int]:
            async for item in stream:
                got.append(sequence_of(item))
                if got[-1] == 30:
                    break
            return got

        reading = asyncio.create_task(read(first))
        while len(first) < 10:
            await asyncio.sleep(0.001)
        newer = asyncio.create_task(read([]))
        await asyncio.wait([reading])
        publish(writer, 20)
        return await asyncio.gather(reading, newer, return_exceptions=True)

    async def one_iteration(stream: Source) -> BaseException:
        shared = aiter(stream)
        waiting = asyncio.create_task(anext(shared))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        with pytest.raises(UsageError, match="two tasks wait in one iteration") as raised:
            await anext(shared)
        publish(writer, 1)
        assert sequence_of(await waiting) == 31
        return raised.value

    with opened(ring_name, source) as (writer, stream, _):
        older, newer = asyncio.run(asyncio.wait_for(both(stream), PATIENCE_S))
        assert isinstance(older, UsageError) and "a newer iteration of it has begun" in str(older)
        assert newer == list(range(11, 31))
        asyncio.run(asyncio.wait_for(one_iteration(stream), PATIENCE_S))


@every_source
def test_iteration_by_an_older_iterator_is_refused_and_loses_nothing(ring_name: str, source: str) -> None:
    with opened(ring_name, source) as (_, stream, _):
        older = iter(stream)
        assert sequence_of(next(older)) == 1
        newer = iter(stream)
        assert sequence_of(next(newer)) == 2
        with pytest.raises(UsageError, match="a newer iteration of it has begun"):
            next(older)
        assert sequence_of(next(newer)) == 3


class Interrupted(BaseException):
    """Raised by a signal, as KeyboardInterrupt is."""


class Interrupter:
    """Raises Interrupted in this thread until it is disarmed: Python drops those that hit a callback."""

    def __init__(self) -> None:
        self.armed = False

    def arm(self, seconds: float) -> None:
        """From `seconds` on."""
        self.armed = True
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.1)

    def disarm(self) -> None:
        """Raise no more."""
        self.armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """The handler."""
        if self.armed:
            raise Interrupted


@pytest.fixture
def interrupter() -> Iterator[Interrupter]:
    """What raises Interrupted."""
    made = Interrupter()
    before = signal.signal(signal.SIGALRM, made.on_signal)
    yield made
    made.disarm()
    signal.signal(signal.SIGALRM, before)


@pytest.mark.untraced
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@every_source
def test_iteration_interrupted_by_a_signal_at_any_moment_loses_nothing(
    ring_name: str, source: str, interrupter: Interrupter, tell: Callable[[str], None]
) -> None:
    rng = random.Random(SEED)
    got: list[int] = []
    with opened(ring_name, source) as (writer, stream, _):
        # The first calls of a kernel load it, and numba does not outlive an interrupt in that.
        later = threading.Timer(0.3, publish, (writer, 1))
        later.start()
        got += [sequence_of(item) for item in itertools.islice(stream, 11)]
        later.join()
        for _ in range(INTERRUPTS):
            publish(writer, 100)
            item: Any = None
            try:
                interrupter.arm(rng.uniform(0.00002, 0.002))
                for item in stream:
                    got.append(item.sequence)
            except Interrupted:
                interrupter.disarm()
                # It came with the item here, before or after this body noted it.
                if item is not None and (not got or got[-1] != item.sequence):
                    got.append(item.sequence)
            finally:
                interrupter.disarm()
        publish(writer, 1)
        for item in stream:
            got.append(sequence_of(item))
            if got[-1] == writer.next_sequence - 1:
                break
        assert got == list(range(1, writer.next_sequence))
    tell(f"row 50: {source}: {INTERRUPTS} interrupts, {len(got)} messages, 0 missing, 0 twice")


@pytest.mark.parametrize("source", ["Live of a relay", "named client"])
def test_message_whose_body_raised_is_delivered_again_to_the_next_connection(ring_name: str, source: str) -> None:
    def body(stream: Source, until: int) -> list[int]:
        got = []
        with pytest.raises(ZeroDivisionError), stream:
            for item in stream:
                got.append(sequence_of(item))
                if got[-1] == until:
                    raise ZeroDivisionError
        return got

    async def async_body(stream: Source, until: int) -> list[int]:
        got = []
        with pytest.raises(ZeroDivisionError), stream:
            async for item in stream:
                got.append(sequence_of(item))
                if got[-1] == until:
                    raise ZeroDivisionError
        return got

    with make_ring(ring_name) as writer, serving(ring_name) as rig:
        publish(writer, 40)
        SOURCES[source](rig, ring_name).close()
        wait_for_nobody(rig)
        assert body(SOURCES[source](rig, ring_name), 10) == list(range(1, 11))
        wait_for_nobody(rig)
        assert asyncio.run(async_body(SOURCES[source](rig, ring_name), 20)) == list(range(10, 21))
        wait_for_nobody(rig)
        with SOURCES[source](rig, ring_name) as stream:
            assert sequence_of(next(iter(stream))) == 20


def wait_for_nobody(rig: Rig) -> None:
    """Until the relay has noticed that its client left."""
    deadline = time.monotonic() + PATIENCE_S
    while rig.relay._connections and time.monotonic() < deadline:
        time.sleep(0.005)


def test_waiter_is_ended_at_once_in_its_own_loop_and_in_one_that_stands_still() -> None:
    """What follows closes the descriptor: nobody may still watch it, and nobody else would come to it."""
    then: list[str] = []
    loop = asyncio.new_event_loop()

    async def wait_here(within: bool) -> Waiter:
        waiter = Waiter(None, NO_DESCRIPTOR, PATIENCE_S)
        if within:
            waiter.end_from_anywhere(lambda: then.append("within"))
        return waiter

    loop.run_until_complete(wait_here(True))
    assert then == ["within"]
    waiter = loop.run_until_complete(wait_here(False))
    waiter.end_from_anywhere(lambda: then.append("from outside"))
    assert then == ["within", "from outside"]
    loop.close()
