"""Whether a ring has a writer, seen by who waits to become the next one."""

from __future__ import annotations

from contextlib import closing

from ringbuf import Writer, WriterWatch
from ringbuf.names import FOLDER, lock_object, ring_object


def remove_names(ring: str) -> None:
    for path in FOLDER.glob(ring_object(ring).removeprefix("/") + "*"):
        path.unlink()


def test_watch_sees_writers_come_and_go_and_keeps_none_from_writing(ring_name: str) -> None:
    with closing(WriterWatch(ring_name)) as watch:
        assert not watch.has_writer()
        for _ in range(2):
            with Writer.open_or_create(ring_name):
                assert [watch.has_writer() for _ in range(3)] == [True] * 3
            assert not watch.has_writer()
            assert not watch.lost_name


def test_watch_of_a_writer_whose_ring_lost_its_name_sees_it_until_it_leaves(ring_name: str) -> None:
    with closing(WriterWatch(ring_name)) as watch:
        with Writer.create(ring_name):
            assert watch.has_writer()
            remove_names(ring_name)
            assert watch.has_writer()
        assert not watch.has_writer()
        assert watch.lost_name
        with Writer.create(ring_name):
            assert watch.has_writer()
            assert not watch.lost_name


def test_watch_whose_writer_left_a_ring_without_a_name_goes_on_with_the_writer_of_the_new_one(ring_name: str) -> None:
    with closing(WriterWatch(ring_name)) as watch:
        old = Writer.create(ring_name)
        assert watch.has_writer()
        remove_names(ring_name)
        with Writer.create(ring_name):
            old.close()
            assert watch.has_writer()
            assert not watch.lost_name
        assert not watch.has_writer()


def test_watch_that_begins_when_the_lock_object_is_gone_sees_the_writer_by_its_ring(ring_name: str) -> None:
    with closing(WriterWatch(ring_name)) as watch:
        with Writer.create(ring_name):
            (FOLDER / lock_object(ring_name).removeprefix("/")).unlink()
            assert [watch.has_writer() for _ in range(2)] == [True] * 2
        assert not watch.has_writer()
