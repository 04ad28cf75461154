"""Row 35 of the fault table: wall time is only ever shown.  Whatever waits, orders or expires uses a monotonic clock.

Which sources may import a clock at all is in `tests/test_imports.py`.
"""

from __future__ import annotations

import ast
import random
from pathlib import Path

from tests.producers.collected import canonical_events
from tests.producers.virtual import SECOND, Conversation, new_feed
from tlv.layout import BlockEnd

PRODUCERS = Path(__file__).parents[3] / "producers"
SOURCES = sorted(path for path in PRODUCERS.rglob("*.py") if "recording" not in path.parts)
WALL_CLOCKS = {"time", "time_ns", "ctime", "gmtime", "localtime", "now", "utcnow", "today", "CLOCK_REALTIME"}
SHOWN = {("collector.py", "_clock")}
"""Where wall time enters: it becomes the timestamp of a header."""


def wall_clock_calls(path: Path) -> set[tuple[str, str]]:
    """File and function of each use of a wall clock; `time.sleep` and the monotonic clocks are none."""
    found = set()
    for function in ast.walk(ast.parse(path.read_text())):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            if (
                isinstance(node, ast.Attribute)
                and node.attr in WALL_CLOCKS
                and isinstance(node.value, ast.Name)
                and node.value.id in {"time", "datetime", "date"}
            ):
                found.add((path.name, function.name))
    return found


def test_producers_read_the_wall_clock_only_where_it_is_shown() -> None:
    used = set().union(*map(wall_clock_calls, SOURCES))
    assert used == SHOWN


class Stepping(Conversation):
    """A conversation on a machine whose wall clock steps by up to an hour, either way, with every message."""

    chance = random.Random(35)

    @property
    def clock(self) -> dict[str, int]:
        steady = super().clock
        return {**steady, "wall_ns": steady["wall_ns"] + self.chance.randint(-3600, 3600) * SECOND}


def test_feed_whose_wall_clock_steps_tells_the_same_story() -> None:
    told = []
    for conversation in (Conversation(new_feed()), Stepping(new_feed())):
        conversation.connect()
        conversation.play()
        assert conversation.story.standing == canonical_events()
        told.append([(end.hash, end.verdict) for end in conversation.records(BlockEnd)])
    assert told[0] == told[1]
    stamps = [message.header.timestamp_ns for message in conversation.story.messages]
    assert max(stamps) - min(stamps) > 7000 * SECOND
    sequences = [message.header.sequence for message in conversation.story.messages]
    assert sequences == list(range(1, len(sequences) + 1))
