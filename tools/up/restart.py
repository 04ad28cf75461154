"""`alphapulse restart NAME`: end one process of an `up` and start it anew, with the configuration as it is now."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import msgspec

from tlv.errors import UsageError
from tlv.nearest import did_you_mean
from tools.command.completing import complete_process
from tools.command.config import Settings, load_config
from tools.command.config_option import config_option
from tools.command.environment import FAMILY
from tools.command.needs import needs
from tools.up.run_directory import NotUp, RunDirectory


@click.command("restart", epilog="Example:  alphapulse restart collector")
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_process)
@config_option()
@needs("supervisor")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(names: tuple[str, ...], config: Path, as_json: bool) -> None:
    """End the processes NAME... and start them anew; the others go on.

    They get their settings from the file as it is now, which is checked first, and from the environment that
    `alphapulse up` had.  One that was given up, or has ended, is started too.  A process that is new in the file needs
    `alphapulse down` and `up`.
    """
    os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # as `ringstat`
    place = RunDirectory.of(config)
    if not place.is_held():
        raise NotUp(f"{config} is not up: `alphapulse up` starts it")
    running = load_config(place.settings, {}).processes
    for name in names:
        if name not in running:
            raise UsageError(f"no process {name!r} is up{did_you_mean(name, running)} (there: {', '.join(running)})")
    from tools.command.checking import all_claims
    from tools.up.beginning import checked_configuration
    from tools.up.control import Control
    from tools.up.ending import end

    wanted = checked_configuration(config, environment_of(place))
    for name in names:
        wanted.process(name)
    kept = {name: one.values for name, one in running.items()}
    for name in names:
        kept[name] = renewed(wanted.processes[name], running[name])
    place.write_settings(kept)
    place.add_claims(all_claims(wanted))
    with Control(place) as control:
        end(control, lambda name: name in names)
        for name in names:
            control.start(name)
    if as_json:
        click.echo(msgspec.json.encode({"restarted": list(names)}))
    else:
        click.echo(f"restarted {', '.join(names)}")


def renewed(wanted: Settings, running: Settings) -> dict[str, Any]:
    """The settings as they are now; what a variable says is kept, since a relative path began where `up` was called."""
    return {
        key: value if wanted.origins[key] == "file" else running.values.get(key, value)
        for key, value in wanted.values.items()
    }


def environment_of(place: RunDirectory) -> dict[str, str]:
    """Our variables in the environment of the running supervisord."""
    who = place.who()
    assert who is not None
    pairs = (pair.partition(b"=") for pair in Path(f"/proc/{who.pid}/environ").read_bytes().split(b"\0"))
    found = {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}
    return {name: value for name, value in found.items() if name.startswith(FAMILY)}
