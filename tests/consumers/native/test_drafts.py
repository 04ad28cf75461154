"""Signals and orders that a handler writes are those that `Strategy.emit` and `order` make, ids and all."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from consumers.examples.native_mover import PriceMove
from consumers.native import (
    EVENT,
    NativeDrafts,
    NativeDriver,
    NativeFrame,
    NativeStrategy,
    add,
    begin_order,
    fill,
    has,
    view,
)
from consumers.native import signal as begin_signal
from consumers.native.drafts import FAULTS, FLOOD, MALFORMED, NO_LEG, NO_MESSAGE, TOO_LARGE, TOO_MANY_LEGS
from consumers.native.identity import HASHING, native_signal_id
from consumers.order_hash import OrderHash
from consumers.strategy import Driver, Strategy, Trigger, signal_id
from tests.consumers.native.market import table_of
from tests.consumers.recorded_market import RING, Frame, canonical_events, canonical_frames
from tlv.codes import Domain, Flag, Source
from tlv.jit import kernel
from tlv.layout import (
    HEADER_SIZE,
    EventOrigin,
    OrderLeg,
    PoolRecord,
    PoolSync,
    Session,
)
from tlv.message import build, parse


class PythonTrader(Strategy):
    """A signal and an order of two legs on each Sync, there and back through its pool."""

    name = "trader"
    version = 7

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        if not isinstance(record, PoolSync):
            return
        self.emit(PriceMove(5, record.pool), receive_time_ns=origin.receive_time_ns)
        there = OrderLeg(record.pool, record.token0, record.token1, 9)
        back = OrderLeg(record.pool, record.token1, record.token0, 9)
        block = origin.block_number
        self.order([there, back], record.reserve1, block_number=block, expires_block=block + 2, min_amount_out=1 << 200)


class NativeTrader(NativeStrategy):
    """The same in machine code."""

    name = "trader"
    version = 7
    state = np.dtype([("seen", "<i8")])

    @kernel
    def handler(state: Any, frame: NativeFrame, drafts: NativeDrafts) -> None:  # noqa: N805
        if frame.what != EVENT or not has(frame, PoolSync):
            return
        sync, origin = view(frame, PoolSync), view(frame, EventOrigin)
        begin_signal(drafts, frame, origin["receive_time_ns"])
        move = add(drafts, PriceMove)
        move["move_pips"] = 5
        fill(move["pool"], sync["pool"])
        block = origin["block_number"]
        order = begin_order(drafts, frame, block, block + 2, 0)
        fill(order["amount_in"], sync["reserve1"])
        order["min_amount_out"][3] = 256
        for back in range(2):
            leg = add(drafts, OrderLeg)
            fill(leg["pool"], sync["pool"])
            fill(leg["token_in"], sync["token1"] if back else sync["token0"])
            fill(leg["token_out"], sync["token0"] if back else sync["token1"])


def replayed(frames: list[Frame]) -> list[Frame]:
    """The frames as a replay publishes them: another ring's sequences, behind the Session of the recorded one."""
    session = build(
        Domain.SYSTEM, Source.POLYGON_COLLECTOR, [Session(b"R" * 16, 1, 1, 137, 5)], sequence=90, flags=Flag.REPLAY
    )
    found = [(1, 1, session)]
    for at, (sequence, published_ns, data) in enumerate(frames, 2):
        message = parse(data)
        header = message.header
        flags = header.flags | Flag.REPLAY
        copy = build(
            Domain(header.domain), Source(header.source), message.records, sequence=sequence + 100, flags=flags
        )
        found.append((at, published_ns, copy))
    return found


@pytest.mark.parametrize("as_replay", [False, True])
def test_native_signals_and_orders_are_those_of_python(as_replay: bool) -> None:
    frames = list(canonical_frames())[:120]
    frames = replayed(frames) if as_replay else frames
    other, driver = Driver(PythonTrader(), RING), NativeDriver(NativeTrader(), RING)
    drafts = [(at, draft) for at, frame in enumerate(frames) for draft in other.deliver(*frame)]
    buffer, table = table_of(frames)
    found, order_hash = [], OrderHash()
    for message in driver.run_over(buffer, table, 0, len(frames)):
        found.append((message.column, bytes(message.payload)))
        order_hash.add(message.payload)
    expected = [(at, build(draft.domain, draft.source, draft.records)) for at, draft in drafts]
    assert [(at, data[HEADER_SIZE:]) for at, data in found] == [(at, data[HEADER_SIZE:]) for at, data in expected]
    assert [parse(data).header.domain for _, data in found] == [parse(data).header.domain for _, data in expected]
    assert len(found) >= 20 and order_hash.messages == len(found)


