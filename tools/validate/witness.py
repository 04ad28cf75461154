"""What the node says when it is asked again: the canonical events of a range of blocks.

Owns the re-reading, on connections of its own and by another way than the collector's: ranges of numbers first, single
blocks by number, hash and list of logs afterwards.  It must never look at what the ring said, but for the pools whose
verification the node cannot repeat.

    between   ranges, halved when refused or when the connection breaks under the answer; down to single blocks
    block     number -> hash -> logs of that hash; "unknown block", null and lists of another block are asked again for
              a while, since nodes answer so after a reorg
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from producers.chains.configuration import ChainConfig
from producers.node.errors import EndpointError
from producers.node.inquiry import inquire
from producers.node.jsonrpc import HEAD_OR_NULL, LOGS
from producers.node.rpc_types import AnswerReader, Head, Log
from tlv.errors import FeedError
from tlv.layout import PoolState
from tools.rig.endpoint import Endpoint, Unanswered, UnexpectedAnswer
from tools.validate.abi import EVENTS, AbiEvent, decode_event, read_hex, read_number
from tools.validate.emitters import Emitters
from tools.validate.ledger import Identity

LARGEST_RANGE = 64
"""Blocks at once: at Polygon's busiest some 10 MiB of our events, below the 16 MiB of a message."""
BLOCK_PATIENCE_S = 10.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
MOST_CONNECTIONS = 12
"""Within one reading; each loss of a connection may also mean that an answer was too large."""
TIMEOUT_S = 120.0
NEWEST_S = 10.0
"""How long an endpoint has to say its newest block."""
TOPICS = sorted(EVENTS)


class Expected(NamedTuple):
    """An event that must be in the ring."""

    decoded: AbiEvent
    emitter: bytes
    """As the ring names it: by the pool's id where the contract keeps many."""
    block_number: int
    transaction_index: int
    contract: bytes


@dataclass
class Testimony:
    """The events of each block that was read, and the numbers of the blocks that could not be."""

    blocks: dict[int, dict[Identity, Expected]] = field(default_factory=dict)
    others: dict[Identity, Expected] = field(default_factory=dict)
    """Events of contracts that are not known to be pools."""
    refuted: set[bytes] = field(default_factory=set)
    """Those of these contracts that are none."""
    unread: set[int] = field(default_factory=set)
    unreadable_logs: int = 0
    """Logs with an event of ours that lack a hash or an index."""

    def correct(self, later: Testimony) -> None:
        """Take over what was read of some blocks later."""
        kept = {key: event for key, event in self.others.items() if event.block_number not in later.blocks}
        self.others = kept | later.others
        self.refuted = (self.refuted - {event.emitter for event in later.others.values()}) | later.refuted
        self.blocks |= later.blocks
        self.unread = (self.unread - later.blocks.keys()) | later.unread


class NodeWitness:
    """One node, or the fallbacks for it, asked again."""

    def __init__(self, urls: tuple[str, ...], chain: ChainConfig) -> None:
        self.chain = chain
        self.emitters = Emitters(chain)
        self._urls = urls

    def read(self, numbers: Iterable[int], pools: Mapping[bytes, PoolState], *, singly: bool) -> Testimony:
        """The events of these blocks.  Returns when all are read: it is made for a thread of its own.

        Args:
            numbers: of the blocks.
            pools: what the ring introduced.
            singly: read block by block, by hash.

        Raises:
            FeedError: no endpoint answers, or not in time.
        """
        return asyncio.run(self._read(sorted(numbers), pools, singly))

    def newest(self) -> int:
        """The newest block that any of the endpoints knows; -1 if none answers."""
        return asyncio.run(self._newest())

    async def _newest(self) -> int:
        said = await asyncio.gather(*(inquire(url, NEWEST_S) for url in self._urls))
        return max(-1 if one.newest is None else one.newest for one in said)

    async def _read(self, numbers: list[int], pools: Mapping[bytes, PoolState], singly: bool) -> Testimony:
        testimony = Testimony({number: {} for number in numbers})
        try:
            async with asyncio.timeout(TIMEOUT_S), AsyncExitStack() as stack:
                line = Line(self._urls, stack)
                if singly:
                    logs = await blocks(line, numbers, testimony.unread)
                else:
                    logs = await between(line, numbers, testimony.unread)
                await self._judge(line, logs, pools, testimony)
                for number in testimony.unread:
                    del testimony.blocks[number]
        except TimeoutError:
            raise FeedError(f"{len(numbers)} blocks could not be read again within {TIMEOUT_S:.0f} s") from None
        return testimony

    async def _judge(self, line: Line, logs: list[Log], pools: Mapping[bytes, PoolState], testimony: Testimony) -> None:
        """Put what must be in the ring into `testimony`."""
        events = []
        for log in logs:
            decoded = decode_event(log)
            if decoded is None or log.removed:
                continue
            placed = read_event(log, decoded)
            if placed is not None:
                events.append(placed)
            else:
                testimony.unreadable_logs += 1
        emitters = {event.contract for _, event in events if not event.decoded.event.by_factory}
        await self.emitters.ask(await line.endpoint(), emitters, pools)
        for identity, event in events:
            declared = event.decoded.event
            family = self.emitters.family(event.contract, as_factory=declared.by_factory, told=pools)
            if event.block_number not in testimony.blocks:
                continue
            if family in declared.families:
                testimony.blocks[event.block_number][identity] = event
            else:
                testimony.others[identity] = event
                if family is not None or declared.by_factory or self.emitters.is_refuted(event.contract):
                    testimony.refuted.add(event.emitter)


