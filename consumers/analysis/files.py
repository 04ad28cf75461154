"""Tables as files: Parquet, CSV or JSON lines, one file per record type in a directory.

Owns the writing, batch by batch, so that a journal of any size fits into memory.  A file gets its name when it is
complete; one of the same name is replaced.
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from consumers.analysis.amounts import Amounts
from consumers.analysis.arrow import schema_of
from consumers.analysis.readable import json_columns, text_columns
from consumers.extras import need
from tlv.errors import UsageError
from tlv.record import Record

Format = Literal["parquet", "csv", "jsonl"]
ROW_GROUP = 1 << 17
"""Rows gathered before Parquet writes them: small groups compress badly and are slow to scan."""

Batches = Iterable[tuple[type[Record], Any]]
"""Record batches of Arrow, each with the record class whose table it belongs to."""


class Sink(Protocol):
    """A file that takes record batches of one table."""

    def write(self, batch: Any) -> None:
        """Append the rows of `batch`."""

    def close(self) -> None:
        """Complete the file."""


class ParquetSink:
    """Parquet with zstd.  Amounts keep all their bits and sort, since they are big-endian."""

    def __init__(self, path: Path, cls: type[Record], amounts: Amounts) -> None:
        self._schema = schema_of(cls, amounts)
        self._writer = need("pyarrow.parquet").ParquetWriter(path, self._schema, compression="zstd")
        self._waiting: list[Any] = []
        self._rows = 0

    def write(self, batch: Any) -> None:
        """Gather the batch, and write all that were gathered once they make a row group."""
        self._waiting.append(batch)
        self._rows += batch.num_rows
        if self._rows >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(need("pyarrow").Table.from_batches(self._waiting, self._schema))
        self._waiting, self._rows = [], 0

    def close(self) -> None:
        """Write what is left, and the footer."""
        self._flush()
        self._writer.close()


class CsvSink:
    """CSV with a header line; an empty field is a null."""

    def __init__(self, path: Path, cls: type[Record], amounts: Amounts) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._cls, self._amounts = cls, amounts
        self._lines = csv.writer(self._file, lineterminator="\n")
        self._lines.writerow(schema_of(cls, "int").names)

    def write(self, batch: Any) -> None:
        """One line for each row."""
        columns = text_columns(self._cls, batch, self._amounts)
        self._lines.writerows(zip(*columns.values(), strict=True))

    def close(self) -> None:
        """Complete the file."""
        self._file.close()


class JsonLinesSink:
    """One JSON object per line, with the values that `tlv.text` gives: amounts are decimal strings."""

    def __init__(self, path: Path, cls: type[Record], amounts: Amounts) -> None:
        self._file = path.open("wb")
        self._cls, self._amounts = cls, amounts

    def write(self, batch: Any) -> None:
        """One object for each row."""
        columns = json_columns(self._cls, batch, self._amounts)
        names = list(columns)
        rows = (dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True))
        self._file.write(msgspec.json.Encoder().encode_lines(rows))

    def close(self) -> None:
        """Complete the file."""
        self._file.close()


SINKS: dict[Format, type[ParquetSink | CsvSink | JsonLinesSink]] = {
    "parquet": ParquetSink,
    "csv": CsvSink,
    "jsonl": JsonLinesSink,
}


def write_tables(
    batches: Batches, directory: Path, form: Format, amounts: Amounts, always: Iterable[type[Record]] = ()
) -> dict[str, int]:
    """Write each table to `<record>.<form>` in `directory`, those of `always` even if they are empty.

    Returns the rows of each table.  If anything fails, no file has changed.

    Raises:
        UsageError: `directory` is a file, or the format is none.
    """
    if form not in SINKS:
        raise UsageError(f"format {form!r}: expected one of {', '.join(SINKS)}")
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory}: expected a directory, found a file; each record type becomes a file in it")
    directory.mkdir(parents=True, exist_ok=True)
    sinks: dict[str, Sink] = {}
    rows: dict[str, int] = {}

    def sink_of(cls: type[Record]) -> Sink:
        name = cls.layout.name
        if name not in rows:
            sinks[name] = SINKS[form](directory / f"{name}.{form}.new", cls, amounts)
            rows[name] = 0
        return sinks[name]

    try:
        for cls in always:
            sink_of(cls)
        for cls, batch in batches:
            sink_of(cls).write(batch)
            rows[cls.layout.name] += batch.num_rows
        while sinks:
            sinks.popitem()[1].close()
    except BaseException:
        for sink in sinks.values():
            # A file that cannot be completed (a full disk, say) is removed below, so the error does not matter.
            with contextlib.suppress(OSError):
                sink.close()
        for name in rows:
            (directory / f"{name}.{form}.new").unlink(missing_ok=True)
        raise
    for name in rows:
        (directory / f"{name}.{form}.new").replace(directory / f"{name}.{form}")
    return rows
