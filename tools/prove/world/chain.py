"""The chain of the world: blocks and logs, every branch of them.  What stands here is the truth of a run.

Owns the making of blocks and the text that a node sends of them.  It must never know nodes or faults.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import takewhile
from random import Random
from typing import Any

from eth_hash.auto import keccak

from producers.chains.configuration import ChainConfig
from producers.kinds.events import EVENT_OF_TOPIC, ContractEvent, Role
from tlv.layout import PoolSwap
from tools.prove.world.contracts import (
    FOREIGN_TOPICS,
    PEOPLE,
    Contract,
    WorldPool,
    creations_of,
    draw_arguments,
    names_new,
    tokens,
)

FIRST_NUMBER = 1_000
KEPT = 600
"""Blocks of a branch that can be asked for; only the longest worlds have more."""
SYNCED = ("swap", "mint", "burn")
"""Events of a V2 pool that stand behind a Sync of the same transaction."""


@dataclass(eq=False, slots=True)
class Emitted:
    """One log."""

    address: str
    topics: tuple[str, ...]
    data: str
    transaction: str
    transaction_index: int
    index: int
    record: str = ""
    """The wire record of a pool's event; "" = none is to be published."""
    pool: bytes = b""
    """Its name."""
    way: bytes = b""
    """Which coins it moves, and which way, where the pool has several: each way is told like a pool of its own."""
    doubtful: bool = False
    """It need not be published."""
    fields: dict[str, Any] = field(default_factory=dict)
    """The record's fields."""
    bloomed: bool = True
    """It is in the header's bloom filter; state-sync logs are not."""
    text: str = ""

    @property
    def identity(self) -> tuple[str, int]:
        """Within its block."""
        return self.transaction, self.index

    @property
    def is_event(self) -> bool:
        """Whether its topic is one of ours, whoever emitted it."""
        return self.topics[0] in EVENT_OF_TOPIC

    @property
    def is_swap(self) -> bool:
        """Whether its topic is a swap's."""
        event = EVENT_OF_TOPIC.get(self.topics[0])
        return event is not None and event.record is PoolSwap


@dataclass(eq=False, slots=True)
class Mined:
    """One block."""

    number: int
    hash: str
    parent: Mined | None
    timestamp: int
    logs: list[Emitted]
    contracts: dict[bytes, Contract]
    path: tuple[Mined, ...] = ()
    """The newest `KEPT` of its branch, itself the last."""
    born_ns: int = 0
    header: str = ""

    @property
    def parent_hash(self) -> str:
        """Of the first block it is made up."""
        return self.parent.hash if self.parent is not None else "0x" + "77" * 32

    @property
    def events(self) -> list[Emitted]:
        """The logs that are to be published."""
        return [log for log in self.logs if log.record and not log.doubtful]

    def ancestor(self, number: int) -> Mined | None:
        """The block of this number on its branch; None if there is none."""
        at = number - self.path[0].number
        return self.path[at] if 0 <= at < len(self.path) else None

    def branch(self, first: int, last: int) -> tuple[Mined, ...]:
        """The blocks of these numbers on its branch, as far as they are known."""
        begin = self.path[0].number
        return self.path[max(first - begin, 0) : max(last - begin + 1, 0)]

    def beyond(self, other: Mined) -> list[Mined]:
        """The blocks of its branch that are not in the other's, newest first."""
        return list(takewhile(lambda block: other.ancestor(block.number) is not block, reversed(self.path)))


@lru_cache(maxsize=1 << 16)
def bloom_of(value: bytes) -> int:
    """The bits of an address or topic (yellow paper, section 4.3.1)."""
    digest = keccak(value)
    bits = 0
    for pair in (0, 2, 4):
        bits |= 1 << ((digest[pair] << 8 | digest[pair + 1]) % 2048)
    return bits


@lru_cache(maxsize=1 << 16)
def _bloom_of_hex(value: str) -> int:
    return bloom_of(bytes.fromhex(value[2:]))


def log_text(log: Emitted, block: Mined) -> str:
    """As JSON, in the usual spelling."""
    topics = '","'.join(log.topics)
    return (
        f'{{"address":"{log.address}","topics":["{topics}"],"data":"{log.data}","blockNumber":"{block.number:#x}",'
        f'"transactionHash":"{log.transaction}","transactionIndex":"{log.transaction_index:#x}",'
        f'"blockHash":"{block.hash}","logIndex":"{log.index:#x}","removed":false}}'
    )


def header_text(block: Mined, bloom: int) -> str:
    """As JSON, in the usual spelling."""
    return (
        f'{{"number":"{block.number:#x}","hash":"{block.hash}","parentHash":"{block.parent_hash}",'
        f'"timestamp":"{block.timestamp:#x}","logsBloom":"0x{bloom:0512x}","gasUsed":"0x5208","gasLimit":"0x1c9c380",'
        f'"baseFeePerGas":"0x7","miner":"0x{"0" * 40}","extraData":"0x","nonce":"0x0000000000000000"}}'
    )


def _write(block: Mined) -> None:
    """Fill in the texts of a block and its logs."""
    bloom = 0
    for log in block.logs:
        log.text = log_text(log, block)
        if log.bloomed:
            for value in (log.address, *log.topics):
                bloom |= _bloom_of_hex(value)
    block.header = header_text(block, bloom)


