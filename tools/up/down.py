"""`alphapulse down`: end what `alphapulse up` started, and with --purge remove what it left."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import msgspec

from tlv.errors import UsageError
from tools.command.claims import Claim
from tools.command.config import load_config
from tools.command.config_option import config_option
from tools.command.environment import settings_environment
from tools.command.stderr_log import tell_operator
from tools.up.run_directory import RunDirectory


@click.command("down", epilog="Example:  alphapulse down -c alphapulse.toml --purge")
@config_option()
@click.option(
    "--purge", is_flag=True, help="Remove its rings, sockets, logs and directory too; journals and cursors stay."
)
@click.option("--journals", is_flag=True, help="With --purge: DELETE the journals too, after a question.")
@click.option("--yes", is_flag=True, help="Answer the question.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(config: Path, purge: bool, journals: bool, yes: bool, as_json: bool) -> int:
    """End every process of a configuration and its supervisor.

    Collectors end first and close their rings; recorders and relays get a moment to read the rest.  Rings stay in
    memory, closed, so that `alphapulse up` goes on where they end.  Nothing that is up is no error.
    """
    if journals and not purge:
        raise UsageError("--journals: expected --purge with it")
    os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # as `ringstat`
    place = RunDirectory.of(config)
    claims = claims_of_all(place, config) if purge else []
    doomed = [path for one in claims if one.kind == "journal" and (path := Path(one.what)).is_dir()] if journals else []
    if doomed and not yes:
        confirm(doomed)
    was_up = place.is_held()
    if was_up:
        from tools.up.ending import end_all

        end_all(place)
    else:
        place.forget()
    removed: list[str] = []
    problems: list[str] = []
    if purge:
        from tools.up.remains import remove_all

        removed, problems = remove_all(place, claims, doomed)
    for problem in problems:
        tell_operator(f"down: {problem}", problem)
    if as_json:
        click.echo(msgspec.json.encode({"was_up": was_up, "removed": removed, "problems": problems}))
    else:
        click.echo(f"{config} is down" if was_up else f"{config} was not up")
        for what in removed:
            click.echo(f"  removed {what}")
    return 1 if problems else 0


def claims_of_all(place: RunDirectory, config: Path) -> list[Claim]:
    """What the configuration's processes had; what they would have, if they never ran here."""
    if place.claims():
        return place.claims()
    from tools.command.checking import all_claims

    return all_claims(load_config(config, settings_environment(os.environ)))


def confirm(doomed: list[Path]) -> None:
    """Ask whether these journals are to be deleted; ends the command if not."""
    for path in doomed:
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        click.echo(f"journal {path}: {size / (1 << 20):,.1f} MiB", err=True)
    if not sys.stdin.isatty():
        raise UsageError("--journals: nobody is there to be asked; --yes says that these are to be deleted")
    click.confirm("Delete what was recorded there?", abort=True, err=True)
