"""Asking the node for headers that it did not announce: the parents of heads.

Owns the requests, their retries and their deadlines.  It must never decide what is canonical: headers are appended to
the list of `producers.blocks.arrivals`.

    a parent          by hash and by number in turns, as one backend may not have what another has, and some nodes know
                      blocks by number only; with growing pauses, for PATIENCE_NS of connections, then it cannot be had
                      with another number than its child says it is taken once it had that twice: the child's is wrong
                      a node that says that it has that history no more (PRUNED) is asked three times
    a long stretch    by number beforehand, the newest first, then all at once; a hash that does not fit is asked for
                      like any other
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial

import msgspec

from producers.blocks.arrivals import Arrivals, HeaderFetched
from producers.blocks.chain import NO_PARENTS
from producers.context import Context
from producers.node.jsonrpc import DISCONNECTED, Failure
from producers.node.refusals import Meaning
from tlv.units import MS, NS

PATIENCE_NS = 30 * NS
"""How long a parent is asked for.  Backends lag by up to 5 s; a node that recovers its index takes longer."""
FIRST_DELAY_NS = 50 * MS
LONGEST_DELAY_NS = 2 * NS
PRUNED_ANSWERS = 3
STRETCH_FROM = 8
"""Fewer headers than this are cheaper one by one."""
MOST_PARENTS = 4096
"""Headers asked by number at once."""


class _Search:
    """One parent that is being asked for."""

    def __init__(self, number: int, since_ns: int) -> None:
        self.number = number
        self.since_ns = since_ns
        self.attempts = 0
        self.pruned = 0
        self.said: int | None = None
        """Another number, as a header of this hash had it."""


class ParentFetcher:
    """Fetches headers that were never announced."""

    def __init__(self, context: Context, arrivals: Arrivals, on_missing: Callable[[str], None]) -> None:
        self._rpc, self._timers, self._clock = context.rpc, context.timers, context.clock
        self._arrivals, self._on_missing = arrivals, on_missing
        self._sought: dict[str, _Search] = {}
        self._awaited: dict[int, set[str]] = defaultdict(set)
        self._by_number: set[int] = set()
        self._spent_ns: dict[str, int] = {}
        """How long each parent was asked for on the connections before."""

    def seek(self, block_hash: str, number: int, known_below: int | None) -> None:
        """Get the header of this hash and number: it arrives, or `on_missing` is called with its hash.

        `known_below` is the newest number that is known already; if it is far away, what lies between is fetched too.
        """
        if number in self._by_number:
            self._awaited[number].add(block_hash)
            return
        if block_hash in self._sought:
            return
        if known_below is not None and not self._by_number and number - known_below > STRETCH_FROM:
            lowest = max(known_below + 1, number - MOST_PARENTS + 1)
            self._by_number = {number}
            self._awaited[number].add(block_hash)
            self._rpc.ask("eth_getBlockByNumber", [hex(number), False], partial(self._on_top, number, lowest))
            return
        self._search(block_hash, number)

    def drop(self, block_hash: str) -> None:
        """Nobody waits for this header any more."""
        self._sought.pop(block_hash, None)

    def disconnected(self) -> None:
        """Nothing asked will be answered; who seeks asks again, with what is left of the patience."""
        now_ns = self._clock.now_ns
        self._spent_ns = {sought: now_ns - search.since_ns for sought, search in self._sought.items()}
        self._sought.clear()
        self._awaited.clear()
        self._by_number.clear()

    def _search(self, block_hash: str, number: int) -> None:
        since_ns = self._clock.now_ns - self._spent_ns.pop(block_hash, 0)
        search = self._sought[block_hash] = _Search(number, since_ns)
        if block_hash in NO_PARENTS or number < 0:
            self._timers.after(0, partial(self._give_up, block_hash, search))
        else:
            self._ask(block_hash, search)

    def _give_up(self, block_hash: str, search: _Search) -> None:
        if self._sought.get(block_hash) is search:
            del self._sought[block_hash]
            self._on_missing(block_hash)

    def _ask(self, block_hash: str, search: _Search) -> None:
        if self._sought.get(block_hash) is not search:
            return
        then = partial(self._on_header, block_hash, search)
        if search.attempts % 2:
            self._rpc.ask("eth_getBlockByNumber", [hex(search.number), False], then, urgent=True)
        else:
            self._rpc.ask("eth_getBlockByHash", [block_hash, False], then, urgent=True)

    def _on_header(self, block_hash: str, search: _Search, result: msgspec.Raw | None, failure: Failure | None) -> None:
        if failure is DISCONNECTED or self._sought.get(block_hash) is not search:
            return
        head = self._rpc.read_head(result)
        if head is not None and head.hash == block_hash:
            number = int(head.number, 16)
            if number in (search.number, search.said):
                del self._sought[block_hash]
                self._arrivals.append(HeaderFetched(head))
                return
            search.said = number
        search.pruned += failure is not None and failure.meaning is Meaning.PRUNED
        delay_ns = min(FIRST_DELAY_NS << min(search.attempts, 16), LONGEST_DELAY_NS)
        search.attempts += 1
        if search.pruned >= PRUNED_ANSWERS or self._clock.now_ns + delay_ns > search.since_ns + PATIENCE_NS:
            self._give_up(block_hash, search)
        else:
            self._timers.after(delay_ns, partial(self._ask, block_hash, search))

    def _on_top(self, number: int, lowest: int, result: msgspec.Raw | None, failure: Failure | None) -> None:
        """The newest of a stretch; the rest is asked for where the node has that, as made-up heads have any number."""
        if failure is None and (head := self._rpc.read_head(result)) is not None and int(head.number, 16) == number:
            self._by_number |= set(range(lowest, number))
            for wanted in range(number - 1, lowest - 1, -1):
                self._rpc.ask("eth_getBlockByNumber", [hex(wanted), False], partial(self._on_stretch, wanted))
        self._on_stretch(number, result, failure)

    def _on_stretch(self, number: int, result: msgspec.Raw | None, failure: Failure | None) -> None:
        if failure is DISCONNECTED or number not in self._by_number:
            return
        self._by_number.discard(number)
        awaited = self._awaited.pop(number, set())
        head = self._rpc.read_head(result)
        if head is not None and int(head.number, 16) == number:
            self._arrivals.append(HeaderFetched(head))
            awaited.discard(head.hash)
        for block_hash in awaited:
            self._search(block_hash, number)
