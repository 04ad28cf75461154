"""Units of time in nanoseconds: `5 * NS` is five seconds."""

from __future__ import annotations

NS = 1_000_000_000
"""Nanoseconds of a second."""
MS = 1_000_000
"""Nanoseconds of a millisecond."""