class BlockTree:
    """Every block of the world; `head` is the newest of the branch that counts."""

    def __init__(
        self,
        chain: ChainConfig,
        rng: Random,
        pools: list[WorldPool],
        lookalikes: list[WorldPool],
        makers: Sequence[Contract] = (),
    ) -> None:
        self.config = chain
        self.pools = {pool.name: pool for pool in pools}
        self.lookalikes = lookalikes
        self._rng = rng
        existing = [pool.contract for pool in (*lookalikes, *pools)]
        contracts = {contract.address: contract for contract in (*tokens(), *makers, *existing)}
        first = Mined(FIRST_NUMBER, self._hash(), None, 1_700_000_000, [], contracts)
        first.logs += [log for pool in pools if pool.emitter for log in self._creation(pool)]
        first.path = (first,)
        _write(first)
        self.blocks = {first.hash: first}
        self.first = self.head = first

    def mine(
        self,
        parent: Mined,
        seconds: int,
        logs: int,
        *,
        state_sync: bool = False,
        born: WorldPool | None = None,
        now_ns: int = 0,
    ) -> Mined:
        """A block on `parent`, with about so many logs; a pool may be created in it."""
        emitted: list[Emitted] = []
        contracts = parent.contracts
        if born is not None:
            contracts = {**contracts, born.name: born.contract}
            self.pools[born.name] = born
            emitted += self._creation(born)
        live = [pool for pool in self.pools.values() if pool.name in contracts]
        transaction = len(emitted)
        while len(emitted) < logs:
            emitted += self._transaction(live, transaction, len(emitted))
            transaction += 1
        if state_sync:
            for index in range(self._rng.randrange(1, 3)):
                emitted.append(self._foreign(transaction, index, bloomed=False))
        block = Mined(parent.number + 1, self._hash(), parent, parent.timestamp + seconds, emitted, contracts)
        block.path = (*parent.path[1 - KEPT :], block)
        block.born_ns = now_ns
        _write(block)
        self.blocks[block.hash] = block
        return block

    def forget(self) -> None:
        """Of what is older than the head's path, only that it was there."""
        for block in [block for block in self.blocks.values() if block.number < self.head.path[0].number]:
            block.parent, block.path = None, ()
            del self.blocks[block.hash]

    def _hash(self) -> str:
        return f"0x{self._rng.getrandbits(256):064x}"

    def _transaction(self, pools: list[WorldPool], transaction: int, index: int) -> list[Emitted]:
        draw = self._rng.random()
        if draw < 0.25 or not pools:
            return [self._foreign(transaction, index)]
        if draw < 0.35 and self.lookalikes:
            pool = self._rng.choice(self.lookalikes)
            return [self._log(pool, self._rng.choice(pool.events), self._hash(), transaction, index)]
        pool = self._rng.choice(pools)
        events = [self._rng.choice(pool.events)]
        if events[0].name in SYNCED and (sync := [event for event in pool.events if event.name == "sync"]):
            events = [*sync, *events]
        identity = self._hash()
        return [self._log(pool, event, identity, transaction, index + at) for at, event in enumerate(events)]

    def _log(self, pool: WorldPool, event: ContractEvent, identity: str, transaction: int, index: int) -> Emitted:
        real = pool.factory is not None
        emitter = pool.emitter or pool.name
        created = event.role is Role.FACTORY or names_new(event)
        facts = pool.facts if created else {"pool": pool.name}
        coins = pool.coins_of(event)
        fields, words = draw_arguments(event, self._rng, facts, coins)
        if real and not (coins or created):
            fields |= {"token0": pool.token0, "token1": pool.token1}
        if event.role is Role.FACTORY and pool.factory is not None:
            emitter = bytes.fromhex(pool.factory.address[2:])
        indexed = [w for argument, w in zip(event.arguments, words, strict=True) if argument.indexed]
        data = [w for argument, w in zip(event.arguments, words, strict=True) if not argument.indexed]
        topics = (event.topic0, *("0x" + w.hex() for w in indexed))
        return Emitted(
            "0x" + emitter.hex(),
            topics,
            "0x" + b"".join(data).hex(),
            identity,
            transaction,
            index,
            event.record.__name__ if real else "",
            pool.name,
            _moved(fields) if coins else b"",
            pool.lies,
            fields if real else {},
        )

    def _creation(self, pool: WorldPool) -> list[Emitted]:
        return [self._log(pool, event, self._hash(), 0, index) for index, event in enumerate(creations_of(pool))]

    def _foreign(self, transaction: int, index: int, *, bloomed: bool = True) -> Emitted:
        topics = (self._rng.choice(FOREIGN_TOPICS), "0x" + self._rng.choice(PEOPLE).hex().rjust(64, "0"))
        address = "0x" + bytes([0xF0, self._rng.randrange(8)]).hex() * 10
        return Emitted(
            address, topics, f"0x{self._rng.getrandbits(64):064x}", self._hash(), transaction, index, bloomed=bloomed
        )


def _moved(fields: dict[str, Any]) -> bytes:
    """Coin in and coin out."""
    coins: tuple[bytes, bytes] = fields["token0"], fields["token1"]
    return b"".join(coins if "amount0_in" in fields else reversed(coins))


def shows_loss(
    block: Mined, kept: list[Emitted], asked: list[Emitted] | None = None, *, indices: bool = True, bloom: bool = True
) -> bool:
    """Whether it can be seen from `kept` and the header that a block has more: a hole, or an unmet bloom.

    More events, that is, or swaps of whomever (those are counted), among the logs that were `asked` for, all if None.
    Among `indices` of some logs only, as of those of one topic, holes say nothing.
    The lost last log of a block of whose topic another is there cannot be noticed by anybody without asking again.
    """
    asked = block.logs if asked is None else asked
    if all(log in kept for log in asked if log.is_swap or (log.record and not log.doubtful)):
        return True
    found = {log.index for log in kept} if indices else set[int]()
    if found and len(found) <= max(found):
        return True
    ours = {log.topics[0] for log in asked if log.bloomed and log.is_event}
    return bloom and not ours <= {log.topics[0] for log in kept}
