"""What /api answers, and its JSON schema.

Owns the shapes: one dataclass an answer.  `docs/obs.md` has them as tables, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from ringbuf import Histogram
from tlv.codes import AnomalyKind, AnomalyState
from tlv.layout import SystemHealth
from tlv.units import MS
from tools.anomaly_text import UNITS, Explorers, subject_of
from tools.command.utc import utc
from tools.dashboard.shapes import DASHBOARD_ANSWERS
from tools.obs.conditions import Condition
from tools.obs.look import FeedOfRing, Look
from tools.obs.processes import ProcessStat
from tools.obs.telling import ReceiverStat
from tools.ringstat import RingStat
from tools.status import RelayState


@dataclass(frozen=True)
class Problem:
    """What needs a person."""

    subject: str
    text: str


@dataclass(frozen=True)
class HealthAnswer:
    """/healthz"""

    healthy: bool
    problems: list[Problem]


@dataclass(frozen=True)
class ReadyAnswer:
    """/readyz"""

    ready: bool
    conditions: list[Condition]


@dataclass(frozen=True)
class RingsAnswer:
    """/api/rings"""

    rings: list[RingStat]
    unreadable: list[Problem]


@dataclass(frozen=True)
class ProcessesAnswer:
    """/api/processes"""

    processes: list[ProcessStat]
    unreadable: list[Problem]


@dataclass(frozen=True)
class FeedAnswer:
    """/api/feed"""

    feeds: list[FeedOfRing]


@dataclass(frozen=True)
class AnomalyStat:
    """One anomaly as it began.  Value and threshold are decimal digits: a double does not hold all of them."""

    kind: str
    subject: str
    value: str
    threshold: str
    unit: str
    evidence: str
    ring: str
    first_sequence: int
    last_sequence: int
    block: int | None
    block_hash: str | None
    link: str | None
    begun: str | None
    ended: str | None


@dataclass(frozen=True)
class RingAnomalies:
    """What one ring of anomalies says."""

    ring: str
    lasting: list[AnomalyStat]
    newest: list[AnomalyStat]
    missed_frames: int


@dataclass(frozen=True)
class AnomaliesAnswer:
    """/api/anomalies"""

    rings: list[RingAnomalies]
    unreadable: list[Problem]


@dataclass(frozen=True)
class RelaysAnswer:
    """/api/relays"""

    relays: list[RelayState]


@dataclass(frozen=True)
class HopStat:
    """One hop of one process, or of all processes together (`process` is empty)."""

    hop: str
    process: str
    count: int
    sum_ns: int
    p50_ns: int
    p90_ns: int
    p99_ns: int
    p999_ns: int
    longest_ns: int


@dataclass(frozen=True)
class HistogramsAnswer:
    """/api/histograms"""

    hops: list[HopStat]


@dataclass(frozen=True)
class NotifyAnswer:
    """/api/notify"""

    receivers: list[ReceiverStat]


ANSWERS: dict[str, type] = {
    "/healthz": HealthAnswer,
    "/readyz": ReadyAnswer,
    "/api/rings": RingsAnswer,
    "/api/processes": ProcessesAnswer,
    "/api/feed": FeedAnswer,
    "/api/anomalies": AnomaliesAnswer,
    "/api/relays": RelaysAnswer,
    "/api/histograms": HistogramsAnswer,
    "/api/notify": NotifyAnswer,
}


def health(look: Look) -> HealthAnswer:
    """As `alphapulse status` judges, and the processes; a ring that is not there is no fault of what is there."""
    problems = [Problem(ring.name, ring.problem) for ring in look.rings if ring.problem]
    problems += [Problem(name, text) for name, text in look.unreadable.items()]
    problems += [Problem(stat.process, stat.problem) for stat in look.processes.stats if stat.problem]
    problems += [Problem(relay.path, "does not answer") for relay in look.relays if not relay.answers]
    return HealthAnswer(not problems, problems)


def ready(conditions: Sequence[Condition]) -> ReadyAnswer:
    """Every condition."""
    return ReadyAnswer(all(condition.ok for condition in conditions), list(conditions))


def rings(look: Look) -> RingsAnswer:
    """Every ring."""
    return RingsAnswer(look.rings, _problems(look.unreadable))


def processes(look: Look) -> ProcessesAnswer:
    """Every process."""
    return ProcessesAnswer(look.processes.stats, _problems(look.processes.unreadable))


def anomalies(look: Look) -> AnomaliesAnswer:
    """What every ring of anomalies says."""
    found = [
        RingAnomalies(
            ring=one.ring,
            lasting=[_anomaly(health, None) for health in one.lasting],
            newest=[_anomaly(past.began, past.ended) for past in one.newest],
            missed_frames=one.missed_frames,
        )
        for one in look.anomalies
    ]
    return AnomaliesAnswer(found, _problems(look.unreadable))


def histograms(look: Look) -> HistogramsAnswer:
    """Every hop of every process, then each hop of all of them."""
    found = look.processes.histograms
    hops = [_hop(hop, process, histogram) for (process, hop), histogram in found.items()]
    for hop in sorted({hop for _, hop in found}):
        merged = Histogram.merged(histogram for (_, each), histogram in found.items() if each == hop)
        hops.append(_hop(hop, "", merged))
    return HistogramsAnswer(hops)


def schema() -> dict[str, Any]:
    """JSON schema of every answer, the dashboard's among them: `paths` names the definition of each."""
    answers = ANSWERS | DASHBOARD_ANSWERS
    references, definitions = msgspec.json.schema_components(answers.values())
    return {"paths": dict(zip(answers, references, strict=True)), "$defs": definitions}


@cache
def explorers() -> Explorers:
    """Of the bundled chains."""
    return Explorers()


def _problems(found: dict[str, str]) -> list[Problem]:
    return [Problem(name, text) for name, text in found.items()]


def _anomaly(began: SystemHealth, ended: SystemHealth | None) -> AnomalyStat:
    kind = AnomalyKind(began.kind)
    return AnomalyStat(
        kind=kind.name.lower(),
        subject=subject_of(began),
        value=str(began.value),
        threshold=str(began.threshold),
        unit=UNITS[kind],
        evidence=began.evidence,
        ring=began.ring.hex(),
        first_sequence=began.first_sequence,
        last_sequence=(ended or began).last_sequence,
        block=began.block_number if began.block_number >= 0 else None,
        block_hash="0x" + began.block_hash.hex() if any(began.block_hash) else None,
        link=explorers().block_link(began),
        begun=utc(began.time_ns // MS) if began.state != AnomalyState.ENDED else None,
        ended=utc(ended.time_ns // MS) if ended is not None else None,
    )


def _hop(hop: str, process: str, histogram: Histogram) -> HopStat:
    p50, p90, p99, p999 = (histogram.percentile(share) for share in (0.5, 0.9, 0.99, 0.999))
    return HopStat(hop, process, histogram.count, histogram.sum_ns, p50, p90, p99, p999, histogram.longest_ns)
