"""How a wall time is written: UTC, to the millisecond, in logs and in JSON alike."""

from __future__ import annotations

import time


def utc(milliseconds: int) -> str:
    """A moment, in milliseconds since 1970: `2026-11-29T22:53:25.123Z`."""
    seconds, rest = divmod(milliseconds, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:03}Z"
