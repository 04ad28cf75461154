"""`alphapulse journal`: verify, describe, cut (mend), merge or split journals.

Owns the text and JSON of these commands; `consumers.journal.mending` lists the faults and mends them.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from consumers.journal.editing import copy_range, frames_between
from consumers.journal.errors import JournalError, JournalInUse, SegmentGone
from consumers.journal.indexing import index_of
from consumers.journal.mending import JournalFault, faults_of, mend
from consumers.journal.recovery import Examination, SegmentEnd, cut, examine
from consumers.journal.scan import Scanner
from consumers.journal.sealing import seal
from consumers.journal.segment import SegmentFile, list_segments, packed_form, stored_index
from consumers.journal.writer import tidy
from consumers.lockfile import LockFile, LockHeld
from consumers.progress import watched
from tools.command.progress import progress, progress_option
from tools.command.say import say
from tools.command.spelling import SpellingGroup

DIRECTORY = click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")


@click.group("journal", cls=SpellingGroup, epilog="Example:  alphapulse journal verify journal/")
def command() -> None:
    """Verify, describe, cut, merge or split journals."""


@command.command(epilog="Example:  alphapulse journal verify journal/ --json")
@progress_option
@DIRECTORY
@JSON
def verify(directory: Path, as_json: bool) -> None:
    """Read every byte of every segment; exit code 1 if anything is damaged, torn or missing.

    Prints each fault with its file and the byte where it begins.  What recorders lost before they could write it is
    counted, and no fault.  A folder without a segment is no journal, and an error.
    """
    segments = journal_segments(directory)
    frames = lost = faults = 0
    before: Examination | None = None
    for segment in watched(with_sizes(segments), progress("verify", bytes_of(segments))):
        try:
            found, wrong = judged(segment, is_last=segment is segments[-1])
        except SegmentGone:
            continue
        except (JournalError, OSError) as error:
            faults += 1
            say({"segment": segment.path.name, "state": "unreadable", "error": str(error)}, str(error), as_json)
            continue
        missing = missing_before(found, before)
        frames += found.frames
        lost += found.lost
        faults += len(wrong) + bool(missing)
        say(describe(found, wrong, missing), sentence(found, wrong, missing), as_json)
        before = found
    summary = {"frames": frames, "lost": lost, "faults": faults}
    say(summary, f"{frames} frames, {lost} lost, {faults} faults", as_json)
    sys.exit(1 if faults else 0)


@command.command(epilog="Example:  alphapulse journal info journal/")
@DIRECTORY
@JSON
def info(directory: Path, as_json: bool) -> None:
    """List the segments with their sequences and blocks, from their indexes."""
    for segment in journal_segments(directory):
        try:
            scanner = Scanner(segment)
        except SegmentGone:
            continue
        with contextlib.closing(scanner):
            head, index = scanner.header, index_of(scanner).header
            on_disk = scanner.source.bytes_on_disk
        line = {
            "segment": segment.path.name,
            "ring": head.ring_name,
            "ring_uuid": head.ring_uuid.hex(),
            "first_sequence": index.first_sequence,
            "last_sequence": index.next_sequence - 1,
            "frames": index.frames,
            "lost": index.lost,
            "first_block": index.first_block,
            "last_block": index.last_block,
            "bytes": index.segment_bytes,
            "bytes_on_disk": on_disk,
        }
        text = (
            "{segment}  {ring}  sequences {first_sequence} to {last_sequence}  blocks {first_block} to {last_block}  "
            "{frames} frames  {lost} lost  {bytes_on_disk} of {bytes} bytes"
        )
        say(line, text.format(**line), as_json)


@command.command("cut", epilog="Example:  alphapulse journal cut journal/")
@progress_option
@DIRECTORY
@JSON
def cut_damage(directory: Path, as_json: bool) -> None:
    """Mend what can be mended, so that `verify` finds nothing.

    \b
    A torn end is cut; damaged records and packed blocks are replaced by the
    gap that they left, everything before and behind them stays; damaged
    headers, trailers and indexes are written anew, missing indexes too; raw
    segments beside their packed form are removed.

    Needs the folder for itself: no recorder may be running.  Exit code 1 if a
    segment cannot be read at all; it stays as it is.
    """
    segments = journal_segments(directory)
    try:
        lock = LockFile(directory / "journal.lock")
    except LockHeld as error:
        raise JournalInUse(f"{directory}: expected that nobody records into it ({error})") from None
    unread = 0
    with lock:
        tidy(directory)
        left = journal_segments(directory)
        for segment in watched(with_sizes(left), progress("cut", bytes_of(left))):
            try:
                line = mended(segment, is_last=segment.ordinal == segments[-1].ordinal)
            except JournalError as error:
                unread += 1
                say({"segment": segment.path.name, "state": "unreadable", "error": str(error)}, str(error), as_json)
                continue
            say(line, "{segment}: {mended} mended, {cut_bytes} bytes cut, {lost} frames lost".format(**line), as_json)
    sys.exit(1 if unread else 0)


@command.command("merge", epilog="Example:  alphapulse journal merge one/ other/ --out both/")
@progress_option
@click.argument("directories", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Directory of the new one."
)
@JSON
def merge_journals(directories: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Write what several journals have of one ring to a new one: each frame once, in order.

    What one recorder lost is taken from another that has it.
    """
    with progress("merge", frames_between(directories), "frames") as bar:
        frames, lost = copy_range(directories, out, advance=bar.advance)
    say({"frames": frames, "lost": lost}, f"{frames} frames, {lost} that none of the journals has", as_json)


