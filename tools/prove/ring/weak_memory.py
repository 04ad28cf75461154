"""Memory with the guarantees of LLVM's atomics only, which are weaker than those of any processor.

Owns what a load may return.  It must never know which program runs on it.

Every store adds a message at its location; nothing is overwritten.  A thread has a view: for each location the oldest
message it may still read.  A monotonic load may return any message from there on.  A message carries a view: of a
release store the writer's whole view, of a monotonic store the view at the writer's last release fence.  An acquire
load joins that view to its thread's at once, a monotonic one when an acquire fence follows.
Sequentially consistent fences exchange views with each other.  (This is the release-acquire fragment of C11 in its
view-based form, Kang et al., "A promising semantics for relaxed-memory concurrency", POPL 2017, without promises.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

Location = tuple[str, int]
View = dict[Location, int]
Choose = Callable[[int], int]  # given n messages, which one to read: 0 = the newest


class StoredValue(NamedTuple):
    value: int
    view: View


def join(view: View, other: View) -> None:
    """Raise each entry of `view` to at least that of `other`."""
    for location, at in other.items():
        if view.get(location, 0) < at:
            view[location] = at


class ThreadView:
    """The views of one thread."""

    def __init__(self, known: View | None = None) -> None:
        self.current: View = dict(known or {})
        self.pending: View = {}  # of monotonic loads; joined to `current` by an acquire fence
        self.released: View = dict(known or {})  # `current` at the last release fence: the view of monotonic stores


class WeakMemory:
    """All messages of all locations."""

    def __init__(self, initial: Mapping[Location, int]) -> None:
        self.messages: dict[Location, list[StoredValue]] = {
            at: [StoredValue(value, {})] for at, value in initial.items()
        }
        self.fences: View = {}

    def newest(self, location: Location) -> int:
        """The last value stored."""
        return self._at(location)[-1].value

    def everything(self) -> View:
        """The view of a thread that has seen every store: a process that starts after the others died."""
        return {location: len(messages) - 1 for location, messages in self.messages.items()}

    def values(self) -> dict[Location, int]:
        """The newest value of each location."""
        return {location: messages[-1].value for location, messages in self.messages.items()}

    def _at(self, location: Location) -> list[StoredValue]:
        return self.messages.setdefault(location, [StoredValue(0, {})])

    def load(self, thread: ThreadView, location: Location, acquire: bool, choose: Choose) -> int:
        """Read one of the messages that the thread may still see."""
        messages = self._at(location)
        oldest = thread.current.get(location, 0)
        at = len(messages) - 1 - choose(len(messages) - oldest)
        thread.current[location] = at
        join(thread.current if acquire else thread.pending, messages[at].view)
        return messages[at].value

    def store(self, thread: ThreadView, location: Location, value: int, release: bool) -> None:
        """Add a message."""
        messages = self._at(location)
        thread.current[location] = len(messages)
        view = dict(thread.current if release else thread.released)
        view[location] = len(messages)
        messages.append(StoredValue(value, view))

    def fetch_max(self, thread: ThreadView, location: Location, value: int) -> int:
        """Read the newest message and replace it, in one step; acquire and release."""
        before = self.load(thread, location, True, lambda _: 0)
        join(thread.current, self._at(location)[-1].view)
        self.store(thread, location, max(before, value), True)
        return before

    def fence(self, thread: ThreadView, acquire: bool, release: bool, total: bool) -> None:
        """An acquire fence, a release fence, or (`total`) a sequentially consistent one."""
        if acquire:
            join(thread.current, thread.pending)
        if total:
            join(thread.current, self.fences)
            self.fences = dict(thread.current)
        if release:
            thread.released = dict(thread.current)
