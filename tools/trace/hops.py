"""From the stamps of a message to the hops of its way: how long each took, on which clocks, what it does not mean.

   block_time --block_to_receive--> head --head_to_event--> receive --receive_to_ring--> ring --ring_to_signal--> signal
                                                                                           |                       ^  |
                                                                     ring_to_block_end     +--> block_end ---------+  |
                          fill <--signal_to_fill--, decision <--signal_to_decision------------------------------------+

`block_time` is the chain's; `head` and `receive` are the collector's wall clock, read once for each turn of its loop;
`ring`, `block_end` and `signal` are CLOCK_MONOTONIC at the publishing, shown as wall time.  Nothing is read here.
"""

from __future__ import annotations

from tlv.codes import Flag
from tlv.instrument import pool_text
from tlv.layout import Block, BlockEnd, PoolRecord
from tlv.units import NS
from tools.trace.chronicle import Subject
from tools.trace.model import BLOCK_WAIT, Trace, TraceHop, TraceOrder, TraceSignal, TraceStamp
from tools.trace.signals import Signals, SignalSeen

OLD_NS = 3600 * NS
"""A block whose time is so far away was not new when it came: a recording, an old block, or a clock that is wrong."""
LATEST_NS = 1 << 63
"""In the year 2262: a block's timestamp has 64 bits of seconds, and whoever makes blocks can write anything there."""
FETCHED = "fetched later (BACKFILL): the block's age, no latency"
OLD = "more than an hour: a recording, an old block, or a clock that is wrong"
REPLAYED = "its publishing is the replay's, its arrival the recording's"
CARRIED = "its ring was first published on another host: two hosts' clocks, and the way between them"
AGAIN = "its arrival is that of the first time"
DISAGREE = "negative: the clocks disagree, or the wall clock was set in between"
LATE = "its ring was made after the event: the strategy began later"


class WayStamps:
    """The stamps of one message, and the hops between them, as they are added."""

    def __init__(self, subject: Subject) -> None:
        self.flags = Flag(subject.message.header.flags)
        self.carried = subject.first_published not in (None, subject.ring) and not self.flags & Flag.REPLAY
        self.stamps: dict[str, TraceStamp] = {}
        self.hops: list[TraceHop] = []

    def stamp(self, name: str, wall_ns: int, clock: str) -> None:
        """Note a moment; 0 says that nobody did, and what is no time of this age of the world is none."""
        if 0 < wall_ns < LATEST_NS:
            self.stamps[name] = TraceStamp(name, wall_ns, clock)

    def hop(self, name: str, begin: str, end: str, *, here: bool = False, counted: bool = True, note: str = "") -> None:
        """Note the way between two stamps, if both are there."""
        if begin not in self.stamps or end not in self.stamps:
            return
        first, last = self.stamps[begin], self.stamps[end]
        ns = last.wall_ns - first.wall_ns
        notes = [note] if note else []
        if ns < 0:
            notes.append(DISAGREE)
        precision = precision_of(first.clock, last.clock)
        self.hops.append(TraceHop(name, begin, end, ns, precision, here, counted, "; ".join(notes)))


def precision_of(first: str, last: str) -> str:
    """How exact the time between stamps of these clocks is."""
    if "chain" in (first, last):
        return "seconds"
    if first != last:
        return "across"
    return "exact" if first == "monotonic" else "wall"


