"""One seeded run: traders, collector, strategy and paper executor on a real node; then the orders as transactions.

    1  traders fill blocks; a collector reads them into a ring; the strategy and seeded orders decide on each block, and
       the executor fills them on paper in the next
    2  the node goes back to the beginning and makes the same blocks again (their hashes are compared).  Before each, it
       makes that block once more with the order's transactions at the place that the fill states: behind the first
       `swaps_before` swaps of each of its pools.  What the orders' accounts then hold is the truth.

A collector is not told of the V4 manager here.  So orders through V4, and some through Algebra, are filled by the
executor's own arithmetic (`fills.fill_order`) from the states that the node has at the order's place.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from consumers.arbitrage.config import ArbitrageConfig
from consumers.arbitrage.flash_arbitrage import FlashArbitrage
from consumers.arbitrage.legs import refusal, reserves_of
from consumers.arbitrage.pool_state import Price
from consumers.execution.config import ExecutionConfig
from consumers.execution.executor import PaperExecutor
from consumers.execution.fills import PoolPlace, Swapped, fill_order
from consumers.execution.orders import Order, read_order
from consumers.strategy import Draft, Driver
from producers.chains.configuration import load_chain
from producers.collector import Collector, CollectorOptions
from producers.output.pool_readings import PoolWatch
from ringbuf import Reader, Status, unlink
from tlv.codes import Domain, OrderState, Source
from tlv.errors import FeedError
from tlv.layout import (
    LAYOUT_DIGEST,
    ArbitrageSignal,
    BlockEnd,
    OrderLeg,
    OrderRequest,
)
from tlv.message import build, parse
from tools.dump import DumpedMessage
from tools.evm.seeded_pools import SeededPools
from tools.prove.feed.campaign import chain_toml
from tools.prove.reconcile.arena import ACCOUNTS, Arena, RangeState, TraderMove
from tools.reconcile import PaperExecutions, fees_said
from tools.reconcile_judge import AskedOrder, FillJudge, FillJudgement, OrdersAsked, PaperAttempt
from tools.rig.evm.node import Node
from tools.warm import warm_collector, warm_ring

ORDERS_RING = bytes(15) + b"\1"
SIGNALS_RING = bytes(15) + b"\2"
PATIENCE_S = 120.0
BIG = 10**40


class OrderPlace(NamedTuple):
    """Where a run's orders stand: behind so much of their block's swaps, so many blocks behind their decision."""

    share_percent: int
    delay_blocks: int


SETTINGS = (OrderPlace(100, 1), OrderPlace(50, 2), OrderPlace(0, 1))
"""Last in the block, in the middle, first."""
ORDERS_PER_BLOCK = 10
"""At least, once every pool is known."""
SEEDED_ORDERS = 8
"""In each block, beside those of signals."""
RANGE_ORDERS_PER_BLOCK = 2
SPARE_BLOCKS = 6
"""Until every pool is known."""
MOST_SHARE = 1 / 200
"""Of a pool's reserves, that an order puts in at most."""


class BlockMade(NamedTuple):
    """A block of the traders."""

    number: int
    hash: str
    moves: list[TraderMove]
    algebra_fee: int


class CollectedFrame(NamedTuple):
    """A frame of the collector's ring."""

    sequence: int
    time_ns: int
    payload: bytes


@dataclass
class PlayedRun:
    """What a run found."""

    seed: int
    setting: OrderPlace
    blocks: int = 0
    orders: int = 0
    """Filled on paper and sent as transactions."""
    failed_on_paper: int = 0
    swaps: Counter[str] = field(default_factory=Counter)
    """Legs that were executed, by kind of pool."""
    remainder: int = 0
    """Sum of the differences between paper and chain, in base units."""
    wrong: list[str] = field(default_factory=list)
    judgements: list[FillJudgement] = field(default_factory=list)
    read: PaperExecutions = field(default_factory=PaperExecutions)


