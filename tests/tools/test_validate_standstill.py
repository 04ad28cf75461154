"""A collector that stands still fails a validation, however well everything before it was."""

from __future__ import annotations

import pytest

from ringbuf import Frame
from tests.tools.test_feed_stat import beat
from tlv.codes import Completeness, Domain, FeedReason, Source
from tlv.layout import BlockEnd
from tlv.message import build
from tlv.record import Record
from tools.validate import ledger as ledgers
from tools.validate.ledger import Ledger
from tools.validate.report import most_still_s

NS = 1_000_000_000


class Watched:
    """A ledger that reads at times of the test's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ledger = Ledger()
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
    end = BlockEnd(1, 0, 0, 0, bytes(32), Completeness.REFETCHED)
    watched.read(end, 0)
    watched.read(end, 7)
    for _ in range(20):
        watched.read(beat(FeedReason.SILENT), 1)
    assert watched.stood_s() == 20
    watched.now_s += 30
    assert watched.stood_s() == 50, "it stands still in the next window, too"


def test_ledger_lets_an_idle_chain_be_idle_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    for _ in range(100):
        watched.read(beat(blocks_behind=0), 1)
    assert watched.stood_s() == 1
    for _ in range(100):
        watched.read(beat(blocks_behind=3), 1)
    assert watched.stood_s() == 100, "a heartbeat of a collector that is behind is no progress"


def test_validation_may_stand_still_for_eight_block_times() -> None:
    assert [most_still_s(block_time_s) for block_time_s in (0.0, 1.0, 12.0)] == [10.0, 10.0, 96.0]
