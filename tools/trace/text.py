"""A trace for people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from tlv.units import MS, NS
from tools.trace.model import Trace, TraceAnswer, TraceHop, Unstamped

PRECISION = {
    "exact": "",
    "wall": "one wall clock",
    "across": "wall and monotonic clock",
    "seconds": "the chain's clock, whole seconds",
}
US = NS // 1_000_000


def lines(answer: TraceAnswer) -> Iterator[str]:
    """The whole answer."""
    for trace in answer.traces:
        yield from lines_of(trace)
        yield ""
    lost = f", {answer.lost:,} of these sequences were lost" if answer.lost else ""
    broken = f", {answer.broken:,} are no messages" if answer.broken else ""
    looked = f"looked at {answer.frames:,} frames of {answer.where}{lost}{broken}"
    if answer.events or answer.left_out:
        looked += (
            f"; {answer.events:,} events in time, {answer.left_out:,} left out (fetched, replayed, removed, said again)"
        )
    yield looked
    yield "without a stamp per event:"
    for hop in answer.unstamped:
        yield f"  {hop.hop:<16} {hop.why}{histogram_text(hop)}"


def lines_of(trace: Trace) -> Iterator[str]:
    """One trace."""
    place = f"  block {trace.block_number}" if trace.block_number >= 0 else ""
    place += f" log {trace.log_index}" if trace.log_index >= 0 else ""
    flags = f"  [{'|'.join(trace.flags)}]" if trace.flags else ""
    yield "  ".join(filter(None, [f"{trace.ring} {trace.sequence}", trace.record, trace.pool])) + place + flags
    for stamp in trace.stamps:
        yield f"  {clock_text(stamp.wall_ns, stamp.clock)}  {stamp.name}"
    for hop in trace.hops:
        yield f"  {duration_text(hop.ns):>12}  {hop.name:<18}{hop_text(hop)}"
    here = f"; on this host {trace.slowest_here}" if trace.slowest_here not in ("", trace.slowest) else ""
    yield f"  slowest: {trace.slowest or 'no hop of it is a latency'}{here}"
    yield f"  in all {duration_text(trace.whole_ns)}, {duration_text(trace.here_ns)} of it on this host"
    for signal in trace.signals:
        on = "on its block's end" if signal.trigger == "block_end" else "on it"
        where = f"{signal.kind} {signal.ring} {signal.sequence} of {signal.strategy}"
        yield f"  {where} {on}, {duration_text(signal.ns)} later"
    for order in trace.orders:
        asked = f"what {order.signal_ring} {order.signal_sequence} asked for"
        yield f"  {order.what} {order.ring} {order.sequence}: {order.state}, {duration_text(order.ns)} after {asked}"
    for note in trace.notes:
        yield f"  note: {note}"


def hop_text(hop: TraceHop) -> str:
    """Where it leads, and what to know of its time."""
    known = ["" if hop.counted else "no latency", hop.note, PRECISION[hop.precision]]
    remarks = "; ".join(filter(None, known))
    return f" {hop.begin} -> {hop.end}" + (f"  ({remarks})" if remarks else "")


def histogram_text(hop: Unstamped) -> str:
    """What is known of all messages."""
    if not hop.count:
        return ""
    of_all = f"half within {duration_text(hop.p50_ns)}, 99 % within {duration_text(hop.p99_ns)}"
    return f"; of {hop.count:,} of {hop.process} {of_all}"


def duration_text(ns: int) -> str:
    """A duration with three digits behind the point of its unit."""
    size = abs(ns)
    for unit, text in ((NS, "s"), (MS, "ms"), (US, "us")):
        if size >= unit:
            return f"{ns / unit:,.3f} {text}"
    return f"{ns} ns"


def clock_text(wall_ns: int, clock: str) -> str:
    """UTC, as exact as the clock is."""
    seconds, ns = divmod(wall_ns, NS)
    try:
        moment = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError, OSError):
        return f"{wall_ns} ns"
    return f"{moment}{'          ' if clock == 'chain' else f'.{ns:09d}'}"
