"""The metrics of made-up processes and rings: names, labels, units; and help texts from the declarations."""

from __future__ import annotations

import re
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from consumers.relay.counters import Counters
from producers.statistics import Statistics
from ringbuf import SharedCounters, Writer
from tests.tools.obs.asking import ask
from tests.tools.test_feed_stat import beat, publish
from tlv.codes import FeedReason
from tlv.layout import LAYOUT_DIGEST
from tools.obs.app import make_app
from tools.obs.help_texts import help_of
from tools.obs.look import Looking
from tools.obs.metrics import EDGES_NS
from tools.obs.processes import ROLES

DOCS = Path(__file__).parents[3] / "docs"

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped(ring: str) -> tuple[Samples, dict[str, str]]:
    with closing(Looking((ring,))) as looking:
        text = ask(make_app(looking), "/metrics").body.decode()
    families = list(text_string_to_metric_families(text))
    samples = {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}
    return samples, {family.name: family.documentation for family in families}


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"alphapulse_{name}", tuple(sorted(labels.items()))]


@pytest.fixture(autouse=True)
def no_relays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def test_metrics_are_what_was_counted(ring_name: str) -> None:
    counted = Statistics(blocks=7, head_age_ms=1500)
    with (
        Writer.create(ring_name, capacity=1 << 16, layout_digest=LAYOUT_DIGEST) as writer,
        closing(SharedCounters.create(Statistics, ring_name, "collector")) as shared,
    ):
        shared.bind(counted)
        counted.receive_to_ring.add(1 << 20, 3)
        counted.receive_to_ring.add(1 << 21)
        shared.put(counted)
        publish(writer, beat(FeedReason.STALE))
        samples, helps = scraped(ring_name)
    where = {"process": f"{ring_name}-collector", "ring": ring_name}
    assert value(samples, "collector_blocks_total", **where) == 7
    assert value(samples, "collector_head_age_seconds", **where) == 1.5
    assert helps["alphapulse_collector_blocks"].startswith("Blocks that became canonical")
    assert value(samples, "process_up", role="collector", **where) == 1
    assert value(samples, "ring_frames_total", ring=ring_name) == 1
    assert value(samples, "ring_writer_up", ring=ring_name) == 1
    assert value(samples, "feed_up", ring=ring_name) == 0
    assert value(samples, "feed_reason", ring=ring_name, reason="stale") == 1
    assert value(samples, "feed_reason", ring=ring_name, reason="ok") == 0
    assert value(samples, "feed_blocks_behind", ring=ring_name) == 2
    assert value(samples, "condition_ok", condition="endpoint", subject=ring_name) == 0
    assert (value(samples, "ready"), value(samples, "healthy")) == (0, 0)
    hop = {"hop": "receive_to_ring", **where}
    assert value(samples, "hop_seconds_count", **hop) == 4
    assert value(samples, "hop_seconds_sum", **hop) == pytest.approx(5 * 2**20 / 1e9)
    assert value(samples, "hop_seconds_bucket", le="+Inf", **hop) == 4
    assert value(samples, "hop_seconds_bucket", le=repr(2**20 / 1e9), **hop) == 0
    assert value(samples, "hop_seconds_bucket", le=repr(2**21 / 1e9), **hop) == 3


def test_metrics_say_build_and_layouts(ring_name: str) -> None:
    samples, _ = scraped(ring_name)
    labels = {name: dict(labels) for name, labels in samples}
    assert labels["alphapulse_layout_info"]["wire"] == f"{LAYOUT_DIGEST:#x}"
    assert set(labels["alphapulse_build_info"]) == {"version", "python"}


def test_metrics_of_two_processes_of_one_role_are_told_apart(ring_name: str) -> None:
    with (
        closing(SharedCounters.create(Counters, ring_name, "relay")) as first,
        closing(SharedCounters.create(Counters, ring_name, "relay")) as second,
    ):
        first.put(Counters(accepted=1))
        second.put(Counters(accepted=2))
        samples, _ = scraped(ring_name)
    for process, expected in ((f"{ring_name}-relay", 1), (f"{ring_name}-relay.2", 2)):
        assert value(samples, "relay_accepted_total", process=process, ring=ring_name) == expected


def test_documents_name_only_metrics_that_exist(ring_name: str) -> None:
    with ExitStack() as stack:
        writer = stack.enter_context(Writer.create(ring_name, capacity=1 << 16, layout_digest=LAYOUT_DIGEST))
        for role, record in ROLES.items():
            shared = stack.enter_context(closing(SharedCounters.create(record, ring_name, role)))
            shared.put(record())
        publish(writer, beat())
        samples, helps = scraped(ring_name)
    known = {name for name, _ in samples} | set(helps)
    texts = [path.read_text() for path in (*DOCS.rglob("*.md"), DOCS.parent / "README.md")]
    named = {name for text in texts for name in re.findall(r"\balphapulse_\w+[a-z]\b(?!_)(?!\.\.)", text)}
    assert len(named) > 5
    assert named - known == set()


def test_metrics_edges_are_half_octaves_in_order() -> None:
    assert sorted(set(EDGES_NS)) == EDGES_NS
    assert (EDGES_NS[0], EDGES_NS[1], EDGES_NS[2]) == (1024, 1536, 2048)


def test_help_of_a_field_is_the_text_under_it_or_its_name() -> None:
    assert help_of(Statistics, "held_logs") == "Logs that wait in memory for their emitter to be verified."
    assert help_of(Statistics, "bytes_received") == "Bytes received."
