"""Which emitters may be published, and the logs that wait until that is known.

Owns the quarantine: logs of unknown emitters, each emitter's in the order in which they came.  It must never publish:
released logs go back to whoever reads the chain.  Verification itself is `producers.pools.verification`.

    first log of an emitter --> held, verification begins
        VERIFIED --> row in the table, everything held is released
        FALSE    --> the held logs and all later ones are lookalikes: counted, never published
        UNKNOWN  --> as soon as the block's logs are complete, their structure may still prove FALSE; else quarantined:
                     counted, never published, and a log that comes `RETRY_S` later begins anew
        `again`  --> asked again after pauses that double, while the logs are held

The hold is bounded in logs and in time.  An emitter that exceeds it is UNKNOWN for `RETRY_S`: its logs are counted as
quarantined, and should it be verified later, its first PoolState tells readers where its events begin.  Where it was
the node that gave no answer, the blocks of its logs are `undeclared` holes, and it is asked again after a shorter time,
which doubles.  What an emitter answers, or does not, makes no hole: it could have one declared whenever it likes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from producers.blocks.chain import Block, Progress
from producers.chains.configuration import ChainConfig
from producers.decode.pool_table import PoolTable, unverified
from producers.kinds.events import EVENT_OF_TOPIC, Role
from producers.node.rpc_types import Log
from producers.pools.lookalikes import is_lookalike
from producers.pools.pauses import Pauses
from producers.pools.verification import Finding, Standing, Verifier

NS = 1_000_000_000
MAX_HELD = 1 << 16
"""Logs in quarantine altogether; 100 blocks of Polygon from nothing but unknown pools."""
MAX_HELD_PER_EMITTER = 1 << 12
HOLD_S = 15.0
"""Longer than a request's time-out: a verification that is late once can still succeed."""
RETRY_S = 300.0
FIRST_RETRY_S = 2.0
"""After a hold in which the node gave no answer."""
ASK_PAUSES_S = (0.1, 2.0)
"""Between questions about one emitter: a backend that lags has caught up within a second, one that is ill has not."""
MAX_FOREIGN = 1 << 17
"""Emitters remembered as no pools.  Beyond that all are forgotten: it costs questions, not correctness."""


class Held(NamedTuple):
    """A log in quarantine."""

    block: Block
    log_index: int
    log: Log
    fetched: bool


class _Foreign(NamedTuple):
    standing: Standing
    until_ns: int
    holds: Pauses | None = None
    """Not None: the node gave no answer."""


class _Suspect:
    """An emitter under verification."""

    def __init__(self, since_ns: int, holds: Pauses) -> None:
        self.since_ns = since_ns
        self.held: list[Held] = []
        self.holds = holds
        self.pauses = Pauses(*ASK_PAUSES_S)
        self.refused = True
        """The node gave no result, or none yet."""
        self.undecided = False
        """The node could not tell; the structure of its logs decides."""
        self.unanswered = False
        """What came proves nothing; it is asked again when `pauses` says so."""


Release = Callable[[Finding, list[Held]], None]


