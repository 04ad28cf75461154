"""The loops that watch `tail`: each way out, with a tail that changes at a given look instead of at a given time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ringbuf.kernels import spin, spin_yielding
from ringbuf.kernels.waiting import TURNS_BETWEEN_CLOCKS
from ringbuf.layout import NO_LIMIT, READER


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
