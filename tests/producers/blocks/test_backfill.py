"""Asking for logs by range: nodes with limits, nodes that ask for peace, and answers that would be too long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from producers.blocks.arrivals import Arrivals, LogsFetched
from producers.blocks.backfill import LARGEST_RANGE, LONG_ANSWER, MAX_BLOCKS_AT_ONCE, RANGE_FROM, LogFetcher
from producers.blocks.block import Block
from producers.blocks.chain import Chain
from producers.blocks.completeness import Evidence
from producers.chains.configuration import load_chain
from producers.context import Context
from producers.decode.pool_table import PoolTable
from producers.node.rpc_types import Head
from producers.node.timers import Clock
from tlv.codes import Completeness

SECOND = 1_000_000_000
Answer = Callable[[list[int]], Any]


def hash_of(number: int) -> str:
    return f"0x{number:064x}"


class Catching:
    """A fetcher that wants the logs of `blocks` blocks, and a node that answers each list of numbers with `answer`."""

    def __init__(self, blocks: int, answer: Answer) -> None:
        self.asked: list[list[int]] = []
        """The block numbers of each request, in the order in which they were sent."""
        self.merged: dict[int, int] = {}
        self.now_ns = 0
        self._answer = answer
        self._context = context = Context.of(load_chain("polygon"), Clock())
        self._arrivals: Arrivals = []
        self._chain = Chain(10 * blocks)
        self._fetcher = LogFetcher(context, self._chain, Evidence(context.chain, {}), self._arrivals, PoolTable())
        for number in range(1, blocks + 1):
            head = Head(hex(number), hash_of(number), hash_of(number - 1))
            block = self._chain.add(head, 0)
            block.expect((1 << 2048) - 1, None)
            self._chain.adopt([block])
            block.want()
            self._fetcher.want(block)

    def run(self, seconds: float = 60.0) -> None:
        """Until everything is merged, or for so long."""
        end_ns = self.now_ns + int(seconds * SECOND)
        while self.now_ns < end_ns and len(self.merged) < len(self._chain.blocks):
            self._context.clock.now_ns = self.now_ns
            self._context.timers.run()
            self._fetcher.pump()
            for frame in self._context.rpc.outgoing():
                request = msgspec.json.decode(frame)
                numbers = self._numbers(request["params"][0])
                self.asked.append(numbers)
                said = self._answer(numbers)
                said = {"error": said} if isinstance(said, dict) else {"result": said}
                self._context.rpc.read(msgspec.json.encode({"id": request["id"], **said}))
                self._merge()
            self.now_ns += SECOND // 100

    def _numbers(self, wanted: dict[str, str]) -> list[int]:
        if "blockHash" in wanted:
            return [int(wanted["blockHash"], 16)]
        return list(range(int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16) + 1))

    def _merge(self) -> None:
        """Close what arrived; whatever else arrives is a defect."""
        while self._arrivals:
            arrived = self._arrivals.pop()
            assert isinstance(arrived, LogsFetched), arrived
            block, logs, whole, of_known = arrived
            assert whole and not of_known
            assert block.number not in self.merged, "a block is merged once"
            assert {log.block_hash for log in logs} <= {block.hash}
            block.close(Completeness.REFETCHED)
            self.merged[block.number] = len(logs)


def logs_of(numbers: list[int], each: int) -> list[dict[str, Any]]:
    return [
        {"address": "0x", "blockHash": hash_of(number), "blockNumber": hex(number), "logIndex": hex(index)}
        for number in numbers
        for index in range(each)
    ]


@pytest.mark.parametrize("limit", [1, 5, RANGE_FROM, 20, 100])
@pytest.mark.parametrize(
    "refusal",
    [
        {"code": -32701, "message": "exceed maximum block range: %d"},
        {"code": -32602, "message": "range 1000000 exceeds limit of %d"},
        {"code": -32005, "message": "query returned more than 1000 results"},
        {"code": -32000, "message": "something that no rule knows"},
    ],
    ids=lambda refusal: refusal["code"],
)
def test_backfill_behind_a_range_limit_halves_until_it_fits_and_loses_nothing(
    limit: int, refusal: dict[str, Any]
) -> None:
    catching = Catching(600, lambda numbers: refusal if len(numbers) > limit else logs_of(numbers, 2))
    catching.run()
    assert catching.merged == dict.fromkeys(range(1, 601), 2)
    if "no rule" not in refusal["message"]:
        refused = [len(numbers) for numbers in catching.asked if len(numbers) > limit]
        assert len(refused) <= 3 * MAX_BLOCKS_AT_ONCE, "the limit is learnt, not found again with every request"


@pytest.mark.parametrize("each", [0, 1, 30, 300, 3_000])
def test_backfill_asks_for_ranges_whose_answers_stay_short(each: int) -> None:
    longest = 0

    def answer(numbers: list[int]) -> list[dict[str, Any]]:
        nonlocal longest
        longest = max(longest, len(numbers) * each)
        return logs_of(numbers, max(each, 1))

    blocks = 20 if each == 3_000 else 1_000
    catching = Catching(blocks, answer)
    catching.run()
    assert len(catching.merged) == blocks
    assert longest <= max(LONG_ANSWER, RANGE_FROM * each), "only the first answers can be longer: nothing is known yet"
    if each <= 1:
        assert max(map(len, catching.asked)) == LARGEST_RANGE
    later = [len(numbers) for numbers in catching.asked[2 * MAX_BLOCKS_AT_ONCE :]]
    assert all(count * each <= LONG_ANSWER or count == 1 for count in later)


def test_backfill_that_reaches_busy_blocks_asks_for_fewer_at_once() -> None:
    """Quiet blocks, then busy ones: the range that had grown shrinks with the first long answers."""
    catching = Catching(
        4_000, lambda numbers: [log for number in numbers for log in logs_of([number], 1 if number < 1_500 else 250)]
    )
    catching.run()
    assert len(catching.merged) == 4_000
    sizes = [len(numbers) for numbers in catching.asked if numbers[0] >= 1_500]
    assert max(sizes[2 * MAX_BLOCKS_AT_ONCE :]) * 250 <= LONG_ANSWER


def test_backfill_told_to_wait_asks_nothing_meanwhile() -> None:
    """Infura's words: nothing is sent before the 30 seconds are over, then everything is had."""
    times: list[int] = []
    refusal = {"code": -32005, "message": "daily request count exceeded", "data": {"rate": {"backoff_seconds": 30}}}

    def answer(numbers: list[int]) -> Any:
        times.append(catching.now_ns)
        return refusal if times[0] == catching.now_ns else logs_of(numbers, 1)

    catching = Catching(40, answer)
    catching.run(29.9)
    assert set(times) == {0}
    assert catching.merged == {}
    catching.run()
    assert len(catching.merged) == 40
    assert min(time for time in times if time) >= 30 * SECOND


