"""How often each process was started, and how it ended last, from the lines of supervisord's log.

Owns the reading of that log; supervisord itself keeps neither number nor reason of a process that died at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tools.up.run_directory import RunDirectory

BEGINNING = re.compile(r" supervisord started with pid \d+$")
SPAWNED = re.compile(r" INFO spawned: '([^']+)' with pid \d+$")
ENDED = re.compile(r" (?:exited|stopped): (\S+) \((.*?)(?:; (?:not )?expected)?\)$")


@dataclass
class Life:
    """One process since `up`."""

    starts: int = 0
    """At least: a log that was rotated away is not counted."""
    last_end: str = ""
    """`exit status 1`, `terminated by SIGKILL`; empty if it never ended."""


def lives_of(lines: Iterable[str]) -> dict[str, Life]:
    """Every process by name, since supervisord began last."""
    lives: dict[str, Life] = {}
    for line in lines:
        if BEGINNING.search(line):
            lives.clear()
        elif found := SPAWNED.search(line):
            lives.setdefault(found[1], Life()).starts += 1
        elif found := ENDED.search(line):
            lives.setdefault(found[1], Life()).last_end = found[2]
    return lives


def read_lives(place: RunDirectory) -> dict[str, Life]:
    """The same of a place; nothing if its log cannot be read."""
    log = place.supervisord_log
    lines: list[str] = []
    for path in (log.with_name(f"{log.name}.1"), log):
        try:
            lines += path.read_text(errors="replace").splitlines()
        except OSError:
            continue
    return lives_of(lines)
