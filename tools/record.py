"""`alphapulse record`: append every frame of a ring to a journal.

Owns the command line, the ready line and the counts at the end.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import msgspec

from consumers.journal import Fsync
from consumers.recorder import Recorder
from ringbuf import RingNotFound, RingNotReady
from tools.command.interrupt import Interrupt
from tools.command.say import say

RETRY_S = 0.05
MIB = 1 << 20


@click.command("record", epilog="Example:  alphapulse record --ring market.polygon --out journal/")
@click.option("--ring", default="market.polygon", show_default=True, help="Ring to record.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Directory of the journal."
)
@click.option(
    "--fsync",
    type=click.Choice([policy.value for policy in Fsync]),
    default=Fsync.INTERVAL.value,
    show_default=True,
    help="What a power cut may lose: never = what the kernel still held, interval = the last second, batch = nothing.",
)
@click.option("--interval", default=1.0, show_default=True, type=click.FloatRange(0.001), help="Seconds, for interval.")
@click.option("--segment-mib", default=64, show_default=True, type=click.IntRange(4, 1024), help="Size of one segment.")
@click.option(
    "--retain-mib", default=0, show_default="all", type=click.IntRange(0), help="Drop the oldest beyond this."
)
@click.option(
    "--retain-hours",
    default=0.0,
    show_default="all",
    type=click.FloatRange(0),
    help="Drop segments completed so long ago; looked at whenever a segment is complete.",
)
@click.option("--pack/--no-pack", default=True, show_default=True, help="Compress complete segments with zstd.")
@click.option("--wait-for-ring", default=0.0, show_default=True, type=click.FloatRange(0), help="Seconds.")
@click.option("--until-closed", is_flag=True, help="End when the ring is closed and read to its end.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def command(
    ring: str,
    out: Path,
    fsync: str,
    interval: float,
    segment_mib: int,
    retain_mib: int,
    retain_hours: float,
    pack: bool,
    wait_for_ring: float,
    until_closed: bool,
    as_json: bool,
) -> None:
    """Append every frame of a ring to the journal in a directory, and go on where the last recorder stopped.

    The ring's writer waits for a recorder, within bounds; what was lost all the same stands in the journal as a gap.
    """
    with Interrupt() as asked:
        recorder = attach(
            wait_for_ring,
            asked,
            lambda: Recorder(
                ring,
                out,
                report=complain,
                fsync=Fsync(fsync),
                interval_s=interval,
                segment_bytes=segment_mib * MIB,
                retain_bytes=retain_mib * MIB,
                retain_s=retain_hours * 3600,
                pack=pack,
            ),
        )
        with recorder:
            say({"ready": True, "ring": ring, "journal": str(out)}, f"recording {ring} into {out}", as_json)
            recorder.run(asked, until_closed=until_closed)
        counts = msgspec.to_builtins(recorder.recorded)
        say(
            counts,
            "recorded {frames} frames, {bytes} bytes; {lost} frames lost".format(**counts),
            as_json,
        )


def attach(patience_s: float, asked: Callable[[], bool], make: Callable[[], Recorder]) -> Recorder:
    """What `make` makes, as soon as its ring exists; its own error after `patience_s`."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return make()
        except (RingNotFound, RingNotReady):
            if asked() or time.monotonic() >= deadline:
                raise
            time.sleep(RETRY_S)


def complain(line: str) -> None:
    """A line on stderr, for the recorder's operator."""
    print(f"record: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "record")
