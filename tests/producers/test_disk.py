"""The thread that writes files: in order, complete at the end, and no refusal of the disk stops it."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import threading
from functools import partial
from pathlib import Path

import pytest

from producers.chains.configuration import load_chain
from producers.disk import DiskThread, replace_file
from producers.pools.cache import PoolCache
from tests.producers.pools.test_cache import finding

FULL_DISK = Path("/dev/full")
"""Every write to it ends with ENOSPC (full(4))."""


def test_disk_thread_does_everything_in_order_before_close_returns() -> None:
    disk, begun, done = DiskThread(), threading.Event(), []
    disk.write("first", lambda: (begun.wait(30), done.append(0))[1])
    for number in range(1, 50):
        disk.write("number", partial(done.append, number))
    assert disk.busy
    assert done == []
    begun.set()
    disk.close()
    assert done == list(range(50))
    assert not disk.busy
    assert disk.failures == 0


def test_disk_thread_reads_what_was_written_before(tmp_path: Path) -> None:
    disk, path = DiskThread(), tmp_path / "file"
    for number in range(20):
        disk.write("file", partial(replace_file, path, b"%d" % number))
    assert asyncio.run(disk.read(path.read_bytes)) == b"19"
    with pytest.raises(FileNotFoundError):
        asyncio.run(disk.read((tmp_path / "none").read_bytes))
    assert disk.failures == 0
    disk.close()


def test_disk_thread_refused_counts_every_time_says_it_once_and_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk, path = DiskThread(), tmp_path / "statistics"
    fresh = tmp_path / ".statistics.new"
    fresh.symlink_to(FULL_DISK)
    with caplog.at_level(logging.WARNING, "alphapulse.collector"):
        for _ in range(3):
            disk.write("statistics", partial(replace_file, path, b"x"))
        disk.write("mending", fresh.unlink)
        disk.write("statistics", partial(replace_file, path, b"y"))
        disk.close()
    assert disk.failures == 3
    assert path.read_bytes() == b"y"
    assert [record.getMessage() for record in caplog.records] == [
        "cannot write the statistics: No space left on device; going on without",
        "the statistics can be written again",
    ]


def test_disk_thread_with_a_bug_raises_it_to_whoever_asks() -> None:
    disk = DiskThread()
    disk.write("bug", partial(int, "no number"))  # type: ignore[arg-type]  # that is the bug
    with pytest.raises(ValueError, match="invalid literal"):
        disk.close()


def test_file_whose_replacement_is_refused_keeps_its_content(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    replace_file(path, b"old")
    (tmp_path / ".state.json.new").symlink_to(FULL_DISK)
    with pytest.raises(OSError, match="No space left") as refused:
        replace_file(path, b"new")
    assert refused.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"old"


def test_pool_cache_on_a_full_disk_says_so(tmp_path: Path) -> None:
    path = tmp_path / "pools.jsonl"
    path.symlink_to(FULL_DISK)
    with pytest.raises(OSError, match="No space left"):
        PoolCache(path, load_chain("polygon")).append([finding(1)])


@pytest.mark.parametrize("how", [{}, {"durable": True}, {"durable": False}])
def test_replace_file_waits_for_the_disk_unless_told_not_to(
    how: dict[str, bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited, fsync = [], os.fsync

    def watched(descriptor: int) -> None:
        waited.append(descriptor)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    replace_file(tmp_path / "file", b"new", **how)
    assert (tmp_path / "file").read_bytes() == b"new"
    assert len(waited) == how.get("durable", True)
