"""The numbers of the demo's live view, read from its rings like by any other consumer.

It must never influence the pipeline: its readers are lossy, and a glance reads what there is at that moment.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Context, Decimal
from functools import partial
from typing import NamedTuple

from ringbuf import Frame, Reader
from tlv.codes import UNKNOWN_DECIMALS, Flag, OrderReason, OrderState, WithdrawalReason
from tlv.layout import (
    LAYOUT_DIGEST,
    ArbitrageSignal,
    Block,
    BlockEnd,
    CycleLeg,
    Economics,
    EventOrigin,
    ExecutionReport,
    Gap,
    OrderStatus,
    PoolBurn,
    PoolCollect,
    PoolMint,
    PoolState,
    PoolSwap,
    PoolSync,
    Reorg,
    RiskDecision,
    SignalIdentity,
    SignalWithdrawn,
)
from tlv.message import Message, parse
from tools.code_names import code_name
from tools.wording import gap_text, reorg_text, venue_name, verdict

KEPT = 64
"""Swaps, signals and notes: more than any terminal shows."""
FRAMES_PER_GLANCE = 4096
FIRST_TYPE = 32
"""Offset of the first TLV's type: a glance looks there before it parses anything."""
EXTENDED = 255
RATE_WINDOW_S = 2.0
DIGITS = 7
PRECISE = 80
"""Digits of a quotient that is cut off later: as many as the largest amount has."""
SMALL, LARGE = -6, 15
"""Powers of ten from and below which a number is written out."""
EVENTS = tuple(cls.layout.type for cls in (PoolSwap, PoolMint, PoolBurn, PoolCollect, PoolSync))


class TokenAmount(NamedTuple):
    """A number as a person reads it, and of what."""

    number: str
    name: str

    def __str__(self) -> str:
        return f"{self.number} {self.name}"


class Swap(NamedTuple):
    """One swap: what went into the pool and what came out."""

    block: int
    venue: int
    sold: TokenAmount
    bought: TokenAmount
    removed: bool


@dataclass
class ShownSignal:
    """One signal, and whether it still holds."""

    signal_id: int
    opportunity: int
    expires_block: int
    block: int
    pair: str
    route: str
    net: TokenAmount
    price: str
    verdict: str
    profitable: bool
    over: str = ""
    """Why it holds no more: `withdrawn` by its strategy, `replaced` by a newer signal of the same opportunity, or
    `expired` with its last block; empty as long as it holds."""

    def __str__(self) -> str:
        parts = [f"signal  block {self.block}", self.pair, self.route, f"net {self.net}", f"price {self.price}"]
        return "  ".join([*parts, self.verdict])


