"""Logs pushed for a place that another transaction has: nobody's list has them, and nobody reads them for long."""

from __future__ import annotations

from typing import Any

import pytest

from producers.blocks.block import Block, Taken, places_of
from producers.kinds.selection import LogSelection
from producers.node.rpc_types import Head, Log
from tests.producers.blocks.lying import REFUSED, LyingNode
from tests.producers.virtual import new_feed
from tlv.codes import Completeness, Flag, Reason
from tlv.layout import BlockEnd, EventOrigin, Gap, StateInvalidation

NOBODYS = "0x" + "ee" * 32


def log_at(index: int, transaction: str, order: int | None) -> Log:
    return Log(
        "0x" + "11" * 20,
        log_index=hex(index),
        transaction_hash=transaction,
        transaction_index=hex(order) if order is not None else None,
    )


def block_of(*logs: Log, numbered_once: bool = True) -> Block:
    block = Block(Head("0x7", "0x" + "77" * 32, "0x" + "66" * 32))
    block.expect(None, None, numbered_once=numbered_once)
    for log in logs:
        assert block.take(log, pushed=True) is Taken.NEW
    return block


@pytest.mark.parametrize(
    ("log", "taken"),
    [
        (log_at(1, "0xbb", 2), Taken.DISPUTED),  # the index of a log
        (log_at(5, "0xbb", 1), Taken.DISPUTED),  # the index of a transaction
        (log_at(5, "0xbb", None), Taken.NEW),
        (log_at(5, "0xaa", 1), Taken.NEW),
        (log_at(5, "0xbb", 2), Taken.NEW),
    ],
)
def test_log_of_a_place_that_another_transaction_has_is_not_taken_when_it_is_pushed(log: Log, taken: Taken) -> None:
    block = block_of(log_at(0, "0xaa", 1), log_at(1, "0xaa", 1))
    assert block.take(log, pushed=True) is taken
    assert block.doubted is (taken is Taken.DISPUTED)
    assert len(block.seen) == (2 if taken is Taken.DISPUTED else 3)
    assert block.take(log, pushed=False) is (Taken.NEW if taken is Taken.DISPUTED else Taken.KNOWN)
    assert block.take(log, pushed=True) is Taken.KNOWN, "what the node lists is disputed no more"
    where_logs_are_added = block_of(log_at(0, "0xaa", 1), log_at(1, "0xaa", 1), numbered_once=False)
    assert where_logs_are_added.take(log, pushed=True) is Taken.NEW


def test_list_refutes_those_that_stand_where_it_has_another_transaction_and_no_others() -> None:
    block = block_of(log_at(0, "0xaa", 1), log_at(1, "0xee", 2), log_at(9, "0xdd", 3), log_at(10, "0xcc", None))
    listed = [log_at(0, "0xaa", 1), log_at(1, "0xbb", 2), log_at(2, "0xff", 3)]
    theirs = places_of(listed)
    assert theirs is not None
    found = block.displaced(theirs, {"0xaa0x0", "0xbb0x1", "0xff0x2"})
    assert found == {"0xee0x1", "0xdd0x9"}
    block.refute(found)
    assert block.seen.keys() == {"0xaa0x0", "0xcc0xa"} and block.indices == {0, 10}
    assert [index for index, _, _ in block.waiting] == [0, 10]
    assert block.take(log_at(1, "0xbb", 2), pushed=True) is Taken.NEW, "the place is free"
    block.hold()
    block.requeue(9, log_at(9, "0xdd", 3), False)
    assert block.quarantined == 0 and 9 not in [index for index, _, _ in block.waiting]


def test_list_that_gives_one_place_to_two_transactions_says_nothing_of_places() -> None:
    assert places_of([log_at(0, "0xaa", 1), log_at(0, "0xbb", 2)]) is None
    assert places_of([log_at(0, "0xaa", 1), log_at(1, "0xbb", 1)]) is None
    assert places_of([log_at(0, "0xaa", None), log_at(1, "0xbb", None)]) == {0: "0xaa", 1: "0xbb"}


