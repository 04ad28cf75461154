"""What a collector counts, as JSON; lists that stay bounded."""

from __future__ import annotations

from producers.statistics import MOST_LISTED, Statistics


def test_statistics_tell_their_latencies_and_gaps_as_json() -> None:
    statistics = Statistics(gaps=[(3, 5)])
    statistics.receive_to_ring.add(31, 2)
    told = statistics.to_dict()
    nothing = {"p50": 0, "p99": 0, "max": 0}
    assert told["latency_ns"] == {
        "block_to_receive": nothing,
        "receive_to_ring": {"p50": 31, "p99": 31, "max": 31},
        "loop_late": nothing,
    }
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