class Playing:
    """The first part: blocks, and their frames."""

    def __init__(self, arena: Arena, node: Node, blocks: int) -> None:
        self.arena, self.node, self.count = arena, node, blocks
        self.made: list[BlockMade] = []
        self.frames: list[CollectedFrame] = []
        self.ring = f"prove.reconcile.{secrets.token_hex(4)}"
        self.uuid = bytes(16)

    def run(self) -> None:
        """Collect while the traders trade."""
        warm_ring()
        warm_collector()
        try:
            asyncio.run(self._collect())
        finally:
            unlink(self.ring)

    async def _collect(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            chain = Path(folder) / "chain.toml"
            chain.write_text(chain_toml(self.arena.world, self.arena.algebra.chain_table))
            options = CollectorOptions(
                chain=load_chain(str(chain)),
                urls=(self.node.url,),
                ring=self.ring,
                tick_watch=PoolWatch(everything=True),
            )
            collector = Collector(options)
            work = asyncio.create_task(collector.run())
            try:
                async with asyncio.timeout(PATIENCE_S):
                    while collector.statistics.blocks == 0:
                        if work.done():
                            raise FeedError(f"the collector ended: {work.exception()}")
                        await asyncio.sleep(0.02)
                with Reader.attach(self.ring, start="oldest", layout_digest=LAYOUT_DIGEST) as reader:
                    self.uuid = reader.uuid
                    await self._play(reader)
            finally:
                collector.stop()
                await work

    async def _play(self, reader: Reader) -> None:
        closed = -1
        for _ in range(self.count):
            self.made.append(await asyncio.to_thread(self._block))
            # A block that comes while the collector is behind is history to it, of which the strategy says nothing.
            async with asyncio.timeout(PATIENCE_S):
                while closed < self.made[-1].number - 1:
                    await asyncio.sleep(0.005)
                    closed = max(closed, self._read(reader))
        last = self.made[-1].number
        async with asyncio.timeout(PATIENCE_S):
            while closed < last:
                await asyncio.to_thread(self.arena.world.mine)
                await asyncio.sleep(0.05)
                closed = max(closed, self._read(reader))

    def _block(self) -> BlockMade:
        moves = self.arena.moves()
        block_hash = self.arena.make_block(moves)
        return BlockMade(self.arena.world.height(), block_hash, moves, self.arena.algebra.fee())

    def _read(self, reader: Reader) -> int:
        closed = -1
        while (poll := reader.poll()).status is Status.OK:
            for frame in poll:
                payload = bytes(frame.payload)
                self.frames.append(CollectedFrame(frame.sequence, frame.publish_time_ns, payload))
                record = parse(payload).records[0]
                if isinstance(record, BlockEnd):
                    closed = max(closed, record.number)
        return closed


class Trading:
    """The second part: strategy, seeded orders and executor over the frames."""

    def __init__(self, seed: int, setting: OrderPlace, playing: Playing, native: str) -> None:
        self.random = random.Random(seed)
        self.playing = playing
        self._delay = setting.delay_blocks
        config = ExecutionConfig(
            share_percent=setting.share_percent,
            delay_blocks=setting.delay_blocks,
            wrapped_native=native,
            max_orders_per_block=ACCOUNTS,
            max_exposure_wei=BIG,
            max_position_wei=BIG,
            max_loss_wei=BIG,
            breaker_failures=BIG,
            breaker_loss_wei=BIG,
        )
        self.executor = PaperExecutor(config)
        self._flash = FlashArbitrage(ArbitrageConfig(gross=True, wrapped_native=native))
        self._made = {made.number for made in playing.made}
        self.frames: list[CollectedFrame] = []
        """The collector's."""
        self.published: list[bytes] = []
        self.asked: OrdersAsked = {}
        self._orders = self._signals = 0

    def run(self) -> None:
        """Deliver every frame."""
        uuid = self.playing.uuid
        executor, flash = Driver(self.executor, uuid), Driver(self._flash, uuid)
        for frame in self.playing.frames:
            self.frames.append(frame)
            self._publish(executor.deliver(*frame))
            for draft in flash.deliver(*frame):
                self._signal(draft)
            record = parse(frame.payload).records[0]
            if isinstance(record, BlockEnd) and record.number + self._delay in self._made:
                self._decide(record.number)
        for driver in (executor, flash):
            for poison in driver.poison:
                raise FeedError(f"{driver.strategy.name} raised: {poison.reason}")

    def _signal(self, draft: Draft) -> None:
        signal = next((record for record in draft.records if isinstance(record, ArbitrageSignal)), None)
        if signal is not None and signal.block_number + self._delay not in self._made:
            return  # no block will be made for it
        payload = build(draft.domain, draft.source, draft.records, sequence=self._signals)
        self._ask(payload, SIGNALS_RING, self._signals)
        self._signals += 1

    def _decide(self, number: int) -> None:
        """Seeded orders on the state of a block: through one to three pools, there and on or there and back."""
        pools = [pool for pool in self.executor.chain.book if refusal(pool) is None]
        pick = self.random
        for _ in range(SEEDED_ORDERS if pools else 0):
            token = pick.choice((pools[0].token0, pools[0].token1))
            legs: list[OrderLeg] = []
            for pool in pick.sample(pools, pick.randint(1, min(3, len(pools)))):
                other = pool.token1 if token == pool.token0 else pool.token0
                legs.append(OrderLeg(pool=pool.address, token_in=token, token_out=other, leg=len(legs) + 1))
                token = other
            first = next(pool for pool in pools if pool.address == legs[0].pool)
            reserve = reserves_of(first)[legs[0].token_in == first.token1]
            request = OrderRequest(
                order_id=self._orders + 1,
                trigger_sequence=0,
                trigger_receive_time_ns=0,
                block_number=number,
                expires_block=number + self._delay,
                amount_in=max(int(reserve * MOST_SHARE * 10 ** pick.uniform(-7, 0)), 1),
                min_amount_out=0,
                trigger_ring=self.playing.uuid,
                strategy="seeded",
                strategy_version=1,
                token_in=legs[0].token_in,
                token_out=token,
                legs=len(legs),
            )
            payload = build(Domain.EXECUTION, Source.USER_STRATEGY, (request, *legs), sequence=self._orders)
            self._ask(payload, ORDERS_RING, self._orders)
            self._orders += 1

    def _ask(self, payload: bytes, ring: bytes, sequence: int) -> None:
        order = read_order(payload, ring, sequence, 0)
        if isinstance(order, Order):
            self.asked[order.key] = AskedOrder(order, fees_said(payload))
        self.executor.take_order(payload, ring, sequence, 0)
        self._publish(self.executor.drafts)

    def _publish(self, drafts: Sequence[Draft]) -> None:
        for draft in drafts:
            self.published.append(build(draft.domain, draft.source, draft.records, sequence=len(self.published)))


class SentOrder(NamedTuple):
    """An order as transactions of its own account: pool number, token, amount of each leg, and what paper says."""

    account: str
    legs: tuple[tuple[int, str, int], ...]
    token_out: str
    amount_out: int
    what: str


class Sending:
    """The third part: the blocks again, with the orders in them."""

    def __init__(self, arena: Arena, outcome: PlayedRun) -> None:
        self.arena, self.outcome = arena, outcome
        self._share = outcome.setting.share_percent
        self.random = random.Random(outcome.seed)
        self._numbers = {bytes.fromhex(pool[2:]): number for number, pool in enumerate(arena.pools)}

    def block(self, made: BlockMade, attempts: Sequence[PaperAttempt], room: int) -> None:
        """Execute the orders of one block, and then make the block as it was; `room`: for how many orders."""
        arena = self.arena
        filled = [attempt for attempt in attempts if attempt.report.state == OrderState.FILLED][:room]
        self.outcome.failed_on_paper += len(attempts) - sum(
            attempt.report.state == OrderState.FILLED for attempt in attempts
        )
        before, time_s = arena.world.rpc("evm_snapshot"), arena.time_s
        orders = [self._sent(attempt, account) for attempt, account in zip(filled, arena.accounts, strict=False)]
        front = self._front(made, filled)
        if orders:
            self._execute(front, orders)
            before = self._again(before, time_s)
        ranged = self._ranged(made, min(RANGE_ORDERS_PER_BLOCK, room - len(orders)), before, time_s)
        arena.world.rpc("evm_revert", ranged)
        arena.time_s = time_s
        again = arena.make_block(made.moves)
        if again != made.hash:
            raise FeedError(f"block {made.number} was {made.hash}, made again it is {again}")

    def _again(self, snapshot: str, time_s: int) -> str:
        """Back to the block before; a snapshot is good for one return."""
        self.arena.world.rpc("evm_revert", snapshot)
        self.arena.time_s = time_s
        fresh: str = self.arena.world.rpc("evm_snapshot")
        return fresh

    def _front(self, made: BlockMade, filled: Sequence[PaperAttempt]) -> list[TraderMove]:
        """The block's moves that stand in front of the orders, pool by pool."""
        behind: dict[str, int] = {}
        for attempt in filled:
            for fill in attempt.fills:
                pool = "0x" + fill.pool.hex()
                if behind.setdefault(pool, fill.swaps_before) != fill.swaps_before:
                    raise FeedError(f"orders of block {made.number} stand at two places of pool {pool}")
        return [
            move
            for pool in dict.fromkeys(move.pool for move in made.moves)
            for move in _first_swaps([one for one in made.moves if one.pool == pool], self._count(made, pool, behind))
        ]

    def _count(self, made: BlockMade, pool: str, behind: dict[str, int]) -> int | None:
        """How many swaps of a pool stand in front; None for everything."""
        if self._share == 100:
            return None
        swaps = sum(move.pool == pool and move.is_swap for move in made.moves)
        return behind.get(pool, swaps * self._share // 100)

    def _sent(self, attempt: PaperAttempt, account: str) -> SentOrder:
        legs = tuple((self._numbers[fill.pool], "0x" + fill.token_in.hex(), fill.amount_in) for fill in attempt.fills)
        last = attempt.fills[-1]
        what = f"order {attempt.report.order_sequence} in block {attempt.report.block_number}"
        return SentOrder(account, legs, "0x" + last.token_out.hex(), last.amount_out, what)

    def _execute(self, front: Sequence[TraderMove], orders: Sequence[SentOrder]) -> None:
        """Make the block with the orders behind its front, and compare what their accounts hold."""
        arena, outcome = self.arena, self.outcome
        for order in orders:
            _, token, amount = order.legs[0]
            arena.fund(order.account, token, amount)
        sends = [partial(arena.send_swap, *leg, order.account) for order in orders for leg in order.legs]
        arena.make_block(front, *sends)
        kinds = ("uniswap_v2", "uniswap_v2", "uniswap_v3", "algebra", "uniswap_v4")
        for order in orders:
            held = {token: arena.world.balance(token, order.account) for token in arena.world.tokens}
            expected = {token: order.amount_out if token == order.token_out else 0 for token in arena.world.tokens}
            outcome.orders += 1
            outcome.swaps.update(kinds[number] for number, _, _ in order.legs)
            if held != expected:
                outcome.remainder += sum(abs(held[token] - expected[token]) for token in held)
                outcome.wrong.append(f"{order.what}: expected {expected}, the account holds {held}")

    def _ranged(self, made: BlockMade, count: int, before: str, time_s: int) -> str:
        """Orders through V4 and Algebra, filled from the states that the node has at the order's place."""
        if count < 1:
            return before
        arena, pick = self.arena, self.random
        front = self._front(made, ())
        orders: list[SentOrder] = []
        states: dict[int, RangeState] = {}
        arena.make_block(front)
        # The first swap of a block sets what an Algebra pool charges in it.
        states = {3: arena.read_algebra()._replace(fee_pips=made.algebra_fee), 4: arena.read_v4()}
        for account in arena.accounts[:count]:
            numbers = pick.sample((3, 4), pick.randint(1, 2))
            token = pick.choice(arena.world.tokens)
            amount = arena.in_token(pick.randint(1, 9) * 10 ** pick.randint(12, 18), token)
            order = self._range_order(made, account, numbers, token, amount, states)
            if order is not None:
                orders.append(order)
        before = self._again(before, time_s)
        if orders:
            self._execute(front, orders)
            before = self._again(before, time_s)
        return before

    def _range_order(
        self,
        made: BlockMade,
        account: str,
        numbers: Sequence[int],
        token: str,
        amount: int,
        states: dict[int, RangeState],
    ) -> SentOrder | None:
        """An order by `fill_order`; it moves `states` for the next one.  None where liquidity ends."""
        world, legs, steps, entering = self.arena.world, [], [], token
        for number in numbers:
            state = states[number]
            place = PoolPlace(state.price, state.fee_pips, state.ticks, state.ticks.spacing)
            steps.append((place, entering == world.tokens[0]))
            entering = world.tokens[1] if entering == world.tokens[0] else world.tokens[0]
        outcome = fill_order(steps, amount)
        if not isinstance(outcome, list):
            return None
        for number, swapped in zip(numbers, outcome, strict=True):
            legs.append((number, token, swapped.amount_in))
            token = world.tokens[1] if token == world.tokens[0] else world.tokens[0]
            states[number] = _moved(states[number], swapped)
        return SentOrder(account, tuple(legs), token, outcome[-1].amount_out, f"order by state in block {made.number}")


def _moved(state: RangeState, swapped: Swapped) -> RangeState:
    assert isinstance(swapped.after, Price)
    return state._replace(price=swapped.after)


def _first_swaps(moves: Sequence[TraderMove], count: int | None) -> list[TraderMove]:
    """A pool's moves up to its swap number `count`; None for all."""
    if count is None:
        return list(moves)
    front: list[TraderMove] = []
    swaps = 0
    for move in moves:
        if swaps == count:
            break
        front.append(move)
        swaps += move.is_swap
    while front and not front[-1].is_swap:
        front.pop()
    return front


def play(seed: int, orders: int, setting: OrderPlace, step: Callable[[int], None]) -> PlayedRun:
    """One run of about so many orders; `step` is told how many were executed.

    Raises:
        FeedError: the node or the collector failed, or a block could not be made again.
    """
    outcome = PlayedRun(seed, setting)
    with Node("--order", "fifo") as node:
        arena = Arena(node, seed)
        beginning, began_s = arena.world.rpc("evm_snapshot"), arena.time_s
        playing = Playing(arena, node, orders // ORDERS_PER_BLOCK + SPARE_BLOCKS)
        playing.run()
        outcome.blocks = len(playing.made)
        trading = Trading(seed, setting, playing, arena.world.weth)
        trading.run()
        found = [DumpedMessage("execution", number, data) for number, data in enumerate(trading.published)]
        outcome.read = PaperExecutions.read(found)
        attempts: defaultdict[str, list[PaperAttempt]] = defaultdict(list)
        for attempt in outcome.read.attempts:
            attempts["0x" + attempt.report.block_hash.hex()].append(attempt)
        arena.world.rpc("evm_revert", beginning)
        arena.time_s = began_s
        sending = Sending(arena, outcome)
        for made in playing.made:
            sending.block(made, attempts[made.hash], orders - outcome.orders)
            step(outcome.orders)
            if outcome.orders == orders:
                break
        outcome.judgements = judge(trading, outcome.read.attempts)
    return outcome


def judge(trading: Trading, attempts: Sequence[PaperAttempt]) -> list[FillJudgement]:
    """The same attempts by seeded contracts, from the frames alone: what `alphapulse reconcile` would say."""
    judge = FillJudge(attempts, SeededPools(), trading.asked, trading.executor.config)
    driver = Driver(judge, trading.playing.uuid)
    for frame in trading.frames:
        driver.deliver(*frame)
    for poison in driver.poison:
        raise FeedError(f"reconcile raised: {poison.reason}")
    return [*judge.judgements, *judge.rest()]
