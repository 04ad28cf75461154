"""Every `alphapulse up` of this user, for `alphapulse status`: what it runs, and whether all of it is well."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tools.up.run_directory import RunDirectory

if TYPE_CHECKING:
    from rich.table import Table

    from tools.up.processes import SupervisedProcess


@dataclass(frozen=True)
class UpState:
    """One `alphapulse up`."""

    config: str
    problem: str = ""
    processes: list[SupervisedProcess] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether its supervisor and every process of it are well."""
        return not self.problem and all(one.healthy for one in self.processes)


def ups(config: Path | None) -> list[UpState]:
    """Every `alphapulse up` of this user that runs or was killed; with `config` that of this file, whatever it does."""
    chosen = [RunDirectory.of(config)] if config is not None else RunDirectory.all()
    found = []
    for place in chosen:
        who = place.who()
        if who is None:
            if config is not None:
                found.append(UpState(str(config), "it is not up: `alphapulse up` starts it"))
            continue
        if not place.is_held():
            found.append(
                UpState(who.config, f"its supervisor (pid {who.pid}) was killed, and its processes ended with it")
            )
            continue
        from tools.up.control import NoAnswer
        from tools.up.processes import look_at_processes

        try:
            found.append(UpState(who.config, "", look_at_processes(place)))
        except NoAnswer as error:
            found.append(UpState(who.config, str(error)))
    return found


def as_dict(one: UpState) -> dict[str, Any]:
    """The same for a program."""
    processes = [asdict(process) | {"healthy": process.healthy} for process in one.processes]
    return {"config": one.config, "healthy": one.healthy, "problem": one.problem, "processes": processes}


def show(running: list[UpState]) -> None:
    """A table of the processes of each `up`, and the last lines of those that do not run."""
    for one in running:
        click.echo(f"up     {one.config}{': ' + one.problem if one.problem else ''}")
        if one.processes:
            from rich.console import Console

            Console(width=None if sys.stdout.isatty() else 160, highlight=False).print(as_table(one.processes))
        for process in one.processes:
            for line in process.last_lines if not process.healthy else ():
                click.echo(f"       {process.name}: {line}")


def as_table(processes: list[SupervisedProcess]) -> Table:
    """The processes of one `up`."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("       process", "state"):
        table.add_column(column)
    for column in ("pid", "since", "restarts"):
        table.add_column(column, justify="right")
    table.add_column("last end")
    for one in processes:
        values = (one.state, str(one.pid or "-"), f"{one.age_s} s", str(one.restarts), one.last_end or "-")
        table.add_row(f"       {one.name}", *values, style="" if one.healthy else "bold red")
    return table
