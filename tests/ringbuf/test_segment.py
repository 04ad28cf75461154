"""Names, objects and locks: what is refused, and what is left behind."""

from __future__ import annotations

import gc
import os
import re
import resource
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from ringbuf import (
    AlreadyExists,
    BadGeometry,
    BadRingName,
    BadSegment,
    NoSharedMemory,
    NoSpace,
    NotOwner,
    Reader,
    RingInfo,
    RingNotFound,
    RingNotReady,
    Status,
    UnsafeSegment,
    Writer,
    collect_garbage,
    list_rings,
    unlink,
)
from ringbuf.declare import digest_of, lines, offset_of, page, word_of
from ringbuf.identity import checksum, new_identity
from ringbuf.layout import CONTROL, DESCRIPTOR, DESCRIPTOR_BYTES, FORMAT, HEADER, HEADER_BYTES, VERSION
from ringbuf.locks import WRITER_BYTE, RingLock, leave_locks_with_parent
from ringbuf.memory import advise
from ringbuf.names import (
    SUFFIXES,
    _owner_of,
    check_name,
    control_object,
    list_counters,
    list_remains,
    lock_object,
    ring_object,
)
from ringbuf.ring import claim, open_control
from ringbuf.segment import create_object, open_object, path_of, same_object, unlink_object
from tlv.errors import UsageError
from tlv.fields import I64

SMALL = 1 << 16


@pytest.mark.parametrize("name", ["", "Market", "1st", "a/b", "a b", "x" * 64, "a-ctl", "a-lock", "../a", "a-"])
def test_check_name_that_is_no_ring_name_is_refused(name: str) -> None:
    with pytest.raises(BadRingName, match="expected 1 to 63 of a-z"):
        check_name(name)


def test_check_name_of_a_ring_is_returned() -> None:
    assert check_name("market.polygon-2_x") == "market.polygon-2_x"


@pytest.mark.parametrize(
    ("wish", "complaint"),
    [
        ({"capacity": 100_000}, "capacity 100000: expected a power of two from 65536"),
        ({"capacity": 1 << 15}, "capacity 32768: expected a power of two"),
        ({"max_frame": 8193}, r"max_frame 8193: expected 32 to 8192 \(capacity/8\)"),
        ({"max_frame": 31}, "max_frame 31: expected 32 to 8192"),
        ({"reserve": 100}, "reserve 100: expected a multiple of 64"),
        ({"schema": "x" * 1024}, "schema of 1024 bytes: expected less than 1024"),
        ({"layout_digest": -1}, "layout_digest -1: expected 0 to"),
    ],
)
def test_new_identity_that_does_not_fit_is_refused(wish: dict[str, object], complaint: str) -> None:
    usual = {"capacity": SMALL, "max_frame": None, "reserve": None, "layout_digest": 0, "schema": ""}
    with pytest.raises(BadGeometry, match=complaint):
        new_identity("any", **(usual | wish))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wish", "name", "least_or_most"),
    [
        ({"max_frame": 32}, "max_frame", 32),
        ({"max_frame": 8192}, "max_frame", 8192),
        ({"reserve": 64}, "reserve", 64),
        ({"reserve": 8192}, "reserve", 8192),
        ({"capacity": 1 << 16}, "capacity", 1 << 16),
        ({"layout_digest": (1 << 63) - 1}, "layout_digest", (1 << 63) - 1),
    ],
)
def test_new_identity_at_the_ends_of_what_fits_is_made(wish: dict[str, int], name: str, least_or_most: int) -> None:
    usual = {"capacity": SMALL, "max_frame": None, "reserve": None, "layout_digest": 0, "schema": ""}
    assert getattr(new_identity("any", **(usual | wish)), name) == least_or_most  # type: ignore[arg-type]


def test_format_is_the_version_below_a_digest_of_the_layout() -> None:
    assert FORMAT % (1 << 32) == VERSION
    assert digest_of(HEADER, DESCRIPTOR, CONTROL) == FORMAT >> 32


def test_new_identity_fills_in_the_defaults() -> None:
    identity = new_identity("any", capacity=1 << 24, max_frame=None, reserve=None, layout_digest=0, schema="")
    assert (identity.max_frame, identity.reserve) == (1 << 17, 1 << 16)
    assert identity.max_payload == (1 << 17) - 32 and identity.region_bytes == 1 << 17


