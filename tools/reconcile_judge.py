"""Paper fills executed by the real contracts: each against its pools' states at its own place in its block.

Owns where a fill stands, the states there, what own earlier fills changed, and the split of what a fill brought less
than its order expected.  The market's frames come from a journal; what the executor itself knew plays no part.

    expected    what the order's own state promised
    latency     the pools moved between that state and the fill's block
    fee         a pool with a fee that moves charged another one than the order's state said (with the signals at hand)
    competitors the swaps of the same block in front of the fill
    own fills   what earlier paper fills took, as long as no event of the pool came since
    remainder   what none of these explains: 0, or something is wrong

Every step is a swap by the contracts, so the parts add up to the wei.  A step that the contracts refuse joins the next.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import ClassVar, NamedTuple

from consumers.arbitrage.gas_rate import Rate
from consumers.arbitrage.pool_book import PoolBook
from consumers.arbitrage.pool_state import Pool, Price, Reserves
from consumers.execution.ledger import PPM
from consumers.strategy import Strategy
from tlv.codes import GapScope, OrderState
from tlv.layout import (
    Block,
    BlockEnd,
    EventOrigin,
    ExecutionReport,
    Fill,
    Gap,
    PoolBurn,
    PoolCreated,
    PoolMint,
    PoolRecord,
    PoolState,
    PoolSwap,
    PoolSync,
    PoolTicks,
    Reorg,
    Session,
    StateInvalidation,
    TickLiquidity,
)
from tlv.record import Record
from tools.evm.seeded_pools import Executed, NoRealContract, SeededPools, SwapReverted

END = 1 << 62
"""A log index behind all events of a block."""

Where = tuple[int, int]
"""A block, and a log index in it."""


FeesOfPools = dict[bytes, int]
"""Fee in pips by pool."""
FeesAsked = dict[tuple[bytes, int], FeesOfPools]
"""What a signal's legs say, by the ring and sequence of its frame."""


class PaperAttempt(NamedTuple):
    """One message of the executor: an order that was filled, or that failed and has no fills."""

    report: ExecutionReport
    fills: tuple[Fill, ...]

    @property
    def block(self) -> tuple[int, bytes]:
        """Number and hash of the block that it stood in."""
        return self.report.block_number, self.report.block_hash


class MetState(NamedTuple):
    """A pool's state at a place, as the market's frames tell it."""

    protocol: int
    value: Reserves | Price
    fee_pips: int
    net: dict[int, int]
    spacing: int


class OwnMove(NamedTuple):
    """What an own fill did to a pool: the fill's block, the place where it stood (of the first in a block that is the
    end of the block before), and the state that it left; None of one that could not be executed."""

    block_number: int
    where: Where
    left: Reserves | Price | None


class ExplainedParts(NamedTuple):
    """From what an order expected to what it was filled with; the differences, in base units of what comes out."""

    expected: int
    latency: int
    fee: int
    competitors: int
    own_fills: int
    remainder: int
    filled: int


class FillJudgement(NamedTuple):
    """What the contracts say of one filled order."""

    attempt: PaperAttempt
    paid: tuple[int, ...]
    """What each leg's contract pays for the leg's input; empty if they were not asked."""
    wrong: tuple[str, ...]
    """What differs, between fill and contract or within the report."""
    unjudged: str
    """Why the contracts could not be asked; empty if they were."""
    parts: ExplainedParts | None
    """None of an order that states no expectation, and of one that was not judged."""


class Unjudged(Exception):
    """A fill cannot be executed here; the message says why."""


