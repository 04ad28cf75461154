"""A strategy behind a relay says what it says on the ring; and several of them, of which one fails."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from consumers.host import open_runner
from consumers.relay_frames import RelayFrames
from consumers.runner import Runner, run_together
from consumers.strategy import Driver, Strategy, StrategyStopped
from ringbuf import Reader, Status, Writer
from tests.consumers.relay_rig import make_ring, publish, serving
from tlv.errors import AlphaPulseError
from tlv.filter import MessageFilter
from tlv.layout import LAYOUT_DIGEST, EventOrigin, PoolRecord, PoolSync

FRAMES = 2_000


class Echo(Strategy):
    """Answers every Sync."""

    name = "echo"
    wants = frozenset({PoolSync})

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        self.emit(receive_time_ns=origin.receive_time_ns)


class Failing(Echo):
    """Raises on every event."""

    name = "failing"

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        raise LookupError("of no use")


def on_the_ring(market: str, signals: str) -> tuple[str, int]:
    with ExitStack() as stack:
        reader = stack.enter_context(Reader.attach(market, start="oldest", layout_digest=LAYOUT_DIGEST))
        runner = open_runner(stack, Echo(), reader, signals)
        runner.run(lambda: False, until_closed=True)
        return runner.order_hash.hexdigest(), runner.counts.signals


@pytest.mark.parametrize("name", ["", "echo"])
def test_strategy_on_a_relay_says_the_same_as_on_its_ring(new_ring_name: Callable[[], str], name: str) -> None:
    market = new_ring_name()
    with make_ring(market) as writer, serving(market) as rig, ExitStack() as stack:
        publish(writer, FRAMES)
        wanted = MessageFilter.of(types=Echo.wants)
        frames = stack.enter_context(RelayFrames(rig.path, name=name, wanted=wanted, reconnect=False))
        runner = open_runner(stack, Echo(), frames, new_ring_name())
        runner.run(lambda: frames.sequence >= FRAMES - 1)
        writer.close()
        found = runner.order_hash.hexdigest(), runner.counts.signals
        assert found == on_the_ring(market, new_ring_name())
        assert found[1] > FRAMES / 3 and runner.counts.lost == 0
        assert isinstance(runner, Runner) and runner.driver.ring == writer.uuid


def test_relay_frames_two_rings_come_in_polls_of_their_own(new_ring_name: Callable[[], str]) -> None:
    names = [new_ring_name(), new_ring_name()]
    with make_ring(names[0]) as one, make_ring(names[1]) as other, serving(*names) as rig:
        publish(one, 50)
        publish(other, 70)
        counts = {one.uuid: 0, other.uuid: 0}
        with RelayFrames(rig.path, reconnect=False) as frames:
            while sum(counts.values()) < 120:
                poll = frames.poll()
                if len(poll):
                    counts[frames.uuid] += len(poll)
                else:
                    frames.wait(0.1)
        assert counts == {one.uuid: 50, other.uuid: 70}


def test_relay_frames_end_when_the_relay_ends_and_is_not_waited_for(new_ring_name: Callable[[], str]) -> None:
    market = new_ring_name()
    with make_ring(market) as writer:
        with serving(market) as rig:
            frames = RelayFrames(rig.path, reconnect=False)
            publish(writer, 3)
            while not len(frames.poll()):
                frames.wait(0.1)
        with frames, pytest.raises(AlphaPulseError):
            while frames.poll().status is not Status.CLOSED:
                frames.wait(0.1)


def test_strategies_together_one_that_fails_leaves_the_others_alone(
    new_ring_name: Callable[[], str], tmp_path: Path
) -> None:
    market, first, second = new_ring_name(), new_ring_name(), new_ring_name()
    ends: list[tuple[str, AlphaPulseError | None]] = []
    with make_ring(market) as writer, ExitStack() as stack:
        publish(writer, FRAMES)
        writer.close()
        runners: list[Runner] = []
        for strategy, signals in ((Failing(), first), (Echo(), second)):
            reader = stack.enter_context(Reader.attach(market, start="oldest", layout_digest=LAYOUT_DIGEST))
            output = stack.enter_context(Writer.create(signals, capacity=1 << 20, layout_digest=LAYOUT_DIGEST))
            runners.append(Runner(Driver(strategy, reader.uuid), reader, output))
        run_together(
            runners,
            lambda: False,
            lambda runner, error: ends.append((runner.driver.strategy.name, error)),
            until_closed=True,
        )
        assert [name for name, _ in ends] == ["failing", "echo"]
        assert isinstance(ends[0][1], StrategyStopped) and ends[1][1] is None
        assert runners[0].counts.poisoned == 10 and runners[1].counts.frames == FRAMES
        assert runners[1].order_hash.hexdigest() == on_the_ring(market, new_ring_name())[0]
