"""Everything that reads a ring: live and stored events, strategies, journal, relay, bridge."""
