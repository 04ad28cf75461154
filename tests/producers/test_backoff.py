"""Reconnects and watchdog on a clock and with random numbers of the test's."""

from __future__ import annotations

import random

from producers.backoff import BlockWatchdog, Circuit, Reconnect

SECOND = 1_000_000_000


def test_reconnect_pauses_are_jittered_and_bounded() -> None:
    chance = random.Random(1)
    reconnect = Reconnect(["a"], base_s=0.25, cap_s=4.0, threshold=100)
    for attempt in range(1, 60):
        assert 0 <= reconnect.failed(chance.random()) <= min(4.0, 0.25 * 2**attempt)
    assert reconnect.failed(0.0) == 0.0


def test_reconnect_takes_the_endpoints_in_turn_and_stays_with_one_that_works() -> None:
    reconnect = Reconnect(["a", "b", "c"])
    seen = []
    for _ in range(4):
        seen.append(reconnect.endpoint)
        reconnect.failed(0.5)
    assert seen == ["a", "b", "c", "a"]
    reconnect.proved()
    assert reconnect.endpoint == "b"
    assert reconnect.failures == 0


def test_circuit_opens_after_the_threshold_and_tries_once_at_a_time() -> None:
    reconnect = Reconnect(["a"], threshold=3, open_s=30.0)
    assert [reconnect.failed(1.0) < 30.0 for _ in range(2)] == [True, True]
    assert reconnect.circuit is Circuit.CLOSED
    assert 15.0 <= reconnect.failed(0.0) <= 30.0
    assert reconnect.circuit is Circuit.OPEN
    reconnect.attempt()
    assert reconnect.circuit is Circuit.HALF_OPEN
    reconnect.failed(0.5)
    assert reconnect.circuit is Circuit.OPEN
    reconnect.attempt()
    reconnect.proved()
    assert reconnect.circuit is Circuit.CLOSED


def test_circuit_half_open_is_not_closed_by_an_attempt_alone() -> None:
    reconnect = Reconnect(["a"], threshold=1)
    reconnect.failed(0.5)
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
