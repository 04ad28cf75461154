"""The last acknowledged sequences of each named client, on disk.

Owns one small file per name: {"version": 1, "checksum": ..., "acknowledged": {"<ring name>/<ring uuid>": sequence}},
the rings of a name in the order in which they followed each other.  A file is replaced as a whole, so a kill leaves
the old or the new one.  A file that is damaged all the same (a power cut, another hand) is set aside as
`<name>.damaged`, and its name counts as having acknowledged nothing of any ring: everything that is retained comes
once more, the rest is told as lost.  A lock per name excludes a second connection under it, also one to another relay.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import zlib
from pathlib import Path

import msgspec

from consumers.incarnations import RingCursor
from consumers.lockfile import LockFile, LockHeld
from consumers.relay.errors import Farewell, short_of
from consumers.relay.refusals import number_of, passes
from tlv.codes import FarewellReason

VERSION = 1
REMEMBERED = 64
"""Rings of one name whose cursors are kept, so that what a client had is not sent again."""
MOST_BYTES = 1 << 20
"""Of a cursor's file: some 15,000 rings."""


class CursorFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file holds.  `checksum` is the CRC-32 of `acknowledged` as JSON, its keys in order."""

    version: int
    checksum: int
    acknowledged: dict[str, int]


DECODER = msgspec.json.Decoder(CursorFile)


def checksum_of(acknowledged: dict[str, int]) -> int:
    """CRC-32 of the sequences by ring."""
    return zlib.crc32(msgspec.json.encode(dict(sorted(acknowledged.items()))))


def encode(acknowledged: dict[str, int]) -> bytes:
    """The file's bytes."""
    return msgspec.json.encode(CursorFile(VERSION, checksum_of(acknowledged), acknowledged))


def decode(data: bytes) -> dict[str, int] | None:
    """The sequences by ring; None if the bytes are no cursor of this version, or not those that were written."""
    if len(data) > MOST_BYTES:
        return None
    try:
        found = DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    sound = found.version == VERSION and found.checksum == checksum_of(found.acknowledged)
    return found.acknowledged if sound else None


def default_directory() -> Path:
    """`$XDG_STATE_HOME/alphapulse/cursors`, or below `~/.local/state`."""
    base = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".local" / "state") / "alphapulse" / "cursors"


def read_regular(path: Path) -> bytes:
    """The first bytes of a file, and of nothing that could be waited for.

    Raises:
        OSError: it cannot be opened, or is a directory, a FIFO, a device.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL, f"{path}: expected a file")
        return os.read(fd, MOST_BYTES + 1)
    finally:
        os.close(fd)


class Cursor:
    """The durable cursor of client `name`, locked until `close`.

    Raises:
        Farewell: NAME_IN_USE, NO_RESOURCES, or CURSOR_REFUSED if its files cannot be opened and will not be by
            themselves.  Nothing stays locked.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self.path = directory / f"{name}.json"
        self.damaged = False
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = LockFile(directory / f"{name}.lock")
        except LockHeld:
            raise Farewell(FarewellReason.NAME_IN_USE) from None
        except OSError as error:
            raise refusal(error) from None
        self._unsaved = False
        try:
            self._acknowledged = self._load()
        except OSError as error:
            self._lock.close()
            raise refusal(error) from None
        except BaseException:
            self._lock.close()
            raise

    def _load(self) -> dict[str, int]:
        aside = self.path.with_suffix(".damaged")
        try:
            data = read_regular(self.path)
        except FileNotFoundError:
            # Set aside by a relay that was killed before it saved anything new.
            self.damaged = aside.exists()
            return {}
        found = decode(data)
        if found is None:
            self.damaged = True
            self.path.replace(aside)
        return found or {}

    def of_ring(self, ring_name: str) -> list[RingCursor]:
        """What comes behind the last acknowledged sequence of each ring that had this name, oldest first."""
        found = []
        for key, sequence in self._acknowledged.items():
            name, _, uuid = key.rpartition("/")
            if name == ring_name:
                # Text that is no uuid is of no ring that anybody knows.
                with contextlib.suppress(ValueError):
                    found.append(RingCursor(bytes.fromhex(uuid), sequence + 1))
        return found

    def advance(self, ring_name: str, ring_uuid: bytes, sequence: int) -> None:
        """Note an acknowledgement; it never moves back.  `save` makes it durable."""
        key = f"{ring_name}/{ring_uuid.hex()}"
        if sequence > self._acknowledged.get(key, -1):
            self._acknowledged[key] = sequence
            self._unsaved = True
            self._forget(ring_name)

    def _forget(self, ring_name: str) -> None:
        """Keep the last REMEMBERED rings of a name."""
        known = [key for key in self._acknowledged if key.rpartition("/")[0] == ring_name]
        for key in known[:-REMEMBERED]:
            del self._acknowledged[key]

    def save(self) -> bool:
        """Write the file if anything changed.  False if the disk refuses; the next call tries again."""
        if not self._unsaved:
            return True
        fresh = self.path.with_suffix(".new")
        try:
            fresh.write_bytes(encode(self._acknowledged))
            fresh.replace(self.path)
        except OSError:
            # An acknowledgement that is not saved costs repeated messages after a crash, and nothing else.
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            return False
        self._unsaved = False
        return True

    def close(self) -> None:
        """Save and release the name."""
        try:
            self.save()
        finally:
            self._lock.close()


def refusal(error: OSError) -> Farewell:
    """The Farewell for a name whose files cannot be opened."""
    return short_of(error) if passes(error) else Farewell(FarewellReason.CURSOR_REFUSED, 0, number_of(error))
