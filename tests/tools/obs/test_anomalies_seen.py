"""What obs shows of a ring of anomalies: what the watch finds in the recording, and what a ring may do to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from consumers.anomalies import AnomalyWatch
from consumers.runner import StrategyCounts
from consumers.strategy import Driver
from producers.chains.configuration import load_chain
from ringbuf import RingInfo, SharedCounters, Writer
from ringbuf.layout import HEADER_BYTES
from ringbuf.names import ring_object
from ringbuf.segment import path_of
from tests.tools.obs.asking import ask
from tests.tools.obs.http_receiver import HttpReceiver, receivers_file, wait_until
from tlv.codes import AnomalyKind, AnomalyState, Domain, Source, Venue
from tlv.layout import LAYOUT_DIGEST, SystemHealth
from tlv.message import build
from tools.obs import anomalies, api
from tools.obs import look as looks
from tools.obs.app import make_app
from tools.obs.conditions import judge
from tools.obs.lasting import judge_anomalies
from tools.obs.look import Looking
from tools.obs.notify import Notifying
from tools.obs.receivers import read_receivers
from tools.prove.anomalies.recorded import RING, recorded

POOL = b"p" * 20


@cache
def told() -> tuple[SystemHealth, ...]:
    """A gap, the beginning of a silence, another gap, and the silence's end."""
    driver = Driver(AnomalyWatch(chain_id=load_chain("polygon").chain_id), RING)
    said = []
    for sequence, frame in enumerate(recorded("polygon"), 1):
        said += [draft.records[0] for draft in driver.deliver(sequence, frame.time_ns, frame.payload)]
    return tuple(health for health in said if isinstance(health, SystemHealth))


def publish(writer: Writer, *healths: SystemHealth, source: int = Source.ANOMALY_WATCH) -> None:
    for health in healths:
        writer.publish(build(Domain.SYSTEM, source, [health]))


def jump(pool: bytes, state: AnomalyState = AnomalyState.BEGUN) -> SystemHealth:
    jumped = {"kind": AnomalyKind.PRICE_JUMP, "pool": pool, "venue": Venue.QUICKSWAP_V2, "state": state}
    return replace(told()[1], **jumped)


@pytest.fixture
def writer(ring_name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Writer]:
    monkeypatch.setattr(looks, "FRESH_S", 0.0)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with Writer.create(ring_name, capacity=1 << 16, layout_digest=LAYOUT_DIGEST) as writer:
        yield writer


@pytest.fixture
def looking(writer: Writer) -> Iterator[Looking]:
    with closing(Looking((writer.name,))) as looking:
        yield looking


def shown(looking: Looking) -> dict[str, Any]:
    """What /api/anomalies says of the only ring."""
    answer = ask(make_app(looking), "/api/anomalies")
    msgspec.json.decode(answer.body, type=api.AnomaliesAnswer)
    (ring,) = answer.json()["rings"]
    return dict(ring)


def unmet(looking: Looking) -> dict[str, str]:
    return {one.subject: one.text for one in judge_anomalies(looking.look()) if not one.ok}


def test_anomalies_are_shown_while_they_last_and_when_they_are_over(writer: Writer, looking: Looking) -> None:
    gap, begun, _, ended = told()
    publish(writer, gap, begun)
    before = shown(looking)
    assert (before["ring"], before["missed_frames"]) == (writer.name, 0)
    assert [one["kind"] for one in before["newest"]] == ["gap"]
    block_hash = "0x" + begun.block_hash.hex()
    silence = {
        "kind": "silence",
        "subject": "chain 137",
        "value": "30750",
        "threshold": "30000",
        "unit": "ms",
        "evidence": begun.evidence,
        "ring": RING.hex(),
        "first_sequence": begun.first_sequence,
        "last_sequence": begun.last_sequence,
        "block": 13522230,
        "block_hash": block_hash,
        "link": f"https://polygonscan.com/block/{block_hash}",
        "begun": "2021-04-20T20:12:09.000Z",
        "ended": None,
    }
    assert before["lasting"] == [silence]
    publish(writer, *told()[2:])
    after = shown(looking)
    assert after["lasting"] == []
    last = silence | {"last_sequence": ended.last_sequence, "ended": "2021-04-20T20:12:16.500Z"}
    assert after["newest"][0] == last
    assert [one["kind"] for one in after["newest"]] == ["silence", "gap", "gap"]
    assert after["newest"][1]["begun"] == after["newest"][1]["ended"] is not None


