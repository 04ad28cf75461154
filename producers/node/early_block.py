"""Which chain a node serves: its id is not enough, since development chains and forks share ids.

Owns one question a connection: the hash of the chain's first block, or of the early block that the chain file names.
It must never decide what happens then: `producers.feed` does.

    known (chain file, ring, state file) --the node shows the same--> right
                                         --another, for 4 s---------> `wrong`: nothing that it says is about our chain
                                         --none---------------------> lived with, said once: pruned nodes, recordings
    not known                            --any, said twice----------> known from now on

Behind one URL stand several backends, and one of them may be astray for a moment.  So one answer neither condemns a
chain nor makes one known: it is asked again after pauses, and what is right at any time is right.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from producers.node.hex import HexError, read_bytes
from producers.node.identity import Shown
from producers.node.jsonrpc import DISCONNECTED, UNREADABLE, Failure, JsonRpc
from producers.node.timers import Timers
from tlv.units import MS, NS

UNKNOWN = bytes(32)
PATIENCE_S = 5.0
"""How long a connection's first messages wait for an answer."""
FIRST_PAUSE_NS = 250 * MS
TWICE = 2
MOST_ANSWERS = 9
"""That differ; after them the node is taken for one that shows none."""


class _EarlyBlock(msgspec.Struct):
    hash: str


_BLOCK = msgspec.json.Decoder(_EarlyBlock | None)


class _Confirmation:
    """The question of one connection, put until what comes of it can be believed."""

    def __init__(self, then: Callable[[], None], asked_ns: int) -> None:
        self.then = then
        self.pause_ns = FIRST_PAUSE_NS
        self.asked_ns = asked_ns
        """When it was put last; an answer may be late, and is of then."""
        self.answers = 0
        self.shown = Shown()


class EarlyBlockCheck:
    """What is known of one chain's early block."""

    def __init__(self, rpc: JsonRpc, timers: Timers, chain: str, number: int, genesis: bytes) -> None:
        self.genesis = genesis
        """Zeros: not known yet."""
        self.wrong: str | None = None
        """Why the node of this connection serves another chain."""
        self.silence: str | None = None
        """Why the node of this connection shows no such block."""
        self.settled = False
        """The node of this connection showed it, or will not."""
        self._rpc, self._timers = rpc, timers
        self._chain = chain
        """How it is called in messages."""
        self._number = number
        self._search: _Confirmation | None = None

    def reset(self) -> None:
        """A connection is open; nothing of its node is known."""
        self.settled, self.wrong, self.silence = False, None, None
        self._search = None

    def settle(self) -> None:
        """The first question of this connection is answered."""
        self.settled = True

    def ask(self, settled: Callable[[], None]) -> None:
        """Ask the node; `settled` is called once, unless the connection ends."""
        self.wrong = self.silence = None
        self._search = _Confirmation(settled, self._rpc.clock.outside_ns)
        self._ask(self._search)

    def _ask(self, search: _Confirmation) -> None:
        if search is self._search:
            search.asked_ns = self._rpc.clock.outside_ns
            take = partial(self._take, search)
            self._rpc.ask("eth_getBlockByNumber", [hex(self._number), False], take, timeout_s=PATIENCE_S)

    def _take(self, search: _Confirmation, result: msgspec.Raw | None, failure: Failure | None) -> None:
        if failure is DISCONNECTED or search is not self._search:
            return
        search.answers += 1
        found, silence = _read(result, failure)
        if found != UNKNOWN:
            search.shown.hear(found, search.asked_ns, self._rpc.clock.outside_ns)
        elif search.shown.said is None or search.answers >= MOST_ANSWERS:
            self.silence = silence
        if self.silence is None and not self._judge(search, found):
            self._timers.after(search.pause_ns, partial(self._ask, search))
            search.pause_ns = min(2 * search.pause_ns, NS)
            return
        self._search = None
        search.then()

    def _judge(self, search: _Confirmation, found: bytes) -> bool:
        """Whether the question is settled."""
        shown = search.shown
        if found == self.genesis != UNKNOWN:
            return True
        if self.genesis == UNKNOWN and shown.times >= TWICE:
            self.genesis = found
        elif self.genesis != UNKNOWN and shown.times >= TWICE and shown.lasts:
            self.wrong = (
                f"expected block {self._number} of chain {self._chain} to be "
                f"0x{self.genesis.hex()}, found 0x{found.hex()}: another chain, or it was replaced; "
                "collect it into a new ring"
            )
        elif search.answers >= MOST_ANSWERS:
            self.silence = "its answers contradict each other"
        else:
            return False
        return True

    @property
    def what_is_missing(self) -> str:
        """For the log, where the node shows no such block."""
        return f"the node does not show block {self._number} ({self.silence}), so its chain is known by its id only"


def _read(result: msgspec.Raw | None, failure: Failure | None) -> tuple[bytes, str]:
    """The hash of the block that an answer shows, or UNKNOWN and why it shows none."""
    if failure is not None:
        return UNKNOWN, failure.message[:200]
    try:
        block = _BLOCK.decode(result or b"")
        found = read_bytes(block.hash, 32) if block is not None else UNKNOWN
    except (*UNREADABLE, HexError):
        return UNKNOWN, "the answer is no block"
    return found, "it has no such block"
