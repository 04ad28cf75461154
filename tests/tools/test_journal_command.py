"""`alphapulse journal`: what is wrong is told with file and byte, what can be mended is mended, known gaps stay."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from consumers.journal import JournalError, JournalInUse, JournalReader
from consumers.journal.editing import copy_range
from consumers.journal.index import load_index
from consumers.journal.layout import HEAD_BYTES, HEADER_BYTES
from consumers.journal.segment import list_segments, stored_index
from ringbuf import Loss
from tests.consumers.journal_frames import UUID, append, numbered, open_writer, random_payloads, read_all
from tlv.codes import Reason
from tools.journal import command

PAYLOADS = random_payloads(2500, seed=21, longest=3000)


def run(*arguments: object) -> tuple[int, list[dict[str, Any]]]:
    """(exit code, JSON lines) of a command; what it raises is raised."""
    done = CliRunner().invoke(command, [*map(str, arguments), "--json"])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, [json.loads(line) for line in done.stdout.splitlines()]


def make(directory: Path, **options: Any) -> Path:
    """A journal of two segments: PAYLOADS, and one frame more; the path of the first."""
    for payloads, first in ((PAYLOADS, 1), ([b"after"], len(PAYLOADS) + 1)):
        with open_writer(directory, **options) as writer:
            append(writer, payloads, first)
    return list_segments(directory)[0].path


def flip(path: Path, position: int, mask: int = 0x10) -> None:
    """Turn bits of one byte."""
    data = bytearray(path.read_bytes())
    data[position] ^= mask
    path.write_bytes(data)


def losses(directory: Path) -> list[Loss]:
    """What reading the journal tells as lost."""
    return [item for item in read_all(directory) if isinstance(item, Loss)]


@pytest.mark.parametrize("name", [None, "notes.txt", "journal.lock"])
@pytest.mark.parametrize("what", ["verify", "cut", "info"])
def test_journal_command_on_a_folder_that_is_no_journal_says_so(tmp_path: Path, name: str | None, what: str) -> None:
    if name:
        (tmp_path / name).write_text("1\n")
    with pytest.raises(JournalError, match=f"{tmp_path} is no journal"):
        run(what, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ([name] if name else [])


@pytest.mark.parametrize("pack", [True, False])
def test_verify_of_a_sound_journal_finds_nothing_and_cut_changes_nothing(tmp_path: Path, pack: bool) -> None:
    make(tmp_path, pack=pack)
    code, lines = run("verify", tmp_path)
    assert (code, lines[-1]) == (0, {"frames": len(PAYLOADS) + 1, "lost": 0, "faults": 0})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".lock"}
    assert run("cut", tmp_path)[0] == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".lock"} == before


@pytest.mark.parametrize("pack", [True, False])
def test_damage_is_told_with_file_and_byte_and_mended_to_a_gap_of_the_same_frames(tmp_path: Path, pack: bool) -> None:
    path = make(tmp_path, pack=pack)
    flip(path, path.stat().st_size // 2)
    (lost,) = losses(tmp_path)
    whole = numbered([*PAYLOADS, b"after"])
    wanted = [*whole[: lost.first - 1], lost, *whole[lost.last :]]
    assert read_all(tmp_path) == wanted and lost.count < len(PAYLOADS) // 3
    code, lines = run("verify", tmp_path)
    (fault,) = lines[0]["faults"]
    assert (code, fault["path"], fault["lost"]) == (1, str(path), lost.count)
    assert 0 < fault["position"] <= path.stat().st_size // 2
    code, lines = run("cut", tmp_path)
    assert (code, lines[0]["mended"], lines[0]["lost"]) == (0, 1, lost.count)
    code, lines = run("verify", tmp_path)
    assert (code, lines[-1]["lost"], lines[-1]["faults"]) == (0, lost.count, 0)
    assert read_all(tmp_path) == wanted
    assert lost.reason == Reason.DAMAGED
    with open_writer(tmp_path) as writer:
        assert writer.resume_at == len(PAYLOADS) + 2


def test_damage_anywhere_in_a_packed_segment_is_told_and_mended(tmp_path: Path) -> None:
    path = make(tmp_path)
    data = path.read_bytes()
    told = 0
    for position in [*range(0, len(data), len(data) // 25), *range(len(data) - 60, len(data), 7)]:
        path.write_bytes(data)
        flip(path, position, 0xFF)
        code, _ = run("verify", tmp_path)
        told += code
        assert run("cut", tmp_path)[0] == 0
        code, lines = run("verify", tmp_path)
        assert (code, lines[-1]["faults"]) == (0, 0)
        accounted = lines[-1]["frames"] + lines[-1]["lost"]
        assert accounted == len(PAYLOADS) + 1 and lines[-1]["lost"] < len(PAYLOADS) // 3
    assert told >= 30


def test_torn_end_is_told_and_cut(tmp_path: Path) -> None:
    path = make(tmp_path, pack=False)
    last = list_segments(tmp_path)[-1].path
    last.write_bytes(path.read_bytes()[:0] + last.read_bytes()[: HEADER_BYTES + HEAD_BYTES + 3])
    code, lines = run("verify", tmp_path)
    assert (code, lines[1]["state"], lines[1]["faults"][0]["position"]) == (1, "torn", HEADER_BYTES)
    code, lines = run("cut", tmp_path)
    assert (code, lines[1]["cut_bytes"]) == (0, HEAD_BYTES + 3)
    assert run("verify", tmp_path)[0] == 0


def test_index_that_is_damaged_or_missing_is_made_anew(tmp_path: Path) -> None:
    make(tmp_path, pack=False)
    segment = list_segments(tmp_path)[0]
    flip(segment.index_path, 60)
    code, lines = run("verify", tmp_path)
    assert (code, lines[0]["faults"][0]["path"]) == (1, str(segment.index_path))
    assert run("cut", tmp_path)[0] == 0 and stored_index(segment) is not None
    segment.index_path.unlink()
    assert run("verify", tmp_path)[0] == 0, "an index is a cache"
    assert run("cut", tmp_path)[0] == 0
    assert load_index(segment.index_path, segment.ordinal) is not None


def test_raw_segment_beside_its_packed_form_is_removed(tmp_path: Path) -> None:
    raw = make(tmp_path, pack=False)
    data = raw.read_bytes()
    open_writer(tmp_path).close()
    for use in (lambda: run("cut", tmp_path), lambda: open_writer(tmp_path).close()):
        raw.write_bytes(data)
        raw.with_name("segment-00000001.index").write_bytes(b"left")
        use()
        assert not raw.exists() and not raw.with_name("segment-00000001.index").exists()
        assert read_all(tmp_path) == numbered([*PAYLOADS, b"after"])
    # The packed form is no longer whole: then the raw one is the segment, and is packed again.
    packed = list_segments(tmp_path)[0].path
    packed.write_bytes(packed.read_bytes()[:-40])
    raw.write_bytes(data)
    open_writer(tmp_path).close()
    assert not raw.exists()
    assert read_all(tmp_path) == numbered([*PAYLOADS, b"after"])


def test_cut_beside_a_recorder_is_refused(tmp_path: Path) -> None:
    make(tmp_path)
    with open_writer(tmp_path), pytest.raises(JournalInUse, match="expected that nobody records"):
        run("cut", tmp_path)


def gaps(directory: Path) -> list[tuple[int, int, int]]:
    """(first, last, reason) of every recorded gap."""
    found = []
    with JournalReader(directory) as reader:
        while True:
            poll = reader.poll()
            if poll.loss is not None:
                found.append((poll.loss.first, poll.loss.last, poll.loss.reason))
            if not len(poll) and poll.status.name in ("EMPTY", "CLOSED"):
                return found


def test_merge_and_split_keep_known_gaps_at_the_ends_and_their_reasons(tmp_path: Path) -> None:
    with open_writer(tmp_path / "one") as writer:
        writer.append_gap(1, 9, Reason.LAPPED)
        append(writer, [b"x"] * 10, 10)
        writer.append_gap(20, 29, Reason.DAMAGED)
        append(writer, [b"y"] * 10, 30)
        writer.append_gap(40, 49, Reason.LAPPED)
    assert copy_range([tmp_path / "one"], tmp_path / "copy") == (20, 29)
    assert gaps(tmp_path / "copy") == gaps(tmp_path / "one") != []
    assert read_all(tmp_path / "copy") == read_all(tmp_path / "one")
    code, lines = run("split", tmp_path / "one", "--at", 25, "--out", tmp_path / "a", "--rest", tmp_path / "b")
    assert (code, lines) == (0, [{"before": 10, "behind": 10}])
    assert gaps(tmp_path / "a") == [(1, 9, Reason.LAPPED), (20, 24, Reason.DAMAGED)]
    assert gaps(tmp_path / "b") == [(25, 29, Reason.DAMAGED), (40, 49, Reason.LAPPED)]
    assert copy_range([tmp_path / "a", tmp_path / "b"], tmp_path / "again") == (20, 29)
    assert read_all(tmp_path / "again") == read_all(tmp_path / "one")


def test_split_of_several_incarnations_is_at_a_sequence_of_the_latest(tmp_path: Path) -> None:
    for uuid in (bytes(16), UUID):
        with open_writer(tmp_path / "one", ring_uuid=uuid) as writer:
            append(writer, [b"x"] * 10, 1)
            writer.close(ring_ended=uuid != UUID)
    code, _ = run("split", tmp_path / "one", "--at", 5, "--out", tmp_path / "a", "--rest", tmp_path / "b")
    assert code == 0
    assert [len(read_all(tmp_path / part)) for part in ("a", "b")] == [14, 6]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_files_are_never_readable_by_more_than_the_raw_segment(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        directory = tmp_path / "journal"
        with open_writer(directory, pack=False) as writer:
            append(writer, PAYLOADS, 1)
        raw = list_segments(directory)[0].path
        assert raw.stat().st_mode & 0o777 == 0o600
        raw.chmod(mode)
        open_writer(directory).close()
        flip(list_segments(directory)[0].path, 2000, 0xFF)
        assert run("cut", directory)[0] == 0
        copy_range([directory], tmp_path / "copy")
        (tmp_path / "copy" / "journal.lock").chmod(0o600)
        for made in (directory, tmp_path / "copy"):
            assert made.stat().st_mode & 0o777 == 0o700
            for path in made.iterdir():
                allowed = mode if made is directory else 0o600
                assert path.stat().st_mode & 0o777 & ~allowed == 0, path
        assert list_segments(directory)[0].path.stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)
    print(f"row 57, journal: umask {umask:03o}, raw {mode:03o}: nothing is readable that its raw form was not")
