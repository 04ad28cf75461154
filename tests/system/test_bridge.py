"""The bridge against a real nats-server: what goes into one ring comes out of another, whatever is killed meanwhile."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from consumers.bridge.batch import find_damaged, pack, portions, unpack
from ringbuf import Reader, RingNotFound, RingNotReady, Status, Writer
from tlv.codes import Domain, Source
from tlv.errors import FrameError
from tlv.layout import LAYOUT_DIGEST, Heartbeat
from tlv.message import build, parse
from tools.prove.nats_server import NatsServer


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path / "nats") as server:
        yield server


def message(sequence: int) -> bytes:
    return build(Domain.SYSTEM, Source.POLYGON_COLLECTOR, [Heartbeat(sequence, 0, sequence, 1)], sequence=sequence)


def publish(writer: Writer, count: int) -> None:
    for _ in range(count):
        writer.publish(message(writer.next_sequence))


def bridge(direction: str, ring: str, broker: NatsServer, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tools.cli", "bridge", direction, "--ring", ring, "--server", broker.url),
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
            time.sleep(3)
            assert out.poll() is None
            server.restart()
            time.sleep(4)
            assert stop(out)["frames"] == 10
            writer.close(unlink=True)
