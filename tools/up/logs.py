"""`alphapulse logs`: what the processes of an `up` print.

Owns the following of files that rotate.  It reads files only, so it shows the last words of a pipeline that is gone.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import BinaryIO

import click

from tlv.errors import UsageError
from tools.command.config import load_config
from tools.command.config_option import config_option
from tools.command.interrupt import Interrupt
from tools.command.nearest import did_you_mean
from tools.up.processes import last_lines
from tools.up.run_directory import NotUp, RunDirectory

LOOK_S = 0.2
SUPERVISOR = "supervisord"


@click.command("logs", epilog="Example:  alphapulse logs -f collector")
@click.argument("name", required=False)
@config_option()
@click.option("-f", "--follow", is_flag=True, help="Go on with what is printed from now on, until Ctrl-C.")
@click.option("--names/--no-names", default=True, show_default=True, help="Without NAME: each line behind its name.")
@click.option(
    "-n", "--lines", default=20, show_default=True, type=click.IntRange(0, 100_000), help="Of what was printed before."
)
def command(name: str | None, config: Path, follow: bool, names: bool, lines: int) -> None:
    """Show what the process NAME printed; without NAME every process.

    `supervisord` is a name too: who started when, and how it ended.
    """
    place = RunDirectory.of(config)
    if not place.settings.exists():
        raise NotUp(f"{config} was never up here, or was purged: `alphapulse up` starts it")
    files = {one: place.log_of(one) for one in load_config(place.settings, {}).processes}
    files[SUPERVISOR] = place.supervisord_log
    if name is not None and name not in files:
        raise UsageError(f"no process {name!r}{did_you_mean(name, files)} (there: {', '.join(files)})")
    chosen = files if name is None else {name: files[name]}
    width = max(map(len, chosen)) if name is None and names else 0
    followed = [FollowedFile(path, one.ljust(width) + " | " if width else "") for one, path in chosen.items()]
    with Interrupt() as asked:
        for one in followed:
            for line in last_lines(one.path, lines) if lines else ():
                show(one.prefix + line)
            one.skip()
        while follow and not asked():
            for one in followed:
                for line in one.new_lines():
                    show(one.prefix + line)
            time.sleep(LOOK_S)


def show(line: str) -> None:
    """A line on stdout, at once."""
    click.echo(line)
    sys.stdout.flush()


class FollowedFile:
    """A log that may be renamed and begun anew at any moment."""

    def __init__(self, path: Path, prefix: str) -> None:
        self.path, self.prefix = path, prefix
        self._file: BinaryIO | None = None
        self._rest = b""

    def skip(self) -> None:
        """Begin behind what is there."""
        self._file = self._open()
        if self._file is not None:
            self._file.seek(0, os.SEEK_END)

    def new_lines(self) -> list[str]:
        """Whole lines since the last look: the rest of a file that was renamed, then those of the one behind it."""
        data = self._read()
        if self._is_replaced():
            fresh = self._open()
            if fresh is not None:
                data += self._read()  # what came between the read and the rename
                self._close()
                self._file = fresh
                data += self._read()
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def _read(self) -> bytes:
        return self._file.read() if self._file is not None else b""

    def _open(self) -> BinaryIO | None:
        try:
            return self.path.open("rb")
        except OSError:
            return None

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _is_replaced(self) -> bool:
        try:
            named = self.path.stat()
        except OSError:
            return False
        ours = os.fstat(self._file.fileno()) if self._file is not None else None
        return ours is None or (named.st_dev, named.st_ino) != (ours.st_dev, ours.st_ino)
