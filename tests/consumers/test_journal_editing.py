"""Merging and splitting journals: each frame once and in order, gaps filled where another journal can."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from consumers.journal import JournalError
from consumers.journal.editing import copy_range
from ringbuf import Loss
from tests.consumers.journal_frames import UUID, append, numbered, open_writer, random_payloads, read_all
from tests.tools.command.forked import run_forked
from tlv.codes import Reason
from tlv.errors import UsageError

PAYLOADS = random_payloads(3000, seed=9)


def write(directory: Path, *ranges: range, uuid: bytes = bytes(range(16))) -> Path:
    """A journal with these sequences of PAYLOADS, gaps in between recorded."""
    with open_writer(directory, ring_uuid=uuid) as writer:
        for part in ranges:
            if writer.resume_at and writer.resume_at < part.start:
                writer.append_gap(writer.resume_at, part.start - 1, Reason.LAPPED)
            for first in range(part.start, part.stop, 70):
                append(writer, PAYLOADS[first - 1 : min(first + 69, part.stop - 1)], first)
    return directory


def test_merge_fills_gaps_from_the_other_journal(tmp_path: Path) -> None:
    one = write(tmp_path / "one", range(1, 500), range(900, 2000))
    two = write(tmp_path / "two", range(300, 1000), range(1500, 3001))
    assert copy_range([two, one], tmp_path / "out") == (3000, 0)
    assert read_all(tmp_path / "out") == numbered(PAYLOADS)


def test_merge_what_nobody_has_is_a_gap(tmp_path: Path) -> None:
    one = write(tmp_path / "one", range(1, 500), range(2000, 2500))
    two = write(tmp_path / "two", range(400, 1000), range(2400, 3001))
    assert copy_range([one, two], tmp_path / "out") == (2000, 1000)
    assert read_all(tmp_path / "out") == [
        *numbered(PAYLOADS[:999]),
        Loss(UUID, 1000, 1999, Reason.LAPPED),
        *numbered(PAYLOADS[1999:], 2000),
    ]


def test_merge_keeps_incarnations_apart(tmp_path: Path) -> None:
    one = write(tmp_path / "one", range(1, 100))
    write(one, range(1, 50), uuid=bytes(16))
    two = write(tmp_path / "two", range(1, 80), uuid=bytes(16))
    assert copy_range([one, two], tmp_path / "out") == (99 + 79, 0)
    assert read_all(tmp_path / "out") == [*numbered(PAYLOADS[:99]), *numbered(PAYLOADS[:79])]


@pytest.mark.parametrize("at", [2, 71, 1500, 3000])
def test_split_command_parts_add_up(tmp_path: Path, at: int) -> None:
    whole = write(tmp_path / "whole", range(1, 3001))
    parts = ["--out", tmp_path / "a", "--rest", tmp_path / "b"]
    done = run_forked("journal", "split", whole, "--at", at, "--json", *parts)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"before": at - 1, "behind": 3001 - at}
    assert read_all(tmp_path / "a") == numbered(PAYLOADS[: at - 1])
    assert read_all(tmp_path / "b") == numbered(PAYLOADS[at - 1 :], at)


def test_copy_range_mistakes_are_refused(tmp_path: Path) -> None:
    one = write(tmp_path / "one", range(1, 10))
    with open_writer(tmp_path / "other", ring_name="signal.other") as writer:
        append(writer, [b"x"], 1)
    with pytest.raises(UsageError, match=r"expected journals of one ring, found market\.test, signal\.other"):
        copy_range([one, tmp_path / "other"], tmp_path / "out")
    with pytest.raises(UsageError, match="expected an empty or missing directory"):
        copy_range([one], tmp_path / "other")
    with pytest.raises(JournalError, match="found none"):
        copy_range([one], tmp_path / "out", first=50)


@pytest.mark.parametrize(("first", "last"), [(1, 1), (7, 7), (69, 71), (2990, 5000)])
def test_copy_range_holds_both_its_ends(tmp_path: Path, first: int, last: int) -> None:
    whole = write(tmp_path / "whole", range(1, 3001))
    there = PAYLOADS[first - 1 : last]
    assert copy_range([whole], tmp_path / "out", first, last) == (len(there), 0)
    assert read_all(tmp_path / "out") == numbered(there, first)
