"""Checkpoints of folds, as files that outlive the process: in the user's cache, never in a journal's directory.

Owns the folder, its bound and the form of a file.  Knows neither journals nor what a fold holds.

    folder    <cache>/alphapulse/travel/<digest of the code>/<journal>/00000001.checkpoint ...
    file      size of the head u32 | CRC-32 of the rest u32 | head (msgpack) | fold (pickle, zstd)

A fold is a pickle, which runs code when it is loaded: the folder is private (0700, ours), as that of the compiled
kernels is.  Another version of the code has another digest and never reads it.  Beyond the bound every second fold is
dropped: what lies behind it takes longer to find, and nothing is lost.  A head without a fold still tells which blocks
ended.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pickle
import shutil
import struct
import sys
import tempfile
import time
import zlib
from collections import deque
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from consumers.lockfile import LockFile, LockHeld
from tlv.errors import AlphaPulseError
from tlv.layout import LAYOUT_DIGEST
from tlv.user_cache import cache_root, make_private
from tools.dashboard import shapes
from tools.dashboard.recorded_fold import RecordedFold

MOST_BYTES = 256 << 20
"""Of one journal's checkpoints."""
UNUSED_S = 7 * 86_400
"""After so long without a use a folder is removed."""
PREFIX = struct.Struct("<II")
ROOT = Path(__file__).parents[2]
FOLDED_BY = ("tools/dashboard", "consumers/arbitrage")
"""Folders of the code whose objects a pickle holds."""


class CheckpointHead(msgspec.Struct, frozen=True):
    """Where in a journal a fold stands, and what it went past since the checkpoint before."""

    ordinal: int
    """Segment of the frame that comes next."""
    created_ns: int
    """When that segment was begun: another one of its number is another journal's."""
    uuid: bytes
    sequence: int
    begins_segment: bool
    taken_bytes: int
    """Of records, since the journal's beginning."""
    ends: bytes
    """int64[n, 4]: number, sequence, publish time and segment of each BlockEnd."""


class FoldPickler(pickle.Pickler):
    """Writes the rows of a page as msgpack: a fold is loaded in a quarter of the time."""

    def reducer_override(self, obj: Any) -> Any:
        """How rows, and deques of rows, are made again."""
        if type(obj).__module__ == shapes.__name__:
            return rows_again, (type(obj).__name__, msgspec.msgpack.encode([obj]), None)
        if isinstance(obj, deque) and obj and type(obj[0]).__module__ == shapes.__name__:
            return rows_again, (type(obj[0]).__name__, msgspec.msgpack.encode([*obj]), obj.maxlen or 0)
        return NotImplemented


def rows_again(name: str, packed: bytes, most: int | None) -> Any:
    """The row that was packed; with `most`, the deque of rows, of any length if it is 0."""
    rows = decoder_of(name).decode(packed)
    return rows[0] if most is None else deque(rows, most or None)


@cache
def decoder_of(name: str) -> Any:
    """The decoder of a list of such rows."""
    return msgspec.msgpack.Decoder(list[getattr(shapes, name)])  # type: ignore[misc]


