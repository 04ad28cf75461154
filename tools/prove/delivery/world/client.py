"""A client: the project's `RelayClient` and its user, who is busy, cancelled, killed, late.

The user asks for one item after the other by `async for`, and may be cancelled wherever that awaits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from consumers.client import Item, Loss, RelayClient, RelayError
from tlv.filter import MessageFilter
from tlv.layout import Heartbeat
from tools.prove.delivery.world.clock import DeliveryClock, WaitLoop
from tools.prove.delivery.world.kinds import Chances
from tools.prove.delivery.world.oracle import DeliveryOracle
from tools.prove.delivery.world.wire import WireEnd
from tools.prove.delivery.world.wishes import Wish

MOST_LOOKS = 2000
"""Without an item, in one step: each look takes at least a byte."""


class WorldUser:
    """A user that asks `source` for one item after the other; `is_readable` says of a descriptor whether it is."""

    def __init__(
        self,
        source: Any,
        clock: DeliveryClock,
        chances: Chances,
        oracle: DeliveryOracle,
        is_readable: Callable[[int], bool],
    ) -> None:
        self._source, self._chances, self._oracle = source, chances, oracle
        self._loop = WaitLoop(clock, is_readable)
        self._iteration: Any = aiter(source)
        self._asking: Coroutine[Any, Any, Any] | None = None
        self._waits_for: asyncio.Future[None] | None = None
        self._refused = False

    def step(self, most: int) -> None:
        """Take at most `most` items."""
        asyncio._set_running_loop(self._loop)  # type: ignore[arg-type]
        try:
            taken = looks = 0
            while taken < most and looks < MOST_LOOKS and not self._refused:
                self._loop.fire()
                if self._waits_for is not None and not self._waits_for.done():
                    break
                looks += 1
                taken += self._ask()
            if looks == MOST_LOOKS:
                self._oracle.break_rule("spin", f"the client looked {looks} times and got nothing")
        finally:
            asyncio._set_running_loop(None)

    def _ask(self) -> bool:
        """Ask for an item, or let the task that asks go on; True if one came."""
        if self._asking is None:
            self.before_asking()
            self._asking = self._iteration.__anext__()
        self._waits_for = None
        try:
            self._waits_for = self._asking.send(None)
        except StopIteration as done:
            self._asking = None
            self.take(done.value)
            return True
        except RelayError as error:
            self._asking, self._refused = None, True
            self._oracle.break_rule("refused", f"{type(error).__name__}: {error}")
            return False
        if self._chances.strikes("cancel", 0.3):
            self._cancel()
        return False

    def before_asking(self) -> None:
        """The user is about to ask for the next item."""

    def take(self, item: Any) -> None:
        """The user gets an item."""
        self._oracle.take(item)

    def _cancel(self) -> None:
        assert self._asking is not None
        with contextlib.suppress(asyncio.CancelledError):
            self._asking.throw(asyncio.CancelledError())
        self._asking = self._waits_for = None
        if self._chances.number("cancel", 0, 1):
            self._iteration = aiter(self._source)

    def kill(self) -> None:
        """End it: nothing is said."""
        if self._asking is not None:
            self._asking.close()


class ClientModel(WorldUser):
    """One process of a relay's client."""

    def __init__(
        self, wish: Wish, wires: list[WireEnd], clock: DeliveryClock, chances: Chances, oracle: DeliveryOracle
    ) -> None:
        self.wires = wires
        self._manual = wish.manual
        self._given: Item | Loss | None = None
        wanted = MessageFilter.of(types=[Heartbeat]) if wish.filtered else MessageFilter.of()
        client = RelayClient(
            Path("relay"),
            name=wish.name,
            start=wish.start,
            at_least_once=wish.at_least_once,
            wanted=wanted,
            acknowledge="manual" if self._manual else "automatic",
        )
        super().__init__(client, clock, chances, oracle, self._is_readable)

    def _is_readable(self, fd: int) -> bool:
        return any(wire.fileno() == fd and wire.is_readable for wire in self.wires)

    def before_asking(self) -> None:
        """What was given is handled: at once, or when its user acknowledges it."""
        if self._given is not None and (not self._manual or self._chances.strikes("late_acks", 0.3)):
            self._oracle.handled()
            if self._manual:
                self._source.ack(self._given)

    def take(self, item: Any) -> None:
        """The user gets an item."""
        self._given = item
        super().take(item)

    def disconnect(self) -> None:
        """Lose the connection."""
        if self.wires:
            self.wires[-1].close()

    def kill(self) -> None:
        """End it: its connections break, nothing is said."""
        super().kill()
        for wire in self.wires:
            wire.kill()
