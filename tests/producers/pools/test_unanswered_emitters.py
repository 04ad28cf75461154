"""Emitters about which the node says nothing for a while: their logs wait, and what is lost in the end is declared.

The local node of the campaigns answers `BlockOutOfRangeError` (-32602) to one eth_call in some hundred while it
reorganises; a backend that lags answers `0x` (go-ethereum#17516, erigon#18912).
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise

import msgspec
import pytest

from producers.pools.quarantine import HOLD_S
from tests.producers.collected import canonical_events
from tests.producers.pools.accounts import assert_every_event_log_is_accounted_for
from tests.producers.virtual import SECOND, Conversation, new_feed, recording
from tlv.codes import Flag
from tlv.layout import BlockEnd, EventOrigin, Gap, PoolRecord, PoolState, Reorg, Unproven
from tools.recording.core import NodeCore
from tools.recording.recording import Recording

WORD = re.compile(rb'"result": ?"0x[0-9a-f]{64}"')
"""Only an eth_call is answered with a word."""
NOTHING = b'"result":"0x"'
ZERO = b'"result":"0x' + b"0" * 64 + b'"'
OUT_OF_RANGE = b'"error":{"code":-32602,"message":"BlockOutOfRangeError: block height is 152 but requested was 154"}'
INTERNAL = b'"error":{"code":-32603,"message":"internal error"}'
RATE = b'"error":{"code":429,"message":"Too Many Requests"}'
CALL_ANSWER = re.compile(rb'"result": ?"0x(?:[0-9a-f]{64})+"')
RECORDED_GAPS = 2


class LaggingState(NodeCore):
    """A node that has the state of a block only some time after it was asked about it first."""

    def __init__(self, served: Recording, conversation: Conversation, lag_s: float) -> None:
        super().__init__(served)
        self._conversation, self._lag_ns = conversation, int(lag_s * SECOND)
        self._asked_ns: dict[str, int] = {}

    def receive(self, frame: bytes, client: int | None = None) -> bytes | None:
        request = msgspec.json.decode(frame)
        now_ns = self._conversation.now_ns
        if request["method"] == "eth_call":
            first_ns = self._asked_ns.setdefault(str(request["params"][1]), now_ns)
            if now_ns - first_ns < self._lag_ns:
                error = b'"error":{"code":-32000,"message":"header not found"}'
                return b'{"jsonrpc":"2.0","id":%d,%b}' % (request["id"], error)
        return super().receive(frame, client)


class RefusingOnce(NodeCore):
    """A node that answers nothing useful to each eth_call when it is asked for the first time."""

    def __init__(self, served: Recording, instead: bytes) -> None:
        super().__init__(served)
        self.refused: set[str] = set()
        self._instead = instead

    def receive(self, frame: bytes, client: int | None = None) -> bytes | None:
        request = msgspec.json.decode(frame)
        call = str(request["params"][:1])
        if request["method"] != "eth_call" or call in self.refused:
            return super().receive(frame, client)
        self.refused.add(call)
        return b'{"jsonrpc":"2.0","id":%d,%b}' % (request["id"], self._instead)


def answered_with(instead: bytes, for_s: float) -> tuple[Conversation, list[int]]:
    """The whole recording; each eth_call is answered with `instead` for `for_s` from the first; when, in ns."""
    asked: list[int] = []

    def answered(frame: bytes) -> list[bytes]:
        if WORD.search(frame):
            asked.append(conversation.now_ns)
            if conversation.now_ns - asked[0] < for_s * SECOND:
                return [WORD.sub(instead, frame)]
        return [frame]

    conversation = Conversation(new_feed(), answered=answered)
    conversation.connect()
    conversation.play()
    return conversation, asked


def last_declared(conversation: Conversation) -> dict[bytes, int]:
    """What the last Unproven record of each emitter says is held back."""
    return {record.emitter: record.held_back for record in conversation.records(Unproven)}


def pools_of(conversation: Conversation) -> set[str]:
    return {f"0x{state.pool.hex()}" for state in conversation.records(PoolState)}


@pytest.mark.parametrize("instead", [NOTHING, ZERO, OUT_OF_RANGE, INTERNAL])
def test_feed_whose_node_says_nothing_of_emitters_for_a_second_publishes_every_event(instead: bytes) -> None:
    conversation, _ = answered_with(instead, 1.0)
    assert conversation.story.standing == canonical_events()
    assert len(conversation.records(Gap)) == RECORDED_GAPS


@pytest.mark.parametrize("instead", [NOTHING, OUT_OF_RANGE, RATE])
def test_feed_whose_node_tells_of_emitters_after_five_minutes_fetches_every_event(instead: bytes) -> None:
    conversation, _ = answered_with(instead, 300)
    conversation.wait(400, 0.5)
    assert conversation.story.standing == canonical_events()
    assert len(conversation.records(Gap)) == RECORDED_GAPS
    statistics = conversation.feed.count()
    assert statistics.healed_logs > 0
    assert_every_event_log_is_accounted_for(statistics)
    last = last_declared(conversation)
    healed = {bytes.fromhex(pool[2:]) for pool in pools_of(conversation)}
    assert healed & last.keys() and all(last.get(pool, 0) == 0 for pool in healed)
    assert conversation.feed.settled


def test_feed_publishes_what_it_fetches_of_a_pool_marked_and_before_its_newer_events() -> None:
    conversation, _ = answered_with(INTERNAL, 60)
    conversation.wait(400, 0.5)
    assert conversation.story.standing == canonical_events()
    places: dict[bytes, list[tuple[int, int]]] = {}
    fetched = 0
    for message in conversation.story.messages:
        origin = message.first(EventOrigin)
        if origin is not None and not message.header.flags & Flag.REMOVED:
            fetched += bool(message.header.flags & Flag.BACKFILL)
            record = message.records[0]
            assert isinstance(record, PoolRecord)
            places.setdefault(record.pool, []).append((origin.block_number, origin.log_index))
    assert fetched > 10
    reorganised = {reorg.fork_number for reorg in conversation.records(Reorg)}
    for of_pool in places.values():
        falls = [later for before, later in pairwise(of_pool) if later <= before]
        assert len(falls) <= len(reorganised)


def test_feed_whose_node_never_tells_of_emitters_declares_what_is_missing_of_each_and_no_gap() -> None:
    conversation, _ = answered_with(OUT_OF_RANGE, 1e9)
    conversation.wait(HOLD_S + 1)
    missing: Counter[bytes] = Counter()
    for event in canonical_events().values():
        missing[event.pool] += 1
    last = last_declared(conversation)
    assert missing and missing.keys() <= last.keys()
    assert len(conversation.records(Gap)) == RECORDED_GAPS
    statistics = conversation.feed.count()
    assert statistics.events_published == 0
    assert statistics.quarantined_logs + statistics.lookalikes == statistics.event_logs
    ends = {end.hash: end for end in conversation.records(BlockEnd)}
    assert sum(end.held_back for end in ends.values()) > sum(missing.values())


def test_feed_whose_emitters_say_nothing_declares_no_gap() -> None:
    """Anybody can deploy a contract that answers nothing: it must not have a hole declared whenever it likes."""
    conversation, _ = answered_with(NOTHING, 1e9)
    assert not conversation.story.standing
    assert len(conversation.records(Gap)) == RECORDED_GAPS
    assert conversation.feed.count().quarantined_logs > 0


@pytest.mark.parametrize("instead", [NOTHING, ZERO, OUT_OF_RANGE, INTERNAL, RATE, b'"result":"0x12"', b'"result":null'])
def test_feed_whose_node_refuses_each_call_once_publishes_every_event(instead: bytes) -> None:
    conversation = Conversation(new_feed())
    conversation.core = core = RefusingOnce(recording(), instead)
    conversation.connect()
    conversation.play()
    conversation.wait(100, 0.5)
    assert len(core.refused) > 150
    if instead is ZERO:  # a token may have no decimals: nothing refutes that
        assert conversation.story.standing.keys() == canonical_events().keys()
    else:
        assert conversation.story.standing == canonical_events()
    assert not conversation.story.twice.total()
    assert len(conversation.records(Gap)) == RECORDED_GAPS
    assert_every_event_log_is_accounted_for(conversation.feed.count())


def test_feed_whose_node_has_each_state_ten_seconds_late_publishes_every_event() -> None:
    """Blocks come faster: whoever asks at the newest block each time never gets an answer."""
    conversation = Conversation(new_feed())
    conversation.core = LaggingState(recording(), conversation, 10)
    conversation.connect()
    conversation.play()
    conversation.wait(30, 0.5)
    assert conversation.story.standing == canonical_events()


def test_feed_whose_node_refuses_decimals_for_a_minute_tells_of_them_later() -> None:
    words = {f"{decimals:064x}".encode() for decimals in (6, 8, 18)}

    def answered(frame: bytes) -> list[bytes]:
        found = WORD.search(frame)
        if found and conversation.now_ns < 60 * SECOND and found.group()[-65:-1] in words:
            return [WORD.sub(INTERNAL, frame)]
        return [frame]

    conversation = Conversation(new_feed(), answered=answered)
    conversation.connect()
    conversation.play()
    conversation.wait(200, 0.5)
    states = conversation.records(PoolState)
    first = {state.pool: state for state in reversed(states)}
    last = {state.pool: state for state in states}
    assert any(state.decimals0 == 255 for state in first.values())
    smooth, _ = answered_with(b"", 0)
    expected = {state.pool: (state.decimals0, state.decimals1) for state in smooth.records(PoolState)}
    assert {state.pool: (state.decimals0, state.decimals1) for state in last.values()} == expected
    assert conversation.story.standing.keys() == canonical_events().keys()


@pytest.mark.parametrize("instead", [NOTHING, INTERNAL])
def test_feed_whose_node_says_nothing_does_not_ask_without_pauses(instead: bytes) -> None:
    conversation, asked = answered_with(instead, 1e9)
    pools, seconds = 49, conversation.now_ns / SECOND
    assert len(asked) < pools * 2 * (seconds / 1.5 + 6)