def test_attach_to_nothing_names_the_ring_and_how_to_make_one(ring_name: str) -> None:
    with pytest.raises(RingNotFound, match=re.escape(f"no ring '{ring_name}'") + ".*start its producer"):
        Reader.attach(ring_name)
    with pytest.raises(RingNotFound):
        Writer.open(ring_name)
    assert not path_of(lock_object(ring_name)).exists(), "a lock for a ring that is not there"


def test_create_twice_is_refused_while_alive_and_afterwards(ring_name: str) -> None:
    with (
        Writer.create(ring_name, capacity=SMALL),
        pytest.raises(NotOwner, match=rf"{os.getpid()} \(.*\), holds"),
    ):
        Writer.create(ring_name, capacity=SMALL)
    with pytest.raises(AlreadyExists, match="open it, or unlink it first"):
        Writer.create(ring_name, capacity=SMALL)


def test_create_while_another_creates_is_refused_without_knowing_who(ring_name: str) -> None:
    lock = claim(ring_name)
    with pytest.raises(NotOwner, match="process unknown, holds"):
        Writer.create(ring_name, capacity=SMALL)
    lock.close()


def test_attach_to_another_layout_digest_is_refused_and_to_any_accepted(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL, layout_digest=5):
        Reader.attach(ring_name).close()
        Reader.attach(ring_name, layout_digest=5).close()
        with pytest.raises(BadSegment, match="layout digest of the messages: expected 0x6, found 0x5; read it with"):
            Reader.attach(ring_name, layout_digest=6)
    with pytest.raises(BadSegment):
        Writer.open_or_create(ring_name, layout_digest=6)


def test_ring_of_another_layout_is_gone_after_what_its_refusal_advises(ring_name: str) -> None:
    Writer.create(ring_name, capacity=SMALL, layout_digest=5).close()
    with pytest.raises(BadSegment, match=f"`ringstat gc --closed --prefix {ring_name}` and start the writer"):
        Writer.open_or_create(ring_name, capacity=SMALL, layout_digest=6)
    assert collect_garbage(closed=True, prefix=ring_name) == [ring_name]
    Writer.open_or_create(ring_name, capacity=SMALL, layout_digest=6).close()


def edit(object_name: str, field: str, value: bytes) -> None:
    with path_of(object_name).open("r+b") as file:
        file.seek(offset_of(HEADER, field))
        file.write(value)


@pytest.mark.parametrize("field", ["capacity", "salt", "name", "schema", "boot_id", "crc"])
def test_attach_with_a_changed_identity_is_refused(ring_name: str, field: str) -> None:
    Writer.create(ring_name, capacity=SMALL).close()
    edit(ring_object(ring_name), field, b"\xff\x80\x01")
    with pytest.raises(BadSegment, match="checksum of the identity"):
        Reader.attach(ring_name)


def age(ring_name: str) -> None:
    """Have a ring be of another boot."""
    with path_of(ring_object(ring_name)).open("r+b") as file:
        header = np.frombuffer(bytearray(file.read(HEADER_BYTES)), dtype=np.uint8)
        header.view(HEADER)[0]["boot_id"] = 0
        header.view(HEADER)[0]["crc"] = checksum(header)
        file.seek(0)
        file.write(header.tobytes())


def test_ring_from_before_the_last_boot_is_none_for_readers_and_its_next_writer_makes_it_anew(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL) as writer:
        writer.publish(b"of another boot")
    age(ring_name)
    with pytest.raises(RingNotReady, match="before the last reboot; its next writer makes it anew"):
        Reader.attach(ring_name)
    with Writer.open_or_create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name) as reader:
        assert (writer.next_sequence, len(reader.poll())) == (1, 0)


def test_ring_from_before_the_last_boot_is_garbage_unless_it_has_a_writer(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL):
        age(ring_name)
        assert collect_garbage(prefix=ring_name) == []
        with pytest.raises(NotOwner):
            Writer.create(ring_name, capacity=SMALL)
    assert collect_garbage(prefix=ring_name) == [ring_name]


