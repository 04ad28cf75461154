"""A thread that makes an eventfd readable when a ring has new frames.

Owns the wait on one ring.  A server sleeps in epoll, which cannot wait for shared memory; a bell sleeps on the ring's
futex without the GIL and then writes to an eventfd.  It writes once each time it is armed, so a busy ring does not
flood the server.  `ringbuf.async_reader` has another: this one rings the one eventfd of all rings, from the position it
is armed with, and for frames alone; a ring that is closed would ring for ever while a client stands at its end.

The thread costs a second wake-up and a switch of the GIL.  `RingFeed.await_frames` is the wait without it, for a server
that expects the next message in this ring and polls its sockets between two waits.
"""

from __future__ import annotations

import os
import threading

from ringbuf import Reader
from ringbuf.kernels import sleep_on
from tlv.units import MS

SLICE_NS = 50 * MS


class Bell:
    """Watches the ring of `reader` on behalf of the epoll that `eventfd` is registered with.

    Close it before the reader: it uses the reader's map.
    """

    def __init__(self, reader: Reader, eventfd: int) -> None:
        self._words, self._control = reader.words, reader.control
        self._state = reader.state.copy()
        self._eventfd = eventfd
        self._wanted = threading.Semaphore(0)
        self._armed = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"bell {reader.name}", daemon=True)
        self._thread.start()

    def arm(self, position: int) -> None:
        """Write to the eventfd as soon as the ring's end is not `position`; does nothing while armed."""
        if not self._armed:
            self._armed = True
            self._state[0]["position"] = position
            self._wanted.release()

    def close(self) -> None:
        """Stop the thread; takes up to 50 ms."""
        self._stopping = True
        self._wanted.release()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._wanted.acquire()
            while not self._stopping and not sleep_on(self._words, self._control, self._state, SLICE_NS):
                pass
            if self._stopping:
                return
            self._armed = False
            os.eventfd_write(self._eventfd, 1)
