"""JSON-RPC without a socket: what real nodes send is used or counted, and never raises."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import msgspec
import pytest

from producers.node.jsonrpc import (
    DISCONNECTED,
    FIRST_PAUSE_NS,
    LONGEST_RETRY_AFTER_S,
    RATE_LIMIT_RETRIES,
    TIMED_OUT,
    Failure,
    JsonRpc,
    Rejection,
    split_objects,
)
from producers.node.refusals import Meaning

DATA = Path(__file__).parents[2] / "data"
SECOND = 1_000_000_000


class Asked:
    """One request, and everything that came back for it."""

    def __init__(self, rpc: JsonRpc, method: str = "eth_blockNumber", **options: object) -> None:
        self.answers: list[tuple[bytes | None, Failure | None]] = []
        rpc.ask(method, [], self._then, **options)  # type: ignore[arg-type]

    def _then(self, result: msgspec.Raw | None, failure: Failure | None) -> None:
        self.answers.append((None if result is None else bytes(result), failure))


def test_rpc_with_answers_in_any_order_matches_them_by_id() -> None:
    rpc = JsonRpc()
    first, second = Asked(rpc), Asked(rpc)
    assert [json.loads(frame)["id"] for frame in rpc.outgoing()] == [1, 2]
    rpc.read(b'{"jsonrpc":"2.0","id":2,"result":"0x2"}')
    rpc.read(b'{"jsonrpc":"2.0","id":1,"result":null}')
    assert first.answers == [(b"null", None)]
    assert second.answers == [(b'"0x2"', None)]
    assert rpc.unanswered == 0


def test_rpc_with_answer_given_twice_rejects_the_second() -> None:
    rpc = JsonRpc()
    asked = Asked(rpc)
    rpc.outgoing()
    for _ in range(2):
        rpc.read(b'{"id":1,"result":1}')
    assert len(asked.answers) == 1
    assert rpc.rejected == {Rejection.UNKNOWN_ID: 1}


def test_rpc_beyond_its_time_fails_once_and_rejects_the_late_answer() -> None:
    rpc = JsonRpc()
    asked = Asked(rpc, timeout_s=2.0)
    rpc.outgoing()
    rpc.clock.now_ns = 2 * SECOND - 1
    rpc.expire()
    assert asked.answers == []
    rpc.clock.now_ns += 1
    rpc.expire()
    assert asked.answers == [(None, TIMED_OUT)]
    rpc.read(b'{"id":1,"result":1}')
    assert rpc.rejected == {Rejection.UNKNOWN_ID: 1}


def test_rpc_keeps_to_its_limit_of_requests_in_flight() -> None:
    rpc = JsonRpc(max_in_flight=2)
    for _ in range(5):
        Asked(rpc)
    assert len(rpc.outgoing()) == 2
    assert rpc.outgoing() == []
    rpc.read(b'{"id":1,"result":1}')
    assert len(rpc.outgoing()) == 1


def test_rpc_abandoned_fails_everything_and_starts_clean() -> None:
    rpc = JsonRpc(max_in_flight=1)
    flying, queued = Asked(rpc), Asked(rpc)
    rpc.outgoing()
    rpc.abandon()
    assert flying.answers == queued.answers == [(None, DISCONNECTED)]
    assert rpc.outgoing() == []
    assert rpc.deadline_ns is None


@pytest.mark.parametrize("code", [429, -32005])
def test_rpc_told_to_slow_down_pauses_and_asks_again(code: int) -> None:
    rpc = JsonRpc()
    asked = Asked(rpc)
    pauses = []
    refusals = 0
    while not asked.answers:
        frames = rpc.outgoing()
        if not frames:
            assert rpc.deadline_ns is not None
            pauses.append(rpc.deadline_ns - rpc.clock.now_ns)
            rpc.clock.now_ns = rpc.deadline_ns
            continue
        refusals += 1
        error = {"code": code, "message": "limit exceeded"}
        rpc.read(json.dumps({"id": json.loads(frames[0])["id"], "error": error}).encode())
    assert refusals == RATE_LIMIT_RETRIES + 1
    assert pauses == [SECOND // 2 << doubling for doubling in range(RATE_LIMIT_RETRIES)]
    assert asked.answers[0][1] is not None and asked.answers[0][1].meaning is Meaning.RATE


def test_rpc_with_a_wave_of_refusals_doubles_its_pause_once() -> None:
    rpc = JsonRpc()
    for _ in range(20):
        Asked(rpc)
    for pause_ns in (FIRST_PAUSE_NS, 2 * FIRST_PAUSE_NS, 4 * FIRST_PAUSE_NS):
        for frame in rpc.outgoing():
            rpc.read(b'{"id":%d,"error":{"code":429,"message":"slow down"}}' % json.loads(frame)["id"])
        assert rpc.outgoing() == []
        assert rpc.deadline_ns == rpc.clock.now_ns + pause_ns
        rpc.clock.now_ns = rpc.deadline_ns


@pytest.mark.parametrize("request_id", [b"null", b"-1", b"4711"])
def test_rpc_told_to_slow_down_by_an_answer_to_nobody_pauses(request_id: bytes) -> None:
    """Some gateways refuse before they read who asked."""
    rpc = JsonRpc()
    Asked(rpc)
    rpc.read(b'{"id":%b,"error":{"code":429,"message":"too many requests, retry in 10s"}}' % request_id)
    assert rpc.rejected.total() == 1
    assert rpc.outgoing() == []
    rpc.clock.now_ns = 10 * SECOND
    assert len(rpc.outgoing()) == 1


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Too many requests, reason: call rate limit exhausted, retry in 10s", 10),
        ("too many requests: please try again in 2.5 s", 2.5),
        ("rate limit exhausted, retry in 10m0s", LONGEST_RETRY_AFTER_S),
        ("rate limit, retry in 1m", 60),
        ('project ID request rate exceeded {"rate":{"allowed_rps":1,"backoff_seconds":30,"current_rps":1.4}}', 30),
        ('too many requests {"retry_after": 5}', 5),
        ('rate limited {"headers":{"Retry-After":"7"}}', 7),
        ("limit exceeded", 0),
        ("query exceeds max results 20000, retry with the range 1-9", 0),
        ("retry in " + "9" * 400 + "s", 0),
    ],
)
def test_failure_says_for_how_long_to_leave_the_node_alone(message: str, seconds: float) -> None:
    assert Failure(429, message).retry_after_s == seconds


@pytest.mark.parametrize(
    ("message", "code", "kind"),
    [
        ("query returned more than 1000 results", -32005, "range"),
        ("block range is larger than max block range, block range = 5120, max block range = 5000", -32000, "range"),
        ("range 1000000 exceeds limit of 10000", -32602, "range"),
        ("Your app has exceeded its compute units per second capacity.", 429, "rate"),
        ("Monthly capacity limit exceeded. Visit https://dashboard", -32000, "quota"),
        ("execution reverted", 3, "revert"),
        ("VM Exception while processing transaction: revert", -32015, "revert"),
        ("missing trie node 91e7 (path )", -32000, "pruned"),
        ("unknown block", -32000, "transient"),
        ("header not found", -32000, "transient"),
    ],
)
def test_failure_is_told_by_code_or_words(message: str, code: int, kind: str) -> None:
    assert Failure(code, message).meaning == kind


@pytest.mark.parametrize(
    "error", ['"Missed `to` address"', "7", "[]", '{"code":"x","message":null}', '{"code":1.5}', "{}", "null"]
)
def test_rpc_with_error_of_any_form_fails_the_request(error: str) -> None:
    rpc = JsonRpc()
    asked = Asked(rpc)
    rpc.outgoing()
    rpc.read(b'{"id":1,"error":%b}' % error.encode())
    assert len(asked.answers) == 1
    assert asked.answers[0][1] is not None


def test_rpc_told_that_a_subscription_ended_counts_it_as_such() -> None:
    rpc = JsonRpc()
    rpc.read(b'{"id":-1,"error":{"code":-32000,"message":"subscription closed"}}')
    assert rpc.rejected == {Rejection.SUBSCRIPTION_ENDED: 1}


def test_split_objects_looks_into_no_string() -> None:
    pieces = [b'{"a":"}{\\"{"}', b'{"b":{"c":{}}}', b"{}"]
    assert list(split_objects(b" \n".join(pieces))) == pieces
    assert list(split_objects(b'{"a":1}garbage{"b":2}')) == []
    assert list(split_objects(b'{"a":1}{"b":')) == []


def pathologies() -> list[dict[str, object]]:
    with gzip.open(DATA / "pathologies.jsonl.gz") as lines:
        return [json.loads(line) for line in lines]


def test_pathologies_are_all_there() -> None:
    assert len(pathologies()) == 40


@pytest.mark.parametrize("row", pathologies(), ids=lambda row: str(row["id"]))
def test_rpc_with_a_pathology_of_a_real_node_survives_and_answers_the_next(row: dict[str, object]) -> None:
    """Whole, cut at every eighth, as an element of an array, and twice in one frame: always used or counted."""
    payload = str(row["payload"]).encode()
    cuts = [payload[: len(payload) * part // 8] for part in range(1, 9)]
    for frame in [*cuts, b"[" + payload + b"]", payload + payload]:
        rpc = JsonRpc()
        asked, other = Asked(rpc), Asked(rpc)
        rpc.outgoing()
        notices = rpc.read(frame)
        rpc.clock.now_ns += SECOND
        asked_again = len(rpc.outgoing())  # after a rate limit
        used = len(notices) + len(asked.answers) + len(other.answers) + asked_again
        assert used or rpc.rejected.total()
        assert all(isinstance(reason, Rejection) for reason in rpc.rejected)
        rpc.abandon()
        survivor = Asked(rpc)
        [request] = rpc.outgoing()
        rpc.read(b'{"id":%d,"result":true}' % json.loads(request)["id"])
        assert survivor.answers == [(b"true", None)]
