"""Time travel: the page as of a block is the page that a fold from the journal's beginning gives, whatever the journal
went through; and what is answered where that cannot be."""

from __future__ import annotations

import os
import random
from pathlib import Path

import msgspec
import pytest

from consumers.lockfile import LockFile
from tests.tools.dashboard.histories import RandomMarket
from tests.tools.dashboard.journals import (
    PATIENCE_S,
    history,
    open_market,
    parted,
    plain_pages,
    plain_pools,
    pools_on,
    record,
    travelling,
    write_parts,
)
from tools.dashboard import checkpoints
from tools.dashboard.recorded_journal import NobodyWaits, NotRecorded, RecordedJournal
from tools.dashboard.shapes import Update
from tools.rig.processes import wait_for

pytestmark = pytest.mark.usefixtures("cache")


def encoded(page: Update) -> bytes:
    """As it is sent."""
    return msgspec.json.encode(page)


def check(journal: RecordedJournal, directory: Path, seed: int = 0, samples: int = 15) -> None:
    """Pages of the first, the last and some blocks between are those of a plain fold."""
    pages = plain_pages(directory)
    numbers = sorted(pages)
    row = journal.row()
    assert (row.first_block, row.last_block, row.problem) == (numbers[0], numbers[-1], "")
    for number in {numbers[0], numbers[-1], *random.Random(seed).sample(numbers, min(samples, len(numbers)))}:
        found = journal.seek(number).update()
        assert encoded(found) == encoded(pages[number]), f"block {number}"


@pytest.mark.parametrize(("seed", "pack"), [(1, True), (2, False), (3, True)])
def test_page_at_a_block_equals_a_plain_fold_and_the_strategys_book(tmp_path: Path, seed: int, pack: bool) -> None:
    write_parts(tmp_path / "j", parted(history(seed), 3), pack=pack)
    with travelling(tmp_path / "j") as journal:
        check(journal, tmp_path / "j", seed)
        held = plain_pools(tmp_path / "j")
        for number in random.Random(seed).sample(sorted(held), 15):
            page = journal.seek(number)
            assert pools_on(page.update(), page.fold.pools) == held[number], f"block {number}"
        assert any(state is not None for state, *_ in held[max(held)].values())


def test_block_that_ended_twice_is_shown_as_of_its_last_end_and_one_not_recorded_as_the_nearest_below(
    tmp_path: Path,
) -> None:
    market = RandomMarket(random.Random(5))
    market.block()
    market.block()
    first = market.number
    market.rng = random.Random(6)
    market.reorg()
    while market.number < first:
        market.block()
    market.number += 500
    market.block()
    last = market.number
    write_parts(tmp_path / "j", [market.ring.payloads])
    with travelling(tmp_path / "j") as journal:
        page = journal.seek(first).update()
        assert page.summary is not None and page.blocks is not None
        assert page.summary.block == first and page.summary.reorgs == 1
        assert {row.verdict for row in page.blocks if row.number == first} >= {"removed", "refetched"}
        for asked, shown in ((first + 3, first), (0, journal.row().first_block), (1 << 62, last)):
            summary = journal.seek(asked).update().summary
            assert summary is not None and summary.block == shown
        check(journal, tmp_path / "j")


def test_journal_that_is_written_can_be_travelled_in_up_to_its_newest_block(tmp_path: Path) -> None:
    parts = parted(history(7), 4)
    at = 0
    with open_market(tmp_path / "j") as recorder:
        record(recorder, parts[0])
        with travelling(tmp_path / "j") as journal:
            assert journal.row().recording
            for part in parts[1:]:
                at += len(parts[0])
                record(recorder, part, at)
                newest = max(plain_pages(tmp_path / "j"))
                wait_for(lambda: journal.row().last_block == newest, PATIENCE_S)  # noqa: B023 - called at once
                check(journal, tmp_path / "j", samples=4)
            recorder.close()
            assert not journal.row().recording


def test_journal_whose_oldest_segments_are_dropped_keeps_what_was_known_by_then(tmp_path: Path) -> None:
    parts = parted(history(8), 4)
    write_parts(tmp_path / "j", parts)
    pages = plain_pages(tmp_path / "j")
    with travelling(tmp_path / "j") as journal:
        for segment in sorted((tmp_path / "j").glob("segment-*"))[:2]:
            segment.unlink()
        left = sorted(plain_pages(tmp_path / "j"))
        wait_for(lambda: journal.row().first_block == left[0], PATIENCE_S)
        for number in left:
            assert encoded(journal.seek(number).update()) == encoded(pages[number]), f"block {number}"
    with travelling(tmp_path / "j") as again:  # from what is stored
        assert again.row().first_block == left[0]
        assert encoded(again.seek(left[0]).update()) == encoded(pages[left[0]])


