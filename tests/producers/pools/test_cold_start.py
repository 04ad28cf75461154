"""A start that knows no pool: 1,500 of them speak at once, at a node that answers ten requests a second.

The node is made up, so that its pace is known to the request: derived data.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter, deque
from typing import Any

import msgspec
import pytest

from producers.blocks.bloom import bloom_bits
from producers.chains.configuration import load_chain
from producers.decode.segment import Segment
from producers.kinds.events import EVENT_OF_TOPIC
from producers.node.call_program import CODE
from producers.node.view_calls import DECIMALS, FACTORY, FEE, SYMBOL, TOKEN0, TOKEN1
from tests.producers.collected import Story
from tests.producers.pools.accounts import assert_every_event_log_is_accounted_for
from tests.producers.virtual import SECOND, WALL, new_feed
from tlv.codes import Protocol
from tlv.layout import Gap, PoolSwap, Unproven
from tlv.message import parse

FACTORIES = [factory for factory in load_chain("polygon").factories if factory.protocol_code is Protocol.UNISWAP_V3]
SWAP = next(
    topic
    for topic, event in EVENT_OF_TOPIC.items()
    if event.record is PoolSwap and Protocol.UNISWAP_V3 in event.protocols
)
BLOCK_S = 2
PACE = 10
"""Requests that are answered in a second."""
TOO_MANY = {"code": 429, "message": "Too Many Requests"}
REVERT = {"code": 3, "message": "execution reverted"}


def word(value: int) -> str:
    return f"{value % (1 << 256):064x}"


class ColdNode:
    """A chain of swaps in pools that nobody knows yet, and the node that shows it."""

    def __init__(self, pools: int, blocks: int, *, runs_programs: bool, refuses: bool) -> None:
        self.random = random.Random(7)
        self.runs_programs, self.refuses = runs_programs, refuses
        self.asked: Counter[str] = Counter()
        self.says: dict[tuple[str, str], str] = {}
        self.pools = [self._pool(index) for index in range(pools)]
        self.blocks = [self._block(100, [])]
        for number in range(101, 101 + blocks):
            busy = self.random.choices(self.pools, [1 / (rank + 1) for rank in range(pools)], k=60)
            # every pool speaks within the first blocks
            share = self.pools[(number - 101) * 100 : (number - 100) * 100]
            self.blocks.append(self._block(number, [*share, *busy]))
        self.shown = 1
        self.queue: deque[dict[str, Any]] = deque()

    def _pool(self, index: int) -> str:
        tokens = sorted(hashlib.sha256(b"%d %d" % (index // (4 - side), side)).digest()[:20] for side in (0, 1))
        factory = FACTORIES[0]
        fee = (100, 500, 3000, 10_000)[index % 4]
        address = "0x" + factory.pool_address(tokens[0], tokens[1], fee).hex()
        self.says |= {
            (address, TOKEN0): word(int.from_bytes(tokens[0], "big")),
            (address, TOKEN1): word(int.from_bytes(tokens[1], "big")),
            (address, FEE): word(fee),
            (address, FACTORY): word(int(factory.address, 16)),
        }
        for token in tokens:
            self.says["0x" + token.hex(), DECIMALS] = word(18)
            self.says["0x" + token.hex(), SYMBOL] = word(32) + word(3) + b"TOK".hex().ljust(64, "0")
        return address

    def _block(self, number: int, emitters: list[str]) -> dict[str, Any]:
        block_hash, parent = (f"0x{hashlib.sha256(b'%d' % n).hexdigest()}" for n in (number, number - 1))
        logs, bloom = [], 0
        topics = [SWAP, "0x" + word(1), "0x" + word(2)]
        for index, address in enumerate(emitters):
            transaction = "0x" + hashlib.sha256(f"{number} {index}".encode()).hexdigest()
            log = {"address": address, "topics": topics, "blockHash": block_hash, "blockNumber": hex(number)}
            data = "0x" + word(10**6) + word(-(10**15)) + word(1 << 96) + word(10**18) + word(0)
            log |= {"data": data, "transactionHash": transaction, "logIndex": hex(index), "removed": False}
            logs.append(log)
            for entry in (address, *topics):
                bloom |= bloom_bits(bytes.fromhex(entry[2:]))
        head = {"number": hex(number), "hash": block_hash, "parentHash": parent, "timestamp": hex(number * BLOCK_S)}
        return {"head": head | {"logsBloom": f"0x{bloom:0512x}"}, "logs": logs}

    def take(self, frames: list[bytes]) -> list[bytes]:
        """Requests; those that exceed the pace are refused at once, if it is such a node."""
        self.queue.extend(map(msgspec.json.decode, frames))
        return []

    def answers(self, most: int) -> list[bytes]:
        """Answers to so many requests; the others wait, or are refused."""
        found = [self._reply(self.queue.popleft()) for _ in range(min(most, len(self.queue)))]
        while self.refuses and self.queue:
            found.append({"id": self.queue.popleft()["id"], "error": TOO_MANY})
        return [msgspec.json.encode({"jsonrpc": "2.0", **reply}) for reply in found]

    def pushes(self) -> list[bytes]:
        """The next block: its head, its logs."""
        block = self.blocks[self.shown]
        self.shown += 1
        told = [("heads", block["head"]), *(("logs", log) for log in block["logs"])]
        return [
            msgspec.json.encode({"method": "eth_subscription", "params": {"subscription": name, "result": result}})
            for name, result in told
        ]

    def _reply(self, request: dict[str, Any]) -> dict[str, Any]:
        method, params = request["method"], request["params"]
        self.asked[method] += 1
        seen = self.blocks[: self.shown]
        result: Any = None
        match method:
            case "eth_subscribe":
                result = "logs" if params[0] == "logs" else "heads"
            case "eth_chainId":
                result = hex(137)
            case "eth_getBlockByNumber":
                found = [b["head"] for b in seen if params[0] in ("latest", b["head"]["number"])]
                result = found[-1] if found else None
            case "eth_getBlockByHash":
                result = next((b["head"] for b in seen if b["head"]["hash"] == params[0]), None)
            case "eth_getLogs":
                result = self._logs(seen, params[0])
            case "eth_call":
                return {"id": request["id"], **self._call(params[0])}
        return {"id": request["id"], "result": result}

    def _logs(self, seen: list[dict[str, Any]], wanted: dict[str, Any]) -> list[dict[str, Any]]:
        first, last = int(wanted.get("fromBlock", "0x0"), 16), int(wanted.get("toBlock", "0xffffffff"), 16)
        blocks = [block for block in seen if first <= int(block["head"]["number"], 16) <= last]
        if "blockHash" in wanted:
            blocks = [block for block in seen if block["head"]["hash"] == wanted["blockHash"]]
        logs = [log for block in blocks for log in block["logs"]]
        return [log for log in logs if log["address"] in wanted["address"]] if "address" in wanted else logs

    def _call(self, call: dict[str, str]) -> dict[str, Any]:
        if "to" in call:
            said = self.says.get((call["to"], call["data"]))
            return {"error": REVERT} if said is None else {"result": "0x" + said}
        if not self.runs_programs:
            return {"error": {"code": -32602, "message": "missing value for required argument 0"}}
        questions, answer = call["data"][2 + 2 * len(CODE) :], ""
        while questions:
            end = 64 + 64 * int(questions[40:54], 16)
            to, words, data = questions[:40], int(questions[54:56], 16), questions[56:end]
            questions = questions[end:]
            said = self.says.get(("0x" + to, "0x" + data))
            kept = (said or "")[: 64 * words].ljust(64 * words, "0")
            answer += word(len(said or "") // 2 << 8 | 2 | (said is not None)) + kept
        return {"result": "0x" + answer}


def started(node: ColdNode, seconds: float, pace: float = PACE) -> tuple[Story, Any]:
    """What a feed that knows nothing publishes within this time."""
    feed, story, now_ns, credit, answered = new_feed(), Story(), 0, 0.0, 0
    step_ns = SECOND // 10
    feed.connected(now_ns, WALL)
    while now_ns < seconds * SECOND:
        node.take(feed.requests())
        credit = min(credit + pace / 10, max(pace, 1.0))
        frames = node.answers(int(credit))
        answered = sum(b'"error":{"code":429' not in frame for frame in frames)
        credit -= answered
        clock = (now_ns, WALL + now_ns)
        feed.receive(frames, *clock)
        if now_ns % (BLOCK_S * SECOND) == 0 and now_ns and node.shown < len(node.blocks):
            feed.receive(node.pushes(), *clock)
        feed.tick(*clock)
        for item in feed.messages():
            if isinstance(item, Segment):
                for payload in item.messages():
                    story.add(parse(payload))
            else:
                story.add(parse(item))
        now_ns += step_ns
    return story, feed


@pytest.mark.parametrize("refuses", [False, True], ids=["slow", "too_many_requests"])
def test_start_with_1500_unknown_pools_at_ten_requests_a_second_loses_no_event(refuses: bool) -> None:
    node = ColdNode(1500, 40, runs_programs=True, refuses=refuses)
    story, feed = started(node, 40 * BLOCK_S + 60)
    swaps = [record for record in story.standing.values() if isinstance(record, PoolSwap)]
    assert len(swaps) == sum(len(block["logs"]) for block in node.blocks)
    assert not story.twice.total()
    assert not [record for message in story.messages for record in message.records if isinstance(record, Gap)]
    statistics = feed.count()
    assert statistics.pools == 1500 and feed.settled
    assert_every_event_log_is_accounted_for(statistics)
    last = {r.emitter: r.held_back for m in story.messages for r in m.records if isinstance(r, Unproven)}
    assert not any(last.values())
    assert node.asked["eth_call"] < 150


def test_start_at_a_node_that_runs_no_programs_asks_the_busiest_first_and_loses_no_event() -> None:
    node = ColdNode(300, 60, runs_programs=False, refuses=False)
    story, feed = started(node, 400)
    swaps = [record for record in story.standing.values() if isinstance(record, PoolSwap)]
    assert len(swaps) == sum(len(block["logs"]) for block in node.blocks)
    assert feed.count().pools == 300 and feed.settled
    assert_every_event_log_is_accounted_for(feed.count())


def test_start_at_a_fast_node_that_runs_no_programs_waits_for_nothing_but_its_answers() -> None:
    """Whoever is proven makes room for the next; nobody was asked until the first deadline, 15 s later."""
    node = ColdNode(100, 1, runs_programs=False, refuses=False)
    _, feed = started(node, BLOCK_S + 5, pace=1e6)
    assert feed.count().pools == 100 and feed.settled
