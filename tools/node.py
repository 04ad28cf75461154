"""`alphapulse node`: serve a recording as a JSON-RPC node.

Owns the command line and the lines it prints: first the addresses, then that the recording has ended.
"""

from __future__ import annotations

import asyncio
import math
import signal
import sys
from pathlib import Path
from typing import Any, get_args

import click
import msgspec

from tools.command.config_option import config_option
from tools.command.service import tell_while_it_turns
from tools.recording import Faults, RecordingNode
from tools.recording.server import AtEnd, Start


def speed_of(text: str) -> float:
    """A positive number, or `max` for no pauses at all (infinity)."""
    try:
        speed = math.inf if text == "max" else float(text)
    except ValueError:
        speed = math.nan
    if not speed > 0:
        raise click.BadParameter(f"expected a number above 0 or max, found {text!r}")
    return speed


SHARE = click.FloatRange(0, 1)


@click.command("node", epilog="Example:  alphapulse node --speed 10 --port 8546")
@config_option(required=False, handed_over=False)
@click.argument("recording", required=False, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=0,
    show_default="chosen by the kernel",
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0: the kernel chooses one.",
)
@click.option(
    "--speed",
    default="1",
    show_default=True,
    metavar="NUMBER|max",
    type=speed_of,
    help="Times the recorded pace, or max.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    metavar="PER_SECOND",
    help="Notifications a second at most, evenly spaced.",
)
@click.option(
    "--start", default="subscribe", show_default=True, type=click.Choice(get_args(Start)), help="When the clock starts."
)
@click.option(
    "--at-end",
    default="stay",
    show_default=True,
    type=click.Choice(get_args(AtEnd)),
    help="What follows the last block: loop goes on with the same blocks, renumbered as later ones.",
)
@click.option(
    "--max-pause",
    default=2.0,
    show_default=True,
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Longest pause between two sessions.",
)
@click.option(
    "--first-block", type=click.IntRange(0), metavar="NUMBER", help="Begin at this block.  [default: the first]"
)
@click.option("--chain-id", type=click.IntRange(1), help="For a recording without pool metadata.")
@click.option("--disconnects", default=0, type=click.IntRange(0), help="How often clients are cut off.")
@click.option("--duplicate", default=0.0, type=SHARE, metavar="SHARE", help="Share of notifications sent twice.")
@click.option(
    "--reorder", default=0.0, type=SHARE, metavar="SHARE", help="Share of blocks whose notifications come out of order."
)
@click.option("--seed", default=0, type=int, help="Of the three faults above.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def command(
    recording: Path | None,
    host: str,
    port: int,
    speed: float,
    rate: float | None,
    start: Start,
    at_end: AtEnd,
    max_pause: float,
    first_block: int | None,
    chain_id: int | None,
    disconnects: int,
    duplicate: float,
    reorder: float,
    seed: int,
    as_json: bool,
) -> None:
    """Serve RECORDING (a folder; without one, the bundled Polygon sessions) over WebSocket and HTTP on one port.

    The clock of the recording starts when the first client has subscribed.
    """
    node = RecordingNode(
        recording,
        host=host,
        port=port,
        speed=speed,
        rate=rate or math.inf,
        start=start,
        at_end=at_end,
        max_pause_s=max_pause,
        chain_id=chain_id,
        first_block=first_block,
        faults=Faults(disconnects, duplicate, reorder, seed),
    )
    asyncio.run(_serve(node, as_json, leave_at_end=at_end == "close"))


async def _serve(node: RecordingNode, as_json: bool, leave_at_end: bool) -> None:
    """Serve until a signal comes, or until the end of the recording."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with node:
        _say_addresses(node, as_json)
        telling = asyncio.ensure_future(tell_while_it_turns())
        stopping = asyncio.ensure_future(stopped.wait())
        ending = asyncio.ensure_future(node.ended())
        await asyncio.wait((stopping, ending), return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            _say_ended(node, as_json)
            if not leave_at_end:
                await stopping
        for task in (ending, stopping, telling):
            task.cancel()


def _say_addresses(node: RecordingNode, as_json: bool) -> None:
    recording = node.recording
    if as_json:
        _say({"ws": node.ws_url, "http": node.http_url, "chain_id": recording.chain_id, "recording": recording.name})
    else:
        click.echo(f"{node.ws_url} and {node.http_url} serve recording {recording.name} (chain {recording.chain_id})")
    sys.stdout.flush()


def _say_ended(node: RecordingNode, as_json: bool) -> None:
    counts = node.counts
    if as_json:
        _say({"ended": True, "head": node.head_number, **msgspec.to_builtins(counts)})
    else:
        click.echo(f"end of the recording: head {node.head_number}, {counts.notifications} notifications pushed")
    sys.stdout.flush()


def _say(line: dict[str, Any]) -> None:
    click.echo(msgspec.json.encode(line))


if __name__ == "__main__":
    from tools.command.main import run_command

    run_command(command, "node")
