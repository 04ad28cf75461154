"""FAULTS row 32: torn tails are cut, damage is refused with its position, a full disk loses nothing silently."""

from __future__ import annotations

import errno
import itertools
import json
import logging
import os
import random
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import zstandard
from msgspec.structs import replace

from consumers.journal import DiskRefused, ForeignFileError, Fsync, JournalDamaged, JournalReader
from consumers.journal.extents import RecordedRings
from consumers.journal.layout import GRANT_BYTES, HEAD_BYTES, HEADER_BYTES, SegmentHeader
from consumers.journal.packed import PackedBytes
from consumers.journal.recovery import cut, examine
from consumers.journal.segment import header_checksum, list_segments, open_bytes, segment_path
from consumers.store import Store
from ringbuf import Loss
from tests.consumers.journal_frames import UUID, append, numbered, open_writer, random_payloads, read_all
from tests.own_mounts import OWN_MOUNTS
from tlv.codes import Reason
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


def test_writer_and_reader_damage_in_the_middle_is_a_loss_of_exactly_that_and_recording_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, data, starts = crashed(tmp_path)
    source = random.Random(7)
    for record, (begin, end) in enumerate(itertools.pairwise(starts[:4])):
        for position in sorted(source.sample(range(begin, end), 24)):
            damaged = bytearray(data)
            damaged[position] ^= 1 << source.randrange(8)
            for later in list_segments(tmp_path)[1:]:
                later.path.unlink()
            path.write_bytes(damaged)
            found = examine(list_segments(tmp_path)[0])
            assert (found.frames, found.lost, found.next_sequence) == (3, 1, 5)
            assert [(one.position, one.first, one.last) for one in found.damage] == [(begin, record + 1, record + 1)]
            caplog.clear()
            with caplog.at_level(logging.WARNING), open_writer(tmp_path, pack=False) as writer:
                append(writer, [b"after"], 5)
            assert f"at byte {begin}" in caplog.text
            whole = numbered([*PAYLOADS, b"after"])
            lost = Loss(UUID, record + 1, record + 1, Reason.DAMAGED)
            assert read_all(tmp_path) == [*whole[:record], lost, *whole[record + 1 :]]


def test_reader_zeros_in_the_middle_of_a_complete_segment_are_a_loss_of_exactly_what_they_cover(tmp_path: Path) -> None:
    payloads = random_payloads(400, seed=12)
    with open_writer(tmp_path, pack=False) as writer:
        append(writer, payloads, 1)
    with open_writer(tmp_path, pack=False) as writer:
        append(writer, [b"after"], 401)
    path = list_segments(tmp_path)[0].path
    data = bytearray(path.read_bytes())
    data[4096:8192] = bytes(4096)
    path.write_bytes(data)
    items = read_all(tmp_path)
    (loss,) = [item for item in items if isinstance(item, Loss)]
    whole = numbered([*payloads, b"after"])
    assert items == [*whole[: loss.first - 1], loss, *whole[loss.last :]]
    assert 4096 // 650 < loss.count < 60


