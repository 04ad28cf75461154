"""Percentiles of durations, against the sorted durations themselves; what a reader sees while one is written."""

from __future__ import annotations

import math
import random
import threading
from itertools import pairwise

import numpy as np
import pytest

from ringbuf import Histogram
from ringbuf.histogram import upper_edge
from ringbuf.kernels import bucket_of, count_duration
from ringbuf.layout import BUCKET_0, BUCKETS, HISTOGRAM_WORDS, LONGEST_NS, LONGEST_WORD, SUM_WORD


def histogram(durations: list[int]) -> Histogram:
    made = Histogram()
    for duration in durations:
        made.add(duration)
    return made


def test_histogram_of_nothing_is_zero() -> None:
    assert Histogram().to_dict() == {"p50": 0, "p99": 0, "max": 0}
    assert (Histogram().count, Histogram().sum_ns) == (0, 0)


def test_histogram_of_durations_below_64_ns_is_exact() -> None:
    made = histogram(list(range(64)))
    assert [made.percentile((n + 1) / 64) for n in range(64)] == list(range(64))


@pytest.mark.parametrize(
    ("duration", "edge"), [(63, 63), (64, 65), (65, 65), (66, 67), (127, 127), (128, 131), (1000, 1007), (1024, 1055)]
)
def test_histogram_percentile_is_the_upper_edge_of_its_bucket(duration: int, edge: int) -> None:
    assert histogram([duration, 1 << 39]).percentile(0.5) == edge == upper_edge(bucket_of(duration))


def test_histogram_edges_divide_all_durations() -> None:
    edges = [upper_edge(bucket) for bucket in range(BUCKETS)]
    assert [bucket_of(edge) for edge in edges] == list(range(BUCKETS))
    assert [bucket_of(edge + 1) for edge in edges[:-1]] == list(range(1, BUCKETS))
    assert max((high - low) / (low + 1) for low, high in pairwise(edges[63:])) <= 1 / 32


def test_histogram_counts_what_is_too_long_for_it_and_knows_the_longest() -> None:
    made = histogram([1 << 40, 1 << 47])
    assert made.count == 2
    assert (made.percentile(0.99), made.longest_ns) == (1 << 47, 1 << 47)


def test_histogram_of_times_that_cannot_be_counts_them_within_its_bounds() -> None:
    made = histogram([1 << 200, -1 << 200])
    made.add_ages(np.array([0, 1 << 62], dtype=np.int64), 1 << 61)
    assert (made.count, made.longest_ns, made.sum_ns) == (4, LONGEST_NS, 2 * LONGEST_NS)


def test_histogram_percentile_is_never_above_the_longest() -> None:
    assert histogram([1000]).to_dict() == {"p50": 1000, "p99": 1000, "max": 1000}


@pytest.mark.parametrize("seed", range(5))
def test_histogram_percentiles_are_within_a_32nd_of_the_sorted_durations(seed: int) -> None:
    chance = random.Random(seed)
    durations = sorted(int(2 ** chance.uniform(0, 39)) for _ in range(1001))
    made = histogram(durations)
    for share in (0.001, 0.25, 0.5, 0.9, 0.99, 1.0):
        exact = durations[math.ceil(share * len(durations)) - 1]
        assert exact <= made.percentile(share) <= exact * (1 + 1 / 32)
    assert made.sum_ns == sum(durations)


def test_histogram_percentile_is_where_the_share_ends_not_behind_it() -> None:
    made = Histogram()
    made.add(1, 99)
    made.add(20)
    assert (made.percentile(0.5), made.percentile(0.99), made.percentile(1.0)) == (1, 1, 20)
    assert (made.count, made.longest_ns) == (100, 20)


def test_histogram_counts_a_negative_duration_as_none() -> None:
    made = histogram([-5, 7])
    assert (made.count, made.percentile(0.5), made.longest_ns, made.sum_ns) == (2, 0, 7, 7)


def test_histogram_of_ages_counts_each_moment_from_when_it_was() -> None:
    # A stall of 1 s before which 1,000 were due, one each ms: every one of them waited, the first all of it.
    made, due = Histogram(), np.arange(0, 10**9, 10**6, dtype=np.int64)
    made.add_ages(due, 10**9)
    assert (made.count, made.longest_ns) == (1000, 10**9)
    assert 0.5e9 <= made.percentile(0.5) <= 0.5e9 * (1 + 1 / 32)


def test_histogram_of_ages_leaves_out_what_was_before_a_moment() -> None:
    made = Histogram()
    made.add_ages(np.array([10, 20, 30], dtype=np.int64), 50, since_ns=20)
    assert (made.count, made.longest_ns) == (2, 30)


def test_histograms_merged_are_the_histogram_of_all_durations() -> None:
    chance = random.Random(7)
    durations = [int(2 ** chance.uniform(0, 42)) for _ in range(300)]
    merged = Histogram.merged([histogram(durations[:100]), histogram(durations[100:]), Histogram()])
    assert (merged.copy() == histogram(durations).copy()).all()


def test_histogram_below_powers_of_two_is_exact() -> None:
    durations = [0, 1, 63, 64, 1023, 1024, 1 << 30]
    limits = [1, 64, 1024, 1 << 30, 1 << 31]
    assert histogram(durations).below(limits) == [sum(d < limit for d in durations) for limit in limits]


def test_histogram_copied_while_it_is_written_only_grows_and_never_shows_what_was_not_counted() -> None:
    words = np.zeros(HISTOGRAM_WORDS, dtype=np.int64)
    shared, done = Histogram(words), threading.Event()

    def write() -> None:
        # Far apart, so that a torn longest or bucket would show a percentile that is neither.
        for _ in range(20_000):
            count_duration(words, 0, 10, 1)
            count_duration(words, 0, 1 << 36, 1)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    before, looks = shared.copy(), 0
    while not done.is_set() or looks < 2:
        now, looks = shared.copy(), looks + 1
        assert (now >= before).all()
        # Counted between the reading of the two buckets, many long ones may be seen with few short ones or none.
        assert {shared.percentile(0.01), shared.percentile(1.0)} <= {0, 10, 1 << 36, upper_edge(bucket_of(1 << 36))}
        before = now
    writer.join()
    assert (shared.percentile(0.01), shared.percentile(1.0)) == (10, 1 << 36)
    assert (int(words[BUCKET_0 + 10]), int(words[SUM_WORD])) == (20_000, 20_000 * (10 + (1 << 36)))


def test_histogram_whose_longest_is_older_than_its_buckets_shows_the_bucket() -> None:
    words = np.zeros(HISTOGRAM_WORDS, dtype=np.int64)
    words[BUCKET_0 + bucket_of(5000)], words[LONGEST_WORD] = 1, 100
    assert Histogram(words).percentile(0.99) == upper_edge(bucket_of(5000))
