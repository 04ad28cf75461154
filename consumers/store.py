"""A journal as a user reads it: events one by one, tables of all of them, or a replay at the recorded pace.

    swaps = Store.open("journal").select(types=[PoolSwap], venues=["quickswap_v2"])
    for item in swaps: ...                               # Event, or Loss, as from `Live`
    swaps.to_polars()["PoolSwap"]                        # one table per record type
    swaps.replay(print, speed=10)

Owns the operations on a journal; `consumers.analysis` turns its bytes into columns.

A table has a row for every record of its type: the message's own columns (`sequence`, `published_ns` by the wall clock,
`message_sequence`, `timestamp_ns`, `source`, `flags`), the record's fields, for pool events those of the EventOrigin,
what `analysis.derived` computes, and the ring's uuid.  By default they are canonical (`analysis.canonical`): what left
the chain is left out with its REMOVED copies, and what was told several times stands once; `canonical=False` gives
everything with its flags, and `as_of=N` what was known at block N.

256-bit integers are 32 big-endian bytes in Arrow, Polars and Parquet; `amounts="decimal"` or `"float"` puts a column in
whole tokens beside each.  In pandas, CSV and JSON lines they are numbers: exact base units ("int"), exact whole tokens
("decimal"), or floats of whole tokens ("float").
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack

from consumers.analysis.amounts import Amounts, check_amounts
from consumers.analysis.arrow import batch_of, schema_of
from consumers.analysis.canonical import check_as_of
from consumers.analysis.columns import RowBlock
from consumers.analysis.files import Format, write_tables
from consumers.analysis.frames import FrameWalk
from consumers.analysis.readable import pandas_part
from consumers.analysis.segments import segments_of
from consumers.analysis.selection import Bound, Selection, range_of
from consumers.analysis.symbols import symbol_columns
from consumers.analysis.tables import Revised, TableScan
from consumers.event import Event, read_event, read_events
from consumers.extras import need
from consumers.journal.segment import parse_header, read_head
from consumers.progress import WorkProgress, watched
from ringbuf import Loss, Poll, Writer
from ringbuf.playback import Pace, forward, never
from tlv.batch import add_flags
from tlv.codes import Flag
from tlv.errors import UsageError
from tlv.filter import MessageFilter, Wanted
from tlv.layout import LAYOUT_DIGEST
from tlv.record import RECORDS, Record

log = logging.getLogger("alphapulse.store")

ALL: tuple[None, None] = (None, None)
T = TypeVar("T")
Tables = dict[str, Any]


class Viewed(TypedDict, total=False):
    """What of the history is shown."""

    canonical: bool | None
    """Without events that left the chain, their REMOVED copies, and second copies; None = as the store was opened."""
    as_of: int | None
    """As it was known at this block (`analysis.canonical`); None = as the store was opened."""


class Store:
    """The journal in `directory`, or a selection of it.  It may be read while it is recorded."""

    def __init__(self, directory: Path, selection: Selection | None = None, tables: TableScan | None = None) -> None:
        self.directory = directory
        self.selection = selection or Selection()
        self._tables = tables or TableScan(directory)
        self.refused = 0
        """Frames that the last pass over the journal left out because they are no message."""

    @classmethod
    def open(cls, path: str | Path, *, canonical: bool = True, as_of: int | None = None) -> Store:
        """The journal in directory `path`.

        Raises:
            UsageError: no such directory, or an `as_of` that is no block number.
            JournalError: no journal in it, or one of another version or layout.
        """
        if not isinstance(path, str | Path):
            raise UsageError(f"path: expected a directory, found {path!r}")
        directory = Path(path)
        check_as_of(as_of)
        check_canonical(canonical)
        for segment in segments_of(directory, Selection())[:1]:
            parse_header(segment.path, read_head(segment), LAYOUT_DIGEST)
        return cls(directory, Selection(canonical=canonical, as_of=as_of))

    def select(
        self,
        *,
        sequences: tuple[int | None, int | None] = ALL,
        blocks: tuple[int | None, int | None] = ALL,
        times: tuple[Bound, Bound] = ALL,
        canonical: bool | None = None,
        as_of: int | None = None,
        **wanted: Unpack[Wanted],
    ) -> Store:
        """The same journal, restricted; `tlv.filter` says what a filter means, `analysis.selection` what a range does.

        Ranges are (first, last), both included, None for an open end; times are ns since 1970 or datetimes with a time
        zone.  What was selected before stays selected unless it is given anew.

        Raises:
            UsageError: a type or venue that does not exist, an address that is none, a range without an end.
        """
        ranges: dict[str, tuple[Bound, Bound]] = {"sequences": sequences, "blocks": blocks, "times": times}
        changes: dict[str, Any] = {what: range_of(what, ends) for what, ends in ranges.items() if ends != ALL}
        chosen = self.selection.filter.updated(MessageFilter.of(**wanted))
        selection = self._viewed(canonical, as_of)
        return Store(self.directory, replace(selection, filter=chosen, **changes), self._tables)

    def _viewed(self, canonical: bool | None, as_of: int | None) -> Selection:
        """The selection, with another view of the journal if one is given."""
        check_as_of(as_of)
        if canonical is not None:
            check_canonical(canonical)
        return replace(
            self.selection,
            canonical=self.selection.canonical if canonical is None else canonical,
            as_of=self.selection.as_of if as_of is None else as_of,
        )

    def polls(self) -> Iterator[tuple[bytes, Poll]]:
        """The selected frames as polls of a ring, each with the ring's uuid; valid until the next one.

        Raises:
            JournalError: a segment is damaged, foreign or gone.
        """
        yield from self._polls(self.selection)

    def _polls(self, selection: Selection) -> Iterator[tuple[bytes, Poll]]:
        walk = FrameWalk(self.directory, selection, self._tables.left_out(selection))
        yield from walk.polls()
        self._note_refused(walk.refused)

    def _note_refused(self, refused: int) -> None:
        self.refused = refused
        if refused:
            found = {"journal": self.directory, "count": refused}
            log.warning("%(journal)s: left out %(count)d frames that are no message", found)

    def __iter__(self) -> Iterator[Event | Loss]:
        """The selected events one by one, and what is missing between them."""
        return chain.from_iterable(lists_of(self.polls()))

    def replay(
        self,
        target: Callable[[Event | Loss], object] | Writer,
        speed: float | None = 1.0,
        asked_to_stop: Callable[[], bool] = never,
    ) -> None:
        """Replay a journal at its recorded pace, `speed` times as fast; None = as fast as possible.

        A replay is what happened: whatever the view, reorged events and their REMOVED copies are part of it.

        A callable gets what iteration yields of everything.  A ring gets the messages with the flag REPLAY and their
        old sequences in the header; a loss shows there only as sequences that these headers skip.
        """
        pace = Pace(speed)
        for uuid, poll in self._polls(replace(self.selection, canonical=False)):
            if isinstance(target, Writer):
                add_flags(poll.buffer, poll.offsets, poll.lengths, int(Flag.REPLAY))
            elif poll.loss:
                target(poll.loss)
            for part in pace.parts(poll, asked_to_stop, ring=uuid):
                if isinstance(target, Writer):
                    forward(target, part)
                    continue
                for frame in part:
                    target(read_event(uuid, frame.sequence, frame.payload))
            if asked_to_stop():
                return

    def _convert(self, what: str, progress: bool | None, use: Callable[[Iterator[RowBlock]], T]) -> T:
        """The result of `use` on the selected rows; if it got rows that do not stand after all, of a second time."""
        try:
            return use(self._blocks(what, progress, judged_first=False))
        except Revised:
            return use(self._blocks(what, progress, judged_first=True))

    def _blocks(self, what: str, progress: bool | None, *, judged_first: bool) -> Iterator[RowBlock]:
        segments = segments_of(self.directory, self.selection)
        total = sum(segment.path.stat().st_size for segment in segments if segment.path.exists())
        refused = 0
        scanned = self._tables.scan(self.selection, judged_first=judged_first)
        steps = ((one, one.file_bytes) for one in scanned)
        for found in watched(steps, WorkProgress(what, total, show=progress)):
            refused += found.refused
            yield from found.blocks
        self._note_refused(refused)

    def _batches(self, blocks: Iterable[RowBlock], amounts: Amounts) -> Iterator[tuple[type[Record], Any]]:
        """Arrow record batches in the order of the journal, each with its record class."""
        has_symbols = any(map(symbol_columns, self.selection.classes.values()))
        symbols = self._tables.symbols() if has_symbols else {}
        for block in blocks:
            yield block.cls, batch_of(block, schema_of(block.cls, amounts), amounts, symbols)

    def _named(self) -> list[type[Record]]:
        """Types that were asked for by name: they get a table even if the journal has no such record."""
        return [RECORDS[number] for number in sorted(self.selection.filter.types)]

    def to_arrow(self, *, amounts: Amounts = "int", progress: bool | None = None, **view: Unpack[Viewed]) -> Tables:
        """A `pyarrow.Table` for each record type, by its name.  `progress`: a bar on stderr; None = when it takes long.

        `canonical` and `as_of` replace those of the store, here and in the other conversions.

        Raises:
            UsageError: the extra `analysis` is not installed.
        """
        if view:
            return self.select(**view).to_arrow(amounts=amounts, progress=progress)
        check_amounts(amounts)
        pa = need("pyarrow")

        def tables(blocks: Iterable[RowBlock]) -> Tables:
            batches: dict[type[Record], list[Any]] = {cls: [] for cls in self._named()}
            for cls, batch in self._batches(blocks, amounts):
                batches.setdefault(cls, []).append(batch)
            return {
                cls.layout.name: pa.Table.from_batches(found, schema_of(cls, amounts)) for cls, found in batches.items()
            }

        return self._convert("to Arrow", progress, tables)

    def to_polars(self, *, amounts: Amounts = "int", progress: bool | None = None, **view: Unpack[Viewed]) -> Tables:
        """The same as `polars.DataFrame`s."""
        polars = need("polars")
        tables = self.to_arrow(amounts=amounts, progress=progress, **view)
        return {name: polars.from_arrow(table) for name, table in tables.items()}

    def to_df(self, *, amounts: Amounts = "int", progress: bool | None = None, **view: Unpack[Viewed]) -> Tables:
        """A `pandas.DataFrame` for each record type, by its name: amounts as numbers, addresses as 0x-hex."""
        if view:
            return self.select(**view).to_df(amounts=amounts, progress=progress)
        check_amounts(amounts)
        pandas = need("pandas")

        def frames(blocks: Iterable[RowBlock]) -> Tables:
            parts: dict[type[Record], list[Any]] = {}
            for cls in self._named():
                empty = need("pyarrow").RecordBatch.from_pylist([], schema_of(cls, "int"))
                parts[cls] = [pandas_part(cls, empty, amounts)]
            for cls, batch in self._batches(blocks, "int"):
                parts.setdefault(cls, []).append(pandas_part(cls, batch, amounts))
            return {cls.layout.name: pandas.concat(found, ignore_index=True) for cls, found in parts.items()}

        return self._convert("to pandas", progress, frames)

    def to_parquet(
        self, path: str | Path, *, amounts: Amounts = "int", progress: bool | None = None, **view: Unpack[Viewed]
    ) -> dict[str, int]:
        """Write `<record>.parquet` into directory `path` for each record type; returns the rows of each."""
        return self.export(path, form="parquet", amounts=amounts, progress=progress, **view)

    def export(
        self,
        path: str | Path,
        *,
        form: Format,
        amounts: Amounts = "int",
        progress: bool | None = None,
        **view: Unpack[Viewed],
    ) -> dict[str, int]:
        """Write `<record>.<form>` into directory `path` for each record type; returns the rows of each.

        `form` is parquet, csv or jsonl.  If anything fails, no file has changed.
        """
        if view:
            return self.select(**view).export(path, form=form, amounts=amounts, progress=progress)
        check_amounts(amounts)
        # Only Parquet has a second column for an amount; the other forms convert the exact one.
        beside = amounts if form == "parquet" else "int"

        def rows(blocks: Iterable[RowBlock]) -> dict[str, int]:
            return write_tables(self._batches(blocks, beside), Path(path), form, amounts, self._named())

        return self._convert(f"to {form}", progress, rows)


def check_canonical(canonical: object) -> None:
    """Raise UsageError unless `canonical` says yes or no."""
    if not isinstance(canonical, bool):
        raise UsageError(f"canonical: expected True or False, found {canonical!r}")


def lists_of(polls: Iterable[tuple[bytes, Poll]]) -> Iterator[Sequence[Event | Loss]]:
    """What polls brought, as events, some at a time."""
    for uuid, poll in polls:
        if poll.loss is not None:
            yield (poll.loss,)
        yield from read_events(uuid, poll)
