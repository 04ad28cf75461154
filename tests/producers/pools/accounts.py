"""The account of the logs with an event's topic: each that came has exactly one place in the statistics."""

from __future__ import annotations

from producers.statistics import Statistics


def assert_every_event_log_is_accounted_for(statistics: Statistics) -> None:
    published = statistics.events_published - statistics.replayed_events - statistics.retracted_events
    let_go = statistics.lookalikes + statistics.unsupported_logs + statistics.quarantined_logs
    refused = sum(statistics.refused.values())
    told = published + statistics.filtered_events + refused + statistics.held_logs + let_go
    assert told == statistics.event_logs, vars(statistics)
