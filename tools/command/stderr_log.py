"""What a process writes to stderr: its log, and the traceback of a defect, both with URLs cut to scheme and host.

Owns the level and the format.  A level below INFO applies to our own loggers only: below it libraries print handshakes,
and with them keys.

Every URL in a text is cut, whatever logged it.  Other text that could hold a key (a node's message, a part of a URL) is
redacted where it is received: see `producers.node.redaction`.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from types import TracebackType

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
FORMAT = "%(asctime)s %(name)s: %(message)s"
OURS = "alphapulse"
URL = re.compile(r"""\b([a-z][a-z0-9+.-]*://)(?:[^\s/?#'"<>]*@)?([^\s/?#'"<>@)]*)[^\s'"<>)]*""", re.IGNORECASE)


def without_urls(text: str) -> str:
    """`text` with every URL cut down to its scheme and its host."""
    return URL.sub(r"\1\2", text)


class UrlCuttingFormatter(logging.Formatter):
    """Formats a log record, its traceback included, with URLs cut to scheme and host."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return without_urls(super().format(record))


def set_up_logging() -> None:
    """Log to stderr, from warnings on; the traceback of a defect goes the same way."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(UrlCuttingFormatter(FORMAT))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    sys.excepthook = print_defect


def speak_from(level: int) -> None:
    """Log from `level` on; the libraries from INFO at most."""
    logging.getLogger().setLevel(max(level, logging.INFO))
    logging.getLogger(OURS).setLevel(level)


def print_defect(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback of an uncaught exception, with URLs cut."""
    sys.stderr.write(without_urls("".join(traceback.format_exception(kind, error, trace))))
