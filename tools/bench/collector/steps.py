"""The longest single steps of a collector, which are not divided: half of one would publish something false.

Owns the three scenes: an answer of 16 MiB, a long outage, a deep reorg.  The feed and the recording node's core are
connected without sockets, so each reading is the time of one call.  The baseline is `json.loads` of the scene's frames.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from itertools import chain, cycle, islice
from pathlib import Path

import msgspec

from producers.blocks.block import ended_block
from producers.blocks.recovery import Recovered
from producers.chains.configuration import load_chain
from producers.decode.pool_table import PoolTable
from producers.feed import Feed
from producers.kinds.events import EVENTS
from producers.output.epoch import OutputRing
from tlv.codes import Completeness
from tlv.units import MS
from tools.bench.collector.load import Blocks, event_blocks, head_of, write_load
from tools.bench.result import BenchResult
from tools.recording.core import NodeCore
from tools.recording.recording import load_recording

BIG_BLOCK = 23_000
"""Logs; 15 MiB in one answer, just below the largest message."""
OUTAGE = 4_000
"""Blocks; more than 4,096 are not walked back to."""
REORG = 64
REORG_LOGS = 200
TICK_NS = 20 * MS


def run(seconds: float) -> list[BenchResult]:
    """Each scene once: rare steps happen with cold caches, so a repetition would be too fast."""
    sync = next(event.topic0 for event in EVENTS if event.name == "sync")
    syncs = [row for row in chain.from_iterable(event_blocks()) if row["topics"][0] == sync]
    logs = [{**row, "transactionHash": f"0x{at:064x}"} for at, row in enumerate(islice(cycle(syncs), BIG_BLOCK))]
    title = "collector, one step: "
    answer, outage = CatchUp([logs[:1], logs]), CatchUp([logs[:1]] * OUTAGE)
    reorg = CatchUp([logs[:REORG_LOGS]] * (REORG + 4))
    reorg.longest_ms = 0.0
    reorg.frames = reorg.other_branch(4)
    reorg.receive(reorg.frames)
    assert reorg.removed_events == REORG * REORG_LOGS, f"expected a whole reorg, found {reorg.removed_events} events"
    return [
        answer.result(title + f"an answer of {BIG_BLOCK} logs"),
        outage.result(title + f"adoption of {OUTAGE} blocks"),
        reorg.result(title + f"reorg of {REORG} blocks with {REORG * REORG_LOGS} events"),
    ]


class CatchUp:
    """A feed that has missed everything but block 1 of a load, catches up, and is timed call by call."""

    def __init__(self, blocks: Blocks) -> None:
        polygon = load_chain("polygon")
        with tempfile.TemporaryDirectory() as folder:
            write_load(Path(folder), blocks, sum(map(len, blocks)))
            self._core = NodeCore(load_recording(Path(folder), polygon.chain_id))
        while self._core.due_ns is not None:
            self._core.step()
        self._top = len(blocks)
        self._client = self._core.connect()
        self._heads = ""
        self._now_ns = 0
        self.longest_ms = 0.0
        self.frames: list[bytes] = []
        story = Recovered([ended_block(head_of(1), Completeness.REFETCHED)], [], [])
        self._feed = Feed(polygon, OutputRing(bytes(16), 1, 1), PoolTable(), {}, recovered=story, now_ns=0, wall_ns=0)
        self._feed.connected(now_ns=0, wall_ns=0)
        while not self._feed.settled:
            self._exchange()
            self._now_ns += TICK_NS
            self._feed.tick(self._now_ns, self._now_ns)
            self._feed.messages()

    @property
    def removed_events(self) -> int:
        """Events that a reorg took back."""
        return self._feed.count().removed_events

    def receive(self, frames: list[bytes]) -> None:
        """One call of the feed, as the socket's callback makes it."""
        begin = time.perf_counter()
        self._feed.receive(frames, self._now_ns, self._now_ns)
        self._feed.messages()
        self.longest_ms = max(self.longest_ms, 1000 * (time.perf_counter() - begin))

    def other_branch(self, fork: int) -> list[bytes]:
        """The heads of a branch that leaves the chain above block `fork` and gets longer than it."""
        parent, frames = head_of(fork).hash, []
        for number in range(fork + 1, self._top + 2):
            block_hash = "0x" + hashlib.sha256(b"other %d" % number).hexdigest()
            head = {"number": hex(number), "hash": block_hash, "parentHash": parent}
            params = {"subscription": self._heads, "result": head}
            frames.append(msgspec.json.encode({"method": "eth_subscription", "params": params}))
            parent = block_hash
        return frames

    def result(self, name: str) -> BenchResult:
        """The longest call beside the parsing of the same text."""
        begin = time.perf_counter()
        for frame in self.frames:
            json.loads(frame)
        baseline = 1000 * (time.perf_counter() - begin)
        size = sum(map(len, self.frames)) / (1 << 20)
        ratio = baseline / self.longest_ms
        return BenchResult(
            name, self.longest_ms, "ms", "json.loads of the frames", baseline, ratio, None, f"{size:.1f} MiB"
        )

    def _exchange(self) -> None:
        while requests := self._feed.requests():
            for request in requests:
                answer = self._core.receive(request, self._client)
                assert answer is not None
                if b'"newHeads"' in request:
                    self._heads = msgspec.json.decode(answer)["result"]
                self.frames.append(answer)
                self.receive([answer])
