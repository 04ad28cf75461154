"""Counters of a process: made beside a ring, read by others, and gone with their process's successor or the ring."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from ringbuf import (
    BadSegment,
    Histogram,
    Level,
    NoSpace,
    RingNotFound,
    RingNotReady,
    SharedCounters,
    UnsafeSegment,
    Writer,
    collect_garbage,
    counters,
    list_rings,
    unlink,
)
from ringbuf.counters import is_alive, layout_of, read_counters, remove_dead_counters, remove_if_dead
from ringbuf.declare import word_of
from ringbuf.layout import COUNTERS_HEADER
from ringbuf.names import (
    COUNTERS_SUFFIX,
    counters_object,
    list_counters,
    list_remains,
    object_prefix,
    ring_of_process,
)
from ringbuf.segment import create_object, path_of, unlink_object
from tools.rig.processes import reap, spawn


@dataclass
class Counted:
    """What a process of these tests counts."""

    frames: int = 0
    name: str = ""
    waiting: Level = 0
    delay: Histogram = field(default_factory=Histogram)
    lost: int = 0


@dataclass
class CountedOtherwise:
    """What another build counts."""

    frames: int = 0


def count_and_wait(ring: str, told: Connection) -> None:
    """A process that counted something, until it is killed."""
    counted, shared = Counted(frames=3, waiting=-1), SharedCounters.create(Counted, ring, "tester")
    shared.bind(counted)
    counted.delay.add(1000, 5)
    shared.put(counted)
    told.send(shared.object_name)
    signal.pause()


@pytest.fixture
def killed(ring_name: str) -> str:
    """The object of a process that counted and was killed."""
    here, there = multiprocessing.Pipe()
    pid = spawn(lambda: count_and_wait(ring_name, there))
    name = str(here.recv())
    assert is_alive(name)
    assert read_counters(name).pid == pid
    os.kill(pid, signal.SIGKILL)
    reap(pid)
    return name


def change(object_name: str, field_name: str, value: int) -> None:
    with path_of(object_name).open("r+b") as file:
        file.seek(8 * word_of(COUNTERS_HEADER, field_name))
        file.write(value.to_bytes(8, "little"))


def test_counters_have_a_word_for_each_count_then_the_histograms() -> None:
    assert layout_of(Counted).names == ("frames", "lost", "waiting", "delay")


def test_counters_are_what_the_process_put(ring_name: str) -> None:
    counted, shared = Counted(frames=7, waiting=-1, lost=1 << 62), SharedCounters.create(Counted, ring_name, "tester")
    shared.bind(counted)
    assert shared.object_name == counters_object(ring_name, "tester")
    assert read_counters(shared.object_name).as_record(Counted).frames == 0
    assert shared.due
    shared.put(counted)
    assert not shared.due
    counted.delay.add(31, 2)
    copy = read_counters(shared.object_name)
    assert (copy.role, copy.ring, copy.pid, copy.alive) == ("tester", ring_name, os.getpid(), True)
    assert 0 <= copy.beat_age_s <= copy.age_s
    record = copy.as_record(Counted)
    assert (record.frames, record.waiting, record.lost) == (7, -1, 1 << 62)
    assert record.delay.to_dict() == {"p50": 31, "p99": 31, "max": 31}
    shared.close()
    shared.close()
    assert shared.object_name not in list_counters()


def test_counters_are_no_ring_and_no_remains_of_one(ring_name: str) -> None:
    shared = SharedCounters.create(Counted, ring_name, "tester")
    assert shared.object_name in list_counters()
    assert not [name for name in (*list_rings(), *list_remains()) if name.startswith(ring_name)]
    shared.close()


def test_counters_of_a_second_living_process_get_a_name_of_their_own(ring_name: str) -> None:
    first, second = (SharedCounters.create(Counted, ring_name, "tester") for _ in range(2))
    assert second.object_name == counters_object(ring_name, "tester", 2) != first.object_name
    first.close()
    third = SharedCounters.create(Counted, ring_name, "tester")
    assert third.object_name == counters_object(ring_name, "tester")
    second.close()
    third.close()


def test_counters_of_too_many_processes_are_refused(ring_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MOST_ALIKE", 1)
    first = SharedCounters.create(Counted, ring_name, "tester")
    with pytest.raises(NoSpace, match="1 processes are tester of"):
        SharedCounters.create(Counted, ring_name, "tester")
    first.close()


def test_counters_of_a_killed_process_stay_readable_and_are_told_dead(killed: str) -> None:
    copy = read_counters(killed)
    assert not copy.alive
    assert copy.as_record(Counted).delay.count == 5


def test_counters_of_a_killed_process_are_replaced_by_the_next(killed: str, ring_name: str) -> None:
    shared = SharedCounters.create(Counted, ring_name, "tester")
    assert shared.object_name == killed
    assert read_counters(killed).as_record(Counted).frames == 0
    shared.close()


def test_counters_of_a_killed_process_go_with_its_ring(killed: str, ring_name: str) -> None:
    Writer.create(ring_name, capacity=1 << 16).close()
    living = SharedCounters.create(Counted, ring_name, "other")
    unlink(ring_name)
    assert killed not in list_counters() and living.object_name in list_counters()
    living.close()


def test_counters_of_a_killed_process_are_garbage(killed: str, ring_name: str) -> None:
    collect_garbage(prefix=f"{ring_name}.other")
    assert killed in list_counters()
    collect_garbage(prefix=ring_name)
    assert killed not in list_counters()


def test_counters_whose_name_was_taken_are_not_removed_by_their_process(ring_name: str) -> None:
    shared = SharedCounters.create(Counted, ring_name, "tester")
    unlink_object(shared.object_name)
    other = SharedCounters.create(Counted, ring_name, "tester")
    shared.close()
    assert is_alive(other.object_name)
    other.close()


@pytest.mark.parametrize("taken", ["removed", "replaced", "locked"])
def test_counters_taken_by_another_process_while_they_are_made_get_the_next_name(
    ring_name: str, monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    first, others = counters_object(ring_name, "tester"), []

    def create_and_lose(name: str, size: int) -> int:
        fd = create_object(name, size)
        if name == first and taken == "locked":
            others.append(counters.RingLock(name))
            assert others[0].try_lock(0)
        elif name == first:
            unlink_object(name)
            if taken == "replaced":
                os.close(create_object(name, size))
        return fd

    monkeypatch.setattr(counters, "create_object", create_and_lose)
    shared = SharedCounters.create(Counted, ring_name, "tester")
    assert shared.object_name == counters_object(ring_name, "tester", 2)
    shared.close()


def test_counters_of_another_version_are_told_so(ring_name: str) -> None:
    shared = SharedCounters.create(Counted, ring_name, "tester")
    with pytest.raises(BadSegment, match=r"counters of tester \(pid \d+\): expected layout .* another version"):
        read_counters(shared.object_name).as_record(CountedOtherwise)
    shared.close()


@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (lambda path: path.unlink(), RingNotFound, "no shared-memory object"),
        (lambda path: os.truncate(path, 0), RingNotReady, "0 bytes: no counters"),
        (lambda path: os.truncate(path, 64), BadSegment, "64 bytes: no counters"),
        (lambda path: path.chmod(0o666), UnsafeSegment, "expected mode"),
        (lambda path: change("/" + path.name, "magic", 0), RingNotReady, "has not finished"),
        (lambda path: change("/" + path.name, "magic", 5), BadSegment, "magic: expected"),
        (lambda path: change("/" + path.name, "version", 5), BadSegment, "version: expected"),
        (lambda path: change("/" + path.name, "total_bytes", 5), BadSegment, "total_bytes: expected"),
        (lambda path: change("/" + path.name, "boot_id", 5), BadSegment, "before the last reboot"),
        (lambda path: change("/" + path.name, "role", 0xFF), BadSegment, "no text"),
    ],
)
def test_counters_that_are_damaged_are_refused(
    ring_name: str, damage: object, error: type[Exception], words: str
) -> None:
    shared = SharedCounters.create(Counted, ring_name, "tester")
    damage(path_of(shared.object_name))  # type: ignore[operator]
    with pytest.raises(error, match=re.escape(words) if "(" in words else words):
        read_counters(shared.object_name)


def test_counters_of_another_user_are_left_alone(ring_name: str) -> None:
    shared = SharedCounters.create(Counted, ring_name, "tester")
    path_of(shared.object_name).chmod(0o666)
    assert remove_dead_counters(ring_name) == []
    with pytest.raises(UnsafeSegment):
        SharedCounters.create(Counted, ring_name, "tester")


def test_counters_that_are_not_there_or_live_are_not_removed(ring_name: str) -> None:
    shared = SharedCounters.create(Counted, ring_name, "tester")
    assert not remove_if_dead(shared.object_name)
    shared.close()
    assert not remove_if_dead(shared.object_name)


def test_counters_without_room_leave_nothing(ring_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, offset: int, length: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(NoSpace):
        SharedCounters.create(Counted, ring_name, "tester")
    assert not list(Path("/dev/shm").glob(f"*{ring_name}*"))


def test_counters_copied_are_private(ring_name: str) -> None:
    shared = SharedCounters.create(Counted, ring_name, "tester")
    copy = read_counters(shared.object_name)
    copy.words[:] = np.int64(9)
    assert read_counters(shared.object_name).as_record(Counted).frames == 0
    shared.close()


@pytest.mark.parametrize("number", [1, 2])
def test_ring_of_a_process_is_the_one_that_its_counters_are_named_after(number: int) -> None:
    name = counters_object("market.polygon-2", "collector", number).removeprefix(f"/{object_prefix()}")
    assert ring_of_process(name.removesuffix(COUNTERS_SUFFIX)) == "market.polygon-2"


def test_only_the_first_process_of_a_role_bears_no_number() -> None:
    names = [counters_object("market", "collector", number) for number in (1, 2, 3)]
    assert [name.rpartition("market-")[2] for name in names] == [
        "collector-counters",
        "collector.2-counters",
        "collector.3-counters",
    ]
