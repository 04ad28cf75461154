"""One run: strategies and an executor over a mapped journal, as they would run live over its ring.

Owns the order of things.  The strategies read the journal first, each by the driver that the host has for it, so they
publish what they publish live on the same frames, byte for byte behind the headers.  Then the executor reads it, and
takes each order right behind the frame that the order answers: what comes too late live is too late here.  A run in
which nothing was ordered ends with the strategies.

Time is the event's: a message carries the time at which the frame behind it was published, as recorded, so the same
journal always gives the same messages.  What a strategy takes to decide is not in it; the executor's
`latency_ms` adds it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from consumers.backtest.account import PaperAccount
from consumers.backtest.concern import needed_frames
from consumers.backtest.mapped_journal import MappedJournal, Stretch
from consumers.execution.executor import PaperExecutor
from consumers.execution.orders import Order, read_order
from consumers.foreign_prints import DESCRIPTOR
from consumers.loading import AnyStrategy
from consumers.native import NativeDriver, NativeStrategy
from consumers.order_hash import OrderHash
from consumers.own_counts import shown_counts
from consumers.polled_frames import PolledFrames
from consumers.strategy import Draft, Driver, Strategy, StrategyStopped, Trigger
from consumers.watchdog import watching
from ringbuf import Poll
from tlv.codes import UNKNOWN_DECIMALS, Flag
from tlv.errors import FrameError
from tlv.filter import MessageFilter
from tlv.layout import HEADER, HEADER_SIZE, ArbitrageSignal, CycleLeg, OrderLeg, OrderRequest, SignalWithdrawn
from tlv.message import build, parse
from tlv.record import Record
from tlv.units import NS


def place_of(name: str) -> slice:
    """Where a field of a message's header stands."""
    kind, at = HEADER.fields[name][:2]  # type: ignore[index]
    return slice(at, at + kind.itemsize)


SEQUENCE, TIME = place_of("sequence"), place_of("timestamp_ns")


class OrderWish(NamedTuple):
    """A signal or an order of a strategy, for tables and pictures."""

    time_ns: int
    strategy: str
    sequence: int
    kind: str
    """signal, order or other."""
    block_number: int
    pools: tuple[bytes, ...]
    venues: tuple[int, ...]
    """Of a signal's legs; an order does not say them."""
    token_in: bytes
    decimals_in: int
    amount_in: int
    expected_out: int
    """Of an order the least that it accepts."""


@dataclass
class StrategyResult:
    """What one strategy did in a run."""

    name: str
    version: int
    params: dict[str, Any] = field(default_factory=dict)
    """As JSON has them; whoever made the strategy knows them."""
    order_hash: str = ""
    messages: int = 0
    signals: int = 0
    orders: int = 0
    withdrawn: int = 0
    frames: int = 0
    lost: int = 0
    poisoned: int = 0
    poison: list[str] = field(default_factory=list)
    """Of the first poison frames, why."""
    counts: dict[str, int | float | str] = field(default_factory=dict)
    """What the strategy counts of its own."""
    stopped: str = ""
    """Why it was stopped before the journal's end."""


@dataclass
class RunResult:
    """What a run gave."""

    number: int
    settings: dict[str, str]
    """What a sweep set for it."""
    strategies: list[StrategyResult]
    execution_hash: str
    account: PaperAccount
    by_delay: dict[int, PaperAccount]
    """The same orders, attempted so many blocks later."""
    wishes: list[OrderWish]
    frames: int
    waiting: int
    """Orders whose block had not ended when the journal did."""
    missing: list[str]
    """Why the result is not that of the whole market."""
    seconds: float = 0.0
    private_bytes: int = 0
    """Memory of the run's process that it shares with no other."""

    def keep_sums(self) -> None:
        """Forget each single order and message: a sweep may have thousands of runs."""
        self.wishes.clear()
        self.account.keep_sums()


Told = Callable[[int, bytes], object]
"""Takes a message and its time in ns."""

KEPT_REASONS = 3
NOWHERE = -1
CREDIBLE_NS = 60 * NS
"""From the building of a message to its publishing it takes microseconds."""
FOR_EXECUTORS = (ArbitrageSignal, OrderRequest, SignalWithdrawn)
"""Records of which an executor must know."""


class SaidMessage(NamedTuple):
    """A message of a strategy: its bytes, its records, the time of the event behind it, and in which column of the part
    that was read the frame of that event stands; -1 for the loss in front of the part."""

    data: bytes
    records: tuple[Record, ...]
    time_ns: int
    column: int


