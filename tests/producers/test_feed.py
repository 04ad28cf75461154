"""The feed against the recording node's core, on a virtual clock: what it publishes when the wire misbehaves."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from producers.assembly import LARGEST_STEP
from producers.blocks.block import Progress, ended_block
from producers.blocks.head_queue import DEEPEST_WALK
from producers.blocks.recovery import Recovered
from producers.chains.configuration import load_chain
from producers.kinds.events import EVENT_OF_TOPIC
from producers.kinds.selection import LogSelection
from producers.node.jsonrpc import ERROR_BUDGET, Rejection
from producers.output.epoch import OutputRing
from tests.producers.collected import canonical_events, proven_pools, recorded_rows, states_before_events
from tests.producers.virtual import Conversation, new_feed
from tlv.codes import Completeness, FeedState, Flag, Reason
from tlv.layout import BlockEnd, EventOrigin, Gap, Heartbeat, Reorg, Session, StateInvalidation, VenueName
from tlv.venues import VENUES
from tools.bench.collector.load import head_of, recorded_blocks, write_load
from tools.recording.recording import load_recording

CANONICAL = "recording_2021-04-20_canonical_logs"
KNOWN_GAPS = [(13522170, 13522174), (13522231, 13522238)]


def is_log(frame: bytes) -> bool:
    return b'"address"' in frame


def played(**options: Any) -> Conversation:
    conversation = Conversation(new_feed(), **options)
    conversation.connect()
    conversation.play()
    return conversation


def losing(share: float, seed: int) -> Callable[[bytes], list[bytes]]:
    chance = random.Random(seed)
    return lambda frame: [] if is_log(frame) and chance.random() < share else [frame]


def test_feed_at_recorded_pace_publishes_exactly_the_canonical_events() -> None:
    conversation = played()
    assert conversation.story.standing == canonical_events()
    assert not conversation.story.twice.total()
    assert not states_before_events(conversation.story)
    assert [(gap.first, gap.last) for gap in conversation.records(Gap)] == KNOWN_GAPS
    assert [(reorg.fork_number, reorg.depth) for reorg in conversation.records(Reorg)] == [
        (13522193, 1),
        (13522238, 1),
        (13522238, 2),
    ]


@pytest.mark.parametrize("seed", range(3))
def test_feed_that_loses_pushed_logs_fetches_them(seed: int) -> None:
    conversation = played(pushed=losing(0.05, seed))
    assert conversation.story.standing == canonical_events()
    statistics = conversation.feed.count()
    assert statistics.refetches > 0
    assert statistics.blocks_by_verdict["refetched"] > 10


def test_feed_without_any_pushed_log_still_has_every_event() -> None:
    conversation = played(pushed=lambda frame: [] if is_log(frame) else [frame])
    assert conversation.story.standing == canonical_events()


def test_feed_that_loses_heads_finds_them_by_parent_and_by_logs() -> None:
    chance = random.Random(5)
    conversation = played(pushed=lambda frame: [] if not is_log(frame) and chance.random() < 0.3 else [frame])
    assert conversation.story.standing == canonical_events()


def test_feed_whose_logs_of_one_block_come_five_blocks_late_has_fetched_them() -> None:
    held: list[bytes] = []

    def keep_back(frame: bytes) -> list[bytes]:
        if is_log(frame) and b'"0xce54c4"' in frame:
            held.append(frame)
            return []
        if is_log(frame) and b'"0xce54c9"' in frame and held:
            late, held[:] = list(held), []
            return [frame, *late]
        return [frame]

    conversation = played(pushed=keep_back)
    assert conversation.story.standing == canonical_events()
    assert not conversation.story.twice.total()
    assert conversation.feed.count().duplicates > 0


def test_feed_repairs_a_closed_block_loudly() -> None:
    conversation = Conversation(new_feed())
    conversation.connect()
    for _ in range(12):
        conversation.step()
    ended = conversation.records(BlockEnd)[-1]
    assert conversation.feed.safe_block is not None
    log = {
        "address": "0x" + "ab" * 20,
        "topics": ["0x" + "cd" * 32],
        "data": "0x",
        "blockNumber": hex(ended.number),
        "blockHash": "0x" + ended.hash.hex(),
        "transactionHash": "0x" + "ef" * 32,
        "transactionIndex": "0xfff",
        "logIndex": "0xfff",
    }
    subscription = conversation.feed._subscriptions.logs
    notice = {"method": "eth_subscription", "params": {"subscription": subscription, "result": log}}
    conversation.push([msgspec.json.encode(notice)])
    conversation.wait(1)
    assert conversation.feed.count().repairs == 1
    late = [record for record in conversation.records(StateInvalidation) if record.reason == Reason.LATE_LOGS]
    assert [record.since_block for record in late] == [ended.number]
    again = [end for end in conversation.records(BlockEnd) if end.hash == ended.hash]
    assert len(again) == 2
    assert again[1].verdict == Completeness.PUSHED  # the node's own list lacks the log that it pushed


def test_feed_with_much_to_publish_does_it_in_steps_and_in_order() -> None:
    """A hole holds 5,000 logs of a block back; when it is filled, no call of the feed publishes them all."""
    conversation = Conversation(new_feed())
    conversation.connect()
    below = conversation.feed._assembly.chain.head
    assert below is not None
    head = {
        "number": hex(below.number + 1),
        "hash": "0x" + "ab" * 32,
        "parentHash": below.hash,
        "timestamp": hex(below.timestamp + 2),
    }
    pool = next(iter(proven_pools()))
    log = next(row for row in map(msgspec.json.decode, recorded_rows(CANONICAL)) if row["address"] == pool)

    def push(subscription: str | None, results: list[dict[str, str]]) -> None:
        params = [{"subscription": subscription, "result": result} for result in results]
        notices = [{"jsonrpc": "2.0", "method": "eth_subscription", "params": each} for each in params]
        conversation.push([msgspec.json.encode(notice) for notice in notices])

    def push_logs(*indices: int) -> None:
        place = {"blockHash": head["hash"], "blockNumber": head["number"]}
        identities = [{"transactionHash": f"0x{index:064x}", "logIndex": hex(index)} for index in indices]
        push(conversation.feed._subscriptions.logs, [{**log, **place, **identity} for identity in identities])

    conversation.feed._subscriptions.heads_follow = True  # as if a head had come
    push(conversation.feed._subscriptions.heads, [head])
    block = conversation.feed._assembly.chain.head
    assert block is not None and block.progress is Progress.OPEN
    push_logs(0)
    before = conversation.feed.stats.events_published
    assert block.events == 1
    push_logs(*range(2, 5_001))
    assert block.events == 1
    push_logs(1)
    published = [block.events]
    while conversation.feed.unfinished:
        conversation.feed.tick(**conversation.clock)
        conversation.exchange()
        published.append(block.events)
    assert published == [*range(1 + LARGEST_STEP, 5_001, LARGEST_STEP), 5_001]
    assert conversation.feed.stats.events_published == before + 5_000
    origins = [message.first(EventOrigin) for message in conversation.story.messages]
    ours = [origin.log_index for origin in origins if origin and origin.block_hash.hex() == "ab" * 32]
    assert ours == list(range(5_001))


def test_feed_counts_duplicates_and_publishes_them_once() -> None:
    conversation = played(pushed=lambda frame: [frame, frame])
    assert conversation.story.standing == canonical_events()
    assert not conversation.story.twice.total()
    statistics = conversation.feed.count()
    assert statistics.duplicates > 5000
    assert statistics.duplicate_heads > 170


def test_feed_ignores_removed_notices_and_finds_the_reorg_itself() -> None:
    def doubt(frame: bytes) -> list[bytes]:
        return [frame, frame.replace(b'"removed":false', b'"removed":true')] if is_log(frame) else [frame]

    conversation = played(pushed=doubt)
    assert conversation.story.standing == canonical_events()
    assert conversation.feed.count().removed_notices > 5000


@pytest.mark.parametrize(
    ("noise", "reason"),
    [
        (b"", Rejection.NOT_JSON),
        (b"{", Rejection.NOT_JSON),
        (b"\xff\xfe", Rejection.NOT_JSON),
        (b'{"jsonrpc":"2.0"}', Rejection.NOT_RPC),
        (b'{"id":4711,"result":1}', Rejection.UNKNOWN_ID),
        (b'{"method":"eth_subscription","params":{"subscription":"0x99","result":{}}}', Rejection.UNKNOWN_SUBSCRIPTION),
        (b'{"method":"eth_subscription","params":7}', Rejection.NOT_RPC),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", Rejection.NOT_JSON),
        (b'{"a":NaN}', Rejection.NOT_JSON),
        (b'{"a":"\\ud800"}', Rejection.NOT_JSON),
    ],
)
def test_feed_with_noise_between_frames_loses_nothing(noise: bytes, reason: Rejection) -> None:
    budget = iter(range(50))

    def disturb(frame: bytes) -> list[bytes]:
        return [frame, noise] if next(budget, None) is not None else [frame]

    conversation = played(pushed=disturb)
    assert conversation.feed.broken is None
    assert conversation.feed.count().rejected[reason] == 50
    assert conversation.story.standing == canonical_events()


def pathologies() -> list[bytes]:
    """Everything that a real node was seen to send: the rows that are whole, and JSON."""
    with gzip.open(Path(__file__).parents[1] / "data" / "pathologies.jsonl.gz") as lines:
        payloads = [msgspec.json.decode(line)["payload"].encode() for line in lines]
    return [payload for payload in payloads if payload[:1] in b"{["]


def test_feed_among_the_pathologies_of_real_nodes_loses_nothing() -> None:
    rows = pathologies()
    assert len(rows) > 15
    supply = iter(rows)
    conversation = played(pushed=lambda frame: [row for row in [next(supply, None), frame] if row is not None])
    assert next(supply, None) is None, "all were sent"
    assert conversation.story.standing == canonical_events()
    assert not conversation.story.twice.total()
    assert sum(conversation.feed.count().rejected.values()) >= len(rows) // 2


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("blockHash", None),
        ("blockHash", "0xzz"),
        ("transactionHash", None),
        ("logIndex", None),
        ("logIndex", "0xg1"),
        ("logIndex", 7.5),
        ("logIndex", 7),  # 0x7 as some nodes spell it (test_rpc_types): a log of a place that another transaction has
        ("topics", None),
        ("topics", [None]),
        ("topics", "0x"),
        ("topics", ["0xzz"] * 3),
        ("address", None),
        ("address", "0x12"),
        ("data", 7),
    ],
)
def test_feed_with_a_log_that_is_none_behind_each_hundredth_loses_nothing(member: str, value: object) -> None:
    """Copies of real logs with one member spoilt, of a transaction that nobody knows."""
    count = 0

    def spoil(frame: bytes) -> list[bytes]:
        nonlocal count
        count += is_log(frame)
        if not is_log(frame) or count % 100:
            return [frame]
        notice = msgspec.json.decode(frame)
        notice["params"]["result"] |= {"transactionHash": "0x" + "ee" * 32, member: value}
        return [frame, msgspec.json.encode(notice)]

    conversation = played(pushed=spoil)
    assert count > 4000
    assert conversation.story.standing == canonical_events()
    assert not conversation.story.twice.total()
    assert conversation.feed.broken is None


def test_feed_flooded_before_its_subscriptions_are_answered_keeps_a_bounded_part() -> None:
    feed = new_feed()
    feed.connected(0, 0)
    params = {"subscription": "0x1", "result": "x" * (1 << 20)}
    flood = msgspec.json.encode({"jsonrpc": "2.0", "method": "eth_subscription", "params": params})
    feed.receive([flood] * 20, 0, 0)
    assert feed.count().rejected == {"unknown_subscription": 5}, "16 MiB hold 15: keeping one costs a little more"


@pytest.mark.parametrize("before", [[], [b"{"]], ids=["alone", "of-a-block-in-doubt"])
@pytest.mark.parametrize("spoil", ["0x", "0xzz", None])
def test_feed_with_data_of_proven_pools_garbled_on_its_way_asks_again_and_loses_nothing(
    spoil: str | None, before: list[bytes]
) -> None:
    """The node has the right log: what it pushed is disbelieved, and nothing behind it is published before that."""
    proven, garbled = proven_pools(), 0

    def garble(frame: bytes) -> list[bytes]:
        nonlocal garbled
        notice = msgspec.json.decode(frame)
        log = notice["params"]["result"]
        if not is_log(frame) or log["address"] not in proven or log["topics"][0] not in EVENT_OF_TOPIC:
            return [frame]
        garbled += 1
        if garbled % 7:
            return [frame]
        log["data"] = log["data"][:-64] if spoil is None else spoil
        return [*before, msgspec.json.encode(notice)]

    conversation = played(pushed=garble)
    assert garbled > 200
    assert conversation.story.standing == canonical_events()
    assert not conversation.story.twice.total()
    assert sum(conversation.feed.count().refused.values()) >= 20
    assert_order_of_the_chain(conversation)
    assert conversation.records(Gap) == played().records(Gap)


def test_feed_with_emitters_garbled_on_their_way_asks_again_and_loses_nothing() -> None:
    """Also where the block was closed, by a log of the next, before the garbled one was looked at."""
    proven, garbled = proven_pools(), 0

    def garble(frame: bytes) -> list[bytes]:
        nonlocal garbled
        notice = msgspec.json.decode(frame)
        log = notice["params"]["result"]
        if is_log(frame) and log["address"] in proven and log["topics"][0] in EVENT_OF_TOPIC:
            garbled += 1
            log["address"] = log["address"][:-1] + "g" if garbled % 7 == 0 else log["address"]
        return [msgspec.json.encode(notice)]

    conversation = played(pushed=garble)
    assert garbled > 200
    assert conversation.story.standing == canonical_events()
    assert not conversation.story.twice.total()


@pytest.mark.parametrize("share", [0.0, 0.05, 1.0])
def test_feed_publishes_each_pool_in_the_order_of_the_chain(share: float) -> None:
    """Whatever was lost and fetched again: a strategy that applies Syncs in ring order ends with the right reserves."""
    assert_order_of_the_chain(played(pushed=losing(share, 1)))


def assert_order_of_the_chain(conversation: Conversation) -> None:
    places: dict[bytes, list[tuple[int, int]]] = {}
    for message in conversation.story.messages:
        origin = message.first(EventOrigin)
        if origin is None:
            continue
        stand, place = places.setdefault(message.records[0].pool, []), (origin.block_number, origin.log_index)
        if message.header.flags & Flag.REMOVED:
            assert stand.pop() == place, "REMOVED copies go backwards"
        else:
            assert not stand or stand[-1] < place
            stand.append(place)


def test_feed_with_frames_joined_or_in_arrays_loses_nothing() -> None:
    kept: list[bytes] = []

    def join(frame: bytes) -> list[bytes]:
        kept.append(frame)
        if len(kept) < 3:
            return []
        several, kept[:] = list(kept), []
        return [several[0] + b"\n" + several[1], b"[" + several[2] + b"]"]

    conversation = Conversation(new_feed(), pushed=join)
    conversation.feed._rpc.rejected.update()
    conversation.connect()
    for _ in range(30):
        conversation.step()
        conversation.feed._rejected_before = conversation.feed._rpc.rejected.total()  # the budget is another test's
    rejected = conversation.feed.count().rejected
    assert rejected[Rejection.SEVERAL_OBJECTS] > 100
    assert rejected[Rejection.BATCH] > 100
    assert set(rejected) == {Rejection.SEVERAL_OBJECTS, Rejection.BATCH}
    assert conversation.feed.count().logs_received > 300


def test_feed_with_too_much_noise_gives_up_the_connection() -> None:
    conversation = Conversation(new_feed())
    conversation.connect()
    conversation.push([b"{"] * ERROR_BUDGET)
    assert conversation.feed.broken is None
    conversation.push([b"{"])
    assert conversation.feed.broken is not None
    conversation.disconnect()
    conversation.connect()
    assert conversation.feed.broken is None


def test_feed_on_another_chain_says_so() -> None:
    def lie(frame: bytes) -> list[bytes]:
        return [frame.replace(b'"0x89"', b'"0x1"')]

    conversation = Conversation(new_feed(), answered=lie)
    conversation.connect()
    assert conversation.feed.wrong_chain is None, "one answer condemns nobody"
    conversation.wait(6)
    assert conversation.feed.wrong_chain == "expected chain 137 (polygon), found 1"
    assert conversation.feed.broken is not None and not conversation.feed.replaced


def test_feed_whose_subscription_is_refused_gives_up_the_connection() -> None:
    def refuse(frame: bytes) -> list[bytes]:
        answer = msgspec.json.decode(frame)
        if answer["id"] == 2:
            answer = {"id": 2, "error": {"code": -32000, "message": "notifications not supported"}}
        return [msgspec.json.encode(answer)]

    conversation = Conversation(new_feed(), answered=refuse)
    conversation.connect()
    assert "notifications not supported" in (conversation.feed.broken or "")


def test_feed_disconnected_invalidates_and_resumes_without_loss() -> None:
    conversation = Conversation(new_feed())
    conversation.connect()
    chance, away = random.Random(3), 0
    while True:
        if conversation.client is not None and chance.random() < 0.1:
            conversation.disconnect()
            away = chance.randint(0, 10)
        elif conversation.client is None:
            away -= 1
            if away < 0:
                conversation.connect()
        if not conversation.step():
            break
    if conversation.client is None:
        conversation.connect()
    conversation.play()
    assert conversation.story.standing == canonical_events()
    assert not conversation.story.twice.total()
    lost = [record for record in conversation.records(StateInvalidation) if record.reason == Reason.DISCONNECTED]
    assert len(lost) > 5
    assert any(message.header.flags & Flag.BACKFILL for message in conversation.story.messages)


def test_feed_whose_node_cannot_list_a_block_declares_a_gap() -> None:
    """Logs of one block are neither pushed nor answered: after its patience the feed says so, and goes on."""
    block_hash = b"0x1f4a"
    conversation = Conversation(new_feed())
    conversation.connect()
    for _ in range(6):
        conversation.step()
    head = conversation.feed._assembly.chain.head
    assert head is not None
    block_hash = head.hash.encode()
    asked: set[int] = set()

    def silence(frame: bytes) -> list[bytes]:
        return [] if block_hash in frame and is_log(frame) else [frame]

    def unknown(frame: bytes) -> list[bytes]:
        if is_log(frame) and block_hash in frame:
            asked.add(msgspec.json.decode(frame)["id"])
            error = {"id": max(asked), "error": {"code": -32000, "message": "unknown block"}}
            return [msgspec.json.encode(error)]
        return [frame]

    fresh = Conversation(new_feed(), pushed=silence, answered=unknown)
    fresh.connect()
    fresh.play()
    fresh.wait(60)
    assert (head.number, head.number) in fresh.feed.count().gaps
    assert len(asked) > 10
    lost = block_hash.decode()[2:]
    expected = {key: record for key, record in canonical_events().items() if key[0].hex() != lost}
    assert fresh.story.standing == expected


def test_feed_whose_node_left_a_block_behind_declares_no_gap() -> None:
    """The logs of a block cannot be had, and at its height the node has another: it will be replaced, not missed."""
    scout = Conversation(new_feed())
    scout.connect()
    for _ in range(6):
        scout.step()
    head = scout.feed._assembly.chain.head
    assert head is not None
    left = head.hash.encode()
    refused = 0

    def answer(frame: bytes) -> list[bytes]:
        nonlocal refused
        if left not in frame:
            return [frame]
        refused += 1
        said: dict[str, Any] = {"error": {"code": -32000, "message": "unknown block"}} if is_log(frame) else {}
        return [msgspec.json.encode({"id": msgspec.json.decode(frame)["id"], **(said or {"result": None})})]

    conversation = Conversation(
        new_feed(), pushed=lambda frame: [] if left in frame and is_log(frame) else [frame], answered=answer
    )
    conversation.connect()
    for _ in range(12):
        conversation.step()
    conversation.wait(100)
    assert refused > 20
    assert conversation.records(Gap) == []
    assert conversation.feed.count().safe_number == head.number - 1


@pytest.mark.parametrize("away", [600, DEEPEST_WALK + 100], ids=["more-than-it-keeps", "more-than-it-walks"])
def test_feed_away_for_long_has_every_block_it_walks_back_to_and_declares_the_rest(tmp_path: Path, away: int) -> None:
    """256 blocks are kept for reorgs, more while they are still to be told; 4,096 parents of a head are fetched."""
    write_load(tmp_path, [recorded_blocks()[0][:1]], away + 1)
    feed = new_feed(recovered=Recovered([ended_block(head_of(1), Completeness.REFETCHED)], [], []))
    conversation = Conversation(feed, served=load_recording(tmp_path, 137))
    while conversation.core.due_ns is not None:
        conversation.core.step()
    conversation.connect()
    conversation.wait(1)
    first = max(2, away + 2 - DEEPEST_WALK)
    assert [(gap.first, gap.last) for gap in conversation.records(Gap)] == ([(2, first - 1)] if first > 2 else [])
    ended = [end.number for end in conversation.records(BlockEnd)]
    assert ended == list(range(first, away + 2))
    assert feed.count().logs_received == len(ended)


def test_feed_drops_a_head_that_the_node_left_behind() -> None:
    """Its parent cannot be had, and the node does not stand on it: neither a hole nor a reorg."""
    conversation = Conversation(new_feed())
    conversation.connect()
    for _ in range(6):
        conversation.step()
    head = conversation.feed._assembly.chain.head
    assert head is not None
    strange = {
        "number": hex(head.number + 2),
        "hash": "0x" + "ab" * 32,
        "parentHash": "0x" + "cd" * 32,
        "timestamp": hex(head.timestamp),
    }
    params = {"subscription": conversation.feed._subscriptions.heads, "result": strange}
    notice = {"jsonrpc": "2.0", "method": "eth_subscription", "params": params}
    conversation.push([msgspec.json.encode(notice)])
    conversation.wait(5)
    for _ in range(6):
        conversation.step()
    assert conversation.records(Gap) == []
    assert conversation.records(Reorg) == []
    assert conversation.feed.head_number > head.number


def test_feed_whose_node_numbers_a_block_against_its_parent_refuses_it() -> None:
    """A header whose number is not its parent's + 1: counted, and the older block of that number stays."""
    conversation = Conversation(new_feed())
    conversation.connect()
    for _ in range(12):
        conversation.step()
    chain = conversation.feed._assembly.chain
    assert chain.head is not None
    replaced = chain.canonical[chain.head.number - 3]
    assert replaced.progress is Progress.CLOSED
    strange = {"number": hex(replaced.number), "hash": "0x" + "ab" * 32, "parentHash": chain.head.hash}
    for head in (strange, msgspec.to_builtins(replaced.head)):
        params = {"subscription": conversation.feed._subscriptions.heads, "result": head}
        conversation.push([msgspec.json.encode({"method": "eth_subscription", "params": params})])
    assert chain.is_canonical(replaced) and replaced.progress is Progress.CLOSED
    assert conversation.feed.count().unfit_members == {"bad_head: number is not that of its parent and 1": 1}
    assert conversation.records(Reorg) == []
    conversation.play()
    assert conversation.feed.broken is None
    assert conversation.feed.head_number == conversation.feed.count().safe_number == 13522298


