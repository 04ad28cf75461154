"""Row 52 of the fault table: whatever happens to a broker is noticed, and mended or refused with the reason.

Each test waits for what the bridge says or does; how soon it said so is told, and held against a generous deadline.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import nkeys
import pytest
from msgspec.structs import replace

from consumers.bridge.broker import BROKER_ERRORS, BrokerConnection
from consumers.bridge.errors import BridgeError
from consumers.bridge.stream_config import new_config
from consumers.journal.layout import HEADER_BYTES, SegmentHeader
from consumers.journal.segment import header_checksum, list_segments
from consumers.recorder import Recorder
from ringbuf import Reader, Writer
from tests.consumers.bridge_rig import (
    STREAM,
    SUBJECT,
    Bridge,
    api,
    message,
    on_broker,
    publish,
    read_sequences,
    sequences,
    until,
)
from tlv.layout import LAYOUT_DIGEST, Gap
from tlv.message import parse
from tools.rig.nats_server import NatsServer

Start = Callable[..., Bridge]
SECRET = "s3cr/et#p@ss"


@pytest.fixture
def writer(new_ring_name: Callable[[], str]) -> Iterator[Writer]:
    with Writer.create(new_ring_name(), capacity=1 << 20, layout_digest=LAYOUT_DIGEST) as writing:
        yield writing


def config_of(server: NatsServer) -> dict[str, Any]:
    config: dict[str, Any] = api(server, f"STREAM.INFO.{STREAM}")["config"]
    return config


def test_stream_and_consumer_deleted_are_noticed_and_made_again_as_they_were(
    writer: Writer,
    new_ring_name: Callable[[], str],
    either_broker: NatsServer,
    start: Start,
    tell: Callable[[str], None],
) -> None:
    far, server = new_ring_name(), either_broker
    sized = {"max_bytes": 50_000_000, "max_age": 3_600_000_000_000, "description": "sized by the admin"}
    api(server, f"STREAM.CREATE.{STREAM}", new_config(STREAM, "somebody.else") | sized)
    out, inward = start("out", writer.name, server.url), start("in", far, server.url)
    publish(writer, 100)
    assert read_sequences(far, 100) == list(range(1, 101))
    begin = time.monotonic()
    api(server, f"STREAM.DELETE.{STREAM}")
    out.until_says("made again")
    noticed = time.monotonic() - begin
    publish(writer, 100)
    assert read_sequences(far, 200) == list(range(1, 201))
    assert {key: config_of(server)[key] for key in sized} == sized
    assert config_of(server)["subjects"] == ["somebody.else", SUBJECT]
    inward.until_says("was deleted")
    begin = time.monotonic()
    api(server, f"CONSUMER.DELETE.{STREAM}.bridge")
    publish(writer, 1)
    assert read_sequences(far, 201) == list(range(1, 202))
    tell(
        f"row 52: stream deleted: noticed after {noticed:.1f} s; consumer deleted: frames again after "
        f"{time.monotonic() - begin:.1f} s; limits kept"
    )
    assert (inward.stop()["lost"], out.stop()["lost"]) == (0, 0)


def test_batches_of_a_server_with_a_small_max_payload_fit(
    writer: Writer, new_ring_name: Callable[[], str], tmp_path: Path, start: Start
) -> None:
    with NatsServer(tmp_path / "nats", settings="max_payload: 4096") as server:
        publish(writer, 1500)
        far = new_ring_name()
        out, inward = start("out", writer.name, server.url), start("in", far, server.url, "--capacity", "1048576")
        assert read_sequences(far, 1500) == list(range(1, 1501))
        server.reload("max_payload: 2048")  # the server closes a connection that sends more
        publish(writer, 500)
        assert read_sequences(far, 2000) == list(range(1, 2001))
        assert out.stop()["lost"] == 0
        assert inward.stop()["lost"] == 0


def test_frame_larger_than_the_server_takes_is_counted_told_and_a_gap_at_the_far_end(
    writer: Writer, new_ring_name: Callable[[], str], tmp_path: Path, start: Start
) -> None:
    with NatsServer(tmp_path / "nats", settings="max_payload: 2048") as server:
        far = new_ring_name()
        publish(writer, 3)
        writer.publish(bytes(5000))
        publish(writer, 3)
        out, inward = start("out", writer.name, server.url), start("in", far, server.url)
        assert read_sequences(far, 7) == [1, 2, 3, 0, 5, 6, 7]
        out.until_says("frame 4 of 5,000 bytes is lost: the server takes")
        inward.until_says("1 frames, 4 to 4, are lost")
        counts = out.stop()
        assert (counts["lost"], counts["too_large"], inward.stop()["lost"]) == (1, 1, 1)


def test_second_sender_and_second_receiver_are_refused_with_who_is_there(
    writer: Writer, new_ring_name: Callable[[], str], either_broker: NatsServer, start: Start
) -> None:
    far, other_far, url = new_ring_name(), new_ring_name(), either_broker.url
    with Writer.create(new_ring_name(), layout_digest=LAYOUT_DIGEST) as other:
        publish(writer, 10)
        publish(other, 10)
        out, inward = start("out", writer.name, url), start("in", far, url)
        read_sequences(far, 10)
        second_out, second_in = start("out", other.name, url), start("in", other_far, url)
        assert (second_out.end(), second_in.end()) == (1, 1)
        assert f"has a sender already: ring {writer.name} on" in second_out.words
        assert f"pid {out.pid}" in second_out.words
        assert f"pid {inward.pid}" in second_in.words
        assert "durable bridge of stream alphapulse has another receiver" in second_in.words
        publish(writer, 10)
        assert read_sequences(far, 20) == list(range(1, 21))
        out.kill()
        inward.kill()
        taking_over = start("out", writer.name, url), start("in", far, url)
        publish(writer, 10)
        assert read_sequences(far, 30) == list(range(1, 31))
        assert [bridge.stop()["lost"] for bridge in taking_over] == [0, 0]
        other.close(unlink=True)


def test_senders_that_begin_together_on_one_stream_keep_their_subjects(
    writer: Writer, new_ring_name: Callable[[], str], either_broker: NatsServer, start: Start
) -> None:
    url, far, other_far = either_broker.url, new_ring_name(), new_ring_name()
    with Writer.create(new_ring_name(), layout_digest=LAYOUT_DIGEST) as other:
        running = [
            start("out", writer.name, url),
            start("out", other.name, url, subject="alphapulse.other"),
            start("in", far, url),
            start("in", other_far, url, "--durable", "other", subject="alphapulse.other"),
        ]
        publish(writer, 500)
        publish(other, 700)
        assert read_sequences(far, 500) == list(range(1, 501))
        assert read_sequences(other_far, 700) == list(range(1, 701))
        assert [bridge.stop()["lost"] for bridge in running] == [0, 0, 0, 0]
        other.close(unlink=True)


def test_purged_batches_are_a_loss_that_the_receiver_counts_and_tells(
    writer: Writer, new_ring_name: Callable[[], str], either_broker: NatsServer, start: Start
) -> None:
    far, url = new_ring_name(), either_broker.url
    out, inward = start("out", writer.name, url), start("in", far, url)
    publish(writer, 10)
    read_sequences(far, 10)
    inward.kill()
    publish(writer, 10)
    until(lambda: api(either_broker, f"STREAM.INFO.{STREAM}")["state"]["last_seq"] > 1, lambda: out.words)
    api(either_broker, f"STREAM.PURGE.{STREAM}")
    publish(writer, 10)
    inward = start("in", far, url)
    assert read_sequences(far, 30) == [*range(1, 11), 0, *range(21, 31)]
    with Reader.attach(far, start=11) as reader:
        gap = parse(reader.poll(1)[0].payload).first(Gap)
        assert gap is not None
        assert (gap.first, gap.last) == (11, 20)
    inward.until_says("10 frames, 11 to 20, are lost")
    assert inward.stop()["lost"] == 10


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"retention": "workqueue"}, "its retention is workqueue"),
        ({"no_ack": True}, "it acknowledges nothing"),
        ({"sealed": True}, "it is sealed"),
    ],
)
def test_stream_that_cannot_carry_a_ring_is_refused_with_the_reason(
    writer: Writer, tmp_path: Path, start: Start, change: dict[str, Any], reason: str
) -> None:
    with NatsServer(tmp_path / "nats") as server:
        config = new_config(STREAM, SUBJECT)
        api(server, f"STREAM.CREATE.{STREAM}", config if "sealed" in change else config | change)
        if "sealed" in change:
            api(server, f"STREAM.UPDATE.{STREAM}", config_of(server) | change)
        before = config_of(server)
        out = start("out", writer.name, server.url)
        out.until_says(reason)
        assert config_of(server) == before
        out.stop()


def test_permissions_and_a_missing_jetstream_are_told_with_the_subject(
    writer: Writer, tmp_path: Path, start: Start
) -> None:
    accounts = f"""
    accounts {{
      desk {{ jetstream: enabled, users: [
        {{ user: all, password: "{SECRET}" }},
        {{ user: mute, password: "{SECRET}", permissions {{ publish: ["$JS.API.>"], subscribe: ["_INBOX.>"] }} }}
      ] }}
      none {{ users: [{{ user: none, password: "{SECRET}" }}] }}
    }}
    """
    with NatsServer(tmp_path / "nats", settings=accounts) as server:
        publish(writer, 1)
        said = {}
        for user, reason in (
            ("mute", f'Permissions Violation for Publish to "{SUBJECT}"'),
            ("none", "JetStream not enabled for account"),
            ("nobody", "Authorization Violation"),
        ):
            out = start("out", writer.name, f"nats://{user}:{SECRET}@{server.place}")
            out.until_says(reason, reason.lower())  # the library changes the case of some
            out.stop()
            said[user] = out.words
        assert not [user for user, words in said.items() if SECRET in words or "Traceback" in words]
        url = f"nats://all:{SECRET}@{server.place}"
        out = start("out", writer.name, url)

        async def stored(connection: BrokerConnection) -> bool:
            found = await connection.stream_info()
            return found is not None and found["state"]["last_seq"] > 0

        until(lambda: on_broker(server, stored, url=url), lambda: out.words)
        assert out.stop()["frames"] == 1


def test_tls_is_verified_and_nothing_secret_is_said_without_it(
    writer: Writer, new_ring_name: Callable[[], str], tmp_path: Path, start: Start
) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    settings = (
        f'tls {{ cert_file: "{certificate}", key_file: "{key}" }}\nauthorization {{ user: u, password: "{SECRET}" }}'
    )
    publish(writer, 5)
    with NatsServer(tmp_path / "nats", settings=settings) as server:
        url = f"tls://u:{SECRET}@{server.place}"
        untrusting = start("out", writer.name, url)
        untrusting.until_says("certificate verify failed")
        untrusting.stop()
        far = new_ring_name()
        trusting = [
            start(way, ring, url, "--tls-ca", str(certificate)) for way, ring in (("out", writer.name), ("in", far))
        ]
        assert read_sequences(far, 5) == [1, 2, 3, 4, 5]
        for bridge in trusting:
            bridge.stop()
    with NatsServer(tmp_path / "plain", settings=f'authorization {{ user: u, password: "{SECRET}" }}') as server:
        plain = start("out", writer.name, f"tls://u:{SECRET}@{server.place}")
        plain.until_says("the server does not encrypt")
        plain.stop()
    assert SECRET not in untrusting.words + plain.words


def test_nkey_from_a_file_opens_a_server_and_another_does_not(
    writer: Writer, new_ring_name: Callable[[], str], tmp_path: Path, start: Start
) -> None:
    seeds, keys = [], []
    for name in ("ours", "another"):
        pair = nkeys.from_seed(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER))
        seeds.append(tmp_path / name)
        seeds[-1].write_bytes(bytes(pair.seed))
        keys.append(pair.public_key.decode())
    publish(writer, 3)
    far = new_ring_name()
    with NatsServer(tmp_path / "nats", settings=f"authorization {{ users: [{{ nkey: {keys[0]} }}] }}") as server:
        stranger = start("out", writer.name, server.url, "--nkey", str(seeds[1]))
        stranger.until_says("Authorization Violation")
        stranger.stop()
        running = [
            start(way, ring, server.url, "--nkey", str(seeds[0])) for way, ring in (("out", writer.name), ("in", far))
        ]
        assert read_sequences(far, 3) == [1, 2, 3]
        assert [bridge.stop()["lost"] for bridge in running] == [0, 0]
    assert seeds[1].read_text() not in stranger.words


def test_server_that_hangs_is_told_and_another_of_the_list_is_used(
    writer: Writer, new_ring_name: Callable[[], str], tmp_path: Path, start: Start, tell: Callable[[str], None]
) -> None:
    far = new_ring_name()
    with NatsServer(tmp_path / "a") as first, NatsServer(tmp_path / "b") as second:
        both = f"{first.url},{second.url}"
        out, inward = start("out", writer.name, both), start("in", far, both)
        publish(writer, 5)
        read_sequences(far, 5)
        os.kill(first.process.pid, signal.SIGSTOP)
        begin = time.monotonic()
        out.until_says("no answer within")
        tell(f"row 52: a server that hangs: told after {time.monotonic() - begin:.1f} s")
        publish(writer, 5)
        assert read_sequences(far, 10) == list(range(1, 11))
        assert (out.stop()["lost"], inward.stop()["lost"]) == (0, 0)


def test_journal_without_this_ring_is_told_and_hangs_nobody(
    writer: Writer, new_ring_name: Callable[[], str], tmp_path: Path, start: Start
) -> None:
    record = [sys.executable, "-m", "tools.command.main", "record", "--ring"]
    with NatsServer(tmp_path / "nats") as server, Writer.create(new_ring_name(), layout_digest=LAYOUT_DIGEST) as other:
        recorder = subprocess.Popen([*record, other.name, "--out", str(tmp_path / "journal")], stdout=subprocess.PIPE)
        publish(other, 5)
        until(lambda: list((tmp_path / "journal").glob("segment-*")), lambda: "a segment")
        recorder.terminate()
        recorder.communicate()
        other.close(unlink=True)
        far = new_ring_name()
        publish(writer, 10)
        out, inward = start("out", writer.name, server.url), start("in", far, server.url)
        read_sequences(far, 10)
        out.kill()
        publish(writer, 20_000)  # the ring laps
        out = start("out", writer.name, server.url, "--journal", str(tmp_path / "journal"))
        out.until_says("and the journal lacks them")
        found = read_sequences(far, 20_010)
        lost = inward.stop()["lost"]
        assert out.stop()["lost"] == lost > 0
        assert found[-1] == 20_010


@pytest.mark.parametrize("what", ["of another layout", "zeros", "removed"])
def test_journal_with_a_segment_that_cannot_be_read_costs_its_frames_and_is_told(
    ring_name: str, new_ring_name: Callable[[], str], tmp_path: Path, start: Start, what: str
) -> None:
    with (
        NatsServer(tmp_path / "nats") as server,
        Writer.create(ring_name, capacity=1 << 16, layout_digest=LAYOUT_DIGEST) as writer,
    ):
        for _ in range(3):
            publish(writer, 50)
            with Recorder(ring_name, tmp_path / "j", report=print, pack=False) as recorder:
                recorder.run(partial(is_recorded, recorder, writer), until_closed=False)
        spoil(list_segments(tmp_path / "j")[1].path, what)
        publish(writer, 1500)  # the ring laps
        out = start("out", ring_name, server.url, "--journal", str(tmp_path / "j"), "--start", "journal")
        damage = "the journal lacks them" if what == "removed" else "the journal is damaged there"
        out.until_says(f"50 frames, 51 to 100, are lost: the ring has overwritten them, and {damage}")
        out.until_says(", 151 to ")
        inward = start("in", far := new_ring_name(), server.url)
        found = read_sequences(far, 1650)  # `out` is stopped only after its last frame is in the stream
        counts = out.stop()
        assert inward.stop()["lost"] == counts["lost"]
    assert counts["from_journal"] == 100
    assert found.count(0) == 2  # both losses arrive as one Gap each
    assert counts["frames"] + counts["lost"] == 1650


def is_recorded(recorder: Recorder, writer: Writer) -> bool:
    """Whether the journal has all of the ring."""
    return recorder.next_sequence == writer.next_sequence


def spoil(path: Path, what: str) -> None:
    """Make a raw segment unreadable."""
    data = path.read_bytes()
    if what == "removed":
        path.unlink()
    elif what == "zeros":
        path.write_bytes(bytes(len(data)))
    else:
        header = replace(SegmentHeader.unpack(data), layout_digest=7, checksum=0)
        header = replace(header, checksum=header_checksum(header.pack()))
        path.write_bytes(header.pack() + data[HEADER_BYTES:])


def test_end_of_a_ring_that_the_journal_cannot_read_is_counted_and_the_next_ring_sent(
    ring_name: str, new_ring_name: Callable[[], str], tmp_path: Path, start: Start
) -> None:
    directory = tmp_path / "journal"
    first = Writer.create(ring_name, layout_digest=LAYOUT_DIGEST)
    with NatsServer(tmp_path / "nats") as server:
        far = new_ring_name()
        inward, out = start("in", far, server.url), start("out", ring_name, server.url)
        with Recorder(ring_name, directory, report=print, pack=False) as recorder:
            publish(first, 20)
            recorder.run(lambda: recorder.recorded.frames == 20, until_closed=False)
            read_sequences(far, 20)
            out.kill()
            publish(first, 300)
            recorder.run(lambda: recorder.recorded.frames == 320, until_closed=False)
            first.close(unlink=True)
            with Writer.create(ring_name, layout_digest=LAYOUT_DIGEST) as second:
                recorder.run(lambda: recorder.recorded.rings == 2, until_closed=False)
                publish(second, 7)
                damage_last(directory, 20)
                out = start("out", ring_name, server.url, "--journal", str(directory))
                until(lambda: sequences(far) == list(range(1, 8)), lambda: out.words[-2000:])
                assert out.stop()["lost"] == inward.stop()["lost"] == 20


def damage_last(directory: Path, count: int) -> None:
    """Break the last messages in the journal's first segment."""
    segment = next(path for path in sorted(directory.iterdir()) if path.suffix == ".journal")
    data = bytearray(segment.read_bytes())
    magic = message(1)[:4]
    places = [place.start() for place in re.finditer(re.escape(magic), data)]
    for place in places[-count:]:
        data[place : place + 40] = b"\xff" * 40
    segment.write_bytes(data)


