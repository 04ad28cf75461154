"""The last acknowledged sequences of each named client, on disk.

Owns one small file per name: {"<ring uuid>": last acknowledged sequence}.  A file is replaced as a whole, so a kill
leaves the old or the new one; a file that a power cut damaged counts as empty, which costs repeats and never a loss.  A
lock per name excludes a second connection under it, also one to another relay.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from consumers.lockfile import LockFile, LockHeld
from consumers.relay.errors import Farewell
from tlv.codes import FarewellReason

DECODER = msgspec.json.Decoder(dict[str, int])


def default_directory() -> Path:
    """`$XDG_STATE_HOME/alphapulse/cursors`, or below `~/.local/state`."""
    base = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".local" / "state") / "alphapulse" / "cursors"


class Cursor:
    """The durable cursor of client `name`, locked until `close`.

    Raises:
        Farewell: another connection has this name, or its file cannot be made or read.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self._path = directory / f"{name}.json"
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = LockFile(directory / f"{name}.lock")
        except LockHeld:
            raise Farewell(FarewellReason.NAME_IN_USE) from None
        except OSError:
            raise Farewell(FarewellReason.NAME_REFUSED) from None
        self._unsaved = False
        try:
            self._acknowledged = DECODER.decode(self._path.read_bytes())
        except (FileNotFoundError, msgspec.MsgspecError):
            self._acknowledged = {}
        except OSError:
            self._lock.close()
            raise Farewell(FarewellReason.NAME_REFUSED) from None

    def get(self, ring_uuid: bytes) -> int | None:
        """The last sequence that was acknowledged for a ring; None if none ever was."""
        return self._acknowledged.get(ring_uuid.hex())

    def advance(self, ring_uuid: bytes, sequence: int) -> None:
        """Note an acknowledgement; it never moves back.  `save` makes it durable."""
        key = ring_uuid.hex()
        if sequence > self._acknowledged.get(key, -1):
            self._acknowledged[key] = sequence
            self._unsaved = True

    def save(self) -> bool:
        """Write the file if anything changed.  False if the disk refuses; the next call tries again."""
        if not self._unsaved:
            return True
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_bytes(msgspec.json.encode(self._acknowledged))
            fresh.replace(self._path)
        except OSError:
            # An acknowledgement that is not saved costs repeated messages after a crash, and nothing else.
            return False
        self._unsaved = False
        return True

    def close(self) -> None:
        """Save and release the name."""
        self.save()
        self._lock.close()
