"""Paper fills executed by the real contracts: each against its pools' states at its own place in its block.

Owns where a fill stands, the states there, what own earlier fills changed, and the split of what a fill brought less
than its order expected.  The market's frames come from a journal; what the executor itself knew plays no part.

An attempt that failed on paper says nothing of its legs: they are its order's, and its place is the one that the
executor's settings give it.  It is rightly failed if a contract refuses a leg, takes less than the whole input, or pays
less in the end than the order accepts.

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

from consumers.arbitrage.book_strategy import BookStrategy
from consumers.arbitrage.gas_rate import Rate
from consumers.arbitrage.kept_ticks import KEPT_BLOCKS
from consumers.arbitrage.pool_state import Pool, Price, Reserves
from consumers.execution.config import ExecutionConfig
from consumers.execution.ledger import PPM
from consumers.execution.orders import Order, OrderKey
from tlv.codes import OrderReason, OrderState
from tlv.layout import (
    Block,
    BlockEnd,
    EventOrigin,
    ExecutionReport,
    Fill,
    PoolRecord,
    PoolSwap,
    Reorg,
)
from tools.evm.errors import NoRealContract, SwapReverted
from tools.evm.seeded_pools import Executed, SeededPools

END = 1 << 62
"""A log index behind all events of a block."""

Where = tuple[int, int]
"""A block, and a log index in it."""


FeesOfPools = dict[bytes, int]
"""Fee in pips by pool."""


class AskedOrder(NamedTuple):
    """What a strategy asked for, and the fees that a signal's legs say."""

    order: Order
    fees: FeesOfPools


OrdersAsked = dict[OrderKey, AskedOrder]


class PaperAttempt(NamedTuple):
    """One message of the executor: an order that was filled, or that failed and has no fills."""

    report: ExecutionReport
    fills: tuple[Fill, ...]

    @property
    def block(self) -> tuple[int, bytes]:
        """Number and hash of the block that it stood in."""
        return self.report.block_number, self.report.block_hash


class TradedLeg(NamedTuple):
    """A leg of a failed attempt; named as a Fill names them."""

    block_number: int
    leg: int
    pool: bytes
    token_in: bytes
    token_out: bytes


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


class RightlyFailed(NamedTuple):
    """How the contracts confirm that an attempt failed, in base units of what comes out."""

    legs: int
    """That were executed."""
    accepted: int
    """The least that the order accepts."""
    given: int | None
    """What the last leg pays; None if a leg is refused, or takes a part of its input only."""
    refused: str
    """By which leg, and why; empty if all are executed."""


class FillJudgement(NamedTuple):
    """What the contracts say of one attempt."""

    attempt: PaperAttempt
    paid: tuple[int, ...]
    """What each leg's contract pays for the leg's input; empty if they were not asked."""
    wrong: tuple[str, ...]
    """What differs, between fill and contract or within the report."""
    unjudged: str
    """Why the contracts could not be asked; empty if they were."""
    parts: ExplainedParts | None
    """None of an order that states no expectation, of one that was not judged, and of one that failed."""
    failed: RightlyFailed | None = None
    """Of an attempt that failed on paper, and with the contracts."""


class Unjudged(Exception):
    """A fill cannot be executed here; the message says why."""