@pytest.mark.parametrize(
    "url",
    [
        f"nats://user:{SECRET}@127.0.0.1:port",
        f"nats://user:{SECRET}@[::1",
        f"http://user:{SECRET}@127.0.0.1",
        f"nats://:{SECRET}@127.0.0.1",
        f"nats://user:{SECRET}@127.0.0.1:4222/path",
        f"nats://user:{SECRET}@",
    ],
)
def test_address_that_cannot_be_read_is_refused_without_being_repeated(url: str) -> None:
    command = [sys.executable, "-m", "tools.command.main", "bridge", "out", "--server", url]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 2, said
    assert "--server: expected" in said
    assert not [part for part in ("s3cr", "et#p", "p@ss", "Traceback") if part in said]


def test_status_with_json_says_who_sends_and_receives(
    writer: Writer, new_ring_name: Callable[[], str], either_broker: NatsServer, start: Start
) -> None:
    far, url = new_ring_name(), either_broker.url
    out, inward = start("out", writer.name, url), start("in", far, url)
    publish(writer, 7)
    read_sequences(far, 7)
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "tools.command.main", "bridge", "status", "--ring", writer.name, "--server", url),
            *("--subject", SUBJECT, "--json"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    found = json.loads(ended.stdout)
    assert (ended.returncode, found["healthy"]) == (0, True), ended.stderr
    assert found["last_batch"]["first"] + found["last_batch"]["count"] - 1 == 7
    assert f"pid {out.pid}" in found["sender"]["who"]
    assert [receiver["durable"] for receiver in found["receivers"]] == ["bridge"]
    assert f"pid {inward.pid}" in found["receivers"][0]["who"]


def test_connection_fails_once_with_its_reason(either_broker: NatsServer) -> None:
    async def kill_and_ask(connection: BrokerConnection) -> str:
        either_broker.kill()
        try:
            await connection.stream_info()
        except (BridgeError, *BROKER_ERRORS) as error:
            return str(connection.translated(error))
        return "nothing"

    assert f"NATS server {either_broker.place}: " in on_broker(either_broker, kill_and_ask)
