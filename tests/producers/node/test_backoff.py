"""Reconnects and watchdog on a clock and with random numbers of the test's."""

from __future__ import annotations

import random

from producers.node.backoff import LONGEST_RETRY_AFTER_S, BlockWatchdog, Circuit, Reconnect

SECOND = 1_000_000_000


def test_reconnect_pauses_are_jittered_and_bounded() -> None:
    chance = random.Random(1)
    reconnect = Reconnect(["a"], base_s=0.25, cap_s=4.0, threshold=100)
    for attempt in range(1, 60):
        assert 0 <= reconnect.failed(chance.random(), 0) <= min(4.0, 0.25 * 2**attempt)
    assert reconnect.failed(0.0, 0) == 0.0


def test_reconnect_takes_the_endpoints_in_turn_and_stays_with_one_that_works() -> None:
    reconnect = Reconnect(["a", "b", "c"])
    seen = []
    for _ in range(4):
        seen.append(reconnect.endpoint)
        reconnect.failed(0.5, 0)
    assert seen == ["a", "b", "c", "a"]
    reconnect.proved()
    assert reconnect.endpoint == "b"
    assert reconnect.failures == 0


def test_reconnect_leaves_an_endpoint_alone_for_as_long_as_it_asks_and_tries_the_others() -> None:
    reconnect = Reconnect(["a", "b"], threshold=100)
    assert reconnect.failed(0.5, 0, retry_after_s=60.0) < 1.0
    now_ns, seen = 0, []
    while now_ns < 60 * SECOND:
        seen.append(reconnect.endpoint)
        now_ns += int(reconnect.failed(0.5, now_ns) * SECOND)
    assert set(seen) == {"b"}
    reconnect.failed(0.5, now_ns)
    assert reconnect.endpoint == "a"


def test_reconnect_with_one_endpoint_waits_for_it_within_reason() -> None:
    reconnect = Reconnect(["a"], threshold=2)
    assert reconnect.failed(0.0, 0, retry_after_s=7.0) == 7.0
    assert reconnect.failed(0.0, 0, retry_after_s=1e9) == LONGEST_RETRY_AFTER_S
    assert reconnect.circuit is Circuit.OPEN
    assert reconnect.failed(0.0, 0) <= 30.0


def test_reconnect_with_everybody_asking_for_peace_takes_whoever_asked_for_least() -> None:
    reconnect = Reconnect(["a", "b", "c"], threshold=100)
    pauses = [reconnect.failed(0.0, 0, retry_after_s=seconds) for seconds in (30.0, 10.0, 20.0)]
    assert pauses == [0.0, 0.0, 10.0]
    assert reconnect.endpoint == "b"


def test_circuit_opens_after_the_threshold_and_tries_once_at_a_time() -> None:
    reconnect = Reconnect(["a"], threshold=3, open_s=30.0)
    assert [reconnect.failed(1.0, 0) < 30.0 for _ in range(2)] == [True, True]
    assert reconnect.circuit is Circuit.CLOSED
    assert 15.0 <= reconnect.failed(0.0, 0) <= 30.0
    assert reconnect.circuit is Circuit.OPEN
    reconnect.attempt()
    assert reconnect.circuit is Circuit.HALF_OPEN
    reconnect.failed(0.5, 0)
    assert reconnect.circuit is Circuit.OPEN
    reconnect.attempt()
    reconnect.proved()
    assert reconnect.circuit is Circuit.CLOSED


def test_circuit_half_open_is_not_closed_by_an_attempt_alone() -> None:
    reconnect = Reconnect(["a"], threshold=1)
    reconnect.failed(0.5, 0)
    for _ in range(3):
        reconnect.attempt()
        assert reconnect.circuit is Circuit.HALF_OPEN


def test_watchdog_takes_its_patience_from_the_chain() -> None:
    watchdog = BlockWatchdog(least_s=10.0)
    watchdog.restart(0)
    assert watchdog.deadline_ns == 10 * SECOND
    for number in range(1, 40):
        watchdog.block_arrived(number * 2 * SECOND)
    assert watchdog.median_ns == 2 * SECOND
    assert watchdog.deadline_ns == (78 + 16) * SECOND


def test_watchdog_ignores_the_pause_between_connections() -> None:
    watchdog = BlockWatchdog(least_s=1.0)
    watchdog.restart(0)
    watchdog.block_arrived(SECOND)
    watchdog.restart(1000 * SECOND)
    watchdog.block_arrived(1001 * SECOND)
    assert watchdog.median_ns == SECOND