class FillJudge(BookStrategy):
    """Gets the market's frames from a `Driver`, and executes the attempts of each block at its end.

    `settings`: those of the executor, of which `share_percent` gives failed attempts their place.
    """

    name: ClassVar[str] = "reconcile"

    def __init__(
        self,
        attempts: Iterable[PaperAttempt],
        pools: SeededPools,
        asked: OrdersAsked | None = None,
        settings: ExecutionConfig | None = None,
    ) -> None:
        super().__init__()
        self.judgements: list[FillJudgement] = []
        self._waiting: defaultdict[tuple[int, bytes], list[PaperAttempt]] = defaultdict(list)
        for attempt in attempts:
            self._waiting[attempt.block].append(attempt)
        self._pools = pools
        self._asked = asked or {}
        self._share_percent = (settings or ExecutionConfig()).share_percent
        self._swaps: defaultdict[int, dict[bytes, list[int]]] = defaultdict(dict)
        """Log indices of each block's swaps, by pool."""
        self._moved: defaultdict[bytes, list[OwnMove]] = defaultdict(list)
        self._times: dict[int, int] = {}
        """Of the newest blocks."""
        self._complete_from: int | None = None
        """The lowest block of which no frame was lost; None until a Block comes."""

    def rest(self) -> list[FillJudgement]:
        """The attempts whose block never ended in the frames that were delivered."""
        left = [attempt for attempts in self._waiting.values() for attempt in attempts]
        self._waiting.clear()
        return [
            _unjudged(attempt, f"block {attempt.report.block_number} of that hash does not end in the market's frames")
            for attempt in left
        ]

    # ---- the market

    def on_event(self, record: PoolRecord, origin: EventOrigin) -> None:
        """Keep the pool's state, and where swaps stand."""
        super().on_event(record, origin)
        if isinstance(record, PoolSwap):
            self._swaps[origin.block_number].setdefault(record.pool, []).append(origin.log_index)

    def on_block(self, block: Block) -> None:
        """Its events are behind it."""
        super().on_block(block)
        self._times[block.number] = block.timestamp
        for number in [known for known in self._times if known < block.number - KEPT_BLOCKS]:
            del self._times[number]
        if self._complete_from is None:
            self._complete_from = block.number

    def on_lost(self, first: int, last: int) -> None:
        """Any pool may have moved."""
        super().on_lost(first, last)
        self._swaps.clear()
        self._moved.clear()
        self._complete_from = None

    def on_reorg(self, reorg: Reorg) -> None:
        """Take back what stood in the blocks that left the chain."""
        super().on_reorg(reorg)
        for number in [known for known in self._swaps if known > reorg.fork_number]:
            del self._swaps[number]
        for pool, moves in self._moved.items():
            self._moved[pool] = [move for move in moves if move.block_number <= reorg.fork_number]

    def on_block_end(self, end: BlockEnd) -> None:
        """Execute the attempts of this block, in the order in which they were published."""
        for attempt in self._waiting.pop((end.number, end.hash), ()):
            filled = attempt.report.state == OrderState.FILLED
            try:
                self.judgements.append(self._judge(attempt) if filled else self._judge_failed(attempt))
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

    def _judge_failed(self, attempt: PaperAttempt) -> FillJudgement:
        report, wrong = attempt.report, inconsistencies(attempt)
        asked = self._asked.get(_key(report))
        if asked is None:
            raise Unjudged("it failed, and no journal of --signals-journal has the order that says its legs")
        order = asked.order
        stated = report.legs, report.token, report.expected_out
        if order.fault or stated != (len(order.legs), order.token_out, order.expected_out):
            wrong.append(f"legs, token, expected_out: found {stated}, which is not what its order asked for")
            return FillJudgement(attempt, (), tuple(wrong), "", None)
        failed = self._fail(order, report.block_number)
        if not failed.refused and failed.given is not None and failed.given >= failed.accepted:
            wrong.append(f"it failed on paper, the contracts pay {failed.given}, and {failed.accepted} are accepted")
        elif not failed.refused and report.reason != OrderReason.TOO_LITTLE_OUT:
            reason = OrderReason(report.reason).name
            wrong.append(f"reason: expected TOO_LITTLE_OUT, since the contracts pay {failed.given}, found {reason}")
        return FillJudgement(attempt, (), tuple(wrong), "", None, None if wrong else failed)

    def _fail(self, order: Order, block_number: int) -> RightlyFailed:
        """The legs one after the other, up to the one that fails."""
        amount = order.amount_in
        for number, planned in enumerate(order.legs, 1):
            leg = TradedLeg(block_number, number, planned.pool, planned.token_in, planned.token_out)
            met = self._met(leg, self._place(leg), own=True)
            executed = self._swap(met, leg, amount) if amount else SwapReverted("nothing goes in")
            refused = ""
            if isinstance(executed, SwapReverted):
                refused = f"leg {number}: {executed}"
            elif executed.amount_in != amount:
                refused = f"leg {number}: the contract takes {executed.amount_in} of {amount}"
            if refused:
                return RightlyFailed(number, order.min_amount_out, None, refused)
            assert isinstance(executed, Executed)
            amount = executed.amount_out
        return RightlyFailed(len(order.legs), order.min_amount_out, amount, "")

    def _place(self, leg: TradedLeg) -> Where:
        """Where an attempt meets a pool, by the executor's share."""
        self._check_complete(leg)
        logs = sorted(self._swaps.get(leg.block_number, {}).get(leg.pool, ()))
        if self._share_percent == 100:
            return leg.block_number, END
        before = len(logs) * self._share_percent // 100
        return (leg.block_number, logs[before - 1]) if before else _front(leg)

    def _check_complete(self, leg: Fill | TradedLeg) -> None:
        if self._complete_from is None or leg.block_number < self._complete_from:
            raise Unjudged(f"leg {leg.leg}: frames of block {leg.block_number} are missing")

    def _execute(self, fill: Fill) -> tuple[Where, Executed | SwapReverted]:
        """The fill by the contract, and where it stands.

        A fill says behind how many of its block's swaps it stands.  If these are all, whether it is behind the rest of
        the block's events as well follows from the executor's share alone: then both are tried.
        """
        self._check_complete(fill)
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

    def _swap(
        self, met: MetState, leg: Fill | TradedLeg, amount_in: int, fee_pips: int | None = None
    ) -> Executed | SwapReverted:
        pool = self._pool(leg)
        try:
            return self._pools.swap(
                met.protocol,
                met.value,
                met.fee_pips if fee_pips is None else fee_pips,
                amount_in,
                falls=leg.token_in == pool.token0,
                net=met.net,
                spacing=met.spacing,
            )
        except SwapReverted as refusal:
            return refusal

    def _pool(self, leg: Fill | TradedLeg) -> Pool:
        pool = self.book.get(leg.pool)
        if pool is None or {pool.token0, pool.token1} != {leg.token_in, leg.token_out}:
            raise Unjudged(f"leg {leg.leg}: the market's frames have no pool 0x{leg.pool.hex()} of its tokens")
        return pool

    def _met(self, leg: Fill | TradedLeg, place: Where, *, own: bool) -> MetState:
        """The state of a leg's pool at a place; with what own fills left if `own`."""
        pool = self._pool(leg)
        entry = next(
            (known for known in reversed(pool.history) if (known.block_number, known.log_index) <= place), None
        )
        fee_pips = pool.fee(falls=leg.token_in == pool.token0)
        if pool.fees.followed:  # it moves: what it takes in the leg's block behind this place
            time = self._times.get(leg.block_number)
            fee_pips = None if time is None else pool.fees.fee_in(place, time)
        if entry is None or fee_pips is None:
            missing = "fee" if entry is not None else f"state at block {place[0]}"
            raise Unjudged(f"leg {leg.leg}: the {missing} of pool 0x{leg.pool.hex()} is not known")
        value = entry.value
        for _, where, left in reversed(self._moved[leg.pool]) if own else ():
            if left is None and (entry.block_number, entry.log_index) <= where and where[0] <= place[0]:
                raise Unjudged(f"leg {leg.leg}: an earlier fill in pool 0x{leg.pool.hex()} could not be executed")
            if left is not None and (entry.block_number, entry.log_index) <= where <= place:
                value = left
                break
        ticks = pool.ticks.at(*place) if isinstance(value, Price) else None
        net = {} if ticks is None else dict(ticks.net)
        return MetState(pool.protocol, value, fee_pips, net, pool.tick_spacing)

    def _split(self, attempt: PaperAttempt, places: Sequence[Where], paid: Sequence[int]) -> ExplainedParts:
        """What the order expected, and by what steps it became what it was filled with."""
        report, fills = attempt.report, attempt.fills
        asked = self._asked.get(_key(report))
        decided = {} if asked is None else asked.fees
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


def _front(leg: Fill | TradedLeg) -> Where:
    return leg.block_number - 1, END


def _key(report: ExecutionReport) -> OrderKey:
    return OrderKey(report.order_ring, report.order_sequence)


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