class PoolBook:
    """The pool table and the quarantine in front of it."""

    def __init__(self, chain: ChainConfig, verifier: Verifier, table: PoolTable, release: Release) -> None:
        self.table = table
        self.counts: Counter[Standing] = Counter()
        """Logs that were not published: FALSE = lookalikes, UNKNOWN = quarantined."""
        self.held = 0
        self.undeclared: set[int] = set()
        """Numbers of blocks that lack logs because the node gave no answer; whoever declares them empties it."""
        self.now_ns = 0
        self.connected = False
        """While it is not, nothing is judged: nobody can answer."""
        self._verifier = verifier
        self._release = release
        self._suspects: dict[str, _Suspect] = {}
        self._foreign: dict[str, _Foreign] = {}
        for factory in chain.factories:
            address = bytes.fromhex(factory.address[2:])
            table.add(unverified(address, factory.protocol_code, Role.FACTORY, factory.venue_code))

    def meet(self, log: Log, block: Block, index: int, fetched: bool) -> None:
        """Take a log whose emitter has no row in the table."""
        address = log.address.lower()
        foreign = self._foreign.get(address)
        if foreign is not None and (foreign.standing is Standing.FALSE or self.now_ns < foreign.until_ns):
            self.counts[foreign.standing] += 1
            if foreign.holds is not None:
                self.undeclared.add(block.number)
            return
        suspect = self._suspects.get(address)
        if suspect is None:
            holds = foreign.holds if foreign is not None else None
            suspect = self._suspects[address] = _Suspect(self.now_ns, holds or Pauses(FIRST_RETRY_S, RETRY_S))
            self._begin(address, log)
        if self.held >= MAX_HELD or len(suspect.held) >= MAX_HELD_PER_EMITTER:
            self._settle(address, suspect, Standing.UNKNOWN)
            self.counts[Standing.UNKNOWN] += 1
            return
        suspect.held.append(Held(block, index, log, fetched))
        block.quarantined += 1
        self.held += 1

    def withdraw(self, blocks: Iterable[Block]) -> None:
        """These blocks left the chain: what is held of them goes back to wait for their return."""
        gone = {block.hash for block in blocks if block.quarantined}
        if not gone:
            return
        for suspect in self._suspects.values():
            for held in suspect.held:
                if held.block.hash in gone:
                    held.block.waiting.append((held.log_index, held.log, held.fetched))
                    held.block.quarantined -= 1
                    self.held -= 1
            suspect.held = [held for held in suspect.held if held.block.hash not in gone]

    def judge(self) -> None:
        """Decide what can be decided without the node.  Call it when blocks were closed, and on a timer."""
        if not self.connected:
            return
        for address, suspect in list(self._suspects.items()):
            self._ask_again(address, suspect)
            late = self.now_ns - suspect.since_ns > HOLD_S * NS
            if not (late or suspect.undecided):
                continue
            complete = all(held.block.progress is not Progress.OPEN for held in suspect.held)
            if late or complete:
                false = complete and is_lookalike([held.log for held in suspect.held])
                if not false and suspect.refused:
                    self._give_up(address, suspect)
                else:
                    self._settle(address, suspect, Standing.FALSE if false else Standing.UNKNOWN)

    def reconnected(self) -> None:
        """Verifications that the lost connection left without an answer begin anew, and so does their patience."""
        self.connected = True
        for address, suspect in list(self._suspects.items()):
            suspect.since_ns = self.now_ns
            suspect.pauses = Pauses(*ASK_PAUSES_S)
            self._ask_again(address, suspect)

    def _ask_again(self, address: str, suspect: _Suspect) -> None:
        if suspect.unanswered and suspect.held and self.now_ns >= suspect.pauses.due_ns:
            suspect.unanswered = False
            self._begin(address, suspect.held[0].log)

    def _begin(self, address: str, log: Log) -> None:
        topic = log.topics[0] if log.topics else None
        event = EVENT_OF_TOPIC.get((topic or "").lower())
        if event is None or event.role is not Role.POOL:
            self._found(address, Finding(Standing.UNKNOWN))
        else:
            self._verifier.verify(address, event.protocols, self._found)

    def _found(self, address: str, finding: Finding) -> None:
        suspect = self._suspects.get(address)
        if finding.standing is Standing.VERIFIED and finding.pool is not None:
            self.table.add(finding.pool)
            self._foreign.pop(address, None)
            released = suspect.held if suspect is not None else []
            self._suspects.pop(address, None)
            for held in released:
                held.block.quarantined -= 1
            self.held -= len(released)
            self._release(finding, released)
        elif suspect is not None and finding.standing is Standing.FALSE:
            self._settle(address, suspect, Standing.FALSE)
        elif suspect is not None:
            suspect.undecided, suspect.unanswered = not finding.again, finding.again
            suspect.refused = finding.refused
            suspect.pauses.failed(self.now_ns)

    def _settle(self, address: str, suspect: _Suspect, standing: Standing) -> None:
        """No event of this emitter will be published."""
        if len(self._foreign) >= MAX_FOREIGN:
            self._foreign.clear()
        self._foreign[address] = _Foreign(standing, self.now_ns + int(RETRY_S * NS))
        self._suspects.pop(address, None)
        self.counts[standing] += len(suspect.held)
        for held in suspect.held:
            held.block.quarantined -= 1
        self.held -= len(suspect.held)

    def _give_up(self, address: str, suspect: _Suspect) -> None:
        """The node did not say what this emitter is: what it emits is missing until it is asked again."""
        self.undeclared.update(held.block.number for held in suspect.held)
        self._settle(address, suspect, Standing.UNKNOWN)
        suspect.holds.failed(self.now_ns)
        self._foreign[address] = _Foreign(Standing.UNKNOWN, suspect.holds.due_ns, suspect.holds)
