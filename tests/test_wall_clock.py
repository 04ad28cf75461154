"""Row 35 of the fault table, for every package that moves data: wall time is only ever shown or stored.

Whatever waits, orders or expires uses a monotonic clock.  The places below are all there are, each with its reason;
what holds for the collector's cores besides is in `tests/producers/node/test_clocks.py`.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("tlv", "ringbuf", "producers", "consumers")
WALL_CLOCKS = {"time", "time_ns", "ctime", "gmtime", "localtime", "now", "utcnow", "today"}
MODULES = {"time", "datetime", "date"}
SHOWN = {
    ("ringbuf/holder.py", "began"): "since when the holder of a lock runs, for a message",
    ("producers/collector.py", "_clock"): "timestamp of a header, receive time of an event",
    ("consumers/journal/writer.py", "_open_segment"): "when a segment was begun, for whoever lists it",
    ("consumers/journal/sealing.py", "_run"): "age of a segment's file, whose times are wall times",
    ("consumers/relay/packing.py", "stamp"): "timestamp of a header",
    ("consumers/bridge/presence.py", "__init__"): "which of two senders on two hosts began first",
    ("consumers/execution/runner.py", "__init__"): "timestamp of a header",
    ("consumers/runner.py", "__init__"): "timestamp of a header",
    ("consumers/runner.py", "_count"): "latency since the receive time, which is a wall time; shown only",
    ("consumers/native/runner.py", "_arguments"): "timestamp of a header",
    ("consumers/native/runner.py", "_publish_recorded"): "timestamp of a header",
}


def uses(path: Path) -> set[tuple[str, str]]:
    """File and innermost function of each use of a wall clock."""
    found: set[tuple[str, str]] = set()
    name = str(path.relative_to(ROOT))

    def walk(node: ast.AST, function: str) -> None:
        for child in ast.iter_child_nodes(node):
            inside = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
            if isinstance(child, ast.Attribute) and child.attr in WALL_CLOCKS:
                if isinstance(child.value, ast.Name) and child.value.id in MODULES:
                    found.add((name, inside))
            elif isinstance(child, ast.ImportFrom) and child.module in MODULES:
                if WALL_CLOCKS & {alias.name for alias in child.names}:
                    found.add((name, inside))
            elif isinstance(child, ast.Attribute | ast.Name | ast.alias):
                spelled = getattr(child, "attr", getattr(child, "id", getattr(child, "name", "")))
                if spelled == "CLOCK_REALTIME":
                    found.add((name, inside))
            walk(child, inside)

    walk(ast.parse(path.read_text()), "")
    return found


def test_wall_clock_is_read_only_where_it_is_shown_or_stored() -> None:
    sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert len(sources) > 100
    assert set().union(*map(uses, sources)) == SHOWN.keys()
