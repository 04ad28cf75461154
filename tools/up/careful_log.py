"""A log file that rotates by size, and whose disk may be full: lines are then lost, and nothing else is.

Its times are UTC, as those of the processes; supervisord's are local.

supervisord's own handler lets such an error out of the rotation: it closes the pipe of the process that logs, which
ends of it.
"""

from __future__ import annotations

import os
import time
from typing import Any

from supervisor import loggers

from tools.command.utc import utc


class CarefulLog(loggers.RotatingFileHandler):  # type: ignore[misc]
    """In place of `supervisor.loggers.RotatingFileHandler`."""

    stream: Any

    def __init__(self, filename: str, *arguments: Any, **options: Any) -> None:
        self.lost = False
        try:
            super().__init__(filename, *arguments, **options)
        except OSError:
            super().__init__(os.devnull, *arguments, **options)
            self.baseFilename = filename
            self.lost = True

    def emit(self, record: Any) -> None:
        """Write a line if the disk takes it."""
        try:
            if self.lost or self.stream.closed:
                fresh = open(self.baseFilename, "ab")  # noqa: SIM115, PTH123
                self.stream.close()
                self.stream, self.lost = fresh, False
            record.asdict()["asctime"] = utc(int(time.time() * 1000))
            super().emit(record)
        except (OSError, ValueError):
            self.lost = True

    def doRollover(self) -> None:  # noqa: N802
        """Begin another file; without older ones to keep, too: whoever follows this one sees its end."""
        if not self.backupCount and self.stream.tell() >= self.maxBytes > 0:
            os.unlink(self.baseFilename)  # noqa: PTH108
        super().doRollover()

    def reopen(self) -> None:
        """On SIGUSR2: the next line opens the file."""
        self.lost = True

    def handleError(self) -> None:  # noqa: N802
        """The line is lost."""


def use() -> None:
    """Have supervisord log so."""
    loggers.RotatingFileHandler = CarefulLog
