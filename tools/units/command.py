"""`alphapulse units`: write systemd units for a configuration.

Owns its options, and which paths the units may write.
"""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

import click
import msgspec

from tlv.errors import UsageError
from tools.command.config import Configuration
from tools.command.config_option import config_option
from tools.units.text import TARGET, TEMPLATE, service_unit, target_unit

CREDENTIALS = Path("/etc/alphapulse/credentials")
FILES = ("state", "pool_cache", "socket")
FOLDERS = ("out", "cursors")
"""Keys whose values a process writes."""


@click.command("units", epilog="Example:  alphapulse units -c /etc/alphapulse/alphapulse.toml --to /etc/systemd/system")
@config_option()
@click.option("--to", "folder", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Write them there.")
@click.option(
    "--user", default=getpass.getuser, show_default="yours", help="Who runs the processes; owns the journals."
)
@click.option(
    "--credentials",
    default=CREDENTIALS,
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder of the settings that are secret: COLLECTOR__URL holds what ALPHAPULSE__COLLECTOR__URL would.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(config: Path, folder: Path | None, user: str, credentials: Path, as_json: bool) -> None:
    """Print or write a template unit, alphapulse@.service, and alphapulse.target, which wants it for each process.

    The configuration is checked first.  `systemctl enable --now alphapulse.target` starts them, each restarted by
    systemd; `systemctl stop alphapulse.target` ends them.  They are told apart from `alphapulse up`, which runs the
    same without root.
    """
    from tools.up.beginning import checked_configuration

    configuration = checked_configuration(config, {})
    program = Path(sys.executable).with_name("alphapulse")
    if not program.exists():
        raise UsageError(f"{program}: expected the installed command there; pip install alphapulse")
    units = {
        TEMPLATE: service_unit(
            command=str(program),
            config=config.absolute(),
            credentials=credentials,
            user=user,
            writable=written_by(configuration),
        ),
        TARGET: target_unit(config=config.absolute(), processes=list(configuration.processes)),
    }
    if folder is not None:
        for name, text in units.items():
            (folder / name).write_text(text, encoding="utf-8")
    if as_json:
        click.echo(msgspec.json.encode(units))
    elif folder is None:
        click.echo("\n".join(f"# {name}\n{text}" for name, text in units.items()), nl=False)
    else:
        click.echo(f"wrote {folder / TEMPLATE} and {folder / TARGET}; systemctl enable --now {TARGET} starts them")


def written_by(configuration: Configuration) -> list[Path]:
    """Where the processes write, beyond their own run-time, state and cache directories."""
    found = set()
    for one in configuration.processes.values():
        found |= {Path(one.values[key]).parent for key in FILES if one.values.get(key, "none") != "none"}
        found |= {Path(one.values[key]) for key in FOLDERS if key in one.values}
    return sorted(found)
