"""`run_strategy`: the same signals from a ring and from its journal, ends cleanly, and says what a strategy raised."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from consumers.examples.native_mover import PriceMove
from consumers.host import run_strategy
from consumers.recorder import Recorder
from consumers.strategy import Strategy
from ringbuf import Reader, RingNotFound, Writer
from tests.consumers.recorded_market import canonical_frames
from tlv.errors import UsageError
from tlv.layout import LAYOUT_DIGEST, EventOrigin, PoolRecord, PoolSync, SignalIdentity
from tlv.message import parse


class EverySync(Strategy):
    """Says of each Sync in which block it was."""

    name = "every_sync"
    wants = frozenset({PoolSync})

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        self.emit(PriceMove(move_pips=origin.block_number, pool=record.pool))


class Impatient(EverySync):
    """Presses Ctrl-C at its first event."""

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        super().on_event(record, origin)


class Deaf(EverySync):
    """Will not be ended by a signal, nor be watched, and is asked to end."""

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        super().on_event(record, origin)
        if self.seen == 0:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
                signal.signal(number, signal.SIG_IGN)
            signal.alarm(0)
        self.seen += 1

    seen = 0


class OnceWrong(EverySync):
    """Raises on its first event."""

    seen = 0

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        self.seen += 1
        if self.seen == 1:
            raise KeyError("no such pool")
        super().on_event(record, origin)


def market_of_the_recording(name: str) -> Writer:
    writer = Writer.create(name, capacity=1 << 22, layout_digest=LAYOUT_DIGEST)
    for _, _, data in canonical_frames():
        writer.publish(data)
    return writer


def signals_in(name: str) -> list[tuple[int, bytes]]:
    """Id and records of each signal in a ring."""
    with Reader.attach(name, start="oldest") as reader:
        messages = []
        while frames := reader.poll():
            messages += [parse(frame.payload) for frame in frames]
    found = [(message.first(SignalIdentity), message.records[1:]) for message in messages]
    return [(identity.signal_id, repr(rest).encode()) for identity, rest in found if identity is not None]


def test_strategy_gives_the_same_signals_on_a_ring_and_on_its_journal(
    new_ring_name: Callable[[], str], tmp_path: Path
) -> None:
    market, live, past = (new_ring_name() for _ in range(3))
    with market_of_the_recording(market) as writer:
        writer.close()
        with Recorder(market, tmp_path / "journal", report=print) as recorder:
            recorder.run(lambda: False, until_closed=True)
        counted = run_strategy(EverySync(), ring=market, signals=live, until_closed=True)
        again = run_strategy(EverySync(), journal=tmp_path / "journal", signals=past)
    syncs = sum(parse(data).first(PoolSync) is not None for _, _, data in canonical_frames())
    assert counted.signals == again.signals == syncs > 100
    assert signals_in(live) == signals_in(past)


def test_strategy_on_a_ring_ends_with_ctrl_c_or_when_asked(new_ring_name: Callable[[], str]) -> None:
    market, signals = new_ring_name(), new_ring_name()
    with market_of_the_recording(market):
        before = signal.getsignal(signal.SIGINT)
        assert run_strategy(Impatient(), ring=market, signals=signals).signals > 0
        assert signal.getsignal(signal.SIGINT) is before
        counted = run_strategy(EverySync(), ring=market, signals=signals, asked_to_stop=lambda: True)
    assert counted.frames == 0


def test_strategy_that_sets_signals_is_ended_by_them_none_the_less(
    new_ring_name: Callable[[], str], caplog: pytest.LogCaptureFixture
) -> None:
    market, signals = new_ring_name(), new_ring_name()
    asked: list[int] = []

    def ask() -> bool:
        """Send SIGTERM at the third turn, as by then its handlers are the strategy's no more."""
        asked.append(1)
        if len(asked) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return False

    with market_of_the_recording(market):
        counted = run_strategy(Deaf(), ring=market, signals=signals, asked_to_stop=ask)
    assert counted.signals > 100
    said = [record.getMessage() for record in caplog.records]
    for name in ("SIGINT", "SIGTERM"):
        assert f"a strategy has set {name}, by which it is ended: it ends it again" in said
    assert "a strategy has set SIGALRM or its timer, by which its methods are watched: they are again" in said


def test_strategy_that_waits_for_its_ring_ends_when_asked_or_when_its_time_is_over(
    new_ring_name: Callable[[], str],
) -> None:
    market, signals = new_ring_name(), new_ring_name()
    assert run_strategy(EverySync(), ring=market, signals=signals, asked_to_stop=lambda: True).frames == 0
    with pytest.raises(RingNotFound):
        run_strategy(EverySync(), ring=market, signals=signals, wait_s=0.0)


def test_strategy_that_raises_is_told_where_and_goes_on(
    new_ring_name: Callable[[], str], caplog: pytest.LogCaptureFixture
) -> None:
    market, signals = new_ring_name(), new_ring_name()
    with market_of_the_recording(market) as writer, caplog.at_level(logging.WARNING):
        writer.close()
        counted = run_strategy(OnceWrong(), ring=market, signals=signals, until_closed=True)
    assert counted.poisoned == 1
    assert counted.signals > 100
    [said] = [record.getMessage() for record in caplog.records if "poison" in record.getMessage()]
    assert said.startswith(f"poison frame (ring {market}, sequence ")
    assert "test_host.py" in said
    assert said.endswith("KeyError: 'no such pool'")


@pytest.mark.parametrize("source", [{}, {"ring": "market", "journal": "journal"}])
def test_strategy_wants_a_ring_or_a_journal(source: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="expected a ring or a journal"):
        run_strategy(EverySync(), signals="signal", **source)  # type: ignore[arg-type]