def made_up(log: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {**log, "transactionHash": NOBODYS, **changed}


def disputed(node: LyingNode, *, first: bool, logs: int = 4) -> tuple[dict[str, Any], int]:
    """A block of which a copy of the second log, of a transaction that nobody knows, is pushed before or behind it."""
    block = node.mine(logs)
    rows = node.logs[block["hash"]]
    node.push(block, rows[:1])
    for row in (made_up(rows[1]), rows[1]) if first else (rows[1], made_up(rows[1])):
        node.push(block, [row], head=False)
    node.push(block, rows[2:], head=False)
    return block, int(block["number"], 16)


@pytest.mark.parametrize("selection", [LogSelection(), LogSelection(events_only=True)], ids=["all", "events-only"])
@pytest.mark.parametrize("first", [True, False], ids=["first", "behind"])
def test_made_up_log_is_not_told_or_taken_back_and_nothing_is_lost(first: bool, selection: LogSelection) -> None:
    node = LyingNode(new_feed(selection=selection))
    node.grow(4, logs=5)
    block, number = disputed(node, first=first)
    node.wait(1)
    node.grow(3, logs=5)
    assert node.standing() == node.canonical()
    assert not node.story.twice.total()
    assert {origin.transaction_hash.hex() for _, origin, _ in told(node)}.isdisjoint({NOBODYS[2:]}) is not first
    assert [
        flags & Flag.REMOVED for _, origin, flags in told(node) if origin.transaction_hash.hex() == NOBODYS[2:]
    ] == ([0, Flag.REMOVED] if first else [])
    doubts = [record.since_block for record in node.records(StateInvalidation) if record.reason == Reason.LATE_LOGS]
    assert doubts == ([number] if first else [])
    assert ends(node)[block["hash"]] == Completeness.REFETCHED
    assert node.records(Gap) == []
    assert node.feed.count().disputed_logs >= 1
    assert node.feed.count().rejected == {}


def test_made_up_log_of_a_block_that_is_closed_costs_a_question_and_says_nothing() -> None:
    node = LyingNode(new_feed())
    node.grow(4, logs=5)
    block = node.blocks[node.line[-2]]
    before = len(node.story.messages)
    node.push(block, [made_up(node.logs[block["hash"]][2])], head=False)
    node.wait(0.2)
    assert ends(node)[block["hash"]] == Completeness.TOMBSTONE
    assert not any(message.records[0].layout.type in (BlockEnd.layout.type, StateInvalidation.layout.type)
                   for message in node.story.messages[before:])  # fmt: skip
    assert [params[0] for _, method, params in node.asked[-1:]] == [{"blockHash": block["hash"]}]
    node.grow(2)
    assert node.standing() == node.canonical()


def test_dispute_that_no_list_settles_is_a_gap() -> None:
    target = ""

    def answer(method: str, params: list[Any], result: Any) -> Any:
        return REFUSED if method == "eth_getLogs" and params[0].get("blockHash") == target else result

    node = LyingNode(new_feed(), answer)
    node.grow(4, logs=5)
    block = node.mine(4)
    target, number = block["hash"], int(block["number"], 16)
    rows = node.logs[target]
    node.push(block, [*rows, made_up(rows[1])])
    node.wait(40)
    node.grow(2)
    assert [(gap.first, gap.last) for gap in node.records(Gap)] == [(number, number)]
    assert target not in ends(node)


def test_endpoint_that_numbers_the_logs_of_each_transaction_anew_is_believed_once_it_lists_them_so() -> None:
    def renumber(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**row, "logIndex": "0x0", "transactionHash": f"0x{at:064x}"} for at, row in enumerate(rows, 1)]

    node = LyingNode(new_feed())
    for _ in range(6):
        block = node.mine(4)
        node.logs[block["hash"]] = renumber(node.logs[block["hash"]])
        node.push(block)
        node.wait(2)
    disputes = node.feed.count().disputed_logs
    assert 0 < disputes <= 2 * 3, "then places prove nothing here"
    assert len(node.story.standing) == sum(map(len, node.logs.values()))
    assert node.records(Gap) == []


def told(node: LyingNode) -> list[tuple[Any, EventOrigin, int]]:
    """The events, with their flags, REMOVED copies among them."""
    found = ((m.records[0], m.first(EventOrigin), m.header.flags) for m in node.story.messages)
    return [(record, origin, flags) for record, origin, flags in found if origin is not None]


def ends(node: LyingNode) -> dict[str, Completeness]:
    return {"0x" + end.hash.hex(): Completeness(end.verdict) for end in node.records(BlockEnd)}
