"""`alphapulse prove journal`: seeks in a large journal, and readers beside rotation, packing and retention.

Owns the command line and what is printed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import click

from tools.command.say import say
from tools.prove.journal.followers import follow_and_seek
from tools.prove.journal.seeks import all_packed, make_journal, measure

MOST_SEEK_MS = 50.0
GIB = 1 << 30


@click.command("journal", epilog="Example:  alphapulse prove journal --gib 10")
@click.option(
    "--gib", default=1.0, show_default=True, type=click.FloatRange(0.05), help="Size of the journal's records."
)
@click.option("--seeks", default=200, show_default=True, type=click.IntRange(2), help="By sequence, and by block.")
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(1), help="Of following and seeking.")
@click.option("--seed", default=1, show_default=True, type=int)
@click.option(
    "--directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where the journals are made and removed.  [default: the temporary directory]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def command(gib: float, seeks: int, seconds: float, seed: int, directory: Path | None, as_json: bool) -> None:
    """Seek in a large journal that is still written, and read beside rotation, packing and retention.

    Exit code 1 if a seek's p99 takes over 50 ms, lands elsewhere, or anything that is there is told as missing.
    """
    failed = False
    with tempfile.TemporaryDirectory(dir=directory) as home:
        begin = time.monotonic()
        journal = make_journal(Path(home) / "large", int(gib * GIB))
        while not all_packed(journal.directory):
            time.sleep(0.1)
        made = {"gib": gib, "segments": len(list(journal.directory.glob("segment-*"))), "blocks": journal.blocks}
        say(made, f"made {gib} GiB in {time.monotonic() - begin:.0f} s: {made['segments']} segments", as_json)
        for found in measure(journal, seeks, seed):
            failed |= found.p99_ms > MOST_SEEK_MS or found.wrong > 0
            text = "row 55, seek by {by}: p50 {p50_ms} ms, p99 {p99_ms} ms, most {most_ms} ms; {wrong} of {seeks} wrong"
            say(found._asdict(), text.format(**found._asdict()), as_json)
        journal.close()
        for retain in (False, True):
            followed = follow_and_seek(Path(home) / f"followed-{retain}", seconds, seed, retain=retain)
            failed |= followed.wrongly_missing > 0 or (followed.told_lost > 0 and not retain)
            text = (
                "row 55, retention {retain}: {segments} segments, {followed} frames followed, {seeks} seeks, "
                "{told_lost} told as lost, {wrongly_missing} times what was there was missing"
            )
            line = followed._asdict() | {"retain": retain}
            say(line, text.format(**line), as_json)
    sys.exit(1 if failed else 0)
