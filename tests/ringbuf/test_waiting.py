"""The loops that watch `tail`: each way out, with a tail that changes at a given look instead of at a given time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ringbuf.atomics import SYS_FUTEX, futex_wait, futex_wake
from ringbuf.kernels import spin, spin_yielding
from ringbuf.kernels.waiting import TURNS_BETWEEN_CLOCKS
from ringbuf.layout import NO_LIMIT, READER
from tlv.units import NS


class TailAt:
    """Words of a ring whose tail is 0 until it has been looked at `looks` times."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    def __getitem__(self, word: int) -> int:
        self.left -= 1
        return 0 if self.left >= 0 else 64


LOOPS = [getattr(loop, "py_func", loop) for loop in (spin, spin_yielding)]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("looks", [0, 1, TURNS_BETWEEN_CLOCKS - 1, TURNS_BETWEEN_CLOCKS, 3 * TURNS_BETWEEN_CLOCKS])
def test_spin_returns_at_the_look_that_sees_another_tail(loop: Callable[..., int], looks: int) -> None:
    words: Any = TailAt(looks)
    assert loop(words, np.zeros(1, dtype=READER), NO_LIMIT) == 1
    assert words.left == -1


@pytest.mark.parametrize("loop", LOOPS)
def test_spin_after_its_time_returns_without_news(loop: Callable[..., int]) -> None:
    assert loop(np.zeros(512, dtype=np.int64), np.zeros(1, dtype=READER), 0) == 0


def test_futex_wake_wakes_everybody_at_once() -> None:
    words = np.zeros(8, dtype=np.int64)
    sleepers = [threading.Thread(target=futex_wait, args=(words, 0, 0, 60 * NS)) for _ in range(3)]
    for sleeper in sleepers:
        sleeper.start()
    asleep = [str(SYS_FUTEX), hex(words.ctypes.data)]
    for sleeper in sleepers:
        while Path(f"/proc/self/task/{sleeper.native_id}/syscall").read_text().split()[:2] != asleep:
            time.sleep(0.001)
    assert futex_wake(words, 0) == 3
    for sleeper in sleepers:
        sleeper.join()
