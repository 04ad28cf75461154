"""What the strategies of this host said, by the frame on which they said it, and what executors made of it.

Owns which rings are read for it: those whose newest message is a signal, an order, or what became of one.  It changes
none of them.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from typing import NamedTuple

import numpy as np

from ringbuf import Frame, RingNotFound, RingNotReady, list_rings
from ringbuf.newest import newest_frames
from tlv.buffers import Longs
from tlv.codes import Domain, OrderState
from tlv.errors import FrameError, SegmentError
from tlv.layout import (
    HEADER,
    HEADER_SIZE,
    ExecutionReport,
    OrderRecord,
    OrderRequest,
    OrderStatus,
    RiskDecision,
    SignalIdentity,
    SignalWithdrawn,
)
from tlv.message import Message, parse
from tlv.units import NS
from tools.code_names import code_key
from tools.trace.frames import RingFrames, wall_offset_ns


class SignalSeen(NamedTuple):
    """One signal, withdrawal or order of a strategy."""

    ring: str
    uuid: bytes
    sequence: int
    kind: str
    """`signal`, `withdrawal` or `order`."""
    publish_ns: int
    ring_created_ns: int
    """A frame from before it was read late by a strategy that began later."""
    identity: SignalIdentity
    """Of an order: its own fields as one."""


class OrderSeen(NamedTuple):
    """One message of an executor about an order."""

    ring: str
    sequence: int
    publish_ns: int
    what: str
    """`decision`, `status` or `report`."""
    state: str
    """`approved`, `refused`, or an `OrderState` in lower case."""
    order_id: int


class Signals:
    """The signals that the rings of this host hold."""

    def __init__(self) -> None:
        self._offset_ns = wall_offset_ns()
        self.unreadable: dict[str, str] = {}
        """Rings that could not be read, and why."""
        self._begin_ns: dict[str, int] = {}
        """Of a ring whose first signals were overwritten or not read, when the oldest was published."""
        self._speaking_of: defaultdict[bytes, set[str]] = defaultdict(set)
        """The rings that have signals on frames of a ring."""
        self._orders: defaultdict[tuple[bytes, int], list[OrderSeen]] = defaultdict(list)
        """By the ring and the sequence of what asked for one."""
        self._by_trigger: defaultdict[bytes, defaultdict[int, list[SignalSeen]]]
        self._by_trigger = defaultdict(lambda: defaultdict(list))

    @classmethod
    def of_this_host(cls, reach: int | None = None) -> Signals:
        """Read them all, or the newest `reach` of each ring."""
        signals = cls()
        for name in list_rings():
            try:
                if speaks_of_signals(name):
                    signals.read(name, reach)
            except (RingNotFound, RingNotReady):
                continue  # removed since, or being made: it holds nothing
            except SegmentError as error:
                signals.unreadable[name] = str(error)
        return signals

    def read(self, name: str, reach: int | None = None) -> None:
        """Read the ring `name`, or its newest `reach` frames.

        Raises:
            SegmentError.
        """
        with closing(RingFrames(name, reach)) as frames:
            for piece in frames.pieces(b"", -1):
                for frame in piece.poll:
                    self._begin_ns.setdefault(name, frame.publish_time_ns if frame.sequence > 1 else 0)
                    try:
                        message = parse(frame.payload)
                    except FrameError:
                        continue  # whoever reads the ring finds out
                    order = order_in(message, name, frame)
                    if order is not None:
                        about = message.records[0]
                        assert isinstance(about, OrderRecord)
                        self._orders[about.order_ring, about.order_sequence].append(order)
                    identity = identity_in(message)
                    if identity is not None:
                        kind = kind_of(message)
                        where = name, frames.uuid, frame.sequence, kind, frame.publish_time_ns, frames.created_ns
                        seen = SignalSeen(*where, identity)
                        self._by_trigger[identity.trigger_ring][identity.trigger_sequence].append(seen)
                        self._speaking_of[identity.trigger_ring].add(name)

    def comparable(self, offset_ns: int) -> bool:
        """Whether publish times that become wall time by `offset_ns` are of the same monotonic clock as the signals'.

        It is another one before a reboot; it stands still while the machine is suspended.
        """
        return abs(offset_ns - self._offset_ns) < NS

    def triggers_in(self, ring: bytes) -> Longs:
        """Sequences of the frames of `ring` on which there are signals."""
        return np.array(list(self._by_trigger[ring]), dtype=np.int64)

    def overwritten(self, ring: bytes, publish_ns: int) -> list[str]:
        """Rings that speak of `ring` and do not have their signals of that time any more."""
        return sorted(name for name in self._speaking_of[ring] if publish_ns < self._begin_ns[name])

    def all_on(self, ring: bytes, sequence: int) -> list[SignalSeen]:
        """Those that name a frame."""
        return self._by_trigger[ring][sequence]

    def orders_of(self, signal: SignalSeen) -> list[OrderSeen]:
        """What executors said of the order that a signal is, in the order of their publishing."""
        found = self._orders[signal.uuid, signal.sequence]
        return sorted(
            (seen for seen in found if seen.publish_ns >= signal.publish_ns), key=lambda seen: seen.publish_ns
        )

    def on(self, ring: bytes, sequence: int, publish_ns: int, offset_ns: int) -> list[SignalSeen]:
        """Those on one frame that was published then: of each id the first since.

        The same signal comes again when a strategy reads a copy of the frame, from a journal or a replayed ring.
        """
        found: dict[int, SignalSeen] = {}
        if self.comparable(offset_ns):
            for seen in sorted(self.all_on(ring, sequence), key=lambda seen: seen.publish_ns):
                if seen.publish_ns >= publish_ns:
                    found.setdefault(seen.identity.signal_id, seen)
        return list(found.values())


def identity_in(message: Message) -> SignalIdentity | None:
    """Which strategy said it, and on which frame; None if no strategy did."""
    order = message.first(OrderRequest)
    if order is None:
        return message.first(SignalIdentity)
    return SignalIdentity(
        signal_id=order.order_id,
        trigger_sequence=order.trigger_sequence,
        trigger_receive_time_ns=order.trigger_receive_time_ns,
        trigger_ring=order.trigger_ring,
        strategy=order.strategy,
        strategy_version=order.strategy_version,
    )


def kind_of(message: Message) -> str:
    """What a strategy's message is."""
    if message.first(OrderRequest) is not None:
        return "order"
    return "withdrawal" if message.first(SignalWithdrawn) is not None else "signal"


def order_in(message: Message, ring: str, frame: Frame) -> OrderSeen | None:
    """What an executor's message says of an order; None if it is none."""
    about = message.records[0] if message.records else None
    if not isinstance(about, OrderRecord):
        return None
    report = message.first(ExecutionReport)
    if isinstance(about, RiskDecision):
        what, state = "decision", "approved" if about.approved else "refused"
    elif isinstance(about, OrderStatus):
        what, state = "status", code_key(OrderState, about.state)
    else:
        what, state = "report", code_key(OrderState, report.state) if report is not None else "filled"
    return OrderSeen(ring, frame.sequence, frame.publish_time_ns, what, state, about.order_id)


def speaks_of_signals(name: str) -> bool:
    """Whether the newest message of a ring is a signal, an order, or what became of one.

    Raises:
        SegmentError.
    """
    for frame in newest_frames(name):
        if len(frame.payload) < HEADER_SIZE:
            return False
        header = np.frombuffer(frame.payload[:HEADER_SIZE], HEADER)[0]
        return int(header["domain"]) in (Domain.SIGNAL, Domain.EXECUTION)
    return False
