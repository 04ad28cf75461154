"""A recorder killed at any instant of rotation, packing and retention leaves a journal without a hole or a leftover."""

from __future__ import annotations

import random
import time
from functools import partial
from pathlib import Path

from consumers.journal import JournalReader
from consumers.journal.layout import GRANT_BYTES
from consumers.journal.segment import SEGMENT_NAME, list_segments
from ringbuf import Loss
from tests.consumers.journal_frames import append, open_writer
from tools.rig.victims import ForkedVictim
from tools.warm import warm_journal

KILLS = 25
RETAINED = 2 * GRANT_BYTES


def write_for_ever(directory: Path) -> None:
    """Go on where the one before stopped; payloads tell their sequences, and hardly pack."""
    rng = random.Random(3)
    filling = rng.randbytes(1 << 16)
    with open_writer(directory, segment_bytes=GRANT_BYTES, retain_bytes=RETAINED) as writer:
        first = writer.resume_at or 1
        while True:
            batch = range(first, first + 20)
            append(writer, [b"%08d" % sequence + filling[:20_000] for sequence in batch], first)
            first += 20


def test_writer_killed_at_any_instant_leaves_no_hole_and_no_leftover(tmp_path: Path) -> None:
    rng = random.Random(20261128)
    warm_journal()
    directory = tmp_path / "journal"
    victim = ForkedVictim("writer", "recorder", partial(write_for_ever, directory), tmp_path / "log")
    interrupted = {"raw beside packed": 0, "half-made": 0}
    for _ in range(KILLS):
        victim.start()
        time.sleep(rng.uniform(0.02, 0.25))
        assert victim.ended() == ""
        victim.kill()
        names = [path.name for path in directory.iterdir()] if directory.exists() else []
        raw = {name for name in names if name.endswith(".journal")}
        interrupted["raw beside packed"] += any(name + ".zst" in names for name in raw)
        interrupted["half-made"] += any(name.endswith(".new") for name in names)
    with open_writer(directory, segment_bytes=GRANT_BYTES, retain_bytes=RETAINED) as writer:
        following = writer.resume_at
    expected = None
    with JournalReader(directory) as reader:
        for item in reader:
            assert not isinstance(item, Loss)
            assert expected in (None, item.sequence) and item.payload[:8] == b"%08d" % item.sequence
            expected = item.sequence + 1
    assert expected == following
    left = {path.name for path in directory.iterdir()} - {"journal.lock"}
    assert left == {segment.path.name for segment in list_segments(directory)}
    assert all(SEGMENT_NAME.fullmatch(name) and name.endswith(".zst") for name in left)
    print(f"row 55, kills: {KILLS} kills, {expected} frames, caught in the act {interrupted}, 0 holes, 0 leftovers")
