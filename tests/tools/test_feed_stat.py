"""What `ringstat` and `status` say of a feed, from real rings with heartbeats in them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ringbuf import Writer
from tests.tools.test_ringstat import one, ringstat
from tlv.codes import Domain, FeedReason, FeedState, Source
from tlv.layout import Heartbeat
from tlv.message import build
from tools.feed_stat import SILENT_S, look_at_feed, stat_of
from tools.ringstat import look


def beat(reason: FeedReason = FeedReason.OK, **values: Any) -> Heartbeat:
    fields = {
        "head_number": 100,
        "safe_number": 98,
        "last_sequence": 7,
        "head_age_ms": 1_500,
        "blocks_behind": 2,
        "held_back": 3,
        "feed_state": FeedState.LIVE,
        "endpoint": 1,
        "reason": reason,
    }
    return Heartbeat(**fields | values)


def publish(writer: Writer, record: Heartbeat, source: Source = Source.POLYGON_COLLECTOR) -> None:
    writer.publish(build(Domain.SYSTEM, source, [record]))


def test_feed_of_a_healthy_heartbeat_is_shown_whole(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=1 << 16) as writer:
        publish(writer, beat(FeedReason.SILENT))
        publish(writer, beat())
        feed = look_at_feed(ring_name)
    assert feed is not None
    assert (feed.state, feed.reason, feed.healthy, feed.problem) == ("live", "ok", True, "")
    assert (feed.endpoint, feed.head_number, feed.blocks_behind, feed.held_back) == (1, 100, 2, 3)
    assert 1.5 <= feed.head_age_s < 60


@pytest.mark.parametrize("reason", [reason for reason in FeedReason if reason is not FeedReason.OK])
def test_ringstat_of_a_living_collector_with_a_dead_feed_exits_1_with_the_reason(
    ring_name: str, reason: FeedReason
) -> None:
    with Writer.create(ring_name, capacity=1 << 16) as writer:
        publish(writer, beat(reason))
        stat = look(ring_name)
    assert not stat.healthy
    assert stat.problem.startswith(f"feed is {reason.name.lower()} (endpoint 1, live, head 100 came ")


def test_ringstat_prints_the_feed_and_exits_1(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=1 << 16) as writer:
        publish(writer, beat(FeedReason.STALE))
        as_json, text = ringstat(ring_name, "--once", "--json"), ringstat(ring_name, "--once")
    assert (as_json.returncode, text.returncode) == (1, 1)
    ring = one(as_json)
    assert (ring["healthy"], ring["feed"]["healthy"], ring["feed"]["blocks_behind"]) == (False, False, 2)
    assert ring["feed"]["reason"] in ("stale", "no_heartbeat"), "the second if the look took so long"
    assert f"{ring_name}: " in text.stdout
    assert json.loads(as_json.stdout)["healthy"] is False


def test_feed_without_a_heartbeat_for_5_s_is_unhealthy_whatever_the_last_one_said() -> None:
    assert stat_of(beat(), SILENT_S).healthy
    silent = stat_of(beat(), SILENT_S + 0.1)
    assert (silent.healthy, silent.reason) == (False, "no_heartbeat")
    assert silent.problem == "its collector lives and has told no heartbeat for 5 s"
    assert silent.head_age_s == pytest.approx(6.6)


def test_feed_with_a_code_of_a_later_build_is_unhealthy_and_shows_the_number() -> None:
    later = stat_of(beat(reason=250, feed_state=99), 0.0)
    assert (later.healthy, later.reason, later.state) == (False, "250", "99")


def test_feed_is_found_behind_thousands_of_later_frames_and_in_a_lapped_ring(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=1 << 20) as writer:
        for _ in range(9):
            for _ in range(300):
                writer.publish(bytes(500))
            publish(writer, beat())
        for _ in range(1000):
            writer.publish(bytes(500))
        feed = look_at_feed(ring_name)
    assert feed is not None
    assert feed.reason in ("ok", "no_heartbeat"), "the second if this took so long"


@pytest.mark.parametrize("source", [Source.ARBITRAGE_STRATEGY, Source.RELAY])
def test_ring_of_no_collector_has_no_feed_and_stays_healthy(ring_name: str, source: Source) -> None:
    with Writer.create(ring_name, capacity=1 << 16) as writer:
        writer.publish(bytes(100))
        writer.publish(b"")
        publish(writer, beat(FeedReason.SILENT), source)
        stat = look(ring_name)
    assert (stat.feed, stat.healthy) == (None, True)


def test_ring_that_its_collector_closed_is_healthy(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=1 << 16) as writer:
        publish(writer, beat(FeedReason.SILENT))
    assert look(ring_name).healthy
