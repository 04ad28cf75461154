"""The account of the logs that are not published, or only flagged, as their emitters are not proven.

Owns the counts, what is declared of each emitter (`Unproven` records), and what a verdict makes of what was let go (it
is fetched, `producers.pools.healing`) or flagged (it stands or is taken back, `producers.pools.marked_events`).
It must never decide a verdict: that is the quarantine's.

What is let go is not lost: its block knows its identity, so it can be fetched, told from others and counted.  What an
emitter answers, or does not, makes no hole in the blocks: nobody can have one declared by deploying a contract.

Of each log with an event's topic that came, exactly one is true: it was published, filtered, refused by the decoder, is
held, or was let go as a lookalike, as unsupported or as unproven (`Statistics.event_logs`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from producers.blocks.arrivals import Arrivals
from producers.blocks.block import Block
from producers.blocks.chain import Chain
from producers.context import Context
from producers.decode.pool_table import NO_ADDRESS, PoolTable
from producers.kinds.emitter_key import id_of, key_of
from producers.kinds.proving import Standing
from producers.node.rpc_types import Log
from producers.pools.healing import Healer
from producers.pools.marked_events import MarkedEvents, TakenBack
from producers.pools.suspects import Held, Suspect, Suspects
from tlv.codes import EmitterProof, NotPublished
from tlv.layout import Uncovered, Unproven

MOST_UNCOVERED = 32
"""Emitters that a block's end names one by one: so it fits the smallest ring."""
REASON_OF = {
    Standing.UNKNOWN: NotPublished.UNPROVEN,
    Standing.VERIFIED: NotPublished.UNPROVEN,
    Standing.FALSE: NotPublished.NO_POOL,
    Standing.UNSUPPORTED: NotPublished.UNSUPPORTED,
}
"""Of a pool that is proven what was let go is being fetched."""
MATERIAL = 2
"""By how much the number of logs that were let go or flagged has to grow for another Unproven record."""
AGAINST = (Standing.FALSE, Standing.UNSUPPORTED)
PROOF_OF = {
    Standing.UNKNOWN: EmitterProof.UNKNOWN,
    Standing.VERIFIED: EmitterProof.POOL,
    Standing.FALSE: EmitterProof.NO_POOL,
    Standing.UNSUPPORTED: EmitterProof.UNSUPPORTED,
}


