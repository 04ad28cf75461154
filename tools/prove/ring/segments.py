"""Rows 12 and 14 to 17: names, modes and space of shared memory.

Owns the campaigns about the objects themselves.  It must never know what is published in them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from ringbuf import (
    BadSegment,
    NoSpace,
    NotOwner,
    Reader,
    RingInfo,
    RingNotReady,
    Status,
    UnsafeSegment,
    Writer,
)
from ringbuf.declare import offset_of
from ringbuf.layout import HEADER, HEADER_BYTES
from ringbuf.names import FOLDER, control_object, lock_object, ring_object
from ringbuf.segment import path_of
from tlv.errors import SegmentError
from tools.prove.ring.native import warm_native
from tools.rig.outcome import Outcome, timed
from tools.rig.processes import fresh_name, reap, shared, spawn

SMALL = 1 << 16
TraceFunction = Callable[[FrameType, str, Any], Any]
FOREIGN_UID = 65534


@timed
def prove_orphans_notice(rounds: int = 20) -> Outcome:
    """Row 12: the ring is unlinked and made again under its readers; or all its files are removed, as by RemoveIPC."""
    warm_native()
    slowest, mixed = 0.0, 0
    for i in range(rounds):
        with fresh_name("orphan") as name:
            writer = Writer.create(name, capacity=SMALL)
            reader = Reader.attach(name)
            if i % 2:
                writer.close(unlink=True)
                reader.poll()
                writer = Writer.create(name, capacity=SMALL)
            else:
                for object_name in (ring_object(name), control_object(name), lock_object(name)):
                    path_of(object_name).unlink()
            begin = time.monotonic()
            writer.publish(b"for the new ring, or for nobody")
            while reader.check() is not Status.ORPHANED:
                time.sleep(0.01)
            while i % 2 == 0 and reader.wait(2.0) is not Status.ORPHANED:
                reader.poll()
            slowest = max(slowest, time.monotonic() - begin)
            if i % 2:
                mixed += any(bytes(frame.payload).startswith(b"for the new") for frame in reader.poll())
                again = Reader.attach(name, start="oldest")
                mixed += again.uuid == reader.uuid or len(again.poll()) != 1
                again.close()
            reader.close()
            writer.close()
    summary = f"{rounds} rings lost their names, noticed within {slowest:.2f} s, {mixed} mixed"
    return Outcome(12, "orphaned readers", mixed == 0 and slowest <= 1.5, summary)


def baits(name: str) -> dict[str, tuple[Callable[[], object], type[SegmentError]]]:
    """Foreign or damaged objects under a ring's name: how each is made, and the error that it must raise."""
    ring = path_of(ring_object(name))
    target = ring.with_name(ring.name + ".target")

    def lay(change: Callable[[], object]) -> None:
        Writer.create(name, capacity=SMALL).close()
        change()

    def edit(field: str, value: int) -> None:
        with ring.open("r+b") as file:
            file.seek(offset_of(HEADER, field))
            file.write(value.to_bytes(8, "little"))

    def symlink() -> None:
        target.write_bytes(bytes(HEADER_BYTES + SMALL))
        ring.symlink_to(target)

    return {
        "symlink": (symlink, UnsafeSegment),
        "FIFO": (lambda: os.mkfifo(ring, 0o600), UnsafeSegment),
        "directory": (ring.mkdir, UnsafeSegment),
        "mode 0666": (lambda: lay(lambda: ring.chmod(0o666)), UnsafeSegment),
        "foreign uid": (lambda: lay(partial(os.chown, ring, FOREIGN_UID, -1)), UnsafeSegment),
        "short": (lambda: lay(partial(os.truncate, ring, 100)), BadSegment),
        "long": (lambda: lay(partial(os.truncate, ring, HEADER_BYTES + 2 * SMALL)), BadSegment),
        "bad magic": (lambda: lay(partial(edit, "magic", 0xDEAD)), BadSegment),
        "another version": (lambda: lay(partial(edit, "version", 99)), BadSegment),
        "another geometry": (lambda: lay(partial(edit, "capacity", 2 * SMALL)), BadSegment),
        "unfinished": (lambda: lay(partial(edit, "magic", 0)), RingNotReady),
    }


def refusal(attempt: Callable[[], object]) -> type[BaseException] | None:
    """The class of the error that an attempt raised."""
    try:
        attempt()
    except SegmentError as error:
        return type(error)
    return None


def describe(path: Path) -> tuple[int, ...]:
    """The attributes of a bait that must not change."""
    found = path.lstat()
    return found.st_ino, found.st_mode, found.st_uid, found.st_size, found.st_mtime_ns


@timed
def prove_baits_are_refused() -> Outcome:
    """Row 14: squatted, foreign, damaged and half-made segments get the right error and stay as they are."""
    wrong, seen = [], 0
    for bait in baits("x"):
        with fresh_name("bait") as name:
            lay, expected = baits(name)[bait]
            if bait == "foreign uid" and os.getuid() != 0:
                continue  # only root can make it
            lay()
            before = describe(path_of(ring_object(name)))
            attempts: dict[str, Callable[[], object]] = {
                "attach": partial(Reader.attach, name),
                "open": partial(Writer.open, name),
                "info": partial(RingInfo.read, name),
            }
            if expected is not RingNotReady:  # which the next creator cleans up
                attempts["create"] = partial(Writer.create, name, capacity=SMALL)
            for how, attempt in attempts.items():
                found = refusal(attempt)
                if found is not expected:
                    wrong.append(f"{how} of {bait}: {found}")
            if describe(path_of(ring_object(name))) != before:
                wrong.append(f"{bait} was touched")
            seen += 1
            if bait == "directory":
                path_of(ring_object(name)).rmdir()
    with fresh_name("digest") as name, Writer.create(name, capacity=SMALL, layout_digest=5):
        if refusal(partial(Reader.attach, name, layout_digest=6)) is not BadSegment:
            wrong.append("another layout digest was accepted")
        seen += 1
    return Outcome(14, "baits", not wrong, f"{seen} baits, {len(wrong)} taken " + "; ".join(wrong))


