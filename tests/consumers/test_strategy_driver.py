"""How a strategy is driven: dispatch, poison frames, lost frames, and equal words for equal frames."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from consumers.select_frames import select_frames
from consumers.strategy import (
    POISON_LIMIT,
    POISON_WINDOW_NS,
    Draft,
    Driver,
    Strategy,
    StrategyStopped,
    Trigger,
    drive,
    filter_of,
)
from tlv.codes import Completeness, Domain, FeedReason, FeedState, Flag, GapScope, Protocol, Reason, Source, Venue
from tlv.errors import UsageError
from tlv.layout import (
    Block,
    BlockEnd,
    EventOrigin,
    Gap,
    Heartbeat,
    OrderLeg,
    PoolRecord,
    PoolState,
    PoolSync,
    Reorg,
    Session,
    SignalIdentity,
    StateInvalidation,
)
from tlv.message import Message, build
from tlv.record import Record

RING = b"r" * 16
HEAD = (b"p" * 20, b"0" * 20, b"1" * 20, Venue.QUICKSWAP_V2, 18, 6, Protocol.UNISWAP_V2)
ORIGIN = EventOrigin(7, 0, 11, 0, 0, bytes(32), bytes(32))
SYNC = PoolSync(*HEAD, 100, 200)
STATE = PoolState(*HEAD, 0, 0, 0, 0, 0, 3000, 0, 0, bytes(20), "A", "B")


def market(*records: Record, flags: int = 0) -> bytes:
    """A market-data message."""
    return build(Domain.MARKET_DATA, Source.POLYGON_COLLECTOR, records, flags=flags)


def system(record: Record) -> bytes:
    """A system message."""
    return build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [record])


class Diary(Strategy):
    """Writes down what it is told, repeats every Sync, and trips over reserves of 13."""

    name = "diary"

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[str] = []

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        self.entries.append(f"event {origin.block_number}")
        self.emit(SYNC, receive_time_ns=origin.receive_time_ns)
        if isinstance(record, PoolSync) and record.reserve0 == 13:
            raise ZeroDivisionError("reserve of 13")

    def on_removed(self, record: PoolRecord, origin: EventOrigin) -> None:
        self.entries.append(f"removed {origin.block_number}")

    def on_snapshot(self, record: PoolState) -> None:
        self.entries.append(f"snapshot {record.fee_pips}")

    def on_block(self, block: Block) -> None:
        self.entries.append(f"block {block.number}")

    def on_block_end(self, end: BlockEnd) -> None:
        self.entries.append(f"end {end.number}")

    def on_reorg(self, reorg: Reorg) -> None:
        self.entries.append(f"reorg {reorg.fork_number}")

    def on_invalidation(self, invalidation: StateInvalidation) -> None:
        self.entries.append(f"invalidation {invalidation.reason}")

    def on_gap(self, gap: Gap) -> None:
        self.entries.append(f"gap {gap.first}-{gap.last}")

    def on_session(self, session: Session) -> None:
        self.entries.append(f"session {session.epoch}")

    def on_lost(self, first: int, last: int) -> None:
        self.entries.append(f"lost {first}-{last}")


@pytest.mark.parametrize(
    ("payload", "entry"),
    [
        (market(SYNC, ORIGIN), "event 7"),
        (market(SYNC, ORIGIN, flags=Flag.REMOVED), "removed 7"),
        (market(STATE, flags=Flag.SNAPSHOT), "snapshot 3000"),
        (market(STATE, ORIGIN), "event 7"),
        (market(Block(9, 0, 0, 0, 0, 0, bytes(32), bytes(32))), "block 9"),
        (system(BlockEnd(9, 0, 0, 0, 0, bytes(32), Completeness.PUSHED)), "end 9"),
        (system(Reorg(5, 7, 7, 2, 0, bytes(32), bytes(32), bytes(32))), "reorg 5"),
        (system(StateInvalidation(0, 1, Reason.DISCONNECTED, bytes(20))), "invalidation 4"),
        (system(Gap(3, 4, GapScope.BLOCK_NUMBERS, Reason.NODE_HAS_NO_BLOCK)), "gap 3-4"),
        (system(Session(RING, 2, 1, 137, 0)), "session 2"),
    ],
)
def test_driver_each_message_reaches_its_method(payload: bytes, entry: str) -> None:
    diary = Diary()
    Driver(diary, RING).deliver(1, 0, payload)
    assert diary.entries == [entry]


def test_driver_messages_for_nobody_are_passed_over() -> None:
    diary = Diary()
    driver = Driver(diary, RING)
    driver.deliver(1, 0, system(Heartbeat(1, 1, 1, 0, 0, 0, FeedState.LIVE, 0, FeedReason.OK)))
    driver.deliver(2, 0, build(Domain.SYSTEM, Source.SUPERVISOR, []))
    assert (diary.entries, driver.frames, driver.poisoned) == ([], 2, 0)


class Listener(Strategy):
    """Notes every message, and which frame it is called for."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, Trigger]] = []

    def on_message(self, message: Message) -> None:
        self.heard.append((type(message.records[0]).__name__, self.trigger))

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        self.heard.append(("event", self.trigger))

    def on_lost(self, first: int, last: int) -> None:
        self.heard.append((f"lost from {first}", self.trigger))


