"""Which chain a node serves: asked first, and until it is answered, since nothing it says counts before.

Owns the question, its pauses and its patience.  What follows from the answer is `producers.feed`'s business.

    ask --eth_chainId--> ours: `then` is called
            ^   |
            |   +--> another, always the same one, for 4 s: `wrong` says so
            |   +--> refused, no number, no answer in 3 s: after 10 s `unanswered` says so
            +---+ again after 0.25 s, doubling to 1 s

Behind one URL stand several backends, and one of them may be astray for a moment: one answer condemns nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from producers.node.jsonrpc import DISCONNECTED, UNREADABLE, Failure, JsonRpc
from producers.node.rpc_types import Unfit, kind_of, read_number
from producers.node.timers import Timers
from tlv.units import MS, NS

ANSWER_S = 3.0
PATIENCE_NS = 10 * NS
FIRST_PAUSE_NS = 250 * MS
CONDEMNED_NS = 4 * NS
"""How long a node must show another chain: backends that are astray for a moment say so for up to 3 s."""


class Shown:
    """What a node shows of its chain, and for how long without interruption.

    Its times are `Clock.outside_ns`: a backend comes back while the feed sleeps, and nobody hears it.
    """

    def __init__(self) -> None:
        self.said: object = None
        """The newest answer that shows something."""
        self.times = 0
        """So often in a row."""
        self._since_ns = self._heard_ns = 0
        """When it was first answered so, and when that was asked which was answered so last: answers that show nothing
        say nothing of the time between."""

    def hear(self, found: object, asked_ns: int, now_ns: int) -> None:
        """A question put at `asked_ns` is answered so."""
        if found != self.said or asked_ns - self._heard_ns > CONDEMNED_NS:
            self.said, self.times, self._since_ns = found, 0, now_ns
        self.times += 1
        self._heard_ns = asked_ns

    @property
    def lasts(self) -> bool:
        """Whether it is shown for so long that nobody was astray for a moment."""
        return self._heard_ns - self._since_ns >= CONDEMNED_NS


class ChainIdentity:
    """Asks one endpoint after the other which chain it serves."""

    def __init__(self, rpc: JsonRpc, timers: Timers, chain_id: int, name: str, then: Callable[[], None]) -> None:
        self._rpc, self._timers, self._chain_id, self._name, self._then = rpc, timers, chain_id, name, then
        self._connection = 0
        self._asked_ns = self._put_ns = 0
        """When the first question of a connection was put, awake, and when the last, sleep counted."""
        self._others = Shown()
        """The other chains that it tells."""
        self.known = False
        """It serves our chain."""
        self.wrong: str | None = None
        """It serves another; stays until the next connection."""
        self.unanswered: str | None = None
        """It would not say for too long."""

    def ask(self) -> None:
        """A connection is open."""
        self._connection += 1
        self.known, self.wrong, self.unanswered = False, None, None
        self._asked_ns, self._others = self._rpc.clock.now_ns, Shown()
        self._ask_again(self._connection, FIRST_PAUSE_NS)

    def _ask_again(self, connection: int, pause_ns: int) -> None:
        if connection == self._connection:
            self._put_ns = self._rpc.clock.outside_ns
            then = partial(self._on_answer, connection, pause_ns)
            self._rpc.ask("eth_chainId", [], then, timeout_s=ANSWER_S, urgent=True)

    def _on_answer(self, connection: int, pause_ns: int, result: msgspec.Raw | None, failure: Failure | None) -> None:
        if failure is DISCONNECTED or connection != self._connection:
            return
        words = failure.message if failure is not None else ""
        if result is not None:
            try:
                found = read_number(msgspec.json.decode(result))
                if found == self._chain_id:
                    self.known = True
                    self._then()
                    return
                words = self._doubt(found)
            except Unfit as error:
                words = f"expected a number, found {error.kind}"
            except UNREADABLE:
                words = f"expected a number, found {kind_of(None)} or more digits than any number has"
        if self.wrong is not None:
            return
        if self._rpc.clock.now_ns - self._asked_ns > PATIENCE_NS:
            self.unanswered = f"the node does not say which chain it serves: {words[:200]}"
            return
        self._timers.after(pause_ns, partial(self._ask_again, connection, min(2 * pause_ns, NS)))

    def _doubt(self, found: int) -> str:
        """It tells another chain; returns what is wrong with it."""
        words = f"expected chain {self._chain_id} ({self._name}), found {found}"
        self._others.hear(found, self._put_ns, self._rpc.clock.outside_ns)
        if self._others.lasts:
            self.wrong = words
        return words
