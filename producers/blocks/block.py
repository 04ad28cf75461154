"""One block: how far its logs are, and what came of them.

    KNOWN --open--> OPEN --close--> CLOSED       its logs are pushed, and nothing is missing
    OPEN --want--> WANTED --close--> CLOSED      something is missing, or nothing closed it in time: fetched
    KNOWN --want--> WANTED --lose--> LOST        not pushed; no node can list its logs: published as a Gap
    KNOWN --close--> CLOSED                      back after a reorg, and complete before
    WANTED --want--> WANTED                      asked again: another connection, or an answer that contradicts itself
    CLOSED --want--> WANTED, LOST --want--> WANTED      a late or garbled log, or an endpoint that lists others
    LOST --close--> CLOSED                       healed: a node could list its logs after all

    OPEN --leave--> KNOWN, WANTED --leave--> KNOWN, CLOSED --leave--> KNOWN, LOST --leave--> KNOWN      a reorg

    KNOWN --merge--> KNOWN, WANTED --merge--> WANTED, CLOSED --merge--> CLOSED, LOST --merge--> LOST    an answer came
    CLOSED --end--> CLOSED, LOST --end--> LOST   its BlockEnd, or the Gap in its stead, is published
    CLOSED --reopen--> CLOSED                    its BlockEnd is to be published anew
    CLOSED --confirm--> CLOSED                   a second endpoint lists the same

Owns every attribute of a block: other files read them, and change them through these methods only (a test reads all
sources).  An arrow that is not drawn raises.  It must never ask or publish: `producers.assembly` decides what happens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from enum import Enum
from operator import itemgetter
from typing import NamedTuple

from producers.decode.marked import count_marked, split_events, split_marked
from producers.decode.segment import Segment
from producers.node.hex import read_quantity
from producers.node.rpc_types import Head, Log
from tlv.codes import Completeness, NotPublished
from tlv.layout import Uncovered

MAX_NUMBER = (1 << 63) - 1
"""Above every block number."""
ADDRESS_TEXT = 2 + 40
"""Characters of an address."""


PLAIN_INDICES = {hex(index): index for index in range(1 << 12)}
"""Log indices as nodes write them: 0.15 us to look one up, where reading it and spelling it anew takes 0.4."""


class Progress(Enum):
    """How far the logs of a block are."""

    KNOWN = 0
    """Not canonical."""
    OPEN = 1
    WANTED = 2
    CLOSED = 3
    LOST = 4


KNOWN, OPEN, WANTED, CLOSED, LOST = Progress
"""Under names of their own: an attribute of an Enum costs 120 ns in Python 3.11, a name 20."""
ARROWS: dict[str, dict[Progress, Progress]] = {
    "open": {KNOWN: OPEN},
    "want": {KNOWN: WANTED, OPEN: WANTED, WANTED: WANTED, CLOSED: WANTED, LOST: WANTED},
    "close": {KNOWN: CLOSED, OPEN: CLOSED, WANTED: CLOSED, LOST: CLOSED},
    "lose": {WANTED: LOST},
    "leave": {OPEN: KNOWN, WANTED: KNOWN, CLOSED: KNOWN, LOST: KNOWN},
    "merge": {KNOWN: KNOWN, WANTED: WANTED, CLOSED: CLOSED, LOST: LOST},
    "end": {CLOSED: CLOSED, LOST: LOST},
    "reopen": {CLOSED: CLOSED},
    "confirm": {CLOSED: CLOSED},
}
"""The diagram, by method."""


class IllegalTransition(AssertionError):
    """A defect of ours: a block was moved along an arrow that does not exist."""


class Taken(Enum):
    """What became of a log that was given to its block."""

    NEW = 0
    KNOWN = 1
    UNREADABLE = 2
    DISPUTED = 3
    """It was pushed for a place that another transaction has: not taken."""


NEW = Taken.NEW
Waiting = tuple[int, Log, bool]
"""(log index, log, fetched): came for a block, and was not looked at yet."""
Places = dict[int | str, str]
"""The transaction of each log index, and, as text, of each transaction index."""


class Elsewhere(NamedTuple):
    """What an end counts that an earlier collector published, and that is not known here."""

    logs: int = 0
    events: int = 0
    swaps: int = 0


NOTHING_ELSEWHERE = Elsewhere()


class Block:
    """A header and the logs that came for it; announced to readers by a `tlv.layout.Block`."""

    __slots__ = (
        "arrived_ns",
        "bloom",
        "counted",
        "doubted",
        "elsewhere",
        "emitters",
        "ended",
        "entries",
        "events",
        "fetched",
        "hash",
        "head",
        "head_bloom",
        "held_until_ns",
        "highest_index",
        "indices",
        "kept",
        "live",
        "marked",
        "next_index",
        "number",
        "numbered_once",
        "orders",
        "parent_hash",
        "positives",
        "progress",
        "published",
        "pushed",
        "quarantined",
        "recalled",
        "refuted",
        "root",
        "seen",
        "stands_to",
        "swaps",
        "timestamp",
        "to_replay",
        "told_elsewhere",
        "told_uncovered",
        "topics",
        "unpublished",
        "verdict",
        "waiting",
    )

    def __init__(self, head: Head, arrived_ns: int = 0, *, live: bool = False) -> None:
        self.head = head
        self.number = read_quantity(head.number)
        self.hash = head.hash
        self.parent_hash = head.parent_hash
        self.timestamp = read_quantity(head.timestamp)
        self.arrived_ns = arrived_ns
        self.progress = KNOWN
        self.verdict = Completeness.UNKNOWN
        self.live = live
        """Announced on this connection, with the log subscription already active: its logs are pushed to us."""
        self.doubted = False
        """Something unreadable came while its logs were being pushed, or the connection ended, or one came too late."""
        self.root = False
        """Its parent cannot be had."""
        self.stands_to = MAX_NUMBER
        """Of a root: the newest block number below it at which the node has the block that we have."""
        self.ended = False
        """Its BlockEnd, or the Gap in its stead, is published."""
        self.seen: dict[str, int] = {}
        """Every log that came by its identity, transaction hash and log index, with a hash of its content."""
        self.indices: set[int] = set()
        """Their log indices.  State-sync logs of some nodes count from 0 again, so several logs can have one."""
        self.numbered_once = False
        """No two of its transactions have one log index or one index of their own, as where the chain adds logs."""
        self.orders: dict[str, str] = {}
        """The transaction of each transaction index; of those that two claim, who came first."""
        self.refuted: set[str] = set()
        """Identities of logs that came, and whose places are another transaction's."""
        self.highest_index = -1
        self.next_index = 0
        """The first log index that was not published; below it there is no hole."""
        self.topics: set[str | None] = set()
        """The first topics of the logs that came."""
        self.head_bloom: int | None = None
        """The bloom filter of its header; None if that has none that says anything."""
        self.positives: set[str] | None = None
        """Topics of ours that its bloom filter may hold; None if it has none."""
        self.entries: set[str | None] = set()
        """Addresses and topics of the logs that came, as far as they are not in `bloom`; empty while it is closed."""
        self.bloom = 0
        """The filter that the logs that came would make."""
        self.emitters: set[str] | None = set()
        """The addresses that were in `entries` and are in `bloom` now; None from when it is first closed."""
        self.pushed = 0
        """Logs that came by subscription."""
        self.waiting: list[Waiting] = []
        self.published: list[Segment] = []
        """Its messages that are in the ring."""
        self.to_replay = False
        """Came back after a reorg: `published` has to be published again."""
        self.recalled = False
        """Events of it were read back from the ring: of their transactions not every log waits here."""
        self.told_elsewhere = False
        """An earlier collector told all of it, and not all of that is known here: no log of it is new."""
        self.elsewhere = NOTHING_ELSEWHERE
        """Of what was told elsewhere, what is not here and counts at its end all the same."""
        self.events = 0
        """Messages in `published`."""
        self.fetched = 0
        """Answers to eth_getLogs that were merged since it was last closed."""
        self.quarantined = 0
        """Logs that wait for their emitter to be verified."""
        self.unpublished: dict[str, set[str]] = {}
        """Identities of the logs with an event's topic that were let go, since their emitter is not proven to be a
        pool, by its name (`producers.kinds.emitter_key`): should it be, they are fetched again."""
        self.swaps: dict[str, int] = {}
        """Identities of the logs that came with a swap's topic, whoever emitted them, with the first kind that has it;
        those that an earlier collector published among them."""
        self.told_uncovered: tuple[Uncovered, ...] = ()
        """What the end that an earlier collector published says of swaps whose logs did not come here."""
        self.counted: dict[str, int] = {}
        """Swaps by outcome, as far as they are in the statistics."""
        self.kept: dict[tuple[str, int, NotPublished], int] = {}
        """Swaps of proven pools that are not published, by pool, kind and reason."""
        self.marked: dict[str, int] = {}
        """Events in `published` that are flagged UNPROVEN, by the address of their emitter."""
        self.held_until_ns = -1
        """Until when its end waits for a second endpoint's opinion; -1 while that was not asked."""

    @property
    def swap_count(self) -> int:
        """Its logs with a swap's topic."""
        return len(self.swaps) + sum(one.swaps for one in self.told_uncovered) + self.elsewhere.swaps

    @property
    def contiguous(self) -> bool:
        """Whether the set of log indices has no hole, as far as it goes."""
        return len(self.indices) == self.highest_index + 1

    # The arrows of the diagram

    def open(self) -> None:
        """It became canonical, and its logs are being pushed."""
        self._move("open")

    def want(self) -> None:
        """Its logs have to be fetched, all of them; a verdict it had is void."""
        self._move("want")
        self.told_uncovered, self.elsewhere = (), NOTHING_ELSEWHERE
        self.verdict = Completeness.UNKNOWN

    def merge(self) -> None:
        """The node's own list of its logs was taken, to be believed or not."""
        self._move("merge")
        self.fetched += 1

    def close(self, verdict: Completeness) -> None:
        """Its logs are complete, for this reason."""
        self._move("close")
        self.verdict = verdict
        self.fetched = 0
        self.doubted = False
        self.entries.clear()
        self.emitters = None

    def lose(self) -> None:
        """Nobody can list its logs."""
        self._move("lose")

    def leave(self) -> None:
        """It is canonical no more.  Its logs may stop in the middle, so they are fetched, should it come back open.

        So they are where it was told elsewhere.
        """
        self._move("leave")
        self.verdict = Completeness.UNKNOWN if self.told_elsewhere else self.verdict
        self.told_elsewhere = self.live = False
        self.elsewhere = NOTHING_ELSEWHERE
        self.ended = False
        self.to_replay = bool(self.published)

    def end(self) -> None:
        """Its end is published."""
        self._move("end")
        self.ended = True

    def reopen(self) -> None:
        """Its end is to be published anew, if it was."""
        self._move("reopen")
        self.ended = False

    def confirm(self) -> None:
        """A second endpoint lists the same logs."""
        self._move("confirm")
        self.verdict = Completeness.CROSS_CHECKED

    def _move(self, arrow: str) -> None:
        to = ARROWS[arrow].get(self.progress)
        if to is None:
            raise IllegalTransition(f"expected no {arrow}() of a {self.progress.name} block, found one ({self.number})")
        self.progress = to

    # Its header

    def expect(self, bloom: int | None, positives: set[str] | None, *, numbered_once: bool = False) -> None:
        """Note its bloom filter, the topics of ours that this may hold, and whether its logs are numbered once."""
        self.head_bloom = bloom
        self.positives = positives
        self.numbered_once = numbered_once

    def absorb(self, bits: int) -> None:
        """These are the bits of the `entries`, which are not needed any more."""
        self.bloom |= bits
        if self.emitters is not None:
            self.emitters.update(_addresses(self.entries))
        self.entries.clear()

    @property
    def came_from(self) -> set[str]:
        """Who emitted the logs that came, as far as it is known."""
        return _addresses(self.entries).union(self.emitters or ())

    def lose_parent(self, stands_to: int = MAX_NUMBER) -> None:
        """Its parent cannot be had: it is the lowest block above a hole, and up to `stands_to` our blocks stand."""
        self.root = True
        self.stands_to = stands_to

    def find_parent(self) -> None:
        """The hole below it was filled."""
        self.root = False

    def lose_push(self) -> None:
        """Its logs are not pushed any more, as the connection is gone."""
        self.live = False

    # Its logs

    def take(self, log: Log, *, pushed: bool) -> Taken:
        """Queue `log` for publication, unless it came before, or its place cannot be read.

        One that is `pushed` is not taken where another transaction came first; one that the node lists is."""
        place = identify(log)
        if place is None:
            self.doubted = True
            return Taken.UNREADABLE
        identity, index = place
        seen, transaction, order = self.seen, log.transaction_hash or "", log.transaction_index or ""
        before = seen.get(identity)
        if (
            pushed
            and self.numbered_once
            and before is None
            and (index in self.indices or self.orders.get(order, transaction) != transaction)
        ):
            self.doubted = True
            return Taken.DISPUTED
        if self.head_bloom is not None:
            self.entries.add(log.address)  # also of one that came before: what was closed has none
            self.entries.update(log.topics)
        if before:
            return Taken.KNOWN
        seen[identity] = content_of(log)
        if before is not None:
            return Taken.KNOWN
        self.indices.add(index)
        if order:
            self.orders.setdefault(order, transaction)
        if index > self.highest_index:  # noqa: PLR1730  calling max is 0.1 us of 0.9
            self.highest_index = index
        self.topics.add(log.topics[0] if log.topics else None)
        self.pushed += pushed
        self.waiting.append((index, log, not pushed))
        if self.told_uncovered and not self.told_elsewhere:
            self._doubt_recalled()
        return NEW

    def _doubt_recalled(self) -> None:
        """A log came that an earlier collector did not publish: it may be one of those that its end named, whose others
        come again too, as the block is fetched."""
        self.told_uncovered = ()
        if self.progress is KNOWN:
            self.verdict = Completeness.UNKNOWN

    def take_waiting(self, most: int, *, in_order: bool) -> list[Waiting]:
        """The logs to publish next, at most `most`, in the order of their indices.

        While it is OPEN, and if they are to be `in_order`, none from behind a hole: what fills it is still to come.
        """
        waiting = sorted(self.waiting, key=itemgetter(0))
        ready = self._ready(waiting) if in_order and self.progress is OPEN else len(waiting)
        ready = min(ready, most)
        self.waiting = waiting[ready:]
        return waiting[:ready]

    def requeue(self, index: int, log: Log, fetched: bool) -> None:
        """A log that was in quarantine is to be published after all, or judged again."""
        self.quarantined -= 1
        if _is_among(log, self.refuted):
            return
        self.waiting.append((index, log, fetched))

    def hold(self) -> None:
        """One of its logs went into quarantine."""
        self.quarantined += 1

    def drop_held(self) -> None:
        """A log in quarantine is let go."""
        self.quarantined -= 1

    def note_swap(self, log: Log, protocol: int) -> None:
        """It has the topic of a swap, of this kind's at first sight."""
        place = identify(log)
        if place is not None:
            self.swaps[place[0]] = protocol

    def keep(self, pool: str, protocol: int, reason: NotPublished) -> None:
        """A swap of a proven pool is not published."""
        self.kept[pool, protocol, reason] = self.kept.get((pool, protocol, reason), 0) + 1

    def withhold(self, pool: str, log: Log) -> bool:
        """Let go of a log of a pool that is not proven; False if it cannot be told from others."""
        place = identify(log)
        if place is None:
            return False
        self.unpublished.setdefault(pool, set()).add(place[0])
        return True

    def release(self, pool: str, log: Log) -> bool:
        """Queue a log that was let go of, now that it was fetched again; False if it was none of these."""
        place = identify(log)
        left = self.unpublished.get(pool, set())
        if place is None or place[0] not in left:
            return False
        left.remove(place[0])
        if not left:
            del self.unpublished[pool]
        self.waiting.append((place[1], log, True))
        return True

    def doubt(self) -> None:
        """Not all of its logs need have been pushed: a frame could not be read, or its connection ended."""
        self.doubted = True

    def disbelieve(self, log: Log, behind: list[Waiting]) -> None:
        """A proven pool does not emit such a log: it was garbled on its way, and counts as not come.

        Those `behind` it wait again.
        """
        place = identify(log)
        if place is not None:
            self.seen.pop(place[0], None)
            self.swaps.pop(place[0], None)
            if not any(identity.endswith(hex(place[1])) for identity in self.seen):
                self.indices.discard(place[1])  # no other log has it
                self.highest_index = max(self.indices, default=-1)
        self.doubted = True
        self.waiting = behind + self.waiting

    def displaced(self, theirs: Places, listed: Collection[str]) -> set[str]:
        """Which of the logs that came and are not `listed` stand where a list has another transaction."""
        orders = {transaction: where for where, transaction in self.orders.items()}
        found = set()
        for identity in self.seen.keys() - listed:
            transaction, index = split_identity(identity)
            places = (index, orders.get(transaction, index))
            if any(theirs.get(where, transaction) != transaction for where in places):
                found.add(identity)
        return found

    def refute(self, identities: set[str]) -> list[Segment]:
        """These logs are none of the block's; returns those of its events that they were, oldest first."""
        self.refuted |= identities
        for identity in identities:
            self.seen.pop(identity)
            self.swaps.pop(identity, None)
        left = [split_identity(identity) for identity in self.seen]
        self.indices = {index for _, index in left}
        self.highest_index = max(self.indices, default=-1)
        theirs = {transaction for transaction, _ in left}
        self.orders = {where: whose for where, whose in self.orders.items() if whose in theirs}
        self.waiting = [entry for entry in self.waiting if not _is_among(entry[1], identities)]
        split = [split_events(segment, identities) for segment in self.published]
        self.published = [kept for kept, _ in split if len(kept.offsets)]
        self.events = sum(len(kept.offsets) for kept in self.published)
        self.to_replay = self.to_replay and self.events > 0
        return [taken for _, taken in split if len(taken.offsets)]

    def _ready(self, waiting: list[Waiting]) -> int:
        """How many of the logs, sorted by index, stand before the first hole; from now on the hole is behind them."""
        for count, (index, _, _) in enumerate(waiting):
            if index > self.next_index:
                return count
            self.next_index = max(self.next_index, index + 1)
        return len(waiting)

    # Its messages

    def add_published(self, segment: Segment) -> None:
        """These events of it are in the ring."""
        self.published.append(segment)
        self.events += len(segment.offsets)

    def mark(self, events: Counter[str]) -> None:
        """So many of the published events are flagged UNPROVEN, by the address of their emitter."""
        for address, number in events.items():
            self.marked[address] = self.marked.get(address, 0) + number

    def confirm_marked(self, address: str) -> int:
        """Its emitter is proven: what is flagged stands; returns how many events that is."""
        return self.marked.pop(address, 0)

    def take_out_marked(self, address: str) -> list[Segment]:
        """What is flagged of this emitter counts as let go; returns these events, oldest first."""
        if not self.marked.pop(address, 0):
            return []
        split = [split_marked(segment, address) for segment in self.published]
        self.published = [kept for kept, _, _ in split if len(kept.offsets)]
        self.events = sum(len(kept.offsets) for kept in self.published)
        self.to_replay = self.to_replay and self.events > 0
        self.unpublished.setdefault(address, set()).update(*(identities for _, _, identities in split))
        return [taken for _, taken, _ in split if len(taken.offsets)]

    def replay(self) -> None:
        """What was published before it left is published again."""
        self.to_replay = False

    def restore(self, identities: set[str], indices: set[int], segment: Segment, swaps: dict[str, int]) -> None:
        """Take over what an earlier collector published of it."""
        self.seen = dict.fromkeys(identities, 0)
        self.indices = indices
        self.highest_index = max(indices, default=-1)
        self.recalled = True
        self.emitters = None
        self.swaps = swaps
        self.add_published(segment)
        self.mark(count_marked(segment))

    def recall(self, uncovered: tuple[Uncovered, ...]) -> None:
        """An earlier collector said this of swaps of it, at its end."""
        self.told_uncovered = uncovered

    def count_swaps(self, outcomes: dict[str, int]) -> dict[str, int]:
        """It ends, with so many swaps of each outcome; returns how many more that is than at any end of it before.

        Plain dicts: three Counters took 8 us at the end of each block.
        """
        counted, more = self.counted, {}
        for outcome, swaps in outcomes.items():
            before = counted.get(outcome, 0)
            if swaps > before:
                counted[outcome] = swaps
                more[outcome] = swaps - before
        return more

    def believe(self, elsewhere: Elsewhere = NOTHING_ELSEWHERE) -> None:
        """An earlier collector told all of it, whatever is known of that here; so much is not."""
        self.told_elsewhere, self.elsewhere = True, elsewhere

    def pass_over(self) -> None:
        """What waits was told elsewhere.  It is new should the block leave the chain and come back."""
        for index, log, _ in self.waiting:
            place = identify(log)
            if place is not None:
                self.seen.pop(place[0], None)
                self.indices.discard(index)
        self.waiting.clear()

    # The second endpoint

    def await_opinion(self, until_ns: int) -> None:
        """Its end waits for a second endpoint's opinion, so long at most."""
        self.held_until_ns = until_ns

    def stop_awaiting(self) -> None:
        """The opinion came, or will not."""
        self.held_until_ns = 0


