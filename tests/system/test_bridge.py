"""The bridge against a real nats-server: what goes into one ring comes out of another, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from nats.js.errors import NotFoundError

from consumers.bridge.batch import find_damaged, message_id, pack, portions, unpack
from consumers.bridge.broker import Broker, connect
from consumers.bridge.errors import LayoutDiffers
from consumers.bridge.inward import ORIGIN
from ringbuf import Reader, RingNotFound, RingNotReady, Status, Writer
from ringbuf.names import FOLDER, ring_object
from ringbuf.ring import unlink_ring
from tlv.codes import Domain, FeedReason, GapScope, Reason, Source
from tlv.errors import FrameError
from tlv.layout import LAYOUT_DIGEST, Gap, Heartbeat
from tlv.message import build, parse
from tools.rig.nats_server import NatsServer


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path / "nats") as server:
        yield server


def message(sequence: int) -> bytes:
    return build(
        Domain.SYSTEM,
        Source.POLYGON_COLLECTOR,
        [Heartbeat(sequence, 0, sequence, 0, 0, 0, 1, 0, FeedReason.OK)],
        sequence=sequence,
    )


def publish(writer: Writer, count: int) -> None:
    for _ in range(count):
        writer.publish(message(writer.next_sequence))


def bridge(direction: str, ring: str, broker: NatsServer, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tools.command.main", "bridge", direction, "--ring", ring, "--server", broker.url),
            *("--subject", "alphapulse.test", "--json", *options),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stop(process: subprocess.Popen[str]) -> dict[str, int]:
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    counts: dict[str, int] = json.loads(out)
    return counts


def read_sequences(ring: str, last: int, timeout_s: float = 60.0) -> list[int]:
    """The header sequences of every frame of a ring, up to the one with `last`."""
    deadline = time.monotonic() + timeout_s
    found: list[int] = []
    while not found or found[-1] < last:
        assert time.monotonic() < deadline, f"got {len(found)} frames, the last {found[-1:]} of {last}"
        try:
            reader = Reader.attach(ring, start="oldest", layout_digest=LAYOUT_DIGEST)
        except (RingNotFound, RingNotReady):
            time.sleep(0.05)
            continue
        with reader:
            found = []
            while (poll := reader.poll()).status in (Status.OK, Status.EPOCH_CHANGED):
                found += [parse(frame.payload).header.sequence for frame in poll]
        time.sleep(0.05)
    return found


def test_batch_of_frames_survives_packing(ring_name: str) -> None:
    with Writer.create(ring_name, layout_digest=LAYOUT_DIGEST) as writer, Reader.attach(ring_name) as reader:
        publish(writer, 5)
        poll = reader.poll()
        batch = unpack(pack(reader.uuid, poll))
        assert (batch.ring_uuid, batch.first_sequence, batch.last_sequence) == (reader.uuid, 1, 5)
        frames = [bytes(batch.buffer[o : o + n]) for o, n in zip(batch.offsets, batch.lengths, strict=True)]
        assert frames == [message(sequence) for sequence in range(1, 6)]
        assert find_damaged(batch.buffer, batch.offsets, batch.lengths) == -1
        writer.close(unlink=True)


@pytest.mark.parametrize("cut", [0, 10, 55, 60, -1])
def test_batch_truncated_is_refused(ring_name: str, cut: int) -> None:
    with Writer.create(ring_name, layout_digest=LAYOUT_DIGEST) as writer, Reader.attach(ring_name) as reader:
        publish(writer, 3)
        data = pack(reader.uuid, reader.poll())
        writer.close(unlink=True)
    with pytest.raises(FrameError):
        unpack(data[:cut])


def test_batch_of_another_layout_is_refused_with_what_to_do(ring_name: str) -> None:
    with Writer.create(ring_name, layout_digest=LAYOUT_DIGEST) as writer, Reader.attach(ring_name) as reader:
        publish(writer, 1)
        data = bytearray(pack(reader.uuid, reader.poll()))
        writer.close(unlink=True)
    data[8:16] = (7).to_bytes(8, "little")
    with pytest.raises(LayoutDiffers, match=r"expected layout digest 0x.*, found 0x7; run both .* on a new stream"):
        unpack(bytes(data))


def test_batch_with_flipped_bit_names_damaged_frame(ring_name: str) -> None:
    with Writer.create(ring_name, layout_digest=LAYOUT_DIGEST) as writer, Reader.attach(ring_name) as reader:
        publish(writer, 3)
        data = bytearray(pack(reader.uuid, reader.poll()))
        writer.close(unlink=True)
    batch = unpack(bytes(data))
    data[int(batch.offsets[1]) + 40] ^= 1
    batch = unpack(bytes(data))
    assert find_damaged(batch.buffer, batch.offsets, batch.lengths) == 1


def test_portions_respect_frames_and_bytes() -> None:
    lengths = np.array([100] * 300 + [200_000, 200_000, 1], np.int64)
    assert list(portions(lengths)) == [(0, 256), (256, 301), (301, 303)]


def test_bridge_carries_ring_with_its_sequences(new_ring_name: Callable[[], str], broker: NatsServer) -> None:
    near, far = new_ring_name(), new_ring_name()
    with Writer.create(near, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 1000)
        out = bridge("out", near, broker)
        inward = bridge("in", far, broker)
        publish(writer, 1000)
        assert read_sequences(far, 2000) == list(range(1, 2001))
        with Reader.attach(far, start="oldest") as reader:
            assert [frame.sequence for frame in reader.poll(2000)] == list(range(1, 2001))
        assert stop(out)["frames"] == 2000
        assert stop(inward)["lost"] == 0
        writer.close(unlink=True)


def test_bridge_killed_on_either_side_and_broker_restarted_loses_nothing(
    new_ring_name: Callable[[], str], broker: NatsServer
) -> None:
    near, far = new_ring_name(), new_ring_name()
    with Writer.create(near, layout_digest=LAYOUT_DIGEST) as writer:
        out, inward = bridge("out", near, broker), bridge("in", far, broker)
        for episode in range(6):
            publish(writer, 500)
            time.sleep(0.3)
            if episode % 3 == 0:
                out.kill()
                out.communicate()
                out = bridge("out", near, broker)
            elif episode % 3 == 1:
                inward.kill()
                inward.communicate()
                inward = bridge("in", far, broker)
            else:
                broker.restart()
        publish(writer, 10)
        assert read_sequences(far, 3010) == list(range(1, 3011))
        assert stop(out)["lost"] == 0
        assert stop(inward)["lost"] == 0
        writer.close(unlink=True)


def test_bridge_out_follows_a_ring_that_was_replaced(new_ring_name: Callable[[], str], broker: NatsServer) -> None:
    near, far = new_ring_name(), new_ring_name()
    writer = Writer.create(near, layout_digest=LAYOUT_DIGEST)
    publish(writer, 20)
    out, inward = bridge("out", near, broker), bridge("in", far, broker)
    assert read_sequences(far, 20) == list(range(1, 21))
    unlink_ring(near)
    # Longer than it takes to notice: for a while there is no such ring at all.
    time.sleep(1.5)
    assert out.poll() is None
    with Writer.create(near, layout_digest=LAYOUT_DIGEST) as second:
        publish(second, 30)
        assert read_sequences(far, 30) == list(range(1, 31))
        assert stop(out)["frames"] == 50
        assert stop(inward)["lost"] == 0
        second.close(unlink=True)
    writer.close()


def test_bridge_in_refuses_ring_of_another_maker(ring_name: str, broker: NatsServer) -> None:
    with Writer.create(ring_name, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 1)
        inward = bridge("in", ring_name, broker)
        _, err = inward.communicate(timeout=30)
        assert inward.returncode == 1
        assert "was not made by a bridge" in err
        writer.close(unlink=True)


def test_bridge_without_broker_reports_and_retries(ring_name: str, tmp_path: Path) -> None:
    with NatsServer(tmp_path) as server:
        server.kill()
        with Writer.create(ring_name, layout_digest=LAYOUT_DIGEST) as writer:
            publish(writer, 10)
            out = bridge("out", ring_name, server)
            assert out.stderr is not None
            complaint = out.stderr.readline()
            assert complaint.startswith("bridge: NATS server") and "cannot connect" in complaint
            assert out.poll() is None
            server.restart()
            asyncio.run(until_stored(server, 10))
            assert stop(out)["frames"] == 10
            writer.close(unlink=True)


async def until_stored(server: NatsServer, sequence: int) -> None:
    """Return once the stream's last batch ends with `sequence`."""
    client, stream = await connect(Broker(server.url, "alphapulse", "alphapulse.test"))
    while True:
        with contextlib.suppress(NotFoundError):
            last = unpack((await stream.get_last_msg("alphapulse", "alphapulse.test")).data or b"")
            if last.last_sequence >= sequence:
                break
        await asyncio.sleep(0.05)
    await client.close()