def test_feed_says_the_names_of_its_venues_right_behind_its_session() -> None:
    conversation = played()
    venues = conversation.records(VenueName)
    behind = [message.records[0] for message in conversation.story.messages[1 : 1 + len(venues)]]
    assert behind == venues
    chain = load_chain("polygon")
    assert {(venue.code, venue.name) for venue in venues} == {
        (factory.venue_code, VENUES.name_of(factory.venue_code)) for factory in chain.factories
    }


def test_feed_begins_with_its_session_and_keeps_beating() -> None:
    conversation = played()
    first = conversation.story.messages[0]
    assert isinstance(first.records[0], Session)
    assert first.header.sequence == 1
    beats = conversation.records(Heartbeat)
    assert len(beats) > 300  # the sessions take some six minutes
    assert beats[-1].feed_state == FeedState.LIVE
    assert beats[-1].head_number == beats[-1].safe_number == 13522298


def test_feed_in_a_later_epoch_invalidates_what_readers_know() -> None:
    conversation = Conversation(new_feed(ring=OutputRing(bytes(16), 2, 500)))
    conversation.connect()
    assert conversation.story.messages[0].header.sequence == 500
    invalidations = conversation.records(StateInvalidation)
    assert [record.reason for record in invalidations] == [Reason.WRITER_RESTARTED]