class FillJudge(Strategy):
    """Gets the market's frames from a `Driver`, and executes the fills of each block at its end."""

    name: ClassVar[str] = "reconcile"
    wants: ClassVar[frozenset[type[Record]]] = frozenset(
        {Block, BlockEnd, PoolBurn, PoolCreated, PoolMint, PoolState, PoolSwap, PoolSync, PoolTicks}
    )

    def __init__(self, attempts: Iterable[PaperAttempt], pools: SeededPools, fees: FeesAsked | None = None) -> None:
        super().__init__()
        self.judgements: list[FillJudgement] = []
        self._waiting: defaultdict[tuple[int, bytes], list[PaperAttempt]] = defaultdict(list)
        for attempt in attempts:
            if attempt.report.state == OrderState.FILLED:
                self._waiting[attempt.block].append(attempt)
        self._pools = pools
        self._fees = fees or {}
        self._book = PoolBook()
        self._swaps: defaultdict[int, dict[bytes, list[int]]] = defaultdict(dict)
        """Log indices of each block's swaps, by pool."""
        self._moved: defaultdict[bytes, list[OwnMove]] = defaultdict(list)
        self._complete_from: int | None = None
        """The lowest block of which no frame was lost; None until a Block comes."""

    def rest(self) -> list[FillJudgement]:
        """The fills whose block never ended in the frames that were delivered."""
        left = [attempt for attempts in self._waiting.values() for attempt in attempts]
        self._waiting.clear()
        return [
            _unjudged(attempt, f"block {attempt.report.block_number} of that hash does not end in the market's frames")
            for attempt in left
        ]

    # ---- the market

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        """Keep the pool's state, and where swaps stand."""
        self._book.apply(record, origin)
        if isinstance(record, PoolSwap):
            self._swaps[origin.block_number].setdefault(record.pool, []).append(origin.log_index)

    def on_removed(self, record: PoolRecord, origin: EventOrigin) -> None:
        """Restore what the event had changed; the swaps of its block went with the reorg."""
        self._book.take_back(record, origin)

    def on_snapshot(self, record: PoolState) -> None:
        """Take over the fee, and the state unless an event has set a newer one."""
        self._book.take_snapshot(record)

    def on_ticks(self, part: PoolTicks, ticks: tuple[TickLiquidity, ...]) -> None:
        """Take over a tick map."""
        self._book.take_ticks(part, ticks)

    def on_block(self, block: Block) -> None:
        """Its events are behind it."""
        self._book.see_block(block.number)
        if self._complete_from is None:
            self._complete_from = block.number

    def on_invalidation(self, invalidation: StateInvalidation) -> None:
        """States are unknown."""
        self._book.apply_invalidation(invalidation)

    def on_gap(self, gap: Gap) -> None:
        """Any pool may have moved in what is missing."""
        if gap.scope == GapScope.RING_SEQUENCES:
            self.on_lost(gap.first, gap.last)
        else:
            self._book.invalidate()

    def on_session(self, session: Session) -> None:
        """The collector was not running."""
        self._book.invalidate()

    def on_lost(self, first: int, last: int) -> None:
        """Any pool may have moved."""
        self._book.lose()
        self._swaps.clear()
        self._moved.clear()
        self._complete_from = None

    def on_reorg(self, reorg: Reorg) -> None:
        """Take back what stood in the blocks that left the chain."""
        self._book.reorganise(reorg)
        for number in [known for known in self._swaps if known > reorg.fork_number]:
            del self._swaps[number]
        for pool, moves in self._moved.items():
            self._moved[pool] = [move for move in moves if move.block_number <= reorg.fork_number]

    def on_block_end(self, end: BlockEnd) -> None:
        """Execute the fills of this block, in the order in which they were published."""
        for attempt in self._waiting.pop((end.number, end.hash), ()):
            try:
                self.judgements.append(self._judge(attempt))
            except (Unjudged, NoRealContract) as reason:
                self.judgements.append(_unjudged(attempt, str(reason)))
                for fill in attempt.fills:
                    self._moved[fill.pool].append(OwnMove(end.number, (end.number, END), None))
        for number in [known for known in self._swaps if known < end.number]:
            del self._swaps[number]

    # ---- the fills

    def _judge(self, attempt: PaperAttempt) -> FillJudgement:
        wrong = inconsistencies(attempt)
        paid: list[int] = []
        executions = [self._execute(fill) for fill in attempt.fills]
        for fill, (_, executed) in zip(attempt.fills, executions, strict=True):
            if isinstance(executed, SwapReverted):
                wrong.append(f"leg {fill.leg}: the contract refused the swap: {executed}")
                paid.append(0)
                continue
            paid.append(executed.amount_out)
            if (executed.amount_in, executed.amount_out) != (fill.amount_in, fill.amount_out):
                wrong.append(
                    f"leg {fill.leg}: {fill.amount_in} in and {fill.amount_out} out on paper, "
                    f"the contract takes {executed.amount_in} and pays {executed.amount_out}"
                )
        places = [place for place, _ in executions]
        parts = self._split(attempt, places, paid) if attempt.report.expected_out else None
        for fill, (place, executed) in zip(attempt.fills, executions, strict=True):
            if isinstance(executed, Executed):
                self._moved[fill.pool].append(OwnMove(fill.block_number, place, executed.after))
        return FillJudgement(attempt, tuple(paid), tuple(wrong), "", parts)

    def _execute(self, fill: Fill) -> tuple[Where, Executed | SwapReverted]:
        """The fill by the contract, and where it stands.

        A fill says behind how many of its block's swaps it stands.  If these are all, whether it is behind the rest of
        the block's events as well follows from the executor's share alone: then both are tried.
        """
        if self._complete_from is None or fill.block_number < self._complete_from:
            raise Unjudged(f"leg {fill.leg}: frames of block {fill.block_number} are missing")
        logs = sorted(self._swaps.get(fill.block_number, {}).get(fill.pool, ()))
        if fill.swaps_before > len(logs):
            raise Unjudged(
                f"leg {fill.leg} stands behind {fill.swaps_before} swaps of block {fill.block_number}, "
                f"the market's frames have {len(logs)}"
            )
        behind = (fill.block_number, logs[fill.swaps_before - 1]) if fill.swaps_before else _front(fill)
        places = [behind] if fill.swaps_before < len(logs) else [(fill.block_number, END), behind]
        outcomes = [self._swap(self._met(fill, place, own=True), fill, fill.amount_in) for place in places]
        for place, outcome in zip(places, outcomes, strict=True):
            if isinstance(outcome, Executed) and outcome.amount_out == fill.amount_out:
                return place, outcome
        return places[0], outcomes[0]

    def _swap(self, met: MetState, fill: Fill, amount_in: int, fee_pips: int | None = None) -> Executed | SwapReverted:
        pool = self._pool(fill)
        try:
            return self._pools.swap(
                met.protocol,
                met.value,
                met.fee_pips if fee_pips is None else fee_pips,
                amount_in,
                falls=fill.token_in == pool.token0,
                net=met.net,
                spacing=met.spacing,
            )
        except SwapReverted as refusal:
            return refusal

    def _pool(self, fill: Fill) -> Pool:
        pool = self._book.get(fill.pool)
        if pool is None or {pool.token0, pool.token1} != {fill.token_in, fill.token_out}:
            raise Unjudged(f"leg {fill.leg}: the market's frames have no pool 0x{fill.pool.hex()} of its tokens")
        return pool

    def _met(self, fill: Fill, place: Where, *, own: bool) -> MetState:
        """The state of a fill's pool at a place; with what own fills left if `own`."""
        pool = self._pool(fill)
        entry = next(
            (known for known in reversed(pool.history) if (known.block_number, known.log_index) <= place), None
        )
        if entry is None or pool.fee_pips is None:
            missing = "fee" if entry is not None else f"state at block {place[0]}"
            raise Unjudged(f"leg {fill.leg}: the {missing} of pool 0x{fill.pool.hex()} is not known")
        value = entry.value
        for _, where, left in reversed(self._moved[fill.pool]) if own else ():
            if left is None and (entry.block_number, entry.log_index) <= where and where[0] <= place[0]:
                raise Unjudged(f"leg {fill.leg}: an earlier fill in pool 0x{fill.pool.hex()} could not be executed")
            if left is not None and (entry.block_number, entry.log_index) <= where <= place:
                value = left
                break
        ticks = pool.ticks.at(*place) if isinstance(value, Price) else None
        net = {} if ticks is None else dict(ticks.net)
        return MetState(pool.protocol, value, pool.fee_pips, net, pool.tick_spacing)

    def _split(self, attempt: PaperAttempt, places: Sequence[Where], paid: Sequence[int]) -> ExplainedParts:
        """What the order expected, and by what steps it became what it was filled with."""
        report, fills = attempt.report, attempt.fills
        decided = self._fees.get((report.order_ring, report.order_sequence), {})
        fronts = [_front(fill) for fill in fills]
        before = self._route(fills, fronts, decided)
        same_fee = self._route(fills, fronts, {})
        there = self._route(fills, places, {})
        filled = paid[-1] if self._joined(fills, paid) else self._route(fills, places, {}, own=True)
        steps: list[int] = [report.expected_out]
        for step in (before, same_fee, there, filled, report.amount_out):
            steps.append(steps[-1] if step is None else step)
        latency, fee, competitors, own_fills, remainder = (after - earlier for earlier, after in pairwise(steps))
        return ExplainedParts(report.expected_out, latency, fee, competitors, own_fills, remainder, report.amount_out)

    @staticmethod
    def _joined(fills: Sequence[Fill], paid: Sequence[int]) -> bool:
        return all(fill.amount_in == out for fill, out in zip(fills[1:], paid, strict=False))

    def _route(
        self, fills: Sequence[Fill], places: Sequence[Where], fees: FeesOfPools, *, own: bool = False
    ) -> int | None:
        """What comes out of all legs, one after the other; None if a contract refuses."""
        amount = fills[0].amount_in
        for fill, place in zip(fills, places, strict=True):
            try:
                executed = self._swap(self._met(fill, place, own=own), fill, amount, fees.get(fill.pool))
            except (Unjudged, NoRealContract):
                return None
            if isinstance(executed, SwapReverted) or executed.amount_in != amount:
                return None
            amount = executed.amount_out
        return amount