class PlacedOrder(NamedTuple):
    """A message for the executor, and behind which frame it comes."""

    part: int
    column: int
    ring: bytes
    sequence: int
    data: bytes
    time_ns: int


class TimedFrames:
    """Hands the parts of a journal to a driver, as the host does, and says of what it publishes the event's time."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.now_ns = 0
        """Event time of the last frame that something was published on."""
        self.column = NOWHERE
        """Where it stands in its part."""
        self._frames = PolledFrames(driver)

    def want(self, wanted: MessageFilter) -> None:
        """Leave out all other frames from now on."""
        self._frames = PolledFrames(self.driver, wanted)

    def deliver(self, stretch: Stretch, poll: Poll) -> Iterator[Draft]:
        """What is published on the frames of a part, after the loss in front of it; see `now_ns` and `column`.

        Raises:
            StrategyStopped.
        """
        self.driver.ring = stretch.ring
        self.column = NOWHERE
        for drafts, _ in self._frames.deliver(poll):
            self.column = column_of(poll, self.driver.strategy.trigger)
            if self.column != NOWHERE:
                self.now_ns = event_time_ns(poll, self.column, stretch.clock_offset_ns) or self.now_ns
            yield from drafts


def column_of(poll: Poll, trigger: Trigger) -> int:
    """Where the frame of `trigger` stands in the poll; `NOWHERE` of a loss."""
    numbers = poll.sequences
    if trigger.flags & Flag.REPLAY:
        numbers = np.array([number_of(frame.payload, SEQUENCE) for frame in poll], np.int64)
    at = np.flatnonzero(numbers == trigger.sequence)
    return int(at[0]) if at.size else NOWHERE


def event_time_ns(poll: Poll, column: int, clock_offset_ns: int) -> int:
    """When a frame was published, by the wall clock of its recording.  Where that is not within a minute of when its
    message was built, it is a replay's or a clock jumped: then when it was built; 0 of what is no message."""
    frame = poll[column]
    built_ns = number_of(frame.payload, TIME)
    published_ns = frame.publish_time_ns + clock_offset_ns
    return published_ns if 0 <= published_ns - built_ns <= CREDIBLE_NS else built_ns


def number_of(payload: bytes | memoryview, place: slice) -> int:
    """An i64 of a message's header; 0 of what has none."""
    return int.from_bytes(payload[place], "little", signed=True) if len(payload) >= HEADER_SIZE else 0


class PlainFeed:
    """Feeds a strategy in Python."""

    def __init__(self, strategy: Strategy) -> None:
        # A run is in a process that Ctrl-C does not reach: an interrupt is one that the strategy raised.
        self.driver = Driver(strategy, bytes(16), obeys_interrupts=False)
        self._frames = TimedFrames(self.driver)

    def messages(self, stretch: Stretch, poll: Poll) -> Iterator[SaidMessage]:
        """What the strategy says to a part of the journal.

        Raises:
            StrategyStopped.
        """
        for draft in self._frames.deliver(stretch, poll):
            now_ns = self._frames.now_ns
            data = build(draft.domain, draft.source, draft.records, timestamp_ns=now_ns)
            yield SaidMessage(data, draft.records, now_ns, self._frames.column)


class NativeFeed:
    """Feeds a strategy in machine code."""

    def __init__(self, strategy: NativeStrategy) -> None:
        self.driver = NativeDriver(strategy, bytes(16))
        self._now_ns = 0

    def messages(self, stretch: Stretch, poll: Poll) -> Iterator[SaidMessage]:
        """As of `PlainFeed`."""
        if self.driver.ring != stretch.ring:
            self.driver.ring = stretch.ring
        for message in self.driver.take_poll(poll):
            self._now_ns = event_time_ns(poll, message.column, stretch.clock_offset_ns) or self._now_ns
            data = bytes(message.payload)
            yield SaidMessage(data, parse(data, verify=False).records, self._now_ns, message.column)


