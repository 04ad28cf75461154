"""What a sender makes of a journal that it cannot read any more."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from consumers.bridge.address import Access, Address
from consumers.bridge.broker import Broker
from consumers.bridge.outward import Outward
from consumers.bridge.sending import BatchChain
from consumers.incarnations import RECORDER_PATIENCE_S, Read, Replaced, RingCursor
from consumers.recorder import Recorder
from ringbuf import Loss, Writer
from tests.consumers.bridge_rig import STREAM, SUBJECT, publish
from tlv.layout import LAYOUT_DIGEST

BROKER = Broker(Access((Address("nats", "127.0.0.1", 4222),)), STREAM, SUBJECT)


def record_two_rings(name: str, directory: Path) -> bytes:
    """300 frames of one ring, 5 of the next; the uuid of the first."""
    first = Writer.create(name, layout_digest=LAYOUT_DIGEST)
    with Recorder(name, directory, report=print) as recorder:
        publish(first, 300)
        recorder.run(lambda: recorder.recorded.frames == 300, until_closed=False)
        uuid = first.uuid
        first.close(unlink=True)
        with Writer.create(name, layout_digest=LAYOUT_DIGEST) as second:
            recorder.run(lambda: recorder.recorded.rings == 2, until_closed=False)
            publish(second, 5)
    return uuid


def test_segment_damaged_under_a_sender_that_knows_its_extent_is_a_loss_and_no_wait_without_end(
    ring_name: str, tmp_path: Path
) -> None:
    uuid = record_two_rings(ring_name, tmp_path / "journal")
    outward = Outward(ring_name, BROKER, journal=tmp_path / "journal")
    chain: BatchChain = None  # type: ignore[assignment]  # nothing can be sent
    cursor = RingCursor(uuid, 200)
    assert outward._decide(cursor) is Read.JOURNAL
    segment = next(path for path in sorted((tmp_path / "journal").iterdir()) if ".journal" in path.suffixes)
    segment.write_bytes(segment.read_bytes()[:100] + bytes(3000))
    outward._rings.look(time.monotonic())
    began = time.monotonic()
    while isinstance(step := outward._decide(cursor), Read) and time.monotonic() - began < 5 * RECORDER_PATIENCE_S:
        assert asyncio.run(outward._send_recorded(chain, cursor, print)) == cursor
        outward._note_unread(cursor)
        time.sleep(0.1)
    assert isinstance(step, Loss) and (step.first, step.last) == (200, 300)
    assert isinstance(outward._decide(RingCursor(uuid, 301)), Replaced)