@pytest.mark.parametrize(
    "selection",
    [LogSelection(events_only=True), LogSelection(addresses=("0x853ee4b2a13f8a742d64c8f088be7ba2131f670d",))],
    ids=["events-only", "one-pool"],
)
def test_feed_with_a_filter_publishes_what_passes_it(selection: LogSelection) -> None:
    conversation = Conversation(new_feed(selection=selection))
    conversation.connect()
    conversation.play()
    wanted = {bytes.fromhex(address[2:]) for address in selection.addresses}
    expected = {key: record for key, record in canonical_events().items() if not wanted or record.pool in wanted}
    assert conversation.story.standing == expected
    assert expected
    assert conversation.feed.count().logs_received < 1500


def test_feed_counts_every_time_that_the_socket_held_something() -> None:
    feed = new_feed()
    feed.connected(0, 0)
    before = feed.counts().frames
    for _ in range(3):
        feed.receive([b"{}"], now_ns=0, wall_ns=0)
    assert feed.counts().frames == before + 3


def test_heartbeats_tell_the_state_of_the_connection() -> None:
    mute = Conversation(new_feed(), answered=lambda _: [])
    mute.connect()
    mute.wait(3)
    assert {beat.feed_state for beat in mute.records(Heartbeat)[1:]} == {FeedState.BACKFILLING}
    conversation = played()
    assert conversation.records(Heartbeat)[-1].feed_state == FeedState.LIVE
    conversation.disconnect()
    before = len(conversation.records(Heartbeat))
    conversation.wait(3)
    assert {beat.feed_state for beat in conversation.records(Heartbeat)[before:]} == {FeedState.DISCONNECTED}


