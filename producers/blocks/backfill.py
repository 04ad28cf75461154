"""Asking the node for what it did not push: parents that were never announced, and the logs of whole blocks.

Owns the requests, their retries and their deadlines.  It must never decide what is canonical: everything here is tied
to a hash, so a stale answer does no harm.  Results are appended to the list of `producers.blocks.arrivals`.

    logs of a block       eth_getLogs{blockHash}; "unknown block" is retried for `PATIENCE_S`, as nodes say it for a
                          while after a reorg; then it is given up, if the node has that block in its chain
    logs of many blocks   eth_getLogs{fromBlock, toBlock}, halved when the node finds it too much, and as long as the
                          answers stay short.  A number is no hash: what the answer shows for another branch, or an
                          empty block whose bloom speaks of events, is asked again by hash
    a parent              eth_getBlockByHash, three times; a long stretch is asked by number beforehand, all at once
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial

import msgspec

from producers.blocks.arrivals import Arrivals, HeaderFetched, LogsFetched, LogsUnavailable
from producers.blocks.block import Block, Progress
from producers.blocks.chain import Chain
from producers.blocks.completeness import Evidence
from producers.context import Context
from producers.node.jsonrpc import DISCONNECTED, HEAD_OR_NULL, LOGS, UNREADABLE, Failure, Rejection
from producers.node.node_height import AtHeight, NodeHeight
from producers.node.rpc_types import Head, Log
from tlv.units import MS, NS

MAX_BLOCKS_AT_ONCE = 16
"""Requests for single blocks in flight; leaves room in the 64 of the connection for `eth_call`."""
RANGE_FROM = 8
"""Fewer blocks than this are cheaper one by one."""
LARGEST_RANGE = 64
"""Where quiet blocks end and busy ones begin, so many of these, with 300 logs each, are 13 MB: still one message."""
LONG_ANSWER = 2_000
"""Logs; 1.3 MiB.  6 us each to be read and merged, in one step that keeps the event loop away (`alphapulse bench --only
collector`); and an answer of 16 MiB is one that `producers.node.connection` refuses, with the connection."""
PATIENCE_S = 30.0
"""How long a block that the node does not know, or cannot list, is asked for again."""
FIRST_DELAY_NS = 50 * MS
LONGEST_DELAY_NS = 2 * NS
PARENT_DELAYS_NS = (50 * MS, 150 * MS)
MOST_PARENTS = 1024
"""Headers asked by number at once."""


class LogFetcher:
    """Fetches the logs of WANTED blocks until each is merged or given up."""

    def __init__(self, context: Context, evidence: Evidence, arrivals: Arrivals) -> None:
        self._clock, self._rpc, self._timers = context.clock, context.rpc, context.timers
        self._filter, self._evidence, self._arrivals = context.log_filter, evidence, arrivals
        self._node_height = NodeHeight(context.rpc)
        self.due: dict[str, Block] = {}
        """The blocks that the next `pump` asks for, by hash."""
        self._attempts: dict[str, int] = defaultdict(int)
        self._since: dict[str, int] = {}
        self._in_flight = 0
        self._range, self._largest_range = RANGE_FROM, LARGEST_RANGE

    def reconnected(self) -> None:
        """Another connection, perhaps another node: deadlines and limits begin anew."""
        self._attempts.clear()
        self._since.clear()
        self._range, self._largest_range = RANGE_FROM, LARGEST_RANGE

    def want(self, block: Block) -> None:
        """Fetch the logs of `block` with the next `pump`."""
        self.due[block.hash] = block
        self._since.setdefault(block.hash, self._clock.now_ns)

    def pump(self, chain: Chain) -> None:
        """Send as many requests as may be in flight.  Blocks that left the chain are forgotten."""
        wanted = []
        for block in sorted(self.due.values(), key=lambda block: block.number):
            if block.progress is Progress.WANTED and chain.is_canonical(block):
                wanted.append(block)
            else:
                self._forget(block)
        while wanted and self._in_flight < MAX_BLOCKS_AT_ONCE:
            run = 1
            while run < min(len(wanted), self._range) and wanted[run].number == wanted[run - 1].number + 1:
                run += 1
            blocks, wanted = wanted[: run if run >= RANGE_FROM else 1], wanted[run if run >= RANGE_FROM else 1 :]
            for block in blocks:
                del self.due[block.hash]
            self._in_flight += 1
            if len(blocks) == 1:
                self._rpc.ask(
                    "eth_getLogs", [{"blockHash": blocks[0].hash, **self._filter}], partial(self._on_block, blocks[0])
                )
            else:
                numbers = {"fromBlock": hex(blocks[0].number), "toBlock": hex(blocks[-1].number)}
                self._rpc.ask("eth_getLogs", [{**numbers, **self._filter}], partial(self._on_range, blocks))

    def _on_block(self, block: Block, result: msgspec.Raw | None, failure: Failure | None) -> None:
        self._in_flight -= 1
        if failure is DISCONNECTED:
            return
        logs = self._read(result)
        if logs is None or any(log.block_hash != block.hash for log in logs):
            self._retry(block)
            return
        self._fit_range(1, len(logs))
        self._forget(block)
        self._arrivals.append(LogsFetched(block, logs))

    def _on_range(self, blocks: list[Block], result: msgspec.Raw | None, failure: Failure | None) -> None:
        self._in_flight -= 1
        if failure is DISCONNECTED:
            return
        logs = self._read(result)
        if logs is None:
            # Whatever the reason: half of it, down to single blocks, which are retried on their own.
            self._range = max(len(blocks) // 2, 1)
            if failure is not None and failure.is_range_limit:
                self._largest_range = self._range
            for block in blocks:
                self.want(block)
            return
        self._fit_range(len(blocks), len(logs))
        by_hash: dict[str | None, list[Log]] = defaultdict(list)
        for log in logs:
            by_hash[log.block_hash].append(log)
        for block in blocks:
            if block.hash in by_hash or self._evidence.proves_empty(block):
                self._forget(block)
                self._arrivals.append(LogsFetched(block, by_hash[block.hash]))
            else:
                self._timers.after(0, partial(self._ask_alone, block))

    def _fit_range(self, blocks: int, logs: int) -> None:
        """So many blocks had so many logs: ask for what should be an answer that is not long, at most twice as much."""
        fitting = LONG_ANSWER * blocks // max(logs, 1)
        self._range = max(1, min(fitting, 2 * max(self._range, blocks), self._largest_range))

    def _ask_alone(self, block: Block) -> None:
        self._in_flight += 1
        self._rpc.ask("eth_getLogs", [{"blockHash": block.hash, **self._filter}], partial(self._on_block, block))

    def _retry(self, block: Block) -> None:
        attempt = self._attempts[block.hash]
        self._attempts[block.hash] += 1
        since = self._since.setdefault(block.hash, self._clock.now_ns)
        if self._clock.now_ns - since > PATIENCE_S * NS:
            self._forget(block)
            self._node_height.ask(block.number, block.hash, partial(self._judge, block))
            return
        delay_ns = min(FIRST_DELAY_NS << min(attempt, 16), LONGEST_DELAY_NS)
        self._timers.after(delay_ns, partial(self.want, block))

    def _judge(self, block: Block, has: AtHeight) -> None:
        """The node cannot list the logs of a block: is it a hole, or a block that the node left behind?"""
        if has is AtHeight.OURS:
            self._arrivals.append(LogsUnavailable(block))
        else:
            self.want(block)  # until the head that replaces it comes

    def _forget(self, block: Block) -> None:
        self.due.pop(block.hash, None)
        self._since.pop(block.hash, None)
        self._attempts.pop(block.hash, None)

    def _read(self, result: msgspec.Raw | None) -> list[Log] | None:
        if result is None:
            return None
        try:
            return LOGS.decode(result)
        except UNREADABLE:
            self._rpc.reject(Rejection.BAD_LOG)
            return None


class ParentFetcher:
    """Fetches headers that were never announced."""

    def __init__(self, context: Context, arrivals: Arrivals, on_missing: Callable[[str], None]) -> None:
        self._rpc, self._timers, self._arrivals, self._on_missing = context.rpc, context.timers, arrivals, on_missing
        self._asked: set[str] = set()
        self._awaited: dict[int, str] = {}
        self._by_number: set[int] = set()

    def seek(self, block_hash: str, number: int, known_below: int | None) -> None:
        """Get the header of this hash and number: it arrives, or `on_missing` is called with its hash.

        `known_below` is the newest number that is known already; if it is far away, what lies between is fetched too.
        """
        if number in self._by_number:
            self._awaited[number] = block_hash
            return
        if block_hash in self._asked:
            return
        if known_below is not None and RANGE_FROM < number - known_below <= MOST_PARENTS:
            self._by_number = set(range(known_below + 1, number + 1))
            self._awaited[number] = block_hash
            for wanted in range(number, known_below, -1):
                self._rpc.ask("eth_getBlockByNumber", [hex(wanted), False], partial(self._on_number, wanted))
            return
        self._asked.add(block_hash)
        self._ask(block_hash, 0)

    def _ask(self, block_hash: str, attempt: int) -> None:
        then = partial(self._on_hash, block_hash, attempt)
        self._rpc.ask("eth_getBlockByHash", [block_hash, False], then, urgent=True)

    def _on_hash(self, block_hash: str, attempt: int, result: msgspec.Raw | None, failure: Failure | None) -> None:
        if failure is DISCONNECTED:
            self._asked.discard(block_hash)
            return
        head = self._read(result)
        if head is not None and head.hash == block_hash:
            self._asked.discard(block_hash)
            self._arrivals.append(HeaderFetched(head))
        elif attempt < len(PARENT_DELAYS_NS):
            self._timers.after(PARENT_DELAYS_NS[attempt], partial(self._ask, block_hash, attempt + 1))
        else:
            self._asked.discard(block_hash)
            self._on_missing(block_hash)

    def _on_number(self, number: int, result: msgspec.Raw | None, failure: Failure | None) -> None:
        self._by_number.discard(number)
        awaited = self._awaited.pop(number, None)
        if failure is DISCONNECTED:
            return
        head = self._read(result)
        if head is not None:
            self._arrivals.append(HeaderFetched(head))
        if awaited is not None and (head is None or head.hash != awaited):
            self._asked.add(awaited)
            self._ask(awaited, 0)

    def _read(self, result: msgspec.Raw | None) -> Head | None:
        if result is None:
            return None
        try:
            head: Head | None = HEAD_OR_NULL.decode(result)
            return head
        except UNREADABLE:
            self._rpc.reject(Rejection.BAD_HEAD)
            return None