def _front(fill: Fill) -> Where:
    return fill.block_number - 1, END


def _unjudged(attempt: PaperAttempt, reason: str) -> FillJudgement:
    return FillJudgement(attempt, (), tuple(inconsistencies(attempt)), reason, None)


def inconsistencies(attempt: PaperAttempt) -> list[str]:
    """What in a report does not follow from its fills, its gas and its rates."""
    report, fills = attempt.report, attempt.fills
    wrong = []

    def check(name: str, expected: object, found: object) -> None:
        if expected != found:
            wrong.append(f"{name}: expected {expected}, found {found}")

    if report.state == OrderState.FILLED:
        check("legs", list(range(1, report.legs + 1)), [fill.leg for fill in fills])
    if fills:
        check("amount_in", fills[0].amount_in, report.amount_in)
        check("amount_out", fills[-1].amount_out, report.amount_out)
        check("token", fills[-1].token_out.hex(), report.token.hex())
        for before, fill in pairwise(fills):
            check(f"leg {fill.leg} amount_in", before.amount_out, fill.amount_in)
            check(f"leg {fill.leg} token_in", before.token_out.hex(), fill.token_in.hex())
        round_trip = fills[0].token_in == fills[-1].token_out
        check("gross", report.amount_out - (report.amount_in if round_trip else 0), report.gross)
    elif report.state == OrderState.FILLED:
        wrong.append("fills: expected at least one, found none")
    else:
        check("gross", 0, report.gross)
    rate = Rate(report.rate_native, report.rate_profit, report.rate_pool)
    check("gas_cost", rate.cost(report.gas_units * report.gas_price), report.gas_cost)
    check("net", report.gross - report.gas_cost, report.net)
    check("expected_net", report.net * report.inclusion_ppm // PPM, report.expected_net)
    return wrong