def test_driver_every_message_is_heard_before_its_method_with_its_frame() -> None:
    listener = Listener()
    driver = Driver(listener, RING)
    driver.deliver(1, 77, system(Heartbeat(1, 1, 1, 0, 0, 0, FeedState.LIVE, 0, FeedReason.OK)))
    driver.deliver(2, 78, market(SYNC, ORIGIN))
    driver.lose(3, 5)
    assert listener.heard == [
        ("Heartbeat", Trigger(RING, 1, 0, 77)),
        ("PoolSync", Trigger(RING, 2, 0, 78)),
        ("event", Trigger(RING, 2, 0, 78)),
        ("lost from 3", Trigger(RING, 5, 0)),
    ]


def test_driver_poison_frame_is_set_aside_and_the_rest_delivered() -> None:
    diary = Diary()
    driver = Driver(diary, RING)
    poison = market(PoolSync(*HEAD, 13, 1), ORIGIN)
    said = [driver.deliver(n, n, poison if n == 3 else market(SYNC, ORIGIN)) for n in range(1, 6)]

    assert [len(drafts) for drafts in said] == [1, 1, 0, 1, 1]
    assert diary.entries == ["event 7"] * 3 + ["lost 3-3"] + ["event 7"] * 2
    assert driver.poisoned == 1
    assert (driver.poison[0].sequence, driver.poison[0].payload) == (3, poison)
    assert "ZeroDivisionError: reserve of 13" in driver.poison[0].reason


@pytest.mark.parametrize(
    "payload",
    [b"", b"garbage" * 9, market(SYNC), market(SYNC, ORIGIN)[:-1]],
    ids=["empty", "no message", "no origin", "cut"],
)
def test_driver_bytes_that_are_no_event_are_poison_too(payload: bytes) -> None:
    diary = Diary()
    driver = Driver(diary, RING)
    assert driver.deliver(1, 0, payload) == []
    assert driver.poisoned == 1 and diary.entries == ["lost 1-1"]


def test_driver_too_many_poison_frames_in_a_minute_stop_the_strategy() -> None:
    driver = Driver(Diary(), RING)
    for n in range(1, POISON_LIMIT):
        driver.deliver(n, n, b"")
    with pytest.raises(StrategyStopped, match=f"strategy diary: {POISON_LIMIT} poison frames within 0.0 s"):
        driver.deliver(POISON_LIMIT, POISON_LIMIT, b"")
    assert driver.poisoned == POISON_LIMIT


