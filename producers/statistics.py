"""What a collector counts.  Each counter has one meaning, stated here, and a test.

Owns the numbers and their JSON form.  Every `int`, `Level` and `Histogram` is in the collector's shared counters too.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from producers.node.backoff import Circuit
from ringbuf import Histogram, Level

LATENCIES = ("block_to_receive", "receive_to_ring", "loop_late")
MOST_LISTED = 1_000
"""A feed that runs for years must not grow."""


@dataclass
class Statistics:
    """Everything a collector counts in one run."""

    blocks: int = 0
    """Blocks that became canonical; one that came back after a reorg counts again."""
    headers: int = 0
    """Headers of blocks that were not known before, pushed or fetched."""
    logs_received: int = 0
    """Logs the node sent, pushed or fetched, before anything was dropped."""
    duplicates: int = 0
    """Of these, logs that had come before (same block hash, transaction hash and log index)."""
    disputed_logs: int = 0
    """Pushed logs whose place in their block another transaction has: not taken, and the block's list decides."""
    duplicate_heads: int = 0
    dropped_heads: int = 0
    """Heads that were given up because too many waited for parents."""
    events_published: int = 0
    """Event messages put into the ring, REMOVED copies not among them."""
    events_by_type: Counter[str] = field(default_factory=Counter)
    removed_events: int = 0
    """REMOVED copies."""
    removed_notices: int = 0
    """Logs with `removed: true`."""
    reorgs: list[dict[str, Any]] = field(default_factory=list)
    """The newest `MOST_LISTED`."""
    reorg_count: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    """Block numbers that no endpoint could show, first and last: the newest `MOST_LISTED`."""
    gap_count: int = 0
    refuted_answers: int = 0
    """Lists of a block's logs that the header, what was pushed or the log indices refute: asked again."""
    healed_blocks: int = 0
    """Blocks of declared gaps that could be had after all, and were published."""
    filtered_events: int = 0
    """Events of verified pools that the event filter kept from the ring."""
    event_logs: int = 0
    """Logs with an event's topic that were looked at.  Each was published (`events_published` less `replayed_events`
    and `retracted_events`), filtered, refused, is held (`held_logs`), or was let go: lookalikes, unsupported,
    quarantined."""
    replayed_events: int = 0
    """Of the events published, those of blocks that came back after a reorg."""
    retracted_events: int = 0
    """Of the events published, those flagged UNPROVEN that were taken back by a verdict, or had left with their block
    by then: they count as let go, and are published again if their emitter is a pool."""
    unproven_events: Level = 0
    """Of the events published, those flagged UNPROVEN whose emitter is not proven yet."""
    held_logs: Level = 0
    """Logs that wait in memory for their emitter to be verified."""
    quarantined_logs: Level = 0
    """Logs let go of emitters that are not proven, as declared by Unproven records; healed ones not among them."""
    healed_logs: int = 0
    """Logs that had been let go and were fetched again, their emitter being proven."""
    unproven_emitters: int = 0
    """Unproven records published."""
    unsupported_logs: int = 0
    """Logs of pools, or factories, that are proven to be of no configured factory."""
    lookalikes: int = 0
    """Logs with an event's topic from emitters that are proven to be no pools."""
    refused: dict[str, int] = field(default_factory=dict)
    """Logs of verified pools that broke a rule of `producers.decode.cold`, by rule."""
    rejected: dict[str, int] = field(default_factory=dict)
    """Frames, or parts of one, that were no usable message, by reason."""
    unfit_members: dict[str, int] = field(default_factory=dict)
    """Logs and headers that could not be used, by member and kind of value."""
    refusals: dict[str, int] = field(default_factory=dict)
    """Requests that the node refused, as "method: meaning" (`producers.node.refusals`)."""
    renewed_subscriptions: int = 0
    """Subscriptions that were dead while the node lived."""
    swaps_published: int = 0
    """Logs with a swap's topic that were published.  Swaps are counted when their block ends; one that ends anew, as
    what was held back is published after all, or back after a reorg, adds what is more of each outcome."""
    swaps_unproven: int = 0
    """Swaps of emitters of which nobody could say whether they are pools when their block ended."""
    swaps_no_pool: int = 0
    """Swaps of emitters that are proven to be no pools."""
    swaps_unsupported: int = 0
    """Swaps of pools that are proven to be of no configured factory."""
    swaps_filtered: int = 0
    """Swaps that the event filter kept from the ring."""
    swaps_refused: int = 0
    """Logs of proven pools that have a swap's topic and are none of their kind."""
    blocks_by_verdict: Counter[str] = field(default_factory=Counter)
    backfills: int = 0
    refetches: int = 0
    """Blocks whose pushed logs looked incomplete, or that nothing closed in time."""
    repairs: int = 0
    """Logs that came after their block had been closed."""
    cross_checks: int = 0
    """Blocks about which the second endpoint was asked."""
    cross_check_finds: int = 0
    """Logs that only the second endpoint listed."""
    cross_check_renumbered: int = 0
    """Blocks whose logs the second endpoint numbers otherwise."""
    cross_check_shortfalls: int = 0
    """Blocks of which the second endpoint did not list every log that came."""
    cross_check_rejected: dict[str, int] = field(default_factory=dict)
    """Frames of the second endpoint, or parts of one, that were no usable answer, by reason."""
    pools: Level = 0
    fee_states: int = 0
    """FeeStates told."""
    refused_fee_states: int = 0
    """What decides a fee could not be had, or contradicted itself."""
    tick_maps: int = 0
    """Maps of watched pools that were read from the node and published."""
    refused_tick_maps: int = 0
    """Readings of one that the node could not answer, or whose answers contradicted each other."""
    connections: int = 0
    reconnects: int = 0
    bytes_received: int = 0
    circuit: Circuit = Circuit.CLOSED
    """Whether connecting is worth trying; see `producers.node.backoff`."""
    circuit_openings: int = 0
    """How often so many attempts in a row had failed that the node was left alone."""
    endpoint: Level = 0
    """Which of the configured endpoints is in use, or is tried next."""
    excluded_endpoints: Level = 0
    """Endpoints that are not used, since they serve another chain."""
    endpoint_host: str = ""
    feed_reason: str = "connecting"
    """Whether the feed is well; a member of `tlv.codes.FeedReason` in small letters."""
    last_trouble: str = ""
    """What ended the last connection, or kept it from being made, in words."""
    endpoint_failures: Counter[str] = field(default_factory=Counter)
    """Connections that failed, were lost or were given up, by host and reason."""
    head_age_ms: Level = 0
    """Since the newest head came, as of the last heartbeat."""
    blocks_behind: Level = 0
    """Blocks between the head and what has ended, as of the last heartbeat."""
    held_back: Level = 0
    """Logs whose emitter is not proven yet, as of the last heartbeat."""
    disk_failures: int = 0
    """Writes of the pool cache, the state or this file that the disk refused."""
    head_number: Level = 0
    safe_number: Level = 0
    block_to_receive: Histogram = field(default_factory=Histogram)
    """Of each head that was pushed while it was new, from its timestamp (whole seconds) to its arrival."""
    receive_to_ring: Histogram = field(default_factory=Histogram)
    """Of each message that was published in the socket's callback that brought it about, from that callback's begin."""
    loop_late: Histogram = field(default_factory=Histogram)
    """How late the loop came to each of the moments, 20 ms apart, at which it was due: so long frames may have lain in
    the socket before `receive_to_ring` began."""

    def add_reorg(self, number: int, depth: int, removed_events: int) -> None:
        """A reorg was published; `number` is its lowest dropped block."""
        self.reorgs.append({"number": number, "depth": depth, "removed_events": removed_events})
        self.reorg_count += 1
        del self.reorgs[:-MOST_LISTED]

    def add_swaps(self, outcomes: dict[str, int]) -> None:
        """So many more swaps, by outcome."""
        self.swaps_published += outcomes.get("published", 0)
        self.swaps_unproven += outcomes.get("unproven", 0)
        self.swaps_no_pool += outcomes.get("no_pool", 0)
        self.swaps_unsupported += outcomes.get("unsupported", 0)
        self.swaps_filtered += outcomes.get("filtered", 0)
        self.swaps_refused += outcomes.get("refused", 0)

    def add_gap(self, first: int, last: int) -> None:
        """A gap was declared."""
        self.gaps.append((first, last))
        self.gap_count += 1
        del self.gaps[:-MOST_LISTED]

    def to_dict(self) -> dict[str, Any]:
        """As JSON; latencies under `latency_ns`."""
        values: dict[str, Any] = {name: value for name, value in vars(self).items() if name not in LATENCIES}
        values["events_by_type"] = dict(sorted(self.events_by_type.items()))
        values["blocks_by_verdict"] = dict(sorted(self.blocks_by_verdict.items()))
        values["endpoint_failures"] = dict(sorted(self.endpoint_failures.items()))
        values["gaps"] = [{"first": first, "last": last} for first, last in self.gaps]
        values["latency_ns"] = {name: getattr(self, name).to_dict() for name in LATENCIES}
        return values
