"""The base class of strategies, and how one is driven frame by frame: the same on a live ring and on a journal.

Owns the base class `Strategy`, the dispatch of a message to its methods, and the rule for poison frames.  Knows neither
rings nor files nor clocks: frames come in as (sequence, publish time, bytes) and drafts of signals go out.  So the same
frames give the same drafts, byte for byte, wherever they come from.

A strategy is foreign code.  Whatever it raises concerns the frame it was raised on: the frame is counted and set aside
with the reason, `on_lost` is called for it, and the next one is delivered.  A strategy that keeps raising is stopped,
and one that does not return from a method (`HandlerTimeout`, by `watchdog`) at once.
"""

from __future__ import annotations

import traceback
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from threading import get_ident
from typing import Any, ClassVar, NamedTuple, Self

import msgspec

from tlv.arguments import check_integer
from tlv.codes import MAX_MESSAGE, Domain, Flag, Source
from tlv.errors import AlphaPulseError, FrameError, UsageError
from tlv.fields import MAX_UINT256
from tlv.filter import MessageFilter
from tlv.layout import (
    Block,
    BlockEnd,
    EventOrigin,
    FeeState,
    Gap,
    OrderLeg,
    OrderRequest,
    PoolRecord,
    PoolState,
    PoolTicks,
    Reorg,
    Session,
    SignalIdentity,
    StateInvalidation,
    TickLiquidity,
    Timepoint,
)
from tlv.message import Message, parse
from tlv.record import Record
from tlv.units import NS

REPLAY, REMOVED, UNPROVEN, SNAPSHOT = (int(flag) for flag in (Flag.REPLAY, Flag.REMOVED, Flag.UNPROVEN, Flag.SNAPSHOT))
"""As plain integers: `&` with an IntFlag runs Python code for every frame."""

POISON_LIMIT = 10
"""Poison frames within `POISON_WINDOW_NS` after which a strategy is stopped: the fault is the strategy's."""
POISON_WINDOW_NS = 60 * NS
KEPT_POISON = 100
"""Poison frames kept for inspection; older ones are only counted."""
LONGEST_REASON = 4_000
"""Characters that are kept of the reason for a poison frame."""
CALLERS = {__name__, "consumers.polled_frames", "consumers.runner", "consumers.backtest.run", "tlv.message"}
"""Modules from which a strategy's methods are called and its messages built: no part of what it did wrong."""
MAX_TIME_NS = MAX_BLOCK = (1 << 63) - 1
MOST_LEGS = 255

MESSAGES_PER_FRAME = 1_000
"""Messages that one frame may cause; a strategy that emits more is taken for one that never ends."""
BYTES_PER_FRAME = 8 * MAX_MESSAGE
"""Bytes of them: half of a ring of signals, of which a reader still finds the first when the last is published."""


class FloodError(AlphaPulseError):
    """A strategy emitted more messages on one frame than anybody could act on."""


class StrategyStopped(AlphaPulseError):
    """A strategy raised on too many frames in too short a time, or did not return from a method."""


class HandlerTimeout(BaseException):
    """Raised in a method that has run for too long, by a `watchdog`; no Exception, so that no method catches it."""


class Trigger(NamedTuple):
    """The frame that a strategy is called for."""

    ring: bytes
    """uuid of the ring where it was first published."""
    sequence: int
    flags: int
    published_ns: int = 0
    """When its ring, or a replay's, took it: CLOCK_MONOTONIC of that host's boot."""


class Draft(NamedTuple):
    """A message to be published for a strategy; the receive time is that of the event behind it, 0 if there is none."""

    source: Source
    records: tuple[Record, ...]
    receive_time_ns: int
    domain: Domain = Domain.SIGNAL


