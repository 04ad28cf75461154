"""Progress: a bar on a terminal from the first second on, lines elsewhere, and an output that stays what it is."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading

import pytest

from consumers.progress import MIB, WorkProgress

WORK = """
import sys, time
from consumers.progress import WorkProgress
bar = WorkProgress({what!r}, 4 * (1 << 20), show={show!r}, say=print)
with bar:
    for step in range(4):
        if {slow}:
            bar._due = bar._began  # as after the first second
        bar.advance(1 << 20)
        sys.stdout.write(f"line {{step}}\\n")
"""


def seen(show: bool | None, *, slow: bool, **settings: str) -> tuple[bytes, bytes]:
    """What stdout, a pipe, and stderr, a terminal, get."""
    ours, theirs = os.openpty()
    script = WORK.format(what="verify", show=show, slow=slow)
    environment = {"TERM": "xterm", "COLUMNS": "100", **settings}
    shown: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while more := os.read(ours, 1 << 16):
                shown.append(more)

    reader = threading.Thread(target=read)
    reader.start()
    ended = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=theirs, env=os.environ | environment, check=True
    )
    os.close(theirs)
    reader.join()
    os.close(ours)
    return ended.stdout, b"".join(shown)


LINES = b"".join(b"line %d\n" % step for step in range(4))


def test_progress_is_a_bar_on_a_terminal_and_leaves_the_output_alone() -> None:
    stdout, stderr = seen(None, slow=True)
    assert stdout == LINES
    assert b"verify" in stderr and b"4.0" in stderr


@pytest.mark.parametrize(
    ("show", "slow", "term"), [(False, True, "xterm"), (None, False, "xterm"), (None, True, "dumb")]
)
def test_progress_is_not_shown_of_what_is_quick_nor_where_nobody_wants_it(
    show: bool | None, slow: bool, term: str
) -> None:
    assert seen(show, slow=slow, TERM=term) == (LINES, b"")


def test_progress_in_words_has_share_rate_and_time_left() -> None:
    bar = WorkProgress("verify", 500 * MIB, show=False)
    bar.to(120 * MIB)
    assert bar.line(10.0) == "verify: 120.0 of 500.0 MiB (24%), 12.0 MiB/s, 32 s left"
    unknown = WorkProgress("decode", None, "logs", show=False)
    unknown.to(3000)
    assert unknown.line(2.0) == "decode: 3,000 logs, 1,500.0 logs/s"


def test_progress_without_a_terminal_is_a_line_now_and_then() -> None:
    told: list[str] = []
    bar = WorkProgress("replay", 100, "frames", say=told.append)
    bar.advance(1)
    assert told == []
    bar._began -= 20  # twenty seconds later
    bar._due = bar._began
    bar.advance(49)
    bar.advance(1)
    assert len(told) == 1 and told[0].startswith("replay: 50 of 100 frames (50%)")
