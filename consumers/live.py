"""Live events: of a ring, or of everything a relay serves, with the types that `Store` gives for the past.

    with Live("market.polygon", types=[PoolSwap]) as live:
        for item in live:                                # `async for` works as well
            if isinstance(item, Loss):
                ...                                      # item.first to item.last are gone
            elif isinstance(item.record, PoolSwap):
                ...

Owns the choice of source and the three ways to get events: iteration, asynchronous iteration, callbacks.
"""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Unpack

from consumers.analysis.selection import Selection
from consumers.delivery import Found, Iteration
from consumers.event import Event
from consumers.relay.errors import RelayUnreachable
from consumers.sources import RelaySource, RingSource, Start
from consumers.symbols import SymbolFilter, learn_from_ring, with_states
from consumers.waiting import NO_RING, when_there
from ringbuf import Loss, RingNotFound
from ringbuf.playback import never
from tlv.arguments import check_seconds, check_start
from tlv.errors import UsageError
from tlv.filter import MessageFilter, Wanted


def ignore(*_: Any) -> None:
    """The default of the callbacks: does nothing."""


class Live:
    """The events of `target`: the name of a ring, or the path of a relay's socket.  A context manager.

    Args:
        start: `latest`, or `oldest` for what is still in the ring first.
        reconnect: go on with the next writer, ring or relay when one ends or dies; otherwise the iteration ends.
        on_reconnect: called with this object after each of these.
        wait_s: for so many seconds a ring or a relay that is not there yet is waited for.  All of a ring that is made
            meanwhile is read, whatever `start` says.
        name: makes it a durable client of a relay, see `consumers.client`.
        at_least_once: the same; what the ring has overwritten comes from the relay's journal.
        symbols: `WMATIC/USDC` or `WMATIC`, see `consumers.symbols`: only pools of these tokens, beside `pools`.
        wanted: `types`, `venues`, `pools`, `tokens`, see `tlv.filter`; what is empty means everything.

    Raises:
        UsageError: a filter names what does not exist, or a symbol that several tokens bear; or the target is neither
            ring nor socket.
        RingNotFound, RelayUnreachable: it is not there after `wait_s`.
        SegmentError, RelayError: what else `Reader.attach` and `RelayClient` raise.
    """

    def __init__(
        self,
        target: str | Path,
        *,
        start: Start = "latest",
        reconnect: bool = True,
        on_reconnect: Callable[[Live], None] = ignore,
        wait_s: float = 0.0,
        name: str = "",
        at_least_once: bool = False,
        symbols: Sequence[str] = (),
        **wanted: Unpack[Wanted],
    ) -> None:
        check_seconds("wait_s", wait_s)
        check_start("start", start, sequences=False)
        chosen = MessageFilter.of(**wanted)
        self._on_reconnect = on_reconnect
        self._reported_reconnections = 0
        if not is_socket(target) and (name or at_least_once):
            raise UsageError(f"{target}: only a relay's socket has durable clients, and this is a ring")

        if isinstance(symbols, str):
            raise UsageError(f"symbols: expected a list, found {symbols!r}")
        meant = SymbolFilter(symbols, chosen) if symbols else None

        def open_source() -> RingSource | RelaySource:
            nonlocal start
            if is_socket(target):
                asked = chosen if meant is None else with_states(chosen)
                return RelaySource(Path(target), asked, start, reconnect, name, at_least_once, meant)
            try:
                if meant is not None:
                    learn_from_ring(meant, symbols, str(target))
                    return RingSource(str(target), Selection(meant.filter), start, reconnect, meant)
                return RingSource(str(target), Selection(chosen), start, reconnect)
            except RingNotFound:
                start = "oldest"
                raise

        self._source = when_there(open_source, wait_s, absent=(*NO_RING, RelayUnreachable))

    @property
    def refused(self) -> int:
        """Frames that were left out because they are no message."""
        return self._source.refused

    @property
    def reconnections(self) -> int:
        """How often a connection, a writer or a ring was followed by another."""
        return self._source.reconnections

    @property
    def lost(self) -> int:
        """Messages that are missing, as the `Loss` items among the received ones say."""
        return self._source.lost

    def __iter__(self) -> Iterator[Event | Loss]:
        """Yield events, and what is missing, as they come.

        Raises:
            CorruptRing; Farewell: the relay refuses us for good.
        """
        return self._iterate()

    def __aiter__(self) -> AsyncIterator[Event | Loss]:
        """The same for asyncio."""
        return self._iterate()

    def _iterate(self) -> Iteration[Event | Loss]:
        return Iteration(self._source.queue, self._receive, self._source.show)

    def run(
        self,
        on_message: Callable[[Event], object],
        on_loss: Callable[[Loss], object] = ignore,
        asked_to_stop: Callable[[], bool] = never,
    ) -> None:
        """Call back for every event and every loss, to the end or until asked to stop."""
        iteration = self._iterate()
        while not asked_to_stop():
            item = iteration.take()
            if isinstance(item, Loss):
                on_loss(item)
            elif item is not None:
                on_message(item)
            elif iteration.look_and_wait() is Found.END:
                return

    def _receive(self) -> Found:
        found = self._source.receive()
        if self._reported_reconnections < self.reconnections:
            self._reported_reconnections = self.reconnections
            self._on_reconnect(self)
        return found

    def close(self) -> None:
        """Leave the ring, or close the connection."""
        self._source.close()

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_socket(target: str | Path) -> bool:
    """Whether `target` is the path of a socket, existing or not, rather than the name of a ring.

    Raises:
        UsageError: a path of something else.
    """
    if not isinstance(target, str | Path) or "\0" in str(target):
        raise UsageError(f"target: expected a ring's name or a relay's socket, found {target!r}")
    path = Path(target)
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        return True
    named_by_path = isinstance(target, Path) or "/" in target
    if named_by_path and path.exists():
        raise UsageError(f"{target}: expected a ring's name or a relay's socket, found neither")
    return named_by_path