class Strategy:
    """Override what you need.  Every method is called in ring order; `emit` publishes a message."""

    name: ClassVar[str] = "strategy"
    """At most 20 bytes: it is a field of every signal."""
    version: ClassVar[int] = 1
    source: ClassVar[Source] = Source.USER_STRATEGY
    wants: ClassVar[frozenset[type[Record]]] = frozenset()
    """Records whose messages it is called for; empty = all.  Session, Gap, Reorg and StateInvalidation always come:
    without one of them a strategy would trade on a state that is no longer true."""

    symbols: ClassVar[frozenset[str]] = frozenset()
    """Pools whose events it is called for, by their tokens' symbols as in `consumers.symbols`; empty = all."""
    params: ClassVar[type[Any] | None] = None
    """A `msgspec.Struct` class of its parameters, which the host reads from `[strategy.params]` and `--set`, checks and
    hands over as the only argument; None if it takes none and is made without arguments."""

    records: ClassVar[tuple[type[Record], ...]] = ()
    """Records of the user's own that it emits; commands that show messages find them by the strategy's reference."""

    made_with: object = None
    """The parameters that a host made it with."""
    trigger: Trigger
    counts: Counter[str]
    """What it counts of its own; `--json` of `alphapulse strategy` and `backtest` show it under `counts`."""
    drafts: list[Draft]
    called_in: int
    """The thread in which its methods are called; 0 before the first call."""
    _drafted_bytes: int

    def __new__(cls, *_args: Any, **_settings: Any) -> Self:
        """What every strategy has: there, whether or not a subclass calls its base's constructor."""
        strategy = super().__new__(cls)
        strategy.trigger = Trigger(bytes(16), 0, 0)
        strategy.counts = Counter()
        strategy.drafts = []
        strategy.called_in = 0
        strategy._drafted_bytes = 0
        return strategy

    def emit(self, *records: Record, receive_time_ns: int = 0) -> int:
        """Publish records as one message, behind a SignalIdentity that names the frame being delivered; its id.

        Raises:
            UsageError: what is no record, or no time; or a thread other than that which calls the methods.
            FloodError: this would be one more than `MESSAGES_PER_FRAME`, or more than `BYTES_PER_FRAME`.
        """
        for record in records:
            if not isinstance(record, Record):
                raise UsageError(f"emit: expected records, found {record!r:.80}")
        check_integer("emit: receive_time_ns", receive_time_ns, 0, MAX_TIME_NS)
        number = self._next_id(records)
        identity = SignalIdentity(
            signal_id=number,
            trigger_sequence=self.trigger.sequence,
            trigger_receive_time_ns=receive_time_ns,
            trigger_ring=self.trigger.ring,
            strategy=self.name,
            strategy_version=self.version,
        )
        self.drafts.append(Draft(self.source, (identity, *records), receive_time_ns))
        return number

    def order(
        self,
        legs: Sequence[OrderLeg],
        amount_in: int,
        *,
        min_amount_out: int = 0,
        block_number: int,
        expires_block: int,
        receive_time_ns: int = 0,
    ) -> int:
        """Ask for swaps through `legs`, one after the other, as one transaction; the order's id.

        Args:
            legs: at least one; the numbers in them are set to 1, 2, ...
            amount_in: base units of the first leg's token_in.
            min_amount_out: least base units of the last leg's token_out that it accepts.
            block_number: the block whose state it was decided on.
            expires_block: the last block in which it may be filled.

        Raises:
            UsageError: none or more than 255 legs, what is no OrderLeg; an amount that is no uint256; or as of `emit`.
            FloodError: as of `emit`.
        """
        if not 1 <= len(legs) <= MOST_LEGS:
            raise UsageError(f"order: expected 1 to {MOST_LEGS} legs, found {len(legs)}")
        for leg in legs:
            if not isinstance(leg, OrderLeg):
                raise UsageError(f"order: expected OrderLeg records, found {leg!r:.80}")
        number = self._next_id(legs)
        request = OrderRequest(
            order_id=number,
            trigger_sequence=self.trigger.sequence,
            trigger_receive_time_ns=check_integer("order: receive_time_ns", receive_time_ns, 0, MAX_TIME_NS),
            block_number=check_integer("order: block_number", block_number, 0, MAX_BLOCK),
            expires_block=check_integer("order: expires_block", expires_block, 0, MAX_BLOCK),
            amount_in=check_integer("order: amount_in", amount_in, 0, MAX_UINT256),
            min_amount_out=check_integer("order: min_amount_out", min_amount_out, 0, MAX_UINT256),
            trigger_ring=self.trigger.ring,
            strategy=self.name,
            strategy_version=self.version,
            token_in=legs[0].token_in,
            token_out=legs[-1].token_out,
            legs=len(legs),
        )
        numbered = tuple(msgspec.structs.replace(leg, leg=at) for at, leg in enumerate(legs, 1))
        self.drafts.append(Draft(self.source, (request, *numbered), receive_time_ns, Domain.EXECUTION))
        return number

    def _next_id(self, records: Sequence[Record]) -> int:
        if self.called_in not in (0, get_ident()):
            raise UsageError(
                f"strategy {self.name}: a message answers the frame for which a method was called; expected emit and "
                "order in the thread that calls it, found another"
            )
        ordinal = len(self.drafts)
        self._drafted_bytes = sum(record.layout.size for record in records) + (self._drafted_bytes if ordinal else 0)
        if ordinal >= MESSAGES_PER_FRAME:
            raise FloodError(f"strategy {self.name}: more than {MESSAGES_PER_FRAME} messages on one frame")
        if self._drafted_bytes > BYTES_PER_FRAME:
            raise FloodError(f"strategy {self.name}: more than {BYTES_PER_FRAME} bytes on one frame")
        return signal_id(self.name, self.version, self.trigger, ordinal)

    def on_message(self, message: Message) -> None:
        """Any message that it wants, in front of the method that is for it; some have none, as heartbeats."""

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        """A pool event."""

    def on_removed(self, record: PoolRecord, origin: EventOrigin) -> None:
        """A pool event whose block left the chain."""

    def on_snapshot(self, record: PoolState) -> None:
        """Identity and last state of a pool, as the collector knows them."""

    def on_ticks(self, part: PoolTicks, ticks: tuple[TickLiquidity, ...]) -> None:
        """A part of a pool's tick map, as of the end of its block."""

    def on_fee_state(self, state: FeeState, points: tuple[Timepoint, ...]) -> None:
        """All that decides an Algebra pool's fee, as of the end of its block."""

    def on_block(self, block: Block) -> None:
        """The node announced a block."""

    def on_block_end(self, end: BlockEnd) -> None:
        """A block is known to be complete."""

    def on_reorg(self, reorg: Reorg) -> None:
        """Blocks left the chain; a REMOVED copy of each of their events follows."""

    def on_invalidation(self, invalidation: StateInvalidation) -> None:
        """Earlier state must not be trusted."""

    def on_gap(self, gap: Gap) -> None:
        """Blocks could not be had from the node, or frames were lost before this ring (`gap.scope`)."""

    def on_session(self, session: Session) -> None:
        """The collector began a new epoch."""

    def on_lost(self, first: int, last: int) -> None:
        """Frames `first` to `last` of the ring never reached this strategy."""


