"""What a validation found, and whether it is good enough.

Owns the keys of the JSON, the wording, and the criteria.  It computes nothing but rates and percentiles.  What must
never happen (a missing event, a broken message) has no threshold: one is too many.
"""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

from tlv.units import MS, NS
from tools.validate.judgement import Judgement
from tools.validate.ledger import NEVER, Window

LEAST_STILL_S = 10.0
STILL_BLOCKS = 8


def most_still_s(block_time_s: float) -> float:
    """For how long a collector of such a chain may stand still: the bound at which it would leave an endpoint."""
    return max(LEAST_STILL_S, STILL_BLOCKS * block_time_s)


class Thresholds(NamedTuple):
    """What the user demands; None demands nothing."""

    min_rate: float | None = None
    max_latency_ms: float | None = None
    max_reconnects: int | None = None
    max_held_back: int = 0
    """Events that the node's factories know to be pools' and the collector has not proven yet."""


class Criterion(NamedTuple):
    """One demand and what was found."""

    name: str
    demanded: str
    found: float
    passed: bool


@dataclass(frozen=True)
class Report:
    """One range of blocks, validated."""

    seconds: float
    first: int
    """-1 if no block was announced."""
    last: int
    """No block was closed if it is below `first`."""
    window: Window
    judgement: Judgement
    unread: int
    unreadable_logs: int
    emitters: Counter[str]
    verdicts: Counter[str]
    receive_to_ring: dict[str, int] | None
    """Of the whole run, as the collector measured it, in ns."""
    collected: Counter[str]
    """What the collector counted meanwhile: reconnects, back-fills, repairs ..."""
    behind: int = 0
    """Blocks that the node had, and of which the ring says nothing."""
    held_back: int = 0
    """Events that the collector owes, of these and of earlier blocks."""
    healed: int = 0
    """Events of earlier blocks that it owed."""
    most_still_s: float = LEAST_STILL_S
    """For so long it may stand still; see `most_still_s`."""

    @property
    def blocks(self) -> int:
        """How many were judged."""
        return max(self.last - self.first + 1, 0) if self.first >= 0 else 0

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.window.counts["events"] / self.seconds if self.seconds > 0 else 0.0

    @property
    def latency_p99_ms(self) -> float:
        """From the collector's socket to the reader."""
        return self.window.socket_to_reader.percentile(0.99) / MS

    def criteria(self, thresholds: Thresholds) -> list[Criterion]:
        """Every demand, whether it was met or not."""
        found = self.judgement
        never = {name: self.window.counts[name] for name in NEVER} | {
            "missing": found.missing,
            "extra": found.extra,
            "different": found.different,
            "miscounted": found.miscounted,
            "blocks_not_read_again": self.unread,
            "unreadable_logs": self.unreadable_logs,
        }
        still_s, most_s = self.window.longest_still_ns / NS, self.most_still_s
        demands = [
            Criterion("blocks", "at least 1", self.blocks, self.blocks > 0),
            Criterion("standing_still", f"at most {most_s:g} s", round(still_s, 1), still_s <= most_s),
            Criterion("behind", f"no block, {most_s:g} s after the node had it", self.behind, self.behind == 0),
            Criterion(
                "held_back",
                f"at most {thresholds.max_held_back}",
                self.held_back,
                self.held_back <= thresholds.max_held_back,
            ),
            Criterion(
                "judged",
                "at least 1 event, if some could not be judged",
                found.expected,
                found.expected > 0 or not found.undecided,
            ),
        ]
        demands += [Criterion(name, "none", number, number == 0) for name, number in never.items()]
        least, most, losses = thresholds.min_rate, thresholds.max_latency_ms, thresholds.max_reconnects
        if least is not None:
            demands.append(Criterion("rate", f"at least {least:g} events/s", self.rate, self.rate >= least))
        if most is not None:
            measured = self.window.socket_to_reader.count > 0
            good = measured and self.latency_p99_ms <= most
            demands.append(Criterion("latency", f"p99 of at most {most:g} ms", self.latency_p99_ms, good))
        if losses is not None:
            number = self.collected["reconnects"]
            demands.append(Criterion("reconnects", f"at most {losses}", number, number <= losses))
        return demands


