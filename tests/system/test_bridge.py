"""The bridge against real nats-servers: what goes into one ring comes out of another, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import base64
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nats.aio.client import DEFAULT_PENDING_SIZE

from consumers.bridge.batch import pack, unpack
from consumers.bridge.broker import BrokerConnection
from consumers.bridge.errors import BridgeError, SequenceConflict
from consumers.bridge.inward import ORIGIN
from consumers.bridge.sending import WINDOW, BatchChain, Stored
from consumers.bridge.stream_config import new_config
from consumers.recorder import Recorder
from ringbuf import Reader, Writer
from ringbuf.names import FOLDER, ring_object
from ringbuf.ring import unlink_ring
from tests.consumers.bridge_rig import (
    STREAM,
    SUBJECT,
    Bridge,
    api,
    on_broker,
    publish,
    read_sequences,
    until,
)
from tlv.codes import Domain, GapScope, Reason, Source
from tlv.layout import LAYOUT_DIGEST, Gap
from tlv.message import build
from tools.rig.nats_server import NatsServer

Start = Callable[..., Bridge]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path / "nats") as server:
        yield server


def make_stream(broker: NatsServer) -> None:
    api(broker, f"STREAM.CREATE.{STREAM}", new_config(STREAM, SUBJECT))


def send_batches(ring: str, broker: NatsServer, *sizes: int, end: int = 0) -> bytes:
    """Put a ring's frames into the stream as the outward bridge does, in batches of these sizes; returns its uuid."""

    async def send(connection: BrokerConnection) -> bytes:
        chain = BatchChain(connection, "a test", end, exclusive=True, linked=True)
        with Reader.attach(ring, start="oldest") as reader:
            for size in sizes:
                poll = reader.poll(size)
                stored = Stored(reader.uuid, int(poll.sequences[0]), int(poll.sequences[-1]), False)
                await chain.send(pack(reader.uuid, poll), stored)
            await chain.drain()
            return reader.uuid

    uuid: bytes = on_broker(broker, send)
    return uuid


def test_bridge_carries_ring_with_its_sequences(
    new_ring_name: Callable[[], str], either_broker: NatsServer, start: Start
) -> None:
    near, far = new_ring_name(), new_ring_name()
    with Writer.create(near, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 1000)
        out = start("out", near, either_broker.url)
        inward = start("in", far, either_broker.url)
        publish(writer, 1000)
        assert read_sequences(far, 2000) == list(range(1, 2001))
        with Reader.attach(far, start="oldest") as reader:
            assert [frame.sequence for frame in reader.poll(2000)] == list(range(1, 2001))
        assert out.stop()["frames"] == 2000
        assert inward.stop()["lost"] == 0
        writer.close(unlink=True)


def test_bridge_killed_on_either_side_and_broker_restarted_loses_nothing(
    new_ring_name: Callable[[], str], either_broker: NatsServer, start: Start
) -> None:
    near, far, url = new_ring_name(), new_ring_name(), either_broker.url
    with Writer.create(near, layout_digest=LAYOUT_DIGEST) as writer:
        out, inward = start("out", near, url), start("in", far, url)
        for episode in range(3):
            publish(writer, 500)
            read_sequences(far, 500 * episode + 1)
            if episode == 0:
                out.kill()
                out = start("out", near, url)
            elif episode == 1:
                inward.kill()
                inward = start("in", far, url)
            else:
                either_broker.restart()
        publish(writer, 10)
        assert read_sequences(far, 1510) == list(range(1, 1511))
        assert out.stop()["lost"] == 0
        assert inward.stop()["lost"] == 0
        writer.close(unlink=True)


def test_bridge_out_follows_a_ring_that_was_replaced(
    new_ring_name: Callable[[], str], broker: NatsServer, start: Start
) -> None:
    near, far = new_ring_name(), new_ring_name()
    writer = Writer.create(near, layout_digest=LAYOUT_DIGEST)
    publish(writer, 20)
    out, inward = start("out", near, broker.url), start("in", far, broker.url)
    assert read_sequences(far, 20) == list(range(1, 21))
    unlink_ring(near)
    # Longer than it takes to notice: for a while there is no such ring at all.
    time.sleep(1.5)
    assert out.runs
    with Writer.create(near, layout_digest=LAYOUT_DIGEST) as second:
        publish(second, 30)
        assert read_sequences(far, 30) == list(range(1, 31))
        counts = out.stop()
        assert (counts["frames"], counts["replacements"], counts["lost"]) == (50, 1, 0)
        assert inward.stop()["lost"] == 0
        second.close(unlink=True)
    writer.close()


