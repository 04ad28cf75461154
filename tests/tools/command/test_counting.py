"""A command's counters: there while it works, gone afterwards, and done without where shared memory has no room."""

from __future__ import annotations

import errno
import os

import pytest

from consumers.recorder import Recorded
from ringbuf.counters import read_counters
from ringbuf.errors import RingNotFound
from tools.command.counting import counters_beside


def test_counters_of_a_command_are_there_while_it_works(ring_name: str) -> None:
    with counters_beside(Recorded, ring_name, "recorder") as shared:
        assert shared is not None
        assert read_counters(shared.object_name).alive
    with pytest.raises(RingNotFound):
        read_counters(shared.object_name)


def test_command_whose_counters_find_no_room_works_without_and_says_so(
    ring_name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(fd: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with counters_beside(Recorded, ring_name, "recorder") as shared:
        assert shared is None
    (said,) = caplog.records
    assert said.name == "alphapulse.recorder" and said.getMessage().endswith("working without shared counters")
