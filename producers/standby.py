"""A collector that waits to go on where another one ends: whether it may begin, and what it counts meanwhile.

Owns the decision, over what others saw of the ring's writer.  It must never look itself.

    a writer             wait, whatever it does: one that hangs or is stopped is the writer until it ends
    none                 begin; whoever takes the writer's lock first is the writer, the others wait again
    none, and its ring   wait REMAKE_NS for it to make the ring anew: it alone knows up to which block it had
    had lost its name    published, unless it has a state file
"""

from __future__ import annotations

from dataclasses import dataclass

from ringbuf import Level
from tlv.units import MS, NS

LOOK_NS = 5 * MS
"""Between two looks.  200 a second cost 0.4 % of a core."""
REMAKE_NS = 2 * NS
"""A collector whose ring lost its name has made it anew within a fraction of that, or has died."""


@dataclass
class StandbyCounts:
    """What a collector counts while it stands by."""

    looks: int = 0
    """Times that it looked whether the ring has a writer."""
    lost_races: int = 0
    """Times that another process became the ring's writer first."""
    writer_pid: Level = 0
    """Of the process that is waited for; 0 if the ring does not say."""


class Standby:
    """The wait for one ring."""

    def __init__(self) -> None:
        self._begin_ns: int | None = None
        """When it may begin, of a ring without a writer."""

    def may_begin(self, now_ns: int, *, written: bool, lost_name: bool) -> bool:
        """Whether to become the writer: there is none (`written`), and none that is about to make its ring anew."""
        if written:
            self._begin_ns = None
            return False
        if self._begin_ns is None:
            self._begin_ns = now_ns + (REMAKE_NS if lost_name else 0)
        return now_ns >= self._begin_ns
