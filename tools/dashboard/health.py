"""How everything stands, as small boxes: a process, a ring, a feed's endpoint, a journal, a relay.

Owns which condition of `tools.obs` belongs to which box.  It must never judge: `tools.obs.conditions` does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from tools.dashboard.shapes import AnomalyRow, Health, HealthBox
from tools.obs import api
from tools.obs.conditions import Condition, judge
from tools.obs.look import FeedOfRing, Look
from tools.obs.processes import ProcessStat
from tools.ringstat import RingStat
from tools.status import RelayState

OF_RING = ("ring", "writer", "ring_fresh", "consumers")
OF_ENDPOINT = ("endpoint", "synced")
SPEAKS = ("writer", "endpoint")
"""Of several that are met, the one whose text a box shows."""
MOST_ANOMALIES = 64
"""That last, of each ring; /api/anomalies has all."""
Facts = list[tuple[str, str]]


def health_of(look: Look) -> Health:
    """What a look found."""
    conditions: dict[tuple[str, str], list[Condition]] = defaultdict(list)
    for condition in judge(look):
        conditions[kind_of(condition), condition.subject].append(condition)
    facts = {("ring", ring.name): ring_facts(ring) for ring in look.rings}
    facts |= {("endpoint", feed.ring): feed_facts(feed) for feed in look.feeds}
    facts |= {("process", process.process): process_facts(process) for process in look.processes.stats}
    facts |= {("relay", relay.path): relay_facts(relay) for relay in look.relays}
    roles = {process.process: process.role for process in look.processes.stats}
    boxes = [
        box(kind, name, roles.get(name, ""), found, facts.get((kind, name), []))
        for (kind, name), found in conditions.items()
    ]
    return Health(all(one.ok for one in boxes), boxes, anomalies(look))


def kind_of(condition: Condition) -> str:
    """The kind of box that shows a condition."""
    if condition.name in OF_RING:
        return "ring"
    if condition.name in OF_ENDPOINT:
        return "endpoint"
    return condition.name if condition.name in {"process", "relay", "journal"} else "condition"


def box(kind: str, name: str, role: str, conditions: Iterable[Condition], facts: Facts) -> HealthBox:
    """The box of some conditions; it says what is wrong, else how it stands."""
    found = sorted(conditions, key=lambda condition: condition.name not in SPEAKS)
    wrong = [condition.text for condition in found if not condition.ok]
    return HealthBox(kind, name, role, not wrong, "; ".join(wrong) or found[0].text, facts)


def ring_facts(ring: RingStat) -> Facts:
    """Of a ring."""
    return [
        ("writer", f"{ring.writer}, pid {ring.writer_pid}"),
        ("epoch", str(ring.epoch)),
        ("sequence", f"{ring.sequence:,}"),
        ("capacity", f"{ring.capacity:,} bytes"),
        ("occupancy", f"{ring.occupancy:.0%}"),
        ("reliable consumers", str(len(ring.consumers))),
        *numbers(ring.counters),
    ]


def feed_facts(feed: FeedOfRing) -> Facts:
    """Of a collector's feed."""
    stat = feed.stat
    return [
        ("state", stat.state),
        ("endpoint", str(stat.endpoint)),
        ("head", f"{stat.head_number:,}"),
        ("blocks behind", f"{stat.blocks_behind:,}"),
        ("held back", f"{stat.held_back:,}"),
        ("emitters declared unproven", f"{len(feed.held):,}"),
    ]


def process_facts(process: ProcessStat) -> Facts:
    """Of a process."""
    return [
        ("pid", str(process.pid)),
        ("serves", process.ring),
        ("runs since", f"{process.age_s:,.0f} s"),
        *numbers(process.levels),
        *numbers(process.counts),
    ]


def relay_facts(relay: RelayState) -> Facts:
    """Of a relay's socket."""
    return [("pid", str(relay.pid)), *numbers(relay.counts or {})]


def numbers(counts: Mapping[str, int]) -> Facts:
    """Counts by their names."""
    return [(name.replace("_", " "), f"{count:,}") for name, count in counts.items()]


def anomalies(look: Look) -> list[AnomalyRow]:
    """Those that last, then those that are over, as `/api/anomalies` has them."""
    return [
        AnomalyRow(found.ring, one.kind, one.subject, one.evidence, one.block, one.begun, one.ended)
        for found in api.anomalies(look).rings
        for one in (*found.lasting[-MOST_ANOMALIES:], *found.newest)
    ]
