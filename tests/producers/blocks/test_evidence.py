"""Lists of logs that cannot be: what the evidence says of them, and what a feed does about them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest

from producers.blocks.backfill import PATIENCE_S, SUSPICION_S
from producers.blocks.block import Block
from producers.blocks.bloom import bloom_of
from producers.blocks.completeness import Doubt, Evidence
from producers.chains.configuration import load_chain
from producers.node.rpc_types import Head, Log
from tests.producers.blocks.lying import REFUSED, LyingNode, Refused, events, hiding
from tests.producers.virtual import SECOND, new_feed
from tlv.codes import Completeness, Flag, Reason
from tlv.layout import BlockEnd, EventOrigin, Gap, StateInvalidation

ADDRESS_NEEDED = Refused({"code": -32701, "message": "Please specify an address in your request"})
TOO_LARGE = Refused({"code": -32008, "message": "Response is too big"})
LIES: dict[str, Any] = {
    "nothing": lambda logs: [],
    "the-first": lambda logs: logs[:1],
    "all-but-the-first": lambda logs: logs[1:],
    "all-but-one-in-the-middle": lambda logs: logs[:2] + logs[3:],
    "all-but-the-last": lambda logs: logs[:-1],
    "unknown-block": lambda logs: REFUSED,
    "another-blocks": lambda logs: [{**log, "blockHash": "0x" + "77" * 32} for log in logs],
    "without-indices": lambda logs: [{**log, "logIndex": None} for log in logs],
}


def verdicts(node: LyingNode) -> dict[str, Completeness]:
    return {"0x" + end.hash.hex(): Completeness(end.verdict) for end in node.records(BlockEnd)}


def asked_for(node: LyingNode, target: str) -> list[int]:
    """When the logs of this block were asked for."""
    listings = ((at, params[0]) for at, method, params in node.asked if method == "eth_getLogs")
    return [at for at, wanted in listings if wanted.get("blockHash") == target]


def lying_node(lie: Any, until_s: float, pushed: int) -> tuple[LyingNode, str]:
    """A node that pushes some logs of its sixth block, and lists `lie` of them for so long."""
    target = ""

    def answer(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getLogs" and params[0].get("blockHash") == target and node.now_ns < until_s * SECOND:
            return lie(result)
        return result

    node = LyingNode(new_feed(), answer)
    node.grow(4, logs=5)
    block = node.mine(5)
    target = block["hash"]
    node.push(block, node.logs[target][:pushed])
    node.wait(2)
    node.grow(3, logs=5)
    return node, target


@pytest.mark.parametrize("pushed", [0, 2])
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_list_that_is_refuted_for_seconds_is_never_believed_and_nothing_is_lost(lie: Any, pushed: int) -> None:
    node, target = lying_node(lie, 15, pushed)
    asked = asked_for(node, target)
    assert len(asked) > 3
    assert target not in verdicts(node) or node.now_ns >= 15 * SECOND
    node.wait(20)
    assert node.standing() == node.canonical()
    assert not node.story.twice.total()
    assert node.records(Gap) == []
    assert verdicts(node)[target] is Completeness.REFETCHED
    pauses = [later - sooner for sooner, later in pairwise(asked)]
    assert pauses[-1] > 4 * pauses[0], "asked with growing pauses"


@pytest.mark.parametrize("pushed", [0, 1])
def test_part_of_a_list_without_what_was_pushed_or_no_list_at_all_is_not_believed(pushed: int) -> None:
    """A block of too many logs is asked for topic by topic, and its bloom of zeros shows nothing missing."""
    target, hidden = "", set[str]()

    def answer(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getLogs" or params[0].get("blockHash") != target:
            return result
        topics = params[0].get("topics", [[]])[0]
        if len(topics) != 1:
            return TOO_LARGE
        lies = node.now_ns < 14 * SECOND and (not pushed or topics[0] in hidden)
        return None if lies else [log for log in result if log["topics"][0] in topics]

    node = LyingNode(new_feed(), answer)
    node.grow(4, logs=5)
    block = node.mine(20, logsBloom="0x" + "0" * 512)
    target, logs = block["hash"], node.logs[block["hash"]]
    hidden.add(logs[0]["topics"][0])
    assert sum(log["topics"][0] in hidden for log in logs) > 1
    node.push(block, logs[:pushed])
    node.wait(20)
    assert node.standing() == node.canonical()
    assert node.records(Gap) == []


@pytest.mark.parametrize("listed", [0, 1])
def test_list_in_parts_that_lacks_more_topics_of_the_bloom_than_chance_shows_is_a_gap_and_healed(listed: int) -> None:
    """All of a block at once is too much, and its topics alone are listed short for a minute, each time alike."""
    target = ""

    def answer(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getLogs" or params[0].get("blockHash") != target:
            return result
        if "topics" not in params[0]:
            return TOO_LARGE
        return result[:listed] if node.now_ns < 60 * SECOND else result

    node = LyingNode(new_feed(), answer)
    node.grow(4, logs=5)
    block = node.mine(5)
    target, number = block["hash"], int(block["number"], 16)
    node.push(block, [])
    node.wait(2)
    node.grow(3, logs=5)
    node.wait(SUSPICION_S + 3)
    assert target not in verdicts(node), "repeated for long, and still refuted"
    node.wait(PATIENCE_S)
    assert [(gap.first, gap.last) for gap in node.records(Gap)] == [(number, number)]
    assert target not in verdicts(node)
    node.wait(70)
    assert verdicts(node)[target] is Completeness.REFETCHED
    assert node.standing() == node.canonical()
    assert len(node.records(Gap)) == 1


@pytest.mark.parametrize(("bits", "doubt"), [(100, Doubt.REFUTED), (1800, Doubt.SUSPECT)])
def test_topic_of_the_bloom_that_a_list_in_parts_lacks_refutes_it_unless_chance_may_have_put_it_there(
    bits: int, doubt: Doubt
) -> None:
    node = LyingNode(new_feed())
    topic = events()[0]["topics"][0]
    bloom = (1 << bits) - 1 | bloom_of([topic])
    block = Block(msgspec.convert(node.mine(0, logsBloom=f"0x{bloom:0512x}"), Head))
    evidence = Evidence(load_chain("polygon"), {})
    evidence.read_header(block)
    assert block.positives is not None and topic in block.positives
    assert evidence.judge(block, [], whole=False) is doubt
    assert (
        Evidence(load_chain("polygon"), {"address": [events()[0]["address"]]}).judge(block, [], whole=False)
        is Doubt.SUSPECT
    ), "the bits of an address may be those of a log that no part has"


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_list_that_is_refuted_for_long_becomes_a_gap_that_is_healed(lie: Any) -> None:
    """After its patience the block is a Gap, later ones go on; when the node has its list, readers get it all."""
    node, target = lying_node(lie, 100, 0)
    number = int(node.blocks[target]["number"], 16)
    node.wait(PATIENCE_S + 10)
    assert [(gap.first, gap.last) for gap in node.records(Gap)] == [(number, number)]
    assert target not in verdicts(node)
    missing = [place for place in node.canonical() if place[0] == target]
    assert not set(missing) <= set(node.standing())
    assert len(verdicts(node)) == len(node.line) - 1, "nobody waits for it"
    node.grow(20, logs=2, seconds=3)
    node.wait(80)
    assert node.standing() == node.canonical()
    assert not node.story.twice.total()
    assert verdicts(node)[target] is Completeness.REFETCHED
    late = [told.since_block for told in node.records(StateInvalidation) if told.reason == Reason.LATE_LOGS]
    assert late == [number]
    healed = [m for m in node.story.messages if (o := m.first(EventOrigin)) and "0x" + o.block_hash.hex() == target]
    assert all(message.header.flags & Flag.BACKFILL for message in healed[-1:])
    assert node.feed.count().healed_blocks == 1
    assert len(node.records(Gap)) == 1
    assert node.feed.settled


def test_empty_list_that_nothing_refutes_is_believed_once_it_was_said_for_long() -> None:
    """No bloom filter, and gas was used."""
    node = LyingNode(new_feed())
    node.grow(3)
    block = node.mine(0, logsBloom=None, gasUsed="0x5208")
    node.push(block)
    node.wait(1)
    node.grow(2)
    assert block["hash"] not in verdicts(node)
    node.wait(SUSPICION_S + 3)
    assert verdicts(node)[block["hash"]] is Completeness.REFETCHED
    assert node.records(Gap) == []
    assert node.standing() == node.canonical()


def test_blooms_of_zeros_over_logs_prove_nothing() -> None:
    """All headers have them; of each third block no log is pushed."""
    node = LyingNode(new_feed())
    for at in range(12):
        block = node.mine(3, logsBloom="0x" + "0" * 512, gasUsed="0x0")
        node.push(block, [] if at % 3 == 0 else None)
        node.wait(2)
    node.wait(10)
    assert node.standing() == node.canonical()
    assert not node.story.twice.total()
    assert node.records(Gap) == []


def test_zeros_over_gas_do_not_close_a_block_of_which_nothing_came_when_a_later_log_does() -> None:
    """Its logs were lost on their way, and the endpoint was not caught with such a bloom yet."""
    node = LyingNode(new_feed())
    node.grow(3)
    node.push(node.mine(3, logsBloom="0x" + "0" * 512), [])
    node.grow(3)
    assert node.standing() == node.canonical()
    assert node.records(Gap) == []


def test_state_sync_logs_that_repeat_index_0_hide_no_hole() -> None:
    node = LyingNode(new_feed())
    node.grow(3)
    block = node.mine(6)
    own = {**node.logs[block["hash"]][0], "address": "0x" + "00" * 18 + "1010", "topics": ["0x" + "5d" * 32]}
    own |= {"transactionHash": "0x" + "55" * 32, "data": "0x"}
    pushed = node.logs[block["hash"]]
    node.push(block, [*pushed[:3], *pushed[4:], own])
    node.wait(2)
    node.grow(2)
    assert node.standing() == node.canonical()
    assert verdicts(node)[block["hash"]] in (Completeness.REFETCHED, Completeness.PUSHED)


def test_bit_of_a_sprint_ends_bloom_that_no_listed_log_sets_refutes_the_list() -> None:
    """Some logs of such a block stand outside its bloom, but each bit in it is a log's (all recorded blocks)."""
    every = load_chain("polygon").unbloomed_every

    def answer(method: str, params: list[Any], result: Any) -> Any:
        lies = method == "eth_getLogs" and params[0].get("blockHash") == target and node.now_ns < 40 * SECOND
        return [] if lies else result

    target = ""
    node = LyingNode(new_feed(), answer)
    node.grow(3)
    while (int(node.head["number"], 16) + 1) % every:
        node.mine(0)
    block = node.mine(3)
    target = block["hash"]
    node.push(block, [])
    node.grow(2)
    node.wait(50, 0.5)
    assert node.standing() == node.canonical()
    assert node.feed.count().refuted_answers > 0