class Note(NamedTuple):
    """A reorg, a gap, a signal that was withdrawn, or what became of an order."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}  {self.text}"


@dataclass
class PipelineView:
    """Everything the live view shows of the three rings."""

    market: Reader
    signals: Reader
    executions: Reader
    symbols: dict[bytes, str] = field(default_factory=dict)
    """By token."""
    pools: set[bytes] = field(default_factory=set)
    swaps: deque[Swap] = field(default_factory=lambda: deque(maxlen=KEPT))
    opportunities: deque[ShownSignal] = field(default_factory=lambda: deque(maxlen=KEPT))
    notes: deque[Note] = field(default_factory=lambda: deque(maxlen=KEPT))
    untold: deque[Note | ShownSignal] = field(default_factory=lambda: deque(maxlen=1024))
    """Of both, what `take_news` has not given yet."""
    counts: Counter[int] = field(default_factory=Counter)
    blocks: int = 0
    head: int = 0
    ended: int = -1
    """The highest block that ended and was not taken back."""
    signal_count: int = 0
    withdrawn_count: int = 0
    order_count: int = 0
    attempts: dict[tuple[bytes, int], ExecutionReport] = field(default_factory=dict)
    """Of orders whose block stands, by who asked for them."""
    frames: int = 0
    lag_ns: int | None = None
    """From the node's socket to the ring, of the last swap: what any reader's own time comes on top of."""
    _seen: deque[tuple[float, int]] = field(default_factory=lambda: deque([(time.monotonic(), 0)]))

    @classmethod
    def attach(cls, market: str, signals: str, executions: str) -> PipelineView:
        """Readers from the oldest frame of each ring."""
        attach = partial(Reader.attach, start="oldest", layout_digest=LAYOUT_DIGEST)
        return cls(attach(market), attach(signals), attach(executions))

    def take_news(self) -> list[Note | ShownSignal]:
        """Reorgs, gaps, signals and what became of them since the last time."""
        news = list(self.untold)
        self.untold.clear()
        return news

    def close(self) -> None:
        """Detach."""
        self.market.close()
        self.signals.close()
        self.executions.close()

    def glance(self) -> int:
        """Read what is new; returns how many frames that was."""
        poll = self.market.poll(FRAMES_PER_GLANCE)
        count = 0
        for frame in poll:
            count += 1
            self._see(frame)
        self.frames += count
        for frame in self.signals.poll(FRAMES_PER_GLANCE):
            self._see_signal(frame.payload)
        for frame in self.executions.poll(FRAMES_PER_GLANCE):
            self._see_execution(frame.payload)
        now = time.monotonic()
        self._seen.append((now, self.frames))
        while now - self._seen[0][0] > RATE_WINDOW_S:
            self._seen.popleft()
        return count

    @property
    def events(self) -> int:
        """Pool events seen, REMOVED copies among them."""
        return sum(self.counts[kind] for kind in EVENTS)

    @property
    def rate(self) -> float:
        """Frames per second over the last two seconds."""
        (begin, before), (end, after) = self._seen[0], self._seen[-1]
        return (after - before) / (end - begin) if end > begin else 0.0

    def _see(self, frame: Frame) -> None:
        kind = first_type(frame.payload)
        self.counts[kind] += 1
        if kind in SEEN:
            message = parse(frame.payload, verify=False)
            SEEN[kind](self, message)
            origin = message.first(EventOrigin)
            if kind == PoolSwap.layout.type and origin is not None:
                # A frame's time is of CLOCK_MONOTONIC, an event's of the wall clock.
                published_ns = frame.publish_time_ns + time.time_ns() - time.monotonic_ns()
                self.lag_ns = published_ns - origin.receive_time_ns

    def _see_block(self, message: Message) -> None:
        block = message.first(Block)
        if block is not None:
            self.blocks += 1
            self.head = block.number

    def _see_state(self, message: Message) -> None:
        state = message.first(PoolState)
        if state is not None:
            self.pools.add(state.pool)
            self.symbols[state.token0] = state.symbol0
            self.symbols[state.token1] = state.symbol1

    def _see_swap(self, message: Message) -> None:
        swap, origin = message.first(PoolSwap), message.first(EventOrigin)
        if swap is None or origin is None:
            return
        left = self._amount(swap.amount0_in - swap.amount0_out, swap.decimals0, swap.token0)
        right = self._amount(swap.amount1_in - swap.amount1_out, swap.decimals1, swap.token1)
        sold, bought = (left, right) if swap.amount0_in >= swap.amount0_out else (right, left)
        removed = bool(message.header.flags & Flag.REMOVED)
        self.swaps.append(Swap(origin.block_number, swap.venue, sold, bought, removed))

    def _see_reorg(self, message: Message) -> None:
        reorg = message.first(Reorg)
        if reorg is not None:
            self.ended = min(self.ended, reorg.fork_number)
            self._tell(Note("reorg", reorg_text(reorg)))

    def _see_gap(self, message: Message) -> None:
        gap = message.first(Gap)
        if gap is not None:
            self._tell(Note("gap", gap_text(gap)))

    def _see_signal(self, payload: memoryview) -> None:
        message = parse(payload, verify=False)
        withdrawn = message.first(SignalWithdrawn)
        if withdrawn is not None:
            self._see_withdrawn(withdrawn)
        signal, worth = message.first(ArbitrageSignal), message.first(Economics)
        legs = [record for record in message.records if isinstance(record, CycleLeg)]
        if signal is None or worth is None or not legs:
            return
        self.signal_count += 1
        identity = message.first(SignalIdentity)
        net = self._amount(worth.net, worth.profit_decimals, worth.profit_token)
        found = ShownSignal(
            signal_id=identity.signal_id if identity is not None else 0,
            opportunity=signal.opportunity,
            expires_block=signal.expires_block,
            block=signal.block_number,
            pair="/".join(self._name(leg.token_in) for leg in [*legs[1:], legs[0]]),
            route=" -> ".join(venue_name(leg.venue) for leg in legs),
            net=TokenAmount("-" + net.number, net.name) if worth.net < 0 else net,
            price=price(signal, legs),
            verdict=verdict(signal.verdict),
            profitable=worth.net > 0,
        )
        for before in self.opportunities:
            if before.opportunity == found.opportunity and not before.over:
                before.over = "replaced"
        if found.expires_block <= self.ended:
            found.over = "expired"
        self.opportunities.append(found)
        self.untold.append(found)

    def _see_withdrawn(self, withdrawn: SignalWithdrawn) -> None:
        self.withdrawn_count += 1
        why = code_name(WithdrawalReason, withdrawn.reason)
        for found in self.opportunities:
            if found.signal_id == withdrawn.signal_id:
                found.over = "withdrawn"
                self.untold.append(Note("withdrawn", f"block {found.block}  {found.pair}  {found.route}  {why}"))

    def _see_execution(self, payload: memoryview) -> None:
        message = parse(payload, verify=False)
        record, report = message.records[0] if message.records else None, message.first(ExecutionReport)
        if isinstance(record, RiskDecision):
            self.order_count += 1
        elif isinstance(record, OrderStatus) and record.state == OrderState.UNDONE:
            undone = self.attempts.pop((record.order_ring, record.order_sequence), None)
            if undone is not None:
                self._tell(Note("undo", f"order of block {undone.block_number}: its block left the chain"))
        if report is not None:
            self.attempts[report.order_ring, report.order_sequence] = report
            kind = "fill" if report.state == OrderState.FILLED else "fail"
            why = f", {code_name(OrderReason, report.reason)}" if report.reason else ""
            self._tell(Note(kind, f"block {report.block_number}  net {self._signed(report.net, report)} on paper{why}"))

    @property
    def filled_count(self) -> int:
        """Orders that were filled, and whose block stands."""
        return sum(report.state == OrderState.FILLED for report in self.attempts.values())

    @property
    def net(self) -> str:
        """What all attempts earned on paper, in each token, were all included."""
        sums: dict[bytes, int] = {}
        for report in self.attempts.values():
            sums[report.token] = sums.get(report.token, 0) + report.net
        by_token = {report.token: report for report in self.attempts.values()}
        return ", ".join(self._signed(total, by_token[token]) for token, total in sums.items()) or "-"

    def _signed(self, base_units: int, report: ExecutionReport) -> str:
        return f"{'-' if base_units < 0 else ''}{self._amount(base_units, report.decimals, report.token)}"

    def _see_end(self, message: Message) -> None:
        end = message.first(BlockEnd)
        if end is not None:
            self.ended = max(self.ended, end.number)
            for found in self.opportunities:
                if found.expires_block <= self.ended and not found.over:
                    found.over = "expired"

    def _tell(self, note: Note) -> None:
        self.notes.append(note)
        self.untold.append(note)

    def _amount(self, base_units: int, decimals: int, token: bytes) -> TokenAmount:
        """Its size; the sign is the caller's."""
        if decimals == UNKNOWN_DECIMALS:
            return TokenAmount(figure(abs(base_units), 0), f"units of {self._name(token)}")
        return TokenAmount(figure(abs(base_units), decimals), self._name(token))

    def _name(self, token: bytes) -> str:
        return self.symbols.get(token) or short(token)