def trace_of(name: str, subject: Subject, signals: Signals, notes: list[str]) -> Trace:
    """The way of `subject`, a frame of ring `name`; `notes` are what was found out on the way to it."""
    way = WayStamps(subject)
    message, origin = subject.message, subject.origin
    first = message.records[0] if message.records else None
    what = what_is(subject)
    stamp_block(way, subject, what)
    stamp_ring(way, subject, what)
    on_it = signals_on(subject, signals)
    for signal, trigger in on_it:
        way.stamp(signal_stamp(signal), signal.publish_ns + subject.offset_ns, "monotonic")
        begin = "block_end" if trigger == "block_end" and what == "event" else "ring"
        late = LATE if is_late(subject, signal) else ""
        way.hop("ring_to_signal", begin, signal_stamp(signal), here=True, counted=not late, note=late)
        stamp_orders(way, subject, signal, signals)
    counted = [hop for hop in way.hops if hop.counted]
    stamps = sorted(way.stamps.values(), key=lambda stamp: stamp.wall_ns)
    here = [hop for hop in counted if hop.here]
    return Trace(
        ring=name,
        ring_uuid=subject.ring.hex(),
        sequence=subject.sequence,
        what=what,
        record=type(first).__name__ if first is not None else "",
        pool=pool_text(first.venue, first.pool) if isinstance(first, PoolRecord) else "",
        block_number=block_number(subject),
        block_hash=f"0x{subject.block_hash.hex()}" if subject.block_hash else "",
        transaction_hash=f"0x{origin.transaction_hash.hex()}" if origin else "",
        log_index=origin.log_index if origin else -1,
        flags=[flag.name or "" for flag in way.flags],
        stamps=stamps,
        hops=way.hops,
        signals=[
            TraceSignal(
                ring=signal.ring,
                sequence=signal.sequence,
                kind=signal.kind,
                signal_id=signal.identity.signal_id,
                strategy=signal.identity.strategy,
                trigger=trigger,
                trigger_sequence=signal.identity.trigger_sequence,
                ns=signal.publish_ns - begin_of(subject, trigger),
            )
            for signal, trigger in on_it
        ],
        orders=[
            TraceOrder(
                ring=order.ring,
                sequence=order.sequence,
                order_id=order.order_id,
                signal_ring=signal.ring,
                signal_sequence=signal.sequence,
                what=order.what,
                state=order.state,
                ns=order.publish_ns - signal.publish_ns,
            )
            for signal, _ in on_it
            for order in signals.orders_of(signal)
        ],
        slowest=longest(counted),
        slowest_here=longest(here),
        whole_ns=whole(way, counted),
        here_ns=sum(hop.ns for hop in here if hop.name != "ring_to_signal")
        + max([hop.ns for hop in here if hop.name == "ring_to_signal" and hop.begin == "ring"], default=0),
        removed_by=subject.removed_by,
        reorg=subject.reorg,
        notes=notes + notes_of(way, subject, signals),
    )


def what_is(subject: Subject) -> str:
    """As `Trace.what` has it."""
    message = subject.message
    if subject.origin is not None:
        return "removal" if message.header.flags & Flag.REMOVED else "event"
    if message.first(Block) is not None:
        return "block"
    return "block_end" if message.first(BlockEnd) is not None else "message"


def block_number(subject: Subject) -> int:
    """Of the block that the message is about; -1 if of none."""
    if subject.origin is not None:
        return subject.origin.block_number
    record = subject.message.first(Block) or subject.message.first(BlockEnd)
    return record.number if record is not None else -1


def stamp_block(way: WayStamps, subject: Subject, what: str) -> None:
    """What is known of the message's block before the message itself came."""
    origin, record = subject.origin, subject.message.first(Block)
    seconds = origin.block_timestamp if origin else record.timestamp if record else 0
    if subject.block is not None:
        seconds = subject.block.record.timestamp
        way.stamp("head", subject.block.record.receive_time_ns, "wall")
    way.stamp("block_time", seconds * NS, "chain")
    if what == "event" and origin is not None:
        way.stamp("receive", origin.receive_time_ns, "wall")
    elif what == "block" and record is not None:
        way.stamp("head", record.receive_time_ns, "wall")
    else:
        way.stamp("built", subject.message.header.timestamp_ns, "wall")
    came = "head" if "head" in way.stamps else "receive"
    note = FETCHED if way.flags & Flag.BACKFILL else ""
    if not note and came in way.stamps and seconds and abs(way.stamps[came].wall_ns - seconds * NS) >= OLD_NS:
        note = OLD
    if subject.again:
        way.stamp("built", subject.message.header.timestamp_ns, "wall")
    if what == "removal" or subject.again:
        return  # its block came long before; what is timed is that it was taken back, or said again
    way.hop("block_to_receive", "block_time", came, counted=not note, note=note)
    way.hop("head_to_event", "head", "receive")
    way.hop("head_to_block_end", "head", "built")


def stamp_ring(way: WayStamps, subject: Subject, what: str) -> None:
    """Its publishing, and the end of its block."""
    way.stamp("ring", subject.publish_ns + subject.offset_ns, "monotonic")
    note = REPLAYED if way.flags & Flag.REPLAY else CARRIED if way.carried else ""
    began = {"event": "receive", "block": "head"}.get(what, "built")
    name = "built_to_ring" if began == "built" else "receive_to_ring"
    if subject.again:
        way.hop("built_to_ring", "built", "ring", here=True, counted=not note, note=note)
        note = AGAIN
    way.hop(name, began, "ring", here=True, counted=not note, note=note)
    if what == "event" and subject.end is not None:
        way.stamp("block_end", subject.end.publish_ns + subject.offset_ns, "monotonic")
        way.hop(BLOCK_WAIT, "ring", "block_end", counted=False, note="the wait for the rest of the block")


def stamp_orders(way: WayStamps, subject: Subject, signal: SignalSeen, signals: Signals) -> None:
    """What executors decided on a signal, and when they filled it."""
    for order in signals.orders_of(signal):
        name = {"decision": "decision", "report": "fill"}.get(order.what)
        if name is None:
            continue
        stamp = f"{name} {order.ring} {order.sequence}"
        way.stamp(stamp, order.publish_ns + subject.offset_ns, "monotonic")
        if name == "decision":
            way.hop("signal_to_decision", signal_stamp(signal), stamp)
        else:
            way.hop("signal_to_fill", signal_stamp(signal), stamp, counted=False, note="the wait for its block")