@command.command("split", epilog="Example:  alphapulse journal split journal/ --at 5000 --out before/ --rest behind/")
@progress_option
@DIRECTORY
@click.option("--at", required=True, type=click.IntRange(2), help="First sequence of the second part.")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="For what is before it.")
@click.option("--rest", required=True, type=click.Path(path_type=Path, file_okay=False), help="For what is left.")
@JSON
def split_journal(directory: Path, at: int, out: Path, rest: Path, as_json: bool) -> None:
    """Write a journal as two new ones; the old one stays."""
    with progress("split", frames_between([directory]), "frames") as bar:
        before, _ = copy_range([directory], out, last=at - 1, advance=bar.advance)
        behind, _ = copy_range([directory], rest, first=at, advance=bar.advance)
    say({"before": before, "behind": behind}, f"{before} frames before sequence {at}, {behind} from it on", as_json)


def journal_segments(directory: Path) -> list[SegmentFile]:
    """The segments of a journal.

    Raises:
        JournalError: there are none.
    """
    segments = list_segments(directory)
    if not segments:
        raise JournalError(f"{directory} is no journal: expected segment files, found none")
    return segments


def size_of(segment: SegmentFile) -> int:
    """Of its file, in bytes; 0 once it was dropped or packed."""
    with contextlib.suppress(FileNotFoundError):
        return segment.path.stat().st_size
    return 0


def bytes_of(segments: list[SegmentFile]) -> int:
    """Of all their files."""
    return sum(map(size_of, segments))


def with_sizes(segments: list[SegmentFile]) -> Iterator[tuple[SegmentFile, int]]:
    """Each with the size of its file, as it is before anything is done to it."""
    for segment in segments:
        yield segment, size_of(segment)


def judged(segment: SegmentFile, *, is_last: bool) -> tuple[Examination, list[JournalFault]]:
    """What a segment holds and what is wrong with it; its packed form if it is packed meanwhile.

    Raises:
        SegmentGone: it was dropped.
        JournalError, OSError: it cannot be read.
    """
    try:
        found = examine(segment)
        return found, faults_of(found, is_last=is_last)
    except FileNotFoundError:
        found = examine(packed_form(segment))
        return found, faults_of(found, is_last=is_last)


def mended(segment: SegmentFile, *, is_last: bool) -> dict[str, Any]:
    """Mend one segment; what was done, as a JSON-able dict."""
    found = examine(segment)
    wrong = faults_of(found, is_last=is_last)
    cut_bytes = 0
    if is_last and found.end is SegmentEnd.TORN and not found.damage:
        cut_bytes = cut(segment, found.position)
    elif wrong:
        mend(segment)
    elif found.end is SegmentEnd.SEALED and stored_index(segment) is None:
        seal(segment, pack=False)
    lost = sum(fault.lost for fault in wrong)
    line = {"segment": segment.path.name, "mended": len(wrong), "cut_bytes": cut_bytes, "lost": lost}
    return line | {"faults": [fault_line(fault) for fault in wrong], "next_sequence": found.next_sequence}


def missing_before(found: Examination, before: Examination | None) -> int:
    """How many sequences are missing between two segments of one incarnation of a ring."""
    if before is None or before.ring_uuid != found.ring_uuid:
        return 0
    return max(found.first_sequence - before.next_sequence, 0)


def fault_line(fault: JournalFault) -> dict[str, Any]:
    """A fault as a JSON-able dict."""
    return fault._asdict() | {"path": str(fault.path)}


def state_of(found: Examination) -> str:
    """The state of a segment in one word."""
    return "damaged" if found.damage else str(found.end)


def describe(found: Examination, wrong: list[JournalFault], missing: int) -> dict[str, Any]:
    """One segment as a JSON-able dict."""
    line = found._asdict() | {"segment": found.segment.path.name, "ring_uuid": found.ring_uuid.hex()}
    del line["damage"]
    faults = [fault_line(fault) for fault in wrong]
    return line | {"state": state_of(found), "faults": faults, "missing_before": missing}


def sentence(found: Examination, wrong: list[JournalFault], missing: int) -> str:
    """One segment as text, a line for each fault."""
    lines = [f"{found.segment.path.name}: {state_of(found)}, {found.frames} frames from {found.first_sequence} on"]
    lines += [f"  {fault}" for fault in wrong]
    if missing:
        lines.append(f"  {found.segment.path}: {missing} sequences before it are missing")
    return "\n".join(lines)


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "journal")
