"""Who holds what, in an error: a real process, and what cannot be seen."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ringbuf import NotOwner, Writer, holder
from ringbuf.holder import command_of, describe_process, locker_of, user_name


def test_process_is_told_with_its_command_its_start_and_not_its_options() -> None:
    line = [
        sys.executable,
        "-c",
        "print(flush=True); input()",
        "alphapulse",
        "--config=a",
        "--url",
        "collect",
        "wss://node/SECRET",
    ]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        told = describe_process(process.pid)
        process.communicate(b"\n")
    assert told.startswith(f"process {process.pid} (alphapulse collect, since 20") and told.endswith("Z)")
    assert "SECRET" not in told


def test_process_of_another_program_is_told_by_its_name() -> None:
    assert describe_process(os.getpid()).startswith(f"process {os.getpid()} (")
    assert command_of(["python", "-c", "pass"]) == ""


def test_process_that_cannot_be_seen_is_told_as_such() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert describe_process(process.pid).startswith(f"process {process.pid} (not to be seen here")
    assert describe_process(0) == "process unknown"


def test_process_of_another_user_is_told_with_its_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    assert f"of user {user_name(os.geteuid())})" in describe_process(os.getpid())
    assert user_name(4242) == "4242"


def test_kernel_says_who_holds_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "lock").open("w") as file:
        inode = os.fstat(file.fileno()).st_ino
        assert locker_of(inode) == 0
        fcntl.flock(file, fcntl.LOCK_EX)
        assert locker_of(inode) == os.getpid()
        monkeypatch.setattr(holder, "PROC", tmp_path)
        assert locker_of(inode) == 0


def test_second_writer_is_told_who_the_first_is(ring_name: str) -> None:
    with (
        Writer.create(ring_name, capacity=1 << 16),
        pytest.raises(NotOwner, match=rf"process {os.getpid()} \(.*since \d{{4}}-"),
    ):
        Writer.open_or_create(ring_name)
