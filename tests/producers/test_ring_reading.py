"""Reading along in a ring tells what reading all of it at the end does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing

from producers.blocks.recovery import Recovered, recover
from producers.ring_reading import MOST_READ, RingReading
from ringbuf import Writer
from ringbuf.names import FOLDER, ring_object
from tests.producers.collected import collect_recording
from tlv.layout import LAYOUT_DIGEST

CAPACITY = 1 << 16


def story_of(found: Recovered) -> tuple[object, ...]:
    """What was recovered, in values that can be compared."""
    blocks = [(block.number, block.hash, block.progress, block.verdict, block.events) for block in found.blocks]
    segments = [bytes(segment.buffer) for segment in found.half_removed]
    return (blocks, segments, *found[2:])


def test_ring_read_along_tells_what_it_tells_at_the_end(new_ring_name: Callable[[], str]) -> None:
    recorded, copy = new_ring_name(), new_ring_name()
    asyncio.run(collect_recording(recorded))
    with (
        Writer.create(copy, layout_digest=LAYOUT_DIGEST) as writer,
        closing(RingReading(recorded)) as source,
        closing(RingReading(copy)) as along,
    ):
        for number, message in enumerate(source.rest()):
            writer.publish(message)
            if number % 50 == 0:
                along.advance()
        with closing(RingReading(copy)) as at_once:
            expected = recover(at_once.rest())
        found = recover(along.rest(), None, along.story)
    assert len(expected.blocks) > 100
    assert story_of(found) == story_of(expected)


def test_reading_of_more_than_it_may_keep_or_of_a_ring_that_was_faster_or_lost_its_name_is_worn_out(
    ring_name: str,
) -> None:
    frame = bytes(CAPACITY // 8 - 64)
    with Writer.create(ring_name, capacity=CAPACITY, layout_digest=LAYOUT_DIGEST) as writer:
        with closing(RingReading(ring_name)) as patient:
            for _ in range(8 * MOST_READ):
                writer.publish(frame)
                patient.advance()
                assert not patient.worn_out
            for _ in range(2):
                writer.publish(frame)
                patient.advance()
            assert patient.worn_out and not patient.lapped
        with closing(RingReading(ring_name)) as slow:
            slow.advance()
            for _ in range(16):
                writer.publish(frame)
            slow.advance()
            assert slow.lapped and slow.worn_out
        nameless = RingReading(ring_name)
        assert not nameless.worn_out
        for path in FOLDER.glob(ring_object(ring_name).removeprefix("/") + "*"):
            path.unlink()
        assert nameless.worn_out
        nameless.close()
        assert nameless.worn_out
