"""A made-up market for the paper executor: blocks, pools and orders, kept as inputs that can be fed again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from consumers.arbitrage.config import WMATIC
from consumers.execution.config import ExecutionConfig
from consumers.execution.executor import PaperExecutor
from consumers.strategy import Draft, Driver
from tlv.codes import Completeness, Domain, Flag, Protocol, QuoteVerdict, Source, Venue, WithdrawalReason
from tlv.layout import (
    ArbitrageSignal,
    Block,
    BlockEnd,
    CycleLeg,
    EventOrigin,
    OrderLeg,
    OrderRequest,
    PoolState,
    PoolSwap,
    PoolSync,
    Reorg,
    SignalIdentity,
    SignalWithdrawn,
)
from tlv.message import Message, build, parse
from tlv.record import Record

E18 = 10**18
RING, SIGNALS = b"m" * 16, b"s" * 16
COIN = bytes.fromhex(WMATIC[2:])
TOKEN, OTHER = b"\xee" * 20, b"\xff" * 20
A, B, C = b"a" * 20, b"b" * 20, b"c" * 20
T0 = 1_700_000_000 * 10**9
BLOCK_NS = 2 * 10**9
GWEI = 10**9


class Input(NamedTuple):
    """One frame of the market, or one of a strategy's ring."""

    is_order: bool
    sequence: int
    time_ns: int
    payload: bytes


def head(pool: bytes, token0: bytes = COIN, token1: bytes = TOKEN) -> tuple[bytes, bytes, bytes, int, int, int, int]:
    """What a V2 pool's records begin with."""
    return (pool, token0, token1, Venue.QUICKSWAP_V2, 18, 18, Protocol.UNISWAP_V2)


def block_hash(number: int, branch: int = 0) -> bytes:
    """Different for each block of each branch."""
    return branch.to_bytes(4, "big") + number.to_bytes(28, "big")


