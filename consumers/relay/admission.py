"""How new clients come in: the listening socket, and what is said to those for whom the relay has no descriptor.

Owns the listener and one spare descriptor.  Out of descriptors, the spare one accepts who waits, says so and hangs
up, so that a passing lack is told and not waited out.  Where even that fails, epoll does not hear of new clients
until the next tenth of a second: it would tell of the same ones without an end.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from pathlib import Path

from consumers.relay import protocol
from consumers.relay.address import Listener
from consumers.relay.counters import Counters
from consumers.relay.errors import SocketRefused, short_of

LISTEN = select.EPOLLIN


class Admission:
    """Listens at `path`; `epoll` hears of new clients.

    Raises:
        SocketRefused: see `Listener`.
    """

    def __init__(self, path: Path, epoll: select.epoll, counters: Counters) -> None:
        self._listener = Listener(path)
        self._epoll = epoll
        self._counters = counters
        self._deaf = False
        self._spare = -1
        self._shortages = 0
        self._keep_spare()
        epoll.register(self._listener.socket, LISTEN)

    def fileno(self) -> int:
        """Of the listening socket."""
        return self._listener.socket.fileno()

    def accept(self) -> socket.socket | None:
        """The next client; None if nobody waits, or nobody can be accepted now."""
        while True:
            try:
                sock, _ = self._listener.socket.accept()
            except BlockingIOError:
                return None
            except OSError as error:
                if not self._turn_away(error):
                    return None
            else:
                sock.setblocking(False)
                return sock

    def listen(self) -> None:
        """Hear of new clients again: due every tenth of a second."""
        if self._deaf:
            self._epoll.modify(self._listener.socket, LISTEN)
            self._deaf = False

    def keep(self) -> None:
        """What is due every second: the spare descriptor, and the socket's file, which somebody may have removed.

        Raises:
            OSError: for example no descriptors.
        """
        if self._counters.shortages == self._shortages:
            self._counters.sound("relay")
        self._shortages = self._counters.shortages
        self._keep_spare()
        if self._listener.is_named():
            return
        old, path = self._listener.socket, self._listener.path
        try:
            self._listener.renew()
        except SocketRefused as error:
            self._counters.warn_once(str(path), f"no longer leads here; the clients there are served on ({error})")
            return
        if old.fileno() >= 0:
            self._epoll.unregister(old)
            old.close()
        self._epoll.register(self._listener.socket, LISTEN)
        self._deaf = False
        self._counters.renewed_sockets += 1

    def stop(self) -> None:
        """Accept nobody any more."""
        self._epoll.unregister(self._listener.socket)

    def close(self) -> None:
        """Stop listening and remove the socket."""
        self._listener.close()
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1

    def _turn_away(self, error: OSError) -> bool:
        """Tell the next client why it is not served.  False if nobody waits (accept(2) says that it lacks a descriptor
        before it looks), or if there is not even a descriptor for this."""
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1
        try:
            sock, _ = self._listener.socket.accept()
        except BlockingIOError:
            return self._keep_spare() and False
        except OSError:
            self._counters.lack(error, "a client cannot be accepted")
            self._epoll.modify(self._listener.socket, 0)
            self._deaf = True
            return False
        with sock, contextlib.suppress(OSError):
            sock.setblocking(False)
            sock.send(protocol.farewell(short_of(error)))
        self._counters.lack(error, "clients are turned away")
        self._counters.refused += 1
        return self._keep_spare()

    def _keep_spare(self) -> bool:
        """Open the descriptor that `_turn_away` needs.  False if there is none now."""
        if self._spare < 0:
            with contextlib.suppress(OSError):
                self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        return self._spare >= 0
