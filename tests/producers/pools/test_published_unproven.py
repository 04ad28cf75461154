"""`--unproven publish`: events of emitters that nobody can prove in time are published flagged, and then?

Each emitter's way ends in one of three: proven (they stand, and a record says so), proven to be none (taken back),
never proven (they stand flagged).
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import msgspec
import pytest

from producers.blocks.recovery import recover
from producers.output.epoch import OutputRing
from producers.output.event_filter import EventFilter
from producers.pools.quarantine import HOLD_S
from tests.producers.collected import Story, canonical_events, exchanged_pairs, proven_pools
from tests.producers.pools.accounts import assert_every_event_log_is_accounted_for
from tests.producers.pools.test_unanswered_emitters import INTERNAL
from tests.producers.swap_accounts import assert_no_swap_is_uncounted
from tests.producers.virtual import SECOND, Conversation, new_feed, recording
from tlv.codes import EmitterProof, Flag, NotPublished
from tlv.layout import BlockEnd, EventOrigin, Gap, PoolRecord, PoolState, Reorg, Unproven
from tools.recording.core import NodeCore
from tools.recording.recording import Recording

RECORDED_GAPS = 2
CURVE_SWAPS = 3
"""They name coins by index: until the pool is proven nobody knows which, so they are not published flagged."""
NO_ADDRESS = b'"result":"0x' + b"ff" * 32 + b'"'


class SilentState(NodeCore):
    """A node that answers no eth_call for so long, and `instead` of what it knows from then on."""

    def __init__(self, served: Recording, conversation: Conversation, silent_s: float, instead: bytes | None) -> None:
        super().__init__(served)
        self.silent_s = silent_s
        self._conversation, self._instead = conversation, instead

    def receive(self, frame: bytes, client: int | None = None) -> bytes | None:
        request = msgspec.json.decode(frame)
        if request["method"] == "eth_call":
            if self._conversation.now_ns < self.silent_s * SECOND:
                return b'{"jsonrpc":"2.0","id":%d,%b}' % (request["id"], INTERNAL)
            if self._instead is not None:
                return b'{"jsonrpc":"2.0","id":%d,%b}' % (request["id"], self._instead)
        return super().receive(frame, client)


def played(silent_s: float, instead: bytes | None = None, **options: object) -> Conversation:
    """The whole recording, of a node that says nothing of emitters for so long, and some minutes more."""
    conversation = Conversation(new_feed(publish_unproven=True, **options))
    conversation.core = SilentState(recording(), conversation, silent_s, instead)
    conversation.connect()
    conversation.play()
    return conversation


def flagged(story: Story) -> Counter[bytes]:
    """The flagged events that stand, by emitter."""
    standing: dict[tuple[bytes, bytes, int], bytes] = {}
    for message in story.messages:
        origin = message.first(EventOrigin)
        if origin is not None:
            identity = (origin.block_hash, origin.transaction_hash, origin.log_index)
            standing.pop(identity, None)
            record = message.records[0]
            assert isinstance(record, PoolRecord)
            if message.header.flags & Flag.UNPROVEN and not message.header.flags & Flag.REMOVED:
                standing[identity] = record.pool
    return Counter(standing.values())


def last_of(conversation: Conversation) -> dict[bytes, Unproven]:
    return {record.emitter: record for record in conversation.records(Unproven)}


def assert_ends_count_what_stands(story: Story) -> None:
    """The last end of each block names so many events as stand of it."""
    ends = {record.hash: record for message in story.messages for record in message.records if type(record) is BlockEnd}
    standing = Counter(block_hash for block_hash, _, _ in story.standing)
    assert {block: ends[block].event_count for block in standing} == dict(standing)


def test_feed_that_publishes_unproven_events_flags_them_behind_their_record_and_in_order() -> None:
    conversation = played(1e9)
    conversation.wait(HOLD_S + 1)
    story, events = conversation.story, canonical_events()
    untold = {record.pool for identity, record in events.items() if identity not in story.standing}
    assert untold == {row.pool for row in exchanged_pairs().values()}, (
        "a swap that names coins is told once it is proven"
    )
    assert not story.twice.total()
    declared: set[bytes] = set()
    places: dict[bytes, list[tuple[int, int]]] = {}
    reorganised = len(conversation.records(Reorg))
    for message in story.messages:
        record, origin = message.records[0], message.first(EventOrigin)
        if isinstance(record, Unproven):
            declared.add(record.emitter)
        if origin is None:
            continue
        assert isinstance(record, PoolRecord)
        assert message.header.flags & Flag.UNPROVEN and record.pool in declared
        assert (record.token0, record.token1, record.venue, record.decimals0) == (bytes(20), bytes(20), 0, 255)
        if not message.header.flags & Flag.REMOVED:
            places.setdefault(record.pool, []).append((origin.block_number, origin.log_index))
    for of_pool in places.values():
        assert sum(later <= before for before, later in pairwise(of_pool)) <= reorganised
    statistics = conversation.feed.count()
    assert statistics.quarantined_logs == CURVE_SWAPS and statistics.unproven_events > len(events)
    assert statistics.unproven_events + statistics.lookalikes + CURVE_SWAPS == statistics.event_logs
    assert_every_event_log_is_accounted_for(statistics)
    assert sum({end.hash: end.held_back for end in conversation.records(BlockEnd)}.values()) == CURVE_SWAPS
    assert len(conversation.records(Gap)) == RECORDED_GAPS and not conversation.records(PoolState)
    assert_ends_count_what_stands(story)
    assert_no_swap_is_uncounted(conversation.payloads, recording().logs)


def test_feed_whose_emitters_are_proven_later_confirms_what_it_flagged_and_tells_nothing_twice() -> None:
    conversation = played(60)
    conversation.wait(150, 0.5)
    story, events = conversation.story, canonical_events()
    assert not story.twice.total()
    of_pools = {bytes.fromhex(pool[2:42]) for pool in proven_pools() | exchanged_pairs()}
    assert {identity for identity, record in story.standing.items() if record.pool in of_pools} == events.keys()
    last, stands = last_of(conversation), flagged(story)
    confirmed = {emitter for emitter, record in last.items() if record.standing == EmitterProof.POOL}
    assert confirmed and {pool for pool in stands if pool in of_pools} <= confirmed
    assert confirmed <= {state.pool for state in conversation.records(PoolState)}, "readers hear who they are"
    for emitter in confirmed & stands.keys():
        assert last[emitter].held_back == 0 and last[emitter].marked == stands[emitter]
    assert any(not message.header.flags & Flag.UNPROVEN for message in story.messages if message.first(EventOrigin))
    assert_every_event_log_is_accounted_for(conversation.feed.count())
    assert_ends_count_what_stands(story)
    assert_no_swap_is_uncounted(conversation.payloads, recording().logs)
    assert conversation.feed.settled


def test_feed_whose_emitters_turn_out_to_be_no_pools_takes_back_what_it_flagged() -> None:
    """Every contract says that its first token is no address."""
    conversation = played(1e9, NO_ADDRESS)
    assert flagged(conversation.story).total() > 100
    conversation.core.silent_s = 0
    conversation.wait(150, 0.5)
    story, statistics = conversation.story, conversation.feed.count()
    last = last_of(conversation)
    assert not story.standing and not flagged(story) and not story.twice.total()
    assert {record.standing for record in last.values()} == {EmitterProof.NO_POOL}
    assert all((record.held_back, record.marked) == (0, 0) for record in last.values())
    assert statistics.retracted_events > 100 and statistics.unproven_events == 0
    assert statistics.lookalikes == statistics.event_logs
    assert_every_event_log_is_accounted_for(statistics)
    ends = {end.hash: end for end in conversation.records(BlockEnd)}
    assert all(end.event_count == 0 for end in ends.values()), "blocks ended anew"
    left_open = sum(end.held_back for end in ends.values())
    assert left_open <= CURVE_SWAPS, "blocks without flagged events stay ended"
    account = assert_no_swap_is_uncounted(conversation.payloads, recording().logs)
    against = NotPublished.NO_POOL, NotPublished.UNSUPPORTED
    assert account.swaps == sum(found.swaps[reason] for found in account.emitters.values() for reason in against) > 100
    # Of a block that stays ended the collector counted its swaps as unproven; the account hears of their emitter later.
    assert statistics.swaps_no_pool + statistics.swaps_unsupported + left_open == account.swaps
    assert statistics.swaps_unproven == CURVE_SWAPS
    assert conversation.feed.settled


def test_events_that_a_filter_hides_while_unproven_are_told_in_order_when_their_tokens_are_known() -> None:
    """By token nothing is shown of an emitter without tokens; so all of it comes when it is proven, unflagged."""
    pools = proven_pools()
    token = next(iter(pools.values())).token0
    wanted = EventFilter(tokens=(f"0x{token.hex()}",))
    conversation = Conversation(new_feed(publish_unproven=True))
    conversation.feed.filter_events(wanted)
    conversation.core = SilentState(recording(), conversation, 60, None)
    conversation.connect()
    conversation.play()
    conversation.wait(150, 0.5)
    expected = {at: event for at, event in canonical_events().items() if token in (event.token0, event.token1)}
    assert expected and conversation.story.standing == expected
    assert not flagged(conversation.story) and not conversation.story.twice.total()
    emitters = assert_no_swap_is_uncounted(conversation.payloads, recording().logs).emitters.values()
    reasons = {reason for found in emitters for reason in found.swaps}
    assert NotPublished.FILTERED in reasons
    assert_every_event_log_is_accounted_for(conversation.feed.count())


@pytest.mark.parametrize("instead", [None, NO_ADDRESS])
def test_collector_that_restarts_asks_on_about_what_was_flagged(instead: bytes | None) -> None:
    first = played(1e9)
    first.wait(HOLD_S + 1)
    flagged_before = flagged(first.story)
    assert flagged_before
    payloads = first.payloads
    ring = OutputRing(bytes(16), 2, len(payloads) + 1)
    second = Conversation(new_feed(publish_unproven=True, ring=ring, recovered=recover(payloads)))
    second.story = first.story
    second.now_ns = first.now_ns
    second.core = SilentState(recording(), second, 0, instead)
    while second.core.due_ns is not None:
        second.core.step()
    second.connect()
    second.wait(130, 0.5)
    last = last_of(second)
    kept = {record.emitter for record in last.values() if record.standing != EmitterProof.UNKNOWN}
    assert kept
    stands = flagged(second.story)
    if instead is None:
        of_pools = {bytes.fromhex(pool[2:]) for pool in proven_pools()} & flagged_before.keys()
        assert all(last[pool].standing == EmitterProof.POOL for pool in of_pools)
        assert all(stands[pool] == flagged_before[pool] for pool in of_pools)
    else:
        assert not stands
    assert not second.story.twice.total()
    assert_no_swap_is_uncounted([*payloads, *second.payloads], recording().logs)
    assert second.feed.count().unproven_events == sum(stands[pool] for pool in stands if pool not in kept)
