"""What one writer publishes, readers get: whole, in order, once."""

from __future__ import annotations

import numpy as np
import pytest

from ringbuf import FrameTooLong, Loss, Reader, Status, Writer


def test_reader_after_publish_gets_payload_kind_and_sequence(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=1 << 16) as writer, Reader.attach(ring_name) as reader:
        assert writer.next_sequence == 1
        assert writer.publish(b"first", kind=7) == 1
        assert writer.publish(bytearray(b"second")) == 2
        assert writer.publish(memoryview(b"third")) == 3
        assert writer.publish(np.frombuffer(b"fourth", dtype=np.uint8)) == 4
        poll = reader.poll()
        assert poll.status is Status.OK and poll.loss is None
        assert [(frame.sequence, frame.kind, bytes(frame.payload)) for frame in poll] == [
            (1, 7, b"first"),
            (2, 0, b"second"),
            (3, 0, b"third"),
            (4, 0, b"fourth"),
        ]
        assert reader.poll().status is Status.EMPTY


def test_reader_lapped_reports_exact_gap_then_goes_on(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=1 << 16) as writer, Reader.attach(ring_name) as reader:
        for i in range(5000):
            writer.publish(i.to_bytes(8, "little"))
        poll = reader.poll(max_frames=10_000)
        assert poll.loss == Loss(reader.uuid, 1, poll[0].sequence - 1)
        assert reader.lost + len(poll) == 5000
        assert [int.from_bytes(frame.payload, "little") + 1 for frame in poll] == poll.sequences.tolist()


def test_publish_over_max_frame_is_refused_and_counted(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=1 << 16) as writer:
        with pytest.raises(FrameTooLong, match=r"payload of 8161 bytes exceeds 8160 \(ring .*, sequence 1\)"):
            writer.publish(bytes(8161))
        assert writer.publish(bytes(8160)) == 1


def test_batch_becomes_visible_at_its_end_or_not_at_all(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=1 << 16) as writer, Reader.attach(ring_name) as reader:
        with writer.batch() as batch:
            assert [batch.append(b"a"), batch.append(b"b")] == [1, 2]
            assert reader.poll().status is Status.EMPTY
        assert [bytes(frame.payload) for frame in reader.poll()] == [b"a", b"b"]
        with pytest.raises(KeyError), writer.batch() as batch:
            batch.append(b"never")
            raise KeyError
        assert reader.poll().status is Status.EMPTY
        assert writer.publish(b"c") == 3
        assert [bytes(frame.payload) for frame in reader.poll()] == [b"c"]
