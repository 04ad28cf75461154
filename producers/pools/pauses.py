"""When a question that had no answer is asked again: pauses that double.

Owns one due time.  It must never know what is asked, nor read a clock.
"""

from __future__ import annotations

from tlv.units import NS


class Pauses:
    """Due at once, then after pauses of `first_s`, twice that, and so on up to `longest_s`."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._next_ns, self._longest_ns = int(first_s * NS), int(longest_s * NS)
        self.due_ns = 0

    def failed(self, now_ns: int) -> None:
        """There was no answer: the next attempt is due a pause later."""
        self.due_ns = now_ns + self._next_ns
        self._next_ns = min(2 * self._next_ns, self._longest_ns)
