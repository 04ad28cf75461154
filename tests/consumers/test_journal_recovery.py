"""FAULTS row 32: torn tails are cut, damage is refused with its position, a full disk loses nothing silently."""

from __future__ import annotations

import itertools
import json
import logging
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from consumers.journal import ForeignFileError, JournalDamaged, JournalReader
from consumers.journal.layout import GRANT_BYTES, HEAD_BYTES, HEADER_BYTES
from consumers.journal.recovery import SegmentEnd, cut, examine
from consumers.journal.segment import list_segments
from tests.consumers.journal_frames import append, numbered, open_writer, random_payloads, read_all
from tlv.errors import UsageError

PAYLOADS = [b"first frame", b"second", b"the third frame, a little longer", b"4"]


def crashed(tmp_path: Path, payloads: list[bytes] = PAYLOADS) -> tuple[Path, bytes, list[int]]:
    """A segment as a killed recorder leaves it: (its path, its bytes without the zeros, where each record begins)."""
    with open_writer(tmp_path, pack=False) as writer:
        append(writer, payloads, 1)
    path = list_segments(tmp_path)[0].path
    path.with_name("segment-00000001.index").unlink()
    data = path.read_bytes()[:-HEAD_BYTES]
    starts = [HEADER_BYTES]
    for payload in payloads:
        starts.append(starts[-1] + HEAD_BYTES + (len(payload) + 7 & -8))
    assert starts[-1] == len(data)
    return path, data, starts


def test_writer_torn_tail_of_every_length_is_cut_with_a_log_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, data, starts = crashed(tmp_path)
    for length in range(starts[3], len(data) + 1):
        for zeros in (0, 64):
            for later in list_segments(tmp_path)[1:]:
                later.path.unlink()
            path.write_bytes(data[:length] + bytes(zeros))
            caplog.clear()
            # The last record ends in zeros: with zeros behind it, it is whole as soon as its payload is.
            whole = 4 if length == len(data) or (zeros and length > starts[3] + HEAD_BYTES) else 3
            with caplog.at_level(logging.WARNING), open_writer(tmp_path, pack=False) as writer:
                assert writer.resume_at == whole + 1
                append(writer, [b"after"], whole + 1)
            torn = whole == 3 and length > starts[3]
            assert ("torn" in caplog.text) == torn
            assert f"at byte {starts[3]}" in caplog.text or not torn
            assert read_all(tmp_path) == numbered([*PAYLOADS[:whole], b"after"])


def test_writer_and_reader_damage_in_the_middle_is_refused_with_its_position(tmp_path: Path) -> None:
    path, data, starts = crashed(tmp_path)
    source = random.Random(7)
    for record, (begin, end) in enumerate(itertools.pairwise(starts[:4])):
        for position in sorted(source.sample(range(begin, end), 24)):
            damaged = bytearray(data)
            damaged[position] ^= 1 << source.randrange(8)
            path.write_bytes(damaged)
            with pytest.raises(JournalDamaged, match=f"at byte {begin}") as raised:
                open_writer(tmp_path)
            assert raised.value.position == begin
            with JournalReader(tmp_path) as reader:
                frames = []
                with pytest.raises(JournalDamaged, match=f"at byte {begin}"):
                    frames.extend(bytes(frame.payload) for frame in reader)
            found = examine(list_segments(tmp_path)[0])
            assert (found.state, found.frames, found.position) == (SegmentEnd.DAMAGED, record, begin)


