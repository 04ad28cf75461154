"""What a process writes to stderr: its log, and the traceback of a defect, both without what URLs hold.

Owns the level and the form.  A level below INFO is for our own loggers: there the libraries print handshakes, and with
them keys.

A URL in a text is cut down to scheme and host, whoever wrote it.  What else could hold a key (the words of a node, a
part of a URL) is hidden where it comes in: see `producers.node.redaction`.
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


class Discreet(logging.Formatter):
    """A log record, its traceback included, without what URLs hold."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return without_urls(super().format(record))


def set_up_logging() -> None:
    """Log to stderr, from warnings on; the traceback of a defect goes the same way."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Discreet(FORMAT))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    sys.excepthook = tell_defect


def speak_from(level: int) -> None:
    """Log from `level` on; the libraries from INFO at most."""
    logging.getLogger().setLevel(max(level, logging.INFO))
    logging.getLogger(OURS).setLevel(level)


def tell_defect(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What Python prints of an exception that nobody expected."""
    sys.stderr.write(without_urls("".join(traceback.format_exception(kind, error, trace))))
