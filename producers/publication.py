"""Events into the outbox, in the order of the chain: the logs of verified pools, and their copies in a reorg.

Owns what of a block is published, and the quarantine in between.  It must never judge whether a block is complete: it
publishes what waits in the block it is given.

    a block's waiting logs --verified pool--> events (its PoolState before the first)
                           --unknown-------> quarantine --verified--> waiting again
                                                        --no pool--> counted
"""

from __future__ import annotations

from operator import itemgetter

from producers.chains import ChainConfig
from producers.event_filter import EventFilter
from producers.events import EVENT_OF_TOPIC
from producers.introductions import Introductions
from producers.jsonrpc import JsonRpc
from producers.lifecycle import Block, Progress
from producers.pool_table import PoolTable
from producers.pools import Held, PoolBook
from producers.publish import Outbox, Segment
from producers.rpc_types import Log
from producers.statistics import Statistics
from producers.verification import Finding, Standing, Token, Verifier
from tlv.codes import Flag


class Publication:
    """The events of one chain, into one outbox."""

    def __init__(
        self,
        config: ChainConfig,
        rpc: JsonRpc,
        outbox: Outbox,
        table: PoolTable,
        tokens: dict[bytes, Token],
        stats: Statistics,
        *,
        sees_all: bool,  # all logs are subscribed to, so a hole in the indices is a log on its way
    ) -> None:
        self.book = PoolBook(config, Verifier(config, rpc, tokens), table, self._release)
        self.introductions = Introductions(outbox, table, tokens)
        self.event_filter: EventFilter | None = None
        """What of the verified pools' events is published; None = all."""
        self._introduced: list[int] = []
        self._outbox, self._table, self._stats = outbox, table, stats
        self._sees_all = sees_all
        self._verified: list[Finding] = []

    def publish(self, block: Block, most: int) -> int:
        """What waits in `block`, in the order of the log indices; returns how many logs that was, at most `most`.

        The events of a block that came back are one piece, however many.
        """
        replayed = 0
        if block.to_replay:
            replayed = block.events
            for segment in block.published:
                self._outbox.put_copies(segment, removed=False)
            self._stats.events_published += block.events
            block.to_replay = False
        waiting, block.waiting = block.waiting, []
        waiting.sort(key=itemgetter(0))
        if self._sees_all and block.progress is Progress.OPEN:
            # Behind a hole in the indices nothing is published: what fills it would come out of order.
            ready = block.advance_to_hole(waiting)
            waiting, block.waiting = waiting[:ready], waiting[ready:]
        waiting, block.waiting = waiting[:most], waiting[most:] + block.waiting
        row_of, ours = self._table.row_of, EVENT_OF_TOPIC
        logs, rows, flags = [], [], []
        for index, log, fetched in waiting:
            if not log.topics or log.topics[0] not in ours:
                continue
            row = row_of.get(log.address)
            if row is None:
                self.book.meet(log, block, index, fetched)
                continue
            logs.append(log)
            rows.append(row)
            flags.append(Flag.BACKFILL if fetched else 0)
        if logs:
            self._emit(block, logs, rows, flags)
        return replayed + len(waiting)

    def take_back(self, dropped: list[Block]) -> None:
        """REMOVED copies of every event of these blocks, which are given newest first."""
        self.book.withdraw(dropped)
        for block in dropped:
            if not block.to_replay:
                for segment in reversed(block.published):
                    self.take_back_segment(segment)
            block.to_replay = False

    def take_back_segment(self, segment: Segment) -> None:
        """REMOVED copies of the events of one segment, newest first."""
        self._outbox.put_copies(segment, removed=True)
        self._stats.removed_events += len(segment.offsets)

    def take_verified(self) -> list[Finding]:
        """The pools verified since the last call."""
        verified, self._verified = self._verified, []
        return verified

    def take_introduced(self) -> list[int]:
        """Rows of the pools of which readers heard for the first time since the last call."""
        introduced, self._introduced = self._introduced, []
        return introduced

    def _emit(self, block: Block, logs: list[Log], rows: list[int], flags: list[int]) -> None:
        if self.event_filter is not None:
            logs, rows, flags = self._select(self.event_filter, logs, rows, flags)
        self._introduced += self.introductions.introduce(rows)
        segment = self._outbox.put_events(logs, rows, flags, block.timestamp) if logs else None
        if segment is not None:
            block.published.append(segment)
            block.events += len(segment.offsets)
            self._stats.events_published += len(segment.offsets)

    def _select(
        self, wanted: EventFilter, logs: list[Log], rows: list[int], flags: list[int]
    ) -> tuple[list[Log], list[int], list[int]]:
        """Those of the logs that pass the filter, with their rows and flags."""
        pools = {row: self.introductions.pool(row) for row in set(rows)}
        kept = [at for at, (log, row) in enumerate(zip(logs, rows, strict=True)) if wanted.passes(log, pools[row])]
        self._stats.filtered_events += len(logs) - len(kept)
        return [logs[at] for at in kept], [rows[at] for at in kept], [flags[at] for at in kept]

    def _release(self, finding: Finding, released: list[Held]) -> None:
        """A pool is verified: what waited for it waits in its block now, to be published in turn."""
        if finding.standing is not Standing.VERIFIED:
            return
        self._stats.pools += 1
        self._verified.append(finding)
        for held in released:
            held.block.waiting.append((held.log_index, held.log, held.fetched))
