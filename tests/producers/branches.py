"""Chains with many branches, made of recorded logs under made-up headers: derived data, for what no recording shows.

The recorded sessions hold three reorgs; here a seed makes dozens, three to four blocks deep, with returns to branches
that were left before, parents that are never announced, and logs that are pushed again or not at all.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from functools import cache

import msgspec

from producers.blocks.bloom import bloom_bits
from producers.decode.cold import RefusedLog, decode_log
from producers.kinds.emitter_key import key_of
from producers.kinds.events import EVENT_OF_TOPIC
from producers.node.rpc_types import Log as RpcLog
from tests.producers.collected import Identity, exchanged_pairs, proven_pools, recorded_rows
from tests.producers.virtual import SECOND, recording
from tlv.layout import PoolRecord
from tools.recording.blocks import RecordedBlock, RecordedLog
from tools.recording.recording import Recording
from tools.recording.timeline import Moment

BASE = 1000
UNKNOWN_PARENT = "0x" + "22" * 32
_EVENT_ROWS: list[dict[str, object]] = []


def event_rows() -> list[dict[str, object]]:
    """The recorded logs with an event's topic, lookalikes among them."""
    if not _EVENT_ROWS:
        rows = map(msgspec.json.decode, recorded_rows("recording_2021-04-20_canonical_logs"))
        _EVENT_ROWS.extend(row for row in rows if row["topics"] and row["topics"][0] in EVENT_OF_TOPIC)
    return _EVENT_ROWS


@cache
def bloom_of(entry: str) -> int:
    """The bits of an address or topic in a bloom filter."""
    return bloom_bits(bytes.fromhex(entry[2:]))


class Branches:
    """A growing tree of blocks, and the steps in which a node shows it."""

    def __init__(self, seed: int, moves: int) -> None:
        self.random = random.Random(seed)
        self.blocks: dict[str, RecordedBlock] = {}
        self.logs: dict[str, tuple[RecordedLog, ...]] = {}
        self.steps: list[Moment] = []
        self.served: set[str] = set()
        self.tips: list[RecordedBlock] = []
        self.reorgs = 0
        self.head = self._block(BASE, UNKNOWN_PARENT)
        self._show([self.head])
        for _ in range(moves):
            self._move()
        for _ in range(3):  # so that the last branch is beyond doubt
            self.head = self._block(self.head.number + 1, self.head.hash)
            self._show([self.head])

    def recording(self) -> Recording:
        return replace(
            recording(),
            name="branches",
            blocks=self.blocks,
            logs=self.logs,
            steps=tuple(self.steps),
            first_head=self.steps[0].adopts or "",
            unknown_answers={},
        )

    def canonical(self) -> dict[Identity, PoolRecord]:
        """The events of proven pools on the branch of the last head."""
        pools, events = proven_pools() | exchanged_pairs(), {}
        block: RecordedBlock | None = self.head
        while block is not None:
            for served in self.logs[block.hash]:
                log = msgspec.json.decode(served.body, type=RpcLog)
                pool = pools.get(key_of(log))
                if pool is None:
                    continue
                try:
                    record = decode_log(log, pool)
                except RefusedLog:
                    continue
                transaction = bytes.fromhex((log.transaction_hash or "")[2:])
                identity = (bytes.fromhex(block.hash[2:]), transaction, int(log.log_index or "", 16))
                events[identity] = record
            block = self.blocks.get(block.parent_hash)
        return events

    def _move(self) -> None:
        chance = self.random.random()
        old_tips = [tip for tip in self.tips if tip.number >= self.head.number - 2 and tip is not self.head]
        if chance < 0.7:
            self.head = self._block(self.head.number + 1, self.head.hash)
            self._show([self.head])
        elif chance < 0.85 or not old_tips:
            self._switch(self._ancestor(self.head, self.random.randint(1, 4)))
        else:
            self._switch(self.random.choice(old_tips))

    def _switch(self, fork: RecordedBlock) -> None:
        """Grow a branch on `fork` until it is longer than the present one."""
        self.tips = [*self.tips[-5:], self.head]
        self.reorgs += 1
        length = max(1, self.head.number - fork.number + self.random.randint(0, 1))
        branch, top = [], fork
        for _ in range(length):
            top = self._block(top.number + 1, top.hash)
            branch.append(top)
        back, block = [], fork
        while block.hash not in self._line(self.head):
            back.append(block)
            block = self.blocks[block.parent_hash]
        self.head = top
        self._show([*reversed(back), *branch])

    def _show(self, blocks: list[RecordedBlock]) -> None:
        """Announce some of the blocks, the last one always; push logs, sometimes again for those that return."""
        due = len(self.steps) * SECOND
        for block in blocks:
            last = block is blocks[-1]
            if last or self.random.random() < 0.4:
                self.steps.append(Moment(due, adopts=block.hash, announces=block.hash))
            if block.hash not in self.served or self.random.random() < 0.5:
                self.served.add(block.hash)
                if self.random.random() < 0.9:
                    self.steps.append(Moment(due, logs_of=block.hash))

    def _block(self, number: int, parent_hash: str) -> RecordedBlock:
        block_hash = "0x" + hashlib.sha256(f"{self.random.random()}".encode()).hexdigest()
        rows = event_rows()
        begin = self.random.randrange(len(rows) - 12)
        logs, bloom = [], 0
        for index, row in enumerate(rows[begin : begin + self.random.randint(0, 12)]):
            moved = {**row, "blockHash": block_hash, "blockNumber": hex(number), "logIndex": hex(index)}
            identity = (str(row["transactionHash"]), hex(index))
            topics = tuple(map(str, row["topics"]))  # type: ignore[call-overload]
            for entry in (str(row["address"]), *topics):
                bloom |= bloom_of(entry)
            logs.append(RecordedLog(str(row["address"]), topics, identity, msgspec.json.encode(moved)))
        head = {
            "number": hex(number),
            "hash": block_hash,
            "parentHash": parent_hash,
            "timestamp": hex(number),
            "logsBloom": f"0x{bloom:0512x}",
        }
        text = msgspec.json.encode(head)
        block = RecordedBlock(number, block_hash, parent_hash, UNKNOWN_PARENT, text, text)
        self.blocks[block_hash] = block
        self.logs[block_hash] = tuple(logs)
        return block

    def _ancestor(self, block: RecordedBlock, depth: int) -> RecordedBlock:
        for _ in range(depth):
            block = self.blocks.get(block.parent_hash, block)
        return block

    def _line(self, block: RecordedBlock) -> set[str]:
        line = set()
        while True:
            line.add(block.hash)
            if block.parent_hash not in self.blocks:
                return line
            block = self.blocks[block.parent_hash]
