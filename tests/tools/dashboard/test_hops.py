"""Percentiles of an interval, from histograms that count since their process began."""

from __future__ import annotations

from ringbuf import Histogram
from tools.dashboard.hops import HopIntervals

KEY, OTHER = ("market-collector", "receive_to_ring"), ("market-collector.2", "receive_to_ring")


def counted(*durations: int) -> Histogram:
    histogram = Histogram()
    for duration in durations:
        histogram.add(duration)
    return histogram


def test_intervals_begin_with_the_second_look() -> None:
    intervals, histogram = HopIntervals(), counted(1000, 2000)
    assert intervals.advance({KEY: histogram}) == []
    assert intervals.advance({KEY: histogram}) == []
    for duration in (64, 64, 64, 5000):
        histogram.add(duration)
    (row,) = intervals.advance({KEY: histogram})
    assert (row.hop, row.count, row.longest_ns) == ("receive_to_ring", 4, 5000)
    assert 64 <= row.p50_ns <= 66 and 5000 <= row.p99_ns <= 5160


def test_longest_of_an_interval_is_not_that_of_an_earlier_one() -> None:
    intervals, histogram = HopIntervals(), counted(1_000_000)
    intervals.advance({KEY: histogram})
    histogram.add(64)
    (row,) = intervals.advance({KEY: histogram})
    assert row.count == 1 and 64 <= row.longest_ns <= 66


def test_process_that_began_again_counts_from_its_beginning_and_processes_add_up() -> None:
    intervals, second = HopIntervals(), counted()
    intervals.advance({KEY: counted(64, 64, 64), OTHER: second})
    second.add(128)
    (row,) = intervals.advance({KEY: counted(32, 32), OTHER: second})
    assert row.count == 3 and 128 <= row.longest_ns <= 132