class StrategySeat:
    """A strategy in a run, and what it has published."""

    def __init__(self, strategy: AnyStrategy, tell: Told | None = None) -> None:
        self._tell = tell
        self.feed = NativeFeed(strategy) if isinstance(strategy, NativeStrategy) else PlainFeed(strategy)
        self.ring = ring_of(strategy.name)
        self.sequence = 0
        self.wishes: list[OrderWish] = []
        self.result = StrategyResult(strategy.name, strategy.version)
        self._hash = OrderHash()

    def take(self, stretch: Stretch, poll: Poll, part: int) -> Iterator[PlacedOrder]:
        """Deliver part number `part` of the journal; what an executor must know of what the strategy publishes."""
        if self.result.stopped:
            return
        try:
            for message in self.feed.messages(stretch, poll):
                self.sequence += 1
                self._hash.add(message.data)
                if self._tell is not None:
                    self._tell(message.time_ns, message.data)
                self._count(message)
                if any(isinstance(record, FOR_EXECUTORS) for record in message.records):
                    data, time_ns = message.data, message.time_ns
                    yield PlacedOrder(part, message.column, self.ring, self.sequence, data, time_ns)
        except StrategyStopped as error:
            self.result.stopped = str(error)

    def _count(self, message: SaidMessage) -> None:
        result = self.result
        result.messages += 1
        records, now_ns = message.records, message.time_ns
        signal = next((one for one in records if isinstance(one, ArbitrageSignal)), None)
        request = next((one for one in records if isinstance(one, OrderRequest)), None)
        if request is not None:
            result.orders += 1
            self.wishes.append(self._order(request, records, now_ns))
        elif signal is not None:
            result.signals += 1
            self.wishes.append(self._signal(signal, records, now_ns))
        elif any(isinstance(one, SignalWithdrawn) for one in records):
            result.withdrawn += 1
        else:
            result.signals += 1

    def _signal(self, signal: ArbitrageSignal, records: Sequence[Record], now_ns: int) -> OrderWish:
        legs = [one for one in records if isinstance(one, CycleLeg)]
        return OrderWish(
            now_ns,
            self.result.name,
            self.sequence,
            "signal",
            signal.block_number,
            tuple(leg.pool for leg in legs),
            tuple(leg.venue for leg in legs),
            signal.token_in,
            signal.decimals_in,
            signal.amount_in,
            signal.amount_out,
        )

    def _order(self, request: OrderRequest, records: Sequence[Record], now_ns: int) -> OrderWish:
        legs = tuple(one.pool for one in records if isinstance(one, OrderLeg))
        wanted = request.min_amount_out
        amounts = (request.token_in, UNKNOWN_DECIMALS, request.amount_in, wanted)
        return OrderWish(now_ns, self.result.name, self.sequence, "order", request.block_number, legs, (), *amounts)

    def finish(self) -> StrategyResult:
        """What it did in all."""
        driver, result = self.feed.driver, self.result
        result.order_hash = self._hash.hexdigest()
        result.frames, result.lost, result.poisoned = driver.frames, driver.lost, driver.poisoned
        result.counts = shown_counts(driver.strategy.counts)
        result.poison = [f"sequence {one.sequence}: {one.reason}" for one in list(driver.poison)[:KEPT_REASONS]]
        return result


class ExecutorSeat:
    """An executor in a run, and what its messages add up to."""

    def __init__(self, executor: PaperExecutor, names: Mapping[bytes, str], tell: Told | None = None) -> None:
        self._tell = tell
        self.executor = executor
        self.frames = TimedFrames(Driver(executor, bytes(16)))
        self.account = PaperAccount(executor.config, names)
        self.hash = OrderHash()

    def take_order(self, order: PlacedOrder) -> None:
        """Take a message of a strategy."""
        self.executor.take_order(order.data, order.ring, order.sequence, order.time_ns)
        for draft in self.executor.drafts:
            self._book(draft, order.time_ns)

    def take(self, stretch: Stretch, poll: Poll) -> None:
        """Deliver a part of the journal.

        Raises:
            StrategyStopped: the executor itself is at fault.
        """
        for draft in self.frames.deliver(stretch, poll):
            self._book(draft, self.frames.now_ns)

    def _book(self, draft: Draft, now_ns: int) -> None:
        data = build(draft.domain, draft.source, draft.records, sequence=self.hash.messages + 1, timestamp_ns=now_ns)
        self.hash.add(data)
        if self._tell is not None:
            self._tell(now_ns, data)
        self.account.take(now_ns, draft.records)


