"""Counts that should stand still, judged as the alert rules judge them: what they rose by within a window.

Owns the table, and what is remembered for it.  `tests/tools/obs/test_rises.py` holds it against alerts.yml.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from tools.obs.conditions import Condition
from tools.obs.look import Look


@dataclass(frozen=True)
class Rise:
    """Counts of one subject that may rise by `most` together within `window_s` seconds."""

    counts: tuple[str, ...]
    """Role (or `ring`) and count."""
    window_s: float
    most: int = 0


RISES = {
    "frames_lost": Rise(
        (
            "recorder.lost",
            "strategy.lost",
            "executor.lost",
            "executor.orders_lost",
            "anomalies.lost",
            "bridge_out.lost",
            "bridge_in.lost",
        ),
        300,
    ),
    "consumer_evicted": Rise(("ring.evictions",), 300),
    "damage": Rise(
        ("relay.damaged_rings", "relay.damaged_journals", "relay.damaged_cursors", "relay.malformed_frames"), 600
    ),
    "blocks_missing": Rise(("collector.gap_count",), 600),
    "reconnects": Rise(("collector.reconnects",), 600, most=5),
    "circuit_openings": Rise(("collector.circuit_openings",), 600),
    "disk_refuses": Rise(("collector.disk_failures", "relay.failed_cursor_saves", "relay.shortages"), 600),
    "client_evicted": Rise(("relay.evicted",), 600),
}


@dataclass
class Risen:
    """One rise of one subject."""

    identity: str
    """Of the process or ring that counts: another one begins at 0."""
    value: int
    steps: deque[tuple[float, int]] = field(default_factory=deque)
    """When it rose, and by how much, within the window."""


class Rising:
    """Remembers what counts were."""

    def __init__(self) -> None:
        self._risen: dict[tuple[str, str], Risen] = {}
        self._began = False

    def advance(self, look: Look, now_s: float) -> list[Condition]:
        """Every rise of everything that counts there."""
        found = []
        before, self._risen = self._risen, {}
        for name, subject, identity, counts in counted(look):
            value = sum(counts.values())
            rise = RISES[name]
            # What was not there a look ago began at 0; what was there when obs began rose before.
            risen = before.get((name, subject)) or Risen(identity, 0 if self._began else value)
            self._risen[name, subject] = risen
            step = value if risen.identity != identity else value - risen.value
            if step > 0:
                risen.steps.append((now_s, step))
            risen.identity, risen.value = identity, value
            while risen.steps and now_s - risen.steps[0][0] > rise.window_s:
                risen.steps.popleft()
            total = sum(step for _, step in risen.steps)
            text = f"{', '.join(counts)}: {total} more within {rise.window_s / 60:.0f} minutes"
            found.append(Condition(name, subject, total <= rise.most, float(total), float(rise.most), text))
        self._began = True
        return found


def counted(look: Look) -> Iterator[tuple[str, str, str, dict[str, int]]]:
    """Name of a rise, its subject, who counts, and its counts."""
    subjects = [("ring", ring.name, ring.uuid, ring.counters) for ring in look.rings]
    subjects += [
        (stat.role, stat.process, str(stat.pid), stat.counts)
        for stat in look.processes.stats
        if not look.wanted or stat.ring in look.wanted
    ]
    for role, subject, identity, counts in subjects:
        for name, rise in RISES.items():
            ours = [count.partition(".")[2] for count in rise.counts if count.partition(".")[0] == role]
            if ours:
                yield name, subject, identity, {count: counts[count] for count in ours}
