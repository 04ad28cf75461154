"""The rings of a name that a process holds: what it knows of their order."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from consumers.held import HeldRings
from consumers.incarnations import RingCursor, next_step
from consumers.journal.extents import RecordedRings
from consumers.recorder import Recorder
from ringbuf import Reader, Writer
from ringbuf.kernels import put_word
from ringbuf.layout import TAIL
from tlv.layout import LAYOUT_DIGEST


def test_held_ring_knows_what_the_journal_had_while_it_had_the_name(ring_name: str, tmp_path: Path) -> None:
    recorded = RecordedRings(tmp_path)
    held = HeldRings(partial(Reader.attach, ring_name, layout_digest=LAYOUT_DIGEST), recorded.uuids)
    before = Writer.create(ring_name, capacity=1 << 16, layout_digest=LAYOUT_DIGEST)
    before.publish(b"x")
    with Recorder(ring_name, tmp_path, report=lambda _: None) as recorder:
        recorder.run(lambda: recorder.recorded.frames > 0, until_closed=False)
    before.close(unlink=True)
    rings = []
    for now in (1.0, 3.0):
        writer = Writer.create(ring_name, capacity=1 << 16, layout_digest=LAYOUT_DIGEST)
        rings.append(writer.uuid)
        assert held.look(now) is not None
        writer.close(unlink=True)
        held.look(now + 1)
    older = {extent.uuid: extent.older for extent in held.extents()}
    assert older == dict.fromkeys(rings, frozenset([before.uuid]))
    step = next_step(RingCursor(rings[0], 1), held.extents(), recorded.extents())
    held.close()
    recorded.close()
    assert step.cursor.uuid == rings[1] and step.loss is None  # type: ignore[union-attr]


def test_held_ring_whose_tail_is_damaged_has_an_end_that_nobody_saw(ring_name: str) -> None:
    held = HeldRings(partial(Reader.attach, ring_name, layout_digest=LAYOUT_DIGEST))
    writer = Writer.create(ring_name, capacity=1 << 16, layout_digest=LAYOUT_DIGEST)
    held.look(1.0)
    for _ in range(9):
        writer.publish(b"x")
    (sound,) = held.extents()
    assert (sound.first, sound.behind, sound.end_seen) == (1, 10, True)
    put_word(writer.words, TAIL, 1 << 40)
    writer.close(unlink=True)
    held.look(2.0)
    (damaged,) = held.extents()
    held.close()
    assert (damaged.ended, damaged.end_seen) == (True, False)
    assert held.extents() == [damaged._replace(first=damaged.behind)]