def test_journal_damaged_in_the_middle_is_shown_with_the_loss(tmp_path: Path) -> None:
    write_parts(tmp_path / "j", parted(history(9), 2), pack=False)
    segment = sorted((tmp_path / "j").glob("*.journal"))[0]
    data = bytearray(segment.read_bytes())
    middle = len(data.rstrip(b"\0")) // 2
    data[middle : middle + 5000] = b"\xff" * 5000
    segment.write_bytes(data)
    with travelling(tmp_path / "j") as journal:
        check(journal, tmp_path / "j")
        summary = journal.seek(1 << 62).update().summary
        assert summary is not None and summary.lost_frames > 0


def test_journal_of_several_rings_of_one_name_is_travelled_in_as_one(tmp_path: Path) -> None:
    for number, part in enumerate(parted(history(10), 3)):
        with open_market(tmp_path / "j", ring_uuid=bytes([number]) * 16) as journal:
            record(journal, part, number * 10_000)
    with travelling(tmp_path / "j") as journal:
        check(journal, tmp_path / "j")


def test_index_is_taken_up_where_it_was_left_and_made_anew_from_a_damaged_checkpoint_on(
    tmp_path: Path, cache: Path
) -> None:
    write_parts(tmp_path / "j", parted(history(11), 2))

    def stored() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in sorted(cache.rglob("*.checkpoint"))}

    with travelling(tmp_path / "j") as journal:
        check(journal, tmp_path / "j")
        first = stored()
        assert len(first) > 8
    with travelling(tmp_path / "j") as journal:
        check(journal, tmp_path / "j")
        assert stored() == first, "nothing was made twice"
    damaged = sorted(first)[4]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with travelling(tmp_path / "j") as journal:
        check(journal, tmp_path / "j")
        again = stored()
        assert {path for path in first if again[path] != first[path]} == set(sorted(first)[4:])
    assert {path.name for path in (tmp_path / "j").iterdir()} == {
        "journal.lock",
        "segment-00000001.journal.zst",
        "segment-00000002.journal.zst",
    }, "nothing is written into the journal's directory"


def test_journal_that_two_travel_in_at_once_and_a_cache_that_cannot_be_written(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parts(tmp_path / "j", [history(12, 60)])
    with travelling(tmp_path / "j") as journal, travelling(tmp_path / "j") as beside:
        check(journal, tmp_path / "j")
        check(beside, tmp_path / "j")
    (cache / "nowhere").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache / "nowhere"))
    with travelling(tmp_path / "j") as journal:
        check(journal, tmp_path / "j")


def test_directory_that_gets_another_journal_is_indexed_anew(tmp_path: Path) -> None:
    write_parts(tmp_path / "j", [history(13, 60)])
    write_parts(tmp_path / "k", [history(14, 90)], ring_uuid=b"k" * 16)
    other = max(plain_pages(tmp_path / "k"))
    with travelling(tmp_path / "j") as journal:
        check(journal, tmp_path / "j")
        (tmp_path / "j").rename(tmp_path / "old")
        (tmp_path / "k").rename(tmp_path / "j")
        wait_for(lambda: journal.row().last_block == other and journal.row().indexed == 1.0, PATIENCE_S)
        check(journal, tmp_path / "j")


def test_checkpoints_beyond_the_bound_are_thinned_and_pages_stay_the_same(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "MOST_BYTES", 60_000)
    write_parts(tmp_path / "j", [history(15)])
    with travelling(tmp_path / "j") as journal:
        check(journal, tmp_path / "j")
        sizes = [path.stat().st_size for path in cache.rglob("*.checkpoint")]
        assert len(sizes) > 8 and sum(sizes) < 60_000 + 20_000
    with travelling(tmp_path / "j") as journal:
        check(journal, tmp_path / "j")


def test_stored_index_that_nobody_used_for_long_is_removed_unless_somebody_holds_it(
    tmp_path: Path, cache: Path
) -> None:
    for name in ("j", "k", "l"):
        write_parts(tmp_path / name, [history(18, 10)])
    with travelling(tmp_path / "j"), travelling(tmp_path / "k"):
        pass
    kept, dropped = sorted({path.parent for path in cache.rglob("lock")})
    for folder in (kept, dropped):
        os.utime(folder, (1, 1))
    with LockFile(kept / "lock"), travelling(tmp_path / "l") as journal:
        check(journal, tmp_path / "l")
    assert kept.exists() and not dropped.exists()


def test_what_cannot_be_travelled_in_says_why_and_is_tried_again(tmp_path: Path) -> None:
    with travelling(tmp_path / "j") as journal:
        assert "expected a directory" in journal.row().problem
        with pytest.raises(NotRecorded, match="expected a block that ended, found none"):
            journal.seek(1)
        write_parts(tmp_path / "j", [history(16, 20)])
        wait_for(lambda: journal.row().indexed == 1.0, PATIENCE_S)
        check(journal, tmp_path / "j")
        with pytest.raises(NobodyWaits):
            journal.seek(journal.row().last_block - 1, lambda: True)
        (tmp_path / "j").rename(tmp_path / "away")
        with pytest.raises(NotRecorded, match="expected a directory"):
            journal.seek(1)
    with open_market(tmp_path / "empty") as recorder:
        record(recorder, history(17, 1)[:1])
    with travelling(tmp_path / "empty") as journal:
        assert journal.row().problem == "no block ends in it"
