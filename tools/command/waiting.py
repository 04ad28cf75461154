"""What a command that reads a ring does before there is one: say so, and wait.

The order in which commands are started does not matter, so none of them refuses because another is not there yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import click

from consumers import waiting
from consumers.waiting import RETRY_S, SAY_AFTER_S
from ringbuf import RingNotFound, RingNotReady
from tools.command.stderr_log import complain

T = TypeVar("T")

wait_for_ring_option = click.option(
    "--wait-for-ring",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Give up if there is no such ring after so long.  [default: wait for as long as it takes]",
)


def when_there(
    who: str, ring: str, limit_s: float | None, asked_to_stop: Callable[[], bool], make: Callable[[], T]
) -> T | None:
    """What `make` makes, as soon as its ring exists; None if asked to stop before.

    Raises:
        RingNotFound, RingNotReady: there is none after `limit_s`.
    """
    say = partial(complain, who, f"waiting for ring {ring}: its producer has not made it yet", ring=ring)
    try:
        return waiting.when_there(make, limit_s, asked_to_stop, say)
    except (RingNotFound, RingNotReady):
        if asked_to_stop():
            return None
        raise


def await_journal(who: str, journal: Path, limit_s: float | None, asked_to_stop: Callable[[], bool]) -> bool:
    """Wait until something is recorded in `journal`, at most `limit_s`; False if asked to stop before.

    Whoever opens it after the limit is told what is missing.
    """
    from consumers.journal.segment import list_segments

    began, said = time.monotonic(), False
    while not asked_to_stop():
        waited = time.monotonic() - began
        if (journal.is_dir() and list_segments(journal)) or (limit_s is not None and waited >= limit_s):
            return True
        if not said and waited >= SAY_AFTER_S:
            complain(
                who,
                f"waiting for journal {journal}: `alphapulse record` has written nothing there yet",
                journal=journal,
            )
            said = True
        time.sleep(RETRY_S)
    return False