def run_backtest(
    journal: MappedJournal,
    strategies: Sequence[AnyStrategy],
    executor: PaperExecutor,
    later: dict[int, PaperExecutor],
    advance: Callable[[int], object],
    tell: Told | None = None,
    asked: Mapping[str, Told] = MappingProxyType({}),
) -> RunResult:
    """Run strategies over a journal, and fill what they ask for.

    Args:
        executor: whose outcome counts.
        later: others that get the same orders, by the blocks that they wait.
        advance: called with the number of frames that were read since it was called last, twice as many in all as the
            journal has.
        tell: gets each message of the first executor, with the event's time.
        asked: by a strategy's name, what gets each of its messages.

    Raises:
        StrategyStopped: an executor raised on too many frames.
    """
    names = {ring_of(strategy.name): strategy.name for strategy in strategies}
    main = ExecutorSeat(executor, names, tell)
    others = {blocks: ExecutorSeat(one, names) for blocks, one in later.items()}
    executors = [main, *others.values()]

    seats = [StrategySeat(strategy, asked.get(strategy.name)) for strategy in strategies]
    orders: list[PlacedOrder] = []
    drivers = [seat.feed.driver for seat in seats if isinstance(seat.feed, PlainFeed)]
    with DESCRIPTOR.apart(), watching(drivers) as watch:  # sys.stdout may be a progress bar's meanwhile
        for part, (stretch, poll) in enumerate(journal.polls()):
            watch()
            for seat in seats:
                orders += seat.take(stretch, poll, part)
            advance(len(poll))
    orders.sort(key=lambda order: (order.part, order.column))
    if orders:
        execute(journal, orders, executors, advance)
    else:
        advance(journal.facts.frames)
    results = [seat.finish() for seat in seats]
    return RunResult(
        number=0,
        settings={},
        strategies=results,
        execution_hash=main.hash.hexdigest(),
        account=main.account,
        by_delay={blocks: one.account for blocks, one in others.items()},
        wishes=sorted((wish for seat in seats for wish in seat.wishes), key=lambda wish: wish.time_ns),
        frames=journal.facts.frames,
        waiting=executor.counts["orders"] - sum(main.account.ledger.states.values()),
        missing=[*journal.facts.missing(), *faults_of(results, main)],
    )


def execute(
    journal: MappedJournal,
    orders: Sequence[PlacedOrder],
    executors: Sequence[ExecutorSeat],
    advance: Callable[[int], object],
) -> None:
    """Have executors read what they need of the journal, and take each order behind the frame that it answers.

    Raises:
        StrategyStopped: an executor raised on too many frames.
    """
    coins = {one.executor.config.native_address for one in executors}
    wanted = needed_frames(journal, asked_in(orders), coins)
    for one in executors:
        one.frames.want(wanted)
    waiting = iter(orders)
    order = next(waiting, None)
    for part, (stretch, poll) in enumerate(journal.polls()):
        done = 0
        loss_told = poll.loss is None
        while order is not None and order.part == part:
            behind = order.column + 1
            if behind > done or not loss_told:
                piece = poll.part(done, behind) if loss_told else poll.choice(np.arange(done, behind))
                for one in executors:
                    one.take(stretch, piece)
                done, loss_told = behind, True
            for one in executors:
                one.take_order(order)
            order = next(waiting, None)
        if done < len(poll) or not loss_told:
            piece = poll.part(done, len(poll)) if loss_told else poll
            for one in executors:
                one.take(stretch, piece)
        advance(len(poll))


def asked_in(messages: Iterable[PlacedOrder]) -> Iterator[Order]:
    """The orders among messages of strategies."""
    for message in messages:
        with contextlib.suppress(FrameError):
            order = read_order(message.data, message.ring, message.sequence, message.time_ns)
            if isinstance(order, Order):
                yield order


def faults_of(results: Sequence[StrategyResult], executor: ExecutorSeat) -> list[str]:
    """What went wrong in a run itself."""
    found = [f"strategy {one.name} was stopped: {one.stopped}" for one in results if one.stopped]
    found += [
        f"strategy {one.name} raised on {one.poisoned} frames: {one.poison[0]}"
        for one in results
        if one.poison and not one.stopped
    ]
    if executor.frames.driver.poisoned:
        reason = executor.frames.driver.poison[-1].reason
        found.append(f"the executor raised on {executor.frames.driver.poisoned} frames: {reason}")
    if executor.account.unpriced:
        found.append(f"{executor.account.unpriced} reports have no price in the chain's coin and stand in no sum of it")
    return found


def ring_of(name: str) -> bytes:
    """The uuid of the ring that a strategy publishes into, the same in every backtest."""
    return blake2b(b"alphapulse backtest " + name.encode(), digest_size=16).digest()