def test_attach_to_what_is_no_ring_is_refused(ring_name: str) -> None:
    path = path_of(ring_object(ring_name))
    os.mkfifo(path, 0o600)
    with pytest.raises(UnsafeSegment, match="expected a regular file"):
        Reader.attach(ring_name)
    assert ring_name in list_rings() and ring_name not in collect_garbage(prefix=ring_name)
    path.unlink()
    path.write_bytes(bytes(100))
    path.chmod(0o600)
    with pytest.raises(BadSegment, match="expected at least 4096 bytes, found 100"):
        Reader.attach(ring_name)
    path.write_bytes(bytes(HEADER_BYTES + SMALL))
    with pytest.raises(RingNotReady):
        Reader.attach(ring_name)
    assert ring_name in collect_garbage(prefix=ring_name) and ring_name not in list_rings()


def test_attach_without_its_lock_is_refused_and_leaks_nothing(ring_name: str) -> None:
    Writer.create(ring_name, capacity=SMALL).close()
    path_of(lock_object(ring_name)).unlink()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for look in (Reader.attach, RingInfo.read):
        with pytest.raises(RingNotFound, match="-lock"):
            look(ring_name)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_claim_of_a_lock_unlinked_at_the_last_moment_starts_over(ring_name: str) -> None:
    """The race itself: the object goes between its opening and its locking."""
    gone = []

    def unlink_before_the_lock(frame: FrameType, _event: str, _argument: object) -> None:
        if frame.f_code.co_name == "try_lock" and not gone:
            gone.append(path_of(lock_object(ring_name)).unlink())

    sys.setprofile(unlink_before_the_lock)
    try:
        lock = claim(ring_name)
    finally:
        sys.setprofile(None)
    assert gone and same_object(lock.fd, lock_object(ring_name))
    lock.close()


def test_forked_child_leaves_locks_and_slots_with_its_parent(ring_name: str) -> None:
    """What the fork hook does, done here: this process becomes the child."""
    gc.collect()
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name, reliable=True) as reader:
        spare = RingLock(lock_object(ring_name))
        leave_locks_with_parent()
        assert spare.forked and spare.fd == -1
        with pytest.raises(NotOwner, match="stayed in the parent"):
            writer.publish(b"mine?")
        assert reader.state[0]["slot"] == -1 and reader.check() is Status.WRITER_DEAD


def test_attach_to_an_empty_object_is_not_ready(ring_name: str) -> None:
    path_of(ring_object(ring_name)).touch(mode=0o600)
    with pytest.raises(RingNotReady, match="its creator has not finished"):
        Reader.attach(ring_name)
    with Writer.open_or_create(ring_name, capacity=SMALL) as writer:
        assert writer.epoch == 1


def test_attach_without_its_control_page_is_refused(ring_name: str) -> None:
    Writer.create(ring_name, capacity=SMALL).close()
    control = path_of(control_object(ring_name))
    whole = control.read_bytes()
    for content, complaint in (
        (whole[:-1], "expected 4352 bytes, found 4351"),
        (bytes(len(whole)), "no control page of this build"),
        (whole[:16] + bytes(16) + whole[32:], "belongs to another ring"),
    ):
        control.write_bytes(content)
        with pytest.raises(BadSegment, match=complaint):
            Reader.attach(ring_name)
    control.unlink()
    with pytest.raises(BadSegment, match=r"its control page .* is missing"):
        Reader.attach(ring_name)


@pytest.mark.parametrize("made_anew", [False, True])
def test_attach_while_the_ring_is_removed_finds_what_has_the_name_now(
    ring_name: str, monkeypatch: pytest.MonkeyPatch, made_anew: bool
) -> None:
    Writer.create(ring_name, capacity=SMALL).close()
    successors: list[Writer] = []

    def open_control_late(*arguments: Any) -> Any:
        if not successors:
            unlink(ring_name)
            if made_anew:
                successors.append(Writer.create(ring_name, capacity=SMALL))
        return open_control(*arguments)

    monkeypatch.setattr("ringbuf.ring.open_control", open_control_late)
    if made_anew:
        with Reader.attach(ring_name) as reader, successors[0] as writer:
            assert reader.uuid == writer.uuid
    else:
        with pytest.raises(RingNotFound, match="start its producer"):
            Reader.attach(ring_name)