HANDLERS = tuple(name for name in vars(Strategy) if name.startswith("on_"))
"""The methods of a strategy that are called."""


def signal_id(name: str, version: int, trigger: Trigger, ordinal: int) -> int:
    """64 bits that name a signal: equal for equal strategy, frame and ordinal, so a replay gives the same."""
    text = f"{name} {version} {trigger.sequence} {ordinal} ".encode() + trigger.ring
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


def filter_of(strategy: Strategy) -> MessageFilter:
    """The messages for which the strategy is called."""
    return MessageFilter.of(types=strategy.wants)


class Poison(NamedTuple):
    """A frame on which the strategy raised, or which is no message."""

    sequence: int
    payload: bytes
    reason: str


class Driver:
    """Feeds one strategy, frame by frame.

    Args:
        obeys_interrupts: let a KeyboardInterrupt end everything, as where Ctrl-C raises one.  Where Ctrl-C is noted
            instead, one that is raised is the strategy's own, and is about its frame alone.
    """

    def __init__(self, strategy: Strategy, ring: bytes, *, obeys_interrupts: bool = True) -> None:
        self.strategy = strategy
        self.ring = ring
        self.obeys_interrupts = obeys_interrupts
        self.recorded_ring = ring
        """The ring whose frames a replay copies, as its last Session says."""
        self.frames = 0
        """Frames that came, delivered or skipped."""
        self.lost = 0
        self.poisoned = 0
        self.poison: deque[Poison] = deque(maxlen=KEPT_POISON)
        self._raised_at: deque[int] = deque(maxlen=POISON_LIMIT)

    def begin(self) -> Strategy:
        """The strategy, about to be called: it has said nothing yet, and may speak in this thread."""
        strategy = self.strategy
        strategy.drafts, strategy.called_in = [], get_ident()
        return strategy

    def deliver(self, sequence: int, publish_time_ns: int, payload: bytes | memoryview) -> list[Draft]:
        """Deliver one frame to the strategy; the messages that it emits.

        Raises:
            StrategyStopped: this was the last of `POISON_LIMIT` poison frames within a minute of publish times, or a
                method did not return.
        """
        self.frames += 1
        strategy = self.begin()
        try:
            message = parse(payload, verify=False)
            strategy.trigger = self._trigger(sequence, publish_time_ns, message)
            strategy.on_message(message)
            dispatch(strategy, message)
        except FrameError as error:
            self.set_aside(sequence, publish_time_ns, payload, str(error))
        except BaseException as error:  # noqa: BLE001 - foreign code: whatever it raises is about this frame alone
            self.contain(error, sequence, publish_time_ns, payload)
        return strategy.drafts

    def _trigger(self, sequence: int, publish_time_ns: int, message: Message) -> Trigger:
        """The frame's identity: where it was first published, so that a replayed copy gives signals with the same ids.
        The header of a copy keeps the sequence, and the Session that opened the recorded epoch names the ring."""
        header = message.header
        if not header.flags & REPLAY:
            return Trigger(self.ring, sequence, header.flags, publish_time_ns)
        session = message.first(Session)
        if session is not None:
            self.recorded_ring = session.ring_uuid
        return Trigger(self.recorded_ring, header.sequence, header.flags, publish_time_ns)

    def skip(self, count: int) -> None:
        """Count frames that the strategy's filter left out."""
        self.frames += count

    def lose(self, first: int, last: int) -> list[Draft]:
        """Frames `first` to `last` are lost: count them and call `on_lost`; the messages that it emits.

        Raises:
            StrategyStopped: as of `deliver`.
        """
        self.lost += last - first + 1
        strategy = self.begin()
        strategy.trigger = Trigger(self.ring, last, 0)
        try:
            strategy.on_lost(first, last)
        except BaseException as error:  # noqa: BLE001 - foreign code
            reason = self._reason_of(error)
            strategy.drafts = []
            self._note_poison(last, self._raised_at[-1] if self._raised_at else 0, b"", reason)
            self._stop_at_timeout(error, last)
        return strategy.drafts

    def contain(
        self, error: BaseException, sequence: int, publish_time_ns: int, payload: bytes | memoryview
    ) -> list[Draft]:
        """Set a frame aside on which the strategy raised `error`; the messages that `on_lost` emits.

        Raises:
            StrategyStopped: as of `deliver`.
        """
        self.set_aside(sequence, publish_time_ns, payload, self._reason_of(error))
        self._stop_at_timeout(error, sequence)
        return self.strategy.drafts

    def set_aside(self, sequence: int, publish_time_ns: int, payload: bytes | memoryview, reason: str) -> None:
        """Count a frame as poison, and tell the strategy that it lacks the frame.

        Raises:
            StrategyStopped: as of `deliver`.
        """
        # Messages emitted before the exception are dropped, and the strategy must know that it lacks this frame.
        strategy = self.strategy
        strategy.drafts = []
        try:
            strategy.on_lost(sequence, sequence)
        except BaseException as error:  # noqa: BLE001 - foreign code
            strategy.drafts = []
            reason = f"{reason}\non_lost raised in turn: {self._reason_of(error)}"
        self._note_poison(sequence, publish_time_ns, bytes(payload), reason)

    def _reason_of(self, error: BaseException) -> str:
        """Kind, text and last places of what was raised; raises it, if it is an interrupt that is obeyed."""
        if isinstance(error, KeyboardInterrupt) and self.obeys_interrupts:
            raise error
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_globals.get("__name__") in CALLERS:
            trace = trace.tb_next
        try:
            text = "".join(traceback.format_exception(type(error), error, trace, limit=-3)).strip()
        except BaseException:  # noqa: BLE001 - an exception of its own kind, which cannot be shown
            return type(error).__name__
        return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]} ..."

    def _stop_at_timeout(self, error: BaseException, sequence: int) -> None:
        if isinstance(error, HandlerTimeout):
            reason = self.poison[-1].reason
            raise StrategyStopped(f"strategy {self.strategy.name}: stopped on sequence {sequence}: {reason}") from None

    def _note_poison(self, sequence: int, publish_time_ns: int, payload: bytes, reason: str) -> None:
        self.poisoned += 1
        self.poison.append(Poison(sequence, payload, reason))
        self._raised_at.append(publish_time_ns)
        first = self._raised_at[0]
        if len(self._raised_at) == POISON_LIMIT and publish_time_ns - first <= POISON_WINDOW_NS:
            raise StrategyStopped(
                f"strategy {self.strategy.name}: {POISON_LIMIT} poison frames within "
                f"{(publish_time_ns - first) / NS:.1f} s, the last is sequence {sequence}: {reason}"
            )