class CheckpointFiles:
    """The checkpoints of one journal, numbered from 0 on.

    Raises:
        OSError: neither the cache nor a temporary folder can be written.
    """

    def __init__(self, journal: Path) -> None:
        self._lock: LockFile | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self.folder = self._open(hashlib.sha256(os.fsencode(journal.resolve())).hexdigest()[:16])
        self._sizes: dict[int, int] = {}
        """Bytes of the files that hold a fold."""
        self._kept: set[int] = set()
        """Those whose fold is never dropped."""

    def _open(self, name: str) -> Path:
        """The journal's folder; a temporary one where another process has it, or the cache is not ours to write."""
        with contextlib.suppress(OSError, AlphaPulseError):
            root = make_private(cache_root() / "travel", "cache of time travel")
            remove_unused(root)
            folder = make_private(make_private(root / code_digest(), "cache of time travel") / name)
            with contextlib.suppress(LockHeld):
                self._lock = LockFile(folder / "lock")
                os.utime(folder)
                return folder
        self._temporary = tempfile.TemporaryDirectory(prefix="alphapulse-travel-")
        return Path(self._temporary.name)

    def close(self) -> None:
        """Leave the folder; a temporary one is removed."""
        if self._lock is not None:
            self._lock.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08d}.checkpoint"

    def heads(self) -> Iterator[CheckpointHead]:
        """The heads there are, from number 0 on, up to the first that is missing or damaged."""
        number = 0
        while (data := self._read(number)) is not None:
            head, fold = data
            self._note(number, len(fold), kept=head.begins_segment)
            yield head
            number += 1

    def _read(self, number: int) -> tuple[CheckpointHead, bytes] | None:
        try:
            data = self._path(number).read_bytes()
            size, checksum = PREFIX.unpack_from(data)
            if zlib.crc32(data[PREFIX.size :]) != checksum:
                return None
            behind = PREFIX.size + size
            return msgspec.msgpack.decode(data[PREFIX.size : behind], type=CheckpointHead), data[behind:]
        except (OSError, struct.error, msgspec.MsgspecError):
            return None

    def _note(self, number: int, size: int, *, kept: bool) -> None:
        if size:
            self._sizes[number] = size
        if kept:
            self._kept.add(number)

    def load(self, number: int) -> RecordedFold | None:
        """The fold of a checkpoint; None if it was dropped, or is gone."""
        data = self._read(number)
        if data is None or not data[1]:
            return None
        fold = pickle.loads(zstandard.ZstdDecompressor().decompress(data[1]))
        assert isinstance(fold, RecordedFold)
        return fold

    def put(self, number: int, head: CheckpointHead, fold: RecordedFold) -> None:
        """Store a checkpoint, the newest one.

        Raises:
            OSError: the disk refuses.
        """
        room = io.BytesIO()
        FoldPickler(room, pickle.HIGHEST_PROTOCOL).dump(fold)
        packed = zstandard.ZstdCompressor(1).compress(room.getvalue())
        self._write(number, head, packed)
        self._note(number, len(packed), kept=head.begins_segment)
        if sum(self._sizes.values()) > MOST_BYTES:
            self._thin()

    def _write(self, number: int, head: CheckpointHead, packed: bytes) -> None:
        encoded = msgspec.msgpack.encode(head)
        checksum = zlib.crc32(packed, zlib.crc32(encoded))
        fresh = self._path(number).with_suffix(".new")
        fresh.write_bytes(PREFIX.pack(len(encoded), checksum) + encoded + packed)
        fresh.replace(self._path(number))

    def _thin(self) -> None:
        """Drop every second fold that may be dropped, but the newest."""
        for number in sorted(set(self._sizes) - self._kept)[:-1][::2]:
            data = self._read(number)
            if data is not None:
                self._write(number, data[0], b"")
            del self._sizes[number]

    def cut(self, number: int) -> None:
        """Remove the checkpoints from `number` on."""
        for path in self.folder.glob("*.checkpoint"):
            if int(path.stem) >= number:
                path.unlink(missing_ok=True)
        self._sizes = {one: size for one, size in self._sizes.items() if one < number}
        self._kept = {one for one in self._kept if one < number}


def code_digest() -> str:
    """Digest of the wire format and of the code that folds: what it wrote, nothing else reads."""
    digest = hashlib.sha256(f"{LAYOUT_DIGEST} {sys.version}".encode())
    for folder in FOLDED_BY:
        for path in sorted((ROOT / folder).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def remove_unused(root: Path) -> None:
    """Remove the folders of journals, and of other versions, that nobody used for long."""
    for folder in root.glob("*/*"):
        with contextlib.suppress(OSError, LockHeld):
            if time.time() - folder.stat().st_mtime > UNUSED_S:
                with LockFile(folder / "lock"):
                    shutil.rmtree(folder)
    for version in root.iterdir():
        with contextlib.suppress(OSError):
            version.rmdir()  # only an empty one
