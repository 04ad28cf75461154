"""Logs asked in the form that an endpoint answers: whole, by topics, topic by topic, by pools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from producers.blocks.log_queries import POOLS_AT_ONCE, Form, Listed, LogQueries
from producers.chains.configuration import load_chain
from producers.context import Context
from producers.decode.pool_table import PoolTable, unverified
from producers.kinds.events import EVENT_OF_TOPIC, Role
from producers.node.refusals import Meaning
from producers.node.timers import Clock
from tlv.units import NS

HASH = "0x" + "ab" * 32
TOO_MANY = {"code": -32005, "message": "query returned more than 10000 results"}
ADDRESS_NEEDED = {"code": -32701, "message": "Please specify an address in your request"}
NO_HASHES = {"code": -32602, "message": "invalid params: unknown field `blockHash`"}
Answer = Callable[[dict[str, Any]], Any]


class Node:
    """Answers each eth_getLogs with what `answer` makes of its filter: logs, or the error of a refusal."""

    def __init__(self, answer: Answer, pools: int = 0, log_filter: dict[str, object] | None = None) -> None:
        self.context = Context.of(load_chain("polygon"), Clock(), log_filter)
        table = PoolTable(unverified(number.to_bytes(20, "big"), 1, Role.POOL) for number in range(1, pools + 1))
        self.queries = LogQueries(self.context, table)
        self.asked: list[dict[str, Any]] = []
        self.listed: list[Listed] = []
        self._answer = answer

    def exchange(self) -> None:
        while frames := self.context.rpc.outgoing():
            for frame in frames:
                request = msgspec.json.decode(frame)
                wanted = request["params"][0]
                self.asked.append(wanted)
                said = self._answer(wanted)
                said = {"error": said} if isinstance(said, dict) else {"result": said}
                self.context.rpc.read(msgspec.json.encode({"id": request["id"], **said}))

    def ask(self) -> Listed:
        self.queries.ask_block(HASH, 7, self.listed.append)
        self.exchange()
        return self.listed[-1]


def log_of(index: int, **members: Any) -> dict[str, Any]:
    return {"address": "0x" + "01" * 20, "blockHash": HASH, "logIndex": hex(index), **members}


def form_of(wanted: dict[str, Any]) -> Form:
    if "address" in wanted:
        return Form.POOLS
    if "topics" not in wanted:
        return Form.PLAIN
    return Form.EACH if len(wanted["topics"][0]) == 1 else Form.TOPICS


def test_block_of_an_able_endpoint_is_asked_once_and_whole() -> None:
    node = Node(lambda wanted: [log_of(0)])
    listed = node.ask()
    assert node.asked == [{"blockHash": HASH}]
    assert listed.whole and listed.failure is None and len(listed.logs) == 1


@pytest.mark.parametrize(("fitting", "parts"), [(Form.TOPICS, 1), (Form.EACH, len(EVENT_OF_TOPIC)), (Form.POOLS, 3)])
def test_block_that_is_too_large_is_asked_in_ever_smaller_parts(fitting: Form, parts: int) -> None:
    node = Node(lambda wanted: TOO_MANY if form_of(wanted) < fitting else [log_of(0)], pools=2 * POOLS_AT_ONCE + 1)
    listed = node.ask()
    assert listed.failure is None
    assert not listed.whole
    assert len(listed.logs) == parts
    assert {form_of(wanted) for wanted in node.asked} == set(range(fitting + 1))
    if fitting in (Form.TOPICS, Form.EACH):
        told = [topic for wanted in node.asked[-parts:] for topic in wanted["topics"][0]]
        assert sorted(told) == sorted(EVENT_OF_TOPIC), "every event of ours is asked for"
    node.asked.clear()
    node.ask()
    assert {form_of(wanted) for wanted in node.asked} == {fitting}, "the form is remembered"
    node.queries.forget(HASH)
    node.asked.clear()
    node.ask()
    assert form_of(node.asked[0]) is Form.PLAIN


def test_block_that_is_too_large_in_every_form_fails_as_such() -> None:
    node = Node(lambda wanted: TOO_MANY, pools=1)
    failure = node.ask().failure
    assert failure is not None and failure.meaning is Meaning.SIZE


def test_block_whose_answer_broke_the_connection_is_asked_in_parts_on_the_next() -> None:
    node, asked = Node(lambda wanted: []), 0
    for form in (Form.PLAIN, Form.TOPICS, Form.EACH):
        node.queries.ask_block(HASH, 7, node.listed.append)
        sent = [msgspec.json.decode(frame)["params"][0] for frame in node.context.rpc.outgoing()]
        assert {form_of(wanted) for wanted in sent} == {form}
        asked += len(sent)
        node.context.rpc.abandon(too_large=True)
    assert all(listed.failure is not None for listed in node.listed)
    assert len(node.listed) == 3
    assert node.context.rpc.refused == {"eth_getLogs: size": asked}


def test_block_whose_connection_was_lost_otherwise_is_asked_as_before() -> None:
    node = Node(lambda wanted: [])
    node.queries.ask_block(HASH, 7, node.listed.append)
    node.context.rpc.outgoing()
    node.context.rpc.abandon()
    node.ask()
    assert node.asked == [{"blockHash": HASH}]


def test_endpoint_that_needs_addresses_is_asked_for_known_pools_from_then_on() -> None:
    node = Node(lambda wanted: [log_of(0)] if "address" in wanted else ADDRESS_NEEDED, pools=POOLS_AT_ONCE + 5)
    listed = node.ask()
    assert listed.failure is None and not listed.whole
    assert not node.context.capabilities.logs_without_address
    assert [len(wanted.get("address", ())) for wanted in node.asked] == [0, POOLS_AT_ONCE, 5]
    assert all(wanted["topics"] == [sorted(EVENT_OF_TOPIC)] for wanted in node.asked[1:])
    node.asked.clear()
    node.queries.ask_range(1, 9, node.listed.append)
    node.exchange()
    assert [wanted["fromBlock"] for wanted in node.asked] == ["0x1", "0x1"]


def test_endpoint_that_needs_addresses_is_asked_for_emitters_that_are_named_beside_the_known_pools() -> None:
    node = Node(lambda wanted: [log_of(0)] if "address" in wanted else ADDRESS_NEEDED, pools=2)
    stranger, known = "0x" + "77" * 20, f"0x{1:040x}"
    node.queries.ask_block(HASH, 7, node.listed.append, {stranger, known})
    node.exchange()
    node.queries.ask_range(1, 9, node.listed.append, {stranger})
    node.exchange()
    assert [len(wanted["address"]) for wanted in node.asked[1:]] == [3, 3]
    assert all(stranger in wanted["address"] for wanted in node.asked[1:])


def test_endpoint_that_needs_addresses_is_asked_for_those_of_contracts_that_emit_for_many_pools() -> None:
    """Each of two pairs of coins of one pool has a row of its own, under a name that is longer than an address."""
    node = Node(lambda wanted: [log_of(0)] if "address" in wanted else ADDRESS_NEEDED)
    table, address = PoolTable(), f"0x{1:040x}"
    for coins in ("01", "10"):
        table.add(unverified((1).to_bytes(20, "big"), 1), address + coins * 16)
    node.queries = LogQueries(node.context, table)
    assert node.ask().of_known
    assert [wanted["address"] for wanted in node.asked[1:]] == [[address]]


def test_endpoint_that_needed_addresses_is_asked_without_them_again_after_a_while() -> None:
    needed = True
    node = Node(lambda wanted: ADDRESS_NEEDED if needed and "address" not in wanted else [log_of(0)], pools=1)
    for at_s, forms in ((0, [Form.PLAIN, Form.POOLS]), (1, [Form.POOLS]), (61, [Form.PLAIN, Form.POOLS])):
        node.context.clock.now_ns = at_s * NS
        node.asked.clear()
        assert node.ask().of_known
        assert list(map(form_of, node.asked)) == forms
    needed = False
    node.context.clock.now_ns = 200 * NS
    assert node.ask().whole and not node.listed[-1].of_known
    assert node.context.capabilities.logs_without_address


def test_endpoint_that_needs_addresses_is_not_asked_while_no_pool_is_known() -> None:
    node = Node(lambda wanted: ADDRESS_NEEDED)
    failure = node.ask().failure
    assert failure is not None and failure.meaning is Meaning.POLICY
    node.ask()
    assert len(node.asked) == 1


def test_endpoint_without_hashes_is_asked_by_number() -> None:
    node = Node(lambda wanted: NO_HASHES if "blockHash" in wanted else [log_of(0)])
    assert node.ask().failure is None
    assert node.asked == [{"blockHash": HASH}, {"fromBlock": "0x7", "toBlock": "0x7"}]
    assert not node.context.capabilities.logs_by_hash


def test_configured_addresses_are_kept_in_every_form() -> None:
    addresses = ["0x" + "02" * 20]
    node = Node(lambda wanted: TOO_MANY, log_filter={"address": addresses})
    node.ask()
    assert all(wanted["address"] == addresses for wanted in node.asked)


def test_part_that_cannot_be_read_fails_the_whole_and_is_counted_by_member() -> None:
    node = Node(lambda wanted: [log_of(0, logIndex=[])])
    listed = node.ask()
    assert listed.failure is not None and listed.failure.meaning is Meaning.TRANSIENT
    assert node.context.rpc.unfit == {"bad_log: logIndex is a list": 1}


def test_remarks_say_what_is_done_instead() -> None:
    node = Node(lambda wanted: [] if "address" in wanted else ADDRESS_NEEDED, pools=1)
    node.ask()
    assert any("needs addresses" in remark.words for remark in node.context.rpc.take_remarks())
