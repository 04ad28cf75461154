"""Events into the outbox, in the order of the chain: the logs of verified pools, and their copies in a reorg.

Owns what of a block is published, and the quarantine in between.  It must never judge whether a block is complete: it
publishes what waits in the block it is given.

    a block's waiting logs --verified pool--> events (its PoolState before the first)
                           --unknown-------> quarantine --verified--> waiting again
                                                        --no pool--> counted
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter

from producers.blocks.chain import Block, Progress, Waiting
from producers.chains.configuration import ChainConfig
from producers.decode.pool_table import PoolTable
from producers.kinds.events import EVENT_OF_TOPIC
from producers.node.jsonrpc import JsonRpc
from producers.output.event_filter import EventFilter
from producers.output.introductions import Introductions
from producers.output.outbox import Outbox, Segment
from producers.pools.quarantine import Held, PoolBook
from producers.pools.verification import Finding, Standing, Token, Verifier
from producers.statistics import Statistics
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
        refetch: Callable[[Block], None],  # a log of the block came garbled
        *,
        sees_all: bool,  # all logs are subscribed to, so a hole in the indices is a log on its way
    ) -> None:
        self.book = PoolBook(config, Verifier(config, rpc, tokens), table, self._release)
        self.introductions = Introductions(outbox, table, tokens)
        self.event_filter: EventFilter | None = None
        """What of the verified pools' events is published; None = all."""
        self._introduced: list[int] = []
        self._outbox, self._table, self._stats = outbox, table, stats
        self._refetch, self._sees_all = refetch, sees_all
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
        entries, rows = [], []
        for entry in waiting:
            index, log, fetched = entry
            if not log.topics or log.topics[0] not in ours:
                continue
            row = row_of.get(log.address)
            if row is None:
                self.book.meet(log, block, index, fetched)
                continue
            entries.append(entry)
            rows.append(row)
        if entries:
            self._emit(block, entries, rows)
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

    def _emit(self, block: Block, entries: list[Waiting], rows: list[int]) -> None:
        if self.event_filter is not None:
            entries, rows = self._select(self.event_filter, entries, rows)
        self._introduced += self.introductions.introduce(rows)
        if not entries:
            return
        logs = [log for _, log, _ in entries]
        flags = [Flag.BACKFILL if fetched else 0 for _, _, fetched in entries]
        segment, garbled = self._outbox.put_events(logs, rows, flags, block.timestamp)
        if garbled is not None:
            block.disbelieve(logs[garbled])
            block.waiting = entries[garbled + 1 :] + block.waiting
            self._refetch(block)
        if segment is not None:
            block.published.append(segment)
            block.events += len(segment.offsets)
            self._stats.events_published += len(segment.offsets)

    def _select(self, wanted: EventFilter, entries: list[Waiting], rows: list[int]) -> tuple[list[Waiting], list[int]]:
        """Those of the logs that pass the filter, with their rows."""
        pools = {row: self.introductions.pool(row) for row in set(rows)}
        kept = [at for at, row in enumerate(rows) if wanted.passes(entries[at][1], pools[row])]
        self._stats.filtered_events += len(entries) - len(kept)
        return [entries[at] for at in kept], [rows[at] for at in kept]

    def _release(self, finding: Finding, released: list[Held]) -> None:
        """A pool is verified: what waited for it waits in its block now, to be published in turn."""
        if finding.standing is not Standing.VERIFIED:
            return
        self._stats.pools += 1
        self._verified.append(finding)
        for held in released:
            held.block.waiting.append((held.log_index, held.log, held.fetched))