def test_block_held_up_does_not_make_later_blocks_fetched() -> None:
    """Its logs are "pending" for 12 s; the logs of all later blocks are pushed, and wait only."""
    node, target = lying_node(LIES["unknown-block"], 23, 0)
    node.grow(4)
    node.wait(8)
    assert node.standing() == node.canonical()
    fetched = {params[0].get("blockHash") for _, method, params in node.asked if method == "eth_getLogs"}
    assert fetched & set(node.line[6:-1]) == set()
    assert target in fetched


@pytest.mark.parametrize("endpoints", [1, 2])
def test_feed_with_another_endpoint_gives_this_one_up_once_for_a_block_it_lists_wrongly(endpoints: int) -> None:
    target = ""

    def answer(method: str, params: list[Any], result: Any) -> Any:
        return [] if method == "eth_getLogs" and params[0].get("blockHash") == target else result

    node = LyingNode(new_feed(endpoints=endpoints), answer)
    node.grow(3)
    block = node.mine(3)
    target = block["hash"]
    node.push(block, [])
    node.wait(2)
    assert node.feed.broken is None
    node.grow(6)
    reason = node.feed.broken or ""
    assert ("contradict" in reason) is (endpoints == 2)
    node.feed.disconnected(**node.clock)
    node.feed.connected(**node.clock)
    node.exchange()
    node.grow(25)
    assert node.feed.broken is None, "no second time for the same block"
    number = int(block["number"], 16)
    assert [(gap.first, gap.last) for gap in node.records(Gap)] == [(number, number)]


