"""The descriptor that is flushed."""

from __future__ import annotations

import os

from consumers.journal.flushing import duplicate


def test_duplicate_of_any_open_descriptor_is_the_same_file_and_of_none_none() -> None:
    """Descriptor 0 too: a recorder may be started with its standard input closed."""
    read, write = os.pipe()
    for fd in (0, read, write):
        copy = duplicate(fd)
        assert copy not in (-1, fd)
        assert os.path.sameopenfile(copy, fd)
        os.close(copy)
    os.close(read)
    os.close(write)
    assert duplicate(write) == duplicate(-1) == -1
