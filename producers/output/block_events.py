"""Events into the outbox, in the order of the chain: the logs of verified pools, and their copies in a reorg.

Owns what of a block is published.  It must never judge whether a block is complete: it publishes what waits in the
block it is given.

    a block's waiting logs --verified pool--> events (its PoolState before the first)
                           --unknown-------> quarantine --verified--> waiting again
                                                        --no pool--> counted
                                                        --declared-> events flagged UNPROVEN, or held back
"""

from __future__ import annotations

from producers.blocks.block import Block, Waiting
from producers.context import Context
from producers.decode.cold import RefusedLog, decode_log
from producers.decode.marked import count_marked
from producers.decode.pool_table import PoolTable
from producers.decode.segment import Segment
from producers.kinds.emitter_key import key_of, looked_up_by, named_by
from producers.kinds.events import EVENT_OF_TOPIC
from producers.node.rpc_types import Log
from producers.output.event_filter import EventFilter
from producers.output.introductions import Introductions
from producers.output.outbox import Outbox
from producers.pools.quarantine import GARBLED, Quarantine
from tlv.codes import Flag, NotPublished
from tlv.layout import PoolFee, PoolSwap


class BlockEvents:
    """The events of one chain, into one outbox."""

    def __init__(
        self, context: Context, outbox: Outbox, table: PoolTable, quarantine: Quarantine, introductions: Introductions
    ) -> None:
        self.event_filter: EventFilter | None = None
        """What of the verified pools' events is published; None = all."""
        self.introduced: list[int] = []
        """Rows of the pools of which readers heard for the first time, until `take_introduced`."""
        self._stats, self._outbox, self._table = context.stats, outbox, table
        self._quarantine, self._introductions = quarantine, introductions
        self._in_order = not context.log_filter
        """All logs are subscribed to, so a hole in the indices is a log on its way."""

    def publish(self, block: Block, most: int) -> tuple[int, bool]:
        """What waits in `block`, in the order of the log indices; returns how many logs that was, at most `most`, and
        whether one of them was garbled on its way: then those behind it wait on.

        The events of a block that came back are one piece, however many.
        """
        replayed = 0
        if block.to_replay:
            replayed = block.events
            for segment in block.published:
                self._outbox.put_copies(segment, removed=False)
            self._stats.events_published += block.events
            self._stats.replayed_events += block.events
            block.replay()
        waiting = block.take_waiting(most, in_order=self._in_order)
        row_of, ours, gate = self._table.row_of, EVENT_OF_TOPIC, self._quarantine.account.healer.gate
        looked_at, garbled = 0, False
        entries, rows, unproven = [], [], set[int]()
        for at, entry in enumerate(waiting):
            index, log, fetched = entry
            event = ours.get(log.topics[0] or "") if log.topics else None
            if event is None:
                continue
            looked_at += 1
            if event.record is PoolSwap:
                block.note_swap(log, event.protocols[0])
            key = looked_up_by(log, event) if event.names_pool else log.address
            row = row_of.get(key)
            if row is None and event.names_pool:
                key = named_by(log, event)
                row = row_of.get(key)
            if row is None:
                row = self._quarantine.take(key, log, block, index, fetched)
                if row == GARBLED:
                    looked_at -= 1
                    garbled = True
                    block.disbelieve(log, waiting[at + 1 :])
                    break
                if row is None or not self._may_be_flagged(log, block, row):
                    continue
                unproven.add(row)
            elif gate and gate.get(key, block.number) < block.number:
                self._quarantine.account.keep_behind(key, log, block)
                continue
            elif event.record is PoolFee:
                self.introduced.append(row)  # so that its state, and the fees with it, are told
            entries.append(entry)
            rows.append(row)
        self._stats.event_logs += looked_at
        garbled = (bool(entries) and self._emit(block, entries, rows, unproven)) or garbled
        return replayed + len(waiting), garbled

    def take_back(self, dropped: list[Block]) -> None:
        """REMOVED copies of every event of these blocks, which are given newest first."""
        self._quarantine.withdraw(dropped)
        for block in dropped:
            if not block.to_replay:
                for segment in reversed(block.published):
                    self.take_back_segment(segment)

    def take_back_segment(self, segment: Segment) -> None:
        """REMOVED copies of the events of one segment, newest first."""
        self._outbox.put_copies(segment, removed=True)
        self._stats.removed_events += len(segment.offsets)

    def introduce(self, row: int) -> None:
        """Say who a pool is whose flagged events stand."""
        self.introduced += self._introductions.introduce([row])

    def take_introduced(self) -> list[int]:
        """Those since the last call."""
        introduced, self.introduced = self.introduced, []
        return introduced

    def _may_be_flagged(self, log: Log, block: Block, row: int) -> bool:
        """Whether an event of an unproven emitter can be published; else it is held back.

        What a filter hides of an emitter without tokens it may show once they are known; and anybody can deploy a
        contract whose logs are no events.
        """
        pool = self._introductions.pool(row)
        try:
            decode_log(log, pool)
        except RefusedLog:
            shown = False
        else:
            shown = self.event_filter is None or self.event_filter.passes(log, pool)
        if not shown:
            self._quarantine.account.keep_back(log, block)
        return shown

    def _emit(self, block: Block, entries: list[Waiting], rows: list[int], unproven: set[int]) -> bool:
        """Whether a log was garbled."""
        if self.event_filter is not None:
            entries, rows = self._select(self.event_filter, block, entries, rows)
        if not self._introductions.introduced.issuperset(rows):
            self.introduced += self._introductions.introduce(set(rows) - unproven)
        if not entries:
            return False
        logs = [log for _, log, _ in entries]
        flags = [int(Flag.BACKFILL) if fetched else 0 for _, _, fetched in entries]
        if unproven:
            flags = [flag | int(Flag.UNPROVEN) * (row in unproven) for flag, row in zip(flags, rows, strict=True)]
        segment, garbled, refused = self._outbox.put_events(logs, rows, flags, block.timestamp)
        for at in refused:
            self._keep(block, logs[at], NotPublished.REFUSED)
        if garbled is not None:
            block.disbelieve(logs[garbled], entries[garbled + 1 :])
            self._stats.event_logs -= len(entries) - garbled - 1
        if segment is not None:
            block.add_published(segment)
            self._stats.events_published += len(segment.offsets)
            if unproven:
                self._quarantine.account.note_marked(block, count_marked(segment))
        return garbled is not None

    def _keep(self, block: Block, log: Log, reason: NotPublished) -> None:
        """A swap that is not published, though its pool is proven."""
        event = EVENT_OF_TOPIC[log.topics[0] or ""]
        if event.record is PoolSwap:
            block.keep(key_of(log), event.protocols[0], reason)

    def _select(
        self, wanted: EventFilter, block: Block, entries: list[Waiting], rows: list[int]
    ) -> tuple[list[Waiting], list[int]]:
        """Those of the logs that pass the filter, with their rows."""
        pools = {row: self._introductions.pool(row) for row in set(rows)}
        passes = [wanted.passes(entries[at][1], pools[row]) for at, row in enumerate(rows)]
        kept = [at for at, passed in enumerate(passes) if passed]
        for (_, log, _), passed in zip(entries, passes, strict=True):
            if not passed:
                self._keep(block, log, NotPublished.FILTERED)
        self._stats.filtered_events += len(entries) - len(kept)
        return [entries[at] for at in kept], [rows[at] for at in kept]
