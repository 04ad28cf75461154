"""How what a source has received reaches the program: item by item, by `for`, `async for`, `next` or callbacks.

Owns what was received and not asked for yet, and all waiting.  The source (a relay's client, a ring) owns the bytes.

    D1  What was received stays in `items` until it is asked for, and nothing is received while it is waited for.  So an
        iteration may be left at any await, by `break` or by an exception: the next one goes on behind the last item.
    D2  An item counts as handled when the next one is asked for.
    D3  Only `look` receives, and it never waits.  If Ctrl-C ends it half-way, the next `look` begins where it began.
    D4  The newest iteration has the source; an older one that is asked for more raises UsageError.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Generic, Protocol, Self, TypeVar

from tlv.errors import UsageError

T = TypeVar("T")
NO_DESCRIPTOR = -1


class Found(Enum):
    """What a `look` brought."""

    NEWS = auto()  # items, or progress without any
    QUIET = auto()  # wait before the next look
    END = auto()  # there will be nothing more


class ItemSource(Protocol[T]):
    """Where items come from."""

    def look(self, into: ItemQueue[T]) -> Found:
        """Replace `into.items`, all of which were asked for, by what can be had without waiting (D3)."""

    def wait(self) -> None:
        """Block until another look may bring something, for a fraction of a second at most."""

    def awaited(self) -> tuple[int, float]:
        """For asyncio: the descriptor that becomes readable with the next item, or NO_DESCRIPTOR; seconds to wait."""

    def note_handled(self, item: T) -> None:
        """`item`, and so everything before it, was handled."""


class ItemQueue(Generic[T]):
    """What `source` received: `items`, of which the first `given` were asked for."""

    def __init__(self, source: ItemSource[T], what: str) -> None:
        self.items: list[T] = []
        self.given = 0
        self.newest: object = None
        self._source = source
        self._what = what
        self._looking: dict[str, int] = {}
        self._waiter: Waiter | None = None

    def begin(self, iteration: object) -> None:
        """Give the source to a new iteration (D4); a task that waits in an older one is told so."""
        self.newest = iteration
        self.wake()

    def wake(self, then: Callable[[], object] | None = None) -> None:
        """End the wait of a task, if one waits, and then call `then`: nobody watches the descriptor any more."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.end_from_anywhere(then)
        elif then is not None:
            then()

    def note_handled(self) -> None:
        """More is asked for, so what was given last was handled."""
        if self.given:
            self._source.note_handled(self.items[self.given - 1])

    def look(self) -> Found:
        """Receive what can be had now.

        Raises:
            UsageError: another thread does so at this moment; and what the source raises.
        """
        me = threading.get_ident()
        if self._looking.setdefault("thread", me) != me:
            raise UsageError(f"{self._what}: two threads read it at once; give each its own")
        try:
            return self._source.look(self)
        finally:
            self._looking.clear()

    def wait(self) -> None:
        """Block until there may be more."""
        self._source.wait()

    async def wait_async(self, iteration: object) -> None:
        """Wait in this task until there may be more.

        Raises:
            UsageError: another task waits in the same iteration.
        """
        before = self._waiter
        if before is not None and before.iteration is iteration and before.is_waiting():
            raise UsageError(f"{self._what}: two tasks wait in one iteration; give each its own")
        self.wake()
        fd, seconds = self._source.awaited()
        waiter = self._waiter = Waiter(iteration, fd, seconds)
        try:
            await waiter.future
        finally:
            waiter.end()
            if self._waiter is waiter:
                self._waiter = None

    def superseded(self) -> UsageError:
        """The error of an iteration that is not the newest."""
        return UsageError(f"{self._what}: a newer iteration of it has begun, and gets what comes from now on")


class Waiter:
    """One wait of one task, for a descriptor or a time.  It leaves nothing in the loop, however it ends."""

    def __init__(self, iteration: object, fd: int, seconds: float) -> None:
        self.iteration = iteration
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self._loop.create_future()
        self._fd = fd
        self._timer = self._loop.call_later(seconds, self.end)
        if fd != NO_DESCRIPTOR:
            self._loop.add_reader(fd, self.end)

    def is_waiting(self) -> bool:
        """Whether its task will go on with what it waits for: it was neither cancelled nor left behind by its loop."""
        return not self.future.done() and self._loop.is_running()

    def end(self) -> None:
        """Stop watching and let the task go on; in the loop's thread."""
        self._timer.cancel()
        fd, self._fd = self._fd, NO_DESCRIPTOR
        if self._loop.is_closed():
            return
        if fd != NO_DESCRIPTOR:
            self._loop.remove_reader(fd)
        if not self.future.done():
            self.future.set_result(None)

    def end_from_anywhere(self, then: Callable[[], object] | None) -> None:
        """`end`, then `then`, in the loop's thread if that is another one: a descriptor must not be closed before."""

        def both() -> None:
            self.end()
            if then is not None:
                then()

        here: asyncio.AbstractEventLoop | None = None
        with contextlib.suppress(RuntimeError):
            here = asyncio.get_running_loop()
        if here is not self._loop and self._loop.is_running():
            with contextlib.suppress(RuntimeError):  # it was closed meanwhile
                self._loop.call_soon_threadsafe(both)
                return
        both()


class Iteration(Generic[T]):
    """One iteration over a queue, of either kind.

    `look` receives more.  `show` makes of an item what is given, None to leave it out.
    """

    def __init__(self, queue: ItemQueue[Any], look: Callable[[], Found], show: Callable[[Any], T | None]) -> None:
        self._queue = queue
        self._look = look
        self._show = show
        queue.begin(self)

    def __iter__(self) -> Self:
        return self

    def __aiter__(self) -> Self:
        return self

    def __next__(self) -> T:
        while True:
            item = self.take()
            if item is not None:
                return item
            if self.look_and_wait() is Found.END:
                raise StopIteration

    async def __anext__(self) -> T:
        while True:
            item = self.take()
            if item is not None:
                return item
            found = self._look()
            if found is Found.END:
                raise StopAsyncIteration
            if found is Found.QUIET:
                await self._queue.wait_async(self)
            else:
                await asyncio.sleep(0)  # a source that always has news must not keep the loop from its other tasks

    def take(self) -> T | None:
        """The next item that was received; None if all were given."""
        queue = self._queue
        if queue.newest is not self:
            raise queue.superseded()
        queue.note_handled()
        while queue.given < len(queue.items):
            shown = self._show(queue.items[queue.given])
            # Ctrl-C is served where a call or a loop ends: not between this line and the caller's next.
            queue.given += 1
            if shown is not None:
                return shown
        return None

    def look_and_wait(self) -> Found:
        """Receive more; if there is nothing, wait a moment for it."""
        found = self._look()
        if found is Found.QUIET:
            self._queue.wait()
        return found
