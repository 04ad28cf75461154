"""A command on a terminal of a given size, and what stands on it: a real pty, read by a real terminal emulator."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyte

PATIENCE_S = 120.0
HOME = b"\x1b[H"
"""With which a picture begins."""
EMPTY: Mapping[str, str] = {}


class WatchedScreen(pyte.Screen):
    """A terminal that counts lines that wrapped and lines that scrolled away."""

    def __init__(self, columns: int, rows: int) -> None:
        self.wrapped = self.scrolled = 0
        super().__init__(columns, rows)

    def draw(self, data: str) -> None:
        """Take text."""
        for char in data:
            self.wrapped += self.cursor.x >= self.columns
            super().draw(char)

    def index(self) -> None:
        """Go down a line."""
        self.scrolled += self.cursor.y >= self.lines - 1
        super().index()


class Terminal:
    """A running command and its terminal."""

    def __init__(self, process: subprocess.Popen[bytes], fd: int, columns: int, rows: int) -> None:
        self.process, self._fd = process, fd
        self.written = b""
        self._decode = codecs.getincrementaldecoder("utf-8")()
        self.screen = WatchedScreen(columns, rows)
        self._stream = pyte.Stream(self.screen)

    @property
    def lines(self) -> list[str]:
        """What stands there now."""
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        """The same as one text."""
        return "\n".join(self.lines)

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size, as a person does, and wait until all that was drawn for the old one is over.

        What wraps or scrolls from then on is counted anew.
        """
        set_size(self._fd, columns, rows)
        self.screen.resize(rows, columns)
        self.frames(3)
        self.screen.wrapped = self.screen.scrolled = 0
        self.frames(1)

    def frames(self, count: int) -> None:
        """Read until so many more pictures have begun."""
        end = self.written.count(HOME) + count
        self.until(lambda shown: shown.written.count(HOME) >= end, f"{count} more pictures")

    def read(self, seconds: float) -> bool:
        """Take what is written within some seconds; false at the end."""
        if not select.select([self._fd], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._fd, 1 << 16)
        except OSError:  # the command and all its children have closed the terminal
            return False
        self.written += data
        self._stream.feed(self._decode.decode(data))
        return bool(data)

    def until(self, fact: Callable[[Terminal], Any], what: str) -> None:
        """Read until something is so.

        Raises:
            AssertionError: the command ended, or it took too long.
        """
        deadline = time.monotonic() + PATIENCE_S
        while not fact(self):
            going = self.read(0.1)
            assert going or fact(self), f"ended before {what}:\n{self.text}"
            assert time.monotonic() < deadline, f"waited for {what}:\n{self.text}"

    def end(self) -> int:
        """Ctrl-C, all that is written then, and the exit code."""
        os.write(self._fd, b"\x03")
        deadline = time.monotonic() + PATIENCE_S
        while self.read(0.1):
            assert time.monotonic() < deadline or self.process.poll() is not None, f"does not end:\n{self.text}"
            if self.process.poll() is not None and not select.select([self._fd], [], [], 0.1)[0]:
                break
        return self.process.wait(timeout=PATIENCE_S)


def set_size(fd: int, columns: int, rows: int) -> None:
    """Of a terminal; its foreground processes get SIGWINCH."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


@contextlib.contextmanager
def on_a_terminal(
    command: Sequence[str], columns: int, rows: int, environment: Mapping[str, str] = EMPTY
) -> Iterator[Terminal]:
    """The command, in the foreground of a terminal of its own."""
    leader, follower = os.openpty()
    set_size(leader, columns, rows)

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    plain = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS", "LINES"}}
    process = subprocess.Popen(
        command,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=plain | {"TERM": "xterm-256color"} | dict(environment),
        preexec_fn=take_terminal,  # noqa: PLW1509 - a controlling terminal is taken by the child itself
    )
    os.close(follower)
    try:
        yield Terminal(process, leader, columns, rows)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait(timeout=PATIENCE_S)
        os.close(leader)