class PaperMarket:
    """Writes down what came, in the order in which it came."""

    def __init__(self, ring: bytes = RING) -> None:
        self.ring = ring
        self.inputs: list[Input] = []
        self.sequence = 0
        self.orders = 0
        self.number = 100
        self.branch = 0
        self.log = 0

    def tell(self, *records: Record, flags: int = 0, domain: Domain = Domain.MARKET_DATA) -> None:
        """A frame of the market's ring."""
        self.sequence += 1
        data = build(domain, Source.POLYGON_COLLECTOR, records, sequence=self.sequence, flags=flags)
        self.inputs.append(Input(False, self.sequence, self.sequence, data))

    def ask(self, *records: Record, domain: Domain, published_ns: int = 0) -> None:
        """A frame of the strategy's ring."""
        self.orders += 1
        data = build(domain, Source.USER_STRATEGY, records, sequence=self.orders, timestamp_ns=published_ns)
        self.inputs.append(Input(True, self.orders, published_ns, data))

    def pool(self, pool: bytes, reserve0: int, reserve1: int, *tokens: bytes, fee: int = 3000) -> None:
        """A V2 pool is introduced with a state, as of the block before the present one."""
        state = (reserve0, reserve1, 0, 0, self.number - 1, fee, 0, 0, bytes(20), "", "")
        self.tell(PoolState(*head(pool, *tokens), *state), flags=Flag.SNAPSHOT)

    def pair(self, pool: bytes, reserve0: int, reserve1: int, *, curve: int, fee: int = 500) -> None:
        """A pair of Solidly's type is introduced with a state, as of the block before the present one."""
        of_pair = (*head(pool)[:-1], Protocol.SOLIDLY)
        state = (reserve0, reserve1, 0, 0, self.number - 1, fee, 0, 0, bytes(20), "", "")
        self.tell(PoolState(*of_pair, *state, curve=curve), flags=Flag.SNAPSHOT)

    def origin(self) -> EventOrigin:
        """Of the next event of this block."""
        self.log += 1
        number = self.number
        return EventOrigin(number, 0, self.received(number), 0, self.log, block_hash(number, self.branch), bytes(32))

    def received(self, number: int) -> int:
        """When a block's header came."""
        return T0 + number * BLOCK_NS

    def begin(self, base_fee: int = 30 * GWEI) -> None:
        """The present block is announced."""
        number, parent = self.number, block_hash(self.number - 1, self.branch)
        here = (self.received(number), base_fee, block_hash(number, self.branch), parent)
        self.tell(Block(number, 0, 0, 0, *here))
        self.log = 0

    def swap(self, pool: bytes, reserve0: int, reserve1: int, *tokens: bytes) -> None:
        """Somebody swaps in a V2 pool, which has these reserves afterwards."""
        self.tell(PoolSync(*head(pool, *tokens), reserve0, reserve1), self.origin())
        amounts = (1, 0, 0, 1, 0, 0, 0, bytes(20), bytes(20))
        self.tell(PoolSwap(*head(pool, *tokens), *amounts), self.origin())

    def end(self) -> None:
        """The present block is complete; the next one is the present one."""
        here = block_hash(self.number, self.branch)
        self.tell(BlockEnd(self.number, 0, 0, 0, 0, here, Completeness.PUSHED), domain=Domain.SYSTEM)
        self.number += 1

    def empty_blocks(self, count: int) -> None:
        """Blocks in which nothing happens."""
        for _ in range(count):
            self.begin()
            self.end()

    def reorg(self, depth: int) -> None:
        """The last `depth` blocks leave the chain."""
        old, fork = self.number - 1, self.number - 1 - depth
        hashes = (block_hash(fork, self.branch), block_hash(old, self.branch), bytes(32))
        self.tell(Reorg(fork, old, fork, depth, 0, *hashes), domain=Domain.SYSTEM)
        self.branch, self.number = self.branch + 1, fork + 1

    def order(
        self,
        legs: Sequence[OrderLeg],
        amount_in: int,
        *,
        min_amount_out: int = 0,
        order_id: int | None = None,
        delay_ns: int = 10**6,
        expires: int = 10,
        block_number: int | None = None,
    ) -> None:
        """A strategy asks for swaps, decided on the block before the present one."""
        number = self.number - 1 if block_number is None else block_number
        received = self.received(number)
        request = OrderRequest(
            order_id=1000 + self.orders if order_id is None else order_id,
            trigger_sequence=self.sequence,
            trigger_receive_time_ns=received,
            block_number=number,
            expires_block=number + expires,
            amount_in=amount_in,
            min_amount_out=min_amount_out,
            trigger_ring=self.ring,
            strategy="desk",
            strategy_version=1,
            token_in=legs[0].token_in if legs else bytes(20),
            token_out=legs[-1].token_out if legs else bytes(20),
            legs=len(legs) % 256,
        )
        self.ask(request, *legs, domain=Domain.EXECUTION, published_ns=received + delay_ns)

    def signal(
        self,
        pools: Sequence[bytes],
        amount_in: int,
        amount_out: int,
        *,
        signal_id: int | None = None,
        opportunity: int = 0,
        delay_ns: int = 10**6,
    ) -> int:
        """A strategy publishes a round trip COIN -> TOKEN -> COIN, decided on the block before the present one."""
        number = self.number - 1
        name = 5000 + self.orders if signal_id is None else signal_id
        identity = SignalIdentity(name, self.sequence, self.received(number), self.ring, "flash", 2)
        signal = ArbitrageSignal(
            number, number + 3, opportunity, block_hash(number, self.branch), amount_in, amount_out, COIN, 18, 2,
            QuoteVerdict.EXACT,
        )  # fmt: skip
        way = (COIN, TOKEN, COIN)
        legs = [
            CycleLeg(
                amount_in, amount_out, 0, 0, 0, 0, 0, 3000, pool, way[at], way[at + 1], Venue.QUICKSWAP_V2,
                Protocol.UNISWAP_V2, 18, 18, at + 1,
            )
            for at, pool in enumerate(pools)
        ]  # fmt: skip
        self.ask(identity, signal, *legs, domain=Domain.SIGNAL, published_ns=self.received(number) + delay_ns)
        return name

    def withdraw(self, signal_id: int, block_number: int) -> None:
        """The strategy takes a signal back, as of a block."""
        identity = SignalIdentity(9_000 + self.orders, self.sequence, 0, self.ring, "flash", 2)
        record = SignalWithdrawn(signal_id, 0, block_number, block_hash(block_number), WithdrawalReason.GONE)
        self.ask(identity, record, domain=Domain.SIGNAL)


def leg(pool: bytes, token_in: bytes, token_out: bytes, number: int = 1) -> OrderLeg:
    """One swap of an order."""
    return OrderLeg(pool, token_in, token_out, number)


def feed(executor: PaperExecutor, inputs: Iterable[Input], ring: bytes = RING, signals: bytes = SIGNALS) -> list[bytes]:
    """What an executor publishes on these inputs, as messages of its ring."""
    driver = Driver(executor, ring)
    published: list[bytes] = []
    for one in inputs:
        if one.is_order:
            executor.take_order(one.payload, signals, one.sequence, one.time_ns)
        else:
            driver.deliver(one.sequence, one.time_ns, one.payload)
            assert not driver.poison, driver.poison[0].reason
        for draft in executor.drafts:
            published.append(encode(draft, len(published) + 1))
    return published


def encode(draft: Draft, sequence: int) -> bytes:
    """A draft as it is published."""
    return build(draft.domain, draft.source, draft.records, sequence=sequence)


def run(market: PaperMarket, config: ExecutionConfig | None = None) -> list[Message]:
    """What an executor makes of a market."""
    return [parse(data) for data in feed(PaperExecutor(config), market.inputs)]