class Line:
    """The connection to whichever endpoint answers, made anew when it is lost."""

    def __init__(self, urls: tuple[str, ...], stack: AsyncExitStack) -> None:
        self._urls, self._stack = urls, stack
        self._current: Endpoint | None = None
        self._attempts = 0
        self._connecting = asyncio.Lock()

    async def endpoint(self) -> Endpoint:
        """A living connection.

        Raises:
            EndpointError: none can be had.
        """
        async with self._connecting:
            while self._current is None or self._current.lost:
                url = self._urls[self._attempts % len(self._urls)]
                self._attempts += 1
                try:
                    self._current = await self._stack.enter_async_context(Endpoint(url))
                except EndpointError:
                    if self._attempts >= MOST_CONNECTIONS:
                        raise
                    await asyncio.sleep(FIRST_PAUSE_S * self._attempts)
                if self._attempts >= MOST_CONNECTIONS:
                    raise EndpointError(f"the connection was lost {self._attempts} times while reading again")
            return self._current

    async def ask_for(self, decoder: AnswerReader, method: str, *params: Any) -> Any:
        """As `Endpoint.ask_for`."""
        return await (await self.endpoint()).ask_for(decoder, method, *params)


async def between(line: Line, numbers: list[int], unread: set[int]) -> list[Log]:
    """The logs of consecutive blocks, by ranges."""
    pending = deque(numbers[at : at + LARGEST_RANGE] for at in range(0, len(numbers), LARGEST_RANGE))
    logs: list[Log] = []
    while pending:
        part = pending.popleft()
        span = {"fromBlock": hex(part[0]), "toBlock": hex(part[-1]), "topics": [TOPICS]}
        try:
            logs += await line.ask_for(LOGS, "eth_getLogs", span)
        except (Unanswered, UnexpectedAnswer):
            # Whatever the reason: half of it, down to single blocks, which have their own patience.
            if len(part) == 1:
                logs += await blocks(line, part, unread)
            else:
                middle = len(part) // 2
                pending.extendleft((part[middle:], part[:middle]))
    return logs


async def blocks(line: Line, numbers: list[int], unread: set[int]) -> list[Log]:
    """The logs of single blocks."""
    found = await asyncio.gather(*(block(line, number) for number in numbers))
    unread |= {number for number, logs in zip(numbers, found, strict=True) if logs is None}
    return [log for logs in found for log in logs or ()]


async def block(line: Line, number: int) -> list[Log] | None:
    """The logs of the canonical block of this number; None if the node does not come to an answer."""
    deadline, pause_s = time.monotonic() + BLOCK_PATIENCE_S, FIRST_PAUSE_S
    while True:
        try:
            head: Head | None = await line.ask_for(HEAD_OR_NULL, "eth_getBlockByNumber", hex(number), False)
            if head is not None:
                logs: list[Log] = await line.ask_for(LOGS, "eth_getLogs", {"blockHash": head.hash, "topics": [TOPICS]})
                if all(log.block_hash == head.hash for log in logs):
                    return logs
        except (Unanswered, UnexpectedAnswer):
            pass  # asked again, or given up below: the caller counts the block
        if time.monotonic() + pause_s > deadline:
            return None
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def read_event(log: Log, decoded: AbiEvent) -> tuple[Identity, Expected] | None:
    """Where an event stands; None if the node left something out."""
    block_hash, transaction_hash = read_hex(log.block_hash), read_hex(log.transaction_hash)
    number, index, contract = read_number(log.block_number), read_number(log.log_index), read_hex(log.address)
    position = read_number(log.transaction_index)
    if block_hash is None or transaction_hash is None or contract is None:
        return None
    if number is None or index is None or position is None:
        return None
    emitter = contract if decoded.event.by_factory else decoded.values.get("pool", contract)
    return (block_hash, transaction_hash, index), Expected(decoded, emitter, number, position, contract)
