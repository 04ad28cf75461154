"""The numbers of the demo's live view, read from its rings like by any other consumer.

It must never influence the pipeline: its readers are lossy, and a glance reads what there is at that moment.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import NamedTuple

from ringbuf import Frame, Reader
from tlv.codes import Flag
from tlv.layout import (
    LAYOUT_DIGEST,
    ArbitrageSignal,
    Block,
    Economics,
    EventOrigin,
    Gap,
    PoolBurn,
    PoolCollect,
    PoolMint,
    PoolState,
    PoolSwap,
    PoolSync,
    Reorg,
)
from tlv.message import Message, parse

SHOWN_SWAPS = 8
SHOWN_NOTES = 4
FRAMES_PER_GLANCE = 4096
FIRST_TYPE = 32
"""Offset of the first TLV's type: a glance looks there before it parses anything."""
EXTENDED = 255
RATE_WINDOW_S = 2.0
EVENTS = tuple(cls.layout.type for cls in (PoolSwap, PoolMint, PoolBurn, PoolCollect, PoolSync))


class Swap(NamedTuple):
    """One swap as text: what went into the pool and what came out."""

    block: int
    venue: int
    sold: str
    bought: str
    removed: bool


@dataclass
class PipelineView:
    """Everything the live view shows of the two rings."""

    market: Reader
    signals: Reader
    symbols: dict[bytes, tuple[str, str]] = field(default_factory=dict)
    swaps: deque[Swap] = field(default_factory=lambda: deque(maxlen=SHOWN_SWAPS))
    notes: deque[str] = field(default_factory=lambda: deque(maxlen=SHOWN_NOTES))
    counts: Counter[int] = field(default_factory=Counter)
    blocks: int = 0
    head: int = 0
    signal_count: int = 0
    frames: int = 0
    lag_ns: int | None = None
    """From the node's socket to the ring, of the last swap: what any reader's own time comes on top of."""
    _seen: deque[tuple[float, int]] = field(default_factory=lambda: deque([(time.monotonic(), 0)]))

    @classmethod
    def attach(cls, market: str, signals: str) -> PipelineView:
        """Readers from the oldest frame of each ring."""
        return cls(
            Reader.attach(market, start="oldest", layout_digest=LAYOUT_DIGEST),
            Reader.attach(signals, start="oldest", layout_digest=LAYOUT_DIGEST),
        )

    def close(self) -> None:
        """Detach."""
        self.market.close()
        self.signals.close()

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
            self.symbols[state.pool] = (state.symbol0, state.symbol1)

    def _see_swap(self, message: Message) -> None:
        swap = message.first(PoolSwap)
        if swap is None:
            return
        names = self.symbols.get(swap.pool, ("", ""))
        left = amount(swap.amount0_in - swap.amount0_out, swap.decimals0, names[0] or short(swap.token0))
        right = amount(swap.amount1_in - swap.amount1_out, swap.decimals1, names[1] or short(swap.token1))
        sold, bought = (left, right) if swap.amount0_in >= swap.amount0_out else (right, left)
        removed = bool(message.header.flags & Flag.REMOVED)
        origin = message.first(EventOrigin)
        if origin is not None:
            self.swaps.append(Swap(origin.block_number, swap.venue, sold, bought, removed))

    def _see_reorg(self, message: Message) -> None:
        reorg = message.first(Reorg)
        if reorg is not None:
            place = f"depth {reorg.depth} at block {reorg.old_head_number}"
            self.notes.append(f"reorg of {place}: {reorg.removed_events} events taken back")

    def _see_gap(self, message: Message) -> None:
        gap = message.first(Gap)
        if gap is not None:
            self.notes.append(f"gap: {gap.first} to {gap.last} cannot be had from the node")

    def _see_signal(self, payload: memoryview) -> None:
        message = parse(payload, verify=False)
        signal, worth = message.first(ArbitrageSignal), message.first(Economics)
        if signal is None:
            return
        self.signal_count += 1
        if worth is not None:
            gross = amount(worth.gross, worth.profit_decimals, short(worth.profit_token))
            self.notes.append(f"signal in block {signal.block_number}: gross {gross}")


SEEN = {
    Block.layout.type: PipelineView._see_block,
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


def amount(base_units: int, decimals: int, name: str) -> str:
    """An amount as a person writes it: exact digits, at most six after the point, and the token's name."""
    if decimals > 77:
        return f"{abs(base_units)} base units of {name}"
    whole, rest = divmod(abs(base_units), 10**decimals)
    places = f"{rest:0{decimals}d}"[:6] if decimals else ""
    return f"{whole:,}.{places} {name}" if places else f"{whole:,} {name}"


def short(address: bytes) -> str:
    """An address as 0x1234..abcd."""
    text = address.hex()
    return f"0x{text[:4]}..{text[-4:]}"