def signals_on(subject: Subject, signals: Signals) -> list[tuple[SignalSeen, str]]:
    """Signals on the message, and those on its block's end that name its arrival; each with its trigger."""
    ring, sequence = identity_of(subject)
    found = [(seen, "event") for seen in signals.on(ring, sequence, subject.publish_ns, subject.offset_ns)]
    if what_is(subject) == "block_end":
        return [(seen, "block_end") for seen, _ in found]
    if subject.end is not None and subject.origin is not None and ring == subject.ring:
        found += [
            (seen, "block_end")
            for seen in signals.on(ring, subject.end.sequence, subject.end.publish_ns, subject.offset_ns)
            if seen.identity.trigger_receive_time_ns == subject.origin.receive_time_ns
        ]
    return found


def identity_of(subject: Subject) -> tuple[bytes, int]:
    """Ring and sequence by which signals name the frame: of a replayed copy those of the recorded one."""
    header = subject.message.header
    if header.flags & Flag.REPLAY:
        return subject.first_published or bytes(16), header.sequence
    return subject.ring, subject.sequence


def begin_of(subject: Subject, trigger: str) -> int:
    """When the trigger of a signal was published."""
    if trigger == "block_end" and subject.end is not None:
        return subject.end.publish_ns
    return subject.publish_ns


def is_late(subject: Subject, signal: SignalSeen) -> bool:
    """Whether the strategy could not have been in time."""
    return signal.ring_created_ns > subject.publish_ns


def signal_stamp(signal: SignalSeen) -> str:
    """The name of its stamp."""
    return f"signal {signal.ring} {signal.sequence}"


def longest(hops: list[TraceHop]) -> str:
    """Its name; of two as long the earlier one's; empty if none took any time."""
    best = max(hops, key=lambda hop: hop.ns, default=None)
    return best.name if best is not None and best.ns > 0 else ""


def whole(way: WayStamps, counted: list[TraceHop]) -> int:
    """From the first begin of these hops to their last end."""
    if not counted:
        return 0
    begins = [way.stamps[hop.begin].wall_ns for hop in counted]
    return max(way.stamps[hop.end].wall_ns for hop in counted) - min(begins)


def notes_of(way: WayStamps, subject: Subject, signals: Signals) -> list[str]:
    """What the times of this message do not mean."""
    notes, header = [], subject.message.header
    if way.flags & Flag.BACKFILL:
        notes.append("BACKFILL: it was fetched after its block, so its arrival is that of the answer")
    if way.flags & Flag.REPLAY:
        known = subject.first_published
        of = f"of ring {known.hex()}" if known else "of a ring that no Session in front of it names"
        notes.append(f"REPLAY: a copy of sequence {header.sequence} {of}; what was stamped before is the recording's")
    if way.carried and subject.first_published is not None:
        notes.append(f"a bridge carried it here from ring {subject.first_published.hex()} of another host")
    if way.flags & Flag.REMOVED:
        original = f"sequence {subject.original}" if subject.original else "an event that is no longer here"
        notes.append(f"REMOVED: it takes back {original}; its arrival is that event's")
    if subject.again:
        notes.append("published again: its block came back to the chain; its arrival is that of the first time")
    if way.flags & Flag.SNAPSHOT:
        notes.append("SNAPSHOT: it tells a state, and was not received as an event")
    if subject.removed_by:
        unproven = "its emitter proved to be no pool" if way.flags & Flag.UNPROVEN else "its Reorg is not here"
        why = f"reorg at sequence {subject.reorg}" if subject.reorg else unproven
        notes.append(f"removed: taken back by sequence {subject.removed_by} ({why})")
    elif way.flags & Flag.UNPROVEN:
        notes.append("UNPROVEN: its emitter was not proven to be a pool when it was published")
    if what_is(subject) == "event" and subject.block is None:
        notes.append(
            "the message that announced its block is not here, so block_to_receive ends at the event's own arrival"
        )
    ring, sequence = identity_of(subject)
    naming = signals.all_on(ring, sequence)
    older = sum(seen.publish_ns < subject.publish_ns for seen in naming)
    if naming and not signals.comparable(subject.offset_ns):
        notes.append(f"signals that name it: {len(naming)}; another clock recorded it, so their times say nothing")
    elif older:
        notes.append(f"signals that name it and are older: {older}; they are about another copy of it")
    elif overwritten := signals.overwritten(ring, subject.publish_ns):
        notes.append(f"signals of that time may have been overwritten in {', '.join(overwritten)}")
    return notes
