"""`alphapulse record`: append every frame of a ring to a journal.

Owns the command line, the ready line and the counts at the end.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from consumers.journal import Fsync
from consumers.recorder import Recorded, Recorder
from tools.command.config_option import config_option
from tools.command.counting import counters_beside
from tools.command.given import refuse_without_effect
from tools.command.interrupt import Interrupt
from tools.command.say import say
from tools.command.stderr_log import complain
from tools.command.waiting import wait_for_ring_option, when_there

MIB = 1 << 20
BEYOND = 2
"""Segments that a journal grows by before the next is dropped: one is written, another packed beside itself."""


def enough_segments(context: click.Context, _parameter: click.Parameter, retain_mib: int) -> int:
    """Refuse a budget that cannot be kept; 0 = none."""
    least = (BEYOND + 1) * int(context.params["segment_mib"])
    if 0 < retain_mib < least:
        raise click.BadParameter(f"expected 0 or at least {least}, three times --segment-mib, found {retain_mib}")
    return retain_mib


@click.command("record", epilog="Example:  alphapulse record --ring market.polygon --out journal/")
@config_option(required=False, handed_over=False)
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
@click.option(
    "--interval",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.001),
    metavar="SECONDS",
    help="For --fsync interval.",
)
@click.option(
    "--segment-mib",
    is_eager=True,
    default=64,
    show_default=True,
    type=click.IntRange(4, 1024),
    help="Size of one segment.",
)
@click.option(
    "--retain-mib",
    callback=enough_segments,
    default=0,
    show_default="all",
    type=click.IntRange(0),
    help="What the journal may take on the disk, at least three segments: the oldest ones are dropped.",
)
@click.option(
    "--retain-hours",
    default=0.0,
    show_default="all",
    type=click.FloatRange(0),
    help="Drop segments completed so long ago; looked at whenever a segment is complete.",
)
@click.option("--pack/--no-pack", default=True, show_default=True, help="Compress complete segments with zstd.")
@wait_for_ring_option
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
    wait_for_ring: float | None,
    until_closed: bool,
    as_json: bool,
) -> None:
    """Append every frame of a ring to the journal in a directory, and go on where the last recorder stopped.

    The ring's writer waits for a recorder, within bounds; what was lost all the same stands in the journal as a gap.
    A ring that is not there yet is waited for; one that is replaced is recorded to its end, then the one that follows.
    """
    if Fsync(fsync) is not Fsync.INTERVAL:
        refuse_without_effect("without --fsync interval", "--interval")
    with Interrupt() as asked, counters_beside(Recorded, ring, "recorder") as shared:
        recorder = when_there(
            "record",
            ring,
            wait_for_ring,
            asked,
            lambda: Recorder(
                ring,
                out,
                report=partial(complain, "record", ring=ring),
                stop=asked,
                shared=shared,
                fsync=Fsync(fsync),
                interval_s=interval,
                segment_bytes=segment_mib * MIB,
                retain_bytes=(retain_mib - BEYOND * segment_mib) * MIB if retain_mib else 0,
                retain_s=retain_hours * 3600,
                pack=pack,
            ),
        )
        if recorder is None:
            return
        with recorder:
            say({"ready": True, "ring": ring, "journal": str(out)}, f"recording {ring} into {out}", as_json)
            recorder.run(asked, until_closed=until_closed)
        counts = recorder.recorded.to_dict()
        say(
            counts,
            "recorded {frames} frames, {bytes} bytes; {lost} frames lost".format(**counts),
            as_json,
        )


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "record")
