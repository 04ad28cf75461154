"""The one table of refusals, and what of a journal a relay keeps in memory."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import numpy as np
import pytest

from consumers.relay import windows
from consumers.relay.errors import Farewell, short_of
from consumers.relay.refusals import REFUSALS, is_final, passes
from consumers.relay.windows import JournalWindow, WindowCache
from ringbuf.layout import INDEX_ROWS, SEQUENCE_ROW
from tlv.codes import FarewellReason

DOCUMENT = Path(windows.__file__).with_name("RELAY.md")
ROW = re.compile(r"^\| (\d+) \| ([A-Z_]+) \| (yes|no) \| (.+) \|$", re.MULTILINE)
TEMPORARY = {
    FarewellReason.SHUTTING_DOWN,
    FarewellReason.TOO_SLOW,
    FarewellReason.HELLO_TIMEOUT,
    FarewellReason.NAME_IN_USE,
    FarewellReason.TOO_MANY_CLIENTS,
    FarewellReason.RING_UNREADABLE,
    FarewellReason.NO_RESOURCES,
}


def test_refusals_of_the_document_are_those_of_the_table() -> None:
    written = [
        (int(number), name, final == "yes", text) for number, name, final, text in ROW.findall(DOCUMENT.read_text())
    ]
    assert written == [(reason, reason.name, *REFUSALS[reason]) for reason in FarewellReason]


def test_refusal_is_final_only_if_the_same_hello_is_refused_again() -> None:
    assert {reason for reason in FarewellReason if not is_final(reason)} == TEMPORARY
    assert not is_final(77), "a reason that a newer relay gives"


@pytest.mark.parametrize("lack", ["EMFILE", "ENFILE", "ENOMEM", "ENOSPC", "EDQUOT", "EIO", "EROFS"])
def test_refusal_for_a_lack_is_temporary_and_says_it(lack: str) -> None:
    error = OSError(getattr(errno, lack), "it lacks")
    refusal = short_of(error)
    assert passes(error) and not refusal.final
    assert str(refusal).endswith(f"no resources ({lack})")


def test_refusal_for_what_stays_does_not_count_as_a_lack() -> None:
    assert not any(passes(OSError(number, "")) for number in (errno.EACCES, errno.EISDIR, errno.ELOOP))
    assert Farewell(FarewellReason.CURSOR_REFUSED, 0, errno.EACCES).final


def window(begin: int, frames: int, size: int) -> JournalWindow:
    """A window of so many frames, and as much memory for payloads."""
    table = np.zeros((INDEX_ROWS, frames), np.int64)
    table[SEQUENCE_ROW] = np.arange(begin, begin + frames)
    return JournalWindow(begin, begin + frames, table, np.zeros(size, np.uint8))


def test_windows_used_last_are_kept_and_never_more_than_the_bound() -> None:
    cache = WindowCache(most_bytes=10_000)
    for begin in range(1, 1001, 10):
        cache.add(window(begin, 10, 2000))
        assert cache.find(1) is not None, "it is used all the time"
        assert cache.bytes <= 10_000
    found = cache.find(995)
    assert found is not None and found.begin == 991 and found.column(995) == 4
    assert cache.find(900) is None


def test_window_that_is_read_again_counts_once() -> None:
    cache = WindowCache(most_bytes=10_000)
    for _ in range(10):
        cache.add(window(1, 10, 2000))
    assert cache.bytes == window(1, 10, 2000).size
