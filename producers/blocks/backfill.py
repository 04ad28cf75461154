"""Asking the node for the logs of whole blocks that it did not push.

Owns the requests, their retries and their deadlines.  It must never decide what may be believed: answers go into the
list of `producers.blocks.arrivals`, and whoever refutes one calls `doubt`.

    logs of a block       eth_getLogs{blockHash}; refused or refuted, it is retried with growing pauses for PATIENCE_S
                          of connections: nodes say "unknown block" for a while after a reorg, and backends that lag
                          list nothing, or a part; then it is given up, if the node has that block in its chain
                          what is only suspect is believed once it was said for `SUSPICION_S`
                          the header comes first where it is not known, as that of a block that was read back from the
                          ring: without its bloom filter a list that lacks its end is believed
    logs of many blocks   eth_getLogs{fromBlock, toBlock}, halved when the node finds it too much, and as long as the
                          answers stay short.  A number is no hash: what the answer shows for another branch, or an
                          empty block whose bloom speaks of events, is asked again by hash
    logs of a LOST block  asked again with pauses that double to `LONGEST_MEND_NS`, for as long as the block is kept
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from itertools import count

import msgspec

from producers.blocks.arrivals import Arrivals, LogsConfirmed, LogsFetched, LogsUnavailable
from producers.blocks.block import LOST, WANTED, Block, identify
from producers.blocks.chain import Chain
from producers.blocks.completeness import Doubt, Evidence
from producers.blocks.log_queries import Listed, LogQueries
from producers.context import Context
from producers.decode.pool_table import PoolTable
from producers.node.jsonrpc import DISCONNECTED, Failure
from producers.node.node_height import STANDS, AtHeight, NodeHeight
from producers.node.refusals import Meaning
from producers.node.rpc_types import Log
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
SUSPICION_S = 6.0
"""Backends lag by up to 5 s."""
DISTRUST_S = 10.0
"""Lists of one block refuted for so long: another endpoint may be better."""
FIRST_MEND_NS = 5 * NS
LONGEST_MEND_NS = 60 * NS
MOST_DISTRUSTED = 1024


class _Asking:
    """One block whose logs are asked for again and again."""

    def __init__(self) -> None:
        self.attempts = 0
        self.since_ns = -1
        """When it first failed, the time without a connection left out."""
        self.refuted_ns = -1
        """When a list of it was first refuted."""
        self.listed: frozenset[str] | None = None
        self.same_since_ns = 0


class LogFetcher:
    """Fetches the logs of WANTED blocks until each is merged or given up."""

    def __init__(
        self, context: Context, chain: Chain, evidence: Evidence, arrivals: Arrivals, table: PoolTable
    ) -> None:
        self._clock, self._timers, self._rpc = context.clock, context.timers, context.rpc
        self._queries, self._evidence, self._arrivals = LogQueries(context, table), evidence, arrivals
        self._chain = chain
        self._node_height = NodeHeight(context.rpc)
        self.due: dict[str, Block] = {}
        """The blocks that the next `pump` asks for, by hash."""
        self.distrusted: str | None = None
        """Why another endpoint should be asked, until `take_distrust`."""
        self._asking: dict[str, _Asking] = defaultdict(_Asking)
        self._mending: dict[str, tuple[int, int]] = {}
        """For each LOST block that waits to be asked for: its turn, and the pause before it."""
        self._turns = count()
        self._reviewed: set[str] = set()
        self._distrusted_for: dict[str, None] = {}
        self._spent_ns: dict[str, int] = {}
        """How much of the patience with each block was used on the connections before."""
        self._in_flight = 0
        self._bloomless = False
        """Headers of this endpoint have no bloom filter, as one that was asked for showed."""
        self._range, self._largest_range = RANGE_FROM, LARGEST_RANGE

    def reconnected(self) -> None:
        """Another connection, perhaps another node: what was learnt of the last one is void."""
        self._asking.clear()
        for block_hash, spent_ns in self._spent_ns.items():
            self._asking[block_hash].since_ns = self._clock.now_ns - spent_ns
        self.distrusted, self._bloomless = None, False
        self._range, self._largest_range = RANGE_FROM, LARGEST_RANGE

    def disconnected(self) -> None:
        """Nothing is answered.  What is left of the patience with each block is the next connection's.

        Else what no endpoint lists would hold up all others for ever, where each is left before the patience ends.
        """
        now_ns = self._clock.now_ns
        begun = {name: some.since_ns for name, some in self._asking.items() if some.since_ns >= 0}
        self._spent_ns = {name: now_ns - begun[name] for name in begun.keys() & self._chain.blocks.keys()}

    def want(self, block: Block) -> None:
        """Fetch the logs of `block` with the next `pump`."""
        self.due[block.hash] = block

    def review(self, block: Block) -> None:
        """Fetch the logs of a CLOSED block, which stays closed meanwhile."""
        self._reviewed.add(block.hash)
        self.due[block.hash] = block

    def mend(self, block: Block, *, soon: bool = False) -> None:
        """Fetch the logs of a LOST block later, each time later."""
        pause_ns = FIRST_MEND_NS
        if not soon and block.hash in self._mending:
            pause_ns = min(2 * self._mending[block.hash][1], LONGEST_MEND_NS)
        turn = next(self._turns)
        self._mending[block.hash] = turn, pause_ns
        self._timers.after(0 if soon else pause_ns, partial(self._mend_now, block, turn))

    def settled(self, block: Block) -> None:
        """Its list was believed, or is not needed any more."""
        self._forget(block)

    def doubt(self, block: Block, doubt: Doubt, logs: list[Log]) -> None:
        """What the node lists of `block` is not believed, or not yet: ask again after a pause."""
        asking, now_ns = self._asking[block.hash], self._clock.now_ns
        listed = frozenset(place[0] for place in map(identify, logs) if place is not None)
        if listed != asking.listed:
            asking.listed, asking.same_since_ns = listed, now_ns
        if doubt is Doubt.SUSPECT and now_ns - asking.same_since_ns > SUSPICION_S * NS:
            self._node_height.ask(block.number, block.hash, partial(self._confirm, block))
            return
        if doubt is Doubt.REFUTED:
            asking.refuted_ns = asking.refuted_ns if asking.refuted_ns >= 0 else now_ns
            if now_ns - asking.refuted_ns > DISTRUST_S * NS:
                self._distrust(block)
        self._retry(block)

    def take_distrust(self) -> str | None:
        """Why another endpoint should be asked, once."""
        reason, self.distrusted = self.distrusted, None
        return reason

    def pump(self) -> None:
        """Send as many requests as may be in flight.  Blocks that left the chain are forgotten."""
        wanted = []
        for block in sorted(self.due.values(), key=_urgency):
            asked_for = block.progress in (WANTED, LOST) or block.hash in self._reviewed
            if not (asked_for and self._chain.is_canonical(block)):
                self._forget(block)
            elif block.head_bloom is not None or self._bloomless:
                wanted.append(block)
            elif self._in_flight < MAX_BLOCKS_AT_ONCE:
                self._ask_header(block)
        while wanted and self._in_flight < MAX_BLOCKS_AT_ONCE:
            run = 1
            while run < min(len(wanted), self._range) and wanted[run].number == wanted[run - 1].number + 1:
                run += 1
            blocks, wanted = wanted[: run if run >= RANGE_FROM else 1], wanted[run if run >= RANGE_FROM else 1 :]
            for block in blocks:
                del self.due[block.hash]
            self._in_flight += 1
            if len(blocks) == 1:
                self._ask_one(blocks[0])
            else:
                emitters = set[str]().union(*(block.came_from for block in blocks))
                self._queries.ask_range(blocks[0].number, blocks[-1].number, partial(self._on_range, blocks), emitters)

    def _on_block(self, block: Block, listed: Listed) -> None:
        self._in_flight -= 1
        failure = listed.failure
        if failure is DISCONNECTED:
            return
        if failure is not None and failure.meaning in (Meaning.SIZE, Meaning.POLICY) and block.progress is not LOST:
            self._forget(block)
            self._arrivals.append(LogsUnavailable(block))  # not in any form, and not later
            return
        if failure is not None or any(log.block_hash != block.hash for log in listed.logs):
            self._retry(block)
            return
        self._fit_range(1, len(listed.logs))
        self._arrivals.append(LogsFetched(block, listed.logs, listed.whole, listed.of_known))

    def _on_range(self, blocks: list[Block], listed: Listed) -> None:
        self._in_flight -= 1
        logs, failure = listed.logs, listed.failure
        if failure is DISCONNECTED:
            return
        if failure is not None:
            # Whatever the reason: half of it, down to single blocks, which are retried on their own.
            self._range = max(len(blocks) // 2, 1)
            if failure.meaning is Meaning.RANGE:
                self._largest_range = self._range
            for block in blocks:
                self.due[block.hash] = block
            return
        self._fit_range(len(blocks), len(logs))
        by_hash: dict[str | None, list[Log]] = defaultdict(list)
        for log in logs:
            by_hash[log.block_hash].append(log)
        for block in blocks:
            if block.hash in by_hash or self._evidence.proves_empty(block):
                self._arrivals.append(LogsFetched(block, by_hash[block.hash], listed.whole, listed.of_known))
            else:
                self._timers.after(0, partial(self._ask_alone, block))

    def _fit_range(self, blocks: int, logs: int) -> None:
        """So many blocks had so many logs: ask for what should be an answer that is not long, at most twice as much."""
        fitting = LONG_ANSWER * blocks // max(logs, 1)
        self._range = max(1, min(fitting, 2 * max(self._range, blocks), self._largest_range))

    def _ask_alone(self, block: Block) -> None:
        self._in_flight += 1
        self._ask_one(block)

    def _ask_one(self, block: Block) -> None:
        self._queries.ask_block(block.hash, block.number, partial(self._on_block, block), block.came_from)

    def _retry(self, block: Block) -> None:
        if block.progress is LOST:
            self.mend(block)
            return
        asking, now_ns = self._asking[block.hash], self._clock.now_ns
        asking.since_ns = asking.since_ns if asking.since_ns >= 0 else now_ns
        if now_ns - asking.since_ns > PATIENCE_S * NS:
            self._forget(block)
            self._node_height.ask(block.number, block.hash, partial(self._judge, block))
            return
        delay_ns = min(FIRST_DELAY_NS << min(asking.attempts, 16), LONGEST_DELAY_NS)
        asking.attempts += 1
        self._timers.after(delay_ns, partial(self.want, block))

    def _judge(self, block: Block, has: AtHeight) -> None:
        """The node cannot list the logs of a block: is it a hole, or a block that the node left behind?

        Below a hole no head replaces what was left behind: once the headers are there, `producers.blocks.holes` does.
        """
        below_hole = any(first > block.number for first, _ in self._chain.holes)
        if has in STANDS or below_hole:
            self._arrivals.append(LogsUnavailable(block))
        else:
            self.want(block)  # until the head that replaces it comes

    def _ask_header(self, block: Block) -> None:
        """Ask for the header of a block without a bloom filter, which would say whether its logs are listed."""
        del self.due[block.hash]
        self._in_flight += 1
        self._rpc.ask("eth_getBlockByHash", [block.hash, False], partial(self._on_header, block))

    def _on_header(self, block: Block, result: msgspec.Raw | None, failure: Failure | None) -> None:
        self._in_flight -= 1
        if failure is DISCONNECTED:
            return
        head = self._rpc.read_head(result)
        if head is None or head.hash != block.hash:
            self._retry(block)
            return
        self._evidence.read_header(block, head)
        self._bloomless = block.head_bloom is None
        self.want(block)

    def _confirm(self, block: Block, has: AtHeight) -> None:
        """The node says of a block what is only suspect, for long: it counts if the node has the block."""
        if has in STANDS:
            self._arrivals.append(LogsConfirmed(block))
        else:
            self._retry(block)

    def _mend_now(self, block: Block, turn: int) -> None:
        mending = self._mending.get(block.hash)
        if mending is None or mending[0] != turn:
            return
        if block.progress is LOST:
            self.due[block.hash] = block
        else:
            self._forget(block)

    def _distrust(self, block: Block) -> None:
        if block.hash in self._distrusted_for:
            return
        if len(self._distrusted_for) >= MOST_DISTRUSTED:
            del self._distrusted_for[next(iter(self._distrusted_for))]
        self._distrusted_for[block.hash] = None
        self.distrusted = f"the logs listed of block {block.number} contradict its header or what was pushed"

    def _forget(self, block: Block) -> None:
        self.due.pop(block.hash, None)
        self._asking.pop(block.hash, None)
        self._mending.pop(block.hash, None)
        self._reviewed.discard(block.hash)
        self._queries.forget(block.hash)


def _urgency(block: Block) -> tuple[bool, int]:
    """What holds others up first, then by number."""
    return block.progress is not WANTED, block.number
