"""Rings for a group, as a real second user sees them, and the modes of every object under any umask (row 57)."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ringbuf import Reader, Status, UnsafeSegment, Writer
from tlv.errors import UsageError

SHARED_MEMORY = Path("/dev/shm")
GROUP, MEMBER, OUTSIDER = 4242, 1234, 1235
PARTS = ("", "-ctl", "-lock")

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")


def objects(name: str) -> list[Path]:
    """Ring, control page and lock."""
    return [SHARED_MEMORY / f"alphapulse-{os.getuid()}-{name}{part}" for part in PARTS]


def modes(name: str) -> list[int]:
    return [stat.S_IMODE(path.stat().st_mode) for path in objects(name)]


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """One umask for the test."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def as_user(uid: int, groups: list[int], act: Callable[[], str]) -> str:
    """What `act` returns, or the name of what it raises, in a process of that user."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setgid(uid)
            os.setuid(uid)
            said = act()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, the parent compares its name
            said = type(error).__name__
        os.write(writable, said.encode())
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


def read(name: str, owner: int | None, *, reliable: bool) -> str:
    """What a reader finds."""
    with Reader.attach(name, start="oldest", reliable=reliable, owner=owner, stale_after_s=600) as reader:
        poll = reader.poll()
        held = reader.wait(0) if len(poll) else Status.CORRUPT
        return f"{len(poll)} frames, {held.name}, evicted {reader.evicted}, {reader.check().name}"


def test_private_ring_is_ours_alone_under_any_umask(ring_name: str, umask: int) -> None:
    with Writer.create(ring_name):
        assert modes(ring_name) == [0o600, 0o600, 0o600]


@needs_root
def test_group_ring_is_read_by_its_group_and_nobody_else(
    ring_name: str, umask: int, tell: Callable[[str], None]
) -> None:
    with Writer.create(ring_name, group=GROUP) as writer:
        for number in range(5):
            writer.publish(bytes([number]))
        assert modes(ring_name) == [0o640, 0o660, 0o660]
        assert {path.stat().st_gid for path in objects(ring_name)} == {GROUP}
        owner = os.getuid()
        read(ring_name, None, reliable=True)  # loads the kernels: another user has no cache of them
        for reliable in (False, True):
            found = as_user(MEMBER, [GROUP], lambda reliable=reliable: read(ring_name, owner, reliable=reliable))  # type: ignore[misc]
            assert found == "5 frames, EMPTY, evicted False, EMPTY"
            refused = as_user(OUTSIDER, [], lambda reliable=reliable: read(ring_name, owner, reliable=reliable))  # type: ignore[misc]
            assert refused == UnsafeSegment.__name__
        ring = objects(ring_name)[0]
        for uid, groups in ((MEMBER, [GROUP]), (OUTSIDER, [])):
            assert as_user(uid, groups, lambda: str(os.open(ring, os.O_RDWR))) == "PermissionError"
    tell(f"row 57: umask {umask:03o}: a member of the group reads, reliably too; an outsider is refused")


@needs_root
def test_group_ring_taken_over_after_its_lock_was_removed_is_open_to_its_group_again(ring_name: str) -> None:
    with Writer.create(ring_name, group=GROUP) as writer:
        writer.publish(b"x")
    objects(ring_name)[2].unlink()
    with Writer.open(ring_name):
        assert modes(ring_name) == [0o640, 0o660, 0o660]
        read(ring_name, None, reliable=True)
        found = as_user(MEMBER, [GROUP], lambda: read(ring_name, 0, reliable=True))
    assert found == "1 frames, EMPTY, evicted False, EMPTY"


@needs_root
def test_private_ring_made_where_a_group_ring_was_lets_no_group_in(ring_name: str) -> None:
    with Writer.create(ring_name, group=GROUP):
        pass
    for path in objects(ring_name)[:2]:
        path.unlink()
    with Writer.create(ring_name):
        assert modes(ring_name) == [0o600, 0o600, 0o600]


@needs_root
def test_ring_for_a_group_that_is_not_ours_is_refused_and_leaves_nothing(ring_name: str) -> None:
    def create() -> str:
        try:
            Writer.create(ring_name, group=GROUP)
        except UsageError as error:
            return f"{error} {list(SHARED_MEMORY.glob(f'alphapulse-{MEMBER}-{ring_name}*'))}"
        return "created"

    said = as_user(MEMBER, [MEMBER], create)
    assert "group: expected a group of ours" in said and "found 4242" in said
    for left in SHARED_MEMORY.glob(f"alphapulse-{MEMBER}-{ring_name}*"):
        left.unlink()
