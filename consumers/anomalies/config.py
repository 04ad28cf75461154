"""From where on something is an anomaly.

Owns the thresholds and their units, which are those of `SystemHealth`; docs/anomalies.md says how each is measured.
"""

from __future__ import annotations

import msgspec


class AnomalyThresholds(msgspec.Struct, frozen=True):
    """What is as high (or, for `rate_low_pct`, as low) as this is an anomaly."""

    rate_high_pct: int = 500
    """Percent of the usual number of events."""
    rate_low_pct: int = 10
    """The same; so few events, or fewer."""
    silence_ms: int = 30_000
    gap_count: int = 1
    """Frames, blocks or events."""
    reorg_blocks: int = 3
    price_jump_bps: int = 300
    """Basis points."""
    liquidity_drop_bps: int = 3_000
    """Basis points."""
    latency_drift_ms: int = 3_000
    unproven_share_bps: int = 5_000
    """Basis points of all events."""
