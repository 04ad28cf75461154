"""The connections between relay and client: bytes in order, taken in pieces, broken at any time."""

from __future__ import annotations

from itertools import count
from random import Random


class WireEnd:
    """The client's end, standing for a socket; the relay takes from `to_relay` and puts into `to_client`."""

    _numbers = count(1)

    def __init__(self, rng: Random) -> None:
        self.to_relay, self.to_client = bytearray(), bytearray()
        self.open, self.answered = True, False
        self._fd = next(self._numbers)
        self._random = rng

    @property
    def is_readable(self) -> bool:
        """Whether a wait for it ends."""
        return bool(self.to_client) or not self.open

    def fileno(self) -> int:
        """A number of its own."""
        return self._fd

    def setblocking(self, _: bool) -> None:
        """It never blocks."""

    def settimeout(self, _: float) -> None:
        """It never blocks."""

    def send(self, data: bytes) -> int:
        """Take a piece of it."""
        if not self.open:
            raise BrokenPipeError
        taken = data[: self._random.randint(1, len(data))]
        self.to_relay += taken
        return len(taken)

    def sendall(self, data: bytes) -> None:
        """Take it."""
        if not self.open:
            raise BrokenPipeError
        self.to_relay += data

    def recv_into(self, view: memoryview) -> int:
        """Give a piece of what came; nothing once the relay hung up."""
        if not self.to_client:
            if self.open:
                raise BlockingIOError
            return 0
        size = min(len(view), self._random.randint(1, len(self.to_client)))
        view[:size] = self.to_client[:size]
        del self.to_client[:size]
        return size

    def kill(self) -> None:
        """Break it with its process: what a relay has not answered yet, it never hears."""
        if not self.answered:
            self.to_relay.clear()
        self.open = False

    def shutdown(self, _: int) -> None:
        """Break it."""
        self.open = False

    def close(self) -> None:
        """Break it."""
        self.open = False