def send_batches(ring: str, broker: NatsServer, *sizes: int) -> bytes:
    """Put a ring's frames into the stream as the outward bridge does, in batches of these sizes; returns its uuid."""

    async def send(reader: Reader) -> None:
        client, stream = await connect(Broker(broker.url, "alphapulse", "alphapulse.test"))
        for size in sizes:
            poll = reader.poll(size)
            name = message_id(reader.uuid, int(poll.sequences[0]), int(poll.sequences[-1]))
            await stream.publish("alphapulse.test", pack(reader.uuid, poll), headers={"Nats-Msg-Id": name})
        await client.close()

    with Reader.attach(ring, start="oldest") as reader:
        asyncio.run(send(reader))
        return reader.uuid


def test_bridge_in_gets_what_a_killed_one_had_fetched(new_ring_name: Callable[[], str], broker: NatsServer) -> None:
    near, far = new_ring_name(), new_ring_name()

    async def fetch_and_die() -> None:
        client, stream = await connect(Broker(broker.url, "alphapulse", "alphapulse.test"))
        consumer = await stream.pull_subscribe("alphapulse.test", durable="bridge", stream="alphapulse")
        assert len(await consumer.fetch(2)) == 2
        await client.close()

    with Writer.create(near, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 300)
        send_batches(near, broker, 100, 100, 100)
    asyncio.run(fetch_and_die())
    inward = bridge("in", far, broker)
    assert read_sequences(far, 300) == list(range(1, 301))
    counts = stop(inward)
    assert (counts["frames"], counts["lost"]) == (300, 0)


