"""How much of a journal a relay keeps in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from consumers.relay.catch_up import MOST_ANSWERS, JournalWindows
from consumers.relay.counters import Counters
from consumers.relay.journal_reading import Answer, NoWindow
from consumers.relay.windows import JournalWindow, WindowCache
from ringbuf.layout import INDEX_ROWS, SEQUENCE_ROW


def window_of(sequence: int, frames: int, size: int) -> JournalWindow:
    table = np.zeros((INDEX_ROWS, frames), np.int64)
    table[SEQUENCE_ROW] = np.arange(sequence, sequence + frames)
    return JournalWindow(sequence, sequence + frames, table, np.zeros(size, np.uint8))


def test_windows_kept_take_no_more_than_they_may_counting_tables_and_payloads() -> None:
    one = window_of(1, 16, 1000)
    assert one.size == INDEX_ROWS * 16 * 8 + 1000
    cache = WindowCache(3 * one.size)
    for begin in (1, 17, 33):
        cache.add(window_of(begin, 16, 1000))
    assert cache.bytes == 3 * one.size
    assert None not in [cache.find(sequence) for sequence in (1, 17, 33)]
    cache.add(window_of(49, 16, 1000))
    assert cache.bytes == 3 * one.size
    assert cache.find(1) is None, "it was used the longest ago"
    assert None not in [cache.find(sequence) for sequence in (17, 33, 49)]


def test_answers_of_a_journal_without_windows_are_not_kept_for_ever(tmp_path: Path) -> None:
    windows = JournalWindows(tmp_path, bytes(16), lambda: None, Counters())
    for sequence in range(3 * MOST_ANSWERS):
        windows._done.append(Answer(sequence, NoWindow.NEVER))
    assert windows.window(1) is None
    assert 0 < len(windows._answers) <= MOST_ANSWERS
    windows.close()
