"""The load of a minute, for a moment: all that is published arrives at each consumer, and memory is looked at."""

from __future__ import annotations

import pytest

from tools.bench.sustained import ALL, CLIENT, JOURNAL, LOOKS, STRATEGY, SustainedRun, length_of, measure, results


def test_sustained_load_arrives_at_each_consumer_and_every_process_is_looked_at() -> None:
    found = measure([CLIENT, JOURNAL, STRATEGY], 0.1)
    assert found.published > 0
    assert found.received == dict.fromkeys((CLIENT, JOURNAL, STRATEGY), found.published)
    assert found.memory.keys() == {"relay", "client", "recorder", "strategy", "publisher"}
    assert all(len(looks) == LOOKS and looks[0][1] > 1 for looks in found.memory.values())
    assert [result.name.rpartition(": ")[2] for result in results(ALL, found)] == ["rate", "lost", "memory growth"]


def test_sustained_rows_judge_the_slowest_the_lost_and_what_grows_once_buffers_are_full() -> None:
    flat = [(float(at), 50.0) for at in range(0, 61, 5)]
    growing = [(at, 50.0 + max(at - 30.0, 0.0) / 60 * 3) for at, _ in flat]  # and before, tables fill
    seen = SustainedRun(
        60.0, 1000, {CLIENT: 1000, JOURNAL: 997}, {CLIENT: 1.0, JOURNAL: 0.9}, {"a": flat, "b": growing}, ""
    )
    rate, lost, memory = results(ALL, seen)
    assert (rate.value, rate.meets_target) == (0.9, False) and f"slowest {JOURNAL}" in rate.note
    assert (lost.value, lost.meets_target) == (3.0, False)
    assert abs(memory.value - 3.0) < 1e-6 and not memory.meets_target and "of b, which" in memory.note
    short = seen._replace(seconds=3.0, memory={"a": flat})
    assert [row.target for row in results(ALL, short)][2] is None
    assert "3 s (a minute with --seconds 10)" in next(results(ALL, short)).note


@pytest.mark.parametrize(
    ("asked", "length"), [(0.01, 1.0), (0.3, 3.0), (1.0, 10.0), (9.0, 10.0), (10.0, 60.0), (60.0, 60.0), (90.0, 90.0)]
)
def test_sustained_run_is_a_minute_where_ten_seconds_are_asked_for_and_else_a_part(asked: float, length: float) -> None:
    assert length_of(asked) == pytest.approx(length)
