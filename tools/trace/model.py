"""What a trace says, as `alphapulse trace --json` prints it; docs/traces.md has a line for each field."""

from __future__ import annotations

import msgspec

BLOCK_WAIT = "ring_to_block_end"
"""A hop that is no latency, and shown with those that are."""


class TraceStamp(msgspec.Struct, frozen=True):
    """A moment that was noted down."""

    name: str
    """`block_time`, `head`, `receive`, `built`, `ring`, `block_end`; `signal`, `decision` or `fill` with ring and
    sequence."""
    wall_ns: int
    """Since 1970.  Of a monotonic clock: made wall time with the difference of both clocks (see `clock`)."""
    clock: str
    """`chain`: the block producer's, whole seconds; `wall` or `monotonic`: this host's."""


class TraceHop(msgspec.Struct, frozen=True):
    """The way from one stamp to the next."""

    name: str
    begin: str
    end: str
    ns: int
    """As the stamps say it: negative where two clocks disagree."""
    precision: str
    """`exact`: both ends on one monotonic clock; `wall`: both on one wall clock; `across`: a wall time and a monotonic
    one; `seconds`: one end is a block's timestamp."""
    here: bool
    """Whether it lies between the socket of the collector and the signal."""
    counted: bool
    """Whether it is a latency of this event, and may be its slowest hop."""
    note: str

    @property
    def drawn(self) -> bool:
        """Whether it is a span of time that a picture can show."""
        return self.ns >= 0 and (self.counted or self.name == BLOCK_WAIT)


class TraceSignal(msgspec.Struct, frozen=True):
    """A signal that the event gave rise to."""

    ring: str
    sequence: int
    kind: str
    """`signal`, `withdrawal` or `order`."""
    signal_id: int
    strategy: str
    trigger: str
    """`event`, or `block_end`: the strategy looked again when the event's block was closed."""
    trigger_sequence: int
    ns: int
    """From the publishing of the trigger to its own; exact."""


class TraceOrder(msgspec.Struct, frozen=True):
    """What an executor said of an order that the event gave rise to."""

    ring: str
    sequence: int
    order_id: int
    signal_ring: str
    signal_sequence: int
    """Of what asked for it."""
    what: str
    """`decision`, `status` or `report`."""
    state: str
    """`approved`, `refused`, or `tlv.codes.OrderState` in lower case."""
    ns: int
    """From the publishing of what asked for it to its own; exact."""


class Unstamped(msgspec.Struct, frozen=True):
    """A hop for which nothing is noted down per event; with what is known of all events together, if anything is."""

    hop: str
    why: str
    process: str
    """Whose histogram it is; empty if there is none."""
    count: int
    p50_ns: int
    p99_ns: int


class Trace(msgspec.Struct, frozen=True):
    """The way of one message."""

    ring: str
    ring_uuid: str
    sequence: int
    what: str
    """`event`, `removal`, `block`, `block_end` or `message`."""
    record: str
    pool: str
    """As an instrument; empty if the message is not about one."""
    block_number: int
    """-1 if the message is not about one."""
    block_hash: str
    transaction_hash: str
    log_index: int
    """-1 if the message is no event."""
    flags: list[str]
    stamps: list[TraceStamp]
    hops: list[TraceHop]
    signals: list[TraceSignal]
    orders: list[TraceOrder]
    slowest: str
    """The longest hop that counts; empty if none does."""
    slowest_here: str
    """The longest of those on this host."""
    whole_ns: int
    """From the first stamp to the last of the hops that count."""
    here_ns: int
    """The hops on this host that count, to the last signal on the event itself."""
    removed_by: int
    """Sequence of the REMOVED copy; 0 if the event stands, as far as was looked."""
    reorg: int
    """Sequence of the Reorg with which that came; 0 if it came without one, or that is not here."""
    notes: list[str]
    """What these times do not mean, in words."""


class TraceAnswer(msgspec.Struct, frozen=True):
    """What was found."""

    where: str
    traces: list[Trace]
    frames: int
    """Looked at."""
    lost: int
    """Of these sequences so many were not there."""
    broken: int
    """Frames that were looked into and are no messages."""
    events: int
    """Among which the slowest were looked for."""
    left_out: int
    """Events of a back-fill or a replay, REMOVED copies, events whose block came back: their times are no latencies."""
    unstamped: list[Unstamped]
