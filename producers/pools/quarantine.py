"""Which emitters may be published, and the logs that wait until that is known.

Owns the quarantine: logs of unknown emitters, each emitter's in the order in which they came, and who is asked when.
It must never publish: what is released waits in its block again, and the next `advance` publishes it.  Questions are
`producers.pools.verification`'s, their meaning `producers.pools.inquiry`'s.

    first log of an emitter --> held in memory, the emitter is asked, the busiest first, in rounds of many
        VERIFIED           --> row in the table; what is held is released, what was let go is fetched (`healing`)
        FALSE, UNSUPPORTED --> its logs are let go: counted; until the proof's block leaves the chain, or `EXPIRES_S`
        a pool, its tokens do not answer --> held on, for `HOLD_S`; then VERIFIED without their decimals, asked on
        no answer yet      --> asked again after pauses that double
                           --> after `HOLD_S`, or beyond the bounds: its logs are let go and *declared* (`Unproven`),
                               and it is asked on, while its blocks are kept or logs of it come

What is let go is not lost: its block knows its identity, so it can be fetched, told from others and counted.  What an
emitter answers, or does not, makes no hole in the blocks: nobody can have one declared by deploying a contract.

Of each log with an event's topic that came, exactly one is true: it was published, filtered, refused by the decoder, is
held, or was let go as a lookalike, as unsupported or as unproven (`Statistics.event_logs`).
"""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Iterable
from functools import partial
from itertools import count

import msgspec

from producers.blocks.arrivals import Arrivals
from producers.blocks.block import Block, Progress
from producers.blocks.chain import Chain
from producers.context import Context
from producers.decode.pool_table import PoolTable, unverified
from producers.kinds.events import EVENT_OF_TOPIC, Role
from producers.node.rpc_types import Log
from producers.pools.healing import Healer
from producers.pools.inquiry import Finding, Inquiry, Standing, Token
from producers.pools.lookalikes import is_lookalike
from producers.pools.suspects import Held, Suspect, Suspects
from producers.pools.verification import Gain, Verifier
from tlv.layout import Unproven
from tlv.units import NS

MAX_HELD = 1 << 16
"""Logs in quarantine altogether; 100 blocks of Polygon from nothing but unknown pools."""
MAX_HELD_PER_EMITTER = 1 << 12
HOLD_S = 15.0
"""Longer than a request's time-out: a verification that is late once can still succeed."""
EXPIRES_S = 3600.0
"""How long a proof against an emitter is believed."""
TOKEN_PATIENCE = 4
"""Rounds without an answer, and `HOLD_S`, after which a pool is published without its tokens' decimals; they are asked
on."""
SAME_BLOCK = 64
"""An emitter is asked again as of the block that it was asked at, while the head is not further above it: a node that
lags behind each new block would never answer otherwise, and one keeps the state of 128."""
MOST_BLOCKS = 4
"""Different blocks that emitters are asked at again together; the others are asked at a new one."""
MATERIAL = 2
"""By how much the number of logs that were let go has to grow for another Unproven record."""
ADDRESS = re.compile("0x[0-9a-f]{40}")
QUIET_S = 900.0
"""An emitter without a log for so long is asked with its next one; the blocks of those before are forgotten by then."""
OPEN = (Standing.UNKNOWN, Standing.VERIFIED)
"""These are asked on: VERIFIED ones for their tokens."""


