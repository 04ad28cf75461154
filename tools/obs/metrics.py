"""A look as Prometheus reads it: names with units, counters ending in _total, histograms with two edges an octave.

Owns names and labels.  Text and content negotiation are prometheus_client's.  No URL is in them: an endpoint is its
index in the collector's list.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from ringbuf.layout import COUNTERS_FORMAT, FORMAT
from tlv.codes import FeedReason
from tlv.layout import LAYOUT_DIGEST
from tlv.units import NS
from tools.obs.anomalies import AnomaliesOfRing
from tools.obs.conditions import Condition
from tools.obs.help_texts import help_of
from tools.obs.look import FeedOfRing, Look
from tools.obs.processes import ROLES, Processes, ProcessStat
from tools.obs.telling import ReceiverStat
from tools.ringstat import RingStat

EDGES_NS = sorted(edge for power in range(10, 35) for edge in (1 << power, 3 << power >> 1))
"""1 us to 26 s: both kinds of edge are edges of the buckets beneath, so the counts are exact."""
PREFIX = "alphapulse"
RING_COUNTERS = {
    "frames": "Frames published.",
    "bytes": "Bytes of the ring that were written: frames with their descriptors and padding.",
    "pads": "Records that fill the end of the ring.",
    "batches": "Commits of several frames.",
    "rejects": "Frames that the writer refused to its caller.",
    "wakes": "Times that sleeping readers were woken.",
    "back_pressure": "Times that the writer waited for a reliable consumer.",
    "dropped": "Frames dropped since a reliable consumer held the ring.",
    "evictions": "Reliable consumers that lost their slot for being too slow.",
    "recoveries": "Writers that took the ring over.",
}
RECEIVER_COUNTERS = {
    "delivered": "Notices that a receiver took.",
    "dropped": "Notices that were given up since too many waited for a receiver.",
    "messages": "Messages that a receiver took.",
    "failures": "Attempts at a message that a receiver did not take.",
}
HOP_HELP = (
    "Time on one hop: block_to_receive, receive_to_ring (loop_late: how late the collector's loop was meanwhile),"
    " ring_to_client, ring_to_journal, ring_to_signal, receive_to_signal, end_to_report."
)


def metrics_of(
    look: Look, conditions: Sequence[Condition], receivers: Sequence[ReceiverStat] = (), *, healthy: bool
) -> Iterator[Metric]:
    """Every metric family."""
    yield InfoMetricFamily(
        f"{PREFIX}_build", "What runs here.", {"version": version("alphapulse"), "python": platform.python_version()}
    )
    yield InfoMetricFamily(
        f"{PREFIX}_layout",
        "Digests of the layouts that this build reads.",
        {"wire": f"{LAYOUT_DIGEST:#x}", "ring": f"{FORMAT:#x}", "counters": f"{COUNTERS_FORMAT:#x}"},
    )
    yield GaugeMetricFamily(f"{PREFIX}_look_duration_seconds", "What the look behind these numbers took.", look.seconds)
    yield GaugeMetricFamily(f"{PREFIX}_healthy", "1 if /healthz answers 200.", float(healthy))
    ready = all(condition.ok for condition in conditions)
    yield GaugeMetricFamily(f"{PREFIX}_ready", "1 if /readyz answers 200.", float(ready))
    met = GaugeMetricFamily(
        f"{PREFIX}_condition_ok", "1 if a condition of /readyz is met.", labels=("condition", "subject")
    )
    for condition in conditions:
        met.add_metric((condition.name, condition.subject), float(condition.ok))
    yield met
    yield from _of_rings(look.rings)
    yield from _of_feeds(look.feeds)
    yield from _of_anomalies(look.anomalies)
    yield from _of_processes(look.processes)
    up = GaugeMetricFamily(f"{PREFIX}_relay_socket_up", "1 if a relay accepts clients there.", labels=("socket",))
    for relay in look.relays:
        up.add_metric((relay.path,), float(relay.answers))
    yield up
    yield from _of_receivers(receivers)


def _of_rings(rings: Sequence[RingStat]) -> Iterator[Metric]:
    def gauge(name: str, text: str, value: dict[str, float]) -> Metric:
        family = GaugeMetricFamily(f"{PREFIX}_ring_{name}", text, labels=("ring",))
        for ring, number in value.items():
            family.add_metric((ring,), number)
        return family

    yield gauge("writer_up", "1 if a living process writes the ring.", {r.name: _up(r) for r in rings})
    yield gauge("epoch", "Writers that the ring has had.", {r.name: float(r.epoch) for r in rings})
    yield gauge("last_sequence", "Sequence of the newest frame.", {r.name: float(r.sequence) for r in rings})
    yield gauge("capacity_bytes", "Size of the data.", {r.name: float(r.capacity) for r in rings})
    yield gauge(
        "heartbeat_age_seconds", "Since the writer published or beat.", {r.name: r.heartbeat_age_s for r in rings}
    )
    yield gauge(
        "publish_age_seconds",
        "Since the writer published.",
        {r.name: r.publish_age_s for r in rings if r.publish_age_s is not None},
    )
    for counter, text in RING_COUNTERS.items():
        family = CounterMetricFamily(f"{PREFIX}_ring_{counter}", text, labels=("ring",))
        for ring in rings:
            family.add_metric((ring.name,), ring.counters[counter])
        yield family
    lag = GaugeMetricFamily(
        f"{PREFIX}_ring_consumer_lag_bytes", "What a reliable consumer has not read yet.", labels=("ring", "slot")
    )
    for ring in rings:
        for consumer in ring.consumers:
            lag.add_metric((ring.name, str(consumer.slot)), consumer.lag_bytes)
    yield lag


def _up(ring: RingStat) -> float:
    return float(ring.writer in {"alive", "silent"})


def _of_feeds(feeds: Sequence[FeedOfRing]) -> Iterator[Metric]:
    def gauge(name: str, text: str, values: dict[str, float]) -> Metric:
        family = GaugeMetricFamily(f"{PREFIX}_feed_{name}", text, labels=("ring",))
        for ring, number in values.items():
            family.add_metric((ring,), number)
        return family

    stats = {feed.ring: feed.stat for feed in feeds}
    yield gauge("up", "1 if the feed makes progress.", {r: float(s.healthy) for r, s in stats.items()})
    yield gauge("head_number", "Newest block of the node.", {r: float(s.head_number) for r, s in stats.items()})
    yield gauge("head_age_seconds", "Since the newest head came.", {r: s.head_age_s for r, s in stats.items()})
    yield gauge(
        "blocks_behind", "Blocks between the head and what has ended.", {r: s.blocks_behind for r, s in stats.items()}
    )
    yield gauge(
        "held_back_events",
        "Events whose emitter is not proven to be a pool.",
        {r: s.held_back for r, s in stats.items()},
    )
    yield gauge(
        "heartbeat_age_seconds", "Since the collector's heartbeat.", {r: s.heartbeat_age_s for r, s in stats.items()}
    )
    yield gauge("endpoint_index", "Which of the endpoints is in use.", {r: s.endpoint for r, s in stats.items()})
    yield gauge(
        "unproven_emitters",
        "Emitters that were declared unproven and hold events back.",
        {feed.ring: float(len(feed.held)) for feed in feeds},
    )
    reason = GaugeMetricFamily(f"{PREFIX}_feed_reason", "1 for what the feed is now.", labels=("ring", "reason"))
    for ring, stat in stats.items():
        for name in [*(code.name.lower() for code in FeedReason), "no_heartbeat"]:
            reason.add_metric((ring, name), float(stat.reason == name))
    yield reason


def _of_anomalies(rings: Sequence[AnomaliesOfRing]) -> Iterator[Metric]:
    labels = ("kind", "ring")
    told = CounterMetricFamily(
        f"{PREFIX}_anomalies", "Anomalies that a ring told of, begun or once, since it is followed.", labels=labels
    )
    lasting = GaugeMetricFamily(
        f"{PREFIX}_anomalies_lasting", "Anomalies that began and have not ended.", labels=labels
    )
    for found in rings:
        now = Counter(health.kind for health in found.lasting)
        for kind, count in found.counts.items():
            told.add_metric((kind.name.lower(), found.ring), count)
            lasting.add_metric((kind.name.lower(), found.ring), now[kind])
    yield from (told, lasting)


def _of_processes(processes: Processes) -> Iterator[Metric]:
    labels = ("process", "ring")
    up = GaugeMetricFamily(
        f"{PREFIX}_process_up", "1 if a process lives and counts.", labels=("process", "role", "ring")
    )
    age = GaugeMetricFamily(f"{PREFIX}_process_age_seconds", "Since a process began to count.", labels=labels)
    beat = GaugeMetricFamily(f"{PREFIX}_process_beat_age_seconds", "Since a process stored its counts.", labels=labels)
    for stat in processes.stats:
        up.add_metric((stat.process, stat.role, stat.ring), float(not stat.problem))
        age.add_metric((stat.process, stat.ring), stat.age_s)
        beat.add_metric((stat.process, stat.ring), stat.beat_age_s)
    yield from (up, age, beat)
    for role, record in ROLES.items():
        alike = [stat for stat in processes.stats if stat.role == role]
        yield from _of_role(role, record, alike)
    hops = HistogramMetricFamily(f"{PREFIX}_hop_seconds", HOP_HELP, labels=("hop", *labels))
    rings = {stat.process: stat.ring for stat in processes.stats}
    for (process, hop), histogram in processes.histograms.items():
        edges = [(repr(edge / NS), below) for edge, below in zip(EDGES_NS, histogram.below(EDGES_NS), strict=True)]
        hops.add_metric((hop, process, rings[process]), [*edges, ("+Inf", histogram.count)], histogram.sum_ns / NS)
    yield hops


def _of_receivers(receivers: Sequence[ReceiverStat]) -> Iterator[Metric]:
    if not receivers:
        return
    labels = ("receiver",)
    up = GaugeMetricFamily(f"{PREFIX}_notify_up", "1 if a receiver took the last message.", labels=labels)
    waiting = GaugeMetricFamily(f"{PREFIX}_notify_waiting", "Notices that are to be delivered.", labels=labels)
    for stat in receivers:
        up.add_metric((stat.receiver,), float(not stat.problem))
        waiting.add_metric((stat.receiver,), stat.waiting)
    yield from (up, waiting)
    for name, text in RECEIVER_COUNTERS.items():
        counter = CounterMetricFamily(f"{PREFIX}_notify_{name}", text, labels=labels)
        for stat in receivers:
            counter.add_metric((stat.receiver,), getattr(stat, name))
        yield counter


def _of_role(role: str, record: type, alike: Sequence[ProcessStat]) -> Iterator[Metric]:
    if not alike:
        return
    for name in alike[0].counts:
        counter = CounterMetricFamily(f"{PREFIX}_{role}_{name}", help_of(record, name), labels=("process", "ring"))
        for stat in alike:
            counter.add_metric((stat.process, stat.ring), stat.counts[name])
        yield counter
    for name in alike[0].levels:
        ms = name.endswith("_ms")
        full = f"{PREFIX}_{role}_{name.removesuffix('_ms')}{'_seconds' if ms else ''}"
        gauge = GaugeMetricFamily(full, help_of(record, name), labels=("process", "ring"))
        for stat in alike:
            gauge.add_metric((stat.process, stat.ring), stat.levels[name] / (1e3 if ms else 1))
        yield gauge
