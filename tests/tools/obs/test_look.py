"""One look after another at rings that come, are made anew and are damaged; and the conditions that follow."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consumers.recorder import Recorded
from producers.statistics import Statistics
from ringbuf import Poll, Reader, RingInfo, SharedCounters, Writer
from ringbuf.layout import HEADER_BYTES
from ringbuf.names import ring_object
from ringbuf.segment import path_of
from tests.tools.test_feed_stat import beat, publish
from tlv.codes import Domain, EmitterProof, FeedReason, FeedState, Source
from tlv.layout import LAYOUT_DIGEST, Unproven
from tlv.message import build
from tools.obs import look as looks
from tools.obs.conditions import Condition, judge
from tools.obs.look import Look, Looking
from tools.status import RelayState

CAPACITY = 1 << 16
POOL = b"p" * 20


@pytest.fixture(autouse=True)
def every_look_is_new(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(looks, "FRESH_S", 0.0)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture
def looking(ring_name: str) -> Iterator[Looking]:
    with closing(Looking((ring_name,))) as looking:
        yield looking


def collector(name: str) -> Writer:
    return Writer.create(name, capacity=CAPACITY, layout_digest=LAYOUT_DIGEST)


def unproven(writer: Writer, held_back: int, standing: EmitterProof = EmitterProof.UNKNOWN, pool: bytes = POOL) -> None:
    record = Unproven(7, held_back, 0, 2, pool, standing)
    writer.publish(build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [record]))


def found(look: Look, name: str) -> Condition:
    (condition,) = [one for one in judge(look) if one.name == name]
    return condition


def wrong(look: Look) -> list[str]:
    return sorted(one.name for one in judge(look) if not one.ok)


def test_look_before_the_ring_is_there_says_so_and_finds_it_later(ring_name: str, looking: Looking) -> None:
    before = looking.look()
    assert wrong(before) == ["ring"]
    assert f"no ring '{ring_name}'" in found(before, "ring").text
    with collector(ring_name) as writer:
        publish(writer, beat(held_back=0))
        assert wrong(looking.look()) == []


def test_look_without_a_name_and_without_a_ring_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "list_rings", list)
    monkeypatch.setattr(looks, "look_at_processes", lambda: looks.Processes([], {}, {}))
    with closing(Looking(())) as looking:
        assert found(looking.look(), "ring") == Condition(
            "ring", "", False, "none", "readable", "no ring: nothing was started yet"
        )


def test_look_follows_a_ring_that_is_made_anew(ring_name: str, looking: Looking) -> None:
    with collector(ring_name) as writer:
        publish(writer, beat(FeedReason.STALE))
        unproven(writer, 5)
        assert looking.look().feeds[0].held[0].events == 5
        writer.close(unlink=True)
    assert wrong(looking.look()) == ["ring"]
    with collector(ring_name) as writer:
        assert looking.look().feeds == [], "of the new ring no heartbeat came"
        publish(writer, beat(held_back=0))
        feed = looking.look().feeds[0]
        assert (feed.stat.reason, feed.held) == ("ok", [])


def test_look_at_a_damaged_ring_says_so_and_goes_on_at_its_end(ring_name: str, looking: Looking) -> None:
    with collector(ring_name) as writer:
        publish(writer, beat(held_back=0))
        assert wrong(looking.look()) == []
        end = RingInfo.read(ring_name).tail
        publish(writer, beat(held_back=0))
        with path_of(ring_object(ring_name)).open("r+b") as file:
            file.seek(HEADER_BYTES + end + 8)
            file.write(b"\xff" * 8)  # the tag of the second frame
        damaged = looking.look()
        assert wrong(damaged) == ["ring"] and "no frame where sequence 2 should be" in found(damaged, "ring").text
        publish(writer, beat(held_back=0))
        assert looking.look().unreadable == {}
        publish(writer, beat(FeedReason.SILENT, held_back=0))
        assert looking.look().feeds[0].stat.reason == "silent"


def test_look_at_a_ring_of_another_build_says_so(ring_name: str, looking: Looking) -> None:
    with Writer.create(ring_name, capacity=CAPACITY, layout_digest=5):
        assert "layout digest of the messages" in looking.look().unreadable[ring_name]


def test_look_at_a_dead_or_closed_writer_is_not_ready(ring_name: str, looking: Looking) -> None:
    with collector(ring_name) as writer:
        publish(writer, beat(held_back=0))
        assert wrong(looking.look()) == []
    assert "writer" in wrong(looking.look())
    assert found(looking.look(), "writer").value == "closed"


def test_look_at_a_writer_that_stopped_beating_is_not_fresh(ring_name: str, looking: Looking) -> None:
    with collector(ring_name) as writer:
        publish(writer, beat(held_back=0))
        look = looking.look()
        old = replace(look, rings=[replace(look.rings[0], writer="silent", heartbeat_age_s=5.5)])
        assert wrong(old) == ["ring_fresh"]
        assert (found(old, "ring_fresh").value, found(old, "ring_fresh").bound) == (5.5, 5.0)


@pytest.mark.parametrize(
    ("heartbeat", "expected"),
    [
        ({"blocks_behind": 17}, ["synced"]),
        ({"feed_state": FeedState.BACKFILLING}, ["synced"]),
        ({"reason": FeedReason.STALE}, ["endpoint"]),
        ({"reason": FeedReason.ONLY_GAPS, "feed_state": FeedState.DISCONNECTED}, ["endpoint", "synced"]),
    ],
)
def test_look_at_a_feed_that_is_not_well_names_the_condition(
    ring_name: str, looking: Looking, heartbeat: dict[str, Any], expected: list[str]
) -> None:
    with collector(ring_name) as writer:
        publish(writer, beat(**{"held_back": 0} | heartbeat))
        assert wrong(looking.look()) == expected


def test_look_names_the_emitters_whose_events_are_held_back_until_they_are_proven(
    ring_name: str, looking: Looking
) -> None:
    with collector(ring_name) as writer:
        publish(writer, beat(held_back=0))
        for n in range(10):
            unproven(writer, n + 1, pool=bytes([n]) * 20)
        held = found(looking.look(), "held_back")
        assert (held.ok, held.value) == (True, 55.0)
        assert f"0x{'09' * 20} (10)" in held.text and "and 2 emitters more" in held.text
        for n in range(10):
            unproven(writer, 0, EmitterProof.POOL, pool=bytes([n]) * 20)
        assert looking.look().feeds[0].held == []


def test_look_at_events_held_back_for_long_without_a_name_is_not_ready(ring_name: str, looking: Looking) -> None:
    with collector(ring_name) as writer:
        publish(writer, beat(held_back=3))
        look = looking.look()
        assert found(look, "held_back").ok, "an emitter is asked for 15 s before it is declared"
        later = replace(look, feeds=[replace(look.feeds[0], held_for_s=30.5)])
        assert wrong(later) == ["held_back"]


def test_look_keeps_the_newest_emitters_only(ring_name: str, looking: Looking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.obs.watch.MOST_EMITTERS", 3)
    with collector(ring_name) as writer:
        publish(writer, beat())
        for n in range(5):
            unproven(writer, 1, pool=bytes([n]) * 20)
        assert [one.emitter[2:4] for one in looking.look().feeds[0].held] == ["02", "03", "04"]


def test_look_that_was_lapped_says_how_much_it_missed(ring_name: str, looking: Looking) -> None:
    with collector(ring_name) as writer:
        publish(writer, beat())
        looking.look()
        for _ in range(1000):
            writer.publish(bytes(128))
        publish(writer, beat())
        assert looking.look().feeds[0].missed_frames > 0


def test_look_passes_over_frames_that_are_no_message(ring_name: str, looking: Looking) -> None:
    with collector(ring_name) as writer:
        for payload in (b"", b"short", bytes(64), bytes(32) + b"\x64" + bytes(40)):
            writer.publish(payload)
        publish(writer, beat(), Source.ARBITRAGE_STRATEGY)
        assert looking.look().feeds == []


def test_look_shows_an_evicted_consumer(ring_name: str, looking: Looking) -> None:
    with (
        Writer.create(ring_name, capacity=CAPACITY, layout_digest=LAYOUT_DIGEST, full_timeout_s=0.01) as writer,
        Reader.attach(ring_name, reliable=True),
    ):
        for _ in range(1000):
            writer.publish(bytes(128))
        assert str(os.getpid()) in found(looking.look(), "consumers").text
        assert "consumers" in wrong(looking.look())


def test_look_at_a_recorder_that_lags_or_is_refused_names_the_journal(ring_name: str, looking: Looking) -> None:
    with collector(ring_name) as writer, closing(SharedCounters.create(Recorded, ring_name, "recorder")) as shared:
        publish(writer, beat(held_back=0))
        recorded = Recorded(frames=1, lag_bytes=CAPACITY // 4, ring_bytes=CAPACITY)
        shared.put(recorded)
        assert wrong(looking.look()) == []
        recorded.lag_bytes += 1
        shared.put(recorded)
        assert wrong(looking.look()) == ["journal"]
        recorded.lag_bytes, recorded.refused_now = 0, 1
        shared.put(recorded)
        assert "the disk refuses it" in found(looking.look(), "journal").text


def test_look_at_a_process_that_hangs_names_it(ring_name: str, looking: Looking) -> None:
    with collector(ring_name) as writer, closing(SharedCounters.create(Statistics, ring_name, "collector")):
        publish(writer, beat(held_back=0))
        look = looking.look()
        assert found(look, "process").value == "runs"
        (stat,) = [stat for stat in look.processes.stats if stat.ring == ring_name]
        assert stat.counts["blocks"] == 0 and stat.levels["held_logs"] == 0


def test_look_at_counters_of_another_build_or_role_names_them(ring_name: str, looking: Looking) -> None:
    with (
        closing(SharedCounters.create(Recorded, ring_name, "collector")),
        closing(SharedCounters.create(Recorded, ring_name, "juggler")),
    ):
        seen = looking.look()
        unreadable = {name: why for name, why in seen.processes.unreadable.items() if name.startswith(ring_name)}
        assert "another version of it runs" in unreadable[f"{ring_name}-collector"]
        assert "expected one of collector, relay" in unreadable[f"{ring_name}-juggler"]
        ours = [one.subject for one in judge(seen) if one.name == "process" and one.subject.startswith(ring_name)]
        assert ours == sorted(unreadable)


def test_look_at_one_ring_judges_no_process_of_another(
    ring_name: str, looking: Looking, new_ring_name: Callable[[], str]
) -> None:
    with closing(SharedCounters.create(Recorded, new_ring_name(), "juggler")):
        assert [one for one in judge(looking.look()) if one.name == "process"] == []


def test_looks_close_together_are_one(
    ring_name: str, looking: Looking, monkeypatch: pytest.MonkeyPatch, new_ring_name: Callable[[], str]
) -> None:
    monkeypatch.setattr(looks, "FRESH_S", 3600.0)
    first = looking.look()
    with collector(ring_name):
        assert looking.look() is first


class TakenFrames:
    """Counts the frames that it is given."""

    def __init__(self) -> None:
        self.count = 0

    def take(self, ring: str, uuid: bytes, poll: Poll) -> None:
        self.count += len(poll)

    def leave(self, ring: str, problem: str) -> None:
        """Nothing."""


def test_frames_are_read_while_a_look_waits_for_a_relay_that_hangs(
    ring_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, goes_on = threading.Event(), threading.Event()

    def hang() -> list[RelayState]:
        waits.set()
        goes_on.wait()
        return []

    taken = TakenFrames()
    with collector(ring_name) as writer, closing(Looking((ring_name,), taken)) as looking:
        publish(writer, beat())
        looking.look()
        monkeypatch.setattr(looks, "relays", hang)
        monkeypatch.setattr(looks, "RELAYS_FRESH_S", 0.0)
        thread = threading.Thread(target=looking.look)
        thread.start()
        waits.wait()
        publish(writer, beat())
        looking.read()
        assert taken.count == 2
        goes_on.set()
        thread.join()
