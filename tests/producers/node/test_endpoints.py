"""Which endpoint is next, on a clock and with random numbers of the test's."""

from __future__ import annotations

import pytest

from producers.node.backoff import LONGEST_PAUSE_S, LONGEST_RETRY_AFTER_S, Circuit, jittered
from producers.node.endpoints import FIRST_REST_S, Endpoints
from tlv.codes import FeedReason

SECOND = 1_000_000_000


def fail(endpoints: Endpoints, now_s: float = 0.0, *, useless: bool = False, retry_after_s: float = 0.0) -> float:
    reason = FeedReason.SILENT if useless else FeedReason.CLOSED
    now_ns = int(now_s * SECOND)
    return endpoints.failed(reason, "words", 0.5, now_ns, useless=useless, retry_after_s=retry_after_s)


def test_jittered_doubles_up_to_its_limit() -> None:
    assert [jittered(0.5, failures) for failures in (1, 2, 3, 100)] == [0.25, 0.5, 1.0, LONGEST_PAUSE_S / 2]


def test_endpoints_after_a_failure_try_the_next_at_once() -> None:
    endpoints = Endpoints(["a", "b", "c"])
    assert fail(endpoints) == 0.0
    assert endpoints.current.url == "b"
    assert fail(endpoints) == 0.0
    assert endpoints.current.url == "c"
    assert fail(endpoints) == 0.25, "all have failed: the first is next, after its pause"
    assert endpoints.current.url == "a"


def test_endpoints_with_one_that_works_prefer_the_first_again_when_it_ends() -> None:
    endpoints = Endpoints(["a", "b"])
    fail(endpoints)
    endpoints.proved()
    endpoints.ended(FeedReason.CLOSED, "words", 0.5, 100 * SECOND)
    assert endpoints.current.url == "a"


def test_endpoints_with_a_useless_one_go_back_to_the_fallback_that_only_closed() -> None:
    endpoints = Endpoints(["a", "b"])
    fail(endpoints, useless=True)
    assert endpoints.current.url == "b"
    endpoints.proved()
    assert endpoints.ended(FeedReason.CLOSED, "words", 1.0, 20 * SECOND) == 0.25
    assert endpoints.current.url == "b", "another bound with the useless one would cost more than this pause"
    later = int(FIRST_REST_S + 1) * SECOND
    endpoints.ended(FeedReason.CLOSED, "words", 1.0, later)
    assert endpoints.current.url == "a", "it has rested"


def test_endpoints_of_which_all_are_useless_are_tried_in_turn_all_the_same() -> None:
    endpoints = Endpoints(["a", "b"], threshold=100)
    tried = []
    for round_ in range(6):
        tried.append(endpoints.current.url)
        assert fail(endpoints, now_s=20.0 * round_, useless=True) < 60
    assert set(tried) == {"a", "b"}


def test_endpoints_leave_one_alone_for_as_long_as_it_asks_and_try_the_others() -> None:
    endpoints = Endpoints(["a", "b"], threshold=100)
    fail(endpoints, retry_after_s=60.0)
    assert endpoints.current.url == "b"
    for _ in range(5):
        fail(endpoints, now_s=1.0)
        assert endpoints.current.url == "b"
    fail(endpoints, now_s=61.0)
    assert endpoints.current.url == "a"


def test_endpoints_with_only_one_wait_for_it_within_reason() -> None:
    endpoints = Endpoints(["a"], threshold=100)
    assert fail(endpoints, retry_after_s=30.0) == 30.0
    assert fail(endpoints, retry_after_s=1e9) == LONGEST_RETRY_AFTER_S


def test_endpoints_that_all_fail_open_the_circuit_and_one_proof_closes_it() -> None:
    endpoints = Endpoints(["a"], threshold=3, open_s=30.0)
    assert [fail(endpoints) < 15 for _ in range(3)] == [True, True, False]
    assert endpoints.circuit is Circuit.OPEN
    endpoints.attempt()
    assert endpoints.circuit is Circuit.HALF_OPEN
    assert 15 <= fail(endpoints) <= 30
    assert endpoints.circuit is Circuit.OPEN
    endpoints.attempt()
    endpoints.proved()
    assert (endpoints.circuit, endpoints.failures) == (Circuit.CLOSED, 0)


