"""Which logs are subscribed to.  Without limits all logs are: then a hole in the indices shows a loss."""

from __future__ import annotations

from dataclasses import dataclass

from producers.kinds.events import EVENT_OF_TOPIC


@dataclass(frozen=True, slots=True)
class LogSelection:
    """The limits of a subscription."""

    addresses: tuple[str, ...] = ()
    events_only: bool = False

    def as_filter(self) -> dict[str, object]:
        """The members of an eth_subscribe or eth_getLogs filter."""
        members: dict[str, object] = {}
        if self.addresses:
            members["address"] = list(self.addresses)
        if self.events_only:
            members["topics"] = [sorted(EVENT_OF_TOPIC)]
        return members


ALL_LOGS = LogSelection()