@pytest.mark.parametrize("end", ["Foo", "a\nb", "b c", "\udcff", "\u00e9"])
def test_list_of_rings_leaves_out_what_none_can_be_called(ring_name: str, end: str) -> None:
    strange = Path("/dev/shm") / f"alphapulse-{os.getuid()}-{ring_name}.{end}"
    paths = [strange, *(strange.with_name(strange.name + suffix) for suffix in SUFFIXES)]
    for path in paths:
        path.touch(0o600)
    try:
        listed = (*list_rings(), *list_remains(), *list_counters())
        assert [name for name in listed if ring_name in name] == []
        assert collect_garbage(closed=True, prefix=ring_name) == []
    finally:
        for path in paths:
            path.unlink()


def test_list_of_rings_leaves_out_what_another_user_put_there(ring_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = os.getuid() + 4242
    path = Path("/dev/shm") / f"alphapulse-{theirs}-{ring_name}"
    path.touch(0o600)
    try:
        monkeypatch.setattr(os, "getuid", lambda: theirs)
        assert ring_name not in list_rings()
        monkeypatch.setattr(os, "getuid", lambda: path.stat().st_uid)
        assert ring_name not in list_rings()
    finally:
        path.unlink()


def test_owner_of_what_was_removed_meanwhile_is_nobody(tmp_path: Path) -> None:
    (tmp_path / "gone").touch()
    with os.scandir(tmp_path) as entries:
        (entry,) = entries
    (tmp_path / "gone").unlink()
    assert _owner_of(entry) == -1


def test_create_beside_a_stale_control_page_replaces_it(ring_name: str) -> None:
    Writer.create(ring_name, capacity=SMALL).close()
    path_of(ring_object(ring_name)).unlink()
    with Writer.create(ring_name, capacity=SMALL) as writer, Reader.attach(ring_name) as reader:
        assert reader.uuid == writer.uuid


def test_create_without_space_leaves_nothing_but_the_lock(ring_name: str) -> None:
    with pytest.raises(Exception, match=r"1099511631872 bytes needed, \d+ free"):
        Writer.create(ring_name, capacity=1 << 40)
    assert list_remains().count(ring_name) == 1
    assert ring_name in collect_garbage(prefix=ring_name)
    assert ring_name not in list_remains()


def test_create_beyond_the_limit_on_a_file_says_so(ring_name: str) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL // 2, limits[1]))
    try:
        with pytest.raises(NoSpace, match=rf"bytes needed, {SMALL // 2} allowed by this process's limit on a file"):
            Writer.create(ring_name, capacity=SMALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_create_object_of_no_size_is_an_error_and_leaves_nothing(ring_name: str) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        create_object(ring_object(ring_name), 0)
    assert not path_of(ring_object(ring_name)).exists()


def test_create_object_that_exists_is_refused(ring_name: str) -> None:
    os.close(create_object(ring_object(ring_name), 4096))
    with pytest.raises(AlreadyExists):
        create_object(ring_object(ring_name), 4096)
    assert unlink_object(ring_object(ring_name)) and not unlink_object(ring_object(ring_name))


def test_open_object_that_others_could_have_laid_is_refused(ring_name: str) -> None:
    path = path_of(ring_object(ring_name))
    path.touch(mode=0o600)
    path.chmod(0o622)
    with pytest.raises(UnsafeSegment, match="expected mode 0600 or 0640, found 0622"):
        open_object(ring_object(ring_name), writable=True)
    path.chmod(0o600)
    with pytest.raises(UnsafeSegment, match=f"expected owner uid {os.getuid() + 1}"):
        open_object(ring_object(ring_name), writable=True, owner=os.getuid() + 1)
    path.unlink()
    path.symlink_to("/dev/null")
    with pytest.raises(UnsafeSegment, match="open failed: ELOOP"):
        open_object(ring_object(ring_name), writable=False)


def test_same_object_notices_that_the_name_moved_on(ring_name: str) -> None:
    fd = create_object(ring_object(ring_name), 4096)
    assert same_object(fd, ring_object(ring_name))
    unlink_object(ring_object(ring_name))
    assert not same_object(fd, ring_object(ring_name))
    os.close(create_object(ring_object(ring_name), 4096))
    assert not same_object(fd, ring_object(ring_name))
    os.close(fd)


def test_lock_is_seen_by_others_and_freed_by_close(ring_name: str) -> None:
    mine, other = RingLock(lock_object(ring_name), create=True), RingLock(lock_object(ring_name))
    assert mine.try_lock(WRITER_BYTE) and not other.try_lock(WRITER_BYTE)
    assert other.is_held(WRITER_BYTE) and not other.is_held(WRITER_BYTE + 1) and not mine.is_held(WRITER_BYTE)
    mine.unlock(WRITER_BYTE)
    assert not other.is_held(WRITER_BYTE)
    mine.close()
    mine.close()
    other.close()


def test_claim_of_a_lock_that_was_replaced_takes_the_new_one(ring_name: str) -> None:
    lock = claim(ring_name)
    path_of(lock_object(ring_name)).unlink()
    other = claim(ring_name)
    assert not same_object(lock.fd, lock_object(ring_name)) and same_object(other.fd, lock_object(ring_name))
    lock.close()
    other.close()


def test_unlink_of_a_living_ring_is_refused_and_of_a_dead_one_done(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL):
        assert ring_name in list_rings()
        with pytest.raises(NotOwner):
            unlink(ring_name)
        assert ring_name not in collect_garbage(closed=True, prefix=ring_name)
    assert ring_name not in collect_garbage(prefix=ring_name)
    unlink(ring_name)
    with pytest.raises(RingNotFound, match="to unlink"):
        unlink(ring_name)


def test_ring_with_a_group_lets_it_read(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL, group=os.getgid()) as writer:
        assert path_of(ring_object(ring_name)).stat().st_mode & 0o777 == 0o640
        assert path_of(control_object(ring_name)).stat().st_mode & 0o777 == 0o660
        with Reader.attach(ring_name, owner=os.getuid(), stale_after_s=600) as reader:
            writer.publish(b"for the group")
            assert len(reader.poll()) == 1 and reader.check().name == "EMPTY"


def test_advise_says_what_was_granted(ring_name: str) -> None:
    with Writer.create(ring_name, capacity=SMALL, prefault=True, lock_memory=True, huge_pages=True) as writer:
        assert set(writer.memory) == {"prefault", "lock_memory", "huge_pages"}
        assert writer.memory["prefault"] == "ok"
        with Reader.attach(ring_name, prefault=True) as reader:
            assert reader.memory == {"prefault": "ok"}
        unaligned = writer.words[1:]
        assert advise(unaligned, huge_pages=True) == {"huge_pages": "EINVAL"}


def test_layout_word_of_a_field_that_is_on_no_word_is_a_defect() -> None:
    assert HEADER.itemsize == HEADER_BYTES == 4096 and DESCRIPTOR.itemsize == DESCRIPTOR_BYTES == 32
    with pytest.raises(AssertionError, match="kind at offset 4 is not on a word"):
        word_of(DESCRIPTOR, "kind")


@pytest.mark.parametrize("start", [-64, 0, 32, 128])
def test_layout_group_off_a_free_cache_line_of_the_page_is_a_defect(start: int) -> None:
    with pytest.raises(AssertionError, match=f"at {start}: expected a cache line from 8 on, within 128 bytes"):
        page(128, lines(0, first=I64), lines(start, second=I64))


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
def test_object_for_a_group_that_is_not_ours_is_refused_and_leaves_nothing(ring_name: str) -> None:
    os.seteuid(1234)
    try:
        with pytest.raises(UsageError, match="expected a group of ours"):
            create_object(ring_object(ring_name), 4096, mode=0o640, group=4242)
    finally:
        os.seteuid(0)
    assert list(Path("/dev/shm").glob(f"alphapulse-*-{ring_name}")) == []


def test_object_that_cannot_be_made_is_told_with_where_and_why() -> None:
    with pytest.raises(NoSharedMemory, match=r"cannot be made in /dev/shm: No such file.*is a tmpfs mounted there"):
        open_object("/alphapulse-no-such-folder/object", writable=True, create=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(NoSharedMemory, match="cannot be made in /dev/shm"):
            create_object(f"/alphapulse-test{os.getpid()}.none", 4096)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
