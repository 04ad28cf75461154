"""Files of logs: one JSON object a line, as `eth_getLogs` gives them, plain or gzipped.

Owns compression, line numbers and the two shapes of a row.  It never looks into a log.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from io import BufferedReader
from typing import NamedTuple

import msgspec

from producers.node.rpc_types import Log
from tlv.errors import AlphaPulseError

GZIP_MAGIC = b"\x1f\x8b"
MAX_LINE = 16 << 20
"""As large as the largest message that the collector takes from a node."""


class UnreadableLogs(AlphaPulseError):
    """The file is damaged or holds something else; the message names file and line."""


class LocatedLog(NamedTuple):
    """One log and where it stands, for messages."""

    where: str
    log: Log


class Wrapped(msgspec.Struct):
    """A row that carries its log as one member among others."""

    log: Log | None = None


def read_logs(file: BufferedReader, name: str) -> Iterator[LocatedLog]:
    """Yield the logs in `file`; blank lines are skipped.

    Raises:
        UnreadableLogs: a line is no log, or the compression is damaged.
    """
    number = 0
    try:
        for number, line in enumerate(_lines(file), 1):
            if len(line) == MAX_LINE:
                raise UnreadableLogs(f"{name}:{number}: expected a line of less than {MAX_LINE} bytes")
            if not line.isspace():
                yield LocatedLog(f"{name}:{number}", _parse(line))
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise UnreadableLogs(f"{name}:{number}: expected a log as JSON, found: {error}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableLogs(f"{name}:{number + 1}: expected gzip, found: {error}") from None


def _lines(file: BufferedReader) -> Iterator[bytes]:
    zipped = file.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)
    lines = gzip.GzipFile(fileobj=file) if zipped else file
    while line := lines.readline(MAX_LINE):
        yield line


def _parse(line: bytes) -> Log:
    wrapped = msgspec.json.decode(line, type=Wrapped)
    return msgspec.json.decode(line, type=Log) if wrapped.log is None else wrapped.log