def test_header_of_a_block_without_bloom_comes_before_its_logs_unless_headers_here_have_none() -> None:
    """A block that was read back from the ring has none, and without it a list that lacks its end seems whole."""
    catching = Catching(3, lambda numbers: [])
    fetcher, rpc, timers = catching._fetcher, catching._context.rpc, catching._context.timers
    blocks = [catching._chain.canonical[number] for number in (1, 2, 3)]
    for block in blocks:
        block.expect(None, None)
        fetcher.settled(block)

    def asked(block: Block, said: dict[str, Any] | None = None) -> tuple[str, Any]:
        """What is asked about a block, and answered."""
        fetcher.want(block)
        fetcher.pump()
        (frame,) = rpc.outgoing()
        request = msgspec.json.decode(frame)
        rpc.read(msgspec.json.encode({"id": request["id"], "result": said}))
        fetcher.due.clear()
        return request["method"], request["params"][0]

    head = {"number": "0x1", "hash": blocks[0].hash, "parentHash": hash_of(0), "timestamp": "0x1"}
    assert asked(blocks[0]) == ("eth_getBlockByHash", blocks[0].hash)
    catching._context.clock.now_ns += SECOND
    timers.run()
    assert list(fetcher.due) == [blocks[0].hash], "no header, no list"
    assert asked(blocks[0], {**head, "logsBloom": "0x" + "0" * 511 + "1"}) == ("eth_getBlockByHash", blocks[0].hash)
    assert asked(blocks[0]) == ("eth_getLogs", {"blockHash": blocks[0].hash})
    assert asked(blocks[1], {**head, "number": "0x2", "hash": blocks[1].hash})[0] == "eth_getBlockByHash"
    assert asked(blocks[1])[0] == "eth_getLogs"
    assert asked(blocks[2])[0] == "eth_getLogs"
    fetcher.reconnected()
    assert asked(blocks[2])[0] == "eth_getBlockByHash"


def test_patience_with_blocks_that_are_known_no_more_is_not_carried_from_connection_to_connection() -> None:
    catching = Catching(3, lambda numbers: {"code": -32000, "message": "request timed out"})
    catching.run(1.0)
    fetcher, chain = catching._fetcher, catching._chain
    fetcher.disconnected()
    assert fetcher._spent_ns.keys() == chain.blocks.keys()
    del chain.blocks[hash_of(2)]
    fetcher.reconnected()
    fetcher.disconnected()
    assert fetcher._spent_ns.keys() == {hash_of(1), hash_of(3)}
