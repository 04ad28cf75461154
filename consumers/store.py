"""A journal as a user reads it: events one by one, tables of all of them, or a replay at the recorded pace.

    swaps = Store.open("journal").select(types=[PoolSwap], venues=["quickswap_v2"])
    for item in swaps: ...                               # Event, or Loss, as from `Live`
    swaps.to_polars()["PoolSwap"]                        # one table per record type
    swaps.replay(print, speed=10)

Owns the operations on a journal; `consumers.analysis` turns its bytes into columns.

A table has a row for every record of its type: the message's own columns (`sequence`, `published_ns` by the wall clock,
`message_sequence`, `timestamp_ns`, `source`, `flags`), the record's fields, for pool events those of the EventOrigin,
and the ring's uuid.  256-bit integers are 32 big-endian bytes in Arrow, Polars and Parquet; `amounts="decimal"` or
`"float"` puts a column in whole tokens beside each.  In pandas, CSV and JSON lines they are numbers: exact base units
("int"), exact whole tokens ("decimal"), or floats of whole tokens ("float").
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from consumers.analysis.amounts import Amounts, check_amounts
from consumers.analysis.arrow import batch_of, schema_of
from consumers.analysis.columns import RowBlock
from consumers.analysis.extras import need
from consumers.analysis.files import Format, write_tables
from consumers.analysis.frames import FrameWalk
from consumers.analysis.progress import watched
from consumers.analysis.readable import pandas_part
from consumers.analysis.scan import scan_segments
from consumers.analysis.segments import segments_of
from consumers.analysis.selection import Bound, Selection, range_of
from consumers.event import Event, read_event
from consumers.journal.segment import list_segments, parse_header, read_head
from ringbuf import Loss, Poll, Writer
from ringbuf.playback import Pace, forward, never
from tlv.batch import add_flags
from tlv.codes import Flag
from tlv.filter import MessageFilter, Wanted
from tlv.layout import LAYOUT_DIGEST
from tlv.record import RECORDS, Record

log = logging.getLogger("alphapulse.store")

ALL: tuple[None, None] = (None, None)


class Store:
    """The journal in `directory`, or a selection of it.  It may be read while it is recorded."""

    def __init__(self, directory: Path, selection: Selection | None = None) -> None:
        self.directory = directory
        self.selection = selection or Selection()
        self.refused = 0
        """Frames that the last pass over the journal left out because they are no message."""

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """The journal in directory `path`.

        Raises:
            UsageError: no such directory.
            JournalError: no journal in it, or one of another version or layout.
        """
        directory = Path(path)
        for segment in segments_of(directory, Selection())[:1]:
            parse_header(segment.path, read_head(segment), LAYOUT_DIGEST)
        return cls(directory)

    def select(
        self,
        *,
        sequences: tuple[int | None, int | None] = ALL,
        blocks: tuple[int | None, int | None] = ALL,
        times: tuple[Bound, Bound] = ALL,
        **wanted: Unpack[Wanted],
    ) -> Store:
        """The same journal, restricted; `tlv.filter` says what a filter means, `analysis.selection` what a range does.

        Ranges are (first, last), both included, None for an open end; times are ns since 1970 or datetimes with a time
        zone.  What was selected before stays selected unless it is given anew.

        Raises:
            UsageError: a type or venue that does not exist, an address that is none, a range without an end.
        """
        ranges: dict[str, tuple[Bound, Bound]] = {"sequences": sequences, "blocks": blocks, "times": times}
        changes = {what: range_of(what, ends) for what, ends in ranges.items() if ends != ALL}
        chosen = self.selection.filter.updated(MessageFilter.of(**wanted))
        return Store(self.directory, replace(self.selection, filter=chosen, **changes))

    def polls(self) -> Iterator[tuple[bytes, Poll]]:
        """The selected frames as polls of a ring, each with the ring's uuid; valid until the next one.

        Raises:
            JournalError: a segment is damaged, foreign or gone.
        """
        walk = FrameWalk(self.directory, self.selection)
        yield from walk.polls()
        self._note_refused(walk.refused)

    def _note_refused(self, refused: int) -> None:
        self.refused = refused
        if refused:
            log.warning("%s: left out %d frames that are no message", self.directory, refused)

    def __iter__(self) -> Iterator[Event | Loss]:
        """Yield the selected events, and what is missing between them."""
        for uuid, poll in self.polls():
            yield from items_of(uuid, poll)

    def replay(
        self,
        target: Callable[[Event | Loss], object] | Writer,
        speed: float | None = 1.0,
        asked_to_stop: Callable[[], bool] = never,
    ) -> None:
        """Replay a journal at its recorded pace, `speed` times as fast; None = as fast as possible.

        A callable gets what iteration yields.  A ring gets the messages with the flag REPLAY and their old sequences in
        the header; a loss shows there only as sequences that these headers skip.
        """
        pace = Pace(speed)
        for uuid, poll in self.polls():
            if isinstance(target, Writer):
                add_flags(poll.buffer, poll.offsets, poll.lengths, int(Flag.REPLAY))
            elif poll.loss:
                target(poll.loss)
            for part in pace.parts(poll, asked_to_stop):
                if isinstance(target, Writer):
                    forward(target, part)
                    continue
                for frame in part:
                    target(read_event(uuid, frame.sequence, frame.payload))
            if asked_to_stop():
                return

    def _blocks(self, what: str, progress: bool | None) -> Iterator[RowBlock]:
        segments = segments_of(self.directory, self.selection)
        last = list_segments(self.directory)[-1].ordinal
        total = sum(segment.path.stat().st_size for segment in segments if segment.path.exists())
        refused = 0
        scanned = scan_segments(segments, last, self.selection)
        for found in watched(((one, one.file_bytes) for one in scanned), total, what, progress):
            refused += found.refused
            yield from found.blocks
        self._note_refused(refused)

    def _batches(self, amounts: Amounts, what: str, progress: bool | None) -> Iterator[tuple[type[Record], Any]]:
        """Arrow record batches in the order of the journal, each with its record class."""
        for block in self._blocks(what, progress):
            yield block.cls, batch_of(block, schema_of(block.cls, amounts), amounts)

    def _named(self) -> list[type[Record]]:
        """Types that were asked for by name: they get a table even if the journal has no such record."""
        return [RECORDS[number] for number in sorted(self.selection.filter.types)]

    def to_arrow(self, *, amounts: Amounts = "int", progress: bool | None = None) -> dict[str, Any]:
        """A `pyarrow.Table` for each record type, by its name.  `progress`: a bar on stderr; None = when it takes long.

        Raises:
            UsageError: the extra `analysis` is not installed.
        """
        check_amounts(amounts)
        pa = need("pyarrow")
        batches: dict[type[Record], list[Any]] = {cls: [] for cls in self._named()}
        for cls, batch in self._batches(amounts, "to Arrow", progress):
            batches.setdefault(cls, []).append(batch)
        return {
            cls.layout.name: pa.Table.from_batches(found, schema_of(cls, amounts)) for cls, found in batches.items()
        }

    def to_polars(self, *, amounts: Amounts = "int", progress: bool | None = None) -> dict[str, Any]:
        """The same as `polars.DataFrame`s."""
        polars = need("polars")
        tables = self.to_arrow(amounts=amounts, progress=progress)
        return {name: polars.from_arrow(table) for name, table in tables.items()}

    def to_df(self, *, amounts: Amounts = "int", progress: bool | None = None) -> dict[str, Any]:
        """A `pandas.DataFrame` for each record type, by its name: amounts as numbers, addresses as 0x-hex."""
        check_amounts(amounts)
        pandas = need("pandas")
        parts: dict[type[Record], list[Any]] = {}
        for cls in self._named():
            empty = need("pyarrow").RecordBatch.from_pylist([], schema_of(cls, "int"))
            parts[cls] = [pandas_part(cls, empty, amounts)]
        for cls, batch in self._batches("int", "to pandas", progress):
            parts.setdefault(cls, []).append(pandas_part(cls, batch, amounts))
        return {cls.layout.name: pandas.concat(found, ignore_index=True) for cls, found in parts.items()}

    def to_parquet(self, path: str | Path, *, amounts: Amounts = "int", progress: bool | None = None) -> dict[str, int]:
        """Write `<record>.parquet` into directory `path` for each record type; returns the rows of each."""
        return self.export(path, form="parquet", amounts=amounts, progress=progress)

    def export(
        self, path: str | Path, *, form: Format, amounts: Amounts = "int", progress: bool | None = None
    ) -> dict[str, int]:
        """Write `<record>.<form>` into directory `path` for each record type; returns the rows of each.

        `form` is parquet, csv or jsonl.  If anything fails, no file has changed.
        """
        check_amounts(amounts)
        # Only Parquet has a second column for an amount; the other forms convert the exact one.
        batches = self._batches(amounts if form == "parquet" else "int", f"to {form}", progress)
        return write_tables(batches, Path(path), form, amounts, self._named())


def items_of(uuid: bytes, poll: Poll) -> Iterator[Event | Loss]:
    """What a poll brought, as events."""
    if poll.loss is not None:
        yield poll.loss
    for frame in poll:
        yield read_event(uuid, frame.sequence, frame.payload)
