"""What a process writes to stderr: its log, and why it ended; as text, or as a JSON object a line.

Owns the level, the form and the handler.  Whoever logs uses stdlib's `logging`; what a line looks like is
`tools.command.log_lines`'s, and which repeats are left out `tools.command.repeats`'s.  A level below INFO applies to
our own loggers only: below it libraries print handshakes, and with them keys.

Every URL in a text is cut, whatever logged it.  Other text that could hold a key (a node's message, a part of a URL) is
redacted where it is received: see `producers.node.redaction`.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import threading
import time
import traceback
from types import TracebackType

from tools.command.careful_stderr import keep_standard_streams
from tools.command.repeats import Repeats

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
TEXT, JSON = "text", "json"
OURS = "alphapulse"
LOOK_S = 1.0
"""How often it is looked whether a storm of repeats is over."""
URL = re.compile(r"""\b([a-z][a-z0-9+.-]*://)(?:[^\s/?#'"<>]*@)?([^\s/?#'"<>@)]*)[^\s'"<>)]*""", re.IGNORECASE)


def without_urls(text: str) -> str:
    """`text` with every URL cut down to its scheme and its host."""
    return URL.sub(r"\1\2", text)


class StderrHandler(logging.Handler):
    """Writes lines to stderr, whatever that is at the time; repeats are counted."""

    lock: threading.RLock

    def __init__(self) -> None:
        super().__init__()
        self.form, self.process = TEXT, OURS
        self._repeats = Repeats()
        self._waiting: threading.Thread | None = None

    def shape(self, form: str | None = None, process: str | None = None) -> None:
        """From now on: text or JSON, and which process of the pipeline it is."""
        with self.lock:
            self.form, self.process = form or self.form, process or self.process
            self.formatter = None

    def prepare(self) -> None:
        """Load what a line needs, for who can neither wait for it at the first line nor count on a descriptor then."""
        if self.formatter is None:
            from tools.command.log_lines import make_formatter

            self.formatter = make_formatter(self.form, self.process)

    def emit(self, record: logging.LogRecord) -> None:
        """Write it, unless it is one repeat too many."""
        try:
            lines = self._repeats.pass_on(record, time.monotonic_ns())
        except Exception:  # noqa: BLE001  # what cannot be shown is like no other line
            lines = [record]
        for line in lines:
            self.write(line)
        if self._repeats.left_out and (self._waiting is None or not self._waiting.is_alive()):
            self._waiting = threading.Thread(target=self._wait_out, name="repeats", daemon=True)
            with contextlib.suppress(RuntimeError):  # no thread to be had: the next line, or the end, says it
                self._waiting.start()

    def _wait_out(self) -> None:
        """Tell of each storm when its interval is over, as long as there is one."""
        left_out = True
        while left_out:
            time.sleep(LOOK_S)
            with self.lock:
                for line in self._repeats.over(time.monotonic_ns()):
                    self.write(line)
                left_out = self._repeats.left_out
                if not left_out:
                    self._waiting = None

    def end_storms(self) -> None:
        """Write what was left out so far."""
        with self.lock:
            for line in self._repeats.end(time.monotonic_ns()):
                self.write(line)

    def close(self) -> None:
        """At the process's end."""
        self.end_storms()
        super().close()

    def write(self, record: logging.LogRecord) -> None:
        """Write it at once.  A line that cannot be shown is a line about that, and ends nothing."""
        try:
            text = self._shown(record)
        except Exception as error:  # noqa: BLE001  # arguments of whatever logs
            what = f"a line of {record.pathname}:{record.lineno} cannot be shown: {error!r}"
            try:
                text = self._shown(logging.LogRecord(record.name, record.levelno, "", 0, what, None, None))
            except Exception:  # noqa: BLE001  # no descriptor is left to load structlog with
                text = without_urls(f"{record.name}: {what}")
        self.put(text)

    def _shown(self, record: logging.LogRecord) -> str:
        self.prepare()
        return self.format(record)

    def put(self, text: str) -> None:
        """A line on stderr, if there is one and it takes it."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


HANDLER = StderrHandler()
"""Of this process."""


def set_up_logging(process: str = OURS) -> None:
    """Log to stderr, from warnings on; warnings of Python and the traceback of a defect go the same way."""
    keep_standard_streams()
    HANDLER.shape(process=process)
    root = logging.getLogger()
    root.addHandler(HANDLER)
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = print_defect
    threading.excepthook = print_defect_of_thread


def speak_from(level: int) -> None:
    """Log from `level` on; the libraries from INFO at most."""
    logging.getLogger().setLevel(max(level, logging.INFO))
    logging.getLogger(OURS).setLevel(level)


def complain(who: str, line: object, **fields: object) -> None:
    """A line of the log from a command, for the operator."""
    logging.getLogger(f"{OURS}.{who}").warning(str(line), extra={**fields, **getattr(line, "fields", {})})


def tell_operator(
    shown: str, event: str, level: int = logging.ERROR, error: BaseException | None = None, **fields: object
) -> None:
    """Why a command ends, or what it tells beside its result: `shown` as it is, or a line of JSON.

    Never left out, whatever the level and however often.
    """
    HANDLER.end_storms()
    if HANDLER.form == JSON:
        trace = (type(error), error, error.__traceback__) if error is not None else None
        line = logging.LogRecord(OURS, level, "", 0, event, None, trace)
        vars(line).update(fields)
        HANDLER.write(line)
    else:
        HANDLER.put(without_urls(shown.rstrip("\n")))


def print_defect(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback of an uncaught exception, with URLs cut."""
    shown = "".join(traceback.format_exception(kind, error, trace))
    tell_operator(shown, f"{kind.__name__}: {error}", logging.CRITICAL, error)


def print_defect_of_thread(found: threading.ExceptHookArgs) -> None:
    """The same of a thread, which has ended with it."""
    if found.exc_value is not None and found.exc_type is not SystemExit:
        print_defect(found.exc_type, found.exc_value, found.exc_traceback)
