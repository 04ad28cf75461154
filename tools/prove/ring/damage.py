"""Row 19: bytes of a live ring changed at random under its readers.

Owns the campaign about corrupt segments.  It must never know what a byte means.
"""

from __future__ import annotations

import random
import time
from functools import partial

import numpy as np

from ringbuf import Reader, Writer
from ringbuf.layout import HEADER_BYTES
from tlv.errors import SegmentError, UsageError
from tools.prove.ring.guard import guarded_words
from tools.prove.ring.native import SelfCheckingFrames, warm_native
from tools.rig.outcome import Outcome, timed
from tools.rig.processes import fresh_name, reap_within, shared, spawn, wait_for

SMALL = 1 << 16
OUT_BYTES = 1 << 14  # little room for frames, so that its end is met as well
DEADLINE_S = 60.0  # for a reader to end after `stop`: only a hang takes that long


def read_whatever_comes(name: str, beats: np.ndarray, stop: np.ndarray, seed: int) -> None:
    """Attach, seek, poll and attach again for ever; every outcome but a crash and a hang is fine."""
    generator = random.Random(seed)
    reader = Reader.attach(name, buffer_bytes=OUT_BYTES)
    reader.words = guarded_words(HEADER_BYTES + SMALL, reader._ring.fd)
    reader.out = guarded_words(OUT_BYTES)
    while not stop[0]:
        beats[0] += 1
        try:
            if generator.random() < 0.2:
                reader.seek(generator.choice(("latest", "oldest", "key", generator.randrange(1, 5000))))
            elif generator.random() < 0.05:
                beats[1] += 1
                Reader.attach(name, start="oldest").close()
            else:
                beats[2] += len(reader.poll(64))
        except (SegmentError, UsageError):
            beats[3] += 1


@timed
def prove_damage_is_survived(flips: int = 100_000, seed: int = 1) -> Outcome:
    """Row 19: random bytes of header and data flip under two readers, guard pages around ring and buffer."""
    warm_native()
    generator = random.Random(seed)
    beats, stop = shared(np.int64, 8), shared(np.int64, 1)
    with fresh_name("damage") as name, Writer.create(name, capacity=SMALL) as writer:
        source = SelfCheckingFrames(writer)
        source.publish(500)
        children = [spawn(partial(read_whatever_comes, name, beats[4 * i :], stop, seed + i)) for i in range(2)]
        wait_for(lambda: beats[0] and beats[4])
        bytes_of_ring = writer.words.view(np.uint8)
        header = bytes_of_ring[:HEADER_BYTES].copy()
        for i in range(flips):
            if i % 500 == 0:  # restore the header, so that readers get valid frames too
                bytes_of_ring[:HEADER_BYTES] = header
                source.publish(generator.randrange(50))
                header = bytes_of_ring[:HEADER_BYTES].copy()
                time.sleep(0.001)
            # Half of the flips hit the header page, whose words decide most.
            at = generator.randrange(HEADER_BYTES if i % 2 else len(bytes_of_ring))
            bytes_of_ring[at] ^= 1 << generator.randrange(8)
            if i % 50 == 0:
                time.sleep(0.0002)
        stop[0] = 1
        codes = [reap_within(pid, DEADLINE_S) for pid in children]
    rounds, attaches, frames, errors = (int(beats[i] + beats[4 + i]) for i in range(4))
    summary = (
        f"{flips} byte flips under 2 readers between guard pages: {rounds} reads and seeks, "
        f"{attaches} attaches, {frames} frames, {errors} refusals, exit codes {codes}"
    )
    return Outcome(19, "corrupt segment", codes == [0, 0] and rounds > 0, summary, seed)
