"""How long to wait before the next attempt: full jitter, and a circuit breaker's states.

Owns the arithmetic, not the waiting: random numbers come as arguments.  Which endpoint is next is decided in
`producers.node.endpoints`.
"""

from __future__ import annotations

from enum import StrEnum

LONGEST_RETRY_AFTER_S = 300.0
"""No more is granted: one node's slip must not keep a collector without fallbacks away for a day."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 20.0


class Circuit(StrEnum):
    """Whether it is worth trying."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


def jittered(random: float, failures: int) -> float:
    """Seconds to wait after so many failures in a row; `random` is uniform in [0, 1)."""
    return random * min(LONGEST_PAUSE_S, FIRST_PAUSE_S * float(1 << min(failures, 32)))
