"""Which lines of a log are repeats of each other, and how many of them are left out.

Owns the counting.  Lines are alike that have the same logger, level and template; of a template without a word, or a
text without arguments, the whole text counts, but for its numbers.  Times come as arguments.

    the first MOST within an interval    passed on at once
    further ones                         counted; the last of them is kept
    when the interval ends               that one is passed on, with how many more there were; the next interval of a
                                         storm that goes on passes on nothing but its end
"""

from __future__ import annotations

import copy
import logging
import numbers
import re
from collections.abc import Mapping
from dataclasses import dataclass

from tlv.units import NS

MOST = 5
INTERVAL_NS = 10 * NS
MOST_KINDS = 256
"""Kinds that are told apart at a time; while there are more, their lines are passed on."""
LONGEST_TEMPLATE = 200
NUMBER = re.compile(r"0x[0-9a-fA-F]+|[0-9a-fA-F]{16,}|\d+")
PLACEHOLDER = re.compile(r"%(\(\w+\))?[a-z]|[\W\d]")

Kind = tuple[str, int, str]


@dataclass(slots=True)
class RepeatInterval:
    """Of lines of one kind."""

    began_ns: int
    passed: int = 0
    left_out: int = 0
    last: logging.LogRecord | None = None
    """The last that was left out."""


class Repeats:
    """The intervals under way.  Not thread-safe: a handler has a lock."""

    def __init__(self) -> None:
        self._intervals: dict[Kind, RepeatInterval] = {}  # in the order in which they began

    def pass_on(self, record: logging.LogRecord, now_ns: int) -> list[logging.LogRecord]:
        """The lines to be written now that this one came: those of storms that are over, and itself if it may."""
        lines = self.over(now_ns)
        kind = kind_of(record)
        interval = self._intervals.get(kind)
        if interval is None:
            if len(self._intervals) >= MOST_KINDS:
                return [*lines, record]
            interval = self._intervals[kind] = RepeatInterval(now_ns)
        if interval.passed < MOST:
            interval.passed += 1
            return [*lines, record]
        interval.left_out += 1
        interval.last = detached(record)
        return lines

    def over(self, now_ns: int) -> list[logging.LogRecord]:
        """What is left of the intervals that ended."""
        lines = []
        while self._intervals:
            kind, interval = next(iter(self._intervals.items()))
            if now_ns - interval.began_ns < INTERVAL_NS:
                break
            del self._intervals[kind]
            if interval.last is not None:
                lines.append(last_of(interval, now_ns))
                self._intervals[kind] = RepeatInterval(now_ns, MOST)
        return lines

    def end(self, now_ns: int) -> list[logging.LogRecord]:
        """What is left of all."""
        lines = [last_of(one, now_ns) for one in self._intervals.values() if one.last is not None]
        self._intervals.clear()
        return lines

    @property
    def left_out(self) -> bool:
        """Whether a line waits to be passed on."""
        return any(one.last is not None for one in self._intervals.values())


def kind_of(record: logging.LogRecord) -> Kind:
    """What a line has in common with those like it."""
    template = str(record.msg)
    if not record.args or not PLACEHOLDER.sub("", template):
        template = NUMBER.sub("0", record.getMessage()[:LONGEST_TEMPLATE])
    return record.name, record.levelno, template


def detached(record: logging.LogRecord) -> logging.LogRecord:
    """A copy that keeps no object of the program alive."""
    one = copy.copy(record)
    one.exc_info = None  # lines before this one had a traceback
    if isinstance(record.args, Mapping):
        one.args = {name: plain(value) for name, value in record.args.items()}
    elif record.args:
        one.args = tuple(map(plain, record.args))
    return one


def plain(value: object) -> object:
    """A number as it is, anything else as text."""
    return value if isinstance(value, numbers.Number) else str(value)


def last_of(interval: RepeatInterval, now_ns: int) -> logging.LogRecord:
    """The last line that was left out, with how many others were and in how many seconds."""
    line = interval.last
    assert line is not None
    if interval.left_out > 1:
        seconds = round((now_ns - interval.began_ns) / NS, 1)
        vars(line).update(repeats=interval.left_out - 1, repeats_s=seconds)
    return line
