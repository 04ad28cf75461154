"""Which emitters may be published, and the logs that wait until that is known.

Owns the quarantine: logs of unknown emitters, each emitter's in the order in which they came.  It must never publish:
released logs wait in their blocks again, and the next `advance` publishes them.  Verification itself is
`producers.pools.verification`.

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
from collections.abc import Iterable
from typing import NamedTuple

from producers.blocks.block import Block, Progress
from producers.context import Context
from producers.decode.pool_table import PoolTable, unverified
from producers.kinds.events import EVENT_OF_TOPIC, Role
from producers.node.rpc_types import Log
from producers.pools.lookalikes import is_lookalike
from producers.pools.pauses import Pauses
from producers.pools.verification import Finding, Standing, Token, Verifier
from tlv.units import NS

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
        """The node has no answer; the structure of its logs decides."""
        self.unanswered = False
        """What came proves nothing; it is asked again when `pauses` says so."""


class Quarantine:
    """The emitters under verification, in front of the pool table."""

    def __init__(self, context: Context, table: PoolTable, tokens: dict[bytes, Token]) -> None:
        self.counts: Counter[Standing] = Counter()
        """Logs that were not published: FALSE = lookalikes, UNKNOWN = quarantined."""
        self.held = 0
        self.undeclared: set[int] = set()
        """Numbers of blocks that lack logs because the node gave no answer; whoever declares them empties it."""
        self._clock, self._stats, self._table = context.clock, context.stats, table
        self._verifier = Verifier(context.chain, context.rpc, tokens)
        self._connected = False
        """While it is not, nothing is judged: nobody can answer."""
        self._verified: list[Finding] = []
        self._inconclusive = 0
        """Suspects whose verification ended without saying what they are."""
        self.suspects: dict[str, _Suspect] = {}
        """By address, the oldest first: without any, there is nothing to judge."""
        self._foreign: dict[str, _Foreign] = {}
        for factory in context.chain.factories:
            address = bytes.fromhex(factory.address[2:])
            table.add(unverified(address, factory.protocol_code, Role.FACTORY, factory.venue_code))

    def take_verified(self) -> list[Finding]:
        """The pools verified since the last call."""
        verified, self._verified = self._verified, []
        return verified

    def disconnected(self) -> None:
        """Nobody can answer."""
        self._connected = False

    def take(self, log: Log, block: Block, index: int, fetched: bool) -> None:
        """Take a log whose emitter has no row in the table."""
        address = log.address.lower()
        foreign = self._foreign.get(address)
        if foreign is not None and (foreign.standing is Standing.FALSE or self._clock.now_ns < foreign.until_ns):
            self.counts[foreign.standing] += 1
            if foreign.holds is not None:
                self.undeclared.add(block.number)
            return
        suspect = self.suspects.get(address)
        if suspect is None:
            holds = foreign.holds if foreign is not None else None
            suspect = _Suspect(self._clock.now_ns, holds or Pauses(FIRST_RETRY_S, RETRY_S))
            self.suspects[address] = suspect
            self._begin(address, log)
        if self.held >= MAX_HELD or len(suspect.held) >= MAX_HELD_PER_EMITTER:
            self._settle(address, Standing.UNKNOWN)
            self.counts[Standing.UNKNOWN] += 1
            return
        suspect.held.append(Held(block, index, log, fetched))
        block.hold()
        self.held += 1

    def withdraw(self, blocks: Iterable[Block]) -> None:
        """These blocks left the chain: what is held of them goes back to wait for their return."""
        gone = {block.hash for block in blocks if block.quarantined}
        if not gone:
            return
        for suspect in self.suspects.values():
            for held in suspect.held:
                if held.block.hash in gone:
                    held.block.requeue(held.log_index, held.log, held.fetched)
                    self.held -= 1
            suspect.held = [held for held in suspect.held if held.block.hash not in gone]

    def judge(self) -> None:
        """Decide what can be decided without the node: call it after blocks were closed, and on a timer."""
        if not self._connected or not (self._inconclusive or self._is_late(next(iter(self.suspects.values())))):
            return
        for address, suspect in list(self.suspects.items()):
            self._ask_again(address, suspect)
            late = self._is_late(suspect)
            if not (late or suspect.undecided):
                continue
            complete = all(held.block.progress is not Progress.OPEN for held in suspect.held)
            if late or complete:
                false = complete and is_lookalike([held.log for held in suspect.held])
                if not false and suspect.refused:
                    self._give_up(address, suspect)
                else:
                    self._settle(address, Standing.FALSE if false else Standing.UNKNOWN)

    def reconnected(self) -> None:
        """Verifications that the lost connection left without an answer begin anew, and so do their deadlines."""
        self._connected = True
        for address, suspect in list(self.suspects.items()):
            suspect.since_ns = self._clock.now_ns
            suspect.pauses = Pauses(*ASK_PAUSES_S)
            self._ask_again(address, suspect)

    def _is_late(self, suspect: _Suspect) -> bool:
        return self._clock.now_ns - suspect.since_ns > HOLD_S * NS

    def _ask_again(self, address: str, suspect: _Suspect) -> None:
        if suspect.unanswered and suspect.held and self._clock.now_ns >= suspect.pauses.due_ns:
            self._mark(suspect, undecided=suspect.undecided, unanswered=False)
            self._begin(address, suspect.held[0].log)

    def _begin(self, address: str, log: Log) -> None:
        topic = log.topics[0] if log.topics else None
        event = EVENT_OF_TOPIC.get((topic or "").lower())
        if event is None or event.role is not Role.POOL:
            self._found(address, Finding(Standing.UNKNOWN))
        else:
            self._verifier.verify(address, event.protocols, self._found)

    def _found(self, address: str, finding: Finding) -> None:
        suspect = self.suspects.get(address)
        if finding.standing is Standing.VERIFIED and finding.pool is not None:
            self._table.add(finding.pool)
            self._stats.pools += 1
            self._verified.append(finding)
            self._foreign.pop(address, None)
            for held in self._end(address):
                held.block.requeue(held.log_index, held.log, held.fetched)
        elif suspect is not None and finding.standing is Standing.FALSE:
            self._settle(address, Standing.FALSE)
        elif suspect is not None:
            self._mark(suspect, undecided=not finding.again, unanswered=finding.again)
            suspect.refused = finding.refused
            suspect.pauses.failed(self._clock.now_ns)

    def _settle(self, address: str, standing: Standing) -> None:
        """No event of this emitter will be published."""
        if len(self._foreign) >= MAX_FOREIGN:
            self._foreign.clear()
        self._foreign[address] = _Foreign(standing, self._clock.now_ns + int(RETRY_S * NS))
        ended = self._end(address)
        self.counts[standing] += len(ended)
        for held in ended:
            held.block.drop_held()

    def _give_up(self, address: str, suspect: _Suspect) -> None:
        """The node did not say what this emitter is: what it emits is missing until it is asked again."""
        self.undeclared.update(held.block.number for held in suspect.held)
        self._settle(address, Standing.UNKNOWN)
        suspect.holds.failed(self._clock.now_ns)
        self._foreign[address] = _Foreign(Standing.UNKNOWN, suspect.holds.due_ns, suspect.holds)

    def _end(self, address: str) -> list[Held]:
        """It is known what the emitter is: its logs are held no more, and returned."""
        suspect = self.suspects.pop(address, None)
        if suspect is None:
            return []
        self._mark(suspect, undecided=False, unanswered=False)
        self.held -= len(suspect.held)
        return suspect.held

    def _mark(self, suspect: _Suspect, *, undecided: bool, unanswered: bool) -> None:
        before = suspect.undecided or suspect.unanswered
        suspect.undecided, suspect.unanswered = undecided, unanswered
        self._inconclusive += (undecided or unanswered) - before
