"""When the logs of a block are complete, and what follows when they are not, or turn out not to have been.

Owns every verdict on a block, and its revocation.  It must never publish an event, nor take a log in: both are
`producers.assembly`'s.  What the evidence is worth is judged in `producers.blocks.completeness`.

A block is complete when
    TOMBSTONE       a log of a later block was pushed, and nothing looks missing
    BLOOM_NEGATIVE  the bloom filter holds none of our topics
    REFETCHED       eth_getLogs{blockHash} was merged, and no evidence refutes it
    PUSHED          the node could not be asked, and what was pushed leaves no doubt
and CROSS_CHECKED, instead of any of these, where a second endpoint lists nothing else.
What looks incomplete, was not pushed at all, or is silent too long, is WANTED: `producers.blocks.backfill` fetches it,
and nothing after it is published meanwhile.  A list that the evidence refutes is asked for again, also at the second
endpoint, and is never the end: after `PATIENCE_S` the block is LOST, which is a Gap.  A LOST block holds nobody up, and
is asked for as long as it is kept; when its list comes it is healed.  A log that comes after its block was closed is a
repair.  Both are counted, and readers are told (LATE_LOGS, then the events with BACKFILL, then the BlockEnd).
"""

from __future__ import annotations

from itertools import zip_longest

from producers.blocks.backfill import LogFetcher
from producers.blocks.block import CLOSED, KNOWN, LOST, OPEN, WANTED, Block, Taken
from producers.blocks.completeness import Doubt, Evidence
from producers.blocks.cross_check import CrossCheck
from producers.blocks.frontier import Frontier
from producers.context import Context
from producers.decode.segment import Segment
from producers.kinds.events import EVENT_OF_TOPIC
from producers.node.jsonrpc import Rejection
from producers.node.rpc_types import Log
from producers.output.declarations import Declarations
from tlv.codes import Completeness, Reason
from tlv.units import NS

AFTER_CHILD_NS = NS // 2
"""How long after the next head a block may stay without a tombstone."""
HOLE_NS = 3 * NS // 10
"""How long a hole in the log indices of the newest block may keep the logs behind it waiting."""
SILENCE_NS = 4 * NS
"""How long a block may stay OPEN without a log of a later block before it is fetched."""