def to_dict(report: Report, thresholds: Thresholds) -> dict[str, Any]:
    """As JSON."""
    criteria = report.criteria(thresholds)
    found = report.judgement
    return {
        "healthy": all(criterion.passed for criterion in criteria),
        "seconds": round(report.seconds, 3),
        "blocks": {
            "first": report.first,
            "last": report.last,
            "count": report.blocks,
            "unread": report.unread,
            "behind": report.behind,
        },
        "messages": {"read": report.window.counts["messages"]} | {name: report.window.counts[name] for name in NEVER},
        "events": {
            "published": report.window.counts["events"],
            "taken_back": report.window.counts["removed"],
            "expected": found.expected,
            "missing": found.missing,
            "extra": found.extra,
            "different": found.different,
            "miscounted_blocks": found.miscounted,
            "held_back": report.held_back,
            "healed": report.healed,
            "flagged": found.flagged,
            "undecided": len(found.undecided),
            "per_second": round(report.rate, 3),
        },
        "emitters": dict(report.emitters),
        "blocks_by_verdict": dict(report.verdicts),
        "reorgs": report.window.reorgs,
        "gaps": [{"first": first, "last": last} for first, last in report.window.gaps],
        "collector": dict(report.collected),
        "latency_ms": latencies(report),
        "criteria": [criterion._asdict() for criterion in criteria],
        "examples": [*report.window.complaints, *found.examples],
    }


def latencies(report: Report) -> dict[str, dict[str, float | None] | None]:
    """Median, 99th percentile and maximum, in ms.  A block's age is signed: it may arrive before its timestamp."""
    events, ages = report.window.socket_to_reader, sorted(report.window.block_ages_ms)
    in_ring = report.receive_to_ring
    return {
        "receive_to_ring": {name: ns / MS for name, ns in in_ring.items()} if in_ring else None,
        "socket_to_reader": {name: ns / MS for name, ns in events.to_dict().items()} if events.count else None,
        "block_age": {"p50": statistics.median(ages), "p99": ages[int(0.99 * (len(ages) - 1))], "max": ages[-1]}
        if ages
        else None,
    }


def lines(report: Report, thresholds: Thresholds) -> list[str]:
    """For people."""
    found, window = report.judgement, report.window
    counts = window.counts
    told = [
        f"{report.blocks} blocks ({report.first} to {report.last}) in {report.seconds:.1f} s: {counts['messages']} "
        f"messages, {counts['events']} events ({report.rate:.1f}/s), {counts['removed']} taken back",
        f"against the node: {found.expected} events expected, {found.missing} missing, {found.extra} extra, "
        f"{found.different} different, {unproven(report)}",
        f"blocks closed by: {listed(report.verdicts)}; {len(window.reorgs)} reorgs, {len(window.gaps)} gaps",
        f"collector: {listed(report.collected)}; emitters: {listed(report.emitters)}",
    ]
    for name, values in latencies(report).items():
        if values is not None:
            told.append(f"{name.replace('_', ' ')}: " + ", ".join(f"{key} {ms:.2f} ms" for key, ms in values.items()))
    told += [f"  {example}" for example in (*report.window.complaints, *found.examples)]
    for criterion in report.criteria(thresholds):
        if not criterion.passed:
            told.append(f"FAILED  {criterion.name}: expected {criterion.demanded}, found {criterion.found:g}")
    return told


def line(report: Report, thresholds: Thresholds) -> str:
    """One line, for a run that reports every minute; what failed follows in it."""
    found, window = report.judgement, report.window
    failed = [
        f"{criterion.name} {criterion.found:g} ({criterion.demanded})"
        for criterion in report.criteria(thresholds)
        if not criterion.passed
    ]
    return (
        f"{'FAILED' if failed else 'ok'}  blocks {report.first} to {report.last}, {report.rate:.1f} events/s, "
        f"{found.missing} missing, {found.extra} extra, {found.different} different, {unproven(report)}, "
        f"p99 {report.latency_p99_ms:.2f} ms, {report.collected['reconnects']} reconnects, "
        f"{len(window.reorgs)} reorgs, {len(window.gaps)} gaps"
    ) + (f"; failed: {', '.join(failed)}" if failed else "")


def unproven(report: Report) -> str:
    """What is known of events whose emitters are not proven."""
    found = report.judgement
    return f"{report.held_back} held back, {report.healed} healed, {found.flagged + len(found.undecided)} undecided"


def listed(counts: Counter[str]) -> str:
    """Counters in words."""
    return ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in sorted(counts.items())) or "nothing"
