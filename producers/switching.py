"""What becomes of the chain when a head is adopted: blocks that leave it, blocks that join it, holes.

Owns the order of the messages about a switch, and what an earlier collector told that cannot be taken back.  It must
never judge logs: a block that joins is OPEN if they are being pushed, and else asked for (`producers.closing`).

    head --announce--> head queue --adopted--> Reorg, REMOVED copies, Gap, Block
"""

from __future__ import annotations

from producers.blocks.arrivals import Arrivals
from producers.blocks.block import Block
from producers.blocks.chain import NO_PARENTS, Switch, runs_of
from producers.blocks.completeness import Evidence
from producers.blocks.early_logs import EarlyLogs
from producers.blocks.frontier import Frontier
from producers.blocks.head_queue import HeadQueue
from producers.blocks.holes import HoleFiller
from producers.blocks.recovery import REACH, Recovered, restore
from producers.closing import Closing
from producers.context import Context
from producers.node.rpc_types import Head
from producers.output.block_events import BlockEvents
from producers.output.declarations import Declarations
from producers.pools.quarantine import Quarantine
from tlv.codes import Completeness, Reason
from tlv.units import NS

NEW_NS = 3600 * NS
"""A pushed block that is older is a recording's, or of a node that syncs, and one of a later time is a lie: its age
says nothing of the way here."""