class Quarantine:
    """The emitters under verification, in front of the pool table."""

    def __init__(
        self, context: Context, table: PoolTable, tokens: dict[bytes, Token], chain: Chain, arrivals: Arrivals
    ) -> None:
        self.counts: Counter[Standing] = Counter()
        """Logs that were let go, by what is known of their emitter."""
        self.held = 0
        self.healer = Healer(context, chain, arrivals)
        self.settled_rows: list[int] = []
        """Rows of pools that were published without their tokens' decimals, and have them now; whoever tells of them
        empties it."""
        self.undecided = False
        """The structure of somebody's logs is to be looked at, once their blocks are closed."""
        self.agenda: list[tuple[int, int, str]] = []
        """Who is to be looked at again, and when: a heap."""
        self._context, self._clock, self._stats = context, context.clock, context.stats
        self._table, self._chain = table, chain
        self._verifier = Verifier(context, tokens)
        self._emitters = Suspects()
        self._connected = False
        """While it is not, nothing is judged: nobody can answer."""
        self._left_ns = context.clock.now_ns
        self._verified: list[Finding] = []
        self.to_declare: dict[str, Suspect] = {}
        """Suspects of which an Unproven record is due."""
        self._healing: dict[str, Suspect] = {}
        """Proven, and not caught up with."""
        self._ready: list[tuple[int, int, str]] = []
        """Who is to be asked as soon as there is room: a heap, the busiest first."""
        self._ties = count()
        for factory in context.chain.factories:
            address = bytes.fromhex(factory.address[2:])
            table.add(unverified(address, factory.protocol_code, Role.FACTORY, factory.venue_code))

    def take_verified(self) -> list[Finding]:
        """The pools verified since the last call."""
        verified, self._verified = self._verified, []
        return verified

    def take_declared(self) -> list[Unproven]:
        """What is to be told of unproven emitters since the last call."""
        emitters, self.to_declare = self.to_declare, {}
        for emitter in emitters.values():
            proven_otherwise = emitter.standing in (Standing.FALSE, Standing.UNSUPPORTED)
            emitter.declared = 0 if proven_otherwise else max(emitter.let_go, 0)
        return [
            Unproven(max(some.since_block, 0), some.declared, some.protocol, bytes.fromhex(some.address[2:]))
            for some in emitters.values()
        ]

    def held_back(self, block: Block) -> int:
        """How many logs of `block` wait for their emitters to be proven."""
        unknown = 0
        for address, identities in block.unpublished.items():
            emitter = self._emitters.get(address)
            if emitter is None or emitter.standing not in (Standing.FALSE, Standing.UNSUPPORTED):
                unknown += len(identities)
        return unknown + block.quarantined

    # What comes

    def take(self, log: Log, block: Block, index: int, fetched: bool) -> None:
        """Take a log whose emitter has no row in the table."""
        if not log.address.islower():
            self._respell(log, block, index, fetched)
            return
        emitter = self._emitters.get(log.address)
        if emitter is None:
            if ADDRESS.fullmatch(log.address) is None:
                block.disbelieve(log, [])  # garbled on its way
                self._stats.event_logs -= 1
                return
            emitter = self._meet(log)
        elif emitter.standing is not Standing.UNKNOWN and self._clock.now_ns >= emitter.expires_ns:
            self._reconsider(emitter)
        if emitter.holding and self.held < MAX_HELD and len(emitter.held) < MAX_HELD_PER_EMITTER:
            emitter.held.append(Held(block, index, log, fetched))
            block.hold()
            self.held += 1
            return
        if emitter.holding:
            self._stop_holding(emitter, Standing.UNKNOWN)
        self._let_go(emitter, block, log)
        if not emitter.planned and emitter.standing is Standing.UNKNOWN:
            self._plan(emitter, 0)

    def _respell(self, log: Log, block: Block, index: int, fetched: bool) -> None:
        """An address in capitals (EIP-55) names the same emitter: its log waits again, in the usual spelling."""
        block.hold()
        self._release(Held(block, index, msgspec.structs.replace(log, address=log.address.lower()), fetched))

    def keep_behind(self, log: Log, block: Block) -> None:
        """Let go of a log of a proven pool that is not caught up with: it comes behind what is being fetched."""
        if block.withhold(log):
            self.counts[Standing.UNKNOWN] += 1
            self.healer.want(log.address, block)
            if log.address in self._healing:
                self._healing[log.address].let_one_go(block, self._clock.now_ns)

    def withdraw(self, blocks: Iterable[Block]) -> None:
        """These blocks left the chain: what is held of them waits for their return, what they prove is void."""
        gone = {block.hash: block for block in blocks}
        if not gone:
            return
        self._count_let_go(gone.values(), -1)
        for emitter in self._emitters.values():
            kept = []
            for held in emitter.held:
                if held.block.hash in gone:
                    self.held -= 1
                    self._release(held)
                else:
                    kept.append(held)
            emitter.held = kept
            if any(block.hash in gone for block in emitter.proof):
                self._reconsider(emitter)

    def enter(self, block: Block) -> None:
        """A block that let go of logs is back: some of their emitters may be proven meanwhile."""
        self._count_let_go([block], 1)
        for address in block.unpublished:
            if address in self._table.row_of:
                self.healer.want(address, block)

    def disconnected(self) -> None:
        """Nobody can answer."""
        if self._connected:
            self._left_ns = self._clock.now_ns
        self._connected = False

    def reconnected(self) -> None:
        """What the lost connection left without an answer is asked anew; the time between the two counts for nothing.

        Deadlines do not begin anew: logs that are held keep their block from ending, for which an endpoint may be left
        before `HOLD_S` are over, time and again.
        """
        self._connected = True
        now_ns = self._clock.now_ns
        self._context.calls.reconnected()
        self.healer.reconnected()
        for emitter in self._emitters.values():
            if emitter.standing in OPEN:
                emitter.hurry(min(emitter.since_ns + now_ns - self._left_ns, now_ns))
                self._plan(emitter, 0)
                self._plan(emitter, max(emitter.since_ns + int(HOLD_S * NS) + 1 - now_ns, 0))

    # Who is asked

    def judge(self) -> None:
        """Ask who is due, decide what can be decided without the node.  Call it after blocks were closed."""
        if not self._connected:
            return
        if self.healer.gate:
            self.healer.pump()
        if self.healer.released or self.healer.healed:
            self._take_healed()
        self._look_at_due()
        while self._ready and (room := self._verifier.room(len(self._ready))):
            self._ask(self._take_busiest(room))

    def _take_busiest(self, most: int) -> list[Suspect]:
        """So many of those who are to be asked."""
        busiest: list[Suspect] = []
        while self._ready and len(busiest) < most:
            emitter = self._emitters.get(heapq.heappop(self._ready)[2])
            if emitter is not None and emitter.ready:
                emitter.ready = False
                busiest += [emitter] if emitter.standing in OPEN else []
        return busiest

    def _look_at_due(self) -> None:
        """Decide what is late, and note who is to be asked."""
        looked_at = self._emitters.values() if self.undecided else []
        self.undecided = False
        while self.agenda and self.agenda[0][0] <= self._clock.now_ns:
            emitter = self._emitters.get(heapq.heappop(self.agenda)[2])
            if emitter is None:
                continue
            emitter.planned -= 1
            looked_at.append(emitter)
            due = not emitter.asking and emitter.pauses.due_ns <= self._clock.now_ns
            if due and not emitter.ready and emitter.standing in OPEN:
                emitter.ready = True
                heapq.heappush(self._ready, (-len(emitter.held) - emitter.let_go, next(self._ties), emitter.address))
        for emitter in looked_at:
            if emitter.holding and self._is_out_of_patience(emitter):
                self._prove(emitter, emitter.inquiry.finding(self._verifier.tokens))
            elif emitter.undecided or (emitter.holding and self._is_late(emitter)):
                self._decide_by_structure(emitter)

    def _ask(self, emitters: list[Suspect]) -> None:
        """One round for each block that some were asked at before, one for those whose blocks have their state, one at
        the head for the others."""
        again: dict[Block, list[Suspect]] = {}
        at_logs: list[Suspect] = []
        at_head: list[Suspect] = []
        for emitter in emitters:
            before = self._asked_before(emitter)
            if before is not None and (before in again or len(again) < MOST_BLOCKS):
                again.setdefault(before, []).append(emitter)
            else:
                (at_logs if emitter.held and not emitter.pruned else at_head).append(emitter)
        newest = max((held.block for some in at_logs for held in some.held), key=lambda b: b.number, default=None)
        if newest is None or not self._chain.is_canonical(newest):
            newest = self._chain.head
        for block, group in (*again.items(), (newest, at_logs), (self._chain.head, at_head)):
            if group and block is not None:
                for emitter in group:
                    emitter.asking, emitter.asked_at = True, block
                self._verifier.ask([some.inquiry for some in group], block, partial(self._take_gains, group))

    def _asked_before(self, emitter: Suspect) -> Block | None:
        """The block that it was asked at, if what is said there counts and the node has it still."""
        head, block = self._chain.head, emitter.asked_at
        if head is None or block is None or head.number - block.number > SAME_BLOCK:
            return None
        return block if self._is_proof(emitter, block) else None

    def _take_gains(self, emitters: list[Suspect], gains: list[Gain]) -> None:
        for emitter, gain in zip(emitters, gains, strict=True):
            emitter.asking = False
            if self._emitters.get(emitter.address) is emitter:
                self._weigh(emitter, gain)

    def _weigh(self, emitter: Suspect, gain: Gain) -> None:
        inquiry, progress = emitter.inquiry, gain.progress
        inquiry.open_calls()  # looks for the factory
        if inquiry.pool is not None:
            finding = inquiry.finding(self._verifier.tokens)
            known = emitter.standing is Standing.VERIFIED
            hopeless = gain.pruned and emitter.pruned
            if not known:
                emitter.wait_for_tokens(self._clock.now_ns)
            if finding.settled or known or hopeless or self._is_out_of_patience(emitter):
                self._prove(emitter, finding)
            emitter.token_failures += not gain.progress
        elif (against := inquiry.against()) is not None:
            if not inquiry.forget(against, partial(self._is_proof, emitter)):
                self._refute(emitter, against.standing, inquiry.blocks(against))
                return
            progress = False
        if self._emitters.get(emitter.address) is not emitter:
            return
        if progress:
            emitter.resume_asking()
            self._plan(emitter, 0)
            return
        if gain.pruned and (emitter.pruned or not emitter.holding):
            emitter.undecided = emitter.holding
            self.undecided = self.undecided or emitter.undecided
        if gain.pruned and not emitter.pruned:
            emitter.pruned, emitter.asked_at = True, None
            self._plan(emitter, 0)
            return
        emitter.pauses.failed(self._clock.now_ns)
        if emitter.holding or self._clock.now_ns - emitter.last_ns < QUIET_S * NS:
            self._plan(emitter, emitter.pauses.due_ns - self._clock.now_ns)

    def _is_proof(self, emitter: Suspect, block: Block) -> bool:
        """Whether what was said at `block` proves something against the emitter of these logs."""
        logs = [held.block.number for held in emitter.held] or [emitter.since_block]
        return self._chain.is_canonical(block) and block.number >= min(logs)

    # What is decided

    def _prove(self, emitter: Suspect, finding: Finding) -> None:
        """It is a pool.  Where its tokens did not say what they are, they are asked on."""
        assert finding.pool is not None
        known = emitter.standing is Standing.VERIFIED
        if known and finding.pool == emitter.inquiry.pool and not finding.settled:
            return  # its tokens said nothing new
        row = self._table.add(finding.pool)
        emitter.inquiry.pool = finding.pool
        if finding.settled:
            self._verified.append(finding)
            self._emitters.remove(emitter)
        if known:
            self.settled_rows.append(row)
            return
        self._stats.pools += 1
        held = emitter.stop_holding(Standing.VERIFIED)
        self.held -= len(held)
        if not self.healer.heal(emitter.address):
            for some in held:
                self._release(some)
            if emitter.declared:
                self._declare(emitter)
            return
        self._healing[emitter.address] = emitter
        for some in held:
            some.block.drop_held()
            self.keep_behind(some.log, some.block)

    def _refute(self, emitter: Suspect, standing: Standing, proof: list[Block]) -> None:
        """It is no pool of ours, as long as these blocks stand."""
        self.counts[Standing.UNKNOWN] -= emitter.counted
        self.counts[standing] += emitter.counted
        if emitter.declared:
            self._declare(emitter)
        emitter.proof = proof
        emitter.expires_ns = self._clock.now_ns + int(EXPIRES_S * NS)
        self._stop_holding(emitter, standing)

    def _reconsider(self, emitter: Suspect) -> None:
        """A proof against it is void, or too old."""
        self.counts[emitter.standing] -= emitter.counted
        self.counts[Standing.UNKNOWN] += emitter.counted
        self._begin(emitter)

    def _decide_by_structure(self, emitter: Suspect) -> None:
        """The node cannot say: its logs may, if all of their blocks are there; else it is declared."""
        if not emitter.holding:
            emitter.undecided = False
            return
        complete = all(held.block.progress is not Progress.OPEN for held in emitter.held)
        if complete and is_lookalike([held.log for held in emitter.held]):
            self._refute(emitter, Standing.FALSE, [held.block for held in emitter.held])
        elif complete or self._is_late(emitter):
            self._stop_holding(emitter, Standing.UNKNOWN)
            self._plan(emitter, 0)
        else:
            self.undecided = True

    # Records of emitters

    def _meet(self, log: Log) -> Suspect:
        event = EVENT_OF_TOPIC[log.topics[0] or ""]
        protocols = event.protocols if event.role is Role.POOL else ()
        inquiry = Inquiry(self._context.chain, log.address, protocols)
        emitter = Suspect(inquiry, protocols[0] if protocols else 0, self._clock.now_ns)
        forgotten = self._emitters.add(emitter)
        if forgotten is not None and forgotten.holding:
            self._stop_holding(forgotten, Standing.UNKNOWN)
        if not protocols:  # an event of factories, of one that is not configured
            emitter.expires_ns = self._clock.now_ns + int(EXPIRES_S * NS)
            emitter.stop_holding(Standing.UNSUPPORTED)
            return emitter
        self._plan(emitter, 0)
        self._plan(emitter, int(HOLD_S * NS) + 1)
        return emitter

    def _begin(self, emitter: Suspect) -> None:
        emitter.begin(self._clock.now_ns)
        self._plan(emitter, 0)
        self._plan(emitter, int(HOLD_S * NS) + 1)

    def _is_late(self, emitter: Suspect) -> bool:
        return self._clock.now_ns - emitter.since_ns > HOLD_S * NS

    def _is_out_of_patience(self, emitter: Suspect) -> bool:
        """Whether the tokens of a pool were asked long and often enough."""
        return emitter.inquiry.pool is not None and emitter.token_failures >= TOKEN_PATIENCE and self._is_late(emitter)

    def _plan(self, emitter: Suspect, delay_ns: int) -> None:
        emitter.planned += 1
        heapq.heappush(self.agenda, (self._clock.now_ns + delay_ns, next(self._ties), emitter.address))

    def _stop_holding(self, emitter: Suspect, standing: Standing) -> None:
        held = emitter.stop_holding(standing)
        self.held -= len(held)
        for some in held:
            some.block.drop_held()
            self._let_go(emitter, some.block, some.log)

    def _let_go(self, emitter: Suspect, block: Block, log: Log) -> None:
        if not block.withhold(log):
            return
        self.counts[emitter.standing] += 1
        emitter.let_one_go(block, self._clock.now_ns)
        if emitter.standing is Standing.UNKNOWN and emitter.let_go >= MATERIAL * emitter.declared:
            self._declare(emitter)

    def _declare(self, emitter: Suspect) -> None:
        self.to_declare[emitter.address] = emitter

    def _release(self, held: Held) -> None:
        """A held log waits in its block again."""
        held.block.requeue(held.log_index, held.log, held.fetched)
        self._stats.event_logs -= 1

    def _count_let_go(self, blocks: Iterable[Block], sign: int) -> None:
        """Logs of these blocks are of the chain, or no more."""
        for block in blocks:
            for address, identities in block.unpublished.items():
                emitter = self._emitters.get(address) or self._healing.get(address)
                if emitter is not None:
                    emitter.let_go += sign * len(identities)

    def _take_healed(self) -> None:
        """Count what waits in its blocks again, and say of whom nothing is held back any more."""
        released, self.healer.released = self.healer.released, Counter()
        healed, self.healer.healed = self.healer.healed, []
        for address, number in released.items():
            self.counts[Standing.UNKNOWN] -= number
            self._stats.event_logs -= number
            self._stats.healed_logs += number
            if address in self._healing:
                self._healing[address].let_go -= number
        for address in healed:
            emitter = self._healing.pop(address, None)
            if emitter is not None and emitter.declared:
                self._declare(emitter)
