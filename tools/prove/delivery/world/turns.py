"""Blocking code in a world: it runs in a thread of its own, and only while the world waits for it.

Whatever would sleep calls `pause`; so one thread runs at a time, in the order of the seed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class Killed(BaseException):
    """Raised where a killed process stands.  What it does on its way out, nobody sees."""


class Turns:
    """`work`, which goes on at each `resume` up to its next `pause`."""

    running: Turns | None = None

    def __init__(self, work: Callable[[], object]) -> None:
        self.killed = self.ended = False
        self._work = work
        self._error: Exception | None = None
        # Locks, taken at first: a Semaphore is made of Python code.
        self._its_turn, self._our_turn = threading.Lock(), threading.Lock()
        self._its_turn.acquire()
        self._our_turn.acquire()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._its_turn.acquire()
        try:
            if not self.killed:
                self._work()
        except Killed:
            pass
        except Exception as error:  # noqa: BLE001 - the world judges it
            self._error = error
        self.ended = True
        self._our_turn.release()

    def resume(self) -> None:
        """Let it run up to its next pause, or its end.

        Raises:
            What `work` raises.
        """
        if self.ended:
            return
        Turns.running = self
        self._its_turn.release()
        self._our_turn.acquire()
        Turns.running = None
        if self._error is not None:
            raise self._error

    def kill(self) -> None:
        """End it where it stands."""
        self.killed = True
        self.resume()
        self._thread.join()

    def pause(self) -> None:
        """In `work`: let the world go on."""
        self._our_turn.release()
        self._its_turn.acquire()
        if self.killed:
            raise Killed


def pause() -> None:
    """Let the world go on, which runs this code."""
    assert Turns.running is not None
    Turns.running.pause()