class Switching:
    """The heads of one chain, and what follows from each."""

    def __init__(
        self,
        context: Context,
        frontier: Frontier,
        evidence: Evidence,
        closing: Closing,
        events: BlockEvents,
        declarations: Declarations,
        quarantine: Quarantine,
        arrivals: Arrivals,
    ) -> None:
        chain = frontier.chain
        self.heads = HeadQueue(context, chain, arrivals)
        self.early_logs = EarlyLogs(context.clock, context.timers, arrivals)
        self.holes = HoleFiller(context, chain, arrivals)
        self.reason = Reason.STARTED
        """Why blocks that were not pushed had to be fetched."""
        self._clock, self._stats, self._finality_blocks = context.clock, context.stats, context.chain.finality_blocks
        self._chain, self._frontier, self._evidence, self._closing = chain, frontier, evidence, closing
        self._events, self._declarations, self._messages = events, declarations, declarations.messages
        self._quarantine = quarantine
        self._lost = False
        """What an earlier collector told is not known at all."""
        self._partial: frozenset[str] = frozenset()
        """Hashes of blocks that an earlier collector told, and of whose events not all can be taken back."""
        self._unsure: list[tuple[int, int]] = []
        """Runs of block numbers of which it may have told what is not here."""
        self._told_below = -1
        """Below this an earlier collector told blocks that are not known any more."""

    # What an earlier collector told

    def resume(self, recovered: Recovered) -> None:
        """Continue where an earlier collector stopped in the same ring."""
        for segment in recovered.half_removed:
            self._events.take_back_segment(segment)
        for first, last in recovered.unsure:
            self._messages.put_gap(first, last, Reason.WRITER_RESTARTED)
        self._lost, self._partial, self._unsure = recovered.lost, recovered.partial, list(recovered.unsure)
        if recovered.torn and recovered.blocks:
            self._told_below = recovered.blocks[0].number
        if not recovered.blocks:
            if recovered.ended >= 0:
                # By number only: which branch was told, and whether it still stands, nobody can say.
                shallow = max(0, recovered.ended - self._finality_blocks + 1)
                self._messages.put_gap(shallow, recovered.ended, Reason.WRITER_RESTARTED)
                self._begin_above(recovered.ended)
            return
        self._frontier.declare_safe(restore(self._chain, recovered))
        for block in self._chain.blocks.values():
            self._evidence.read_header(block)
        self._quarantine.recall(recovered.blocks)
        self._frontier.move_to(self._frontier.safe_number + 1)
        self._stats.head_number = recovered.blocks[-1].number
        self.reason = Reason.WRITER_RESTARTED

    def _begin_above(self, number: int) -> None:
        """Everything up to `number` was told, or declared."""
        self._chain.begin_above(number)
        self._told_below = number + 1
        self._frontier.declare_safe(number)
        self.reason = Reason.WRITER_RESTARTED

    # Heads

    def announce(self, head: Head, *, live: bool) -> None:
        """A head: `live` if it was pushed while logs were being pushed too."""
        known = self._chain.blocks.get(head.hash)
        if known is not None:
            if not self.heads.announce_again(known):
                self._stats.duplicate_heads += 1
                return
        else:
            block = self._on_header(head, live=live)
            if live:
                self._time(block)
            if self._lost:
                self._lost = False
                self._messages.put_gap(max(0, block.number - REACH), block.number, Reason.WRITER_RESTARTED)
                self._begin_above(block.number)
            self.heads.announce_new(block)
        self.follow()

    def fetched(self, head: Head) -> None:
        """A header that was asked for."""
        block = self._chain.blocks.get(head.hash) or self._on_header(head, live=False)
        if self.heads.fetched(block):
            self.follow()

    def _on_header(self, head: Head, *, live: bool) -> Block:
        """The block of a header that was not known, with the logs that came before it."""
        live = live and not self.early_logs.overflowed(head.hash)
        block = self._chain.add(head, self._clock.now_ns, live=live)
        self._stats.headers += 1
        self._evidence.read_header(block)
        if self.early_logs.doubts(block.hash):
            block.doubt()
        for log in self.early_logs.adopt(block.hash):
            self._closing.on_unexpected(block, block.take(log, pushed=True), pushed=True)
        return block

    def _time(self, block: Block) -> None:
        """Count how old a block was when it was pushed."""
        age_ns = self._clock.wall_ns - block.timestamp * NS
        if -NEW_NS < age_ns < NEW_NS:
            self._stats.block_to_receive.add(age_ns)

    def follow(self) -> None:
        """Publish what the adoption of each head changes."""
        for switch in self.heads.follow():
            self._switch(switch)

    def _switch(self, switch: Switch) -> None:
        frontier, lowest = self._frontier, switch.adopted[0].number
        if switch.dropped:
            self._messages.put_reorg(switch)
            self._events.take_back(switch.dropped)
            self._declarations.reorganise(switch.left_from)
            for block in switch.dropped:
                block.leave()
            self._declare_standing(switch)
        if switch.unreachable is not None:
            self._declarations.gap(*switch.unreachable, Reason.CHAIN_BROKEN)
        if switch.hole is not None:
            self._declarations.gap(*switch.hole, Reason.NODE_HAS_NO_BLOCK)
            self.holes.note()
        elif switch.dropped and switch.fork is None:
            self._declarations.invalidate(lowest, Reason.CHAIN_BROKEN)
        missed = [block for block in switch.adopted if not (block.live or block.verdict)]
        self._messages.begin_backfill(missed, Reason.REORG if switch.dropped else self.reason)
        for block in switch.adopted:
            self._enter(block)
        if frontier.cursor < 0 or lowest < frontier.cursor:
            frontier.declare_safe(min(frontier.safe_number, lowest - 1))
            frontier.move_to(lowest)
        elif switch.dropped:
            frontier.move_to(frontier.cursor)
        else:
            frontier.grow(switch.adopted)
        self._stats.head_number = switch.adopted[-1].number
        self._chain.forget(frontier.cursor)

    def _enter(self, block: Block) -> None:
        """`block` became canonical."""
        self._messages.put_block(block)
        if block.unpublished or block.marked:
            self._quarantine.account.enter(block)
        if block.verdict:
            block.close(block.verdict)
        elif block.live:
            block.open()
            if self._evidence.proves_empty_at_once(block):
                block.close(Completeness.BLOOM_NEGATIVE)
        else:
            self._closing.want(block)

    def _declare_standing(self, switch: Switch) -> None:
        """Events that an earlier collector told of blocks that left the chain, and that nobody can take back."""
        lowest = switch.adopted[0].number
        whole = {block.number for block in switch.dropped if block.hash not in self._partial}
        partial = {block.number for block in switch.dropped} - whole
        for first, last in self._unsure:
            partial.update(number for number in range(max(first, lowest), last + 1) if number not in whole)
        self._unsure = [(first, min(last, lowest - 1)) for first, last in self._unsure if first < lowest]
        for first, last in runs_of(sorted(partial)):
            self._messages.put_gap(first, last, Reason.WRITER_RESTARTED)
        if switch.fork is None and 0 < lowest <= self._told_below:
            self._messages.put_gap(max(0, lowest - REACH), self._told_below - 1, Reason.WRITER_RESTARTED)

    # Holes

    def fill(self, heads: list[Head]) -> None:
        """Blocks of a declared hole: they are canonical, and LOST until their logs come, so that nothing waits."""
        if not self._still_joins(heads):
            return
        if self._chain.was_told(int(heads[0].number, 16)):
            self._switch(self._refill(heads))
            return
        for block in self._chain.fill(heads, self._clock.now_ns):
            self._evidence.read_header(block)
            self._messages.put_block(block)
            block.want()
            block.lose()
            block.end()
            self._closing.mend(block)
        self._frontier.move_to(self._frontier.cursor)

    def _still_joins(self, heads: list[Head]) -> bool:
        """Whether the hole is still there; a reorg may have come meanwhile."""
        first, last = int(heads[0].number, 16), int(heads[-1].number, 16)
        above = self._chain.canonical.get(last + 1)
        joins = above is not None and (above.parent_hash == heads[-1].hash or above.parent_hash in NO_PARENTS)
        in_hole = any(begin <= first and last <= end for begin, end in self._chain.holes)
        reaches_below = any(first < begin and last == end for begin, end in self._chain.holes)
        return joins and (in_hole or (reaches_below and self._chain.is_met(heads[0])))

    def _refill(self, heads: list[Head]) -> Switch:
        """A declared hole, and what left the chain below it: a reorg that no head told of."""
        switch = self._chain.refill(heads, self._clock.now_ns)
        for block in switch.adopted:
            if block.head_bloom is None:
                self._evidence.read_header(block)
        return switch
