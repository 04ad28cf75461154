"""The boxes that show how everything stands, over what a look finds at real rings and counters."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from consumers.recorder import Recorded
from ringbuf import SharedCounters, Writer
from tests.tools.test_feed_stat import beat, publish
from tlv.codes import FeedReason
from tlv.layout import LAYOUT_DIGEST
from tools.dashboard.health import health_of
from tools.dashboard.shapes import HealthBox
from tools.obs.conditions import judge
from tools.obs.look import Looking


@pytest.fixture
def boxes(
    ring_name: str, new_ring_name: Callable[[], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> dict[tuple[str, str], HealthBox]:
    """Of a ring whose feed is not well, its recorder that lags, a relay that does not answer and a ring that is not."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "alphapulse").mkdir(mode=0o700)
    (tmp_path / "alphapulse" / "signal.sock").touch()
    missing = new_ring_name()
    with (
        Writer.create(ring_name, capacity=1 << 16, layout_digest=LAYOUT_DIGEST) as writer,
        closing(SharedCounters.create(Recorded, ring_name, "recorder")) as shared,
        closing(Looking((ring_name, missing))) as looking,
    ):
        publish(writer, beat(FeedReason.SILENT, held_back=0))
        shared.put(Recorded(frames=1234, lag_bytes=1 << 15, ring_bytes=1 << 16))
        look = looking.look()
        health = health_of(look)
        assert not health.healthy and health.anomalies == []
        unmet = [condition for condition in judge(look) if not condition.ok]
        for condition in unmet:
            assert any(not box.ok and condition.text in box.text for box in health.boxes)
        assert {box.name for box in health.boxes if not box.ok} == {condition.subject for condition in unmet}
        names = {missing: "missing", ring_name: "ring", f"{ring_name}-recorder": "recorder"}
        return {(box.kind, names.get(box.name, box.name)): box for box in health.boxes}


def test_each_thing_has_a_box_that_says_what_is_wrong_or_how_it_stands(
    boxes: dict[tuple[str, str], HealthBox],
) -> None:
    assert {key for key in boxes if key[0] != "relay"} == {
        *(("ring", "ring"), ("ring", "missing"), ("endpoint", "ring"), ("condition", "ring")),
        *(("process", "recorder"), ("journal", "recorder")),
    }
    assert boxes["condition", "ring"].ok and not boxes["journal", "recorder"].ok
    assert "writer alive" in boxes["ring", "ring"].text or not boxes["ring", "ring"].ok
    assert "feed is silent" in boxes["endpoint", "ring"].text
    assert "no ring" in boxes["ring", "missing"].text
    (relay,) = [box for (kind, _), box in boxes.items() if kind == "relay"]
    assert (relay.ok, relay.text) == (False, "its socket does not answer")


def test_boxes_have_the_facts_of_what_they_show(boxes: dict[tuple[str, str], HealthBox]) -> None:
    recorder = boxes["process", "recorder"]
    assert recorder.role == "recorder" and ("frames", "1,234") in recorder.facts
    assert ("sequence", "1") in boxes["ring", "ring"].facts
    assert ("state", "live") in boxes["endpoint", "ring"].facts
