"""`alphapulse journal`: verify, describe, cut, merge or split journals.

Owns the text and JSON of these commands, and the one repair that exists: to cut a damaged segment where the damage
begins.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from consumers.journal.editing import copy_range
from consumers.journal.errors import JournalError
from consumers.journal.index import index_of
from consumers.journal.recovery import Examination, SegmentEnd, cut, examine
from consumers.journal.scan import Scanner
from consumers.journal.segment import list_segments
from consumers.lockfile import LockFile
from tlv.errors import UsageError
from tools.command.say import say

DIRECTORY = click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")


@click.group("journal", epilog="Example:  alphapulse journal verify journal/")
def command() -> None:
    """Verify, describe, cut, merge or split journals."""


@command.command(epilog="Example:  alphapulse journal verify journal/ --json")
@DIRECTORY
@JSON
def verify(directory: Path, as_json: bool) -> None:
    """Read every byte of every segment; exit code 1 if anything is damaged, torn or missing."""
    frames = lost = faults = 0
    before: Examination | None = None
    for segment in list_segments(directory):
        try:
            found = examine(segment)
        except JournalError as error:
            faults += 1
            say({"segment": segment.path.name, "state": "unreadable", "error": str(error)}, str(error), as_json)
            continue
        frames += found.frames
        lost += found.lost
        wrong = found.state in (SegmentEnd.TORN, SegmentEnd.DAMAGED)
        missing = missing_before(found, before)
        faults += wrong + bool(missing)
        say(describe(found, missing), sentence(found, missing), as_json)
        before = found
    summary = {"frames": frames, "lost": lost, "faults": faults}
    say(summary, f"{frames} frames, {lost} lost before they could be recorded, {faults} faults", as_json)
    sys.exit(1 if faults else 0)


@command.command(epilog="Example:  alphapulse journal info journal/")
@DIRECTORY
@JSON
def info(directory: Path, as_json: bool) -> None:
    """List the segments with their sequences and blocks, from their indexes."""
    for segment in list_segments(directory):
        scanner = Scanner(segment)
        head, index = scanner.header, index_of(scanner).header
        scanner.close()
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
            "bytes_on_disk": segment.path.stat().st_size,
        }
        text = (
            "{segment}  {ring}  sequences {first_sequence} to {last_sequence}  blocks {first_block} to {last_block}  "
            "{frames} frames  {lost} lost  {bytes_on_disk} of {bytes} bytes"
        )
        say(line, text.format(**line), as_json)


@command.command("cut", epilog="Example:  alphapulse journal cut journal/")
@DIRECTORY
@JSON
def cut_damage(directory: Path, as_json: bool) -> None:
    """Throw away the last segment's bytes from its first damaged record on, so that a recorder can go on.

    Frames behind the damage are lost to this journal; `verify` says how far it is good.
    """
    with LockFile(directory / "journal.lock"):
        segments = list_segments(directory)
        if not segments:
            raise UsageError(f"{directory}: expected a journal, found no segment")
        found = examine(segments[-1])
        if found.state in (SegmentEnd.SEALED, SegmentEnd.OPEN):
            line = {"segment": found.segment.path.name, "cut_bytes": 0}
            say(line, f"{found.segment.path.name}: nothing is damaged, nothing was cut", as_json)
            return
        removed = cut(found.segment, found.position)
    line = {"segment": found.segment.path.name, "cut_bytes": removed, "next_sequence": found.next_sequence}
    text = f"{found.segment.path.name}: cut {removed} bytes at byte {found.position}; next is {found.next_sequence}"
    say(line, text, as_json)


@command.command("merge", epilog="Example:  alphapulse journal merge one/ other/ --out both/")
@click.argument("directories", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Directory of the new one."
)
@JSON
def merge_journals(directories: tuple[Path, ...], out: Path, as_json: bool) -> None:
    """Write what several journals have of one ring to a new one: each frame once, in order.

    What one recorder lost is taken from another that has it.
    """
    frames, lost = copy_range(directories, out)
    say({"frames": frames, "lost": lost}, f"{frames} frames, {lost} that none of the journals has", as_json)


@command.command("split", epilog="Example:  alphapulse journal split journal/ --at 5000 --out before/ --rest behind/")
@DIRECTORY
@click.option("--at", required=True, type=click.IntRange(2), help="First sequence of the second part.")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="For what is before it.")
@click.option("--rest", required=True, type=click.Path(path_type=Path, file_okay=False), help="For what is left.")
@JSON
def split_journal(directory: Path, at: int, out: Path, rest: Path, as_json: bool) -> None:
    """Write a journal as two new ones; the old one stays."""
    before, _ = copy_range([directory], out, last=at - 1)
    behind, _ = copy_range([directory], rest, first=at)
    say({"before": before, "behind": behind}, f"{before} frames before sequence {at}, {behind} from it on", as_json)


def missing_before(found: Examination, before: Examination | None) -> int:
    """How many sequences are missing between two segments of one incarnation of a ring."""
    if before is None or before.ring_uuid != found.ring_uuid:
        return 0
    return found.first_sequence - before.next_sequence


def describe(found: Examination, missing: int) -> dict[str, Any]:
    """One segment as a JSON-able dict."""
    line = found._asdict() | {"segment": found.segment.path.name, "ring_uuid": found.ring_uuid.hex()}
    return line | {"missing_before": missing}


def sentence(found: Examination, missing: int) -> str:
    """One segment as text."""
    text = f"{found.segment.path.name}: {found.state}, {found.frames} frames from {found.first_sequence} on"
    if found.found:
        text += f"; at byte {found.position} {found.found}, {found.bytes_behind} bytes behind it"
    if missing:
        text += f"; {missing} sequences before it are missing"
    return text


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "journal")