def test_feed_asks_nothing_while_it_is_disconnected() -> None:
    conversation = played()
    conversation.disconnect()
    conversation.feed.ask_newest()
    assert conversation.feed.requests() == []
    conversation.connect()
    conversation.feed.ask_newest()
    assert conversation.feed.requests() != []


def test_events_are_there_before_the_end_of_the_block_below_and_in_the_same_order() -> None:
    whole, halves = Conversation(new_feed()), Conversation(new_feed())
    early = 0
    for conversation in (whole, halves):
        conversation.connect()
    for _ in range(40):
        whole.step()
        halves.wait(max(0.0, ((halves.core.due_ns or 0) - halves.now_ns) / 1e9), 0.25)
        for delivery in halves.core.step():
            if delivery.client == halves.client:
                halves.feed.take(list(delivery.texts), **halves.clock)
                before = len(halves.story.messages)
                halves._read()
                behind = len(halves.story.messages)
                halves.feed.finish()
                halves.exchange()
                first, second = halves.story.messages[before:behind], halves.story.messages[behind:]
                assert not any(message.first(BlockEnd) for message in first)
                has_events = any(message.first(EventOrigin) for message in first)
                early += has_events and any(message.first(BlockEnd) for message in second)
    assert early, "no delivery had both"
    sequences = [message.header.sequence for message in halves.story.messages]
    assert sequences == list(range(1, len(sequences) + 1))
    assert whole.story.standing == halves.story.standing
