"""Which emitters may be published, and the logs that wait until that is known.

Owns the quarantine: logs of unknown emitters, each emitter's in the order in which they came, and the verdicts.  It
must never publish: what is released waits in its block again, and the next `advance` publishes it.  Questions are
`producers.pools.verification`'s, their meaning `producers.pools.inquiry`'s.

    first log of an emitter --> held in memory, the emitter is asked, the busiest first, in rounds of many
        VERIFIED           --> row in the table; what is held is released, what was let go is fetched (`healing`)
        FALSE, UNSUPPORTED --> its logs are let go: counted; until the proof's block leaves the chain, or `EXPIRES_S`
        a pool, its tokens do not answer --> held on, for `HOLD_S`; then VERIFIED without their decimals, asked on
        no answer yet      --> asked again after pauses that double
                           --> after `HOLD_S`, or beyond the bounds: its logs are let go and *declared* (`Unproven`),
                               and it is asked on, while its blocks are kept or logs of it come

Where unproven events are published (`--unproven publish`), an emitter that was declared has its events published in
their places, flagged UNPROVEN, what was held of it too.  What is let go, flagged and declared is accounted for in
`producers.pools.account`; when an emitter is asked, and as of which block, is `producers.pools.questioning`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial

import msgspec

from producers.blocks.arrivals import Arrivals
from producers.blocks.block import Block, Progress
from producers.blocks.chain import Chain
from producers.context import Context
from producers.decode.marked import Marked, marked_in
from producers.decode.pool_table import PoolTable, unverified
from producers.kinds.emitter_key import is_garbled, is_plain
from producers.kinds.events import EVENT_OF_TOPIC, Role, event_of
from producers.kinds.proving import Standing
from producers.node.rpc_types import Log
from producers.pools.account import Account
from producers.pools.inquiry import Finding, Inquiry, Token
from producers.pools.lookalikes import is_lookalike
from producers.pools.questioning import OPEN, Questioning
from producers.pools.suspects import Held, Suspect, Suspects
from producers.pools.verification import Gain
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
ADDRESS = re.compile("0x[0-9a-f]{40}")
GARBLED = -1
"""In place of a row."""
QUIET_S = 900.0
"""An emitter without a log for so long is asked with its next one; the blocks of those before are forgotten by then."""


class Quarantine:
    """The emitters under verification, in front of the pool table."""

    def __init__(
        self, context: Context, table: PoolTable, tokens: dict[bytes, Token], chain: Chain, arrivals: Arrivals
    ) -> None:
        self.held = 0
        self.settled_rows: list[int] = []
        """Rows of pools that were published without their tokens' decimals, and have them now; whoever tells of them
        empties it."""
        self.confirmed_rows: list[int] = []
        """Rows of pools whose flagged events stand, until readers hear who they are."""
        self.undecided = False
        """The structure of somebody's logs is to be looked at, once their blocks are closed."""
        self._context, self._clock, self._stats = context, context.clock, context.stats
        self._table, self._chain = table, chain
        self._emitters = Suspects()
        self.account = Account(context, table, chain, self._emitters, arrivals)
        self.questioning = Questioning(context, chain, tokens, self._emitters)
        self._connected = False
        """While it is not, nothing is judged: nobody can answer."""
        self._left_ns = context.clock.now_ns
        self._verified: list[Finding] = []
        self._forgotten: list[str] = []
        """Emitters that left the book; their rows are free when no batch is being put together."""
        self._hubs = frozenset(factory.address for factory in context.chain.factories)
        """Whoever names many pools and is one of these has them; the others may name what they like."""
        for factory in context.chain.factories:
            address = bytes.fromhex(factory.address[2:])
            table.add(unverified(address, factory.protocol_code, Role.FACTORY, factory.venue_code))

    def take_verified(self) -> list[Finding]:
        """The pools verified since the last call."""
        verified, self._verified = self._verified, []
        return verified

    # What comes

    def take(self, key: str, log: Log, block: Block, index: int, fetched: bool) -> int | None:
        """Take a log whose pool, named `key`, is not proven; returns a row of the table if it is to be published,
        flagged, and `GARBLED` if it was pushed and cannot be what the chain has."""
        emitter = self._emitters.by_key.get(key)
        if (
            emitter is not None
            and emitter.holding
            and self.held < MAX_HELD
            and len(emitter.held) < MAX_HELD_PER_EMITTER
        ):
            # Nearly all that come, and in a burst at the start that is most logs: nothing else is looked at.
            if key != log.address:
                emitter.inquiry.hear(log)
            emitter.held.append(Held(block, index, log, fetched))
            block.hold()
            self.held += 1
            return None
        if not log.address.islower():
            self._respell(log, block, index, fetched)
            return None
        if emitter is None:
            if not fetched and self._is_garbled(key, log):
                return GARBLED
            if ADDRESS.fullmatch(log.address) is None:
                block.disbelieve(log, [])
                self._stats.event_logs -= 1
                return None
            if self._emitters.is_crowded(key) and log.address not in self._hubs:
                return self.take(log.address, log, block, index, fetched)
            emitter = self._meet(key, log)
        elif emitter.standing is not Standing.UNKNOWN and self._clock.now_ns >= emitter.expires_ns:
            self._reconsider(emitter)
        if emitter.holding and self.held < MAX_HELD and len(emitter.held) < MAX_HELD_PER_EMITTER:
            return self.take(key, log, block, index, fetched)
        if emitter.holding:
            self._stop_holding(emitter, Standing.UNKNOWN)
        if not emitter.planned and emitter.standing is Standing.UNKNOWN:
            self.questioning.plan(emitter, 0)
        if not self._may_be_marked(emitter):
            self.account.let_go(emitter, block, log)
        elif emitter.announced:
            return self.account.marked.row_of(log)
        else:  # behind its record, and behind what was held of it
            block.hold()
            self._release(Held(block, index, log, fetched))
        return None

    def _is_garbled(self, key: str, log: Log) -> bool:
        """Whether a log was garbled on its way: no chain has it, or it names no pool where all others do."""
        if ADDRESS.fullmatch(log.address) is None:
            return True
        names_none = bool(EVENT_OF_TOPIC[log.topics[0] or ""].names_pool) and is_plain(key)
        return names_none and (log.address in self._table.named or is_garbled(log))

    def _may_be_marked(self, emitter: Suspect) -> bool:
        """Whether its events are published, flagged: not where nobody knows which coins they move, and which way."""
        return emitter.standing is Standing.UNKNOWN and self.account.marked.wanted and is_plain(emitter.key)

    def recall(self, blocks: list[Block]) -> None:
        """An earlier collector published these; the emitters of flagged events are asked on."""
        for block in blocks:
            self.account.marked.recall(block)
            for found in (found for segment in block.published for found in marked_in(segment)):
                emitter = self._emitters.get(found.emitter) or self._meet_again(found)
                if emitter is not None:
                    emitter.mark(block, 1, self._clock.now_ns)
                    emitter.declared += 1

    def _meet_again(self, found: Marked) -> Suspect | None:
        """The emitter of a flagged event that is in the ring: it was declared."""
        event = event_of(found.record)
        if event is None:
            return None
        inquiry = Inquiry(self._context.chain, found.emitter, event.protocols)
        emitter = Suspect(inquiry, found.record.protocol, self._clock.now_ns)
        emitter.stop_holding(Standing.UNKNOWN)
        emitter.announced = True
        self._emitters.add(emitter)
        self.questioning.plan(emitter, 0)
        return emitter

    def _respell(self, log: Log, block: Block, index: int, fetched: bool) -> None:
        """An address in capitals (EIP-55) names the same emitter: its log waits again, in the usual spelling."""
        block.hold()
        self._release(Held(block, index, msgspec.structs.replace(log, address=log.address.lower()), fetched))

    def withdraw(self, blocks: Iterable[Block]) -> None:
        """These blocks left the chain: what is held of them waits for their return, what they prove is void."""
        gone = {block.hash: block for block in blocks}
        if not gone:
            return
        self.account.leave(gone.values())
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
        self.account.healer.reconnected()
        for emitter in self._emitters.values():
            if emitter.standing in OPEN:
                emitter.hurry(min(emitter.since_ns + now_ns - self._left_ns, now_ns))
                self.questioning.plan(emitter, 0)
                self.questioning.plan(emitter, max(emitter.since_ns + int(HOLD_S * NS) + 1 - now_ns, 0))

    # What is decided

    def judge(self) -> None:
        """Ask who is due, decide what can be decided without the node.  Call it after blocks were closed."""
        if not self._connected:
            return
        while self._forgotten:
            self._table.drop_unproven(self._forgotten.pop())
        healer = self.account.healer
        if healer.gate:
            healer.pump()
        if healer.released or healer.healed:
            self.account.take_healed()
        self._decide_late()
        self.questioning.ask(self._weigh)

    def _decide_late(self) -> None:
        """Decide what is late."""
        looked_at = self._emitters.values() if self.undecided else []
        self.undecided = False
        for emitter in (*looked_at, *self.questioning.take_due()):
            if emitter.holding and self._is_out_of_patience(emitter):
                self._prove(emitter, emitter.inquiry.finding(self.questioning.tokens))
            elif emitter.undecided or (emitter.holding and self._is_late(emitter)):
                self._decide_by_structure(emitter)

    def _weigh(self, emitter: Suspect, gain: Gain) -> None:
        inquiry, progress = emitter.inquiry, gain.progress
        inquiry.open_questions()  # looks for the factory
        if inquiry.pool is not None:
            finding = inquiry.finding(self.questioning.tokens)
            known = emitter.standing is Standing.VERIFIED
            hopeless = gain.pruned and emitter.pruned
            if not known:
                emitter.wait_for_tokens(self._clock.now_ns)
            if finding.settled or known or hopeless or self._is_out_of_patience(emitter):
                self._prove(emitter, finding)
            emitter.token_failures += not gain.progress
        elif (against := inquiry.against()) is not None:
            if not inquiry.forget(against, partial(self.questioning.is_proof, emitter)):
                emitter.maker = against.factory
                self._refute(emitter, against.standing, inquiry.blocks(against))
                return
            progress = False
        if self._emitters.get(emitter.key) is not emitter:
            return
        if progress:
            emitter.resume_asking()
            self.questioning.plan(emitter, 0)
            return
        if gain.pruned and (emitter.pruned or not emitter.holding):
            emitter.undecided = emitter.holding
            self.undecided = self.undecided or emitter.undecided
        if gain.pruned and not emitter.pruned:
            emitter.pruned, emitter.asked_at = True, None
            self.questioning.plan(emitter, 0)
            return
        emitter.pauses.failed(self._clock.now_ns)
        if emitter.holding or self._clock.now_ns - emitter.last_ns < QUIET_S * NS:
            self.questioning.plan(emitter, emitter.pauses.due_ns - self._clock.now_ns)

    def _prove(self, emitter: Suspect, finding: Finding) -> None:
        """It is a pool.  Where its tokens did not say what they are, they are asked on."""
        assert finding.pool is not None
        known = emitter.standing is Standing.VERIFIED
        if known and finding.pool == emitter.inquiry.pool and not finding.settled:
            return  # its tokens said nothing new
        row = self._table.add(finding.pool, emitter.key)
        if emitter.inquiry.coins:
            self._table.coins[row] = emitter.inquiry.coins
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
        if self.account.prove(emitter):
            for some in held:
                some.block.drop_held()
                self.account.keep_behind(emitter.key, some.log, some.block)
            return
        for some in held:
            self._release(some)
        if emitter.marked:
            self.confirmed_rows.append(row)

    def _refute(self, emitter: Suspect, standing: Standing, proof: list[Block]) -> None:
        """It is no pool of ours, as long as these blocks stand."""
        self.account.refute(emitter, standing)
        emitter.proof = proof
        emitter.expires_ns = self._clock.now_ns + int(EXPIRES_S * NS)
        self._stop_holding(emitter, standing)

    def _reconsider(self, emitter: Suspect) -> None:
        """A proof against it is void, or too old."""
        self.account.reconsider(emitter)
        self._begin(emitter)

    def _decide_by_structure(self, emitter: Suspect) -> None:
        """The node cannot say: its logs may, those of complete blocks, once no more come; else it is declared."""
        if not emitter.holding:
            emitter.undecided = False
            return
        settled = all(held.block.progress is not Progress.OPEN for held in emitter.held)
        complete = [held for held in emitter.held if held.block.progress is Progress.CLOSED and not held.block.recalled]
        if settled and is_lookalike([held.log for held in complete]):
            self._refute(emitter, Standing.FALSE, [held.block for held in complete])
        elif settled or self._is_late(emitter):
            self._stop_holding(emitter, Standing.UNKNOWN)
            self.questioning.plan(emitter, 0)
        else:
            self.undecided = True

    # Records of emitters

    def _meet(self, key: str, log: Log) -> Suspect:
        event = EVENT_OF_TOPIC[log.topics[0] or ""]
        protocols = event.protocols if event.role is Role.POOL else ()
        inquiry = Inquiry(self._context.chain, key, protocols)
        emitter = Suspect(inquiry, protocols[0] if protocols else 0, self._clock.now_ns)
        forgotten = self._emitters.add(emitter)
        if forgotten is not None:
            self._forget(forgotten)
        if not protocols:  # an event of factories, of one that is not configured
            emitter.expires_ns = self._clock.now_ns + int(EXPIRES_S * NS)
            emitter.stop_holding(Standing.UNSUPPORTED)
            return emitter
        self.questioning.plan(emitter, 0)
        self.questioning.plan(emitter, int(HOLD_S * NS) + 1)
        return emitter

    def _forget(self, emitter: Suspect) -> None:
        """There is no room for it in the book: it is asked again when its next log comes."""
        self._forgotten.append(emitter.key)
        if emitter.holding:
            held = emitter.stop_holding(Standing.UNKNOWN)
            self.held -= len(held)
            self.account.let_go_held(emitter, held)

    def _begin(self, emitter: Suspect) -> None:
        emitter.begin(self._clock.now_ns)
        self.questioning.plan(emitter, 0)
        self.questioning.plan(emitter, int(HOLD_S * NS) + 1)

    def _is_late(self, emitter: Suspect) -> bool:
        return self._clock.now_ns - emitter.since_ns > HOLD_S * NS

    def _is_out_of_patience(self, emitter: Suspect) -> bool:
        """Whether the tokens of a pool were asked long and often enough."""
        return emitter.inquiry.pool is not None and emitter.token_failures >= TOKEN_PATIENCE and self._is_late(emitter)

    def _stop_holding(self, emitter: Suspect, standing: Standing) -> None:
        held = emitter.stop_holding(standing)
        self.held -= len(held)
        if not self._may_be_marked(emitter):
            self.account.let_go_held(emitter, held)
            return
        self.account.declare(emitter)
        for some in held:
            self._release(some)

    def _release(self, held: Held) -> None:
        """A held log waits in its block again."""
        held.block.requeue(held.log_index, held.log, held.fetched)
        self._stats.event_logs -= 1
