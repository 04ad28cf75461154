"""The second endpoint that disagrees, is silent, or serves something else: the real feed on a virtual clock."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from producers.blocks.block import Block
from producers.blocks.cross_check import PATIENCE_NS, SILENCES
from producers.kinds.selection import LogSelection
from producers.node.jsonrpc import ERROR_BUDGET, Rejection
from producers.node.rpc_types import Head
from tests.producers.collected import Identity, canonical_events
from tests.producers.virtual import SECOND, Conversation, Tamper, knowing_all, new_feed
from tlv.codes import Completeness, Reason
from tlv.layout import BlockEnd, Gap, StateInvalidation

Wanted = Callable[[dict[str, Any]], bool]


def an_event() -> Identity:
    """An event with other logs before and behind it in its block, in the middle of the recording."""
    return sorted(canonical_events(), key=lambda identity: (identity[2] == 0, identity))[100]


def is_event(identity: Identity) -> Wanted:
    """Whether a log is the event of this identity."""
    block, transaction, index = identity
    name = ("0x" + block.hex(), "0x" + transaction.hex(), hex(index))
    return lambda log: (log["blockHash"], log["transactionHash"], log["logIndex"]) == name


def withholding(wanted: Wanted) -> Tamper:
    """Pushes and lists every log but those."""

    def tamper(frame: bytes) -> list[bytes]:
        message = msgspec.json.decode(frame)
        pushed = message.get("params", {}).get("result", {})
        if "address" in pushed and wanted(pushed):
            return []
        result = message.get("result")
        if isinstance(result, list) and any(map(wanted, result)):
            return [msgspec.json.encode({**message, "result": [log for log in result if not wanted(log)]})]
        return [frame]

    return tamper


def played(**options: Any) -> Conversation:
    feed = new_feed(cross_check_share=1.0, selection=options.pop("selection", LogSelection()))
    conversation = Conversation(feed, **options)
    conversation.connect()
    conversation.play()
    return conversation


def ends_of(conversation: Conversation, block: bytes) -> list[BlockEnd]:
    return [end for end in conversation.records(BlockEnd) if end.hash == block]


def late_blocks(conversation: Conversation) -> list[int]:
    told = conversation.records(StateInvalidation)
    return [record.since_block for record in told if record.reason == Reason.LATE_LOGS]


def test_log_that_only_the_second_endpoint_lists_is_published() -> None:
    missing = an_event()
    lossy = withholding(is_event(missing))
    alone = Conversation(new_feed(), pushed=lossy, answered=lossy)
    alone.connect()
    alone.play()
    assert missing not in alone.story.standing  # the header shows that something is missing, and only another has it
    place = [end.number for end in played(second=knowing_all()).records(BlockEnd) if end.hash == missing[0]][-1]
    assert (place, place) in [(gap.first, gap.last) for gap in alone.records(Gap)]
    assert ends_of(alone, missing[0]) == []

    conversation = played(pushed=lossy, answered=lossy, second=knowing_all())
    assert conversation.story.standing == canonical_events()
    statistics = conversation.feed.count()
    assert statistics.cross_check_finds == 1
    assert statistics.cross_check_shortfalls == 0
    assert ends_of(conversation, missing[0])[-1].verdict == Completeness.CROSS_CHECKED
    assert late_blocks(conversation) == [], "what contradicts its header is not ended before another was asked"


def test_block_of_which_the_first_endpoint_lists_nothing_is_found_whole() -> None:
    block = "0x" + an_event()[0].hex()
    lossy = withholding(lambda log: log["blockHash"] == block)
    conversation = played(pushed=lossy, answered=lossy, second=knowing_all())
    assert conversation.story.standing == canonical_events()
    end = ends_of(conversation, an_event()[0])[-1]
    assert end.verdict == Completeness.CROSS_CHECKED
    assert conversation.feed.count().cross_check_finds == end.log_count > 1


@pytest.mark.parametrize("spelt", ["0x12", "0x", "0xzz", "0x" + "ab" * 40])
def test_second_endpoint_that_spells_a_transaction_as_no_hash_adds_nothing(spelt: str) -> None:
    misspelt = is_event(an_event())

    def spell(frame: bytes) -> list[bytes]:
        message = msgspec.json.decode(frame)
        for log in message["result"] if isinstance(message.get("result"), list) else []:
            log["transactionHash"] = spelt if misspelt(log) else log["transactionHash"]
        return [msgspec.json.encode(message)]

    conversation = played(second=knowing_all(spell))
    assert conversation.story.standing == canonical_events()
    assert conversation.feed.count().cross_checks > 100


def test_second_endpoint_that_lists_fewer_confirms_nothing() -> None:
    missing = an_event()
    second = knowing_all(withholding(is_event(missing)))
    conversation = played(second=second)
    assert conversation.story.standing == canonical_events()
    statistics = conversation.feed.count()
    assert statistics.cross_check_shortfalls == 1
    assert statistics.cross_check_finds == 0
    assert [end.verdict for end in ends_of(conversation, missing[0])] == [Completeness.TOMBSTONE]
    assert late_blocks(conversation) == []


def test_endpoints_that_each_lack_another_log_are_merged_and_neither_is_believed() -> None:
    """The same number of logs, not the same logs."""
    missing = an_event()
    block = "0x" + missing[0].hex()
    lossy = withholding(is_event(missing))
    second = knowing_all(withholding(lambda log: log["blockHash"] == block and log["logIndex"] == "0x0"))
    conversation = played(pushed=lossy, answered=lossy, second=second)
    assert missing[2] > 0
    assert conversation.story.standing == canonical_events()
    statistics = conversation.feed.count()
    assert statistics.cross_check_finds == statistics.cross_check_shortfalls == 1
    assert ends_of(conversation, missing[0])[-1].verdict == Completeness.PUSHED
    assert late_blocks(conversation) == []


def test_late_opinion_is_a_repair_of_a_block_that_has_ended() -> None:
    """Without bloom filters nothing shows that the last log of a block is missing."""
    block = an_event()[0]
    missing = max(identity for identity in canonical_events() if identity[0] == block)
    lossy = withholding(
        lambda log: log["blockHash"] == "0x" + missing[0].hex() and int(log["logIndex"], 16) >= missing[2]
    )
    answers: list[bytes] = []

    def plain(frame: bytes) -> list[bytes]:
        return [re.sub(rb'"logsBloom":"0x[0-9a-f]+",?', b"", each) for each in lossy(frame)]

    def slowly(request: bytes) -> list[bytes]:
        if b"eth_getLogs" not in request or missing[0].hex().encode() not in request:
            return everything(request)
        answers.extend(everything(request))
        return []

    everything = knowing_all()
    conversation = Conversation(new_feed(cross_check_share=1.0), pushed=plain, answered=plain, second=slowly)
    conversation.connect()
    while not answers:
        conversation.step()
    for _ in range(6):
        conversation.step()
    assert len(ends_of(conversation, missing[0])) == 1
    conversation.feed.receive_second(answers, **conversation.clock)
    conversation.play()
    assert conversation.story.standing == canonical_events()
    first, second = ends_of(conversation, missing[0])
    assert first.verdict != Completeness.CROSS_CHECKED == second.verdict
    assert second.log_count > first.log_count
    assert late_blocks(conversation) == [first.number]


def test_opinions_that_come_after_a_reorg_change_nothing() -> None:
    """Every answer comes three blocks late: by then some of the blocks have left the chain."""
    everything, waiting = knowing_all(), list[list[bytes]]()

    def late(request: bytes) -> list[bytes]:
        if b"eth_getLogs" not in request:
            return everything(request)
        waiting.append(everything(request))
        return []

    conversation = Conversation(new_feed(cross_check_share=1.0), second=late)
    conversation.connect()
    while conversation.step():
        while len(waiting) > 3:
            conversation.feed.receive_second(waiting.pop(0), **conversation.clock)
    conversation.play()
    assert len(conversation.feed.count().reorgs) == 3
    assert conversation.story.standing == canonical_events()
    assert not conversation.story.twice.total()
    assert conversation.feed.count().cross_check_finds == 0


def test_second_endpoint_of_another_chain_is_asked_nothing() -> None:
    asked: list[bytes] = []
    everything = knowing_all(lambda frame: [frame.replace(b'"0x89"', b'"0x1"')])

    def answer(request: bytes) -> list[bytes]:
        asked.append(request)
        return everything(request)

    conversation = played(second=answer)
    assert conversation.feed.second_broken == "expected chain 137, found 1"
    assert len(asked) == 1
    assert conversation.story.standing == canonical_events()
    assert conversation.feed.count().blocks_by_verdict["cross_checked"] == 0


def test_second_endpoint_that_knows_no_block_confirms_no_empty_one() -> None:
    """Some nodes answer `[]` for a block that they do not have."""

    def ignorant(request: bytes) -> list[bytes]:
        asked = msgspec.json.decode(request)
        result = {"eth_chainId": "0x89", "eth_getLogs": []}.get(asked["method"])
        return [msgspec.json.encode({"id": asked["id"], "result": result})]

    one_pool = LogSelection(addresses=("0x853ee4b2a13f8a742d64c8f088be7ba2131f670d",))
    conversation = played(selection=one_pool, second=ignorant)
    statistics = conversation.feed.count()
    assert statistics.cross_checks > 150
    assert sum(end.log_count == 0 for end in conversation.records(BlockEnd)) > 100
    assert statistics.blocks_by_verdict["cross_checked"] == 0

    knowing = played(selection=one_pool, second=knowing_all()).feed.count()
    assert knowing.blocks_by_verdict["cross_checked"] > 150


def test_second_endpoint_with_logs_of_other_blocks_gives_no_opinion() -> None:
    """Or with logs that say nothing of where they stand, or with no logs at all."""

    def garble(frame: bytes) -> list[bytes]:
        frame = frame.replace(b'"blockHash":"0x', b'"blockHash":"0xff')
        return [frame.replace(b'"transactionHash":', b'"nothing":')]

    conversation = played(second=knowing_all(garble))
    assert conversation.story.standing == canonical_events()
    statistics = conversation.feed.count()
    assert statistics.cross_check_rejected[Rejection.BAD_LOG] > 100
    assert statistics.cross_check_finds == statistics.cross_check_shortfalls == 0
    assert statistics.rejected == {}
    assert conversation.feed.broken is None


def test_second_endpoint_that_refuses_changes_nothing() -> None:
    def refuse(request: bytes) -> list[bytes]:
        asked = msgspec.json.decode(request)
        if asked["method"] == "eth_chainId":
            return [msgspec.json.encode({"id": asked["id"], "result": "0x89"})]
        return [msgspec.json.encode({"id": asked["id"], "error": {"code": -32000, "message": "unknown block"}})]

    conversation = played(second=refuse)
    assert conversation.story.standing == canonical_events()
    assert conversation.feed.settled
    statistics = conversation.feed.count()
    assert statistics.cross_checks > 150
    assert statistics.blocks_by_verdict["cross_checked"] == 0


def test_silent_second_endpoint_delays_all_ends_together_and_is_given_up() -> None:
    """Two dozen blocks wait for it at the same time: not each for the one before."""

    def silent(request: bytes) -> list[bytes]:
        return everything(request) if b"eth_chainId" in request else []

    everything = knowing_all()
    conversation = Conversation(new_feed(cross_check_share=1.0), second=silent)
    conversation.connect()
    for _ in range(4):
        conversation.step()
    conversation.disconnect()
    for _ in range(160):
        conversation.step()
    conversation.connect()
    conversation.wait(0.5)
    held = len(conversation.records(BlockEnd))
    conversation.wait(PATIENCE_NS / SECOND)
    assert len(conversation.records(BlockEnd)) - held > 20
    assert conversation.feed.count().safe_number == conversation.feed.head_number
    assert conversation.feed.second_broken is None
    conversation.wait(12)
    assert conversation.feed.second_broken == f"{SILENCES} questions without an answer"


def test_second_endpoint_lost_in_the_middle_holds_nothing_up() -> None:
    conversation = Conversation(new_feed(cross_check_share=1.0), second=knowing_all())
    conversation.connect()
    for _ in range(40):
        conversation.step()
    conversation._second = lambda request: []
    while not conversation.feed._cross_check.unanswered:
        conversation.step()
    asked = conversation.feed.count().cross_checks
    conversation.feed.second_disconnected()
    conversation.exchange()
    closed = conversation.feed._assembly.chain.canonical[conversation.feed.count().safe_number + 1]
    assert not closed.verdict, "nothing that is complete waits any more"
    conversation._second = knowing_all()
    conversation.feed.second_connected()
    conversation.play()
    statistics = conversation.feed.count()
    assert statistics.cross_checks > asked
    assert statistics.blocks_by_verdict["cross_checked"] > 150
    assert conversation.story.standing == canonical_events()


def test_second_endpoint_that_talks_nonsense_is_given_up_and_counted_apart() -> None:
    conversation = Conversation(new_feed(cross_check_share=1.0), second=knowing_all())
    conversation.connect()
    notice = b'{"method":"eth_subscription","params":{"subscription":"0x1","result":{}}}'
    conversation.feed.receive_second([b"{", notice] * (ERROR_BUDGET // 2), **conversation.clock)
    assert conversation.feed.second_broken is None
    conversation.feed.receive_second([b"[" * 100_000], **conversation.clock)
    assert conversation.feed.second_broken == f"more than {ERROR_BUDGET} unusable messages"
    statistics = conversation.feed.count()
    assert statistics.rejected == {}
    assert statistics.cross_check_rejected[Rejection.UNKNOWN_SUBSCRIPTION] == ERROR_BUDGET // 2
    conversation.feed.second_disconnected()
    conversation.feed.second_connected()
    assert conversation.feed.second_broken is None


def test_sample_is_a_share_of_the_blocks() -> None:
    feed = new_feed(cross_check_share=0.2)
    conversation = Conversation(feed, second=knowing_all())
    conversation.connect()
    conversation.play()
    assert 15 < feed.count().cross_checks < 60
    assert feed.count().blocks_by_verdict["cross_checked"] <= feed.count().cross_checks


@pytest.mark.parametrize("shift", [1, 1000])
def test_second_endpoint_that_numbers_logs_otherwise_adds_no_event_and_is_counted(shift: int) -> None:
    """erigon#13542: the same logs, in the same order, under other indices."""

    def renumbered(frame: bytes) -> list[bytes]:
        message = msgspec.json.decode(frame)
        if not isinstance(message.get("result"), list):
            return [frame]
        moved = [{**log, "logIndex": hex(int(log["logIndex"], 16) + shift)} for log in message["result"]]
        return [msgspec.json.encode({**message, "result": moved})]

    conversation = played(second=knowing_all(renumbered))
    assert conversation.story.standing == canonical_events()
    assert not conversation.story.twice.total()
    statistics = conversation.feed.count()
    assert statistics.cross_check_renumbered > 20
    assert statistics.cross_check_finds == statistics.cross_check_shortfalls == 0
    assert late_blocks(conversation) == []
    verdicts = {end.verdict for end in conversation.records(BlockEnd) if end.log_count}
    assert Completeness.CROSS_CHECKED in verdicts