@pytest.mark.parametrize("trailer", ["whole", "damaged"])
def test_reader_flipped_bit_in_a_packed_segment_costs_at_most_one_block(tmp_path: Path, trailer: str) -> None:
    payloads = random_payloads(4000, seed=4, longest=3000)
    with open_writer(tmp_path) as writer:
        append(writer, payloads, 1)
    with open_writer(tmp_path) as writer:
        append(writer, [b"after"], 4001)
    segment = list_segments(tmp_path)[0]
    assert segment.packed
    data = segment.path.read_bytes()
    whole = numbered([*payloads, b"after"])
    with closing(open_bytes(segment)) as packed:
        assert isinstance(packed, PackedBytes)
        blocks = packed.blocks
    assert len(blocks) > 7
    costly = 0
    # Without its trailer, which has the header a second time, a segment needs its first frame.
    begin = 0 if trailer == "whole" else blocks[0].packed
    for position in range(begin, len(data) - 20, len(data) // 60):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        if trailer == "damaged":
            damaged[-3] ^= 1
        segment.path.write_bytes(damaged)
        items = read_all(tmp_path)
        losses = [item for item in items if isinstance(item, Loss)]
        # A few bits only fill up zstd's bit streams and mean nothing.
        assert len(losses) <= 1
        for loss in losses:
            costly += 1
            (hit,) = [block for block in blocks if block.packed <= position < block.packed_end]
            assert (loss.first, loss.last) == (hit.first_sequence, hit.next_sequence - 1)
            assert items == [*whole[: loss.first - 1], loss, *whole[loss.last :]]
        assert losses or items == whole
    assert costly > 40


def test_reader_several_damaged_blocks_are_losses_of_exactly_these(tmp_path: Path) -> None:
    payloads = random_payloads(4000, seed=4, longest=3000)
    with open_writer(tmp_path) as writer:
        append(writer, payloads, 1)
    segment = list_segments(tmp_path)[0]
    data = bytearray(segment.path.read_bytes())
    with closing(open_bytes(segment)) as packed:
        assert isinstance(packed, PackedBytes)
        blocks = packed.blocks
    hit = [blocks[0], blocks[2], blocks[3], blocks[-1]]
    for block in hit:
        data[(block.packed + block.packed_end) // 2] ^= 0xFF
    segment.path.write_bytes(data)
    lost = {sequence for block in hit for sequence in range(block.first_sequence, block.next_sequence)}
    items = read_all(tmp_path)
    told = [range(item.first, item.last + 1) for item in items if isinstance(item, Loss)]
    assert {sequence for part in told for sequence in part} == lost
    assert sum(map(len, told)) == len(lost)
    assert [item for item in items if not isinstance(item, Loss)] == [
        item for item in numbered(payloads) if item[0] not in lost
    ]


def test_reader_old_packed_segment_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path, data, _ = crashed(tmp_path)
    old = replace(SegmentHeader.unpack(data), version=1)
    header = replace(old, checksum=header_checksum(old.pack())).pack()
    path.unlink()
    path.with_name(path.name + ".zst").write_bytes(zstandard.compress(header + data[HEADER_BYTES:]))
    with pytest.raises(ForeignFileError, match=r"expected journal version 2, found 1; read it with the version"):
        JournalReader(tmp_path)


def test_reader_flipped_bit_in_a_header_is_mended_and_two_are_refused(tmp_path: Path) -> None:
    path, data, _ = crashed(tmp_path)
    for position in range(HEADER_BYTES):
        damaged = bytearray(data)
        damaged[position] ^= 4
        path.write_bytes(damaged)
        assert read_all(tmp_path) == numbered(PAYLOADS)
        damaged[(position + 11) % HEADER_BYTES] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(JournalDamaged):
            read_all(tmp_path)


def test_cut_at_the_damage_leaves_a_journal_that_continues(tmp_path: Path) -> None:
    path, data, starts = crashed(tmp_path)
    path.write_bytes(data)
    segment = list_segments(tmp_path)[0]
    assert cut(segment, starts[1]) == len(data) - starts[1]
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
from consumers.journal import DiskRefused
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
        except DiskRefused as error:
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
    mounted = f'mount -t tmpfs -o size={3 * GRANT_BYTES} none "$1" && exec "$2" "$3" "$1"'
    command = [*OWN_MOUNTS, "sh", "-c", mounted, "sh", str(disk), sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kept"] > 1000
    assert found["frames"] == found["kept"]
    assert found["gap"] == [found["kept"] + 1, found["kept"] + 300]
    assert found["last"] == found["kept"] + 301
    assert all("expected room for" in line and "No space left" in line for line in found["refused"])


@pytest.mark.parametrize("call", ["pwrite", "fdatasync", "posix_fallocate", "open"])
@pytest.mark.parametrize("code", [errno.EIO, errno.EDQUOT, errno.EROFS, errno.EMFILE])
def test_writer_whose_disk_refuses_any_call_writes_the_batch_whole_at_the_next_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    """The system call fails for a while, in the middle of a batch too; nothing is lost, written twice or torn."""
    payloads = [b"%08d" % sequence * 4000 for sequence in range(300)]
    refusals = 0
    real = getattr(os, call)
    source, calls = random.Random(code), itertools.count()

    def sometimes(*arguments: Any, **options: Any) -> Any:
        if next(calls) < 2 or source.random() < 0.6:
            raise OSError(code, os.strerror(code))
        return real(*arguments, **options)

    with open_writer(tmp_path, segment_bytes=GRANT_BYTES, fsync=Fsync.BATCH, pack=False) as writer:
        append(writer, payloads[:1], 1)
        monkeypatch.setattr(os, call, sometimes)
        for first in range(1, 300, 20):
            batch = payloads[first : first + 20]
            while True:
                try:
                    append(writer, batch, first + 1)
                    break
                except DiskRefused as error:
                    assert os.strerror(code) in str(error)
                    refusals += 1
        monkeypatch.undo()
    assert refusals > 0
    assert read_all(tmp_path) == numbered(payloads)


def test_recorded_extent_begins_with_what_was_recorded_again_behind_a_damaged_segment(tmp_path: Path) -> None:
    rings = RecordedRings(tmp_path)
    with open_writer(tmp_path, pack=False) as writer:
        append(writer, [b"frame"] * 5, 16)
    assert [extent.first for extent in rings.extents()] == [16]
    path = list_segments(tmp_path)[0].path
    data = bytearray(path.read_bytes())
    data[HEADER_BYTES - 32 : HEADER_BYTES] = b"\xff" * 32
    path.write_bytes(data)
    with open_writer(tmp_path, pack=False) as writer:
        append(writer, [b"frame"] * 20, 1)
    assert [(extent.first, extent.behind) for extent in rings.extents()] == [(1, 21)]
    rings.close()


@pytest.mark.parametrize("what", ["folder", "fifo"])
@pytest.mark.parametrize("ordinal", [2, 9])
def test_segment_that_is_no_file_is_passed_over_by_all_and_hangs_nobody(
    tmp_path: Path, what: str, ordinal: int, caplog: pytest.LogCaptureFixture
) -> None:
    for first in (1, 5, 9):
        with open_writer(tmp_path, pack=False) as writer:
            append(writer, PAYLOADS, first)
    path = segment_path(tmp_path, ordinal)
    path.unlink(missing_ok=True)
    if what == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    lost = [Loss(UUID, 5, 8, Reason.DAMAGED)] if ordinal == 2 else []
    behind = numbered(PAYLOADS, 9)
    wanted = [*numbered(PAYLOADS), *(lost or numbered(PAYLOADS, 5)), *behind]
    assert read_all(tmp_path) == wanted
    assert [item for item in Store.open(tmp_path) if isinstance(item, Loss)] == lost
    assert [extent.behind for extent in RecordedRings(tmp_path).extents()] == [13]
    with open_writer(tmp_path) as writer:
        assert writer.resume_at == 13
        append(writer, [b"after"], 13)
    assert read_all(tmp_path) == [*wanted, (13, b"after")]
    assert f"{path}: expected a whole record" in caplog.text
