"""The feed at the border: other spellings, another chain or none, dead subscriptions, refusals (rows 42, 43, 45)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from eth_hash.auto import keccak

from producers.node.identity import PATIENCE_NS
from tests.producers.collected import canonical_events
from tests.producers.virtual import SECOND, Conversation, Tamper, new_feed
from tlv.layout import Block, EventOrigin, Gap

Change = Callable[[dict[str, Any]], None]


def checksummed(log: dict[str, Any]) -> None:
    digits = log.get("address", "0x")[2:]
    if not digits:
        return
    digest = keccak(digits.encode()).hex()
    log["address"] = "0x" + "".join(c.upper() if int(d, 16) >= 8 else c for c, d in zip(digits, digest, strict=False))


def in_capitals(value: dict[str, Any]) -> None:
    for name in ("blockHash", "transactionHash", "hash", "parentHash"):
        if isinstance(value.get(name), str):
            value[name] = "0x" + value[name][2:].upper()
    if "topics" in value:
        value["topics"] = ["0x" + topic[2:].upper() for topic in value["topics"]]


def as_integers(value: dict[str, Any]) -> None:
    for name in ("blockNumber", "logIndex", "transactionIndex", "number", "timestamp", "gasUsed"):
        if isinstance(value.get(name), str):
            value[name] = int(value[name], 16)
    if "topics" in value:
        value["blockTimestamp"] = 1_618_900_000


def without_needless(value: dict[str, Any]) -> None:
    for name in ("removed", "transactionIndex", "gasUsed", "gasLimit", "logsBloom"):
        value.pop(name, None)
    value["surplus"] = {"of": [None]}


def respelling(change: Change) -> Tamper:
    """Every log and every header that a frame holds, changed."""

    def tamper(frame: bytes) -> list[bytes]:
        message = msgspec.json.decode(frame)
        found = message["params"]["result"] if "params" in message else message.get("result")
        for value in found if isinstance(found, list) else [found]:
            if isinstance(value, dict) and ("topics" in value or "parentHash" in value):
                change(value)
        if found == []:
            message["result"] = None
        return [msgspec.json.encode(message)]

    return tamper


@pytest.mark.parametrize("change", [checksummed, in_capitals, as_integers])
def test_feed_with_another_spelling_publishes_identical_events(change: Change) -> None:
    conversation = Conversation(new_feed(), pushed=respelling(change), answered=respelling(change))
    conversation.connect()
    conversation.play()
    assert conversation.story.standing == canonical_events()
    assert not conversation.story.twice.total()
    assert conversation.feed.count().rejected == {}


def test_feed_with_members_missing_and_others_added_publishes_every_event() -> None:
    conversation = Conversation(new_feed(), pushed=respelling(without_needless), answered=respelling(without_needless))
    conversation.connect()
    conversation.play()
    assert conversation.story.standing.keys() == canonical_events().keys()
    assert conversation.feed.count().rejected == {}


def answering_chain(answer: Callable[[int], dict[str, Any] | None]) -> Tamper:
    """What is answered to each eth_chainId, by how often it was asked; None for silence."""
    asked = 0

    def tamper(frame: bytes) -> list[bytes]:
        nonlocal asked
        if b'"result":"0x89"' not in frame.replace(b" ", b""):
            return [frame]
        asked += 1
        said = answer(asked)
        return [] if said is None else [msgspec.json.encode({"id": msgspec.json.decode(frame)["id"], **said})]

    return tamper


REFUSED = {"error": {"code": -32000, "message": "header not found"}}
UNTOLD = {
    "silence": None,
    "a refusal": REFUSED,
    "null": {"result": None},
    "a list": {"result": ["0x89"]},
    "a word": {"result": "polygon"},
    "100,000 digits": {"result": "1" * 100_000},
    "100,000 hex digits": {"result": "0x" + "8" * 100_000},
    "nothing": {"result": ""},
}


@pytest.mark.parametrize("said", UNTOLD.values(), ids=UNTOLD)
def test_feed_whose_node_does_not_say_its_chain_publishes_nothing_and_gives_it_up(said: dict[str, Any] | None) -> None:
    conversation = Conversation(new_feed(), answered=answering_chain(lambda _: said))
    conversation.connect()
    for _ in range(60):
        conversation.step()
    conversation.wait(PATIENCE_NS / SECOND + 8)
    assert conversation.records(Block) == []
    assert conversation.records(EventOrigin) == []
    assert "does not say which chain" in (conversation.feed.broken or "")
    assert conversation.feed.wrong_chain is None


@pytest.mark.parametrize("said", [None, REFUSED, {"result": None}])
def test_feed_whose_node_says_its_chain_late_has_every_event(said: dict[str, Any] | None) -> None:
    right = {"result": "0x89"}
    conversation = Conversation(new_feed(), answered=answering_chain(lambda asked: said if asked < 3 else right))
    conversation.connect()
    conversation.play()
    assert conversation.feed.broken is None
    assert conversation.story.standing == canonical_events()


OTHER: dict[str, Any] = {"result": "0x1"}


@pytest.mark.parametrize(
    "said",
    [[OTHER] * 4, [OTHER, {"result": "0x5"}] * 3, [OTHER, *[REFUSED] * 6, OTHER], [OTHER, OTHER, *[REFUSED] * 6]],
)
def test_feed_whose_node_says_another_chain_for_seconds_has_every_event(said: list[dict[str, Any]]) -> None:
    answers = [*said, *[{"result": "0x89"}] * 9]
    conversation = Conversation(new_feed(), answered=answering_chain(lambda asked: answers[asked - 1]))
    conversation.connect()
    conversation.play()
    assert conversation.feed.wrong_chain is None and conversation.feed.broken is None
    assert conversation.story.standing == canonical_events()


def test_feed_that_sleeps_while_its_node_says_another_chain_for_seconds_has_every_event() -> None:
    says = [OTHER]
    conversation = Conversation(new_feed(), answered=answering_chain(lambda _: says[-1]))
    conversation.connect()
    conversation.wait(3)
    conversation.now_ns += 20 * SECOND
    conversation.wait(3)
    says.append({"result": "0x89"})
    conversation.play()
    assert conversation.feed.wrong_chain is None and conversation.feed.broken is None
    assert conversation.story.standing == canonical_events()


@pytest.mark.parametrize("spelling", ["0x89", "137", 137, "0x0089"])
def test_feed_takes_the_chain_in_any_spelling(spelling: Any) -> None:
    conversation = Conversation(new_feed(), answered=answering_chain(lambda _: {"result": spelling}))
    conversation.connect()
    assert conversation.feed.broken is None
    assert conversation.records(Block)


def test_feed_on_another_chain_publishes_nothing_of_it() -> None:
    conversation = Conversation(new_feed(), answered=answering_chain(lambda _: {"result": "0x1"}))
    conversation.connect()
    for _ in range(60):
        conversation.step()
    assert conversation.feed.wrong_chain == "expected chain 137 (polygon), found 1"
    assert conversation.records(Block) == conversation.records(EventOrigin) == conversation.records(Gap) == []
    conversation.disconnect()
    assert conversation.records(Block) == conversation.records(Gap) == []


class Deaf:
    """Loses what is pushed for the first subscription to logs, or to heads, from some moment on."""

    def __init__(self, heads: bool) -> None:
        self.began = False
        self._heads = heads
        self._first: str | None = None

    def __call__(self, frame: bytes) -> list[bytes]:
        if (b'"address"' in frame) is self._heads:
            return [frame]
        name = msgspec.json.decode(frame)["params"]["subscription"]
        self._first = self._first or name
        return [] if self.began and name == self._first else [frame]


@pytest.mark.parametrize("heads", [False, True], ids=["logs", "heads"])
def test_feed_renews_a_subscription_that_is_dead_beside_a_live_one(heads: bool) -> None:
    deaf = Deaf(heads)
    conversation = Conversation(new_feed(), pushed=deaf)
    conversation.connect()
    for _ in range(20):
        conversation.step()
    deaf.began = True
    conversation.play()
    statistics = conversation.feed.count()
    assert statistics.renewed_subscriptions == 1
    assert statistics.connections == 1
    assert conversation.feed.broken is None
    assert conversation.story.standing == canonical_events()
    remarks = [remark.topic for remark in conversation.feed.take_remarks() if remark.topic.startswith("dead")]
    assert remarks == ["dead newHeads" if heads else "dead logs"]


def test_feed_whose_heads_die_behind_one_of_a_far_number_renews_them() -> None:
    deaf = Deaf(heads=True)
    conversation = Conversation(new_feed(), pushed=deaf)
    conversation.connect()
    for _ in range(20):
        conversation.step()
    far = {"number": "0xffffffff", "hash": "0x" + "ab" * 32, "parentHash": "0x" + "cd" * 32, "timestamp": "0x1"}
    subscription = conversation.feed._subscriptions.heads
    notice = {"jsonrpc": "2.0", "method": "eth_subscription", "params": {"subscription": subscription, "result": far}}
    conversation.push([msgspec.json.encode(notice)])
    deaf.began = True
    conversation.play()
    assert conversation.feed.count().renewed_subscriptions == 1
    assert conversation.story.standing == canonical_events()


def test_feed_that_is_pushed_no_heads_any_more_has_the_blocks_of_all_logs() -> None:
    deaf = False

    def pushed(frame: bytes) -> list[bytes]:
        return [] if deaf and b'"address"' not in frame else [frame]

    conversation = Conversation(new_feed(), pushed=pushed)
    conversation.connect()
    for _ in range(20):
        conversation.step()
    deaf = True
    conversation.play()
    assert conversation.feed.count().renewed_subscriptions > 1
    assert conversation.story.standing == canonical_events()


def test_feed_with_both_subscriptions_alive_renews_none() -> None:
    conversation = Conversation(new_feed())
    conversation.connect()
    conversation.play()
    conversation.wait(60)
    assert conversation.feed.count().renewed_subscriptions == 0


def refusing(method_of: Callable[[bytes], bool], error: dict[str, Any], times: int) -> Tamper:
    """The first answers that `method_of` picks are refusals."""
    left = times

    def tamper(frame: bytes) -> list[bytes]:
        nonlocal left
        if left <= 0 or not method_of(frame):
            return [frame]
        left -= 1
        return [msgspec.json.encode({"id": msgspec.json.decode(frame)["id"], "error": error})]

    return tamper


def is_list_of_logs(frame: bytes) -> bool:
    return b'"result":[' in frame and b'"address"' in frame


def test_feed_counts_refusals_by_method_and_meaning_and_has_each_told_once() -> None:
    error = {"code": -32000, "message": "no backend is currently healthy to serve traffic"}
    conversation = Conversation(new_feed(), answered=refusing(is_list_of_logs, error, 5))
    conversation.connect()
    conversation.play()
    assert conversation.story.standing == canonical_events()
    assert conversation.feed.count().refusals["eth_getLogs: transient"] >= 5
    told = [remark for remark in conversation.feed.take_remarks() if remark.topic.startswith("eth_getLogs")]
    assert [remark.topic for remark in told] == ["eth_getLogs: transient"]
    assert "currently healthy" in told[0].words


def test_feed_with_an_exhausted_quota_says_so_until_the_connection_ends() -> None:
    error = {"code": -32005, "message": "daily request count exceeded, request rate limited"}
    conversation = Conversation(new_feed(), answered=refusing(is_list_of_logs, error, 1_000))
    conversation.connect()
    for _ in range(30):
        conversation.step()
    assert "daily request count" in (conversation.feed.exhausted or "")
    conversation.disconnect()
    assert conversation.feed.exhausted is None


def needing_addresses(request: bytes, answer: bytes) -> list[bytes]:
    asked = msgspec.json.decode(request)
    if asked["method"] != "eth_getLogs" or "address" in asked["params"][0]:
        return [answer]
    words = "Please specify an address in your request or, to remove restrictions, order a dedicated full node here"
    return [msgspec.json.encode({"id": asked["id"], "error": {"code": -32701, "message": words}})]


class Restricted(Conversation):
    """A node that answers by what was asked: `restriction` is given each request and its honest answer."""

    restriction: Callable[[bytes, bytes], list[bytes]]

    def exchange(self) -> None:
        while requests := self.feed.requests():
            answers: list[bytes] = []
            for request in requests:
                answer = self.core.receive(request, self.client)
                answers += self.restriction(request, answer) if answer is not None else []
            self.feed.receive(answers, **self.clock)
        self._read()


def test_feed_whose_node_refuses_logs_without_addresses_waits_for_nothing() -> None:
    conversation = Restricted(new_feed())
    conversation.restriction = staticmethod(needing_addresses)
    conversation.connect()
    first_ns = None
    while conversation.step():
        if first_ns is None and conversation.story.standing:
            first_ns = conversation.now_ns
    conversation.wait(5)
    statistics = conversation.feed.count()
    assert first_ns is not None and first_ns < 6 * SECOND, "the first swap does not wait for what is never answered"
    assert statistics.refusals["eth_getLogs: policy"] < 20, "known once, and lived with"
    lost = canonical_events().keys() - conversation.story.standing.keys()
    declared = {number for gap in conversation.records(Gap) for number in range(gap.first, gap.last + 1)}
    numbers = {block.hash: block.number for block in conversation.records(Block)}
    assert {numbers[identity[0]] for identity in lost} <= declared
    assert len(lost) < 10


@pytest.mark.parametrize("limit", [20_000, 60_000])
def test_feed_whose_blocks_are_larger_than_a_message_has_every_event(limit: int) -> None:
    """Nothing is pushed, so that every block is asked for; an answer beyond the limit ends the connection."""
    broken: list[int] = []

    def cut(request: bytes, answer: bytes) -> list[bytes]:
        if len(answer) > limit:
            broken.append(len(answer))
            return []
        return [answer]

    conversation = Restricted(new_feed(), pushed=lambda frame: [] if b'"address"' in frame else [frame])
    conversation.restriction = staticmethod(cut)
    conversation.connect()
    connections = 0
    going = True
    while going or connections < len(broken):
        if connections < len(broken):
            connections = len(broken)
            conversation.feed.answer_was_too_large()
            conversation.disconnect()
            conversation.connect()
        elif not (going := conversation.step()):
            conversation.feed.settle(**conversation.clock)
            conversation.wait(3)
    assert broken
    assert conversation.story.standing == canonical_events()
    assert conversation.feed.count().refusals["eth_getLogs: size"] >= len(set(broken))