SEEN = {
    Block.layout.type: PipelineView._see_block,
    BlockEnd.layout.type: PipelineView._see_end,
    PoolState.layout.type: PipelineView._see_state,
    PoolSwap.layout.type: PipelineView._see_swap,
    Reorg.layout.type: PipelineView._see_reorg,
    Gap.layout.type: PipelineView._see_gap,
}
"""What is parsed; every other message is only counted."""


def first_type(payload: memoryview) -> int:
    """Type of the first TLV, in either form; 0 if there is none."""
    if len(payload) < FIRST_TYPE + 3:
        return 0
    kind = payload[FIRST_TYPE]
    return payload[FIRST_TYPE + 2] if kind == EXTENDED else kind


def figure(base_units: int, decimals: int) -> str:
    """A number of tokens as a person reads it: seven digits or more, cut off, whole ones never."""
    exact = Decimal(f"{base_units}e-{decimals}")
    return written(exact, max(DIGITS, exact.adjusted() + 1))


def written(exact: Decimal, digits: int) -> str:
    """So many digits, cut off; of a very large or very small number four, and its power of ten."""
    if exact and not SMALL <= exact.adjusted() < LARGE:
        return f"{Context(prec=4, rounding=ROUND_DOWN).create_decimal(exact):.3e}"
    return f"{Context(prec=digits, rounding=ROUND_DOWN).create_decimal(exact).normalize():,f}"


def price(signal: ArbitrageSignal, legs: Sequence[CycleLeg]) -> str:
    """Through two pools, of the token that is bought and sold again, in the other one: there and there.  Through more,
    or where a token's decimals are unknown: by how much more comes out than goes in, in per cent."""
    first = legs[0]
    if len(legs) != 2 or UNKNOWN_DECIMALS in (first.decimals_in, first.decimals_out):
        gain = signal.amount_out - signal.amount_in
        return f"{'+' if gain >= 0 else ''}{ratio(100 * gain, signal.amount_in, 0)} %"
    shift = first.decimals_out - first.decimals_in
    bought = ratio(signal.amount_in, first.amount_out, shift)
    return f"{bought} -> {ratio(signal.amount_out, first.amount_out, shift)}"


def ratio(numerator: int, denominator: int, shift: int) -> str:
    """Five digits of numerator / denominator * 10 ** shift; ? if there is none."""
    if not denominator:
        return "?"
    exact = Context(prec=PRECISE, rounding=ROUND_DOWN).divide(Decimal(f"{numerator}e{shift}"), Decimal(denominator))
    return written(exact, 5)


def short(address: bytes) -> str:
    """An address as 0x1234..abcd."""
    text = address.hex()
    return f"0x{text[:4]}..{text[-4:]}"
