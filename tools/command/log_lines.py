"""A line of the log: what it says of a record, as text or as JSON.  Imports structlog, which takes a while.

Owns the keys.  A named argument of a message is a field (`"ring %(ring)s: ..."`), and so is what `extra` has; a text
shows behind the message those that the message does not name.  No line, field or traceback has more of a URL than its
scheme and host.

    2026-11-29T22:53:25.123Z WARNING alphapulse.relay: ring market.polygon: damaged sequence=1812
    {"time": "2026-11-29T22:53:25.123Z", "level": "warning", "logger": "alphapulse.relay", "process": "relay.market",
     "event": "ring market.polygon: damaged", "ring": "market.polygon", "sequence": 1812}
"""

from __future__ import annotations

import logging
import math
import numbers
import re
from collections.abc import Mapping
from typing import Any

from structlog.processors import JSONRenderer, LogfmtRenderer, format_exc_info
from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level, add_logger_name
from structlog.typing import EventDict, Processor, WrappedLogger

from tools.command.stderr_log import JSON, without_urls
from tools.command.utc import utc

KEYS = ("time", "level", "logger", "process", "event")
"""Of every line, in this order; fields follow."""
NO_FIELDS = frozenset(("message", "asctime", "color_message", "websocket"))
"""What other formatters and libraries put into a record."""
NAMED = re.compile(r"%\((\w+)\)")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

EXTRA, FIELDS = ExtraAdder(), LogfmtRenderer(bool_as_flag=False)


def make_formatter(form: str, process: str) -> logging.Formatter:
    """A formatter of stdlib's records, libraries' among them; `form` is text or json."""

    def name_process(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
        line["process"] = process
        return line

    add: list[Processor] = [add_fields, add_time, add_log_level, add_logger_name, name_process, format_exc_info]
    show: list[Processor] = [in_order, JSONRenderer(ensure_ascii=False)] if form == JSON else [as_text]
    return ProcessorFormatter(
        processors=[*add, ProcessorFormatter.remove_processors_meta, cut, *show], pass_foreign_args=True
    )


def add_fields(_: Any, __: str, line: EventDict) -> EventDict:
    """The named arguments, and what `extra` had."""
    record = line["_record"]
    arguments = line.pop("positional_args", None)
    named: Mapping[str, Any] = arguments if isinstance(arguments, Mapping) else {}
    extra = EXTRA(_, __, {"_record": record})
    for name, value in {**extra, **named}.items():
        if name not in NO_FIELDS and not name.startswith("_"):
            line[f"{name}_" if name in KEYS else name] = scalar(value)
    line["_named"] = NAMED.findall(str(record.msg)) if named else ()
    line["event"] = line["event"].rstrip()
    if "stack_info" in line:
        line["stack"] = line.pop("stack_info")
    return line


def scalar(value: object) -> str | int | float | bool | None:
    """A value as JSON has it, and every reader of JSON takes it."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real) and math.isfinite(value):
        return float(value)
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)


def add_time(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """When it was logged, not when it is written: the end of a storm is written later."""
    line["time"] = utc(int(line["_record"].created * 1000))
    return line


def cut(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """URLs down to their hosts, everywhere; and nothing that is no Unicode."""
    for name, value in line.items():
        if isinstance(value, str):
            line[name] = without_urls(value).encode(errors="backslashreplace").decode()
    return line


def in_order(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """The keys of every line first."""
    del line["_named"]
    return {**{name: line[name] for name in KEYS}, **line}


def as_text(_: WrappedLogger, __: str, line: EventDict) -> str:
    """One line, and a traceback below it."""
    named = line.pop("_named")
    time, level, logger, event = (line.pop(name) for name in ("time", "level", "logger", "event"))
    del line["process"]
    below = [line.pop(name) for name in ("exception", "stack") if name in line]
    repeats, seconds = line.pop("repeats", 0), line.pop("repeats_s", 0)
    more = f" ... {repeats:,} more like it in {seconds:g} s" if repeats else ""
    fields = {name: printed(value) for name, value in line.items() if name not in named}
    behind = f" {FIELDS(None, '', fields)}" if fields else ""
    return "\n".join([f"{time} {level.upper()} {logger}: {printed(event)}{more}{behind}", *below])


def printed(value: Any) -> Any:
    """Without control characters, which would begin a line or colour a terminal."""
    return CONTROL.sub(lambda found: ascii(found[0])[1:-1], value) if isinstance(value, str) else value