def test_native_id_is_pythons() -> None:
    rng, hashing = random.Random(1), np.zeros(1, HASHING)
    for _ in range(1_000):
        name = "".join(rng.choice("abcé_-") for _ in range(rng.randint(1, 10)))
        ring, ordinal = rng.randbytes(16), rng.randrange(1000)
        sequence = rng.choice([0, 1, rng.randrange(1 << 63), (1 << 63) - 1])
        version = rng.choice([0, 1, (1 << 32) - 1])
        text = np.frombuffer(name.encode().ljust(20, b"\0"), np.uint8).copy()
        uuid = np.frombuffer(ring, np.uint8).copy()
        found = int(native_signal_id(hashing[0], text, version, sequence, ordinal, uuid))
        assert found == signal_id(name, version, Trigger(ring, sequence, 0), ordinal)


class Faulty(NativeStrategy):
    """Makes the mistake that its state names, on each frame."""

    name = "faulty"
    state = np.dtype([("fault", "<i8")])

    @kernel
    def handler(state: Any, frame: NativeFrame, drafts: NativeDrafts) -> None:  # noqa: N805
        fault = state["fault"]
        if fault == FLOOD:
            for _ in range(1001):
                begin_signal(drafts, frame, 0)
        elif fault == NO_MESSAGE:
            add(drafts, PriceMove)["move_pips"] = 1
        elif fault == NO_LEG:
            begin_order(drafts, frame, 1, 2, 0)
        elif fault == TOO_MANY_LEGS:
            begin_order(drafts, frame, 1, 2, 0)
            for _ in range(256):
                add(drafts, OrderLeg)
        elif fault == TOO_LARGE:
            begin_signal(drafts, frame, 0)
            for _ in range(2000):
                add(drafts, PriceMove)
        elif fault == MALFORMED:
            begin_signal(drafts, frame, 0)
            add(drafts, PoolSync)


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_a_handler_makes_its_frame_poison_with_the_reason(fault: int) -> None:
    strategy = Faulty()
    strategy.memory[0]["fault"] = fault
    driver = NativeDriver(strategy, RING)
    buffer, table = table_of(canonical_frames()[:3])
    assert list(driver.run_over(buffer, table, 0, 3)) == []
    assert (driver.frames, driver.poisoned, int(driver.tally[0]["lost_unreported"])) == (3, 3, 1)
    assert [poison.reason for poison in driver.poison] == [f"the handler wrote {FAULTS[fault]}"] * 3
    assert [poison.sequence for poison in driver.poison] == [frame[0] for frame in canonical_frames()[:3]]


class Curious(NativeStrategy):
    """Reads a record that the message has not."""

    name = "curious"
    state = np.dtype([("seen", "<u8"), ("calls", "<i8"), ("lost", "<i8")])

    @kernel
    def handler(state: Any, frame: NativeFrame, drafts: NativeDrafts) -> None:  # noqa: N805
        state["calls"] += 1
        state["lost"] += frame.lost
        state["seen"] += view(frame, OrderLeg)["leg"] + view(frame, PriceMove)["pool"][0]


def test_record_that_is_not_there_is_zeros_and_a_loss_is_told_once() -> None:
    strategy = Curious()
    driver = NativeDriver(strategy, RING)
    buffer, table = table_of(canonical_frames()[:50])
    driver.lose(1, 9)
    assert list(driver.run_over(buffer, table, 0, 50)) == []
    assert (int(strategy.memory[0]["seen"]), int(strategy.memory[0]["calls"])) == (0, 50)
    assert (int(strategy.memory[0]["lost"]), driver.lost) == (9, 9)


def test_recording_has_syncs_for_these_tests() -> None:
    assert sum(isinstance(record, PoolSync) for record, _ in canonical_events()) > 50
