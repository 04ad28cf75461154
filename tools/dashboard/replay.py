"""A journal's page that goes on from a block, at the recorded pace or a multiple of it.

Owns the thread that folds frames when they are due.  Knows no page and no socket: who shows it asks for updates.
"""

from __future__ import annotations

import threading

from consumers.journal import JournalReader
from ringbuf.playback import Pace
from tlv.errors import AlphaPulseError
from tools.dashboard.recorded_journal import AT_END, PastPage
from tools.dashboard.shapes import Update


class PageReplay:
    """What follows behind `page`, `speed` times as fast as it was published.

    Raises:
        UsageError: a speed that is none.
    """

    def __init__(self, page: PastPage, speed: float) -> None:
        self._page = page
        self._pace = Pace(speed)
        self._lock = threading.Lock()
        """Around the fold."""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._play, name="replay", daemon=True)
        self.ended = ""
        """Why nothing follows any more, in words; empty as long as something may."""

    def start(self) -> None:
        """Begin; the clock of the recording starts."""
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stopped.set()
        self._thread.join()

    def update(self, *, whole: bool = False) -> Update:
        """What changed since the last update; all of it if `whole`."""
        with self._lock:
            fold = self._page.fold
            update = fold.view.update(fold.wall_ns)
            return fold.view.whole(fold.wall_ns) if whole else update

    def _play(self) -> None:
        journal, fold = self._page.journal, self._page.fold
        try:
            with JournalReader(journal.directory) as reader:
                reader.seek_sequence(fold.sequence, fold.uuid)
                while not self._stopped.is_set():
                    poll = reader.poll()
                    ring, uuid, offset_ns = reader.name, reader.uuid, reader.clock_offset_ns
                    if not len(poll):
                        fold.follow(ring, uuid, poll, offset_ns)
                        if poll.status in AT_END:
                            break
                    loss = poll.loss
                    for part in self._pace.parts(poll, self._stopped.is_set, ring=uuid, clock_offset_ns=offset_ns):
                        part.loss, loss = loss, None
                        with self._lock:
                            fold.follow(ring, uuid, part, offset_ns)
            self.ended = f"journal {journal.name} ends here"
        except (AlphaPulseError, OSError) as error:
            self.ended = f"journal {journal.name} cannot be read on: {error}"