def test_endpoints_of_another_chain_are_not_tried() -> None:
    endpoints = Endpoints(["a", "b", "c"])
    other = next(one for one in endpoints.others() if one.url == "b")
    endpoints.exclude(other, "expected chain 1, found 2", 0)
    fail(endpoints)
    assert endpoints.current.url == "c"
    assert endpoints.usable == 2
    endpoints.exclude(endpoints.current, "expected chain 1, found 2", 0)
    assert (endpoints.current.url, endpoints.usable) == ("a", 1)
    assert endpoints.fallback is None


def test_endpoint_of_another_chain_is_asked_again_after_pauses_that_double_up_to_an_hour() -> None:
    endpoints = Endpoints(["a", "b"])
    endpoints.exclude(endpoints.current, "expected chain 1, found 2", 0)
    asked = [second for second in range(20_000) if endpoints.asks_excluded(second * SECOND) is not None]
    pauses = [after - before for before, after in zip([0, *asked], asked, strict=False)]
    assert pauses == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600]


def test_endpoint_that_serves_our_chain_again_is_returned_to_after_a_while() -> None:
    endpoints = Endpoints(["a", "b"], return_s=600.0)
    first = endpoints.current
    endpoints.exclude(first, "expected chain 1, found 2", 0)
    assert endpoints.asks_excluded(60 * SECOND) is first
    endpoints.readmit(first, 61 * SECOND)
    assert (endpoints.usable, endpoints.current.url, endpoints.fallback) == (2, "b", first)
    assert endpoints.asks_excluded(10_000 * SECOND) is None
    assert endpoints.asks_first(660 * SECOND) is None
    assert endpoints.asks_first(661 * SECOND) is first
    fail(endpoints)
    assert endpoints.current is first
    endpoints.exclude(first, "expected chain 1, found 2", 1000 * SECOND)
    assert endpoints.asks_excluded(1119 * SECOND) is None, "it came back in vain: the pause goes on doubling"
    assert endpoints.asks_excluded(1120 * SECOND) is first


def test_endpoint_that_names_our_chain_and_shows_another_is_not_asked_again() -> None:
    endpoints = Endpoints(["a", "b"])
    endpoints.exclude(endpoints.current, "expected block 0 to be another", 0, for_good=True)
    assert endpoints.asks_excluded(1_000_000 * SECOND) is None


def test_endpoints_on_a_fallback_ask_for_the_first_after_a_while_and_not_at_every_look() -> None:
    endpoints = Endpoints(["a", "b"], return_s=600.0)
    fail(endpoints)
    assert endpoints.asks_first(599 * SECOND) is None
    first = endpoints.asks_first(600 * SECOND)
    assert first is not None and first.url == "a"
    assert endpoints.asks_first(601 * SECOND) is None
    endpoints.prefer(first)
    assert endpoints.current.url == "a"
    assert endpoints.asks_first(5000 * SECOND) is None, "the first is in use"


def test_endpoints_ask_less_often_for_a_first_that_was_useless() -> None:
    endpoints = Endpoints(["a", "b"], return_s=600.0)
    fail(endpoints, useless=True)
    assert endpoints.asks_first(1199 * SECOND) is None
    assert endpoints.asks_first(1200 * SECOND) is not None


@pytest.mark.parametrize("rests", [False, True])
def test_endpoints_try_a_fallback_that_could_not_be_asked_after_the_others(rests: bool) -> None:
    endpoints = Endpoints(["a", "b", "c"])
    if rests:
        endpoints.rest(endpoints.others()[0], "refused", 0)
    fail(endpoints)
    assert endpoints.current.url == ("c" if rests else "b")