def _is_among(log: Log, identities: set[str]) -> bool:
    place = identify(log)
    return place is not None and place[0] in identities


def _addresses(entries: set[str | None]) -> set[str]:
    """Those of the entries that are no topics."""
    return {entry for entry in entries if entry and len(entry) == ADDRESS_TEXT}


def ended_block(head: Head, verdict: Completeness) -> Block:
    """A block that was closed and ended before this collector began."""
    block = Block(head)
    block.close(verdict)
    block.end()
    return block


def identify(log: Log) -> tuple[str, int] | None:
    """A log's identity within its block, and its index; None if the node left out, or garbled, a part of it."""
    transaction, text = log.transaction_hash, log.log_index
    if transaction is None or text is None:
        return None
    index = PLAIN_INDICES.get(text)
    if index is None:
        try:
            index = int(text, 16) if text != "0x" else 0  # some nodes write zero so
        except ValueError:
            return None
        text = hex(index)
    return transaction + text, index


def split_identity(identity: str) -> tuple[str, int]:
    """The transaction and the index of which an identity is made."""
    transaction, _, digits = identity.rpartition("0x")
    return transaction, int(digits, 16)


def places_of(logs: Iterable[Log]) -> Places | None:
    """The places of a list of logs; None if one of them is two transactions'."""
    places: Places = {}
    for log in logs:
        place, transaction = identify(log), log.transaction_hash or ""
        for where in (place[1] if place is not None else None, log.transaction_index):
            if where is not None and places.setdefault(where, transaction) != transaction:
                return None
    return places


def content_of(log: Log) -> int:
    """A hash of what a log says, wherever it stands; never 0."""
    return hash((log.address, log.topics, log.data)) or 1