FILL_SMALL_FOLDER = """
import sys
from ringbuf import NoSpace, Writer, list_rings
made, refused, capacity = [], "", 1 << 23
while not refused:
    try:
        made.append(Writer.create(f"full.n{len(made)}", capacity=capacity))
    except NoSpace as error:
        refused = str(error)
for writer in made:  # every page is really there: writing to all of them raises no SIGBUS
    for _ in range(2 * capacity // 8192):
        writer.publish(bytes(8000))
print(len(made), len(list_rings()), refused)
"""


@timed
def prove_space_is_real() -> Outcome:
    """Row 15: a full /dev/shm is refused at creation, with the numbers, and raises no SIGBUS later."""
    with fresh_name("space") as name:
        try:
            Writer.create(name, capacity=1 << 40)
        except NoSpace as error:
            message = str(error)
        else:
            return Outcome(15, "no space", False, "a ring of 1 TiB was created")
        left = [which for which in (ring_object, control_object) if path_of(which(name)).exists()]
    script = f'mount -t tmpfs -o size=64m tmpfs {FOLDER} && exec "$0" -c "$1"'
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, sys.executable, FILL_SMALL_FOLDER]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unshare" in ran.stderr or "mount:" in ran.stderr:
        small = f"no private 64 MiB /dev/shm on this machine ({ran.stderr.strip()})"
        passed = not left
    else:
        small = f"64 MiB: rings made, rings found, refusal: {ran.stdout.strip()}"
        passed = not left and ran.returncode == 0 and ran.stdout.startswith("7 7 ")
        small += f" {ran.stderr.strip()}" if ran.returncode else ""
    return Outcome(15, "no space", passed and "needed" in message, f"{message}; {small}")


def create_until_step(name: str, step: int) -> None:
    """Run the creation line by line and die at line number `step` of our own code."""
    seen = 0

    def count(_frame: FrameType, event: str, _argument: object) -> TraceFunction:
        nonlocal seen
        if event == "line":
            seen += 1
            if seen == step:
                os.kill(os.getpid(), 9)
        return count

    sys.settrace(lambda frame, _event, _argument: count if "ringbuf" in frame.f_code.co_filename else None)
    Writer.open_or_create(name, capacity=SMALL)
    sys.settrace(None)


def open_or_create_once(name: str, start: np.ndarray, uuids: np.ndarray, me: int) -> None:
    """One of many that start at once."""
    while not start[0]:
        time.sleep(0.0005)
    try:
        writer = Writer.open_or_create(name, capacity=SMALL)
    except NotOwner:
        return
    uuids[me] = int.from_bytes(writer.uuid[:7], "little")
    writer.publish(b"mine")
    writer.close()


@timed
def prove_creation_is_whole(racers: int = 50) -> Outcome:
    """Row 16: the creator dies at each of its steps; fifty create or open at once."""
    warm_native()
    steps = broken = 0
    with fresh_name("steps") as name:
        while True:
            steps += 1
            code = reap(spawn(partial(create_until_step, name, steps)))
            refusal(partial(Reader.attach, name))  # any outcome but a hang or a crash
            with Writer.open_or_create(name, capacity=SMALL) as writer:
                with Reader.attach(name) as reader:
                    writer.publish(b"whole")
                    broken += len(reader.poll()) != 1
                writer.close(unlink=True)
            if code == 0:
                break
    with fresh_name("racers") as name:
        start, uuids = shared(np.int64, 1), shared(np.int64, racers)
        children = [spawn(partial(open_or_create_once, name, start, uuids, i)) for i in range(racers)]
        start[0] = 1
        codes = [reap(pid) for pid in children]
        info = RingInfo.read(name)
        winners = int((uuids != 0).sum())
        same = set(uuids[uuids != 0].tolist()) == {int.from_bytes(info.identity.uuid[:7], "little")}
    summary = (
        f"creator killed at {steps} steps, {broken} rings broken; {racers} at once: {winners} got it in turn, "
        f"{'one uuid' if same else 'SEVERAL uuids'}, {info.next_sequence - 1} frames"
    )
    passed = broken == 0 and same and winners >= 1 and info.next_sequence == winners + 1 and not any(codes)
    return Outcome(16, "creation", passed, summary)


@timed
def prove_attach_changes_nothing(attaches: int = 1000) -> Outcome:
    """Row 17: attaching truncates nothing; the mode is 0600 under every umask."""
    modes: list[int] = []
    for umask in (0o000, 0o022, 0o077):
        before = os.umask(umask)
        try:
            with fresh_name("umask") as name, Writer.create(name, capacity=SMALL):
                modes.extend(
                    path_of(which(name)).stat().st_mode & 0o777 for which in (ring_object, control_object, lock_object)
                )
        finally:
            os.umask(before)
    with fresh_name("size") as name, Writer.create(name, capacity=SMALL):
        for _ in range(attaches):
            Reader.attach(name).close()
        size = path_of(ring_object(name)).stat().st_size
    passed = set(modes) == {0o600} and size == HEADER_BYTES + SMALL
    summary = f"modes {sorted({oct(mode) for mode in modes})} under 3 umasks, size {size} after {attaches} attaches"
    return Outcome(17, "attach", passed, summary)