class Account:
    """What one chain's unproven emitters said."""

    def __init__(
        self, context: Context, table: PoolTable, chain: Chain, emitters: Suspects, arrivals: Arrivals
    ) -> None:
        self.counts: Counter[Standing] = Counter()
        """Logs that were let go, by what is known of their emitter."""
        self.healer = Healer(context, chain, arrivals)
        self.marked = MarkedEvents(context, chain, table)
        self.to_declare: dict[str, Suspect] = {}
        """Suspects of which an Unproven record is due."""
        self._clock, self._stats = context.clock, context.stats
        self._table, self._chain, self._emitters = table, chain, emitters
        self._healing: dict[str, Suspect] = {}
        """Proven, and not caught up with."""

    # Let go, or flagged

    def let_go(self, emitter: Suspect, block: Block, log: Log) -> None:
        """A log is not published."""
        if not block.withhold(emitter.key, log):
            return
        self.counts[emitter.standing] += 1
        emitter.let_one_go(block, self._clock.now_ns)
        self._declare_growth(emitter)

    def let_go_held(self, emitter: Suspect, held: list[Held]) -> None:
        """Logs are not held any more, and not published."""
        for some in held:
            some.block.drop_held()
            self.let_go(emitter, some.block, some.log)

    def keep_back(self, log: Log, block: Block) -> None:
        """Let go of a log that was to be published flagged, and cannot be."""
        emitter = self._emitters.get(key_of(log))
        if emitter is not None:
            self.let_go(emitter, block, log)

    def keep_behind(self, key: str, log: Log, block: Block) -> None:
        """Let go of a log of a proven pool that is not caught up with: it comes behind what is being fetched."""
        if block.withhold(key, log):
            self.counts[Standing.UNKNOWN] += 1
            self.healer.want(key, block)
            if key in self._healing:
                self._healing[key].let_one_go(block, self._clock.now_ns)

    def note_marked(self, block: Block, events: Counter[str]) -> None:
        """So many events of each emitter were published flagged."""
        self.marked.note(block, events)
        for address, number in events.items():
            emitter = self._emitters.get(address)
            if emitter is not None:
                emitter.mark(block, number, self._clock.now_ns)
                self._declare_growth(emitter)

    def held_back(self, block: Block) -> int:
        """How many logs of `block` wait for their emitters to be proven."""
        unknown = 0
        for address, identities in block.unpublished.items():
            emitter = self._emitters.get(address)
            if emitter is None or emitter.standing not in AGAINST:
                unknown += len(identities)
        return unknown + block.quarantined

    def uncovered(self, block: Block) -> list[Uncovered]:
        """The swaps of `block` that are not published."""
        if not (block.unpublished or block.kept or block.told_uncovered):
            return []
        counts = Counter(block.kept)
        for key, identities in block.unpublished.items():
            emitter = self._emitters.get(key) or self._healing.get(key)
            reason = REASON_OF[emitter.standing if emitter is not None else Standing.UNKNOWN]
            counts.update((key, block.swaps[identity], reason) for identity in identities if identity in block.swaps)
        found = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
        records = []
        for (key, protocol, reason), swaps in found[:MOST_UNCOVERED]:
            maker, kind = self._maker_and_kind(key, protocol)
            records.append(Uncovered(id_of(key), maker, swaps, kind, reason))
        others: Counter[tuple[int, NotPublished]] = Counter()
        for (_, protocol, reason), swaps in found[MOST_UNCOVERED:]:
            others[protocol, reason] += swaps
        records += [Uncovered(NO_ADDRESS, NO_ADDRESS, swaps, *about) for about, swaps in others.items()]
        return [*records, *block.told_uncovered]

    def _maker_and_kind(self, key: str, protocol: int) -> tuple[bytes, int]:
        """The factory and the kind of an emitter, as far as they are known; its swaps look like this kind's."""
        row = self._table.row_of.get(key)
        if row is not None:
            proven = self._table.rows[row]
            return proven["factory"].tobytes(), int(proven["protocol"])
        emitter = self._emitters.get(key)
        return (emitter.maker if emitter is not None else NO_ADDRESS), protocol

    # Declared

    def declare(self, emitter: Suspect) -> None:
        """A record of it is due."""
        self.to_declare[emitter.key] = emitter

    def _declare_growth(self, emitter: Suspect) -> None:
        if emitter.standing is Standing.UNKNOWN and emitter.let_go + emitter.marked >= MATERIAL * emitter.declared:
            self.declare(emitter)

    def take_declared(self) -> list[Unproven]:
        """What is to be told of unproven emitters since the last call."""
        emitters, self.to_declare = self.to_declare, {}
        return [_declaration(emitter) for emitter in emitters.values()]

    # Verdicts

    def prove(self, emitter: Suspect) -> bool:
        """It is a pool: fetch what was let go of it.  False if that is nothing: what was flagged stands."""
        self._table.drop_unproven(emitter.key)
        if self.healer.heal(emitter.key):
            self._healing[emitter.key] = emitter
            self.marked.doubt(emitter.key)
            return True
        for taken in self.marked.confirm(emitter.key):
            self._count_taken_back(taken)
        if emitter.announced:
            self.declare(emitter)
        return False

    def refute(self, emitter: Suspect, standing: Standing) -> None:
        """It is no pool of ours."""
        self.counts[Standing.UNKNOWN] -= emitter.counted
        self.counts[standing] += emitter.counted
        if emitter.announced:
            self.declare(emitter)
        self._table.drop_unproven(emitter.key)
        self.marked.doubt(emitter.key)

    def reconsider(self, emitter: Suspect) -> None:
        """A proof against it is void."""
        self.counts[emitter.standing] -= emitter.counted
        self.counts[Standing.UNKNOWN] += emitter.counted

    def take_back(self) -> list[TakenBack]:
        """Flagged events that readers have and that do not stand any more, since the last call: newest block first."""
        taken = self.marked.take_back()
        for one in taken:
            self._count_taken_back(one)
        return [one for one in taken if one.stood]

    def _count_taken_back(self, taken: TakenBack) -> None:
        """What is taken back counts as let go; of a pool it is fetched."""
        emitter, proven = self._emitters.get(taken.address), taken.address in self._table.row_of
        self.counts[Standing.UNKNOWN if proven or emitter is None else emitter.standing] += taken.events
        canonical = self._chain.is_canonical(taken.block)
        emitter = self._healing.get(taken.address, emitter)
        if emitter is not None:
            emitter.unmark(taken.events, canonical=canonical)
        if proven and canonical:
            self.healer.want(taken.address, taken.block)

    def take_healed(self) -> None:
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
            if emitter is not None and emitter.announced:
                self.declare(emitter)

    # The chain changes

    def leave(self, blocks: Iterable[Block]) -> None:
        """These blocks left the chain."""
        self._recount(blocks, -1)

    def enter(self, block: Block) -> None:
        """A block that let go of logs is back: some of their emitters may be proven meanwhile."""
        self._recount([block], 1)
        for address in block.unpublished:
            if address in self._table.row_of:
                self.healer.want(address, block)

    def _recount(self, blocks: Iterable[Block], sign: int) -> None:
        """Logs of these blocks are of the chain, or no more."""
        for block in blocks:
            for address, identities in block.unpublished.items():
                emitter = self._emitters.get(address) or self._healing.get(address)
                if emitter is not None:
                    emitter.let_go += sign * len(identities)
            for address, events in block.marked.items():
                emitter = self._emitters.get(address)
                if emitter is not None:
                    emitter.move_marked(sign * events)


def _declaration(emitter: Suspect) -> Unproven:
    held_back = 0 if emitter.standing in AGAINST else max(emitter.let_go, 0)
    marked = max(emitter.marked, 0)
    emitter.declared = held_back + marked
    emitter.announced = emitter.standing is Standing.UNKNOWN
    return Unproven(
        since_block=max(emitter.since_block, 0),
        held_back=held_back,
        marked=marked,
        protocol=emitter.protocol,
        emitter=id_of(emitter.key),
        standing=PROOF_OF[emitter.standing],
    )