def test_part_of_a_block_that_a_second_endpoint_numbers_by_transaction_is_published_at_no_place() -> None:
    """The first one has nothing of the block, so that nothing shows whose indices these are."""
    missing = an_event()
    block = "0x" + missing[0].hex()
    lossy = withholding(lambda log: log["blockHash"] == block)
    early = withholding(lambda log: log["blockHash"] == block and int(log["logIndex"], 16) < missing[2])

    def renumbered(frame: bytes) -> list[bytes]:
        message = msgspec.json.decode(early(frame)[0])
        if not isinstance(message.get("result"), list):
            return [frame]
        places = Counter[tuple[str, str]]()
        for log in message["result"]:
            transaction = log["blockHash"], log["transactionHash"]
            log["logIndex"] = hex(places[transaction])
            places[transaction] += 1
        return [msgspec.json.encode(message)]

    conversation = played(pushed=lossy, answered=lossy, second=knowing_all(renumbered))
    expected = {name: event for name, event in canonical_events().items() if name[0] != missing[0]}
    assert conversation.story.standing == expected
    assert conversation.feed.count().cross_check_finds > 0, "they are counted all the same"
    assert ends_of(conversation, missing[0]) == []


def test_second_endpoint_whose_indices_were_ours_before_heals_a_block_of_which_the_first_has_no_event() -> None:
    """Among some logs only, neither bloom filter nor indices show that a list is whole."""
    missing = an_event()
    lossy = withholding(lambda log: log["blockHash"] == "0x" + missing[0].hex())
    events_only = LogSelection(events_only=True)
    conversation = played(selection=events_only, pushed=lossy, answered=lossy, second=knowing_all())
    assert conversation.story.standing == canonical_events()
    assert conversation.feed.count().cross_check_finds > 0


def test_block_waits_for_an_opinion_up_to_a_moment_and_not_at_it() -> None:
    feed = new_feed(cross_check_share=1.0)
    check, clock = feed._cross_check, feed._clock
    block = Block(Head("0x7", "0x" + "77" * 32, "0x" + "66" * 32))
    block.await_opinion(clock.now_ns + 1)
    assert check.holds(block)
    clock.now_ns += 1
    assert not check.holds(block)