def test_reader_flipped_byte_in_a_packed_segment_never_changes_a_frame(tmp_path: Path) -> None:
    """It is refused, unless it hit one of the few bits that only fill up zstd's bit streams and mean nothing."""
    payloads = random_payloads(200, seed=4)
    with open_writer(tmp_path) as writer:
        append(writer, payloads, 1)
    segment = list_segments(tmp_path)[0]
    data = segment.path.read_bytes()
    positions = range(0, len(data), len(data) // 40)
    refused = 0
    for position in positions:
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        segment.path.write_bytes(damaged)
        try:
            assert read_all(tmp_path) == numbered(payloads)
        except (JournalDamaged, ForeignFileError):
            refused += 1
    assert refused >= len(positions) - 3


def test_reader_flipped_header_is_refused(tmp_path: Path) -> None:
    path, data, _ = crashed(tmp_path)
    for position in range(HEADER_BYTES):
        damaged = bytearray(data)
        damaged[position] ^= 4
        path.write_bytes(damaged)
        with pytest.raises((JournalDamaged, ForeignFileError)):
            read_all(tmp_path)


def test_cut_at_the_damage_leaves_a_journal_that_continues(tmp_path: Path) -> None:
    path, data, starts = crashed(tmp_path)
    path.write_bytes(data[: starts[1] + 34] + b"\xff" + data[starts[1] + 35 :])
    segment = list_segments(tmp_path)[0]
    assert cut(segment, examine(segment).position) == len(data) - starts[1]
    with open_writer(tmp_path) as writer:
        assert writer.resume_at == 2
        append(writer, [b"again"], 2)
    assert read_all(tmp_path) == [(1, PAYLOADS[0]), (2, b"again")]


def test_cut_outside_of_the_records_is_refused(tmp_path: Path) -> None:
    crashed(tmp_path)
    segment = list_segments(tmp_path)[0]
    for position in (0, HEADER_BYTES - 1, segment.path.stat().st_size + 1):
        with pytest.raises(UsageError, match="expected a position"):
            cut(segment, position)


def test_reader_payload_that_holds_records_is_one_frame(tmp_path: Path) -> None:
    _, data, starts = crashed(tmp_path)
    inner = data[starts[0] : starts[1]]
    with open_writer(tmp_path / "other", pack=False) as writer:
        append(writer, [b"whole", inner * 3, inner], 1)
    assert read_all(tmp_path / "other") == numbered([b"whole", inner * 3, inner])


def test_writer_killed_in_the_middle_of_packing_packs_again(tmp_path: Path) -> None:
    with open_writer(tmp_path, pack=False) as writer:
        append(writer, PAYLOADS, 1)
    (tmp_path / "segment-00000001.journal.zst.new").write_bytes(b"half")
    open_writer(tmp_path).close()
    assert [segment.packed for segment in list_segments(tmp_path)] == [True]
    assert not list(tmp_path.glob("*.new"))
    assert read_all(tmp_path) == numbered(PAYLOADS)


FULL_DISK = """
import json, sys
from pathlib import Path
sys.path[:0] = [{root!r}, {here!r}]
from journal_frames import append, open_writer, read_all
from consumers.journal import JournalFull
from tlv.codes import Reason

disk = Path(sys.argv[1])
ballast = disk / "ballast"
ballast.write_bytes(bytes(2 << 20))
refused = []
kept = lost = 0
sequence = 1
with open_writer(disk / "journal", pack=False) as writer:
    while len(refused) < 3:
        try:
            append(writer, [b"%08d" % s * 40 for s in range(sequence, sequence + 100)], sequence)
            kept += 100
        except JournalFull as error:
            refused.append(str(error))
        sequence = writer.resume_at
    # Three batches are given up; then there is room again.
    ballast.unlink()
    writer.append_gap(sequence, sequence + 299, Reason.LAPPED)
    append(writer, [b"after"], sequence + 300)
items = read_all(disk / "journal")
loss = items[-2]
gap = [loss.first, loss.last]
print(json.dumps(dict(refused=refused, kept=kept, frames=len(items) - 2, gap=gap, last=items[-1][0])))
"""


@pytest.mark.parametrize("size", [0, HEADER_BYTES // 2, 1 << 13])
def test_writer_segment_of_which_a_power_cut_left_nothing_is_removed_with_a_log_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    crashed(tmp_path)
    blank = tmp_path / "segment-00000002.journal"
    blank.write_bytes(bytes(size))
    with open_writer(tmp_path, pack=False) as writer:
        assert writer.resume_at == len(PAYLOADS) + 1
        append(writer, [b"after"], writer.resume_at)
    assert read_all(tmp_path) == numbered([*PAYLOADS, b"after"])
    assert f"{blank}: removed" in caplog.text


def test_writer_that_cannot_pack_still_drops_old_segments(tmp_path: Path) -> None:
    """A directory stands where each packed segment would be written, as a full disk would refuse it."""
    payload = b"z" * 100_000
    with open_writer(tmp_path, segment_bytes=GRANT_BYTES, retain_bytes=2 * GRANT_BYTES) as writer:
        for ordinal in range(1, 20):
            (tmp_path / f"segment-{ordinal:08d}.journal.zst.new").mkdir()
        for sequence in range(1, 401):
            append(writer, [payload], sequence)
    kept = list_segments(tmp_path)
    assert not any(segment.packed for segment in kept)
    assert len(kept) <= 3 < kept[-1].ordinal


def test_writer_full_disk_is_a_clear_error_and_the_loss_is_counted(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    script = tmp_path / "fill.py"
    script.write_text(FULL_DISK.format(root=str(root), here=str(Path(__file__).parent)))
    disk = tmp_path / "disk"
    disk.mkdir()
    own_mounts = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    mounted = f'mount -t tmpfs -o size={3 * GRANT_BYTES} none "$1" && exec "$2" "$3" "$1"'
    command = [*own_mounts, "sh", "-c", mounted, "sh", str(disk), sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kept"] > 1000
    assert found["frames"] == found["kept"]
    assert found["gap"] == [found["kept"] + 1, found["kept"] + 300]
    assert found["last"] == found["kept"] + 301
    assert all("expected room for" in line and "No space left" in line for line in found["refused"])
