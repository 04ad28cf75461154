"""How often the log says the same: at once, then counted, never a line a block.

Owns when something is said again, by its kind; times come as arguments.

    first time          said at once
    later               counted; said again with the count after a minute, then after two, four ... at most an hour
"""

from __future__ import annotations

from dataclasses import dataclass

from tlv.units import NS

FIRST_PAUSE_NS, LONGEST_PAUSE_NS = 60 * NS, 3600 * NS
MOST_REMARKS = 256
"""Kinds of remark that are told apart; a node that finds a new wording each time gets one for all the rest."""


@dataclass(slots=True)
class _Remark:
    due_ns: int
    pause_ns: int = FIRST_PAUSE_NS
    unsaid: int = 0


class Remarks:
    """Which remarks are due."""

    def __init__(self) -> None:
        self._said: dict[str, _Remark] = {}

    def remark(self, kind: str, text: str, now_ns: int, times: int = 1) -> str | None:
        """The line for the log; None while it is too early to repeat one of this kind."""
        if kind not in self._said and len(self._said) >= MOST_REMARKS:
            kind = ""
        known = self._said.get(kind)
        if known is None:
            self._said[kind] = _Remark(now_ns + FIRST_PAUSE_NS)
            return text
        known.unsaid += times
        if now_ns < known.due_ns:
            return None
        known.pause_ns = min(2 * known.pause_ns, LONGEST_PAUSE_NS)
        known.due_ns = now_ns + known.pause_ns
        unsaid, known.unsaid = known.unsaid, 0
        return text if unsaid == 1 else f"{text} ({unsaid} times since this was said last)"
