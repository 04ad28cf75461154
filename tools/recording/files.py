"""Which files of a folder make a recording, and how their lines are read.

Owns file names, compression and line numbers.  It must never know what a row means.

A recording is one prefix P in a folder:

    P_rpc_session*.jsonl[.gz]   the calls and answers in their order; may be absent
    P*_logs.jsonl[.gz]          every log, canonical and orphaned
    P_headers.jsonl[.gz]        every header
    pools, tokens .jsonl[.gz]   metadata, beside them or in a sibling folder `metadata`; may be absent

Where a folder holds sets with and without sessions, the set with sessions is the recording.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from tools.recording.errors import RecordingError

Row = TypeVar("Row")


@dataclass(frozen=True)
class RecordingFiles:
    """The paths of one recording."""

    headers: Path
    logs: tuple[Path, ...]
    sessions: tuple[Path, ...]
    pools: Path | None
    tokens: Path | None


def find_files(folder: Path) -> RecordingFiles:
    """Find the one recording of `folder`.

    Raises:
        RecordingError: there is none, or more than one.
    """
    if not folder.is_dir():
        raise RecordingError(f"{folder}: expected a folder that holds a recording, found none")
    prefix = _only_prefix(folder)
    headers = _named(folder, f"{prefix}_headers")
    logs = _named(folder, f"{prefix}*_logs")
    if not headers or not logs:
        missing = "_headers" if not headers else "*_logs"
        raise RecordingError(f"{folder}: expected {prefix}{missing}.jsonl.gz beside the rpc sessions, found none")
    return RecordingFiles(
        headers=headers[0],
        logs=tuple(logs),
        # session10 comes after session9
        sessions=tuple(sorted(_named(folder, f"{prefix}_rpc_session*"), key=lambda path: (len(path.name), path.name))),
        pools=_metadata(folder, "pools"),
        tokens=_metadata(folder, "tokens"),
    )


def read_rows(path: Path, row_type: type[Row]) -> Iterator[tuple[str, bytes, Row]]:
    """Yield every line of `path`: where it stands (for messages), its text, its typed row.

    Raises:
        RecordingError: the file cannot be read, or a line is not such a row; names file and line.
    """
    decoder = msgspec.json.Decoder(row_type)
    for number, line in enumerate(_lines(path), start=1):
        where = f"{path.name} line {number}"
        try:
            row = decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise RecordingError(f"{where}: expected a {row_type.__name__}, found: {error}") from error
        yield where, line, row


def _lines(path: Path) -> list[bytes]:
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.suffix == ".gz" else content).splitlines()
    except (OSError, EOFError, zlib.error) as error:
        raise RecordingError(f"{path.name}: expected a readable file of JSON lines, found: {error}") from error


def _only_prefix(folder: Path) -> str:
    prefixes = {path.name.split("_rpc_session")[0] for path in _named(folder, "*_rpc_session*")}
    if not prefixes:
        headers = [path.name.split("_headers.jsonl")[0] for path in _named(folder, "*_headers")]
        prefixes = {prefix for prefix in headers if _named(folder, f"{prefix}*_logs")}
    if len(prefixes) != 1:
        found = ", ".join(sorted(prefixes)) or "none"
        raise RecordingError(
            f"{folder}: expected one recording (NAME_headers.jsonl.gz, NAME_logs.jsonl.gz), found {found}"
        )
    return prefixes.pop()


def _named(folder: Path, pattern: str) -> list[Path]:
    return sorted([*folder.glob(f"{pattern}.jsonl.gz"), *folder.glob(f"{pattern}.jsonl")])


def _metadata(folder: Path, name: str) -> Path | None:
    found = _named(folder, name) or _named(folder.parent / "metadata", name)
    return found[0] if found else None
