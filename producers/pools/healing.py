"""What was held back of emitters that are proven now, fetched again and given back to its blocks in order.

Owns the requests, and up to which block each such emitter may be published meanwhile (`gate`).  It must never decide
who is proven, nor publish: a block whose logs are back is an arrival, and `producers.assembly` does the rest.

    heal(pool):    the gate of the emitter is below its first block with such logs; later logs of it are held back too
    pump:          eth_getLogs{blockHash, address: [all that heal in it]}, lowest blocks first
    answer:        every log that was let go is in it, else it is asked again; the gate moves on, block by block
    no block left: the emitter has no gate

So each emitter's events stay in order, and none comes twice: a block knows by identity what it let go of.  A node that
refuses `blockHash` is asked by number, every other time; then the logs themselves say of which block they are.  A block
that left the chain is not asked about, should it come back it is.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import msgspec

from producers.blocks.arrivals import Arrivals, HeldBackFetched
from producers.blocks.block import Block, identify
from producers.blocks.chain import Chain
from producers.context import Context
from producers.kinds.emitter_key import address_of, key_of
from producers.kinds.events import EVENT_OF_TOPIC
from producers.node.jsonrpc import LOGS, TIMED_OUT, UNREADABLE, Failure
from producers.node.refusals import Meaning
from producers.node.rpc_types import Log
from producers.pools.pauses import Pauses

MOST_IN_FLIGHT = 8
MOST_ADDRESSES = 64
"""In one request; halved when a node finds it too much."""
PAUSES_S = (0.1, 5.0)


class _Wanted:
    """A block with logs to be fetched."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.keys: set[str] = set()
        """Of the pools whose logs are wanted."""
        self.back: dict[str, dict[str, Log]] = {}
        """By pool and place: everything that it let go of is there."""
        self.pauses = Pauses(*PAUSES_S)
        self.attempts = 0
        self.in_flight = False


class Healer:
    """The emitters that are proven and not caught up with."""

    def __init__(self, context: Context, chain: Chain, arrivals: Arrivals) -> None:
        self._clock, self._rpc, self._capabilities = context.clock, context.rpc, context.capabilities
        self._chain, self._arrivals = chain, arrivals
        self.gate: dict[str, int] = {}
        """By pool (`producers.kinds.emitter_key`): the highest block number whose events may be published."""
        self.healed: list[str] = []
        """Emitters that were caught up with, until somebody takes them."""
        self.released: Counter[str] = Counter()
        """Logs of each that wait in their blocks again, until somebody takes the numbers."""
        self._blocks: dict[str, list[Block]] = {}
        """By pool: what is to be fetched, lowest first."""
        self._wanted: dict[str, _Wanted] = {}
        """By block hash."""
        self._in_flight = 0
        self._most_addresses = MOST_ADDRESSES

    def heal(self, key: str) -> bool:
        """Fetch everything that was let go of this pool; False if that is nothing."""
        blocks = [block for block in self._chain.canonical.values() if key in block.unpublished]
        for block in blocks:
            self.want(key, block)
        return bool(blocks)

    def want(self, key: str, block: Block) -> None:
        """Fetch what `block` let go of this pool."""
        blocks = self._blocks.setdefault(key, [])
        if block not in blocks:
            blocks.append(block)
            blocks.sort(key=lambda block: block.number)
        self.gate[key] = min(self.gate.get(key, block.number), blocks[0].number - 1)
        self._wanted.setdefault(block.hash, _Wanted(block)).keys.add(key)

    def reconnected(self) -> None:
        """Another connection, perhaps another node."""
        self._most_addresses = MOST_ADDRESSES
        for wanted in self._wanted.values():
            wanted.pauses = Pauses(*PAUSES_S)

    def pump(self) -> None:
        """Send what may be in flight."""
        now_ns = self._clock.now_ns
        due = [wanted for wanted in self._wanted.values() if not wanted.in_flight and wanted.pauses.due_ns <= now_ns]
        for wanted in sorted(due, key=lambda wanted: wanted.block.number):
            if not self._chain.is_canonical(wanted.block):
                self._forget(wanted)
            elif self._in_flight < MOST_IN_FLIGHT:
                keys = sorted(wanted.keys - wanted.back.keys())[: self._most_addresses]
                if keys:
                    self._ask(wanted, keys)

    def _ask(self, wanted: _Wanted, keys: list[str]) -> None:
        addresses = list(dict.fromkeys(map(address_of, keys)))
        block, members = wanted.block, {"address": addresses, "topics": [sorted(EVENT_OF_TOPIC)]}
        number = hex(block.number)
        by_number = wanted.attempts % 2 or not self._capabilities.logs_by_hash
        where: dict[str, Any] = {"fromBlock": number, "toBlock": number} if by_number else {"blockHash": block.hash}
        wanted.attempts += 1
        wanted.in_flight = True
        self._in_flight += 1
        then = partial(self._take, wanted, keys)
        self._rpc.ask("eth_getLogs", [{**where, **members}], then)

    def _take(self, wanted: _Wanted, keys: list[str], result: msgspec.Raw | None, failure: Failure | None) -> None:
        wanted.in_flight = False
        self._in_flight -= 1
        if failure is not None and (failure is TIMED_OUT or failure.meaning in (Meaning.RANGE, Meaning.SIZE)):
            self._most_addresses = max(self._most_addresses // 2, 1)
        logs = _read(result)
        complete = [key for key in keys if self._keep(wanted, key, logs)]
        if len(complete) < len(keys):
            wanted.pauses.failed(self._clock.now_ns)
        for key in complete:
            self._deliver(key)

    def _keep(self, wanted: _Wanted, key: str, logs: list[Log]) -> bool:
        """Whether everything that the block let go of this emitter is among these logs."""
        let_go = wanted.block.unpublished.get(key, set())
        found: dict[str, Log] = {}
        for log in logs:
            place = identify(log) if log.block_hash == wanted.block.hash and key_of(log) == key else None
            if place is not None:
                found[place[0]] = log
        if not let_go <= found.keys():
            return False
        wanted.back[key] = found
        return True

    def _deliver(self, key: str) -> None:
        """Give back what stands before the first block that is still to be fetched."""
        blocks = self._blocks.get(key)
        if blocks is None:
            return
        while blocks:
            block = blocks[0]
            wanted = self._wanted.get(block.hash)
            if wanted is not None and self._chain.is_canonical(block):
                if key not in wanted.back:
                    break
                self.released[key] += sum(block.release(key, log) for log in wanted.back[key].values())
                self._arrivals.append(HeldBackFetched(block))
            blocks.pop(0)
            if wanted is not None:
                self._leave(wanted, key)
            self.gate[key] = blocks[0].number - 1 if blocks else block.number
        if not blocks:
            del self._blocks[key]
            self.gate.pop(key, None)
            self.healed.append(key)

    def _forget(self, wanted: _Wanted) -> None:
        """The block left the chain, or is too far below its head."""
        for key in list(wanted.keys):
            self._leave(wanted, key)
            blocks = self._blocks.get(key, [])
            if wanted.block in blocks:
                blocks.remove(wanted.block)
            self._deliver(key)

    def _leave(self, wanted: _Wanted, key: str) -> None:
        wanted.keys.discard(key)
        wanted.back.pop(key, None)
        if not wanted.keys:
            self._wanted.pop(wanted.block.hash, None)


def _read(result: msgspec.Raw | None) -> list[Log]:
    if result is None:
        return []
    try:
        logs: list[Log] = LOGS.decode(result)
        return [msgspec.structs.replace(log, address=log.address.lower()) for log in logs]
    except UNREADABLE:
        return []