def test_driver_poison_frames_far_apart_do_not_stop_it() -> None:
    driver = Driver(Diary(), RING)
    for n in range(1, 3 * POISON_LIMIT):
        driver.deliver(n, n * (POISON_WINDOW_NS // (POISON_LIMIT - 2)), b"")
    assert driver.poisoned == 3 * POISON_LIMIT - 1


def test_driver_lost_frames_are_counted_and_told() -> None:
    diary = Diary()
    driver = Driver(diary, RING)
    driver.lose(5, 9)
    assert (driver.lost, diary.entries) == (5, ["lost 5-9"])


def test_emit_identity_ties_the_signal_to_its_frame() -> None:
    driver = Driver(Diary(), RING)
    (draft,) = driver.deliver(41, 0, market(SYNC, ORIGIN))
    identity = draft.records[0]
    assert isinstance(identity, SignalIdentity)
    assert (identity.trigger_ring, identity.trigger_sequence) == (RING, 41)
    assert (identity.trigger_receive_time_ns, draft.receive_time_ns) == (11, 11)
    assert (identity.strategy, identity.strategy_version) == ("diary", 1)


def recorded(sequence: int, *records: Record) -> bytes:
    """A message as a replay copies it: with the sequence that it had."""
    domain = Domain.SYSTEM if isinstance(records[0], Session) else Domain.MARKET_DATA
    return build(domain, Source.POLYGON_COLLECTOR, records, sequence=sequence, flags=Flag.REPLAY)


def trigger_of(drafts: list[Draft]) -> tuple[bytes, int]:
    identity = drafts[0].records[0]
    assert isinstance(identity, SignalIdentity)
    return identity.trigger_ring, identity.trigger_sequence


LEG = OrderLeg(b"p" * 20, b"0" * 20, b"1" * 20, 1)


@pytest.mark.parametrize(
    ("speak", "expected"),
    [
        (lambda strategy: strategy.emit(5), "emit: expected records, found 5"),
        (lambda strategy: strategy.emit(receive_time_ns=-1), "emit: receive_time_ns: expected an integer from 0"),
        (lambda strategy: order(strategy, []), "order: expected 1 to 255 legs, found 0"),
        (lambda strategy: order(strategy, [LEG] * 256), "order: expected 1 to 255 legs, found 256"),
        (lambda strategy: order(strategy, ["leg"]), "order: expected OrderLeg records, found 'leg'"),
        (lambda strategy: order(strategy, [LEG], amount_in=-1), "order: amount_in: expected an integer from 0"),
        (lambda strategy: order(strategy, [LEG], block_number=-1), "order: block_number: expected an integer from 0"),
    ],
)
def test_strategy_says_nothing_that_is_no_message(speak: Callable[[Strategy], object], expected: str) -> None:
    strategy = Diary()
    with pytest.raises(UsageError, match=expected):
        speak(strategy)
    assert strategy.drafts == []


def order(strategy: Strategy, legs: Any, amount_in: int = 1, block_number: int = 1) -> int:
    return strategy.order(legs, amount_in, block_number=block_number, expires_block=2)


def test_strategy_speaks_only_in_the_thread_that_calls_it() -> None:
    strategy = Diary()
    Driver(strategy, RING).deliver(1, 0, market(SYNC, ORIGIN))
    said: list[str] = []

    def speak() -> None:
        with pytest.raises(UsageError) as found:
            strategy.emit()
        said.append(str(found.value))

    thread = threading.Thread(target=speak)
    thread.start()
    thread.join()
    assert said == [
        "strategy diary: a message answers the frame for which a method was called; expected emit and order in the "
        "thread that calls it, found another"
    ]
    assert len(strategy.drafts) == 1


def test_driver_the_reason_of_a_poison_frame_has_the_places_of_the_strategy_alone() -> None:
    driver = Driver(Diary(), RING)
    driver.deliver(1, 0, market(PoolSync(*HEAD, 13, 200), ORIGIN))
    [poison] = driver.poison
    assert poison.reason.count("File ") == 1 and "test_strategy_driver.py" in poison.reason
    assert poison.reason.endswith("ZeroDivisionError: reserve of 13")


def test_driver_copies_are_triggers_of_the_ring_whose_session_was_copied_before_them() -> None:
    driver = Driver(Diary(), RING)
    assert trigger_of(driver.deliver(1, 0, recorded(91, SYNC, ORIGIN))) == (RING, 91)
    driver.deliver(2, 0, recorded(92, Session(b"s" * 16, 2, 1, 137, 0)))
    assert trigger_of(driver.deliver(3, 0, recorded(93, SYNC, ORIGIN))) == (b"s" * 16, 93)
    assert trigger_of(driver.deliver(4, 0, market(SYNC, ORIGIN))) == (RING, 4)
    driver.deliver(5, 0, recorded(94, Session(b"t" * 16, 3, 1, 137, 0)))
    assert trigger_of(driver.deliver(6, 0, recorded(95, SYNC, ORIGIN))) == (b"t" * 16, 95)


def test_driver_session_that_is_no_copy_renames_no_copies() -> None:
    driver = Driver(Diary(), RING)
    driver.deliver(1, 0, system(Session(b"s" * 16, 2, 1, 137, 0)))
    assert trigger_of(driver.deliver(2, 0, recorded(93, SYNC, ORIGIN))) == (RING, 93)


def test_drive_same_frames_say_the_same_and_other_frames_other_ids() -> None:
    frames = [(n, n, market(SYNC, ORIGIN)) for n in range(1, 50)]
    first, second = drive(Diary(), RING, frames), drive(Diary(), RING, frames)
    assert first == second
    ids = {draft.records[0].signal_id for draft in first if isinstance(draft.records[0], SignalIdentity)}
    assert len(ids) == 49
    assert drive(Diary(), b"s" * 16, frames)[0].records[0] != first[0].records[0]


class OnlyBlocks(Strategy):
    """Wants blocks."""

    wants = frozenset({Block})


def test_select_frames_keeps_the_wanted_and_the_unreadable() -> None:
    frames = [
        market(SYNC, ORIGIN),
        market(Block(9, 0, 0, 0, 0, 0, bytes(32), bytes(32))),
        b"",
        system(Gap(3, 4, GapScope.BLOCK_NUMBERS, Reason.NODE_HAS_NO_BLOCK)),
        system(Heartbeat(1, 1, 1, 0, 0, 0, FeedState.LIVE, 0, FeedReason.OK)),
        b"x" * 40,
    ]
    lengths = np.array([len(frame) for frame in frames], dtype=np.int64)
    offsets = np.cumsum(lengths) - lengths
    buffer = np.frombuffer(b"".join(frames), dtype=np.uint8)
    chosen = np.zeros(len(frames), dtype=np.int64)

    count = select_frames(buffer, offsets, lengths, filter_of(OnlyBlocks()).tables, chosen)
    assert chosen[:count].tolist()[:3] == [1, 2, 3] and 4 not in chosen[:count] and 0 not in chosen[:count]
    assert select_frames(buffer, offsets, lengths, filter_of(Diary()).tables, chosen) == len(frames)


class Foreign(Strategy):
    """Does what it is told at each event, and perhaps at a loss."""

    def __init__(self, act: Callable[[Strategy], object], at_loss: Callable[[Strategy], object] = repr) -> None:
        super().__init__()
        self._act, self._at_loss = act, at_loss

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        self._act(self)

    def on_lost(self, first: int, last: int) -> None:
        self._at_loss(self)


class Odd(BaseException):
    """No Exception, and its text cannot be had."""

    def __str__(self) -> str:
        raise SystemExit(3)


def throw(error: BaseException) -> Callable[[Strategy], object]:
    def act(_: Strategy) -> object:
        raise error

    return act


def recurse(strategy: Strategy) -> object:
    return recurse(strategy)


def flood(strategy: Strategy) -> object:
    while True:
        strategy.emit()


def flood_of_bytes(strategy: Strategy) -> object:
    while True:
        strategy.emit(*[STATE] * 100)


EVENT = market(SYNC, ORIGIN)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (throw(SystemExit(4)), "SystemExit: 4"),
        (throw(KeyboardInterrupt()), "KeyboardInterrupt"),
        (throw(GeneratorExit()), "GeneratorExit"),
        (throw(MemoryError()), "MemoryError"),
        (throw(StrategyStopped("I say")), "StrategyStopped: I say"),
        (throw(Odd()), "Odd"),
        (throw(ValueError("x" * 100_000)), " ..."),
        (recurse, "RecursionError"),
        (flood, "FloodError: strategy strategy: more than 1000 messages on one frame"),
        (flood_of_bytes, "FloodError: strategy strategy: more than 524288 bytes on one frame"),
        (lambda strategy: strategy.emit(5), "UsageError: emit: expected records, found 5"),
    ],
)
def test_driver_whatever_a_method_raises_is_about_its_frame_alone(
    act: Callable[[Strategy], object], reason: str
) -> None:
    driver = Driver(Foreign(act), RING, obeys_interrupts=False)
    assert driver.deliver(1, 0, EVENT) == []
    assert driver.poisoned == 1
    assert reason in driver.poison[0].reason and len(driver.poison[0].reason) < 5_000
    driver.strategy = Foreign(lambda strategy: strategy.emit())
    assert len(driver.deliver(2, 0, EVENT)) == 1


def test_driver_an_interrupt_that_is_obeyed_ends_everything() -> None:
    with pytest.raises(KeyboardInterrupt):
        Driver(Foreign(throw(KeyboardInterrupt())), RING).deliver(1, 0, EVENT)


def test_driver_on_lost_that_raises_is_counted_and_told() -> None:
    driver = Driver(Foreign(throw(ValueError("first")), throw(ValueError("second"))), RING)
    assert driver.deliver(1, 0, EVENT) == []
    assert "ValueError: first" in driver.poison[0].reason
    assert "on_lost raised in turn: " in driver.poison[0].reason and "second" in driver.poison[0].reason
    assert driver.lose(2, 5) == []
    assert (driver.lost, driver.poisoned, driver.poison[1].sequence) == (4, 2, 5)
    with pytest.raises(StrategyStopped, match="10 poison frames"):
        for sequence in range(6, 20):
            driver.lose(sequence, sequence)
