"""A collector that stands still fails a validation, however well everything before it was."""

from __future__ import annotations

import pytest

from ringbuf import Frame
from tests.tools.test_feed_stat import beat
from tlv.codes import Completeness, Domain, FeedReason, GapScope, Reason, Source
from tlv.layout import BlockEnd, Gap
from tlv.message import build
from tlv.record import Record
from tools.validate import ledger as ledgers
from tools.validate.ledger import RingLedger
from tools.validate.report import most_still_s

NS = 1_000_000_000
BLOCK_END = BlockEnd(1, 0, 0, 0, 0, bytes(32), Completeness.REFETCHED)


class Watched:
    """A ledger that reads at times of the test's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, idles: bool = True) -> None:
        self.ledger = RingLedger(idles=idles)
        self.now_s = 1000.0
        self._sequence = 0
        monkeypatch.setattr(ledgers.time, "monotonic_ns", lambda: int(self.now_s * NS))

    def read(self, record: Record, after_s: float) -> None:
        self.now_s += after_s
        self._sequence += 1
        payload = build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [record], sequence=self._sequence)
        self.ledger.take([Frame(self._sequence, 0, 0, memoryview(payload))])

    def stood_s(self) -> float:
        return self.ledger.turn().longest_still_ns / NS


def test_ledger_measures_the_longest_time_without_a_block_end_up_to_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    watched.read(BLOCK_END, 0)
    watched.read(BLOCK_END, 7)
    for _ in range(20):
        watched.read(beat(FeedReason.SILENT), 1)
    assert watched.stood_s() == 20
    watched.now_s += 30
    assert watched.stood_s() == 50, "it stands still in the next window, too"


def test_ledger_lets_an_idle_chain_be_idle_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    for _ in range(100):
        watched.read(beat(blocks_behind=0, held_back=0), 1)
    assert watched.stood_s() == 1
    for _ in range(100):
        watched.read(beat(blocks_behind=3, held_back=0), 1)
    assert watched.stood_s() == 100, "a heartbeat of a collector that is behind is no progress"


def test_ledger_of_a_chain_that_makes_blocks_counts_no_heartbeat_and_no_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch, idles=False)
    watched.read(BLOCK_END, 0)
    for _ in range(15):
        watched.read(beat(blocks_behind=0, held_back=0), 1)
        watched.read(Gap(2, 3, GapScope.BLOCK_NUMBERS, Reason.RANGE_REFUSED), 1)
    assert watched.stood_s() == 30
    assert watched.ledger.passed == 3 > watched.ledger.closed


def test_ledger_lets_a_block_wait_for_its_emitters_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch, idles=False)
    for _ in range(3):
        watched.read(BLOCK_END, 0)
        for _ in range(15):
            watched.read(beat(blocks_behind=3, held_back=1), 1)
    assert watched.stood_s() == 1
    for _ in range(85):
        watched.read(beat(blocks_behind=3, held_back=1), 1)
    assert 80 < watched.stood_s() < 90
    watched.read(BLOCK_END, 0)
    assert watched.stood_s() > 80, "until it ended"
    watched.read(beat(blocks_behind=3, held_back=1), 1)
    watched.now_s += 12
    assert watched.stood_s() == 12, "and then it hangs"
    for _ in range(10):
        watched.read(beat(FeedReason.SILENT, held_back=1), 1)
    assert watched.stood_s() == 22, "and then its feed is dead"


def test_validation_may_stand_still_for_eight_block_times() -> None:
    assert [most_still_s(block_time_s) for block_time_s in (0.0, 1.0, 12.0)] == [10.0, 10.0, 96.0]
