"""The short way from a poll to a strategy's methods does what the long one does, for every form of message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from consumers.polled_frames import PolledFrames
from consumers.strategy import HANDLERS, Draft, Driver, Strategy, StrategyStopped
from ringbuf import Loss
from tests.consumers.polls import poll_of
from tlv.codes import Completeness, Domain, FeedReason, FeedState, Flag, GapScope, Protocol, Reason, Source, Venue
from tlv.layout import (
    Block,
    BlockEnd,
    EventOrigin,
    Gap,
    Heartbeat,
    PoolCreated,
    PoolRecord,
    PoolState,
    PoolSwap,
    PoolSync,
    PoolTicks,
    Reorg,
    Session,
    StateInvalidation,
    TickLiquidity,
)
from tlv.message import Message, build
from tlv.record import Record

RING = b"r" * 16
HEAD = (b"p" * 20, b"0" * 20, b"1" * 20, Venue.QUICKSWAP_V2, 18, 6, Protocol.UNISWAP_V2)
ORIGIN = EventOrigin(7, 0, 11, 0, 0, bytes(32), bytes(32))
SYNC = PoolSync(*HEAD, 1 << 255, 200)
SWAP = PoolSwap(*HEAD, 1, 2, 3, 4, 5, 6, -7, b"s" * 20, b"r" * 20)
STATE = PoolState(*HEAD, 0, 0, 0, 0, 0, 3000, 0, 0, bytes(20), "A", "B")
CREATED = PoolCreated(*HEAD, 3000, 60, b"f" * 20)
TICKS = PoolTicks(*HEAD, 7, bytes(32), -60, 60, 60, 1)
TICK = TickLiquidity(5, -5, 60)
BLOCK = Block(9, 0, 0, 0, 0, 0, bytes(32), bytes(32))

MARKET: list[tuple[Record, ...]] = [
    *((SYNC, ORIGIN), (SWAP, ORIGIN), (CREATED, ORIGIN), (STATE, ORIGIN), (STATE,), (BLOCK,), (TICKS,), (SYNC,), ()),
    *((TICKS, TICK), (TICKS, ORIGIN), (BLOCK, ORIGIN), (SYNC, SYNC), (SYNC, ORIGIN, ORIGIN)),
    (ORIGIN,),
]
SYSTEM: list[tuple[Record, ...]] = [
    (BlockEnd(9, 0, 0, 0, 0, bytes(32), Completeness.PUSHED),),
    (Reorg(5, 7, 7, 2, 0, bytes(32), bytes(32), bytes(32)),),
    (StateInvalidation(0, 1, Reason.DISCONNECTED, bytes(20)),),
    (Gap(3, 4, GapScope.BLOCK_NUMBERS, Reason.NODE_HAS_NO_BLOCK),),
    (Session(b"s" * 16, 2, 1, 137, 0),),
    (Heartbeat(1, 1, 1, 0, 0, 0, FeedState.LIVE, 0, FeedReason.OK),),
]
FLAGS = [0, Flag.REMOVED, Flag.SNAPSHOT, Flag.UNPROVEN, Flag.REPLAY, Flag.BACKFILL, Flag.REPLAY | Flag.REMOVED]
FLAGS += [Flag.SNAPSHOT | Flag.UNPROVEN, Flag.SNAPSHOT | Flag.REPLAY]


def messages() -> list[bytes]:
    """Every form, with every flag; and bytes that are no message."""
    made = []
    for domain, forms in ((Domain.MARKET_DATA, MARKET), (Domain.SYSTEM, SYSTEM)):
        for records in forms:
            for flags in FLAGS:
                made.append(build(domain, Source.POLYGON_COLLECTOR, records, flags=flags, sequence=77))
    broken = [b"", b"x" * 40, made[0][:-1], made[0] + b"\0", made[0][:40] + b"\xff" + made[0][41:]]
    return made + broken


MESSAGES = messages()


class Recording(Strategy):
    """Writes down every call with its arguments and its frame, emits on events, and raises now and then."""

    def __init__(self, raises_every: int = 0) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []
        self._raises_every = raises_every

    def _note(self, name: str, arguments: tuple[Any, ...]) -> None:
        self.calls.append((name, arguments, self.trigger))
        if name == "on_event":
            self.emit(arguments[0])
        if self._raises_every and len(self.calls) % self._raises_every == 0 and name != "on_lost":
            raise ZeroDivisionError(name)


def _writes_down(name: str) -> Any:
    def method(self: Recording, *arguments: Any) -> None:
        self._note(name, arguments)

    return method


for _name in HANDLERS:
    if _name != "on_message":
        setattr(Recording, _name, _writes_down(_name))


class Hearing(Recording):
    """Hears whole messages, too."""

    def on_message(self, message: Message) -> None:
        self.calls.append(("on_message", message.records, self.trigger))


def long_way(strategy: Strategy, frames: Sequence[bytes]) -> tuple[Driver, list[Draft], str]:
    driver, drafts = Driver(strategy, RING), []
    try:
        for sequence, data in enumerate(frames, 1):
            drafts += driver.deliver(sequence, sequence * 1_000, data)
    except StrategyStopped as error:
        return driver, drafts, str(error)[:80]
    return driver, drafts, ""


def short_way(strategy: Strategy, frames: Sequence[bytes], size: int) -> tuple[Driver, list[Draft], str]:
    driver, drafts = Driver(strategy, RING), []
    polled = PolledFrames(driver)
    try:
        for first in range(0, len(frames), size):
            for some_drafts, _ in polled.deliver(poll_of(frames[first : first + size], first + 1)):
                drafts += some_drafts
    except StrategyStopped as error:
        return driver, drafts, str(error)[:80]
    return driver, drafts, ""


def assert_same(kind: type[Recording], raises_every: int, frames: Sequence[bytes], size: int) -> None:
    one, other = kind(raises_every), kind(raises_every)
    long_driver, long_drafts, long_end = long_way(one, frames)
    short_driver, short_drafts, short_end = short_way(other, frames, size)
    assert other.calls == one.calls
    assert short_drafts == long_drafts
    assert short_end == long_end
    assert (short_driver.frames, short_driver.poisoned) == (long_driver.frames, long_driver.poisoned)
    kept = [[(poison.sequence, poison.payload) for poison in driver.poison] for driver in (long_driver, short_driver)]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("kind", [Recording, Hearing])
def test_polled_frames_give_what_single_ones_give_for_every_form(kind: type[Recording]) -> None:
    for message in MESSAGES:
        assert_same(kind, 0, [message], 1)
    sound = [message for message in MESSAGES if not long_way(kind(), [message])[0].poisoned]
    assert len(sound) > 100
    assert_same(kind, 0, sound, 256)


@given(
    frames=some.lists(some.sampled_from(MESSAGES), max_size=40),
    size=some.integers(1, 16),
    raises_every=some.sampled_from([0, 2, 3, 7]),
)
def test_polled_frames_give_what_single_ones_give_in_any_order(
    frames: list[bytes], size: int, raises_every: int
) -> None:
    assert_same(Recording, raises_every, frames, size)


def test_polled_frames_a_loss_comes_before_its_frames() -> None:
    strategy = Recording()
    driver = Driver(strategy, RING)
    for _ in PolledFrames(driver).deliver(poll_of([MESSAGES[0]], 10, Loss(RING, 4, 9))):
        pass
    assert [call[:2] for call in strategy.calls] == [("on_lost", (4, 9)), ("on_event", (SYNC, ORIGIN))]
    assert (driver.lost, driver.frames) == (6, 1)


def test_polled_frames_a_method_set_while_it_runs_is_called() -> None:
    class Changing(Strategy):
        def __init__(self) -> None:
            super().__init__()
            self.second = 0

        def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
            self.on_event = self.later  # type: ignore[method-assign]

        def later(self, record: PoolRecord, origin: EventOrigin) -> None:
            self.second += 1

    strategy = Changing()
    assert list(PolledFrames(Driver(strategy, RING)).deliver(poll_of([MESSAGES[0]] * 3))) == []
    assert strategy.second == 2
