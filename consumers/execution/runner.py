"""Runs the paper executor between the market's ring and those of strategies, or over their journals, and publishes.

Owns the loop.  The market is polled first, then every order that is out is taken in, then the market's frames are
delivered: so whatever was published before a block's end was published is in time for that block.  Of a journal of
orders as much is read as the market's frames can have caused.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from consumers.execution.counts import ExecutionCounts
from consumers.execution.executor import PaperExecutor
from consumers.follower import RingFollower
from consumers.journal import JournalReader
from consumers.order_hash import OrderHash
from consumers.polled_frames import FRAMES_PER_POLL, PolledFrames
from consumers.runner import HEARTBEAT_S, WAIT_S
from consumers.strategy import Draft, Driver
from ringbuf import CorruptRing, Poll, Reader, SharedCounters, Status, Wait, Writer
from ringbuf.errors import RingNotFound, RingNotReady
from tlv.codes import Domain, OrderState, Source
from tlv.errors import UsageError
from tlv.layout import HEADER_SIZE, LAYOUT_DIGEST, ExecutionReport, Header, OrderStatus
from tlv.message import build

log = logging.getLogger("alphapulse.execution")

EXECUTION_CAPACITY = 1 << 24
"""Bytes of the executor's ring: some 15,000 filled orders, which a restart remembers."""
SOURCE_AT, DOMAIN_AT = (Header.layout.offsets[name] for name in ("source", "domain"))
NO_MARKET = frozenset((Domain.SIGNAL, Domain.EXECUTION))
NO_ORDERS = frozenset((Domain.MARKET_DATA,))
LOOK_S = 0.5
"""How often a ring of orders that is not there yet is looked for."""


class OrderRing:
    """A strategy's ring, which may not be there yet and may be made anew."""

    def __init__(self, name: str, *, reliable: bool) -> None:
        self.name = name
        self.lost = 0
        self._reliable = reliable
        self._follower: RingFollower | None = None
        self._look_s = 0.0

    def polls(self) -> Iterator[tuple[bytes, Poll]]:
        """All that can be read now, with the ring's uuid.

        Raises:
            SegmentError: what has the name is no ring of ours.
        """
        follower = self._follower or self._attach()
        while follower is not None:
            poll = follower.poll(FRAMES_PER_POLL)
            if poll.status is Status.CORRUPT:
                raise CorruptRing(f"ring {self.name}: no frame where sequence {follower.reader.sequence} should be")
            if poll.loss is not None:
                self.lost += poll.loss.count
            yield follower.reader.uuid, poll
            if follower.reader.evicted:
                follower.reader.join()
            if poll.status in {Status.EMPTY, Status.CLOSED} and follower.next_ring() is None:
                return

    def _attach(self) -> RingFollower | None:
        if time.monotonic() < self._look_s:
            return None
        self._look_s = time.monotonic() + LOOK_S
        try:
            reader = Reader.attach(self.name, start="oldest", layout_digest=LAYOUT_DIGEST, reliable=self._reliable)
        except (RingNotFound, RingNotReady):
            return None
        self._follower = RingFollower(reader)
        return self._follower

    def close(self) -> None:
        """Leave the ring."""
        if self._follower is not None:
            self._follower.close()
            self._follower.reader.close()


class OrderJournal:
    """The journal of a strategy's ring."""

    def __init__(self, directory: Path) -> None:
        self._reader = JournalReader(directory)
        self.name = self._reader.name
        self.lost = 0
        self._ended = False

    def polls(self) -> Iterator[tuple[bytes, Poll]]:
        """What one scan after the other finds, to the present end."""
        while True:
            poll = self._reader.poll()
            if poll.loss is not None:
                self.lost += poll.loss.count
            yield self._reader.uuid, poll
            if poll.status in {Status.EMPTY, Status.CLOSED}:
                return

    def close(self) -> None:
        """Close its files."""
        self._reader.close()


