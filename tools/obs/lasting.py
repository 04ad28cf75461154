"""Anomalies that last, as conditions: they are told, and make /readyz no 503, for the pipeline that says so works.

Owns the judgement, by kind: a market in which many pools jump at once is one trouble, not one for each pool.
"""

from __future__ import annotations

from tlv.codes import AnomalyKind
from tools.anomaly_text import UNITS, subject_of
from tools.obs.anomalies import AnomaliesOfRing
from tools.obs.conditions import Condition
from tools.obs.look import Look


def judge_anomalies(look: Look) -> list[Condition]:
    """Each kind of each ring of anomalies."""
    return [of_kind(found, kind) for found in look.anomalies for kind in AnomalyKind]


def of_kind(found: AnomaliesOfRing, kind: AnomalyKind) -> Condition:
    """Whether none of this kind lasts; the text names the newest."""
    lasting = [health for health in found.lasting if health.kind == kind]
    text = "none lasts"
    if lasting:
        newest = lasting[-1]
        limit = f"{newest.value} {UNITS[kind]} (threshold {newest.threshold})"
        text = f"{len(lasting)} lasting; {subject_of(newest)}: {limit}, {newest.evidence}"
    name = f"{kind.name.lower()} in {found.ring}"
    return Condition("anomaly", name, not lasting, float(len(lasting)), 0.0, text)
