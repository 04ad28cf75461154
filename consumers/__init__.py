"""From a ring to whoever wants it: live and stored events, strategies, journal, relay, bridge."""
