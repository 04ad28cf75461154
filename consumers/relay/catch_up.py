"""The windows of a ring's journal, read by a thread of its own, so that no disk and no unpacking delays live clients.

Owns the thread and what is under way between it and the relay.  `ask` never waits: it returns the window, the answer
that came instead, or None while the thread reads.  An answer that came makes an eventfd readable.

Memory, for any number of clients: CACHE_BYTES of windows, UNDERWAY windows that the relay has not taken yet, and
READERS readers of half a MiB, which are as many open files.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from consumers.relay.counters import Counters
from consumers.relay.journal_reading import Answer, JournalReading, NoWindow
from consumers.relay.windows import JournalWindow, WindowCache

UNDERWAY = 4
"""Windows that were read and not taken: the thread waits for room."""
AGAIN_S = 0.02
"""How long an answer without a window holds: one that waits for the recorder asks that often."""
MOST_ANSWERS = 1024


class JournalWindows:
    """The journal in `directory` of the ring `ring_uuid`; `wake` is called whenever an answer came."""

    def __init__(self, directory: Path, ring_uuid: bytes, wake: Callable[[], None], counters: Counters) -> None:
        self.directory = directory
        self._reading = JournalReading(directory, ring_uuid)
        self._wake = wake
        self._counters = counters
        self._cache = WindowCache()
        self._asked: set[int] = set()
        self._answers: dict[int, tuple[float, Answer]] = {}
        self._requests: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._done: deque[Answer] = deque()
        self._room = threading.Semaphore(UNDERWAY)
        self._thread: threading.Thread | None = None
        self._stopping = False

    def is_asked(self, sequence: int) -> bool:
        """Whether the thread is about to answer for `sequence`."""
        return sequence in self._asked and self._thread is not None and self._thread.is_alive()

    def window(self, sequence: int) -> JournalWindow | None:
        """The window that covers `sequence`, if it is in memory."""
        self._take_done()
        return self._cache.find(sequence)

    def ask(self, sequence: int) -> Answer | None:
        """Why there is no window at `sequence`; None if that is being found out.

        Raises:
            RuntimeError: no thread can be started now.
        """
        self._take_done()
        at, answer = self._answers.get(sequence, (0.0, None))
        if answer and time.monotonic() - at < AGAIN_S:
            return answer
        if self._thread and not self._thread.is_alive():
            return Answer(sequence, NoWindow.NEVER, "the thread that reads it ended by a defect")
        if sequence not in self._asked:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=f"catch-up {self.directory}", daemon=True)
                thread.start()
                self._thread = thread
            self._asked.add(sequence)
            self._requests.put(sequence)
        return None

    def close(self) -> None:
        """Stop the thread and close the journal."""
        self._stopping = True
        if self._thread:
            self._requests.put(None)
            self._room.release()
            self._thread.join()
        self._reading.close()

    def _take_done(self) -> None:
        while self._done:
            answer = self._done.popleft()
            self._asked.discard(answer.sequence)
            if len(self._answers) >= MOST_ANSWERS:
                self._answers.clear()
            self._answers.pop(answer.sequence, None)
            if isinstance(answer.outcome, JournalWindow):
                self._counters.windows += 1
                self._cache.add(answer.outcome)
            else:
                self._answers[answer.sequence] = time.monotonic(), answer
            if answer.problem:
                self._note(answer)
            elif isinstance(answer.outcome, JournalWindow):
                self._counters.sound(str(self.directory))
            self._room.release()

    def _note(self, answer: Answer) -> None:
        if answer.outcome is NoWindow.LATER:
            self._counters.shortages += answer.shortage is not None
        else:
            self._counters.damaged_journals += 1
        self._counters.warn_once(str(self.directory), answer.problem, journal=self.directory)

    def _run(self) -> None:
        while (sequence := self._requests.get()) is not None:
            self._room.acquire()
            if self._stopping:
                return
            self._done.append(self._reading.read(sequence))
            self._wake()