def test_block_announced_without_a_bloom_filter_is_not_believed_empty_for_being_listed_so() -> None:
    """Its header is fetched for the filter; a block that was read back from the ring has none either."""
    target = ""

    def answer(method: str, params: list[Any], result: Any) -> Any:
        if method == "eth_getLogs" and params[0].get("blockHash") == target and node.now_ns < 20 * SECOND:
            return []
        return result

    node = LyingNode(new_feed(), answer)
    node.grow(4, logs=5)
    block = node.mine(5)
    target = block["hash"]
    node.push({**block, "logsBloom": None}, [])
    node.grow(3, logs=5)
    node.wait(60)
    assert node.standing() == node.canonical()
    assert verdicts(node)[target] == Completeness.REFETCHED


def test_block_that_an_endpoint_lists_for_known_pools_only_is_a_gap_until_all_of_it_is_listed() -> None:
    """Nothing of it was pushed, and a pool that nobody knows yet had an event in it."""
    needed = True

    def answer(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getLogs" or not needed:
            return result
        known = params[0].get("address")
        return ADDRESS_NEEDED if known is None else [log for log in result if log["address"] in known]

    node = LyingNode(new_feed(), answer)
    node.grow(3)
    block = node.mine(2)
    rows = node.logs[block["hash"]]
    pushed = {log["address"] for name in node.line for log in node.logs[name]}
    stranger = next(row for row in events() if row["address"] not in pushed)
    rows[1] = {**stranger, "blockHash": block["hash"], "blockNumber": block["number"], "logIndex": "0x1"}
    block["logsBloom"] = f"0x{bloom_of(entry for row in rows for entry in (row['address'], *row['topics'])):0512x}"
    node.push(block, [])
    node.grow(3)
    number = int(block["number"], 16)
    assert [(gap.first, gap.last) for gap in node.records(Gap)] == [(number, number)]
    assert block["hash"] not in verdicts(node)
    assert set(node.canonical()) - set(node.standing()) == {(block["hash"], 1)}
    needed = False
    node.wait(130, 0.5)
    assert node.standing() == node.canonical()
    assert verdicts(node)[block["hash"]] is Completeness.REFETCHED
    assert not node.story.twice.total()


def test_endpoint_that_lists_by_address_is_asked_for_whoever_emitted_what_came_of_the_block() -> None:
    """Two logs of a pool that nobody knows yet set the same bits.  The second was not pushed, nor the first of the
    block, whose place shows that pushes were lost."""
    needed = False

    def answer(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getLogs" or not needed:
            return result
        named = params[0].get("address")
        return ADDRESS_NEEDED if named is None else [log for log in result if log["address"] in named]

    node = LyingNode(new_feed(), answer)
    node.grow(4, logs=5)
    needed = True
    block = node.mine(3)
    rows = node.logs[block["hash"]]
    told = [log for name in node.line[:-1] for log in node.logs[name]]
    stranger = next(row for row in events() if row["address"] not in {log["address"] for log in told})
    for at, log in enumerate((told[0], stranger, stranger)):
        rows[at] = {**log, **{name: rows[at][name] for name in ("blockHash", "blockNumber", "logIndex")}}
    block["logsBloom"] = f"0x{bloom_of(entry for row in rows for entry in (row['address'], *row['topics'])):0512x}"
    node.push(block, rows[1:2])
    node.grow(3)
    assert node.standing() == node.canonical()
    assert node.records(Gap) == []


def test_block_whose_connection_ended_while_it_was_pushed_is_not_complete_for_what_came_of_it() -> None:
    """The second log of a pool sets no bit that the first does not, and for a while nobody lists the block."""
    target = ""

    def answer(method: str, params: list[Any], result: Any) -> Any:
        refused = method == "eth_getLogs" and params[0].get("blockHash") == target and node.now_ns < 20 * SECOND
        return TOO_LARGE if refused else result

    node = LyingNode(new_feed(), answer)
    node.grow(4, logs=5)
    block, rows = block_whose_second_log_nothing_shows(node)
    target, number = block["hash"], int(block["number"], 16)
    node.push(block, rows[:1])
    node.feed.disconnected(**node.clock)
    node.feed.connected(**node.clock)
    node.exchange()
    node.grow(3)
    assert target not in verdicts(node)
    assert [(gap.first, gap.last) for gap in node.records(Gap)] == [(number, number)]
    node.wait(60)
    assert verdicts(node)[target] is Completeness.REFETCHED
    assert node.standing() == node.canonical()


def test_bloom_that_the_logs_explain_says_nothing_where_another_endpoint_has_logs_that_cannot_be_placed() -> None:
    """Two events of one pool set the bits of four: what its bloom does not show, the other list does."""
    node = LyingNode(new_feed())
    mined = node.mine(2)
    evidence = Evidence(load_chain("polygon"), {})
    block = Block(msgspec.convert(mined, Head))
    evidence.read_header(block)
    for row in node.logs[mined["hash"]]:
        block.take(msgspec.convert(row, Log), pushed=False)
    assert evidence.judge(block, [], whole=False, of_known=True) is Doubt.NONE
    block.close(Completeness.TOMBSTONE)
    assert evidence.judge(block, [], whole=False, of_known=True) is Doubt.UNLISTED, "by whom its logs were is forgotten"


GARBLED = b'{"method": "eth_subscription", "params": {"subscr'


def block_whose_second_log_nothing_shows(node: LyingNode) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block and its two logs: the second sets no bit of the bloom that the first does not."""
    block = node.mine(2)
    rows = node.logs[block["hash"]]
    rows[1] = {**rows[0], "logIndex": "0x1", "data": rows[0]["data"]}
    block["logsBloom"] = f"0x{bloom_of(entry for row in rows for entry in (row['address'], *row['topics'])):0512x}"
    return block, rows


@pytest.mark.parametrize("garbled_first", [False, True])
@pytest.mark.parametrize("known_s", [0, 0.5, 1.5])
def test_frame_that_cannot_be_read_before_its_blocks_head_makes_it_be_fetched(
    known_s: float, garbled_first: bool
) -> None:
    """Logs may come before their head; the last one was garbled, and nothing else shows that it is missing."""
    hidden: set[str] = set()
    node = LyingNode(new_feed(), hiding(hidden))
    node.grow(3)
    block, rows = block_whose_second_log_nothing_shows(node)
    hidden.add(block["hash"])
    if garbled_first:
        node.feed.receive([GARBLED], **node.clock)
    node.push(block, rows[:1], head=False)
    if not garbled_first:
        node.feed.receive([GARBLED], **node.clock)
    node.wait(known_s)
    node.push(block, [])
    node.wait(2)
    node.grow(2)
    assert node.standing() == node.canonical()
    assert node.records(Gap) == []


def test_frame_that_cannot_be_read_while_its_blocks_parent_is_sought_makes_it_be_fetched() -> None:
    """Its head came, and waits for a parent that was lost on its way: it is not open yet."""
    hidden: set[str] = set()
    node = LyingNode(new_feed(), hiding(hidden))
    node.grow(3)
    hidden.add(node.mine(0)["hash"])
    block, rows = block_whose_second_log_nothing_shows(node)
    node.push(block, rows[:1])
    node.feed.receive([GARBLED], **node.clock)
    node.wait(1.5)
    hidden.clear()
    node.wait(2)
    node.grow(2)
    assert node.standing() == node.canonical()
    assert node.records(Gap) == []


def test_frame_that_cannot_be_read_before_the_chain_is_known_makes_what_waited_be_fetched() -> None:
    """What is pushed meanwhile is kept, and taken longer after the frame than it doubts a block to come."""
    silent = False
    rate = Refused({"code": -32005, "message": "rate limit exceeded"})
    node = LyingNode(new_feed(), lambda method, params, result: rate if silent and method == "eth_chainId" else result)
    node.grow(3)
    node.feed.disconnected(**node.clock)
    silent = True
    node.feed.connected(**node.clock)
    node.exchange()
    node.push(node.mine(2))
    block, rows = block_whose_second_log_nothing_shows(node)
    node.push(block, rows[:1])
    node.feed.receive([GARBLED], **node.clock)
    node.push(node.mine(2))
    node.wait(2)
    assert block["hash"] not in verdicts(node)
    silent = False
    node.wait(10)
    node.grow(2)
    assert node.standing() == node.canonical()
    assert node.records(Gap) == []