def dispatch(strategy: Strategy, message: Message) -> None:
    """Call the method of `strategy` that a message is for.  Records without one (heartbeats, vendor's) are skipped."""
    if not message.records:
        return
    record = message.records[0]
    match record:
        case PoolRecord():
            dispatch_pool(strategy, record, message)
        case Block():
            strategy.on_block(record)
        case BlockEnd():
            strategy.on_block_end(record)
        case Reorg():
            strategy.on_reorg(record)
        case StateInvalidation():
            strategy.on_invalidation(record)
        case Gap():
            strategy.on_gap(record)
        case Session():
            strategy.on_session(record)


def dispatch_pool(strategy: Strategy, record: PoolRecord, message: Message) -> None:
    """`dispatch` of a message that begins with a pool's record."""
    flags = message.header.flags
    if flags & UNPROVEN:
        return  # its emitter may be anything
    if flags & SNAPSHOT and isinstance(record, PoolState):
        strategy.on_snapshot(record)
        return
    if isinstance(record, PoolTicks):
        strategy.on_ticks(record, tuple(tick for tick in message.records if isinstance(tick, TickLiquidity)))
        return
    if isinstance(record, FeeState):
        strategy.on_fee_state(record, tuple(point for point in message.records if isinstance(point, Timepoint)))
        return
    origin = message.first(EventOrigin)
    if origin is None:
        raise FrameError(f"expected an EventOrigin behind {type(record).__name__}, found none")
    if flags & REMOVED:
        strategy.on_removed(record, origin)
    else:
        strategy.on_event(record, origin)


def drive(strategy: Strategy, ring: bytes, frames: Iterable[tuple[int, int, bytes | memoryview]]) -> list[Draft]:
    """Run a strategy over frames (sequence, publish time, payload) that are all there, as from a journal."""
    driver = Driver(strategy, ring)
    return [draft for frame in frames for draft in driver.deliver(*frame)]
