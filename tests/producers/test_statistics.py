"""Percentiles of durations, against the sorted durations themselves; lists that stay bounded."""

from __future__ import annotations

import math
import random

import pytest

from producers.statistics import MOST_LISTED, LatencyHistogram, Statistics


def histogram(durations: list[int]) -> LatencyHistogram:
    made = LatencyHistogram()
    for duration in durations:
        made.add(duration)
    return made


def test_histogram_of_nothing_is_zero() -> None:
    assert LatencyHistogram().to_dict() == {"p50": 0, "p99": 0, "max": 0}


def test_histogram_of_durations_below_32_ns_is_exact() -> None:
    made = histogram(list(range(32)))
    assert [made.percentile((n + 1) / 32) for n in range(32)] == list(range(32))


@pytest.mark.parametrize(
    ("duration", "edge"),
    [(31, 31), (32, 33), (33, 33), (34, 35), (63, 63), (64, 67), (67, 67), (68, 71), (1000, 1023), (1024, 1087)],
)
def test_histogram_percentile_is_the_upper_edge_of_its_bucket(duration: int, edge: int) -> None:
    assert histogram([duration, 1 << 40]).percentile(0.5) == edge


def test_histogram_percentile_is_never_above_the_longest() -> None:
    assert histogram([1000]).to_dict() == {"p50": 1000, "p99": 1000, "max": 1000}


@pytest.mark.parametrize("seed", range(5))
def test_histogram_percentiles_are_within_a_sixteenth_of_the_sorted_durations(seed: int) -> None:
    chance = random.Random(seed)
    durations = sorted(int(2 ** chance.uniform(0, 40)) for _ in range(1001))
    made = histogram(durations)
    for share in (0.001, 0.25, 0.5, 0.9, 0.99, 1.0):
        exact = durations[math.ceil(share * len(durations)) - 1]
        assert exact <= made.percentile(share) <= exact * (1 + 1 / 16)


def test_histogram_percentile_is_where_the_share_ends_not_behind_it() -> None:
    made = LatencyHistogram()
    made.add(1, 99)
    made.add(20)
    assert (made.percentile(0.5), made.percentile(0.99), made.percentile(1.0)) == (1, 1, 20)
    assert (made.count, made.max_ns) == (100, 20)


def test_histogram_counts_a_negative_duration_as_none() -> None:
    made = histogram([-5, 7])
    assert (made.count, made.percentile(0.5), made.max_ns) == (2, 0, 7)


def test_statistics_tell_their_latencies_and_gaps_as_json() -> None:
    statistics = Statistics(gaps=[(3, 5)])
    statistics.receive_to_ring.add(31, 2)
    told = statistics.to_dict()
    assert told["latency_ns"] == {"receive_to_ring": {"p50": 31, "p99": 31, "max": 31}}
    assert told["gaps"] == [{"first": 3, "last": 5}]
    assert "receive_to_ring" not in told


def test_statistics_of_many_gaps_and_reorgs_list_the_newest_and_count_all() -> None:
    stats = Statistics()
    for number in range(MOST_LISTED + 5):
        stats.add_gap(number, number)
        stats.add_reorg(number, 1, 0)
    assert (stats.gap_count, len(stats.gaps), stats.gaps[0]) == (MOST_LISTED + 5, MOST_LISTED, (5, 5))
    assert (stats.reorg_count, len(stats.reorgs), stats.reorgs[0]["number"]) == (MOST_LISTED + 5, MOST_LISTED, 5)


def test_statistics_of_a_collector_that_did_nothing_are_zeros() -> None:
    told = Statistics().to_dict()
    numbers = {name: value for name, value in told.items() if isinstance(value, int | float)}
    assert {"head_number", "safe_number", "blocks", "event_logs"} <= numbers.keys()
    assert set(numbers.values()) == {0}
