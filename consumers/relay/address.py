"""Where a relay listens, and the checks that keep other users and other relays out.

Owns the choice of the path: its directory is ours and 0700, the socket 0600, a second relay is refused by a lock, a
socket file that a killed relay left is replaced, and a peer of another user is refused.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import tempfile
import time
from pathlib import Path

from consumers.lockfile import LockFile, LockHeld
from consumers.relay.errors import RelayUnreachable, SocketRefused

LONGEST_PATH = 107
"""Bytes: `sun_path` of a Unix socket's address, without its closing NUL."""
BACKLOG = 256
RETRY_S = 0.005
UCRED = struct.Struct("@iII")  # struct ucred of unix(7): pid, uid, gid


def runtime_directory() -> Path:
    """`$XDG_RUNTIME_DIR/alphapulse`, or `alphapulse-<uid>` in the temporary directory."""
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if Path(base).is_absolute():
        return Path(base) / "alphapulse"
    return Path(tempfile.gettempdir()) / f"alphapulse-{os.getuid()}"


def default_path(domain: str, instance: int = 0) -> Path:
    """The socket of the relay of `domain`; further instances have a number in their names."""
    return runtime_directory() / (f"{domain}.sock" if instance == 0 else f"{domain}.{instance}.sock")


def check_directory(directory: Path) -> None:
    """Create `directory` with mode 0700, or take it if it is ours alone.

    Raises:
        SocketRefused: a symbolic link, no directory, another user's, or open to others.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        pass
    except OSError as error:
        raise SocketRefused(f"{directory}: cannot be made ({error.strerror})") from None
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise SocketRefused(f"{directory}: expected a directory, found {stat.filemode(found.st_mode)}")
    if found.st_uid != os.getuid():
        raise SocketRefused(f"{directory}: expected owner {os.getuid()}, found {found.st_uid}")
    if stat.S_IMODE(found.st_mode) & 0o077:
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        raise SocketRefused(
            f"the socket's folder {directory}: expected mode 0700, found {mode} (chmod 700 {directory})"
        )


def check_length(path: Path) -> None:
    """Raise SocketRefused if a socket cannot have this path."""
    length = len(os.fsencode(path))
    if length > LONGEST_PATH:
        raise SocketRefused(f"{path}: expected a path of at most {LONGEST_PATH} bytes, found {length}")


class Listener:
    """The listening socket at `path`, and the lock beside it, from construction to `close`.

    Raises:
        SocketRefused: see this file's docstring; another file at the path is never touched.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        check_length(path)
        check_directory(path.parent)
        try:
            self._lock = LockFile(path.with_name(path.name + ".lock"))
        except LockHeld as error:
            raise SocketRefused(f"{path}: another relay serves there ({error})") from None
        try:
            self._replace_stale()
            self.socket = self._bind()
        except BaseException:
            self._lock.close()
            raise

    def _bind(self) -> socket.socket:
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            # The umask decides the socket's mode at bind; fchmod afterwards would leave a moment in between.
            before = os.umask(0o177)
            try:
                bound.bind(str(self.path))
            finally:
                os.umask(before)
            bound.listen(BACKLOG)
            self._file = file_of(self.path)
        except BaseException:
            bound.close()
            raise
        return bound

    def is_named(self) -> bool:
        """Whether the path still leads to this socket."""
        return file_of(self.path) == self._file

    def renew(self) -> None:
        """Listen at the path again, whose file is gone, perhaps with its folder.  The old socket is the caller's.

        Raises:
            SocketRefused: something else is there by now, or the folder is not ours alone.
            OSError: for example no descriptors.
        """
        if file_of(self.path):
            raise SocketRefused(f"{self.path}: expected the socket of this relay, found another file")
        check_directory(self.path.parent)
        # Held: the lock's file is still the one that we hold.
        with contextlib.suppress(LockHeld):
            fresh = LockFile(self._lock.path)
            self._lock.close()
            self._lock = fresh
        self.socket = self._bind()

    def _replace_stale(self) -> None:
        """Remove a socket that a killed relay left: we hold the lock, so no relay listens on it."""
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.getuid():
            raise SocketRefused(
                f"{self.path}: expected nothing or a socket of ours, found {stat.filemode(found.st_mode)}"
            )
        self.path.unlink()

    def close(self) -> None:
        """Stop listening and remove the socket."""
        self.socket.close()
        if self.is_named():
            self.path.unlink(missing_ok=True)
        self._lock.close()


def file_of(path: Path) -> tuple[int, int] | None:
    """Device and inode of what stands at `path`; None if nothing can be found there."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def peer_uid(connection: socket.socket) -> int:
    """The user at the other end, as the kernel knows it."""
    return _peer(connection)[1]


def peer_pid(connection: socket.socket) -> int:
    """The process at the other end, of a client's connection the one that listens."""
    return _peer(connection)[0]


def _peer(connection: socket.socket) -> tuple[int, int]:
    pid, uid, _ = UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size))
    return int(pid), int(uid)


def connect(path: Path, timeout_s: float) -> socket.socket:
    """A connection to the relay at `path`, which must be our own user's.

    Raises:
        RelayUnreachable: nobody listens there.
        SocketRefused: the path is too long, or another user listens there.
    """
    check_length(path)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            connection.connect(str(path))
            break
        except OSError as error:
            # EAGAIN: the backlog of the listening socket is full for the moment.
            if isinstance(error, BlockingIOError) and time.monotonic() < deadline:
                time.sleep(RETRY_S)
                continue
            connection.close()
            raise RelayUnreachable(f"{path}: no relay listens there ({error.strerror or error})") from None
    uid = peer_uid(connection)
    if uid != os.getuid():
        connection.close()
        raise SocketRefused(f"{path}: expected a relay of user {os.getuid()}, found one of {uid}")
    return connection