class ExecutionRunner:
    """One executor between its inputs and its ring; from construction to `close`.

    What it counts is in `shared` too, if that is given: counters of `ExecutionCounts`.  `tell` gets what was published.
    """

    def __init__(
        self,
        executor: PaperExecutor,
        market: Reader | JournalReader,
        orders: Sequence[OrderRing | OrderJournal],
        writer: Writer,
        *,
        wait: Wait = Wait.BACKOFF,
        clock_ns: Callable[[], int] = time.time_ns,
        shared: SharedCounters | None = None,
        tell: Callable[[Draft], object] | None = None,
    ) -> None:
        self.executor = executor
        self.driver = Driver(executor, market.uuid)
        self.order_hash = OrderHash()
        self._counts = ExecutionCounts()
        self._shared = shared
        if shared is not None:
            shared.bind(self._counts)
        self._market = market
        self._follower = RingFollower(market) if isinstance(market, Reader) else None
        self._orders = list(orders)
        self._writer = writer
        self._wait = wait
        self._clock_ns = clock_ns
        self._tell = tell
        self._frames = PolledFrames(self.driver)
        self._caught_up = False
        self._orders_lost = 0
        self._checked: set[tuple[str, str]] = set()
        """Names of inputs, and what each was found to be."""

    def _check(self, name: str, poll: Poll, foreign: frozenset[int], expected: str) -> None:
        """Refuse what is no market, or no strategy's: by the first messages that it has."""
        if (name, expected) in self._checked or not len(poll):
            return
        self._checked.add((name, expected))
        for frame in poll:
            domain = frame.payload[DOMAIN_AT] if len(frame.payload) >= HEADER_SIZE else None
            if domain in foreign:
                found = Domain(domain).name.lower().replace("_", " ")
                where = f"{name}, sequence {frame.sequence}"
                raise UsageError(f"{where}: expected messages of {expected}, found one of the domain {found}")

    def resume(self, own: Iterable[bytes]) -> int:
        """Go on behind what this ring, or its journal, holds; how many messages that were.

        Raises:
            UsageError: they are another process' messages.
        """

        def noted() -> Iterator[bytes]:
            for message in own:
                source = message[SOURCE_AT] if len(message) >= HEADER_SIZE else None
                if source != Source.PAPER_EXECUTOR:
                    expected = f"source {Source.PAPER_EXECUTOR:d}, a paper executor's"
                    raise UsageError(f"ring {self._writer.name}: expected messages of {expected}, found {source}")
                self.order_hash.add(message)
                yield message

        count = self.executor.resume(noted())
        missing = self.executor.counts["own_missing"]
        if missing:
            found = {"ring": self._writer.name, "count": missing, "block": self.executor.ledger.floor}
            log.warning(
                "%(count)d messages of %(ring)s before now are missing: orders up to block %(block)d count as done, "
                "and the sums lack what they were about",
                found,
            )
        return count

    def run(self, asked_to_stop: Callable[[], bool], *, until_closed: bool = False, follow: bool = True) -> None:
        """Until asked to stop; with `until_closed` also when the market's ring is closed and read to its end; a journal
        without `follow` to its present end.

        Raises:
            StrategyStopped, CorruptRing, JournalError; RingOrphaned: the executor's ring has lost its name.
        """
        heartbeat_due = time.monotonic()
        while not asked_to_stop():
            if time.monotonic() >= heartbeat_due:
                self._writer.heartbeat()
                if self._shared is not None:
                    self._shared.put(self.counts)
                heartbeat_due = time.monotonic() + HEARTBEAT_S
            status = self.step()
            ended = status in {Status.EMPTY, Status.CLOSED}
            if ended and not self._caught_up:
                self._caught_up = True
                self.executor.caught_up()
                self._publish(self.executor.drafts, 0)
            if status is Status.CLOSED and until_closed:
                return
            if isinstance(self._market, Reader):
                self._rest(self._market, status)
            elif ended:
                if not follow:
                    return
                time.sleep(WAIT_S)

    def step(self) -> Status:
        """Take in and deliver what can be read now.

        Raises:
            StrategyStopped, CorruptRing.
        """
        market = self._market
        poll = market.poll(FRAMES_PER_POLL) if isinstance(market, Reader) else market.poll()
        if isinstance(market, JournalReader):
            self.driver.ring = market.uuid  # the next frames may be of another ring of this name
        if poll.status is Status.CORRUPT:
            raise CorruptRing(f"ring {market.name}: no frame where sequence {market.sequence} should be")
        self._check(market.name, poll, NO_MARKET, "a market")
        self._take_orders(int(poll.sequences[-1]) if len(poll) else -1)
        poisoned = self.driver.poisoned
        for drafts, published_ns in self._frames.deliver(poll):
            self._publish(drafts, published_ns)
        if self.driver.poisoned > poisoned:
            last = self.driver.poison[-1]
            found = {"ring": market.name, "sequence": last.sequence, "error": last.reason}
            log.warning("poison frame (ring %(ring)s, sequence %(sequence)d): %(error)s", found)
        return poll.status

    def _take_orders(self, market_sequence: int) -> None:
        executor = self.executor
        wanted = (self.driver.ring, market_sequence)
        for source in self._orders:
            for ring, poll in source.polls():
                self._check(source.name, poll, NO_ORDERS, "a strategy")
                for frame in poll:
                    header = Header.unpack(frame.payload) if len(frame.payload) >= HEADER_SIZE else None
                    published_ns = header.timestamp_ns if header is not None else 0
                    executor.take_order(frame.payload, ring, frame.sequence, published_ns)
                    self._publish(executor.drafts, 0)
                if isinstance(source, OrderJournal):
                    known_ring, sequence = executor.read_up_to.get(ring, (b"", -1))
                    if known_ring == wanted[0] and sequence > wanted[1]:
                        break
        lost = sum(source.lost for source in self._orders)
        if lost > self._orders_lost:
            count, self._orders_lost = lost - self._orders_lost, lost
            log.warning("%(count)d frames of strategies' rings were lost, orders may be among them", {"count": count})

    def _publish(self, drafts: Iterable[Draft], published_ns: int) -> None:
        counts = self._counts
        for draft in drafts:
            sequence = self._writer.next_sequence
            data = build(draft.domain, draft.source, draft.records, sequence=sequence, timestamp_ns=self._clock_ns())
            self._writer.publish(data)
            self.order_hash.add(data)
            counts.published += 1
            match draft.records[-1]:
                case ExecutionReport(state=state):
                    counts.filled += state == OrderState.FILLED
                    counts.failed += state == OrderState.FAILED
                    if published_ns and isinstance(self._market, Reader):
                        counts.end_to_report.add(max(time.monotonic_ns() - published_ns, 0))
                case OrderStatus(state=state):
                    counts.undone += state == OrderState.UNDONE
                    counts.refused += state != OrderState.UNDONE
            if self._tell is not None:
                self._tell(draft)

    def _rest(self, reader: Reader, status: Status) -> None:
        """Wait after a poll of the market, or go on with the next ring."""
        if reader.evicted:
            reader.join()
            log.warning("ring %(ring)s: its writer evicted this executor, which joins again", {"ring": reader.name})
        follower = self._follower
        if follower is None or status not in {Status.EMPTY, Status.CLOSED}:
            return
        follower.look()
        replaced = follower.next_ring()
        if replaced is None:
            follower.rest(status, WAIT_S, self._wait)
            return
        place = {"ring": follower.name, "sequence": replaced.last_sequence}
        log.warning("ring %(ring)s was replaced behind sequence %(sequence)d", place)
        self._market, self.driver.ring = follower.reader, replaced.new

    @property
    def counts(self) -> ExecutionCounts:
        """What it counted, up to date."""
        counts, driver = self._counts, self.driver
        counts.frames, counts.lost, counts.poisoned = driver.frames, driver.lost, driver.poisoned
        counts.orders, counts.orders_lost = self.executor.counts["orders"], self._orders_lost
        counts.breaker = self.executor.ledger.breaker.state
        return counts

    def summary(self) -> dict[str, Any]:
        """What its process says at its end; amounts in wei as text."""
        counts, taken = self.counts, self._counts.end_to_report
        return {
            "frames": counts.frames,
            "lost": counts.lost,
            "poisoned": counts.poisoned,
            "orders_lost": counts.orders_lost,
            "published": counts.published,
            **self.executor.summary(),
            "end_to_report_ns": {"samples": count, **taken.to_dict()} if (count := taken.count) else None,
            "execution_hash": self.order_hash.hexdigest(),
        }

    def close(self) -> None:
        """Leave the rings and close the journals of orders."""
        for source in self._orders:
            source.close()
        if self._follower is not None:
            self._follower.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def own_messages(name: str, journal: Path | None = None) -> Iterator[bytes]:
    """What the ring `name` has published: of its journal, if one is given, then what the ring holds beyond it."""
    last: dict[bytes, int] = {}
    with ExitStack() as stack:
        if journal is not None:
            recorded = stack.enter_context(JournalReader(journal))
            while True:
                poll = recorded.poll()
                for frame in poll:
                    last[recorded.uuid] = frame.sequence
                    yield bytes(frame.payload)
                if poll.status in {Status.EMPTY, Status.CLOSED}:
                    break
        attach = partial(Reader.attach, name, start="oldest", layout_digest=LAYOUT_DIGEST)
        try:
            reader = stack.enter_context(attach())
        except (RingNotFound, RingNotReady):
            return
        beyond = last.get(reader.uuid, 0)
        while True:
            poll = reader.poll(FRAMES_PER_POLL)
            for frame in poll:
                if frame.sequence > beyond:
                    yield bytes(frame.payload)
            if poll.status in {Status.EMPTY, Status.CLOSED}:
                return