class Closing:
    """The verdicts on the blocks of one chain."""

    def __init__(
        self,
        context: Context,
        frontier: Frontier,
        evidence: Evidence,
        logs: LogFetcher,
        cross_check: CrossCheck,
        declarations: Declarations,
    ) -> None:
        self.healed: list[Block] = []
        """LOST blocks whose list came, until readers are told."""
        self.refuted: list[tuple[Block, list[Segment]]] = []
        """Events of logs that are none of their block's, until they are taken back."""
        self._clock, self._rpc, self._stats = context.clock, context.rpc, context.stats
        self._chain, self._frontier = frontier.chain, frontier
        self._evidence, self._logs, self._cross_check = evidence, logs, cross_check
        self._declarations = declarations

    # Closed without asking

    def on_tombstone(self, block: Block) -> None:
        """A log of a later block came, so none of this one is on its way."""
        if self._evidence.catches_lie(block):
            self._review_empty()
        if self._evidence.proves_empty(block):
            block.close(Completeness.BLOOM_NEGATIVE)
        elif self._evidence.is_doubtful(block):
            self.refetch(block)
        else:
            block.close(Completeness.TOMBSTONE)

    def close_overdue(self) -> None:
        """What stays open too long."""
        now_ns, blocks = self._clock.now_ns, self._frontier.blocks
        for block, child in zip_longest(blocks, blocks[1:]):
            if block.progress is not OPEN:
                continue
            age_ns = now_ns - block.arrived_ns
            silent_too_long = age_ns > SILENCE_NS
            overtaken = child is not None and now_ns - child.arrived_ns > AFTER_CHILD_NS
            holed = age_ns > HOLE_NS and self._evidence.is_holed(block)
            if silent_too_long or overtaken or holed:
                self._close_or_refetch(block)

    def close_open(self) -> None:
        """Nothing more will be pushed."""
        for block in self._frontier.blocks:
            if block.progress is OPEN:
                self._close_or_refetch(block)

    def _close_or_refetch(self, block: Block) -> None:
        if self._evidence.proves_empty(block):
            block.close(Completeness.BLOOM_NEGATIVE)
        else:
            self.refetch(block)

    def disconnected(self) -> None:
        """What was being pushed may have lost its end."""
        self._logs.disconnected()
        for block in self._chain.blocks.values():
            if block.live and block.progress in (KNOWN, OPEN, WANTED):
                block.doubt()
            block.lose_push()
            if block.progress is OPEN:
                block.want()

    # Asked for

    def refetch(self, block: Block) -> None:
        """What was pushed of a block cannot be all, or not right: it is fetched before anything later is published."""
        self._stats.refetches += 1
        self.want(block)

    def want(self, block: Block) -> None:
        """Its logs have to be fetched."""
        block.want()
        self._logs.want(block)

    def merge(self, block: Block, logs: list[Log], *, whole: bool, of_known: bool, new: int) -> None:
        """The node's own list of the block's logs was taken in, `new` of them.

        A list that is not `whole` has events alone; one `of_known`, those of known pools."""
        block.merge()
        displaced = self._evidence.displaced(block, logs) if whole else None
        if displaced:
            self._refute(block, displaced)
        if block.progress not in (WANTED, LOST):
            self._logs.settled(block)
            if block.progress is CLOSED and block.waiting and self._chain.is_canonical(block):
                self._declarations.invalidate(block.number, Reason.LATE_LOGS)
                self._frontier.reopen(block)
                self.want(block)
            return
        if self._evidence.catches_lie(block):
            self._review_empty()
        doubt = self._evidence.judge(block, logs, whole=whole, of_known=of_known)
        if doubt is Doubt.UNLISTED:
            self._declarations.messages.count_backfilled(new)
            self._declare_unlisted(block)
            return
        if doubt is not Doubt.NONE:
            self._stats.refuted_answers += doubt is Doubt.REFUTED
            self._logs.doubt(block, doubt, logs)
            if doubt is Doubt.REFUTED:
                self._cross_check.ask_elsewhere(block)
            return
        self._declarations.messages.count_backfilled(new)
        self._settle(block, Completeness.PUSHED if len(logs) < len(block.seen) else Completeness.REFETCHED)

    def _refute(self, block: Block, identities: set[str]) -> None:
        """These logs came, and are none of the block's: their places are another transaction's."""
        stood = self._chain.is_canonical(block) and not block.to_replay
        events = block.refute(identities)
        if events and stood:
            self.refuted.append((block, events))

    def _declare_unlisted(self, block: Block) -> None:
        """This endpoint lists logs of known pools only: they are published, and a hole is declared for the others."""
        self._cross_check.ask_elsewhere(block)
        if block.progress is WANTED:
            self.give_up(block)
            return
        self._logs.mend(block)
        if block.waiting and self._chain.is_canonical(block):
            self._declarations.invalidate(block.number, Reason.LATE_LOGS)
            self._frontier.move_to(min(self._frontier.cursor, block.number))

    def confirm_list(self, block: Block) -> None:
        """The node says the same of it again and again."""
        if block.progress in (WANTED, LOST):
            self._settle(block, Completeness.REFETCHED)

    def _settle(self, block: Block, verdict: Completeness) -> None:
        """A list of the block's logs is believed."""
        lost = block.progress is LOST
        block.close(verdict)
        self._logs.settled(block)
        if lost and self._chain.is_canonical(block):
            self.healed.append(block)

    def give_up(self, block: Block) -> None:
        """The node cannot list the logs of the block: what was pushed must do, or it is a gap."""
        if block.progress is not WANTED or not self._chain.is_canonical(block):
            return
        if block.pushed and not self._evidence.is_doubtful(block):
            block.close(Completeness.PUSHED)
            return
        block.lose()
        self._declarations.gap(block.number, block.number, Reason.RANGE_REFUSED)
        self._logs.mend(block)

    def mend(self, block: Block) -> None:
        """Nothing waits for the logs of a LOST block: they are asked for all the same."""
        self._logs.mend(block, soon=True)

    def _review_empty(self) -> None:
        """This endpoint's blooms of zeros prove nothing: ask about the blocks that were closed for one."""
        for block in self._chain.canonical.values():
            if block.verdict is Completeness.BLOOM_NEGATIVE and block.head_bloom == 0:
                self._logs.review(block)

    # Closed too early

    def on_unexpected(self, block: Block, taken: Taken, pushed: bool) -> None:
        """A log that came before, that cannot be read, or whose block may be closed."""
        if taken is Taken.KNOWN:
            self._stats.duplicates += pushed
        elif taken is Taken.UNREADABLE:
            self._rpc.reject(Rejection.BAD_LOG)
        elif taken is Taken.DISPUTED:
            self._settle_dispute(block)
        elif block.told_elsewhere:
            block.pass_over()
            self._stats.duplicates += pushed
        elif pushed and block.progress is CLOSED and self._chain.is_canonical(block):
            self._repair(block)

    def _settle_dispute(self, block: Block) -> None:
        """A log was pushed whose place is another transaction's: the node's own list says which of them is there."""
        self._stats.disputed_logs += 1
        if block.progress is OPEN:
            self.refetch(block)
        elif block.progress is CLOSED and not block.told_elsewhere and self._chain.is_canonical(block):
            self._logs.review(block)

    def _repair(self, block: Block) -> None:
        """A log of a closed block: its verdict is void until it was fetched again."""
        self._stats.repairs += 1
        block.doubt()
        self._declarations.invalidate(block.number, Reason.LATE_LOGS)  # the log comes behind events of later blocks
        self._frontier.reopen(block)
        self.want(block)

    def weigh(self, block: Block, found: list[Log], *, short: bool, misplaced: bool) -> None:
        """Logs that only the second endpoint lists were taken in: as loud as a repair, if an event is among them."""
        if block.progress in (WANTED, LOST):
            if misplaced:
                block.doubt()  # it has more logs than can be taken from this endpoint
            proven = not misplaced and (not short or self._evidence.is_exact(block))
            if block.seen and proven and not self._evidence.is_doubtful(block, vouched=not short):
                self._settle(block, Completeness.PUSHED if short else Completeness.CROSS_CHECKED)
            return
        if block.progress is not CLOSED:
            return
        if found and self._chain.is_canonical(block):
            if any(log.topics and log.topics[0] in EVENT_OF_TOPIC for log in found):
                self._declarations.invalidate(block.number, Reason.LATE_LOGS)
            self._frontier.reopen(block)
        if not (short or misplaced):
            block.confirm()
        elif found and self._chain.is_canonical(block):
            self.want(block)  # neither endpoint lists all of it

    def publish_again(self, block: Block) -> None:
        """Logs of it that were held back wait in it."""
        if not self._chain.is_canonical(block):
            return
        if block.progress is CLOSED:
            self._frontier.reopen(block)
        else:
            self._frontier.move_to(min(self._frontier.cursor, block.number))

    def take_refuted(self) -> list[tuple[Block, list[Segment]]]:
        """Events that are to be taken back, since the last call; readers are told to doubt what they know since."""
        refuted, self.refuted = self.refuted, []
        for block, _ in refuted:
            self._declarations.invalidate(block.number, Reason.LATE_LOGS)
            if block.progress is CLOSED:
                self._frontier.reopen(block)
        return refuted

    def tell_healed(self) -> None:
        """Blocks of declared gaps are published after all, behind events of later blocks."""
        healed = [block for block in self.healed if block.progress is CLOSED]
        self.healed = []
        if not healed:
            return
        lowest = min(block.number for block in healed)
        self._stats.healed_blocks += len(healed)
        self._declarations.invalidate(lowest, Reason.LATE_LOGS)
        for block in healed:
            block.reopen()
        self._frontier.go_back_to(lowest)