def test_bridge_late_batch_of_a_killed_sender_hides_nothing(
    new_ring_name: Callable[[], str], broker: NatsServer
) -> None:
    """The dead sender's 1 to 5 arrives before its successor's 1 to 9: the broker must not take them for the same."""
    near, far = new_ring_name(), new_ring_name()
    with Writer.create(near, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 9)
        send_batches(near, broker, 5)
        send_batches(near, broker, 9)
    inward = bridge("in", far, broker)
    assert read_sequences(far, 9) == list(range(1, 10))
    assert stop(inward)["repeated"] == 5


def test_bridge_in_killed_between_a_hole_and_what_follows_repeats_nothing(
    new_ring_name: Callable[[], str], broker: NatsServer
) -> None:
    near, far = new_ring_name(), new_ring_name()
    with Writer.create(near, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 12)
        origin = send_batches(near, broker, 9, 3)
    with Writer.create(far, layout_digest=LAYOUT_DIGEST, schema=ORIGIN + origin.hex()) as writer:
        publish(writer, 3)
        hole = Gap(4, 9, GapScope.RING_SEQUENCES, Reason.NOT_RETAINED)
        writer.publish(build(Domain.SYSTEM, Source.BRIDGE, [hole]))
    inward = bridge("in", far, broker)
    assert read_sequences(far, 12) == [1, 2, 3, 0, 10, 11, 12]
    assert stop(inward)["frames"] == 3


def test_bridge_in_killed_while_it_made_its_ring_makes_it_again(
    new_ring_name: Callable[[], str], broker: NatsServer
) -> None:
    near, far = new_ring_name(), new_ring_name()
    with Writer.create(near, layout_digest=LAYOUT_DIGEST) as writer:
        publish(writer, 3)
        send_batches(near, broker, 3)
    with Writer.create(far, layout_digest=LAYOUT_DIGEST):
        pass
    with (FOLDER / ring_object(far).removeprefix("/")).open("r+b") as half_made:
        half_made.write(bytes(8))  # the magic, which a maker writes last
    inward = bridge("in", far, broker)
    assert read_sequences(far, 3) == [1, 2, 3]
    assert stop(inward)["frames"] == 3
