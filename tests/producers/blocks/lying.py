"""A node of made-up blocks whose answers a test can delay, empty, cut or spoil; no logs but those of one proven pool.

Derived data: recorded events of one pool under made-up headers with their true bloom filters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import msgspec

from producers.blocks.bloom import bloom_of
from producers.decode.segment import Segment
from producers.feed import Feed
from producers.kinds.events import EVENT_OF_TOPIC
from tests.producers.collected import proven_pools, recorded_rows
from tests.producers.virtual import VirtualFeed, recording
from tlv.message import parse
from tlv.venues import FIRST_FREE_CODE
from tools.recording.core import NodeCore

FIRST = 60_000_001
Answer = Callable[[str, list[Any], Any], Any]
"""Of method, parameters and true result: the result to send; `REFUSED` for an error."""


class Refused(NamedTuple):
    """An answer that is an error."""

    error: dict[str, Any]


REFUSED = Refused({"code": -32000, "message": "unknown block"})
CANONICAL = "recording_2021-04-20_canonical_logs"
_EVENTS: list[dict[str, Any]] = []


def events() -> list[dict[str, Any]]:
    """Recorded events of proven pools, of the project's own venues: which logs a made-up block has, and so what its
    bloom filter shows, stays the same whatever a chain file adds."""
    if not _EVENTS:
        pools = {name for name, pool in proven_pools().items() if pool.venue < FIRST_FREE_CODE}
        rows = map(msgspec.json.decode, recorded_rows(CANONICAL))
        _EVENTS.extend(row for row in rows if row["address"] in pools and row["topics"][0] in EVENT_OF_TOPIC)
    return _EVENTS


def hiding(hidden: Collection[str]) -> Answer:
    """The truth, but for the headers of these blocks, which nobody has."""
    return lambda method, params, result: None if isinstance(result, dict) and result.get("hash") in hidden else result


class LyingNode(VirtualFeed):
    """One chain, and a feed that follows it on a virtual clock."""

    STEP_S = 0.1

    def __init__(self, feed: Feed, answer: Answer = lambda method, params, result: result) -> None:
        super().__init__(feed)
        self.answer = answer
        self.blocks: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, list[dict[str, Any]]] = {}
        self.line: list[str] = []
        """Hashes of the chain, oldest first."""
        self.asked: list[tuple[int, str, list[Any]]] = []
        self._core = NodeCore(recording())
        self._made = 0
        self.mine(0)
        self.feed.connected(**self.clock)
        self.exchange()

    @property
    def head(self) -> dict[str, Any]:
        return self.blocks[self.line[-1]]

    def mine(self, logs: int = 2, **changed: Any) -> dict[str, Any]:
        """A block on the head; nobody is told."""
        self._made += 1
        number = int(self.head["number"], 16) + 1 if self.line else FIRST
        name = "0x" + hashlib.sha256(f"{self._made}".encode()).hexdigest()
        parent = self.line[-1] if self.line else "0x" + "11" * 32
        place = {"blockHash": name, "blockNumber": hex(number)}
        rows = [
            {**events()[(self._made * 7 + at) % 200], **place, "transactionIndex": hex(at), "logIndex": hex(at)}
            for at in range(logs)
        ]
        entries = {entry for row in rows for entry in (row["address"], *row["topics"])}
        block = {
            "number": hex(number),
            "hash": name,
            "parentHash": parent,
            "timestamp": hex(1_700_000_000 + number),
            "gasUsed": hex(21_000 * logs),
            "gasLimit": "0x1c9c380",
            "logsBloom": f"0x{bloom_of(entries):0512x}",
            **changed,
        }
        self.blocks[block["hash"]], self.logs[block["hash"]] = block, rows
        self.line.append(block["hash"])
        return block

    def forget(self, keep: int) -> None:
        """Of the blocks, on whatever branch, only the last `keep` that were mined, and nothing of what was said."""
        for name in list(self.blocks)[:-keep]:
            del self.blocks[name], self.logs[name]
        self.line = [name for name in self.line if name in self.blocks]
        self.asked.clear()
        self.story.messages.clear()
        self.story.standing.clear()
        self.story.twice.clear()

    def push(self, block: dict[str, Any], logs: list[dict[str, Any]] | None = None, *, head: bool = True) -> None:
        """Announce a block, and its logs, or these."""
        notices = [(self.feed._subscriptions.heads, block)] if head else []
        notices += [
            (self.feed._subscriptions.logs, log) for log in (self.logs[block["hash"]] if logs is None else logs)
        ]
        params = [{"subscription": name, "result": result} for name, result in notices]
        frames = [msgspec.json.encode({"method": "eth_subscription", "params": each}) for each in params]
        self.feed.receive(frames, **self.clock)
        self.exchange()

    def grow(self, blocks: int, logs: int = 2, seconds: float = 2.0) -> None:
        """An honest stretch."""
        for _ in range(blocks):
            self.push(self.mine(logs))
            self.wait(seconds)

    def exchange(self) -> None:
        """Requests and answers, until the feed says nothing more."""
        while requests := self.feed.requests():
            for request in map(msgspec.json.decode, requests):
                self.asked.append((self.now_ns, request["method"], request["params"]))
                self.feed.receive([self._reply(request)], **self.clock)
        for item in self.feed.messages():
            if isinstance(item, Segment):
                for payload in item.messages():
                    self.story.add(parse(payload))
            else:
                self.story.add(parse(item))

    def standing(self) -> list[tuple[str, int]]:
        """(block hash, log index) of each event that stands."""
        return sorted(("0x" + block.hex(), index) for block, _, index in self.story.standing)

    def canonical(self) -> list[tuple[str, int]]:
        """What should stand."""
        return sorted((name, at) for name in self.line for at in range(len(self.logs[name])))

    def _reply(self, request: dict[str, Any]) -> bytes:
        method, params = request["method"], request["params"]
        result = self.answer(method, params, self._result(method, params))
        said = {"error": result.error} if isinstance(result, Refused) else {"result": result}
        return msgspec.json.encode({"id": request["id"], **said})

    def _result(self, method: str, params: list[Any]) -> Any:
        if method == "eth_subscribe":
            return "0xaa" if params[0] == "logs" else "0xbb"
        if method == "eth_getBlockByHash":
            return self.blocks.get(params[0])
        if method == "eth_getBlockByNumber":
            if params[0] == "latest":
                return self.head
            return next((self.blocks[name] for name in self.line if self.blocks[name]["number"] == params[0]), None)
        if method == "eth_getLogs":
            if "blockHash" in params[0]:
                return self.logs.get(params[0]["blockHash"], REFUSED)
            first, last = int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)
            line = [name for name in self.line if first <= int(self.blocks[name]["number"], 16) <= last]
            return [log for name in line for log in self.logs[name]]
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = msgspec.json.decode(self._core.receive(msgspec.json.encode(request)) or b"")
        return answer["result"] if "result" in answer else Refused(answer["error"])