def test_anomalies_that_last_are_told_by_kind_and_make_no_503(writer: Writer, looking: Looking, tmp_path: Path) -> None:
    publish(writer, told()[1], jump(POOL), jump(b"q" * 20))
    found = unmet(looking)
    assert set(found) == {f"silence in {writer.name}", f"price_jump in {writer.name}"}
    assert found[f"price_jump in {writer.name}"].startswith(
        f"2 lasting; polygon.quickswap_v2:pool:0x{'71' * 20}: 30750 bps"
    )
    assert all(one.ok for one in judge(looking.look()))
    with HttpReceiver() as receiver:
        receivers = read_receivers(receivers_file(tmp_path, receiver.url()))
        with closing(Notifying(looking, receivers, 0.0)) as notifying:
            notifying.look()
            wait_until(lambda: notifying.stats()[0].delivered)
        (message,) = receiver.messages
    assert f"anomaly of silence in {writer.name} found unmet as obs began: 1 lasting; chain 137" in message["message"]
    publish(writer, told()[3], jump(POOL, AnomalyState.ENDED), jump(b"q" * 20, AnomalyState.ENDED))
    assert unmet(looking) == {}


def test_anomalies_of_a_watch_that_found_none_yet_are_counted_as_none(writer: Writer, looking: Looking) -> None:
    """Else the first of a kind would be no increase to Prometheus."""
    assert looking.look().anomalies == [], "it is no ring of anomalies"
    with closing(SharedCounters.create(StrategyCounts, writer.name, "anomalies")):
        assert counted(looking, "anomalies_total") == dict.fromkeys((kind.name.lower() for kind in AnomalyKind), 0)
        publish(writer, *told()[:3], jump(POOL))
        total, lasting = counted(looking, "anomalies_total"), counted(looking, "anomalies_lasting")
    assert (total["gap"], total["silence"], total["price_jump"], total["rate"]) == (2, 1, 1, 0)
    assert (lasting["gap"], lasting["silence"], lasting["price_jump"], lasting["rate"]) == (0, 1, 1, 0)


def counted(looking: Looking, name: str) -> dict[str, float]:
    families = text_string_to_metric_families(ask(make_app(looking), "/metrics").body.decode())
    samples = [sample for family in families for sample in family.samples if sample.name == f"alphapulse_{name}"]
    assert all(set(sample.labels) == {"kind", "ring"} for sample in samples)
    return {sample.labels["kind"]: sample.value for sample in samples}


def test_anomalies_that_nobody_publishes_are_passed_over(writer: Writer, looking: Looking) -> None:
    begun = told()[1]
    publish(writer, begun, source=Source.ARBITRAGE_STRATEGY)
    publish(writer, replace(begun, kind=200), replace(begun, state=9))
    assert looking.look().anomalies == []


def test_anomaly_whose_beginning_was_not_seen_has_no_beginning(writer: Writer, looking: Looking) -> None:
    publish(writer, replace(told()[3], chain_id=31337))
    (over,) = shown(looking)["newest"]
    assert (over["begun"], over["ended"], over["link"]) == (None, "2021-04-20T20:12:16.500Z", None)
    assert over["value"] == "38250"


def test_anomalies_are_bounded_whatever_the_ring_holds(
    writer: Writer, looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anomalies, "MOST_LASTING", 3)
    pools = [bytes([n]) * 20 for n in range(1, 81)]
    publish(writer, *[jump(pool) for pool in pools[:5]])
    assert [one["subject"][-2:] for one in shown(looking)["lasting"]] == ["03", "04", "05"]
    publish(writer, *[jump(pool, AnomalyState.ONCE) for pool in pools])
    newest = shown(looking)["newest"]
    assert [one["subject"][-2:] for one in newest] == [f"{n:02x}" for n in range(80, 80 - anomalies.NEWEST, -1)]


def test_anomalies_of_a_ring_that_was_read_too_late_say_so_and_last_no_more(writer: Writer, looking: Looking) -> None:
    publish(writer, told()[1])
    assert len(shown(looking)["lasting"]) == 1
    for _ in range(1000):
        writer.publish(bytes(128))
    ring = shown(looking)
    assert ring["missed_frames"] > 0 and ring["lasting"] == []


def test_anomalies_of_a_ring_that_is_damaged_or_made_anew_begin_anew(writer: Writer, looking: Looking) -> None:
    publish(writer, told()[1])
    assert len(unmet(looking)) == 1
    end = RingInfo.read(writer.name).tail
    publish(writer, told()[3])
    with path_of(ring_object(writer.name)).open("r+b") as file:
        file.seek(HEADER_BYTES + end + 8)
        file.write(b"\xff" * 8)  # the tag of the second frame
    answer = ask(make_app(looking), "/api/anomalies").json()
    assert answer["rings"] == [] and "no frame where sequence 2" in answer["unreadable"][0]["text"]
    writer.close(unlink=True)
    with Writer.create(writer.name, capacity=1 << 16, layout_digest=LAYOUT_DIGEST) as anew:
        publish(anew, told()[0])
        ring = shown(looking)
        assert (ring["lasting"], [one["kind"] for one in ring["newest"]]) == ([], ["gap"])
        anew.close(unlink=True)
    with Writer.create(writer.name, capacity=1 << 16, layout_digest=5):
        answer = ask(make_app(looking), "/api/anomalies").json()
    assert answer["rings"] == [] and "layout digest of the messages" in answer["unreadable"][0]["text"]
