"""What a damaged journal costs a client that is behind the ring, and what it is told: the Gap and its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumers.client import Item
from consumers.journal import JournalReader
from consumers.journal.layout import HEADER_BYTES
from consumers.journal.segment import list_segments
from consumers.recorder import Recorder
from ringbuf import Loss, Writer
from tests.consumers.journal_frames import open_writer
from tests.consumers.relay_rig import make_ring, publish, serving
from tlv.codes import Reason

SEGMENTS, FRAMES = 3, 50
IN_RING = 1000


def record(writer: Writer, directory: Path) -> None:
    """One raw segment of what the journal lacks."""
    with Recorder(writer.name, directory, report=print, pack=False) as recorder:
        recorder.run(lambda: recorder.next_sequence == writer.next_sequence, until_closed=False)


def record_segments(writer: Writer, directory: Path) -> None:
    """SEGMENTS of FRAMES each."""
    for _ in range(SEGMENTS):
        publish(writer, FRAMES)
        record(writer, directory)


def flip(path: Path, *positions: int) -> None:
    """Turn a bit at each of these places."""
    data = bytearray(path.read_bytes())
    for position in positions:
        data[position] ^= 0x10
    path.write_bytes(data)


def until_sequence(client: object, last: int) -> tuple[list[int], list[Loss]]:
    """(sequences of messages, losses) of a client up to `last`, which must be dense together."""
    messages: list[int] = []
    lost: list[Loss] = []
    at = 0
    for item in client:  # type: ignore[attr-defined]
        if isinstance(item, Item):
            assert item.sequence == at + 1
            messages.append(item.sequence)
        else:
            assert item.first == at + 1
            lost.append(item)
        at = item.sequence if isinstance(item, Item) else item.last
        if at >= last:
            return messages, lost
    raise AssertionError("the relay went")


@pytest.mark.parametrize("what", ["header", "record", "last record"])
def test_relay_damage_in_a_journal_is_told_as_damage_and_counted_exactly(
    ring_name: str, tmp_path: Path, what: str
) -> None:
    with make_ring(ring_name, capacity=1 << 16) as writer:
        record_segments(writer, tmp_path)
        middle = list_segments(tmp_path)[1].path
        places = {"header": (9, 40), "record": (middle.stat().st_size // 2,), "last record": (last_record(middle),)}
        flip(middle, *places[what])
        publish(writer, IN_RING)
        with (
            serving(ring_name, journals={ring_name: tmp_path}) as rig,
            rig.client(start={writer.uuid: 1}, at_least_once=True, reconnect=False) as client,
        ):
            messages, lost = until_sequence(client, SEGMENTS * FRAMES + IN_RING)
    damage = lost[0]
    assert damage.reason == Reason.DAMAGED
    wanted = {"header": (FRAMES + 1, 2 * FRAMES), "last record": (2 * FRAMES, 2 * FRAMES)}
    assert (damage.first, damage.last) == wanted.get(what, (damage.first, damage.first))
    assert [one.reason for one in lost[1:]] == [Reason.NOT_RETAINED], "what the ring overwrote unrecorded"
    assert len(messages) + sum(one.count for one in lost) == SEGMENTS * FRAMES + IN_RING


def last_record(path: Path) -> int:
    """A byte in the payload of a raw segment's last frame, which an END record of 32 bytes follows."""
    return path.stat().st_size - 32 - 8


def test_relay_damage_at_the_end_of_a_ring_that_has_ended_is_told_as_damage(ring_name: str, tmp_path: Path) -> None:
    with make_ring(ring_name) as writer:
        record_segments(writer, tmp_path)
        writer.close(unlink=True)
        with make_ring(ring_name) as second:
            publish(second, 5)
            record(second, tmp_path)
            flip(list_segments(tmp_path)[SEGMENTS - 1].path, last_record(list_segments(tmp_path)[SEGMENTS - 1].path))
            with (
                serving(ring_name, journals={ring_name: tmp_path}) as rig,
                rig.client(start={writer.uuid: 1}, at_least_once=True, reconnect=False) as client,
            ):
                _, (lost,) = until_sequence(client, SEGMENTS * FRAMES)
    assert (lost.first, lost.count, lost.reason) == (SEGMENTS * FRAMES, 1, Reason.DAMAGED)


def test_relay_what_its_recorder_lost_is_told_as_not_retained(ring_name: str, tmp_path: Path) -> None:
    with make_ring(ring_name, capacity=1 << 16) as writer:
        publish(writer, FRAMES)
        record(writer, tmp_path)
        with open_writer(tmp_path, ring_name=ring_name, ring_uuid=writer.uuid) as journal:
            journal.append_gap(FRAMES + 1, FRAMES + 9, Reason.LAPPED)
        publish(writer, IN_RING)
        with (
            serving(ring_name, journals={ring_name: tmp_path}) as rig,
            rig.client(start={writer.uuid: 1}, at_least_once=True, reconnect=False) as client,
        ):
            _, lost = until_sequence(client, FRAMES + IN_RING)
    assert {one.reason for one in lost} == {Reason.NOT_RETAINED}


def test_reader_of_a_segment_with_a_damaged_header_tells_the_loss_with_its_reason_wherever_it_begins(
    ring_name: str, tmp_path: Path
) -> None:
    with make_ring(ring_name) as writer:
        record_segments(writer, tmp_path)
    flip(list_segments(tmp_path)[1].path, 9, 40)
    assert HEADER_BYTES > 40
    for start in (1, FRAMES, FRAMES + 1, FRAMES + 20):
        with JournalReader(tmp_path, start=start) as reader:
            (lost,) = [item for item in reader if isinstance(item, Loss)]
        assert lost == Loss(writer.uuid, max(start, FRAMES + 1), 2 * FRAMES, Reason.DAMAGED)