def test_bridge_sends_from_the_journal_what_was_left_of_replaced_rings(
    ring_name: str, broker: NatsServer, start: Start, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    """The bridge is away while its ring is replaced twice; what it could not see comes from the journal, in order."""
    lines: list[str] = []
    written = [Writer.create(ring_name, layout_digest=LAYOUT_DIGEST)]
    publish(written[0], 20)
    out = start("out", ring_name, broker.url)
    until(lambda: has_stream(broker) and last_sequence(broker), lambda: "nothing was sent")
    out.stop()
    with Recorder(ring_name, tmp_path / "j", report=lines.append) as recorder:
        for number in range(2):
            publish(written[-1], 500)
            total = sum(writer.next_sequence - 1 for writer in written)
            recorder.run(lambda total=total: recorder.recorded.frames == total, until_closed=False)
            written[-1].close(unlink=True)
            written.append(Writer.create(ring_name, layout_digest=LAYOUT_DIGEST))
            recorder.run(lambda number=number: recorder.recorded.rings == number + 2, until_closed=False)
    publish(written[-1], 7)
    out = start("out", ring_name, broker.url, "--journal", str(tmp_path / "j"))
    frames: dict[bytes, set[int]] = {}

    def all_there() -> bool:
        frames.clear()
        for uuid, sequence in on_broker(broker, frames_in_stream):
            frames.setdefault(uuid, set()).add(sequence)
        return 7 in frames.get(written[-1].uuid, ())

    until(all_there, lambda: str({uuid: len(sequences) for uuid, sequences in frames.items()}))
    counts = out.stop()
    # Behind the last frame of each replaced ring stands the RingReplaced.
    assert [(uuid, len(sequences)) for uuid, sequences in frames.items()] == [
        (written[0].uuid, 521),
        (written[1].uuid, 501),
        (written[2].uuid, 7),
    ]
    assert (counts["lost"], counts["unknown_ends"], counts["replacements"]) == (0, 0, 2)
    written[-1].close(unlink=True)
    tell("row 49, bridge away for two replacements: 520, 500 and 7 frames, missing 0, lost 0, in order")


async def frames_in_stream(connection: BrokerConnection) -> list[tuple[bytes, int]]:
    """(uuid of the ring, sequence) of every frame in the stream, in order."""
    found: list[tuple[bytes, int]] = []
    number = 1
    while (stored := await connection.message(seq=number)) is not None:
        batch = unpack(base64.b64decode(stored["data"]))
        found += [(batch.ring_uuid, batch.first_sequence + i) for i in range(len(batch.lengths))]
        number += 1
    return found


def test_bridge_in_refuses_ring_of_another_maker(ring_name: str, broker: NatsServer, start: Start) -> None:
    with Writer.create(ring_name, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 1)
        inward = start("in", ring_name, broker.url)
        assert inward.end() == 1
        assert "was not made by a bridge" in inward.words
        writer.close(unlink=True)


def test_bridge_without_broker_reports_and_retries(ring_name: str, broker: NatsServer, start: Start) -> None:
    broker.kill()
    with Writer.create(ring_name, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 10)
        out = start("out", ring_name, broker.url)
        out.until_says("cannot connect")
        assert f" WARNING alphapulse.bridge: NATS server {broker.place}: cannot connect" in out.words.splitlines()[0]
        broker.restart()
        until(lambda: has_stream(broker) and last_sequence(broker), lambda: out.words)
        assert out.stop()["frames"] == 10
        writer.close(unlink=True)


def has_stream(broker: NatsServer) -> bool:
    async def look(connection: BrokerConnection) -> bool:
        return await connection.stream_info() is not None

    return bool(on_broker(broker, look))


def last_sequence(broker: NatsServer) -> int:
    return int(api(broker, f"STREAM.INFO.{STREAM}")["state"]["last_seq"])


def test_bridge_in_gets_what_a_killed_one_had_fetched(
    new_ring_name: Callable[[], str], broker: NatsServer, start: Start
) -> None:
    near, far = new_ring_name(), new_ring_name()

    async def fetch_and_die(connection: BrokerConnection) -> None:
        consumer = await connection.stream.pull_subscribe(SUBJECT, durable="bridge", stream=STREAM)
        assert len(await consumer.fetch(2)) == 2

    make_stream(broker)
    with Writer.create(near, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 300)
        send_batches(near, broker, 100, 100, 100)
    on_broker(broker, fetch_and_die)
    inward = start("in", far, broker.url)
    assert read_sequences(far, 300) == list(range(1, 301))
    counts = inward.stop()
    assert (counts["frames"], counts["lost"]) == (300, 0)


def test_late_batch_of_a_killed_sender_is_refused_by_the_broker(ring_name: str, either_broker: NatsServer) -> None:
    """Its successor has sent the same frames: what comes behind them must follow them."""
    make_stream(either_broker)
    with Writer.create(ring_name, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 9)
        send_batches(ring_name, either_broker, 9)
        with pytest.raises(SequenceConflict):
            send_batches(ring_name, either_broker, 5)
    assert last_sequence(either_broker) == 1


def test_batches_behind_one_that_was_not_stored_are_refused_too(ring_name: str, either_broker: NatsServer) -> None:
    """A server that is full for a moment takes none of them, so that the stream has no hole."""
    config = new_config(STREAM, SUBJECT, max_bytes=6000) | {"discard": "new"}
    api(either_broker, f"STREAM.CREATE.{STREAM}", config)

    async def send_large_then_small(connection: BrokerConnection) -> None:
        chain = BatchChain(connection, "a test", 0, exclusive=True, linked=True)
        with Reader.attach(ring_name, start="oldest") as reader:
            await chain.send(pack(reader.uuid, reader.poll(10)), Stored(reader.uuid, 1, 10, False))
            await chain.send(
                pack(reader.uuid, reader.poll(80)), Stored(reader.uuid, 11, 90, False)
            )  # larger than what is left
            await chain.send(pack(reader.uuid, reader.poll(1)), Stored(reader.uuid, 91, 91, False))  # would fit
            with pytest.raises(BridgeError):
                await chain.drain()
        # The server takes messages of a connection in order, so that this one is behind all of them.
        await connection.stream.publish(SUBJECT, b"the last")

    with Writer.create(ring_name, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 91)
        on_broker(either_broker, send_large_then_small)
        writer.close(unlink=True)
    assert last_sequence(either_broker) == 2


def test_batches_behind_one_whose_place_another_chain_took_are_refused_too(
    ring_name: str, either_broker: NatsServer
) -> None:
    """The sequence that the second one expects is there; what it has to follow is not."""
    make_stream(either_broker)

    async def send_two_chains(connection: BrokerConnection) -> None:
        late, ours = (BatchChain(connection, "a test", 0, exclusive=True, linked=True) for _ in range(2))
        with Reader.attach(ring_name, start="oldest") as reader:
            await late.send(pack(reader.uuid, reader.poll(5)), Stored(reader.uuid, 1, 5, False))
            reader.seek(1)
            with pytest.raises(SequenceConflict):
                await ours.send(pack(reader.uuid, reader.poll(9)), Stored(reader.uuid, 1, 9, False))
                await ours.send(pack(reader.uuid, reader.poll(9)), Stored(reader.uuid, 10, 18, False))
                await ours.drain()
        await connection.client.flush()

    with Writer.create(ring_name, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 18)
        on_broker(either_broker, send_two_chains)
        writer.close(unlink=True)
    assert last_sequence(either_broker) == 1


def test_server_that_stops_reading_fails_the_chain_in_bounded_time(ring_name: str, broker: NatsServer) -> None:
    """More is unsent than the client library takes without waiting."""
    make_stream(broker)

    async def send_to_a_stopped_server(connection: BrokerConnection) -> None:
        chain = BatchChain(connection, "a test", 0, exclusive=True, linked=True)
        broker.process.send_signal(signal.SIGSTOP)
        with pytest.raises(BridgeError, match="no answer"):
            async with asyncio.timeout(60):
                for sequence in range(1, WINDOW + 1):
                    await chain.send(bytes(connection.max_payload - 1024), Stored(b"ring", sequence, sequence, False))
                await chain.drain()
        assert connection.client._pending_data_size > DEFAULT_PENDING_SIZE

    on_broker(broker, send_to_a_stopped_server)


@pytest.mark.parametrize("exclusive", [True, False])
def test_chain_that_is_not_linked_has_one_batch_under_way_and_no_ids(
    ring_name: str, either_broker: NatsServer, exclusive: bool
) -> None:
    make_stream(either_broker)

    async def send(connection: BrokerConnection) -> None:
        chain = BatchChain(connection, "a test", 0, exclusive=exclusive, linked=False)
        with Reader.attach(ring_name, start="oldest") as reader:
            for sequence in (1, 2, 3):
                await chain.send(pack(reader.uuid, reader.poll(1)), Stored(reader.uuid, sequence, sequence, False))
                assert chain.stored == sequence - 1
            await chain.drain()
        last = await connection.message(last_by_subj=SUBJECT)
        assert last is not None and b"Msg-Id" not in base64.b64decode(last["hdrs"])

    with Writer.create(ring_name, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 3)
        on_broker(either_broker, send)
        writer.close(unlink=True)
    assert last_sequence(either_broker) == 3


def test_bridge_in_killed_between_a_hole_and_what_follows_repeats_nothing(
    new_ring_name: Callable[[], str], broker: NatsServer, start: Start
) -> None:
    near, far = new_ring_name(), new_ring_name()
    make_stream(broker)
    with Writer.create(near, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 12)
        origin = send_batches(near, broker, 9, 3)
    with Writer.create(far, layout_digest=LAYOUT_DIGEST, schema=ORIGIN + origin.hex()) as writer:
        publish(writer, 3)
        hole = Gap(4, 9, GapScope.RING_SEQUENCES, Reason.NOT_RETAINED)
        writer.publish(build(Domain.SYSTEM, Source.BRIDGE, [hole]))
    inward = start("in", far, broker.url)
    assert read_sequences(far, 12) == [1, 2, 3, 0, 10, 11, 12]
    assert inward.stop()["frames"] == 3


def test_bridge_in_killed_while_it_made_its_ring_makes_it_again(
    new_ring_name: Callable[[], str], broker: NatsServer, start: Start
) -> None:
    near, far = new_ring_name(), new_ring_name()
    make_stream(broker)
    with Writer.create(near, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 3)
        send_batches(near, broker, 3)
    with Writer.create(far, layout_digest=LAYOUT_DIGEST):
        pass
    with (FOLDER / ring_object(far).removeprefix("/")).open("r+b") as half_made:
        half_made.write(bytes(8))  # the magic, which a maker writes last
    inward = start("in", far, broker.url)
    assert read_sequences(far, 3) == [1, 2, 3]
    assert inward.stop()["frames"] == 3


def test_bridge_out_without_a_broker_holds_the_rings_that_come_and_go(
    new_ring_name: Callable[[], str], broker: NatsServer, start: Start
) -> None:
    """No journal: what is sent later comes from the maps of rings whose names are gone."""
    near, far = new_ring_name(), new_ring_name()
    writer = Writer.create(near, layout_digest=LAYOUT_DIGEST)
    publish(writer, 20)
    out, inward = start("out", near, broker.url), start("in", far, broker.url)
    read_sequences(far, 20)
    broker.kill()
    out.until_says("cannot connect")
    for count in (300, 30):
        publish(writer, count)
        writer.close(unlink=True)
        writer = Writer.create(near, layout_digest=LAYOUT_DIGEST)
        publish(writer, 5)
        time.sleep(1.0)  # many times as long as it takes to notice
    broker.restart()
    until(lambda: inward.words.count("made anew here") == 2, lambda: inward.words)
    assert read_sequences(far, 5) == list(range(1, 6))
    counts = out.stop()
    assert (counts["lost"], counts["unknown_ends"], counts["replacements"]) == (0, 0, 2)
    assert inward.stop()["lost"] == 0
    writer.close(unlink=True)


def test_bridge_out_whose_stream_has_nothing_begins_where_start_says_and_tells_it(
    new_ring_name: Callable[[], str], broker: NatsServer, start: Start, tmp_path: Path
) -> None:
    near = new_ring_name()
    with Writer.create(near, capacity=1 << 16, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 10)
        with Recorder(near, tmp_path / "j", report=lambda _: None) as recorder:
            recorder.run(lambda: recorder.next_sequence == 11, until_closed=False)
        publish(writer, 2000)  # the ring laps
        with Reader.attach(near, start="oldest") as reader:
            oldest = reader.sequence
        for begin, first in (("oldest", oldest), ("latest", 2011), ("journal", 1)):
            subject = f"alphapulse.{begin}"
            options = ("--start", begin, *(("--journal", str(tmp_path / "j")) if begin == "journal" else ()))
            out = start("out", near, broker.url, *options, subject=subject)
            out.until_says(f"begins at frame {first} of ring {writer.uuid.hex()} (start: {begin})")
            assert (f"; the {first - 1:,} before it are not sent" in out.words) == (first > 1)
            if begin == "journal":
                out.until_says("are lost: the ring has overwritten them, and the journal lacks them")
            counts = out.stop()
            assert counts["lost"] == (oldest - 11 if begin == "journal" else 0), out.words
        writer.close(unlink=True)


def test_bridge_out_counts_what_the_ring_overwrote_before_a_first_batch_got_through(
    ring_name: str, new_ring_name: Callable[[], str], broker: NatsServer, start: Start
) -> None:
    with Writer.create(ring_name, capacity=1 << 16, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 10)
        broker.kill()
        out = start("out", ring_name, broker.url)
        out.until_says("cannot connect")
        publish(writer, 2000)
        broker.restart()
        until(lambda: has_stream(broker) and last_sequence(broker), lambda: out.words)
        out.until_says("begins at frame 1 of", "are lost: the ring has overwritten them")
        inward = start("in", far := new_ring_name(), broker.url)
        read_sequences(far, 2010)  # `out` is stopped only after its last frame is in the stream
        counts = out.stop()
        assert counts["lost"] > 0 and counts["lost"] + counts["frames"] == 2010, out.words
        assert inward.stop()["frames"] == counts["frames"]
        writer.close(unlink=True)
